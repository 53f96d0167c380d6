"""Facets of releases: exact counts over all that a filter matches, within one more command."""

import collections
import json
from typing import Any

import pytest

from conftest import LOCAL, connected
from release_catalog.domain import caller, platforms, release_parts, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.storage import facets
from release_catalog.storage.collection_names import RELEASES
from support.catalog import Catalog, source

READER = Caller("local", "reader", frozenset({caller.READ}))
NAMES = ("status", "channel", "packagingType", "platform", "product", "verification")
ALL = " ".join(f"{name} {{ value count }}" for name in NAMES)
FACETS = f"query($filter: ReleaseFilter) {{ releases(filter: $filter, first: 3) {{ nodes {{ id }} facets {{ approximate {ALL} }} }} }}"


def verified(name: str, status: str, platform: str | None = None) -> Any:
    made = release_parts.artifact(
        timestamps.now(), name=name, sha256="0" * 64, size=1, downloadUrl="http://h/f",
        platform=platforms.parsed(platform) if platform else None,
    )  # fmt: skip
    return {**made, "verification": {**made["verification"], "status": status}}


async def stock(catalog: Catalog) -> list[Any]:
    made = []
    for key in ("one", "two"):
        product = await catalog.product(key)
        for number in range(12):
            files = [
                verified(f"f{n}", "VERIFIED" if n % 2 else "PENDING", "Linux/AMD64") for n in range(number % 4)
            ]
            made.append(
                await catalog.put(
                    product, f"{number}", name=f"tool {number % 3}", channel=f"c{number % 5}", artifacts=files,
                    status=["DRAFT", "PUBLISHED", "WITHDRAWN"][number % 3], private=number == 7,
                    packagingType=[None, "OVA"][number % 2], platforms=[platforms.parsed("windows")] * (number % 2),
                )
            )  # fmt: skip
    return made


def expected(documents: list[Any]) -> dict[str, list[tuple[str, int]]]:
    counters: dict[str, collections.Counter[str]] = {name: collections.Counter() for name in NAMES}
    for document in documents:
        for name, field in (
            ("status", "status"),
            ("channel", "channel"),
            ("packagingType", "packagingType"),
            ("product", "productId"),
        ):
            counters[name].update([document[field]] if document[field] else [])
        parts = [*document["platforms"], *(file["platform"] for file in document["artifacts"] if file["platform"])]
        counters["platform"].update({part["name"].lower() for part in parts})
        counters["verification"].update({file["verification"]["status"] for file in document["artifacts"]})
    return {name: sorted(some.items(), key=lambda one: (-one[1], one[0])) for name, some in counters.items()}


def counted(found: Any) -> dict[str, list[tuple[str, int]]]:
    return {name: [(one["value"], one["count"]) for one in found["facets"][name]] for name in NAMES}


async def test_facets_count_all_that_the_filter_matches_and_the_caller_sees(empty: Catalog) -> None:
    made = await stock(empty)
    found = (await empty.ask(FACETS))["releases"]
    assert len(found["nodes"]) == 3
    assert found["facets"]["approximate"] is False
    assert counted(found) == expected(made)
    assert empty.commands.reads == {"releases": 1, "counters": 1}
    seen = [one for one in made if one["status"] != "DRAFT" and not one["private"]]
    assert counted((await empty.seen_by(READER).ask(FACETS))["releases"]) == expected(seen)
    for filter_, chosen in (
        ({"name": "tool 1"}, [one for one in made if one["name"] == "tool 1"]),
        ({"search": "tool", "none": [{"status": ["DRAFT"]}]}, [one for one in made if one["status"] != "DRAFT"]),
        (
            {"any": [{"channel": ["c1"]}, {"private": True}]},
            [o for o in made if o["channel"] == "c1" or o["private"]],
        ),
        ({"productKey": "nobody"}, []),
    ):
        assert counted((await empty.ask(FACETS, filter=filter_))["releases"]) == expected(chosen), filter_
    other = empty.seen_by(caller.local("other"))
    assert counted((await other.ask(FACETS))["releases"]) == expected([])


async def test_a_facet_value_as_a_filter_finds_as_many(empty: Catalog) -> None:
    await stock(empty)
    found = counted((await empty.ask(FACETS))["releases"])
    names = {"product": "productId", "platform": "platform"}
    for name, values in found.items():
        for value, count in values:
            filter_ = {names.get(name, name): value if name in names else [value]}
            query = "query($filter: ReleaseFilter) { releases(filter: $filter) { totalCount } }"
            assert (await empty.ask(query, filter=filter_))["releases"]["totalCount"] == count


