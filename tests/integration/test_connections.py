"""Every list in pages is the same list forwards and backwards, in pages of any size, and for any caller."""

from collections.abc import AsyncIterator
from typing import Any

import hypothesis
import pytest
from graphql import GraphQLObjectType, get_named_type
from hypothesis import strategies as st
from test_indexes import examined, stages

from conftest import LOCAL, connected
from release_catalog.domain import ledger, timestamps
from release_catalog.domain.caller import READ, WEBHOOK, Caller
from release_catalog.graphql_api.schema import schema
from release_catalog.storage import bulk_load, indexes, pagination, records, transactions, unit_of_work
from release_catalog.storage.collection_names import (
    BASE_IMAGES,
    CONTENTS,
    ENVIRONMENTS,
    PIPELINES,
    PROJECTS,
    PROMOTIONS,
    REGISTRIES,
    WEBHOOK_DELIVERIES,
    WEBHOOKS,
    CollectionName,
)
from release_catalog.storage.pagination import PageArgs
from support.catalog import Catalog, Commands

COUNT = 11
CALLERS = {"operator": LOCAL, "reader": Caller("local", "reader", frozenset({READ, WEBHOOK}))}
# The way to each list, with its name.
LISTS = {
    **{f"Query.{name}": ("%s", name) for name in (
        "catalogs", "products", "releases", "promotions", "events", "pipelines", "projects", "registries", "baseImages",
    )},
    "Catalog.products": ('catalog(id: "default") { %s }', "products"),
    "Catalog.releases": ('catalog(id: "default") { %s }', "releases"),
    "Product.releases": ('product(key: "tool") { %s }', "releases"),
    "Release.dependencies": ('release(id: "needing") { %s }', "dependencies"),
    "Release.dependants": ('release(id: "needed") { %s }', "dependants"),
    "Release.promotions": ('release(id: "needed") { %s }', "promotions"),
    "Environment.contents": ('environment(name: "QA") { %s }', "contents"),
    "Environment.releases": ('environment(name: "QA") { %s }', "releases"),
    "Environment.promotions": ('environment(name: "QA") { %s }', "promotions"),
    "Webhook.deliveries": ('webhook(id: "hook") { %s }', "deliveries"),
}  # fmt: skip
PAGE = "edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"


@pytest.fixture(scope="module")
async def listed(mongodb_url: str) -> AsyncIterator[Catalog]:
    """A catalog that has about eleven entries in each list, of which readers see some; tests only read it."""
    commands = Commands()
    async with connected(mongodb_url, "listed", commands) as database:
        await database.client.drop_database("listed")
        await indexes.ensure(database)
        catalog = Catalog(database, LOCAL, commands)
        await stock(catalog)
        yield catalog


async def stock(catalog: Catalog) -> None:
    async def put(collection: CollectionName[Any], **fields: Any) -> None:
        assert await bulk_load.put(catalog.caller, catalog.database, collection, [fields]) == 1

    product, now = await catalog.product("tool"), timestamps.now()
    needs = [{"releaseId": None, "name": f"missing {at % 9}", "version": "1"} for at in range(COUNT)]
    needs += [{"releaseId": None, "name": "Tool", "version": f"1.{at}"} for at in range(5)]
    await catalog.put(product, "0", id="needing", name="needing", status="PUBLISHED", dependencies=needs)
    await catalog.put(product, "0", id="needed", name="needed", status="PUBLISHED", revision="1")
    await put(ENVIRONMENTS, id="QA", name="QA", requires=[])
    await put(WEBHOOKS, id="hook", url="https://h/x", events=["*"], active=False, createdAt=now, createdBy="x",
              scopes=[READ], version="1", secret="s", formerSecret=None, formerUntil=now, cursor=0, attempts=0,
              nextAttemptAt=now, owner=None, leaseUntil=now)  # fmt: skip
    previous = None
    for at in range(COUNT):
        # Two have the same name.
        named = {"id": f"id {at}", "name": f"name {at // 2}"}
        await put(PIPELINES, **named, properties=[])
        await put(
            PROJECTS,
            **named,
            applicationPath=None,
            deploymentType="FULL",
            streams=[],
            buildEnvironments=[],
            properties=[],
        )
        await put(REGISTRIES, **named, url="https://r", healthy=None, lastCheckedAt=None)
        await put(
            BASE_IMAGES,
            **named,
            description=None,
            containerImage=None,
            operatingSystem=None,
            healthy=None,
            lastCheckedAt=None,
        )
        await catalog.product(f"key {at}", catalog_id=f"catalog {at % 3}")
        await catalog.product(f"key {at}")
        made = await catalog.put(
            product, f"1.{at}", status="DRAFT" if at % 3 == 1 else "PUBLISHED", private=at % 3 == 2 and at > 3,
            dependencies=[{"releaseId": "needed", "name": "needed", "version": "0"}],
            environments=[{"environment": "QA", "since": now, "promotionId": f"needed {at}"}],
        )  # fmt: skip

        async def told(session: Any, made: Any = made) -> None:
            await unit_of_work.append_event(catalog.caller, catalog.database, "release.created", made, session)

        await transactions.run(catalog.database, told)
        for release in (made["id"], "needed"):
            record: Any = dict.fromkeys(ledger._FIELDS) | {
                "id": f"{release} {at}", "tenantId": "local", "releaseId": release, "environment": "QA",
                "name": "n", "version": "1", "created": now, "status": "COMPLETED", "messages": [], "artifacts": [],
            }  # fmt: skip
            previous = ledger.append_hash(record, previous)
            await put(PROMOTIONS, **previous)
            content = {"environment": "QA", "path": f"r/{release} {at}", "releaseId": release, "packageType": "p"}
            await put(CONTENTS, id=f"{release} {at}", checksum="x", promotionId=record["id"], **content)
        await put(WEBHOOK_DELIVERIES, id=f"d{at}", webhookId="hook", sequence=at + 1, status="DELIVERED", attempts=1,
                  responseStatus=200, error=None, nextAttemptAt=None, deliveredAt=now, createdAt=now)  # fmt: skip


