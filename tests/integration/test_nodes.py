"""Documents by their node ids: of every type, in one read of each collection, within the caller's visibility."""

from typing import Any

import pytest
from graphql import GraphQLInterfaceType

from release_catalog.domain import node_ids
from release_catalog.domain.caller import ADMIN, READ, WEBHOOK, Caller, local
from release_catalog.domain.promotion import content_id
from release_catalog.graphql_api import nodes
from release_catalog.graphql_api.schema import schema
from release_catalog.storage import bulk_load
from release_catalog.storage.collection_names import CONTENTS
from support import tenant_walls as walls
from support.catalog import Catalog
from support.promotions import file, published

NODE = "query($id: ID!) { node(nodeId: $id) { __typename nodeId } }"
NODES = "query($ids: [ID!]!) { nodes(nodeIds: $ids) { __typename nodeId } }"
# The collections of the types.
COLLECTIONS = {type_: str(kind.collection) for type_, kind in nodes._KINDS.items()}


@pytest.fixture
async def stock(empty: Catalog) -> dict[str, str]:
    """A node id of each type, by the type."""
    await walls.stock(empty)
    values = walls.world()
    return {
        type_: node_ids.encode(type_, values[kind], values["release"] if type_ == "Artifact" else None)
        for type_, kind in walls.NODES.items()
    }


def test_every_type_with_a_node_id_can_be_read_by_it() -> None:
    node = schema._schema.type_map["Node"]
    assert isinstance(node, GraphQLInterfaceType)
    implementations = {type_.name for type_ in schema._schema.get_implementations(node).objects}
    assert implementations == nodes._KINDS.keys() == walls.NODES.keys()


async def test_each_type_is_read_once_by_its_node_id(empty: Catalog, stock: dict[str, str]) -> None:
    for type_, id_ in stock.items():
        assert (await empty.ask(NODE, id=id_))["node"] == {"__typename": type_, "nodeId": id_}
        assert empty.commands.reads == {COLLECTIONS[type_]: 1}


async def test_many_documents_of_all_types_take_one_read_of_each_collection(
    empty: Catalog, stock: dict[str, str]
) -> None:
    product = await empty.product("many")
    made = [await empty.put(product, f"1.{at}", status="PUBLISHED") for at in range(80)]
    more = [node_ids.encode("Release", release["id"]) for release in made]
    ids = [*stock.values(), "x", *more, stock["Catalog"], node_ids.encode("Release", "nobody")]
    found = (await empty.ask(NODES, ids=ids))["nodes"]
    assert [node and node["nodeId"] for node in found] == [None if id_ in {"x", ids[-1]} else id_ for id_ in ids]
    assert [node and node["__typename"] for node in found[: len(stock)]] == list(stock)
    assert set(empty.commands.reads) == set(COLLECTIONS.values())
    assert set(empty.commands.reads.values()) == {1}


async def test_several_fields_share_the_reads(empty: Catalog, stock: dict[str, str]) -> None:
    text = """query($a: ID!, $b: ID!, $many: [ID!]!) { a: node(nodeId: $a) { nodeId } b: node(nodeId: $b) { nodeId }
      nodes(nodeIds: $many) { ... on Release { name artifacts { nodeId } } } }"""
    answer = await empty.ask(
        text, a=stock["Release"], b=stock["Artifact"], many=[stock["Release"], stock["Event"]]
    )
    assert answer["nodes"] == [{"name": "areal-name", "artifacts": [{"nodeId": stock["Artifact"]}]}, {}]
    assert empty.commands.reads == {"releases": 1, "events": 1}


async def test_fields_of_nodes_are_read_a_level_at_a_time(empty: Catalog, stock: dict[str, str]) -> None:
    text = """query($ids: [ID!]!) { nodes(nodeIds: $ids) { ...OfRelease
      ... on Product { latestRelease { name } releases { nodes { id } } } ... on Node { nodeId }
      ... on Artifact { name release { product { nodeId } } verification { status } }
      ... on Promotion { release { product { key } } } } }
      fragment OfRelease on Release { version product { nodeId } dependencies { nodes { nodeId } } }"""
    ids = [stock[type_] for type_ in ("Release", "Product", "Artifact", "Promotion", "Pipeline")]
    found = (await empty.ask(text, ids=[*ids, ids[0]]))["nodes"]
    assert found[0]["product"] == {"nodeId": stock["Product"]} == found[2]["release"]["product"]
    assert found[0] == found[5]
    assert found[1]["releases"]["nodes"]
    assert found[3] == {"nodeId": ids[3], "release": {"product": {"key": "areal-key"}}}
    assert found[4] == {"nodeId": ids[4]}
    # The nodes; the pages, references and releases of the second level; the products of the third.
    assert empty.commands.reads["products"] == 2
    assert empty.commands.reads["promotions"] == empty.commands.reads["pipelines"] == 1


