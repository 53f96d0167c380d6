"""Ids that releases have elsewhere and keep here: on creation, import and load, and never given twice."""

import asyncio
import io
import json
import uuid
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from release_catalog.cli import load as bulk
from release_catalog.domain.caller import Caller, local
from release_catalog.storage.collection_names import EVENTS, RELEASES
from support.catalog import Catalog, source

Json = dict[str, Any]
PROBLEM = """problem { __typename detail ... on ValidationProblem { violations { field code } }
  ... on ConflictProblem { conflictingId } }"""
CREATE = (
    "mutation($input: CreateReleaseInput!) { done: createRelease(input: $input) { release { id version } %s } }"
    % PROBLEM
)
IMPORT = (
    """mutation($input: ImportReleaseInput!) { done: importRelease(input: $input) {
  catalogId release { id name version tag } %s } }"""
    % PROBLEM
)
DISCARD = "mutation($id: ID!) { done: discardRelease(input: {id: $id}) { discardedId %s } }" % PROBLEM
PUBLISH = "mutation($id: ID!) { done: publishRelease(input: {id: $id}) { %s } }" % PROBLEM
EXPORT = "query($id: ID!) { exportRelease(id: $id) }"
EDGES = "query($id: ID!) { release(id: $id) { id dependencies { edges { node { id } } } } }"
ODD_IDS = ["a/b", "#x", "v1@2%", "Ünïcode id", "x" * 255, "$where", "a.b", "null", "0"]


async def create(catalog: Catalog, product_id: str, version: str, id_: str | None, **fields: Any) -> Json:
    asked = {"productId": product_id, "name": "tool", "version": version, "id": id_, **fields}
    return dict((await catalog.ask(CREATE, input=asked))["done"])


async def take(catalog: Catalog, document: Json, **fields: Any) -> Json:
    asked = {"projectIdentifier": document["project"], "release": document, "verification": "SKIP", **fields}
    return dict((await catalog.ask(IMPORT, input=asked))["done"])


async def load(catalog: Catalog, *documents: Json, stop: bool = False) -> bulk.Loader:
    loader = bulk.Loader(catalog.caller, bulk.Report(0), "default", publish=False, stop=stop)
    await loader.run(catalog.database, io.BytesIO(b"\n".join(map(orjson.dumps, documents))))
    return loader


async def nodes(catalog: Catalog, id_: str) -> list[str | None]:
    """The ids of the releases that a release depends on."""
    edges = (await catalog.ask(EDGES, id=id_))["release"]["dependencies"]["edges"]
    return [edge["node"] and edge["node"]["id"] for edge in edges]


async def stored_ids(catalog: Catalog) -> list[str]:
    found = catalog.database[RELEASES].find({"tenantId": catalog.caller.tenant}).sort("id", 1)
    return [release["id"] async for release in found]


async def discarded(catalog: Catalog, id_: str) -> None:
    assert (await catalog.ask(DISCARD, id=id_))["done"] == {"discardedId": id_, "problem": None}


@pytest.mark.parametrize("id_", ODD_IDS)
async def test_an_id_is_kept_as_it_is(empty: Catalog, id_: str) -> None:
    tenants = [empty.seen_by(local(uuid.uuid4().hex)) for _ in range(3)]
    product = await tenants[0].product("tool")
    assert (await create(tenants[0], product["id"], "1.0", id_))["release"]["id"] == id_
    assert (await take(tenants[1], source("tool", id=id_)))["catalogId"] == id_
    assert (await load(tenants[2], source("tool", id=id_))).report.added == 1
    for tenant in tenants:
        assert (await tenant.ask("query($id: ID!) { release(id: $id) { id } }", id=id_))["release"] == {"id": id_}
        found = await tenant.ask("query($id: ID!) { releases(filter: {ids: [$id]}) { nodes { id } } }", id=id_)
        assert found["releases"]["nodes"] == [{"id": id_}]
        exported = (await tenant.ask(EXPORT, id=id_))["exportRelease"]
        assert next(iter(exported.items())) == ("id", id_)
        needing = source("app", dependencies=[{"catalogId": id_, "name": "tool", "version": "1.0"}])
        app = (await take(tenant, needing))["catalogId"]
        edges = (await tenant.ask(EDGES, id=app))["release"]["dependencies"]["edges"]
        assert edges == [{"node": {"id": id_}}]


