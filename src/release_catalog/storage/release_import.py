"""Import of a release (S1): creates a draft, or replaces a draft of the same identity."""

import functools
from collections.abc import Sequence
from typing import cast

from release_catalog import errors
from release_catalog.domain import ids, release, release_document, timestamps
from release_catalog.domain import release_update as drafts
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import ProductDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_parts import VerificationDocument
from release_catalog.domain.release_update import Values
from release_catalog.domain.validation import Validator
from release_catalog.errors import Problem, Violation
from release_catalog.storage import bulk_load, release_writes, unit_of_work, verification_jobs
from release_catalog.storage.collection_names import CATALOGS, PRODUCTS, RELEASES
from release_catalog.storage.database import Database, Filter
from release_catalog.storage.idempotency import Answer, MutationInput, Payload
from release_catalog.storage.unit_of_work import UnitOfWork


async def import_release(
    caller: Caller,
    database: Database,
    values: MutationInput,
    looked: Sequence[VerificationDocument] = (),
    claim: str | None = None,
) -> Answer:
    """Import the document `values["release"]`.

    `looked` are the verification results of its files, in their order, if they were verified; `claim` is the
    request's claim on its idempotency key.
    """
    work = functools.partial(_take, looked=looked)
    return await unit_of_work.execute(caller, database, "importRelease", values, work, claim)


async def _take(turn: UnitOfWork, values: MutationInput, looked: Sequence[VerificationDocument]) -> Answer:
    now = timestamps.now()
    fields, violations = release_document.read(values["release"], "input.release", now)
    product = await _product(turn, Validator(values, "input", violations), fields["project"])
    if refused := unit_of_work.check_product_scope(turn.caller, product["id"]):
        return refused
    before = await _before(turn, product, fields)
    fields["id"] = before["id"] if before else ids.new()
    doc = Validator(values["release"], "input.release", violations)
    warnings = await release_writes.resolve_and_complete(turn, doc, fields, before)
    if violations:
        return errors.ValidationProblem(violations=violations)
    if before and (before["status"] != "DRAFT" or values["onConflict"] == "FAIL"):
        return _in_the_way(before)
    made = _made(turn.caller, product, fields, before)
    verification_jobs.set_verification(made, values["verification"], looked)
    kept = await _keep(turn, product, before, made)
    await verification_jobs.append_events(turn, kept, looked)
    answer = _answer(kept, before, warnings)
    if values.get("dryRun"):
        # The references of a dry run's release may exist only together with it.
        catalog_id = product["catalogId"]
        catalog = await turn.one(CATALOGS, catalog_id)
        answer["wouldBe"] = {(PRODUCTS, product["id"]): product, (CATALOGS, catalog_id): catalog}
    return answer


async def _product(turn: UnitOfWork, checks: Validator, project: str | None) -> ProductDocument:
    """Return the product of an identifier, a new one if missing (S1); the document must mean the same product."""
    catalog, identifier = (
        checks.fields.get("catalogId"),
        checks.name("projectIdentifier") or "",
    )
    if catalog and not await turn.one(CATALOGS, catalog):
        checks.refuse("catalogId", "UNKNOWN", f"The catalog {catalog!r} does not exist: save it first.")
    catalog_id = catalog or bulk_load.DEFAULT_CATALOG
    by_id: Filter = {"_id": turn.caller.key(identifier), **({"catalogId": catalog} if catalog else {})}
    by_key = {"tenantId": turn.caller.tenant, "key": identifier, "catalogId": catalog_id}
    product = (
        await turn.database[PRODUCTS].find_one(by_key, session=turn.session)
        or await turn.database[PRODUCTS].find_one(by_id, session=turn.session)
        or bulk_load.product(turn.caller, catalog_id, identifier)
    )
    if project is not None and project not in {product["id"], product["key"], product["name"]}:
        message = (
            f"The document is of the product {project!r}, but the request names {identifier!r}: give "
            "the same product in both."
        )
        checks.found.append(Violation("input.release.project", message, "ANOTHER_PROJECT"))
    return product


async def _before(turn: UnitOfWork, product: ProductDocument, fields: Values) -> ReleaseDocument | None:
    identity = {
        "tenantId": turn.caller.tenant,
        "catalogId": product["catalogId"],
        "productId": product["id"],
        "version": fields["version"],
        "revision": fields.get("revision", "0"),
        "channel": fields.get("channel", "stable"),
    }
    return await turn.database[RELEASES].find_one(identity, {"terms": 0}, session=turn.session)


def _in_the_way(before: ReleaseDocument) -> Problem:
    detail = (
        f"The version {before['version']} of this product exists and is {before['status']}. Import another "
        "version, or replace a draft with onConflict UPDATE."
    )
    return errors.Conflict(detail=detail, conflicting_id=before["id"])


def _made(
    caller: Caller, product: ProductDocument, fields: Values, before: ReleaseDocument | None
) -> ReleaseDocument:
    attributes = {name: value for name, value in fields.items() if name != "project"}
    if before is None:
        now = fields["importedAt"]
        return release.document(caller.tenant, product, now=now, createdBy=caller.subject, **attributes)
    files = drafts.artifacts(before["artifacts"], fields["artifacts"], fields["importedAt"])
    made: Values = {**before, "trial": False, **release.default_fields(), **attributes, "artifacts": files}
    return cast("ReleaseDocument", made | release.derived_fields(made))


async def _keep(
    turn: UnitOfWork, product: ProductDocument, before: ReleaseDocument | None, made: ReleaseDocument
) -> ReleaseDocument:
    await verification_jobs.schedule(turn, made)
    if before:
        return await release_writes.store(turn, before, made, "release.imported")
    await bulk_load.catalog(turn.caller, turn.database, product["catalogId"], turn.session)
    key, new = {"_id": product["_id"]}, {"$setOnInsert": product}
    await turn.database[PRODUCTS].update_one(key, new, upsert=True, session=turn.session)
    await release_writes.add(turn, made, "release.imported")
    return made


def _answer(made: ReleaseDocument, before: ReleaseDocument | None, warnings: list[str]) -> Payload:
    found = verification_jobs.warnings(made)
    messages = [f"{'Updated' if before else 'Created'} the draft {made['name']} {made['version']}.", *warnings]
    if found:
        messages.append(f"{len(found)} of {len(made['artifacts'])} files could not be verified: see warnings.")
    return {
        "catalogId": made["id"],
        "name": made["name"],
        "version": made["version"],
        "status": made["status"],
        "message": " ".join(messages),
        "warnings": found,
        "release": made,
    }