async def test_facets_follow_every_change(empty: Catalog) -> None:
    made = await stock(empty)
    query = "{ releases { facets { status { value count } } } }"

    async def statuses() -> dict[str, int]:
        found = (await empty.ask(query))["releases"]["facets"]["status"]
        assert empty.commands.reads == {"counters": 1}
        return {one["value"]: one["count"] for one in found}

    before = await statuses()
    assert await statuses() == before
    draft = next(one for one in made if one["status"] == "DRAFT")
    publish = "mutation($id: ID!) { publishRelease(input: {id: $id}) { problem { detail } } }"
    assert (await empty.ask(publish, id=draft["id"]))["publishRelease"]["problem"] is None
    published = {**before, "DRAFT": before["DRAFT"] - 1, "PUBLISHED": before["PUBLISHED"] + 1}
    assert await statuses() == published
    await empty.load(source("late"))
    assert await statuses() == {**published, "DRAFT": published["DRAFT"] + 1}
    discard = "mutation($id: ID!) { discardRelease(input: {id: $id}) { problem { detail } } }"
    late = (await empty.ask('{ releases(filter: {name: "late"}) { nodes { id } } }'))["releases"]["nodes"][0]["id"]
    assert (await empty.ask(discard, id=late))["discardRelease"]["problem"] is None
    assert await statuses() == published