@pytest.mark.parametrize(
    ("id_", "code"),
    [
        ("", "NOT_AN_ID"),
        (".", "NOT_AN_ID"),
        ("x" * 256, "TOO_LONG"),
        (" x", "WHITE_SPACE"),
        ("x\t", "CONTROL_CHARACTER"),
        ("x\u2028", "WHITE_SPACE"),
        ("a\u202eb", "CONTROL_CHARACTER"),
    ],
)
async def test_an_invalid_id_is_a_violation(empty: Catalog, id_: str, code: str) -> None:
    product = await empty.product("tool")
    answer = await create(empty, product["id"], "1.0", id_)
    assert answer["problem"]["violations"] == [{"field": "input.id", "code": code}]
    answer = await take(empty, source("tool", id=id_))
    assert answer["problem"]["violations"] == [{"field": "input.release.id", "code": code}]
    assert (await load(empty, source("tool", id=id_))).report.refused == 1
    assert await stored_ids(empty) == []


async def test_an_id_that_was_used_is_a_conflict(empty: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    product = await empty.product("tool")
    await create(empty, product["id"], "1.0", "draft")
    await create(empty, product["id"], "2.0", "published")
    await empty.ask(PUBLISH, id="published")
    await create(empty, product["id"], "3.0", "gone")
    await discarded(empty, "gone")
    for id_ in ("draft", "published", "gone"):
        expected = {
            "__typename": "ConflictProblem",
            "detail": f"The id {id_!r} was used before: ids are never reused. Give another one, or none.",
            "conflictingId": None if id_ == "gone" else id_,
        }
        for dry_run in (True, False):
            answer = await create(empty, product["id"], "9.0", id_, dryRun=dry_run)
            assert answer == {"release": None, "problem": expected}
            answer = await take(empty, source("tool", "9.0", id=id_), dryRun=dry_run)
            assert answer["problem"] == expected
        assert (await load(empty, source("tool", "9.0", id=id_))).report.refused == 1
        assert f"line 1: id: The id {id_!r} was used before: " in capsys.readouterr().err
    # An id is one of its tenant, and the version of the discarded draft is free.
    other = empty.seen_by(local("other"))
    for id_ in ("draft", "gone"):
        assert (await take(other, source("tool", id_, id=id_)))["catalogId"] == id_
    again = await create(empty, product["id"], "3.0", None)
    assert again["problem"] is None
    assert await stored_ids(empty) == sorted(["draft", "published", again["release"]["id"]])


async def test_a_conflict_does_not_tell_of_a_hidden_release(empty: Catalog) -> None:
    mine, theirs = await empty.product("mine"), await empty.product("theirs")
    await create(empty, theirs["id"], "1.0", "secret")
    bound = empty.seen_by(Caller("local", "ci", frozenset({"release:write"}), product=mine["id"]))
    answer = await create(bound, mine["id"], "1.0", "secret")
    assert (answer["problem"]["__typename"], answer["problem"]["conflictingId"]) == ("ConflictProblem", None)


@pytest.mark.usefixtures("many_processes")
@pytest.mark.parametrize("verb", ["create", "import", "load"])
async def test_of_concurrent_writers_of_one_id_one_succeeds(empty: Catalog, verb: str) -> None:
    products = [await empty.product(f"p{number}") for number in range(8)]

    async def write(product: Any) -> bool:
        document = source(product["key"], id="one")
        if verb == "create":
            return (await create(empty, product["id"], "1.0", "one"))["problem"] is None
        if verb == "import":
            answer = await take(empty, document)
            assert answer["problem"] is None or answer["problem"]["__typename"] == "ConflictProblem"
            return answer["problem"] is None
        return (await load(empty, document)).report.added == 1

    assert sorted(await asyncio.gather(*map(write, products))) == [False] * 7 + [True]
    assert await stored_ids(empty) == ["one"]


@pytest.mark.usefixtures("many_processes")
async def test_an_id_is_not_reused_however_a_discarding_and_its_writers_meet(empty: Catalog) -> None:
    product = await empty.product("tool")
    for turn in range(5):
        id_ = f"id-{turn}"
        await create(empty, product["id"], f"{turn}.0", id_)
        answers = await asyncio.gather(
            empty.ask(DISCARD, id=id_),
            create(empty, product["id"], f"{turn}.1", id_),
            take(empty, source("tool", f"{turn}.2", id=id_)),
            load(empty, source("tool", f"{turn}.3", id=id_)),
        )
        assert answers[0]["done"]["problem"] is None
        assert [answers[1]["release"], answers[2]["release"], answers[3].report.added] == [None, None, 0]
    assert await stored_ids(empty) == []


async def test_s1_a_document_with_the_id_of_a_draft_updates_it(empty: Catalog) -> None:
    await take(empty, source("tool", id="one", tag="v1"))
    answer = await take(empty, source("tool", id="one", tag="v2"))
    assert answer["release"] == {"id": "one", "name": "tool", "version": "1.0", "tag": "v2"}
    answer = await take(empty, source("tool", tag="v3"))
    assert answer["release"]["id"] == "one"
    refused = await take(empty, source("tool", id="one"), onConflict="FAIL")
    assert refused["problem"]["conflictingId"] == "one"
    # Of another identity, and of another release with this identity.
    refused = await take(empty, source("tool", "1.1", id="one"))
    assert (refused["problem"]["__typename"], refused["problem"]["conflictingId"]) == ("ConflictProblem", "one")
    refused = await take(empty, source("tool", id="two"))
    assert (refused["problem"]["__typename"], refused["problem"]["conflictingId"]) == ("ConflictProblem", "one")
    assert "is the draft 'one'" in refused["problem"]["detail"]
    await empty.ask(PUBLISH, id="one")
    refused = await take(empty, source("tool", id="one"))
    assert refused["problem"]["conflictingId"] == "one"
    assert await stored_ids(empty) == ["one"]


async def test_a_load_may_be_repeated(empty: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    documents = [source("a", id="a"), source("b", id="b"), source("b", "2.0")]
    assert (await load(empty, *documents)).report.added == 3
    again = await load(empty, *documents)
    assert (again.report.added, again.report.present, again.report.refused) == (0, 3, 0)
    without = [{name: value for name, value in one.items() if name != "id"} for one in documents]
    again = await load(empty, *without)
    assert (again.report.added, again.report.present, again.report.refused) == (0, 3, 0)
    capsys.readouterr()
    others = [source("a", id="other"), source("c", id="a"), source("d", id="d"), source("e", id="d")]
    clashing = await load(empty, *others, source("f"))
    assert (clashing.report.added, clashing.report.present, clashing.report.refused) == (2, 0, 3)
    *told, _, _ = capsys.readouterr().err.splitlines()
    assert sorted(told) == [
        "line 1: id: The version 1.0 of this product exists under another id than 'other': give that id, or none.",
        "line 2: id: The id 'a' was used before: ids are never reused. Give another one.",
        "line 4: id: The id 'd' was used before: ids are never reused. Give another one.",
    ]


async def test_a_used_id_ends_a_load(empty: Catalog) -> None:
    await load(empty, source("a", id="a"))
    stopped = await load(empty, source("b"), source("c", id="a"), source("d"), stop=True)
    assert stopped.stopped
    names = await empty.database[RELEASES].distinct("name")
    assert names == ["a", "b"]


async def test_a_retry_of_a_creation_with_an_id_gets_the_first_answer(empty: Catalog) -> None:
    product = await empty.product("tool")
    first = await create(empty, product["id"], "1.0", "one", idempotencyKey="one")
    assert await create(empty, product["id"], "1.0", "one", idempotencyKey="one") == first
    assert first["release"]["id"] == "one"
    assert await empty.database[EVENTS].count_documents({}) == 1


# ------------------------------------------------------------------ edges

_id = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="\u200e"), min_size=1, max_size=8)
# Two names, each of several releases that only their ids tell apart, and one that has its name for itself.
_needs = st.fixed_dictionaries({}, optional={"r0": st.integers(0, 1), "r1": st.integers(0, 1), "only": st.none()})