async def test_the_node_ids_of_answers_are_those_that_are_read(stocked: Catalog) -> None:
    text = """{ releases(first: 50) { nodes { nodeId artifacts { nodeId id name } product { nodeId catalog { nodeId } } } }
      events { nodes { nodeId } } promotions { nodes { nodeId } }
      environments { nodeId contents { nodes { nodeId } } } }"""
    data = await stocked.ask(text)
    ids = dict.fromkeys(_node_ids(data))
    some = [*list(ids)[:50], *list(ids)[-50:]]
    found = (await stocked.ask(NODES, ids=some))["nodes"]
    assert [node["nodeId"] for node in found] == some
    assert {"Release", "Product", "Catalog", "EnvironmentContent"} <= {node["__typename"] for node in found}


def _node_ids(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["nodeId"]] if "nodeId" in value else []
        return own + [id_ for inner in value.values() for id_ in _node_ids(inner)]
    return [id_ for inner in value for id_ in _node_ids(inner)] if isinstance(value, list) else []


async def test_files_of_one_id_in_two_releases_have_two_node_ids(empty: Catalog) -> None:
    same = file("a.deb")
    releases = [await published(empty, {**same, "name": name}, key=name) for name in ("one", "two")]
    ids = [node_ids.encode("Artifact", same["id"], release) for release in releases]
    text = "query($ids: [ID!]!) { nodes(nodeIds: $ids) { ... on Artifact { name release { id } } } }"
    found = (await empty.ask(text, ids=ids))["nodes"]
    assert found == [{"name": n, "release": {"id": r}} for n, r in zip(("one", "two"), releases, strict=True)]


async def test_contents_of_names_with_slashes_differ(empty: Catalog) -> None:
    """The content a/b of QA is not the content b of QA/a, and a path of another environment is none."""
    release = await published(empty, file("x"))
    places = [("QA", "a/b"), ("QA/a", "b"), ("QA", "c")]
    for number, (environment, path) in enumerate(places):
        content: Any = {
            "id": str(number),
            "environment": environment,
            "path": path,
            "checksum": str(number),
            "packageType": "generic",
            "releaseId": release,
            "promotionId": "p",
        }
        assert await bulk_load.put(empty.caller, empty.database, CONTENTS, [content]) == 1
    ids = [node_ids.encode("EnvironmentContent", content_id(*place)) for place in [*places, ("QA/a", "c")]]
    text = "query($ids: [ID!]!) { nodes(nodeIds: $ids) { nodeId ... on EnvironmentContent { path checksum } } }"
    found = (await empty.ask(text, ids=ids))["nodes"]
    assert [node and (node["path"], node["checksum"]) for node in found] == [
        ("a/b", "0"),
        ("b", "1"),
        ("c", "2"),
        None,
    ]
    assert [node and node["nodeId"] for node in found] == [*ids[:3], None]
    assert empty.commands.reads == {"contents": 1}


@pytest.mark.parametrize("bad", ["", "x", "=", "\ud7ff", "UmVsZWFzZTph=", "a" * 1_500])
async def test_what_is_no_node_id_is_null(empty: Catalog, bad: str) -> None:
    assert await empty.ask(NODE, id=bad) == {"node": None}
    assert await empty.ask(NODES, ids=[bad, bad]) == {"nodes": [None, None]}
    assert empty.commands.reads == {}


async def test_types_without_node_ids_and_parts_of_others_are_null(empty: Catalog, stock: dict[str, str]) -> None:
    release, artifact = node_ids.decode(stock["Release"], frozenset()), stock["Artifact"]
    assert release
    for id_ in (
        node_ids.encode("Viewer", "x"),
        node_ids.encode("Release", ""),
        node_ids.encode("PipelineExecution", "areal-run"),
        # The id of a release where the id of one of its files must stand, and the other way round.
        node_ids.encode("Artifact", release.id, release.id),
        node_ids.encode("Artifact", release.id),
        node_ids.encode("Release", "areal-file"),
        node_ids.encode("Artifact", "areal-file", "areal-base"),
    ):
        assert await empty.ask(NODE, id=id_) == {"node": None}
        assert (await empty.ask(NODES, ids=[stock["Release"], id_, artifact]))["nodes"][1] is None


