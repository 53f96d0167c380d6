"""S1: what exportRelease gives imports to the same release, field for field, wherever it is imported."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from release_catalog.domain import timestamps
from release_catalog.domain.caller import Caller, local
from release_catalog.storage.collection_names import PRODUCTS, RELEASES
from support import import_documents as documents
from support.catalog import Catalog, source

Json = dict[str, Any]
PROBLEM = "problem { __typename detail ... on ValidationProblem { violations { field code message } } }"
CREATE = f"mutation($input: CreateReleaseInput!) {{ done: createRelease(input: $input) {{ release {{ id }} {PROBLEM} }} }}"
IMPORT = f"mutation($input: ImportReleaseInput!) {{ done: importRelease(input: $input) {{ release {{ id }} {PROBLEM} }} }}"
EXPORT = "query($id: ID!) { exportRelease(id: $id) }"
# What every release gets anew, and what its tenant has.
OWN = {
    "_id",
    "etag",
    "tenantId",
    "catalogId",
    "productId",
    "updatedAt",
    "importedAt",
    "nameSince",
    "importedStatus",
    "terms",
}


async def stocked(catalog: Catalog, caller: Caller | None = None) -> Catalog:
    """A tenant in which everything is that documents of this test refer to."""
    tenant = catalog.seen_by(caller or local(uuid.uuid4().hex))
    for kind, given_ in (
        ("BaseImage", {"id": "image", "name": "debian"}),
        ("Registry", {"id": "registry", "name": "hub", "url": "https://hub.example"}),
        ("Pipeline", documents.PIPELINE),
        ("Project", documents.PARTIAL),
        ("Project", documents.FULL),
    ):
        text = "mutation($input: Save%sInput!) { done: save%s(input: $input) { %s } }" % (kind, kind, PROBLEM)
        assert await tenant.ask(text, input=given_) == {"done": {"problem": None}}
    return tenant


async def done(catalog: Catalog, text: str, given_: Json) -> str:
    """The id of the release that a mutation made."""
    answer = (await catalog.ask(text, input=given_))["done"]
    assert answer["problem"] is None, answer
    id_: str = answer["release"]["id"]
    return id_


async def create(catalog: Catalog, document: Json) -> str:
    """Create what a document says."""
    product = await catalog.product(document["project"])
    renamed = {"releaseNotes": "notes"}
    unsaid = {"project", "projectIdentifier", "status"}
    asked = {renamed.get(name, name): value for name, value in document.items() if name not in unsaid}
    asked["dependencies"] = [
        {"releaseId" if name == "catalogId" else name: value for name, value in needed.items()}
        for needed in document["dependencies"]
    ]
    return await done(catalog, CREATE, {"productId": product["id"], **asked})


async def lasting(catalog: Catalog, id_: str) -> Json:
    """A stored release but for what is its own."""
    found: Any = await catalog.database[RELEASES].find_one({"_id": catalog.caller.key(id_)})
    kept = {name: value for name, value in found.items() if name not in OWN}
    kept["terms"] = [term for term in found["terms"] if not term.startswith("product:")]
    kept["artifacts"] = [without(file, "id", "createdAt", "updatedAt") for file in found["artifacts"]]
    if found["delivery"]:
        kept["delivery"] = without(found["delivery"], "status", "startDate", "endDate")
        kept["terms"] = [term for term in kept["terms"] if not term.startswith("delivery:")]
    return kept


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


async def moved(here: Catalog, there: Catalog, id_: str) -> None:
    """A release that was exported here is the same when it was imported there."""
    exported = json.loads(json.dumps((await here.ask(EXPORT, id=id_))["exportRelease"]))
    asked = {"projectIdentifier": exported["project"], "release": exported, "verification": "SKIP"}
    copy = await done(there, IMPORT, asked)
    assert await lasting(there, copy) == await lasting(here, id_)
    assert (await there.ask(EXPORT, id=copy))["exportRelease"] == exported


@given(documents.document)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_s1_a_release_of_any_kind_is_the_same_in_another_tenant(empty: Catalog, document: Json) -> None:
    here, there = await stocked(empty), await stocked(empty)
    await moved(here, there, await create(here, document))


async def test_s1_a_release_with_everything_is_the_same_in_another_tenant(empty: Catalog) -> None:
    here, there = await stocked(empty), await stocked(empty)
    await moved(here, there, await create(here, documents.whole()))


async def test_s1_a_draft_becomes_the_release_that_is_imported_over_it(empty: Catalog) -> None:
    """Nothing of what it was is left."""
    here, there = await stocked(empty), await stocked(empty)
    whole = documents.whole()
    bare = source("tool", revision="3", channel="beta", project="tool", id=whole["id"])
    del whole["delivery"]["status"]  # what is under way is not dropped by an import
    for before, after in ((whole, bare), (bare, whole)):
        await there.database[RELEASES].delete_many({})
        await there.database[PRODUCTS].delete_many({})
        await create(there, before)
        id_ = await create(here, after)
        await moved(here, there, id_)


@pytest.mark.parametrize("verb", ["publish", "withdraw", "archive"])
async def test_s1_an_export_has_no_lifecycle_status(empty: Catalog, verb: str) -> None:
    here, there = await stocked(empty), await stocked(empty)
    id_ = await create(here, documents.whole())
    for step in ("publish", *({verb} - {"publish"})):
        reason = ', reason: "r"' if step == "withdraw" else ""
        text = f"mutation($id: ID!) {{ {step}Release(input: {{id: $id{reason}}}) {{ {PROBLEM} }} }}"
        assert (await here.ask(text, id=id_))[f"{step}Release"]["problem"] is None
    exported = (await here.ask(EXPORT, id=id_))["exportRelease"]
    copy = await done(there, IMPORT, {"projectIdentifier": "tool", "release": exported, "verification": "SKIP"})
    life = ("status", "publishedAt", "publishedBy", "archivedAt", "withdrawal")
    keys = (*life, "publishedKey")
    then, now = await lasting(here, id_), await lasting(there, copy)
    assert without(now, *keys) == without(then, *keys)
    assert [now[field] for field in life] == ["DRAFT", None, None, None, None]
    assert timestamps.now() >= now["createdAt"]


async def test_s1_a_delivery_whose_projects_are_not_there_is_refused_with_all_that_is_missing(
    empty: Catalog,
) -> None:
    here, there = await stocked(empty), empty.seen_by(local("bare"))
    exported = (await here.ask(EXPORT, id=await create(here, documents.whole())))["exportRelease"]
    asked = {"projectIdentifier": "tool", "release": exported, "verification": "SKIP"}
    answer = (await there.ask(IMPORT, input=asked))["done"]
    assert {(v["field"].removeprefix("input.release."), v["code"]) for v in answer["problem"]["violations"]} == {
        ("baseImageId", "UNKNOWN"), ("registryId", "UNKNOWN"), ("pipelineId", "UNKNOWN"),
        ("delivery.pipelineId", "UNKNOWN"), ("delivery.projects[0].projectId", "UNKNOWN"),
    }  # fmt: skip
    assert await there.database[RELEASES].count_documents({"tenantId": "bare"}) == 0
