"""A reference by id alone tells the name and the version of its release only to who may see that release."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain import references, release, release_update, timestamps
from release_catalog.domain.caller import Caller, local
from release_catalog.domain.validation import Validator
from release_catalog.storage import bulk_load
from release_catalog.storage.collection_names import PRODUCTS, RELEASES
from support.catalog import Catalog, source

READER = Caller("local", "reader", frozenset({"release:read"}))
HIDDEN, VERSION = "areal-name", "6.6.6-areal"
CREATE = """mutation($i: CreateReleaseInput!) { createRelease(input: $i) { release { id etag
  dependencies { edges { reference { name version releaseId } node { name } } } } problem { detail } } }"""
PATCH = """mutation($i: PatchReleaseInput!) { patchRelease(input: $i) { release { id }
  problem { detail ... on ValidationProblem { violations { field code } } } } }"""
REPLACE = PATCH.replace("PatchRelease", "ReplaceRelease").replace("patchRelease", "replaceRelease")
EVERYWHERE = """query($id: ID!, $other: ID!) {
  release(id: $id) {
    dependencies { totalCount edges { cursor reference { releaseId name version } node { name } } nodes { name } }
    few: dependencies(first: 1) { edges { reference { version } } }
    dependencyGraph { unresolved { releaseId name version } nodes { name } }
    _links { dependencies { href } }
  }
  exportRelease(id: $id)
  compareReleases(fromId: $other, toId: $id) { dependencies { kind key before after }
    to { dependencies { edges { reference { name version } } } } }
  releases { nodes { dependencies { edges { reference { name version releaseId } } } } }
  events { nodes { type data } }
}"""


@pytest.fixture
async def catalog(empty: Catalog) -> Catalog:
    await empty.product("tool")
    return empty


async def created(catalog: Catalog, version: str, *needs: dict[str, Any], name: str = "tool") -> str:
    product = await catalog.database[PRODUCTS].find_one({"key": "tool"})
    assert product
    asked = {"productId": product["id"], "name": name, "version": version, "dependencies": list(needs)}
    answer = (await catalog.ask(CREATE, i=asked))["createRelease"]
    assert answer["problem"] is None, answer
    return str(answer["release"]["id"])


async def publish(catalog: Catalog, id_: str) -> None:
    text = "mutation($id: ID!) { publishRelease(input: {id: $id}) { problem { detail } } }"
    assert (await catalog.ask(text, id=id_))["publishRelease"]["problem"] is None


async def seen(catalog: Catalog, id_: str, other: str, caller: Caller = READER) -> dict[str, Any]:
    """All that a caller is shown of a release, which both engines answer alike."""
    as_seen, variables = catalog.seen_by(caller), {"id": id_, "other": other}
    body = await as_seen.body(EVERYWHERE, variables)
    assert body == await as_seen.body(EVERYWHERE, variables, planned=False)
    assert b"errors" not in body
    found: dict[str, Any] = orjson.loads(body)["data"]
    return found


def referred(found: dict[str, Any]) -> list[tuple[str, str]]:
    edges = found["release"]["dependencies"]["edges"]
    return [(edge["reference"]["name"], edge["reference"]["version"]) for edge in edges]


async def test_visibility_of_completed_fields_is_that_of_the_release(catalog: Catalog) -> None:
    hidden = await created(catalog, VERSION, name=HIDDEN)
    other = await created(catalog, "0")
    id_ = await created(catalog, "1", {"releaseId": hidden})
    for published in (id_, other):
        await publish(catalog, published)
    for caller in (READER, Caller("local", "bound", frozenset({"release:write"}), product="another")):
        found = await seen(catalog, id_, other, caller)
        assert referred(found) == [("", "")]
        assert found["release"]["dependencyGraph"]["unresolved"] == [
            {"releaseId": hidden, "name": "", "version": ""}
        ]
        assert found["exportRelease"]["dependencies"] == [{"catalogId": hidden, "name": "", "version": ""}]
        [change] = found["compareReleases"]["dependencies"]
        assert change == {
            "kind": "ADDED", "key": f"#{hidden}", "before": None, "after": {"releaseId": hidden, "version": ""},
        }  # fmt: skip
        assert HIDDEN not in str(found)
        assert VERSION not in str(found)
    for caller in (local("local"), Caller("local", "writer", frozenset({"release:write"}))):
        found = await seen(catalog, id_, other, caller)
        assert referred(found) == [(HIDDEN, VERSION)]
        assert found["exportRelease"]["dependencies"] == [
            {"catalogId": hidden, "name": HIDDEN, "version": VERSION}
        ]
        assert found["compareReleases"]["dependencies"][0]["key"] == HIDDEN
    exported = [document async for document in bulk_load.export(READER, catalog.database)]
    assert len(exported) == 2
    assert HIDDEN not in str(exported)
    # It follows what readers may see of that release now.
    await publish(catalog, hidden)
    assert referred(await seen(catalog, id_, other)) == [(HIDDEN, VERSION)]
    await catalog.database[RELEASES].update_one({"id": hidden}, {"$set": {"private": True}})
    assert referred(await seen(catalog, id_, other)) == [("", "")]
    # Where it is gone for good, its name is not for readers either.
    await catalog.database[RELEASES].delete_one({"id": hidden})
    assert referred(await seen(catalog, id_, other)) == [("", "")]
    assert referred(await seen(catalog, id_, other, local("local"))) == [(HIDDEN, VERSION)]


async def test_declared_fields_are_shown_to_all_callers(catalog: Catalog) -> None:
    hidden = await created(catalog, VERSION, name=HIDDEN)
    whole = {"releaseId": hidden, "name": HIDDEN, "version": VERSION}
    for number, (needed, shown) in enumerate(
        (
            (whole, (HIDDEN, VERSION)),
            ({"name": HIDDEN, "version": VERSION}, (HIDDEN, VERSION)),
            ({"releaseId": hidden, "name": HIDDEN}, (HIDDEN, "")),
            ({"releaseId": hidden, "version": VERSION}, ("", VERSION)),
            ({"releaseId": hidden}, ("", "")),
        )
    ):
        id_ = await created(catalog, f"1.{number}", needed)
        await publish(catalog, id_)
        assert referred(await seen(catalog, id_, id_)) == [shown]
    imported = orjson.loads(orjson.dumps(source("tool", "9", dependencies=[{**whole, "catalogId": hidden}])))
    del imported["dependencies"][0]["releaseId"]
    text = (
        """mutation($i: ImportReleaseInput!) { importRelease(input: $i) { release { id } problem { detail } } }"""
    )
    asked = {"projectIdentifier": "tool", "release": imported, "verification": "SKIP"}
    id_ = (await catalog.ask(text, i=asked))["importRelease"]["release"]["id"]
    await publish(catalog, id_)
    assert referred(await seen(catalog, id_, id_)) == [(HIDDEN, VERSION)]


async def test_a_dry_run_shows_the_caller_what_they_may_see(catalog: Catalog) -> None:
    hidden = await created(catalog, VERSION, name=HIDDEN)
    product = await catalog.database[PRODUCTS].find_one({"key": "tool"})
    assert product
    asked = {"productId": product["id"], "name": "tool", "version": "1", "dependencies": [{"releaseId": hidden}]}
    answer = (await catalog.ask(CREATE, i={**asked, "dryRun": True}))["createRelease"]
    assert answer["release"]["dependencies"]["edges"][0]["reference"]["name"] == HIDDEN


@pytest.mark.parametrize("text", [PATCH, REPLACE])
async def test_to_declare_it_later_shows_it(catalog: Catalog, text: str) -> None:
    hidden = await created(catalog, VERSION, name=HIDDEN)
    id_ = await created(catalog, "1", {"releaseId": hidden})
    fields = {"id": id_, "name": "tool"}

    async def stored() -> Any:
        found = await catalog.database[RELEASES].find_one({"id": id_})
        assert found
        return found["dependencies"][0].get("completed"), found["updatedAt"], found["etag"]

    async def revise(**needed: str) -> None:
        answer = await catalog.ask(text, i={**fields, "dependencies": [needed]})
        assert next(iter(answer.values()))["problem"] is None

    before = await stored()
    await revise(releaseId=hidden)
    assert await stored() == before
    assert before[0] == ["name", "version"]
    await revise(releaseId=hidden, name=HIDDEN, version=VERSION)
    assert (await stored())[0] == []
    await publish(catalog, id_)
    assert referred(await seen(catalog, id_, id_)) == [(HIDDEN, VERSION)]
    # Once it is published nothing of it changes, whichever way the same reference is said.
    before = await stored()
    await revise(releaseId=hidden)
    await revise(releaseId=hidden, name=HIDDEN, version=VERSION)
    assert await stored() == before


async def test_documents_from_before_that_was_noted_show_no_more_than_they_may(catalog: Catalog) -> None:
    hidden = await created(catalog, VERSION, name=HIDDEN)
    by_name = {"name": "nothing", "version": "1"}
    id_ = await created(catalog, "1", {"releaseId": hidden}, by_name)
    await publish(catalog, id_)
    unset = {"$unset": {"dependencies.$[].completed": 1}}
    await catalog.database[RELEASES].update_one({"id": id_}, unset)
    assert referred(await seen(catalog, id_, id_)) == [("", ""), ("nothing", "1")]
    answer = await catalog.ask(
        REPLACE, i={"id": id_, "name": "tool", "dependencies": [{"releaseId": hidden}, by_name]}
    )
    assert answer["replaceRelease"]["problem"] is None
    await publish(catalog, hidden)
    assert referred(await seen(catalog, id_, id_)) == [(HIDDEN, VERSION), ("nothing", "1")]


async def test_references_without_completed_fields_need_no_read(catalog: Catalog) -> None:
    base = await created(catalog, "5", name="base")
    other = [await created(catalog, f"1.{n}", {"name": "base", "version": "5"}) for n in range(3)]
    for id_ in (base, *other, await created(catalog, "2", {"releaseId": base})):
        await publish(catalog, id_)
    text = "query($n: [ID!]) { releases(filter: {ids: $n}) { nodes { dependencies { edges { reference { name } } } } } }"
    for caller, ids_, reads in ((READER, other, 1), (local("local"), None, 1), (READER, None, 2)):
        as_seen = catalog.seen_by(caller)
        await as_seen.ask(text, n=ids_)
        assert sum(as_seen.commands.reads.values()) == reads


# What is declared, whatever the order in which it is said.

fields = st.sampled_from([("releaseId",), ("releaseId", "name"), ("releaseId", "version"), ("releaseId", "name", "version"),
                          ("name", "version")])  # fmt: skip
WHOLE = {"releaseId": "1", "name": "base", "version": "5"}
PRODUCT: Any = {"id": "p", "catalogId": "c", "versionScheme": "ANY"}


@given(st.lists(st.tuples(fields, st.booleans()), min_size=1, max_size=6))
def test_a_field_is_declared_once_somebody_gave_it(steps: list[tuple[tuple[str, ...], bool]]) -> None:
    now = timestamps.now()
    document = release.document("t", PRODUCT, "tool", "1", now)
    declared: set[str] = set()
    for said, replace in steps:
        given = {"name": "tool", "dependencies": [{name: WHOLE[name] for name in said}]}
        checks = Validator(given, "input")
        fields = release_update.read(checks, now) | {"id": document["id"], "version": "1"}
        release_update.check_references(
            checks,
            fields,
            {"releases": {"1": {**WHOLE, "id": "1"}}, **{key: {} for key in release_update.RELATED.values()}},
            fields,
        )
        document = release_update.apply_update(document, checks, fields, now, replace=replace)
        assert not checks.found
        declared = {*said} if replace else declared | {*said}
        [needed] = document["dependencies"]
        assert {*references.COMPLETED} - {*references.completed(needed)} == declared - {"releaseId"}
        hidden = {name: "" for name in references.COMPLETED if name not in declared}
        assert references.undisclosed(needed) == {**needed, **hidden}