async def test_more_than_a_hundred_ids_are_refused(empty: Catalog) -> None:
    error = await empty.error(NODES, ids=["x"] * 101)
    assert error["message"] == "nodeIds: the list has 101 ids: give at most 100."
    assert (await empty.ask(NODES, ids=["x"] * 100))["nodes"] == [None] * 100


async def test_other_tenants_read_no_node(empty: Catalog, stock: dict[str, str]) -> None:
    stranger = empty.seen_by(local("stranger"))
    ids = list(stock.values())
    assert (await stranger.ask(NODES, ids=ids))["nodes"] == [None] * len(ids)


async def test_what_is_hidden_is_null(empty: Catalog, stock: dict[str, str]) -> None:
    reader = empty.seen_by(Caller("local", "reader", frozenset({READ})))
    for suffix in ("-draft", "-private"):
        hidden = walls.world(suffix)
        ids = [
            node_ids.encode("Release", hidden["release"]),
            node_ids.encode("Artifact", hidden["file"], hidden["release"]),
            node_ids.encode("Promotion", hidden["promotion"]),
            node_ids.encode("EnvironmentContent", hidden["content"]),
            node_ids.encode("Event", hidden["event"]),
        ]
        assert None not in (await empty.ask(NODES, ids=ids))["nodes"]
        assert (await reader.ask(NODES, ids=ids))["nodes"] == [None] * 5
        for id_ in ids:
            assert (await reader.ask(NODE, id=id_))["node"] is None
    seen = [stock[type_] for type_ in ("Release", "Artifact", "Promotion", "EnvironmentContent", "Event")]
    assert [node["nodeId"] for node in (await reader.ask(NODES, ids=seen))["nodes"]] == seen


@pytest.mark.parametrize("scope", [READ, WEBHOOK, ADMIN, None])
async def test_a_node_needs_the_scope_of_its_type(
    empty: Catalog, stock: dict[str, str], scope: str | None
) -> None:
    """Whether it exists makes no difference, and the other nodes of the answer stay."""
    some = empty.seen_by(Caller("local", "some", frozenset({scope} if scope else ())))
    needed = {type_: kind.scope for type_, kind in nodes._KINDS.items()}
    for type_, id_ in stock.items():
        unreal = node_ids.encode(type_, "nobody", "nobody" if type_ == "Artifact" else None)
        allowed = some.caller.may(needed[type_])
        for node_id in (id_, unreal):
            response = await some.respond(NODE, id=node_id)
            assert [e["extensions"]["code"] for e in response.get("errors", ())] == ["FORBIDDEN"] * (not allowed)
    response = await some.respond(NODES, ids=list(stock.values()))
    # A webhook of an administrator shows more than who only has the scope of webhooks may see.
    shown = {
        t for t, s in needed.items() if some.caller.may(s) and not (t.startswith("Webhook") and scope == WEBHOOK)
    }
    assert {node["__typename"] for node in response["data"]["nodes"] if node} == shown
    refused = {error["path"][1] for error in response.get("errors", ())}
    assert refused == {at for at, type_ in enumerate(stock) if not some.caller.may(needed[type_])}


@pytest.mark.parametrize("type_", walls.NODES)
async def test_a_node_is_found_by_an_index(empty: Catalog, stock: dict[str, str], type_: str) -> None:
    reader = empty.seen_by(
        Caller("local", "reader", frozenset({READ, WEBHOOK, ADMIN} if type_ == "AccessToken" else {READ, WEBHOOK}))
    )
    await reader.respond(NODES, ids=[stock[type_]])
    [command] = empty.commands.sent
    plain = {name: value for name, value in command.items() if name not in {"lsid", "$db", "$clusterTime"}}
    plan = str(await empty.database.command("explain", plain, verbosity="queryPlanner"))
    assert "COLLSCAN" not in plan
    assert "IXSCAN" in plan or "IDHACK" in plan or "EXPRESS" in plan
