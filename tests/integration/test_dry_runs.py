"""Dry runs: nothing is stored, the payload says so, and a release has the stored etag."""

from collections.abc import Callable
from typing import Any

import pytest
from graphql import get_named_type

from release_catalog.graphql_api.schema import schema
from release_catalog.storage.collection_names import ENVIRONMENTS
from support.catalog import Catalog, source

assert schema._schema.mutation_type
MUTATIONS = schema._schema.mutation_type.fields
RELEASE = "release { id status etag updatedAt }"
TEXT = "mutation($input: %s!) { done: %s(input: $input) { dryRun %s problem { __typename detail } } }"
Values = dict[str, Any]


async def do(catalog: Catalog, name: str, shown: str = RELEASE, /, **values: Any) -> Any:
    type_ = f"{name[0].upper()}{name[1:]}Input"
    return (await catalog.ask(TEXT % (type_, name, shown), input=values))["done"]


async def made(catalog: Catalog, status: str = "DRAFT", **fields: Any) -> Any:
    product = await catalog.product(f"tool-{status}")
    return await catalog.put(product, "1", status=status, **fields)


async def everything(catalog: Catalog) -> dict[str, list[Any]]:
    database = catalog.database.client[catalog.database.name]
    return {
        name: await database[name].find().to_list(None) for name in sorted(await database.list_collection_names())
    }


def _fields(type_: Any) -> Any:
    named: Any = get_named_type(type_)
    return named.fields


def test_every_mutation_with_dry_run_says_whether_it_was_one() -> None:
    for name, mutation in MUTATIONS.items():
        takes = "dryRun" in _fields(mutation.args["input"].type)
        says = "dryRun" in _fields(mutation.type)
        assert takes == says, name


CASES: dict[str, tuple[str, Callable[[Any], Values]]] = {
    "patchRelease": ("DRAFT", lambda release: {"id": release["id"], "name": "other"}),
    "replaceRelease": ("DRAFT", lambda release: {"id": release["id"], "name": "other"}),
    "publishRelease": ("DRAFT", lambda release: {"id": release["id"]}),
    "archiveRelease": ("PUBLISHED", lambda release: {"id": release["id"]}),
    "withdrawRelease": ("PUBLISHED", lambda release: {"id": release["id"], "reason": "It leaks."}),
    "importRelease": ("DRAFT", lambda _: {"projectIdentifier": "tool-DRAFT", "release": source("tool-DRAFT", "1", tag="new"), "verification": "SKIP"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
async def test_the_release_of_a_dry_run_has_the_stored_etag(empty: Catalog, name: str) -> None:
    status, values = CASES[name]
    release = await made(empty, status)
    before = await everything(empty)
    tried = await do(empty, name, **values(release), dryRun=True)
    assert (tried["dryRun"], tried["problem"]) == (True, None)
    assert tried["release"]["etag"] == release["etag"]
    assert await everything(empty) == before
    done = await do(empty, name, **values(release))
    assert (done["dryRun"], done["problem"]) == (False, None)
    assert done["release"]["etag"] != release["etag"]
    assert done["release"]["status"] == tried["release"]["status"]


async def test_the_etag_of_a_dry_run_fits_if_match(empty: Catalog) -> None:
    release = await made(empty)
    tried = await do(empty, "patchRelease", id=release["id"], name="other", dryRun=True)
    done = await do(empty, "publishRelease", id=release["id"], ifMatch=tried["release"]["etag"])
    assert done["problem"] is None


async def test_a_replay_is_no_dry_run(empty: Catalog) -> None:
    release = await made(empty)
    values = {"id": release["id"], "idempotencyKey": "k"}
    first = await do(empty, "publishRelease", **values)
    assert await do(empty, "publishRelease", **values) == first
    assert first["dryRun"] is False


async def test_a_dry_run_answers_with_what_its_key_would_give(empty: Catalog) -> None:
    release = await made(empty)
    values = {"id": release["id"], "idempotencyKey": "k"}
    tried = await do(empty, "publishRelease", **values, dryRun=True)
    assert tried["problem"] is None
    first = await do(empty, "publishRelease", **values)
    assert first["problem"] is None, "the dry run has not used the key up"
    assert await do(empty, "publishRelease", **values, dryRun=True) == {**first, "dryRun": True}
    other = await do(empty, "publishRelease", id="other", idempotencyKey="k", dryRun=True)
    assert (other["dryRun"], other["problem"]["__typename"]) == (True, "ConflictProblem")


async def test_refusals_say_whether_they_were_of_a_dry_run(empty: Catalog) -> None:
    for dry_run in (True, False, None):
        answer = await do(empty, "publishRelease", id="nothing", dryRun=dry_run)
        assert (answer["dryRun"], answer["problem"]["__typename"]) == (bool(dry_run), "NotFoundProblem")


async def test_promotions_are_tried_without_a_record(empty: Catalog) -> None:
    release = await made(empty, "PUBLISHED")
    environment: Any = {"id": "qa", "name": "QA", "requires": [], "tenantId": "local", "_id": "local/qa"}
    await empty.database[ENVIRONMENTS].insert_one(environment)
    before = await everything(empty)
    shown, values = "promotion { id status }", {"releaseId": release["id"], "environment": "QA"}
    assert (await do(empty, "promoteRelease", shown, **values, dryRun=True))["dryRun"] is True
    assert await everything(empty) == before
    id_ = (await do(empty, "promoteRelease", shown, **values))["promotion"]["id"]
    before = await everything(empty)
    tried = await do(empty, "rollbackPromotion", shown, promotionId=id_, reason="No.", dryRun=True)
    assert tried["dryRun"] is True
    assert await everything(empty) == before
