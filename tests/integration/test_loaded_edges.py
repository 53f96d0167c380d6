"""Edges of published loads are those of the same releases when they are created and published one by one."""

import io
import uuid
from typing import Any

import orjson
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from release_catalog.cli import load as bulk
from release_catalog.domain.caller import local
from release_catalog.storage import bulk_load
from release_catalog.storage.collection_names import RELEASES
from support.catalog import Catalog, source

Json = dict[str, Any]
CREATE = (
    "mutation($i: CreateReleaseInput!) { done: createRelease(input: $i) { release { id } problem { detail } } }"
)
PUBLISH = "mutation($id: ID!) { done: publishRelease(input: {id: $id}) { problem { detail } } }"
EDGES = """{ releases(first: 100) { nodes { id
  dependencies { edges { reference { releaseId name version } node { id } } } dependants { nodes { id } } } } }"""


def line(
    id_: str, product: str = "a", name: str = "x", revision: str = "0", needs: tuple[str, str] | None = None
) -> Json:
    needed = [{"catalogId": needs[0] or None, "name": needs[1], "version": "1.0"}] if needs else []
    return source(name, project=product, id=id_, revision=revision, dependencies=needed)


async def one_by_one(catalog: Catalog, lines: list[Json]) -> None:
    """Create and publish what the lines of a file describe."""
    products = {key: (await catalog.product(key))["id"] for key in ("a", "b")}
    for document in lines:
        fields: Json = {
            name: document[name] for name in ("id", "name", "version", "revision", "author", "createdAt")
        }
        fields["productId"] = products[document["project"]]
        fields["dependencies"] = [
            {"releaseId": one["catalogId"], "name": one["name"], "version": one["version"]}
            for one in document["dependencies"]
        ]
        answer = (await catalog.ask(CREATE, i=fields))["done"]
        if answer["problem"] is None:
            assert (await catalog.ask(PUBLISH, id=document["id"]))["done"]["problem"] is None


async def load(catalog: Catalog, lines: list[Json]) -> None:
    loader = bulk.Loader(catalog.caller, bulk.Report(0), "default", publish=True, stop=False)
    await loader.run(catalog.database, io.BytesIO(b"\n".join(map(orjson.dumps, lines))))


async def edges(catalog: Catalog) -> list[Any]:
    nodes = (await catalog.ask(EDGES))["releases"]["nodes"]
    for node in nodes:
        node["dependants"]["nodes"].sort(key=lambda one: one["id"])
    return sorted(nodes, key=lambda node: str(node["id"]))


names = st.sampled_from(["x", "y"])
lines = st.builds(
    line,
    st.sampled_from(["1", "2", "3", "4", "5"]),
    st.sampled_from(["a", "b"]),
    names,
    st.sampled_from(["0", "1"]),
    st.one_of(st.none(), st.tuples(st.sampled_from(["", "1", "2", "3", "4", "5", "nobody"]), names)),
)


@given(st.lists(lines, min_size=1, max_size=6))
@example([line("1", name="y", needs=("2", "x")), line("2")])
@example([line("1", name="y", needs=("2", "x")), line("2"), line("3", revision="1")])
@example([line("1", name="y", needs=("2", "x")), line("3", product="b"), line("2")])
@example([line("3", product="b"), line("2"), line("1", name="y", needs=("", "x"))])
@example([line("2"), line("1", name="y", needs=("2", "y"))])
@example([line("1", name="y", needs=("2", "y")), line("2")])
@example([line("4", name="x"), line("2", name="x"), line("1", name="y", needs=("2", "x"))])
@example(
    [line("2", needs=("1", "y")), line("1"), line("1", "b", revision="1"), line("1", "b", name="y", revision="1")]
)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_load_has_the_edges_of_the_api(empty: Catalog, documents: list[Json]) -> None:
    by_api, by_load = (empty.seen_by(local(uuid.uuid4().hex)) for _ in range(2))
    await one_by_one(by_api, documents)
    await load(by_load, documents)
    assert await edges(by_load) == await edges(by_api)


async def test_batches_that_are_stored_at_once_lead_by_id_too(empty: Catalog, monkeypatch: Any) -> None:
    monkeypatch.setattr(bulk_load, "BATCH", 1)
    apps = [
        line(f"app{number}", "b", name=f"app{number}", revision=str(number), needs=("lib", "x"))
        for number in range(8)
    ]
    await load(empty, [*apps[:4], line("lib"), *apps[4:]])
    found = {node["id"]: node for node in await edges(empty)}
    assert [one["id"] for one in found["lib"]["dependants"]["nodes"]] == [f"app{number}" for number in range(8)]
    stored = [one async for one in empty.database[RELEASES].find({"terms": "needs:#lib"})]
    assert len(stored) == 8
    # Exact: a higher revision of the name takes none of them.
    await load(empty, [line("higher", revision="9")])
    found = {node["id"]: node for node in await edges(empty)}
    assert found["higher"]["dependants"]["nodes"] == []


async def test_without_the_release_a_reference_by_id_leads_by_name(empty: Catalog) -> None:
    await load(empty, [line("1", "b", name="y", needs=("nobody", "x")), line("2")])
    [first, second] = await edges(empty)
    assert [edge["node"]["id"] for edge in first["dependencies"]["edges"]] == ["2"]
    assert second["dependants"]["nodes"] == [{"id": "1"}]
