"""The same catalog over PyMongo's asynchronous API, over a Motor database, and on mongomock-motor."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient

from catalog import Catalog, source
from conftest import LOCAL
from release_catalog.store import database as db
from release_catalog.store import indexes, loading

# Pages of many parents at once, other orders within a filter and exact sorting of versions need a real server.
REAL = ["pymongo", "motor"]
ALL = [*REAL, "mock"]


@pytest.fixture
async def catalog(request: pytest.FixtureRequest, mongodb_url: str) -> AsyncIterator[Catalog]:
    """A catalog over the driver that the test is for, with a few releases."""
    name = f"driver_{uuid.uuid4().hex}"
    if request.param == "mock":
        # It knows no concerns, so that there is nothing for db.prepared to set.
        client: Any = AsyncMongoMockClient(tz_aware=True)
        catalog = Catalog(client[name], LOCAL)
    else:
        client = {"pymongo": AsyncMongoClient, "motor": AsyncIOMotorClient}[request.param](mongodb_url)
        catalog = Catalog(db.prepared(client[name]), LOCAL)
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
    yield catalog
    await client.drop_database(name)
    closing = client.close()
    if closing is not None:
        await closing


over = pytest.mark.parametrize("catalog", ALL, indirect=True)
over_real = pytest.mark.parametrize("catalog", REAL, indirect=True)


@over
async def test_pages_filters_and_counts(catalog: Catalog) -> None:
    query = """query($after: String) { releases(filter: {tag: "odd"}, first: 2, after: $after) {
      totalCount nodes { name } pageInfo { hasNextPage endCursor } } }"""
    first = (await catalog.ask(query))["releases"]
    second = (await catalog.ask(query, after=first["pageInfo"]["endCursor"]))["releases"]
    assert first["totalCount"] == 3
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)
    names = {node["name"] for page in (first, second) for node in page["nodes"]}
    assert names == {"tool 1", "tool 3", "tool 5"}


@over
async def test_relations(catalog: Catalog) -> None:
    data = await catalog.ask("""{ releases(filter: {name: "lib"}) { nodes { metadata product { key catalog { name } }
      dependencies { nodes { name metadata } } dependants(first: 3) { totalCount nodes { name } pageInfo { hasNextPage } }
      dependencyGraph { nodeCount } } } }""")
    [lib] = data["releases"]["nodes"]
    assert lib["product"] == {"key": "lib", "catalog": {"name": "Default catalog"}}
    assert lib["dependencies"]["nodes"] == [{"name": "base", "metadata": {"$set": {"a.b": 1}}}]
    assert (lib["dependants"]["totalCount"], len(lib["dependants"]["nodes"])) == (7, 3)
    assert lib["dependencyGraph"] == {"nodeCount": 1}


@over
async def test_instants_come_back_in_utc(catalog: Catalog) -> None:
    data = await catalog.ask('{ releases(filter: {name: "lib"}) { nodes { createdAt } } }')
    assert data["releases"]["nodes"] == [{"createdAt": "2026-01-01T00:00:00Z"}]


@over
async def test_loading_again_changes_nothing(catalog: Catalog) -> None:
    again = await catalog.load(source("lib", needs=["base"]), source("new"))
    assert (again.added, again.present) == (1, 1)


@over
async def test_an_export_is_what_was_loaded(catalog: Catalog) -> None:
    found = [document async for document in loading.export(LOCAL, catalog.database)]
    assert {document["name"] for document in found} == {f"tool {n}" for n in range(7)} | {"lib", "base"}
    assert source("lib", needs=["base"]) in found


@over_real
async def test_pages_of_many_parents_and_other_orders(catalog: Catalog) -> None:
    data = await catalog.ask("""{ releases(filter: {tag: "odd"}, orderBy: {field: NAME, direction: ASC}) { nodes { name
      latestRelease { version } promotions { totalCount nodes { id } }
      dependencies { nodes { name dependants(first: 2) { totalCount nodes { name } } } } } } }""")
    nodes = data["releases"]["nodes"]
    assert [node["name"] for node in nodes] == ["tool 1", "tool 3", "tool 5"]
    for node in nodes:
        assert node["latestRelease"] == {"version": "1.0"}
        assert node["promotions"] == {"totalCount": 0, "nodes": []}
        [lib] = node["dependencies"]["nodes"]
        assert (lib["dependants"]["totalCount"], len(lib["dependants"]["nodes"])) == (7, 2)