def test_every_list_is_among_them() -> None:
    found = {
        f"{kind.name}.{name}"
        for kind in schema._schema.type_map.values()
        if isinstance(kind, GraphQLObjectType)
        for name, field in kind.fields.items()
        if get_named_type(field.type).name.endswith("Connection")
    }
    assert found == LISTS.keys()


async def page(catalog: Catalog, name: str, arguments: str, fields: str = PAGE) -> Any:
    around, field = LISTS[name]
    answer = await catalog.ask(f"{{ {around % f'{field}{arguments} {{ {fields} }}'} }}")
    while field not in answer:
        [answer] = answer.values()
    return answer[field]


async def walked(catalog: Catalog, name: str, size: int, *, backwards: bool) -> list[str]:
    """The cursors of a list, in its order, collected in one direction."""
    cursors: list[str] = []
    cursor = None
    start, end, ahead, behind = ("before", "startCursor", "hasPreviousPage", "hasNextPage")
    if not backwards:
        start, end, ahead, behind = ("after", "endCursor", "hasNextPage", "hasPreviousPage")
    while True:
        place = f', {start}: "{cursor}"' if cursor is not None else ""
        found = await page(catalog, name, f"({'last' if backwards else 'first'}: {size}{place})")
        some = [edge["cursor"] for edge in found["edges"]]
        info = found["pageInfo"]
        assert [info["startCursor"], info["endCursor"]] == ([some[0], some[-1]] if some else [None, None])
        assert info[behind] == (cursor is not None)
        assert len(some) == size or not info[ahead]
        cursors = some + cursors if backwards else cursors + some
        cursor = info[end]
        if not info[ahead]:
            return cursors


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("name", LISTS)
@hypothesis.settings(max_examples=4, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(forwards=st.integers(1, 25), backwards=st.integers(1, 25))
async def test_both_directions_give_the_same_list(
    listed: Catalog, name: str, who: str, forwards: int, backwards: int
) -> None:
    catalog = listed.seen_by(CALLERS[who])
    there = await walked(catalog, name, forwards, backwards=False)
    assert await walked(catalog, name, backwards, backwards=True) == there
    assert len(there) == len(set(there)) >= 3
    whole = await page(catalog, name, "(first: 100)")
    assert [edge["cursor"] for edge in whole["edges"]] == there


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ("(first: 2, last: 2)", "last"),
        ("(first: 20, last: 20)", "last"),
        ("(first: 100, last: 100)", "last"),
        ("(last: 0)", "last"),
        ("(last: 101)", "last"),
        ('(before: "x")', "before"),
        ('(last: 2, before: "x")', "before"),
        ('(last: 2, after: "x")', "after"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused(
    listed: Catalog, name: str, arguments: str, wrong: str
) -> None:
    around, field = LISTS[name]
    error = await listed.error(f"{{ {around % f'{field}{arguments} {{ {PAGE} }}'} }}")
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].startswith(f"{wrong}: ")


@pytest.mark.parametrize("name", LISTS)
async def test_the_size_may_be_a_variable(listed: Catalog, name: str) -> None:
    around, field = LISTS[name]
    given = f"{field}(first: $first, last: $last) {{ {PAGE} }}"
    text = f"query($first: Int, $last: Int) {{ {around % given} }}"
    error = await listed.error(text, first=20, last=20)
    assert error["message"].startswith("last: ")
    for variables in ({"last": 2}, {"first": None, "last": 2}):
        answer = await listed.ask(text, **variables)
        while field not in answer:
            [answer] = answer.values()
        assert len(answer[field]["edges"]) == 2
        assert answer[field]["pageInfo"]["hasPreviousPage"]


async def test_an_event_that_does_not_exist_yet_is_no_place_in_the_log(listed: Catalog) -> None:
    error = await listed.error('{ events(last: 2, before: "0000000000000999") { nodes { id } } }')
    assert error["message"].startswith("before: the event does not exist yet")


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("{ products(last: 50) { nodes { releases(last: 2) { nodes { id } pageInfo { hasPreviousPage } } } } }",
         {"products": 1, "releases": 1}),
        ("{ catalogs(last: 9) { nodes { products(last: 2) { nodes { releases(last: 1) { nodes { id } } } } } } }",
         {"catalogs": 1, "products": 1, "releases": 1}),
        ("{ releases(last: 9) { nodes { dependencies(last: 2) { edges { cursor } } } } }", {"releases": 1}),
        ("{ releases(last: 9) { nodes { promotions(last: 2) { edges { cursor } } } } }",
         {"releases": 1, "promotions": 1}),
        ("{ environments { contents(last: 2) { nodes { path } } promotions(last: 2) { nodes { id } } } }",
         {"environments": 1, "contents": 1, "promotions": 1}),
    ],
)  # fmt: skip
async def test_pages_of_many_parents_are_read_together(listed: Catalog, text: str, reads: dict[str, int]) -> None:
    await listed.ask(text)
    assert listed.commands.reads == reads


