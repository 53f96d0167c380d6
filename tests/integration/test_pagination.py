"""Keyset cursors: nothing is skipped or shown twice, in either direction, while releases come in."""

import base64
import datetime
from collections.abc import Callable
from typing import Any

import pytest

from release_catalog.domain import timestamps
from release_catalog.domain.release import ReleaseDocument
from release_catalog.storage.collection_names import PROMOTIONS
from support.catalog import Catalog, source

PAGE = """
query($first: Int, $after: String, $last: Int, $before: String, $filter: ReleaseFilter, $order: ReleaseOrder) {
  releases(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $order) {
    totalCount
    edges { cursor node { id name version createdAt } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
FIELDS = ["CREATED_AT", "UPDATED_AT", "RELEASED_AT", "PUBLISHED_AT", "NAME", "VERSION"]


async def forwards(catalog: Catalog, size: int, **variables: Any) -> list[str]:
    names: list[str] = []
    after = None
    while True:
        page = (await catalog.ask(PAGE, first=size, after=after, **variables))["releases"]
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        names += [edge["node"]["id"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return names


async def backwards(catalog: Catalog, size: int, **variables: Any) -> list[str]:
    names: list[str] = []
    before = None
    while True:
        page = (await catalog.ask(PAGE, last=size, before=before, **variables))["releases"]
        assert page["pageInfo"]["hasNextPage"] == (before is not None)
        names = [edge["node"]["id"] for edge in page["edges"]] + names
        before = page["pageInfo"]["startCursor"]
        if not page["pageInfo"]["hasPreviousPage"]:
            return names


async def stock(catalog: Catalog, count: int) -> list[ReleaseDocument]:
    """Releases of which many share an instant, a name or a version."""
    product = await catalog.product("tool")
    start = timestamps.parse("2026-01-01T00:00:00Z")
    made = []
    for number in range(count):
        at = start + datetime.timedelta(seconds=number // 4)
        fields: dict[str, Any] = {
            "name": f"tool {number % 3}",
            "revision": str(number),
            "createdAt": at,
            "updatedAt": at,
        }
        fields |= {"tag": "even" if number % 2 == 0 else "odd", "releasedAt": at if number % 5 else None}
        fields |= {"publishedAt": at if number % 4 else None}
        fields |= {"dependencies": [{"name": "base", "version": "1"}] if number % 3 == 0 else []}
        made.append(await catalog.put(product, f"1.{number % 7}", **fields))
    return made


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", FIELDS)
async def test_every_order_is_walked_both_ways(empty: Catalog, field: str, direction: str) -> None:
    made = await stock(empty, 30)
    never = datetime.datetime.min.replace(tzinfo=datetime.UTC)
    values: dict[str, Callable[[Any], Any]] = {
        "CREATED_AT": lambda r: r["createdAt"],
        "UPDATED_AT": lambda r: r["updatedAt"],
        "RELEASED_AT": lambda r: r["releasedAt"] or never,
        "PUBLISHED_AT": lambda r: r["publishedAt"] or never,
        "NAME": lambda r: r["name"],
        "VERSION": lambda r: r["versionKey"],
    }
    order = {"field": field, "direction": direction}
    for filter_, chosen in (
        (None, made),
        ({"tag": "even"}, made[::2]),
        ({"tag": "even", "nameContains": "TOOL 1"}, [r for r in made[::2] if r["name"] == "tool 1"]),
        ({"deliveryStatus": ["STARTED"]}, []),
    ):
        ranked = sorted(chosen, key=lambda r: (values[field](r), r["id"]), reverse=direction == "DESC")
        expected = [release["id"] for release in ranked]
        for size in (4, 100):
            assert await forwards(empty, size, order=order, filter=filter_) == expected
            assert await backwards(empty, size, order=order, filter=filter_) == expected


async def test_a_walk_neither_misses_nor_repeats_while_releases_come_in(empty: Catalog) -> None:
    made = await stock(empty, 20)
    product = await empty.product("late")
    seen: list[str] = []
    after = None
    for turn in range(20):
        page = (await empty.ask(PAGE, first=3, after=after))["releases"]
        seen += [edge["node"]["id"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        # One newer than all, one between those that were there.
        await empty.put(product, f"2.{turn}", createdAt=timestamps.now())
        between = timestamps.parse("2026-01-01T00:00:02.500Z")
        await empty.put(product, f"3.{turn}", createdAt=between, updatedAt=between)
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert len(seen) == len(set(seen))
    assert {release["id"] for release in made} <= set(seen)


async def test_a_page_without_a_count_is_one_read(empty: Catalog) -> None:
    await stock(empty, 5)
    await empty.ask("{ releases { nodes { id } pageInfo { hasNextPage } edges { cursor } } }")
    assert empty.commands.reads == {"releases": 1}
    assert (await empty.ask("{ releases { totalCount } }"))["releases"] == {"totalCount": 5}
    assert empty.commands.reads == {"releases": 1}


async def test_a_filter_that_matches_nothing(empty: Catalog) -> None:
    assert (await empty.ask(PAGE, filter={"ids": []}))["releases"]["totalCount"] == 0
    assert (await empty.ask(PAGE, filter={"dependsOnId": "nobody"}))["releases"]["edges"] == []
    assert (await empty.ask(PAGE, filter={"productKey": "nothing"}))["releases"]["edges"] == []


async def test_releases_without_releasedat_match_no_range_of_it(empty: Catalog) -> None:
    made = await stock(empty, 10)
    finished = sum(release["releasedAt"] is not None for release in made)
    for bound in ({"releasedFrom": "0001-01-01T00:00:00Z"}, {"releasedBefore": "9999-12-31T00:00:00Z"}):
        assert (await empty.ask(PAGE, filter=bound))["releases"]["totalCount"] == finished


async def test_the_id_and_the_key_of_a_product_must_both_hold(empty: Catalog) -> None:
    [made] = await stock(empty, 1)
    await empty.put(await empty.product("other"), "1")
    for key, count in (("tool", 1), ("other", 0), ("nothing", 0)):
        given = {"productId": made["productId"], "productKey": key}
        assert (await empty.ask(PAGE, filter=given))["releases"]["totalCount"] == count
        within = f'{{ product(key: "tool") {{ releases(filter: {{productKey: "{key}"}}) {{ totalCount }} }} }}'
        assert (await empty.ask(within))["product"]["releases"]["totalCount"] == count


@pytest.mark.parametrize(
    ("variables", "argument"),
    [
        ({"first": 0}, "first"),
        ({"first": 101}, "first"),
        ({"first": -1}, "first"),
        ({"last": 0}, "last"),
        ({"last": 101}, "last"),
        ({"first": 1, "last": 1}, "last"),
        ({"after": "x", "last": 1}, "after"),
        ({"before": "x"}, "before"),
        ({"before": "x", "first": 1}, "before"),
        ({"after": "not a cursor"}, "after"),
        ({"after": "ünïcode"}, "after"),
        ({"after": "eyJhIjoxfQ"}, "after"),
        ({"after": "WyJDUkVBVEVEX0FUIiwiMSIsIjIiXQ"}, "after"),
        ({"after": "WyJDUkVBVEVEX0FUIiwxLDJd"}, "after"),
        ({"after": "WyJDUkVBVEVEX0FUIiw5OTk5OTk5OTk5OTk5OTk5LCJ4Il0"}, "after"),
        ({"last": 1, "before": ""}, "before"),
        ({"filter": {"createdFrom": "2026-01-02T00:00:00Z", "createdBefore": "2026-01-01T00:00:00Z"}}, "filter.createdFrom"),
        ({"filter": {"releasedFrom": "2026-01-02T00:00:00Z", "releasedBefore": "2026-01-02T00:00:00Z"}}, "filter.releasedFrom"),
        ({"filter": {"ids": [str(n) for n in range(101)]}}, "filter.ids"),
        ({"filter": {"status": []}}, "filter.status"),
        ({"filter": {"nameContains": "x" * 257}}, "filter.nameContains"),
        ({"filter": {"nameContains": "a\x00"}}, "filter.nameContains"),
    ],
)  # fmt: skip
async def test_bad_arguments_are_named(stocked: Catalog, variables: dict[str, Any], argument: str) -> None:
    error = await stocked.error(PAGE, **variables)
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": argument}
    assert error["message"].startswith(f"{argument}: ")
    assert error["path"] == ["releases"]


async def test_a_cursor_beyond_what_the_database_counts_is_refused(empty: Catalog) -> None:
    too_far = base64.urlsafe_b64encode(f'["SEQUENCE",{2**63}]'.encode()).decode()
    error = await empty.error(
        "query($after: String) { promotions(after: $after) { nodes { id } } }", after=too_far
    )
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": "after"}


async def test_a_cursor_of_another_order_is_refused(empty: Catalog) -> None:
    await stock(empty, 3)
    cursor = (await empty.ask(PAGE, first=1))["releases"]["pageInfo"]["endCursor"]
    error = await empty.error(PAGE, after=cursor, order={"field": "NAME"})
    assert "the order CREATED_AT" in error["message"]


async def test_the_references_of_a_release_come_in_pages(empty: Catalog) -> None:
    await empty.load(
        source("a", needs=[f"n{number}" for number in range(7)]),
        *(source(f"n{number}") for number in range(0, 7, 2)),
    )
    query = """query($after: String) { releases(filter: {name: "a"}) { nodes { dependencies(first: 3, after: $after) {
      totalCount nodes { name } edges { reference { name releaseId } node { name } }
      pageInfo { hasNextPage hasPreviousPage endCursor } } } } }"""
    seen, after, pages = [], None, 0
    while True:
        page = (await empty.ask(query, after=after))["releases"]["nodes"][0]["dependencies"]
        pages += 1
        assert page["totalCount"] == 7
        assert page["nodes"] == [edge["node"] for edge in page["edges"] if edge["node"]]
        seen += [(edge["reference"]["name"], edge["node"] and edge["node"]["name"]) for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert pages == 3
    assert seen == [(f"n{n}", f"n{n}" if n % 2 == 0 else None) for n in range(7)]
    assert (await empty.error(query, after="x"))["extensions"]["argument"] == "after"


async def test_a_reference_that_was_declared_twice_is_one_edge(empty: Catalog) -> None:
    await empty.load(source("a", needs=["b", "c", "b", "d"]))
    query = """query($after: String) { releases { nodes { dependencies(first: 1, after: $after) {
      totalCount edges { reference { name } } pageInfo { hasNextPage endCursor } } } } }"""
    seen, after = [], None
    for _ in range(3):
        page = (await empty.ask(query, after=after))["releases"]["nodes"][0]["dependencies"]
        assert page["totalCount"] == 3
        seen += [edge["reference"]["name"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
    assert (seen, page["pageInfo"]["hasNextPage"]) == (["b", "c", "d"], False)


@pytest.mark.parametrize(
    "query",
    ["catalogs", "products", "promotions"],
)
async def test_other_lists_are_walked_the_same_way(empty: Catalog, query: str) -> None:
    if query == "promotions":
        records: Any = [{"tenantId": "local", "id": str(n), "sequence": n, "releaseId": "r"} for n in range(1, 8)]
        await empty.database[PROMOTIONS].insert_many(records)
    else:
        for number in range(7):
            await empty.product(f"p{number}", catalog_id=f"c{number}")
    text = f"query($after: String) {{ {query}(first: 3, after: $after) {{ totalCount edges {{ cursor node {{ id }} }} pageInfo {{ endCursor hasNextPage }} }} }}"
    seen, after = [], None
    while True:
        page = (await empty.ask(text, after=after))[query]
        seen += [edge["node"]["id"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        assert page["totalCount"] == 7
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert len(seen) == len(set(seen)) == 7


async def test_pages_of_dependencies_go_on_while_others_are_removed(empty: Catalog) -> None:
    product = await empty.product("tool")
    made = await empty.ask(
        "mutation($input: CreateReleaseInput!) { createRelease(input: $input) { release { id } } }",
        input={"productId": product["id"], "name": "tool", "version": "1", "dependencies": needed(1, 2, 3, 4)},
    )
    id_ = made["createRelease"]["release"]["id"]
    page = """query($id: ID!, $after: String) { release(id: $id) { dependencies(first: 2, after: $after) {
      edges { reference { name } } pageInfo { endCursor } } } }"""
    shown = (await empty.ask(page, id=id_))["release"]["dependencies"]
    after = shown["pageInfo"]["endCursor"]
    replace = "mutation($input: ReplaceReleaseInput!) { replaceRelease(input: $input) { problem { detail } } }"
    await empty.ask(replace, input={"id": id_, "name": "tool", "dependencies": needed(2, 3)})
    shown = (await empty.ask(page, id=id_, after=after))["release"]["dependencies"]
    assert shown["edges"] == [{"reference": {"name": "need-3"}}]
    await empty.ask(replace, input={"id": id_, "name": "tool", "dependencies": needed(3)})
    error = await empty.error(page, id=id_, after=after)
    assert error["message"].startswith("after: no entry of the list has this cursor, or not any more")


def needed(*numbers: int) -> list[dict[str, str]]:
    return [{"name": f"need-{number}", "version": "1"} for number in numbers]
