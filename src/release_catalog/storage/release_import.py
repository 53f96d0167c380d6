"""Import of a release (S1): creates a draft, or replaces a draft of the same identity."""

import functools
from collections.abc import Sequence
from typing import cast

from release_catalog import errors
from release_catalog.domain import ids, release, release_document, timestamps
from release_catalog.domain import release_update as drafts
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import ProductDocument
from release_catalog.domain.references import DependencyDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_parts import VerificationDocument
from release_catalog.domain.release_update import Values
from release_catalog.domain.validation import Validator
from release_catalog.errors import Problem, Violation
from release_catalog.storage import (
    bulk_load,
    named_products,
    reference_lookup,
    release_writes,
    unit_of_work,
    verification_jobs,
)
from release_catalog.storage.collection_names import CATALOGS, PRODUCTS, RELEASES
from release_catalog.storage.database import Database
from release_catalog.storage.idempotency import Answer, MutationInput, Payload
from release_catalog.storage.unit_of_work import UnitOfWork
from release_catalog.storage.verification_jobs import ReleaseWarning


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
    checks = Validator(values, "input", violations)
    doc = Validator(values["release"], "input.release", violations)
    product, is_new = await _product(turn, checks, fields["project"])
    before = None
    if product:
        if refused := unit_of_work.check_product_scope(turn.caller, product["id"]):
            return refused
        fields["name"] = fields["name"] or product["name"]
        before = await _before(turn, product, fields)
        if before is None:
            # The product may have got another scheme after the release.
            named_products.check_version(doc, fields["version"], product["versionScheme"])
    own_id = fields.get("id")
    fields["id"] = before["id"] if before else own_id or ids.new()
    messages = await release_writes.resolve_and_complete(turn, doc, fields, before)
    if violations or product is None:
        return errors.ValidationProblem(violations=violations)
    if before and (before["status"] != "DRAFT" or values["onConflict"] == "FAIL"):
        return _in_the_way(before)
    if before and own_id not in {None, before["id"]}:
        return _under_another_id(before)
    made = _made(turn.caller, product, fields, before)
    verification_jobs.set_verification(made, values["verification"], looked)
    kept = await _keep(turn, product, before, made, has_given_id=own_id is not None)
    await verification_jobs.append_events(turn, kept, looked)
    warnings = [_created(product)] if is_new else []
    warnings += await _unresolved(turn, kept)
    answer = _answer(kept, before, messages, warnings)
    if values.get("dryRun"):
        # The references of a dry run's release may exist only together with it.
        catalog_id = product["catalogId"]
        catalog = await turn.one(CATALOGS, catalog_id)
        answer["wouldBe"] = {(PRODUCTS, product["id"]): product, (CATALOGS, catalog_id): catalog}
    return answer


async def _product(
    turn: UnitOfWork, checks: Validator, project: str | None
) -> tuple[ProductDocument | None, bool]:
    """Return the product of an identifier, and whether it is new (S1); the document must mean the same product."""
    before = len(checks.found)
    identifier = checks.name("projectIdentifier") or ""
    is_valid = len(checks.found) == before
    catalog = checks.fields.get("catalogId")
    if catalog and not await turn.one(CATALOGS, catalog):
        checks.refuse("catalogId", "UNKNOWN", f"The catalog {catalog!r} does not exist: save it first.")
    if not is_valid:
        return None, False
    catalog_id = catalog or bulk_load.DEFAULT_CATALOG
    named = await named_products.find(
        turn.caller, turn.database, [identifier], catalog_id, ids_anywhere=not catalog, session=turn.session
    )
    if not (catalog or named.products or named.ambiguous):
        named = await named_products.find_elsewhere(turn.caller, turn.database, identifier, turn.session)
    before = len(checks.found)
    product = named_products.check(
        checks, "projectIdentifier", identifier, named, create=checks.fields.get("createProduct", True)
    )
    is_new = product is None
    if product is None:
        if len(checks.found) > before:
            return None, False
        product = bulk_load.product(turn.caller, catalog_id, identifier, checks.fields.get("versionScheme", "ANY"))
    if project is not None and project not in {product["id"], product["key"], product["name"]}:
        message = (
            f"The document is of the product {project!r}, but the request names {identifier!r}: give "
            "the same product in both."
        )
        checks.found.append(Violation("input.release.project", message, "ANOTHER_PROJECT"))
    return product, is_new


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


def _under_another_id(before: ReleaseDocument) -> Problem:
    detail = (
        f"The version {before['version']} of this product is the draft {before['id']!r}: give this id, or none, "
        "or discard the draft first."
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
    turn: UnitOfWork,
    product: ProductDocument,
    before: ReleaseDocument | None,
    made: ReleaseDocument,
    *,
    has_given_id: bool,
) -> ReleaseDocument:
    await verification_jobs.schedule(turn, made)
    if before:
        return await release_writes.store(turn, before, made, "release.imported")
    await bulk_load.catalog(turn.caller, turn.database, product["catalogId"], turn.session)
    key, new = {"_id": product["_id"]}, {"$setOnInsert": product}
    await turn.database[PRODUCTS].update_one(key, new, upsert=True, session=turn.session)
    await release_writes.add(turn, made, "release.imported", has_given_id=has_given_id)
    return made


def _created(product: ProductDocument) -> ReleaseWarning:
    return verification_jobs.general_warning(
        f"The product {product['key']!r} did not exist: it was created with the version scheme "
        f"{product['versionScheme']}."
    )


async def _unresolved(turn: UnitOfWork, made: ReleaseDocument) -> list[ReleaseWarning]:
    """Return a warning for each dependency that leads to no release which the caller may see."""
    needed = made["dependencies"]
    sought = [one["reference"] for one in needed]
    found = await reference_lookup.resolve_references(turn.caller, turn.database, sought, frozenset({"id"}))
    return [
        verification_jobs.general_warning(
            f"The dependency {_title(one)} does not exist yet: save it, or correct the reference."
        )
        for one in needed
        if one["reference"] not in found
    ]


def _title(dependency: DependencyDocument) -> str:
    """Return the name and version of a dependency for people, or its id if they are hidden."""
    return f"{dependency['name']} {dependency['version']}".strip() or repr(dependency["releaseId"])


def _answer(
    made: ReleaseDocument, before: ReleaseDocument | None, messages: list[str], warnings: list[ReleaseWarning]
) -> Payload:
    wrong = verification_jobs.warnings(made)
    told = [f"{'Updated' if before else 'Created'} the draft {made['name']} {made['version']}.", *messages]
    if wrong:
        told.append(f"{len(wrong)} of {len(made['artifacts'])} files could not be verified: see warnings.")
    return {
        "created": before is None,
        "catalogId": made["id"],
        "name": made["name"],
        "version": made["version"],
        "status": made["status"],
        "message": " ".join(told),
        "warnings": [*wrong, *warnings],
        "release": made,
    }