@st.composite
def catalogs(draw: st.DrawFn) -> tuple[list[Json], list[str]]:
    """Import documents in any order, and their ids in another order."""
    ids = draw(st.lists(_id.filter(lambda id_: id_ not in {".", ".."}), min_size=5, max_size=5, unique=True))
    own = [("r0", 0), ("r0", 1), ("r1", 0), ("r1", 1), ("only", None)]
    documents = []
    for id_, (name, number) in zip(ids, own, strict=True):
        dependencies = [
            {**({} if other is None else {"catalogId": ids[own.index((to, other))]}), "name": to, "version": "1.0"}
            for to, other in draw(_needs).items()
            if to != name
        ]
        documents.append(source(name, id=id_, dependencies=dependencies, channel=f"c{number}"))
    return draw(st.permutations(documents)), draw(st.permutations(ids))


@given(catalogs())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_s1_exported_releases_are_the_same_in_another_tenant_with_their_edges(
    empty: Catalog, given_: tuple[list[Json], list[str]]
) -> None:
    documents, order = given_
    here, there = empty.seen_by(local(uuid.uuid4().hex)), empty.seen_by(local(uuid.uuid4().hex))
    for document in documents:
        assert (await take(here, document))["problem"] is None
    exported = {id_: json.loads(json.dumps((await here.ask(EXPORT, id=id_))["exportRelease"])) for id_ in order}
    assert exported == {document["id"]: document for document in documents}
    for document in exported.values():
        assert (await take(there, document))["catalogId"] == document["id"]
    by_id = {document["id"]: document for document in documents}
    only = next(document["id"] for document in documents if document["name"] == "only")
    for id_ in order:
        assert (await there.ask(EXPORT, id=id_))["exportRelease"] == exported[id_]
        needed = [one.get("catalogId", only) for one in by_id[id_]["dependencies"]]
        assert await nodes(here, id_) == await nodes(there, id_) == needed


