"""A release may not depend on itself, by whatever way its reference would come to lead there (model.md, References)."""

from typing import Any

import pytest

from release_catalog.domain.caller import READ, WRITE, Caller
from release_catalog.storage import migrations
from support import old_forms
from support.catalog import Catalog

Json = dict[str, Any]
PROBLEM = "problem { detail ... on ValidationProblem { violations { field code } } }"
CREATE = "mutation($i: CreateReleaseInput!) { done: createRelease(input: $i) { release { id } %s } }" % PROBLEM
PATCH = "mutation($i: PatchReleaseInput!) { done: patchRelease(input: $i) { release { id } %s } }" % PROBLEM
REPLACE = "mutation($i: ReplaceReleaseInput!) { done: replaceRelease(input: $i) { release { id } %s } }" % PROBLEM
IMPORT = "mutation($i: ImportReleaseInput!) { done: importRelease(input: $i) { release { id } %s } }" % PROBLEM
PUBLISH = "mutation($id: ID!) { done: publishRelease(input: {id: $id}) { %s } }" % PROBLEM
DISCARD = "mutation($id: ID!) { done: discardRelease(input: {id: $id}) { %s } }" % PROBLEM
EDGES = """query($id: ID!) { release(id: $id) {
  dependencies { edges { reference { releaseId name version } node { id } } }
  dependants { totalCount } dependencyGraph { nodes { id } unresolved { name } cycles }
  _links { dependencies { href } } } }"""


async def done(catalog: Catalog, mutation: str, **variables: Any) -> Json:
    return dict((await catalog.ask(mutation, **variables))["done"])


async def create(catalog: Catalog, product: str, name: str, **fields: Any) -> str:
    answer = await done(catalog, CREATE, i={"productId": product, "name": name, "version": "1.0", **fields})
    assert answer["problem"] is None, answer
    return str(answer["release"]["id"])


def refused(answer: Json, field: str) -> None:
    assert answer["problem"], answer
    assert {"field": field, "code": "DEPENDS_ON_ITSELF"} in answer["problem"]["violations"]


async def no_edge_to_itself(catalog: Catalog, id_: str) -> None:
    """Check that no view shows an edge from a release to itself, and that its reference is unresolved."""
    shown = (await catalog.ask(EDGES, id=id_))["release"]
    assert [edge["node"] for edge in shown["dependencies"]["edges"]] == [None]
    assert shown["dependants"]["totalCount"] == 0
    assert (shown["dependencyGraph"]["nodes"], len(shown["dependencyGraph"]["unresolved"])) == ([], 1)
    assert shown["_links"]["dependencies"] == []


@pytest.fixture
async def products(empty: Catalog) -> dict[str, str]:
    return {key: (await empty.product(key))["id"] for key in ("lib", "app", "tool")}


@pytest.mark.parametrize("needed", [{}, {"releaseId": "nobody"}])
async def test_no_rename_makes_a_reference_by_name_lead_to_its_own_release(
    empty: Catalog, products: dict[str, str], needed: Json
) -> None:
    needed = {**needed, "name": "lib", "version": "1.0"}
    app = await create(empty, products["app"], "app", dependencies=[needed])
    refused(await done(empty, PATCH, i={"id": app, "name": "lib"}), "input.name")
    refused(await done(empty, PATCH, i={"id": app, "name": "lib", "tag": "x"}), "input.name")
    replaced = await done(empty, REPLACE, i={"id": app, "name": "lib", "dependencies": [needed]})
    refused(replaced, "input.dependencies[0]")
    # A patch of anything else still works, and so does a replacement without the reference.
    assert (await done(empty, PATCH, i={"id": app, "name": "app", "tag": "x"}))["problem"] is None
    assert (await done(empty, REPLACE, i={"id": app, "name": "lib"}))["problem"] is None


async def test_a_reference_to_a_release_that_the_caller_does_not_see_counts_by_its_name(
    empty: Catalog, products: dict[str, str]
) -> None:
    hidden = await create(empty, products["lib"], "lib", private=True)
    token = empty.seen_by(Caller("local", "ci", frozenset({READ, WRITE}), product=products["app"]))
    needed = {"releaseId": hidden, "name": "lib", "version": "1.0"}
    app = await create(token, products["app"], "app", dependencies=[needed])
    refused(await done(token, PATCH, i={"id": app, "name": "lib"}), "input.name")


@pytest.mark.parametrize("name", ["lib", "app"])
async def test_a_patch_adds_no_reference_to_its_own_release(
    empty: Catalog, products: dict[str, str], name: str
) -> None:
    app = await create(empty, products["app"], "app")
    for needed in (
        {"name": name, "version": "1.0"},
        {"releaseId": app},
        {"releaseId": "x", "name": name, "version": "1.0"},
    ):
        answer = await done(empty, PATCH, i={"id": app, "name": name, "dependencies": [needed]})
        refused(answer, "input.dependencies[0]")
    # The old name of a renamed release is free for a reference.
    renamed = {"id": app, "name": "new", "dependencies": [{"name": "app", "version": "1.0"}]}
    assert (await done(empty, PATCH, i=renamed))["problem"] is None
    await no_edge_to_itself(empty, app)


