"""References to names that very many drafts have."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain import references
from release_catalog.domain.caller import READ, Caller
from release_catalog.storage import reference_lookup
from release_catalog.storage.collection_names import RELEASES
from support.catalog import Catalog, source

EDGES = "query($id: ID!) { release(id: $id) { dependencies { nodes { id } } } }"
COUNT = 1_000


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_a_reference_by_name_is_read_back(catalog_id: str, name: str, version: str) -> None:
    found = references.parsed(references.by_name(catalog_id, name, version))
    assert found == {"catalogId": catalog_id, "name": name, "version": version}


async def target(catalog: Catalog, id_: str) -> list[str]:
    return [one["id"] for one in (await catalog.ask(EDGES, id=id_))["release"]["dependencies"]["nodes"]]


def drafts(name: str, count: int = COUNT) -> list[dict[str, Any]]:
    return [source(name, project="crowd", revision=str(number)) for number in range(count)]


async def examined(catalog: Catalog) -> int:
    """The number of documents that the reads of releases examined, which the last request sent."""
    total = 0
    for command in catalog.commands.sent:
        if command.get("find", command.get("aggregate")) != RELEASES:
            continue
        plain = {
            name: value
            for name, value in command.items()
            if name not in {"lsid", "$db", "$clusterTime", "readConcern"}
        }
        answer = await catalog.database.command("explain", plain, verbosity="executionStats")
        total += sum(_documents(answer))
    return total


def _documents(part: Any) -> list[int]:
    if isinstance(part, list):
        return [found for inner in part for found in _documents(inner)]
    if not isinstance(part, dict):
        return []
    own = [part["totalDocsExamined"]] if "totalDocsExamined" in part else []
    return own + [found for inner in part.values() for found in _documents(inner)]


async def test_a_name_of_very_many_drafts_costs_no_more_documents_than_a_few(empty: Catalog) -> None:
    await empty.load(source("app", id="app", needs=["lib"]), source("other", id="other", needs=["free"]))
    await empty.load(source("lib", project="first", id="oldest"), source("free", id="free"))
    await empty.load(*drafts("lib"))
    assert await target(empty, "app") == ["oldest"]
    assert empty.commands.reads[RELEASES] == 3
    sent = list(empty.commands.sent)
    empty.commands.sent[:] = sent
    assert await examined(empty) < 2 * reference_lookup._MANY_OF_A_NAME
    text = '{ releases(filter: {ids: ["app", "other"]}) { nodes { id dependencies { nodes { id } } } } }'
    nodes = (await empty.ask(text))["releases"]["nodes"]
    assert {node["id"]: node["dependencies"]["nodes"] for node in nodes} == {
        "app": [{"id": "oldest"}], "other": [{"id": "free"}],
    }  # fmt: skip
    reader = empty.seen_by(Caller("local", "reader", frozenset({READ})))
    await empty.load(source("published", id="published", needs=["lib"]), publish=True)
    assert await target(reader, "published") == []
    await empty.load(source("lib", project="second", id="winner"), publish=True)
    for catalog in (empty, reader):
        assert await target(catalog, "published") == ["winner"]
        found = await catalog.ask('{ release(id: "winner") { dependants { totalCount nodes { id } } } }')
        assert {"id": "published"} in found["release"]["dependants"]["nodes"]


async def test_a_name_with_a_few_drafts_costs_one_read(empty: Catalog) -> None:
    await empty.load(source("app", id="app", needs=["lib"]), source("lib", project="first", id="oldest"))
    await empty.load(*drafts("lib", 9))
    assert await target(empty, "app") == ["oldest"]
    assert empty.commands.reads[RELEASES] == 2
