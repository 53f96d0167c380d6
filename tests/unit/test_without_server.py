"""The catalog on mongomock-motor, for applications that test without a server.

Pages of many parents at once, and other orders within a filter, need a real MongoDB.
"""

from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient

from conftest import LOCAL
from release_catalog.domain.caller import Caller, local
from release_catalog.storage import bulk_load, indexes, visibility
from support.catalog import Catalog, source


@pytest.fixture
async def catalog() -> Catalog:
    """A catalog without a server. The mock knows no concerns, so there is nothing for db.prepared to set."""
    client: Any = AsyncMongoMockClient(tz_aware=True)
    catalog = Catalog(client["catalog"], LOCAL)
    await indexes.ensure(catalog.database)
    await catalog.load(
        *(
            source(f"tool {number}", needs=["lib"], tag="even" if number % 2 == 0 else "odd")
            for number in range(7)
        ),
        source("lib", needs=["base"]),
        source("base", metadata={"$set": {"a.b": 1}}),
        publish=True,
    )
    return catalog


async def test_pages_filters_and_counts(catalog: Catalog) -> None:
    query = """query($after: String) { releases(filter: {tag: "odd"}, first: 2, after: $after) {
      totalCount nodes { name } pageInfo { hasNextPage endCursor } } }"""
    first = (await catalog.ask(query))["releases"]
    second = (await catalog.ask(query, after=first["pageInfo"]["endCursor"]))["releases"]
    assert first["totalCount"] == 3
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)
    names = {node["name"] for page in (first, second) for node in page["nodes"]}
    assert names == {"tool 1", "tool 3", "tool 5"}


async def test_relations(catalog: Catalog) -> None:
    data = await catalog.ask("""{ releases(filter: {name: "lib"}) { nodes { metadata product { key catalog { name } }
      dependencies { nodes { name metadata } } dependants(first: 3) { totalCount nodes { name } pageInfo { hasNextPage } }
      dependencyGraph { nodeCount } } } }""")
    [lib] = data["releases"]["nodes"]
    assert lib["product"] == {"key": "lib", "catalog": {"name": "Default catalog"}}
    assert lib["dependencies"]["nodes"] == [{"name": "base", "metadata": {"$set": {"a.b": 1}}}]
    assert (lib["dependants"]["totalCount"], len(lib["dependants"]["nodes"])) == (7, 3)
    assert lib["dependencyGraph"] == {"nodeCount": 1}


async def test_instants_come_back_in_utc(catalog: Catalog) -> None:
    data = await catalog.ask('{ releases(filter: {name: "lib"}) { nodes { createdAt } } }')
    assert data["releases"]["nodes"] == [{"createdAt": "2026-01-01T00:00:00Z"}]


async def test_loading_again_changes_nothing(catalog: Catalog) -> None:
    again = await catalog.load(source("lib", needs=["base"]), source("new"))
    assert (again.added, again.present) == (1, 1)


async def test_an_export_is_what_was_loaded(catalog: Catalog) -> None:
    found = [document async for document in bulk_load.export(LOCAL, catalog.database)]
    assert {document["name"] for document in found} == {f"tool {n}" for n in range(7)} | {"lib", "base"}
    [lib] = [document for document in found if document["name"] == "lib"]
    assert lib == {"id": lib["id"], **source("lib", needs=["base"])}


async def test_visibility_follows_the_scopes() -> None:
    client: Any = AsyncMongoMockClient()
    kinds = [
        (status, private)
        for status in ("DRAFT", "PUBLISHED", "WITHDRAWN", "ARCHIVED")
        for private in (False, True)
    ]
    some = client["catalog"].releases
    await some.insert_many([{"tenantId": "t", "status": status, "private": private} for status, private in kinds])

    async def seen(caller: Caller) -> list[tuple[str, bool]]:
        return [(found["status"], found["private"]) async for found in some.find(visibility.visible(caller))]

    reader = Caller("t", "x", frozenset({"release:read"}))
    assert await seen(reader) == [("PUBLISHED", False), ("WITHDRAWN", False), ("ARCHIVED", False)]
    assert await seen(local("t")) == kinds
    assert await seen(local("another")) == []