async def test_what_no_event_tells_counts_after_a_while(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    await stock(empty)
    query = "{ releases { facets { channel { value count } } } }"
    before = await empty.ask(query)
    await empty.database[RELEASES].update_many({}, {"$set": {"channel": "new"}})
    assert await empty.ask(query) == before
    monkeypatch.setattr(facets, "MAX_AGE_SECONDS", -1)
    for channel in ("newer", "newest"):
        await empty.load(source(channel))
        await empty.ask(query)
        await empty.database[RELEASES].update_many({}, {"$set": {"channel": channel}})
        found = (await empty.ask(query))["releases"]["facets"]["channel"]
        assert [one["value"] for one in found] == [channel]


async def test_of_too_many_releases_some_are_counted(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    await stock(empty)
    monkeypatch.setattr(facets, "MAX_COUNTED", 23)
    query = "{ releases { facets { approximate product { count } } } }"
    found = (await empty.ask(query))["releases"]["facets"]
    assert found["approximate"] is True
    assert sum(one["count"] for one in found["product"]) == 24
    monkeypatch.setattr(facets, "MAX_COUNTED", 24)
    await empty.load(source("late"), source("later"))
    one = '{ releases(filter: {productKey: "one"}) { facets { approximate } } }'
    assert (await empty.ask(one))["releases"]["facets"]["approximate"] is False
    assert (await empty.ask(query))["releases"]["facets"]["approximate"] is True


async def test_the_fifty_most_frequent_values_are_listed(empty: Catalog) -> None:
    product = await empty.product("tool")
    for number in range(60):
        await empty.put(product, f"{number}", channel=f"c{number:02d}")
    await empty.put(product, "60", channel="c59")
    found = (await empty.ask("{ releases { facets { channel { value count } } } }"))["releases"]["facets"][
        "channel"
    ]
    assert [one["value"] for one in found] == ["c59", *(f"c{number:02d}" for number in range(49))]
    assert found[0]["count"] == 2


async def test_only_requested_facets_are_counted(empty: Catalog) -> None:
    await stock(empty)
    await empty.ask("{ releases { facets { channel { value } } } }")
    [command] = empty.commands.sent
    assert "$channel" in str(command)
    assert "artifacts" not in str(command)
    assert "packagingType" not in str(command)
    assert "COLLSCAN" not in str(await plan(empty, command))


async def test_facets_of_each_product_are_one_command(empty: Catalog) -> None:
    made = await stock(empty)
    query = (
        f"{{ products {{ nodes {{ id releases(filter: {{status: [PUBLISHED]}}) {{ facets {{ {ALL} }} }} }} }} }}"
    )
    for _ in range(2):
        found = (await empty.ask(query))["products"]["nodes"]
        assert empty.commands.reads == {"products": 1, "counters": 1}
        for product in found:
            chosen = [one for one in made if one["productId"] == product["id"] and one["status"] == "PUBLISHED"]
            assert counted(product["releases"]) == expected(chosen)


async def test_facets_of_environments_and_dependants(empty: Catalog) -> None:
    await empty.load(source("lib"), source("app", needs=["lib"]))
    query = '{ releases(filter: {name: "lib"}) { nodes { dependants { facets { status { value count } } } } } }'
    [lib] = (await empty.ask(query))["releases"]["nodes"]
    assert lib["dependants"]["facets"]["status"] == [{"value": "DRAFT", "count": 1}]


async def plan(catalog: Catalog, command: dict[str, Any]) -> Any:
    plain = {name: value for name, value in command.items() if name not in {"lsid", "$db", "$clusterTime"}}
    return await catalog.database.command("explain", plain, verbosity="executionStats")


async def test_facets_are_right_directly_after_each_kind_of_write(empty: Catalog, mongodb_url: str) -> None:
    """In the process that writes, and in another one."""
    product = await empty.product("tool", id="p", _id="local/p")
    files = [verified("f", "MISMATCH")]
    made = await empty.put(product, "1", artifacts=files, delivery=None)
    id_ = made["id"]
    writes: list[tuple[str, dict[str, Any], int]] = [
        ("patchRelease(input: {id: $id, name: \"tool\", notes: \"zebra\"})", {"search": "zebra"}, 1),
        ("patchRelease(input: {id: $id, name: \"tool\", notes: \"lion\"})", {"search": "zebra"}, 0),
        ("patchRelease(input: {id: $id, name: \"tool\", branch: \"main\"})", {"branch": "main"}, 1),
        ("replaceRelease(input: {id: $id, name: \"tool\", notes: \"tiger\"})", {"search": "tiger"}, 1),
        ("saveProduct(input: {id: \"p\", key: \"tool\", name: \"Hammer\"})", {"search": "hammer"}, 1),
        ("saveProduct(input: {id: \"p\", key: \"nail\", name: \"Hammer\"})", {"productKey": "nail"}, 1),
        ("saveProduct(input: {id: \"p\", key: \"nail\", name: \"Hammer\", versionScheme: DOTTED})",
         {"productId": "p", "constraint": ">=1"}, 1),
        ("createRelease(input: {productId: \"p\", name: \"tool\", version: \"2.0\"})", {"version": "2.0"}, 1),
    ]  # fmt: skip
    query = "query($filter: ReleaseFilter) { releases(filter: $filter) { facets { product { value count } } } }"
    async with connected(mongodb_url, empty.database.name) as database:
        other = Catalog(database, LOCAL)
        for write, filter_, count in writes:
            for catalog in (empty, other):
                await catalog.ask(query, filter=filter_)
            text = f"mutation {{ {write.replace('$id', json.dumps(id_))} {{ problem {{ detail }} }} }}"
            [answer] = (await empty.ask(text)).values()
            assert answer["problem"] is None, write
            for catalog in (empty, other):
                found = (await catalog.ask(query, filter=filter_))["releases"]["facets"]["product"]
                assert found == ([{"value": "p", "count": count}] if count else []), write
        verify = "mutation($id: ID!) { verifyArtifacts(input: {releaseId: $id, verification: SKIP}) { problem { detail } } }"
        counts = '{ releases(filter: {version: "1"}) { facets { verification { value } } } }'
        await other.ask(counts)
        assert (await empty.ask(verify, id=id_))["verifyArtifacts"]["problem"] is None
        assert await other.ask(counts) == await empty.ask(counts)


async def test_facets_of_a_constraint_are_one_more_command(empty: Catalog) -> None:
    """Before and after changes of the scheme, which a new process does not know yet."""
    product = await empty.product("tool", "SEMVER", id="p", _id="local/p")
    for version in ("1.0.0", "1.1.0-rc.1", "2.0.0"):
        await empty.put(product, version)
    query = """query($facets: Boolean!) { releases(filter: {productId: "p", constraint: "<2"}) {
      nodes { version } facets @include(if: $facets) { product { count } } } }"""
    save = 'mutation($scheme: VersionScheme!) { saveProduct(input: {id: "p", key: "tool", name: "Tool", versionScheme: $scheme}) { problem { detail } } }'
    for scheme, count in (("SEMVER", 1), ("ANY", 2), ("SEMVER", 1)):
        assert (await empty.ask(save, scheme=scheme))["saveProduct"]["problem"] is None
        found = (await empty.ask(query, facets=True))["releases"]
        assert found["facets"]["product"] == [{"count": count}]
        assert len(found["nodes"]) == count
        await empty.ask(query, facets=False)
        without = sum(empty.commands.reads.values())
        found = (await empty.ask(query, facets=True))["releases"]
        assert sum(empty.commands.reads.values()) == without + 1
        assert found["facets"]["product"] == [{"count": count}]
