"""The reads, the bounds and the price of a walk along dependencies."""

from typing import Any

import pytest
from graphql import parse
from pymongo import AsyncMongoClient

from release_catalog.domain import dependency_graph as graphs
from release_catalog.graphql_api.schema import schema
from release_catalog.query_engine import executor
from release_catalog.query_engine.context import Context
from release_catalog.storage import dependency_traversal
from release_catalog.storage.collection_names import RELEASES
from release_catalog.storage.database import ReadOnlyDatabase
from support.catalog import Catalog, source

WALKED = {*dependency_traversal.START, *(dependency_traversal.WALKED or ()), "_id", "private", "name", "id"}
GRAPH = """query($id: ID!, $direction: GraphDirection!) { release(id: $id) {
  dependencyGraph(direction: $direction, maxNodes: 5000) { %s } } }"""


async def walk(catalog: Catalog, id_: str, direction: str, asked: str) -> Any:
    data = await catalog.ask(GRAPH % asked, id=id_, direction=direction)
    return data["release"]["dependencyGraph"]


def read(catalog: Catalog) -> list[set[str]]:
    """Return the fields of releases that each command has read."""
    found = [command for command in catalog.commands.sent if command.get("find") == "releases"]
    return [set(command["projection"]) for command in found]


@pytest.mark.parametrize("direction", ["DEPENDENCIES", "DEPENDANTS"])
async def test_a_walk_reads_names_and_references_alone(empty: Catalog, direction: str) -> None:
    chain = {str(n): [str(n + 1)] if n < 5 else [] for n in range(6)}
    await empty.load(*(source(name, needs=needs, metadata={"k": 1}) for name, needs in chain.items()))
    start = await empty.database[RELEASES].find_one({"name": "0" if direction == "DEPENDENCIES" else "5"})
    assert start
    for asked in ("nodeCount", "nodes { id name status } edges { fromId toId } cycles"):
        await walk(empty, start["id"], direction, asked)
        assert all(fields <= WALKED for fields in read(empty)), read(empty)
    few = len(read(empty))
    found = await walk(empty, start["id"], direction, "nodes { name metadata }")
    assert len(found["nodes"]) == 5
    assert found["nodes"][0]["metadata"] == {"k": 1}
    *walked, last = read(empty)
    assert len(walked) == few
    assert last == {"id", "name", "metadata", "_id"}


@pytest.mark.parametrize("driver", [AsyncMongoClient])
@pytest.mark.parametrize("direction", ["DEPENDENCIES", "DEPENDANTS"])
async def test_references_are_bounded(empty: Catalog, direction: str) -> None:
    """A million references are not all examined: the graph is truncated."""
    leaf, product = await empty.product("leaf"), await empty.product("wide")
    count, each = 110, 999
    root = await empty.put(
        leaf, "1", dependencies=[{"name": "wide", "version": str(number)} for number in range(count)]
    )
    for number in range(count):
        nowhere = [{"name": f"nowhere {number} {other}", "version": "1"} for other in range(each)]
        await empty.put(product, str(number), dependencies=[{"name": "leaf", "version": "1"}, *nowhere])
    found = await walk(empty, root["id"], direction, "nodeCount truncated edges { fromId } depth")
    assert found["truncated"]
    assert found["nodeCount"] == count
    assert found["depth"] == 1
    assert count < len(found["edges"]) <= 2 * count
    document = executor.Document(schema._schema, parse(GRAPH % "nodeCount"))
    context = Context(empty.caller, empty.database, reading=ReadOnlyDatabase(empty.database))
    variables = {"id": root["id"], "direction": direction}
    await executor.answer(document, schema._schema, context, variables, None)
    assert context.usage.references == dependency_traversal.MAX_REFERENCES
    assert context.usage.walked == count
    assert context.usage.points >= 500


async def test_levels_wider_than_a_look_up_are_whole(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependency_traversal, "AT_ONCE", 3)
    monkeypatch.setattr(dependency_traversal, "_SMALL_LEVEL", 2)
    wide = [f"w{number}" for number in range(20)]
    sources = [source(name, needs=["bottom", *([wide[at - 1]] if at else [])]) for at, name in enumerate(wide)]
    await empty.load(source("top", needs=wide), *sources, source("bottom", needs=["gone"]))
    ids = {one["name"]: one["id"] async for one in empty.database[RELEASES].find()}
    asked = "nodeCount edges { fromId toId } depth truncated unresolved { name version releaseId }"
    down = await walk(empty, ids["top"], "DEPENDENCIES", asked)
    up = await walk(empty, ids["bottom"], "DEPENDANTS", asked)
    assert down["unresolved"] == [{"name": "gone", "version": "1.0", "releaseId": None}]
    assert up["unresolved"] == []
    assert (down["nodeCount"], down["depth"]) == (up["nodeCount"], up["depth"]) == (21, 2)
    edges = {(edge["fromId"], edge["toId"]) for edge in down["edges"]}
    assert len(edges) == len(down["edges"]) == 20 + 20 + 19
    assert {(edge["fromId"], edge["toId"]) for edge in up["edges"]} == edges
    assert not down["truncated"]
    assert not up["truncated"]


async def test_a_dry_run_shows_what_its_release_would_reach(empty: Catalog) -> None:
    await empty.load(source("lib"))
    product = await empty.product("app")
    create = """mutation($input: CreateReleaseInput!) { createRelease(input: $input) { problem { detail } release { id name
      dependencyGraph { nodes { name notes } unresolved { name } nodeCount } dependencyPaths(toId: "%s") { length
      releases { name } } } } }"""
    lib = await empty.database[RELEASES].find_one({"name": "lib"})
    assert lib
    needs = [{"name": "lib", "version": "1.0"}, {"name": "gone", "version": "2"}]
    fields = {"productId": product["id"], "name": "app", "version": "1.0", "dependencies": needs, "dryRun": True}
    # A reference by name leads within one catalog, which is that of the product.
    made = (await empty.ask(create % lib["id"], input=fields))["createRelease"]["release"]
    assert made["dependencyGraph"] == {
        "nodes": [{"name": "lib", "notes": None}], "unresolved": [{"name": "gone"}], "nodeCount": 1,
    }  # fmt: skip
    assert made["dependencyPaths"] == [{"length": 1, "releases": [{"name": "app"}, {"name": "lib"}]}]


def test_cycles_give_way_to_others() -> None:
    edges = {str(node): [str((node + step) % 300) for step in range(1, 200)] for node in range(300)}
    steps = graphs.cycle_steps(edges)
    turns = sum(1 for _ in steps)
    assert turns >= 300 * 199 // graphs.STEP // 2
    assert len(graphs.cycles(edges)) == 1