async def test_an_import_over_a_draft_makes_no_reference_to_it(empty: Catalog, products: dict[str, str]) -> None:
    draft = await create(empty, products["app"], "app", dependencies=[{"name": "lib", "version": "1.0"}])
    document = {
        "name": "lib", "version": "1.0", "createdAt": "2026-01-01T00:00:00Z", "project": "app",
        "author": "a@acme.example", "artifacts": [],
    }  # fmt: skip
    for needed in (
        {"name": "lib", "version": "1.0"},
        {"catalogId": "nobody", "name": "lib", "version": "1.0"},
        {"catalogId": draft, "name": "lib", "version": "1.0"},
    ):
        source = {**document, "dependencies": [needed]}
        asked = {"projectIdentifier": "app", "release": source, "verification": "SKIP"}
        refused(await done(empty, IMPORT, i=asked), "input.release.dependencies[0]")
        nameless = {name: value for name, value in source.items() if name != "name"}
        own = {**nameless, "dependencies": [{**needed, "name": "app"}]}
        refused(await done(empty, IMPORT, i={**asked, "release": own}), "input.release.dependencies[0]")


async def test_such_a_reference_leads_by_name_after_a_rename(empty: Catalog, products: dict[str, str]) -> None:
    draft = await create(empty, products["lib"], "lib")
    app = await create(empty, products["app"], "lib", dependencies=[{"releaseId": draft}])
    assert (await done(empty, DISCARD, id=draft))["problem"] is None
    await no_edge_to_itself(empty, app)
    other = await create(empty, products["lib"], "lib", revision="2")
    assert (await done(empty, PATCH, i={"id": app, "name": "app"}))["problem"] is None
    [edge] = (await empty.ask(EDGES, id=app))["release"]["dependencies"]["edges"]
    assert edge["node"]["id"] == other
    assert (await empty.ask(EDGES, id=other))["release"]["dependants"]["totalCount"] == 1


@pytest.mark.parametrize("is_published", [False, True])
async def test_after_a_discard_no_reference_by_name_leads_to_its_own_release(
    empty: Catalog, products: dict[str, str], is_published: bool
) -> None:
    draft = await create(empty, products["lib"], "lib")
    needed = [{"releaseId": draft}]
    other = await create(empty, products["tool"], "tool", dependencies=needed)
    same = await create(empty, products["lib"], "lib", revision="2", dependencies=needed)
    renamed = await create(empty, products["app"], "app", dependencies=needed)
    assert (await done(empty, PATCH, i={"id": renamed, "name": "lib"}))["problem"] is None
    if is_published:
        for id_ in (same, renamed):
            assert (await done(empty, PUBLISH, id=id_))["problem"] is None
    assert (await done(empty, DISCARD, id=draft))["problem"] is None
    for id_ in (same, renamed):
        await no_edge_to_itself_but(empty, id_, other)
    # Other references fall back to name and version.
    shown = (await empty.ask(EDGES, id=other))["release"]["dependencies"]["edges"]
    assert [edge["node"]["id"] for edge in shown] == [same]
    # An update that does not concern the reference leaves it alone.
    assert (await done(empty, PATCH, i={"id": same, "name": "lib", "notes": "x"}))["problem"] is None
    await no_edge_to_itself_but(empty, same, other)


async def no_edge_to_itself_but(catalog: Catalog, id_: str, other: str) -> None:
    """Check the same where another release may depend on it."""
    shown = (await catalog.ask(EDGES, id=id_))["release"]
    assert [edge["node"] for edge in shown["dependencies"]["edges"]] == [None]
    assert shown["dependencyGraph"]["nodes"] == []
    assert shown["dependants"]["totalCount"] <= 1
    found = await catalog.ask("query($id: ID!) { releases(filter: {dependsOnId: $id}) { nodes { id } } }", id=id_)
    assert {node["id"] for node in found["releases"]["nodes"]} <= {other}


async def test_a_migration_makes_no_reference_to_its_own_release(empty: Catalog, products: dict[str, str]) -> None:
    draft = await create(empty, products["lib"], "lib")
    app = await create(empty, products["app"], "app", dependencies=[{"releaseId": draft}])
    assert (await done(empty, PATCH, i={"id": app, "name": "lib"}))["problem"] is None
    old = old_forms.raw(empty.database).releases
    await old.delete_one({"id": draft})
    await old.update_many({}, {"$set": {"form": 1}})
    await old_forms.migrate(empty.database)
    await no_edge_to_itself(empty, app)
    assert await migrations.pending(empty.database) == {}