@pytest.mark.parametrize("name", ["catalogs", "pipelines", "projects", "registries", "baseImages"])
async def test_lists_by_name_find_a_part_of_it(listed: Catalog, name: str) -> None:
    text = f"query($part: String) {{ {name}(nameContains: $part) {{ totalCount nodes {{ id name nodeId }} }} }}"
    part, expected = ("ATALOG 1", 1) if name == "catalogs" else ("AME 3", 2)
    found = (await listed.ask(text, part=part))[name]
    assert found["totalCount"] == len(found["nodes"]) == expected
    assert all(part.lower() in node["name"].lower() for node in found["nodes"])
    assert (await listed.ask(text, part="ame.3"))[name]["nodes"] == []
    everything = (await listed.ask(text))[name]
    assert everything["nodes"] == sorted(everything["nodes"], key=lambda node: (node["name"], node["id"]))
    assert set(listed.commands.reads.values()) == {2}
    error = await listed.error(text, part="x" * 257)
    assert error["message"].startswith("nameContains: ")


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("collection", records._BY_NAME)
async def test_lists_by_name_are_read_along_an_index(
    listed: Catalog, collection: CollectionName[Any], backwards: bool
) -> None:
    window = PageArgs(2, backwards=backwards)
    part = "1" if collection == "catalogs" else "name 1"
    for question in (records.by_name(LOCAL, collection, window), records.by_name(LOCAL, collection, window, part)):
        listed.commands.clear()

        rows = (await pagination.read(listed.database, question)).rows
        [command] = listed.commands.sent
        plain = {name: value for name, value in command.items() if name not in {"lsid", "$db", "$clusterTime"}}
        plan = await listed.database.command("explain", plain, verbosity="executionStats")
        assert not {stage["stage"] for stage in stages(plan)} & {"COLLSCAN", "SORT"}
        # A name is judged on the keys of the index.
        assert examined(plan) <= len(rows) + 1


@pytest.mark.parametrize("name", [name for name in LISTS if not name.startswith("Query.")])
async def test_a_list_is_paged_to_its_end_by_fetching_its_parent_again(listed: Catalog, name: str) -> None:
    """So does Relay, which knows of the parent nothing but its node id."""
    type_, field = name.split(".")
    around, _ = LISTS[name]
    [parent] = (await listed.ask(f"{{ {around % 'nodeId'} }}")).values()
    text = f"""query($id: ID!, $size: Int, $after: String) {{ node(nodeId: $id) {{ __typename nodeId ... on {type_} {{
      {field}(first: $size, after: $after) {{ {PAGE} }} }} }} }}"""
    cursors: list[str] = []
    after, more = None, True
    while more:
        node = (await listed.ask(text, id=parent["nodeId"], size=3, after=after))["node"]
        assert (node["__typename"], node["nodeId"]) == (type_, parent["nodeId"])
        # The parent, the list, and for dependants the references to the parent.
        assert listed.commands.reads.total() <= 3
        cursors += [edge["cursor"] for edge in node[field]["edges"]]
        after, more = node[field]["pageInfo"]["endCursor"], node[field]["pageInfo"]["hasNextPage"]
    assert cursors == await walked(listed, name, 100, backwards=False)