@pytest.mark.parametrize("verb", ["create", "import", "load"])
async def test_a_reference_by_id_leads_to_the_release_that_gets_this_id_later(empty: Catalog, verb: str) -> None:
    """Until then, and if the name contradicts it, the reference leads by name and version."""
    product = await empty.product("lib")
    needed = {"catalogId": "late", "name": "lib", "version": "1.0"}
    for name, one in (("app", needed), ("other", {**needed, "version": "2.0"})):
        assert (await take(empty, source(name, id=name, dependencies=[one])))["problem"] is None
    await take(empty, source("lib", id="early"))
    assert await nodes(empty, "app") == ["early"]
    late: Json = {"channel": "beta"}
    if verb == "create":
        await create(empty, product["id"], "1.0", "late", **late, name="lib")
    elif verb == "import":
        await take(empty, source("lib", id="late", **late))
    else:
        await load(empty, source("lib", id="late", **late))
    assert (await nodes(empty, "app"), await nodes(empty, "other")) == (["late"], [None])
    count = "query($id: ID!) { release(id: $id) { dependants { totalCount } } }"
    for id_, expected in (("late", 1), ("early", 0)):
        assert (await empty.ask(count, id=id_))["release"]["dependants"]["totalCount"] == expected
    # As often as its id comes and goes.
    await discarded(empty, "late")
    assert await nodes(empty, "app") == ["early"]


async def test_a_published_edge_does_not_move_to_the_release_that_gets_its_id(empty: Catalog) -> None:
    needed = [{"catalogId": f"late-{name}", "name": name, "version": "1.0"} for name in ("lib", "zlib")]
    await take(empty, source("app", id="app", dependencies=needed))
    await take(empty, source("lib", id="early"))
    for id_ in ("early", "app"):
        await empty.ask(PUBLISH, id=id_)
    for name in ("lib", "zlib"):
        await take(empty, source(name, id=f"late-{name}", channel="beta"))
        await empty.ask(PUBLISH, id=f"late-{name}")
    # What led nowhere has found its release.
    assert await nodes(empty, "app") == ["early", "late-zlib"]


async def test_a_reference_by_name_never_has_the_text_of_an_id(empty: Catalog) -> None:
    """A release whose id looks like a name in a catalog is not what a reference by that name leads to."""
    product = await empty.product("lib", catalog_id="#c")
    await create(empty, product["id"], "2.0", "c/lib@1.0")
    needing = source("app", dependencies=[{"name": "lib", "version": "1.0"}])
    app = (await take(empty, needing, catalogId="#c"))["catalogId"]
    edges = (await empty.ask(EDGES, id=app))["release"]["dependencies"]["edges"]
    assert edges == [{"node": None}]


async def test_releases_that_were_before_a_change_of_scheme_stay_known(empty: Catalog) -> None:
    """A version that the present scheme refuses is that of an existing release, and of no new one."""
    product = await empty.product("tool", "DOTTED")
    draft = await empty.put(product, "1.0-beta")
    done = await empty.put(product, "odd", status="PUBLISHED")
    known = [source("tool", "1.0-beta", tag="again"), source("tool", "odd")]
    updated, refused = [await take(empty, document) for document in known]
    assert updated["release"] == {"id": draft["id"], "name": "tool", "version": "1.0-beta", "tag": "again"}
    assert refused["problem"]["__typename"] == "ConflictProblem"
    assert refused["problem"]["conflictingId"] == done["id"]
    new = [source("tool", "new"), source("tool", "odd", channel="beta"), source("tool", "odd", revision="1")]
    for document in new:
        problem = (await take(empty, document))["problem"]
        assert problem["violations"] == [{"field": "input.release.version", "code": "NOT_A_VERSION"}]
    loader = await load(empty, *known, {**known[1], "id": done["id"]}, *new)
    assert str(loader.report) == "0 added, 3 existing, 3 refused"
