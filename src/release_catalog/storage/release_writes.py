"""Creation, patching and replacement of releases."""

import contextlib
import datetime
import functools
from collections.abc import Collection
from typing import Any

from release_catalog import errors
from release_catalog.domain import ids, release, release_delivery, release_document, release_update, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import ProductDocument, version_keys
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_delivery import DeliveryDocument
from release_catalog.domain.release_update import Values
from release_catalog.domain.validation import Validator
from release_catalog.domain.version_schemes.scheme import MAX_VERSION
from release_catalog.errors import Problem
from release_catalog.storage import database as db
from release_catalog.storage import (
    forms,
    named_products,
    reference_lookup,
    search_terms,
    unit_of_work,
    visibility,
)
from release_catalog.storage import release_delivery as stored_delivery
from release_catalog.storage.collection_names import PRODUCTS, RELEASES, CollectionName, StoredDocument
from release_catalog.storage.database import Database
from release_catalog.storage.idempotency import Answer, MutationInput
from release_catalog.storage.unit_of_work import UnitOfWork, command

# The time in which the references to a new release are redirected; a migration does what is left then.
_LEARN_SECONDS = 300.0
# The fields of a document that a draft is created from.
_DOCUMENT = release.INPUT_FIELDS | {"id", "productId", "catalogId"}


@command("createRelease")
async def create(turn: UnitOfWork, values: MutationInput) -> Answer:
    """Create a draft (S2)."""
    return await _create(turn, Validator(values, "input"))


@command("createReleaseDocument")
async def create_from_document(turn: UnitOfWork, values: MutationInput) -> Answer:
    """Create a draft from the JSON object `values["release"]`, which nothing has checked yet (S2)."""
    document = values["release"]
    checks = Validator(document if document.get("name") is not None else {**document, "name": ""}, "")
    checks.known(_DOCUMENT)
    return await _create(turn, checks)


async def _create(turn: UnitOfWork, checks: Validator) -> Answer:
    now = timestamps.now()
    product = await _product(turn, checks)
    if product and (refused := unit_of_work.check_product_scope(turn.caller, product["id"])):
        return refused
    fields = release_update.read(checks, now)
    fields |= {"version": _version(checks, product), "createdAt": _created(checks, now)}
    fields["id"] = checks.new_id("id") or ids.new()
    warnings = await resolve_and_complete(turn, checks, fields, None)
    release_update.check_urls(None, checks, fields)
    release_update.unique(checks, fields)
    if checks.found or product is None:
        return errors.ValidationProblem(violations=checks.found)
    made = release.document(turn.caller.tenant, product, now=now, createdBy=turn.caller.subject, **fields)
    await add(turn, made, "release.created", has_given_id=checks.fields.get("id") is not None)
    return {"release": made, "warnings": warnings}


async def _product(turn: UnitOfWork, checks: Validator) -> ProductDocument | None:
    id_ = checks.text("productId", 256, required=True)
    catalog_id = checks.text("catalogId", 255)
    product = await turn.one(PRODUCTS, id_) if id_ else None
    if product is None and id_:
        checks.refuse("productId", "UNKNOWN", f"The product {id_!r} does not exist: save it first.")
    elif product and catalog_id not in {None, product["catalogId"]}:
        message = f"The product is in the catalog {product['catalogId']!r}: give this catalog, or none."
        checks.refuse("catalogId", "CONTRADICTORY_REFERENCE", message)
    return product


def _version(checks: Validator, product: ProductDocument | None) -> str:
    version = checks.name("version", MAX_VERSION) or ""
    if product:
        named_products.check_version(checks, version, product["versionScheme"])
    return version


def _created(checks: Validator, now: datetime.datetime) -> datetime.datetime:
    created = (checks.instant("createdAt") if checks.fields.get("createdAt") else None) or now
    release_document.check_past(checks, "createdAt", created, now)
    return created


async def add(turn: UnitOfWork, made: ReleaseDocument, kind: str, *, has_given_id: bool) -> None:
    """Insert a release and write its events; other releases may refer to a given id already."""
    unit_of_work.check_size(made)
    stored: Any = search_terms.to_stored(turn.caller, made)
    if has_given_id and await reference_lookup.is_wanted_by_many(
        turn.caller, turn.database, made["id"], turn.session
    ):
        # Until then its name leads here. If this process ends before, a migration does the rest.
        stored[forms.FORM] = forms.UNSETTLED
        turn.later.append(functools.partial(_learn_id, turn.caller, turn.database, made))
    await turn.database[RELEASES].insert_one(stored, session=turn.session)
    if has_given_id and forms.FORM not in stored:
        await reference_lookup.learn_ids(turn.caller, turn.database, [made], turn.session)
    await _append_events(turn, kind, None, made)


async def _learn_id(caller: Caller, database: Database, made: ReleaseDocument) -> None:
    """Let references by the id of a new release lead to it, in batches outside of any transaction."""
    key = {"_id": caller.key(made["id"])}
    with db.deadline(_LEARN_SECONDS), contextlib.suppress(db.Failure):  # then a migration repeats it
        await reference_lookup.learn_ids(caller, database, [made])
        if await database[RELEASES].find_one({**key, "tenantId": caller.tenant}, {"_id": 1}) is None:
            await reference_lookup.forget_id(caller, database, made["id"], None)
        settled = {"$set": {forms.FORM: forms.current(RELEASES)}}
        await database[RELEASES].update_one({**key, forms.FORM: forms.UNSETTLED}, settled)


async def _append_events(
    turn: UnitOfWork, kind: str, before: DeliveryDocument | None, made: ReleaseDocument
) -> None:
    for happened in (kind, release_delivery.event(before, made["delivery"])):
        if happened:
            await unit_of_work.append_event(turn.caller, turn.database, happened, made, turn.session)


@command("patchRelease")
async def patch(turn: UnitOfWork, values: MutationInput) -> Answer:
    """Add to a release and update it, without removing anything (S4 PATCH)."""
    return await _revise(turn, values, whole=False)


@command("replaceRelease")
async def replace(turn: UnitOfWork, values: MutationInput) -> Answer:
    """Replace all updatable fields of a release; missing ones get their defaults (S4 PUT)."""
    return await _revise(turn, values, whole=True)


async def _revise(turn: UnitOfWork, values: MutationInput, *, whole: bool) -> Answer:
    before = await unit_of_work.load_for_update(turn, values["id"], values)
    if isinstance(before, Problem):
        return before
    now, checks = timestamps.now(), Validator(values, "input")
    fields = release_update.read(checks, now, before)
    fields |= {"id": before["id"], "version": before["version"]}
    warnings = await resolve_and_complete(turn, checks, fields, before, whole=whole)
    release_update.check_urls(before, checks, fields)
    release_update.find_files(before, checks, fields, replace=whole)
    release_update.unique(checks, fields)
    after = release_update.apply_update(before, checks, fields, now, replace=whole)
    release_update.check_immutable(checks, before, after)
    if checks.found:
        return errors.ValidationProblem(violations=checks.found)
    return {"release": await store(turn, before, after), "warnings": warnings}


async def store(
    turn: UnitOfWork, before: ReleaseDocument, after: ReleaseDocument, kind: str = "release.updated"
) -> ReleaseDocument:
    """Store a changed release and write its events; without a change, do neither."""
    changed = {field: value for field, value in after.items() if value != before.get(field)}
    if not changed:
        return before
    if "name" in changed:
        after["nameSince"] = changed["nameSince"] = timestamps.now()
    unit_of_work.check_size(after)
    if "revision" in changed:
        # A change of the version scheme may have passed its new place already.
        product = await turn.one(PRODUCTS, after["productId"])
        changed |= version_keys(product, after["version"]) if product else {}
    made = await unit_of_work.update_release(turn, before, changed)
    await _append_events(turn, kind, before["delivery"], made)
    return made


async def resolve_and_complete(
    turn: UnitOfWork, checks: Validator, fields: Values, before: ReleaseDocument | None, *, whole: bool = True
) -> list[str]:
    """Check the fields of a release against its references, complete them from there, and return warnings."""
    release_update.check_references(checks, fields, await load_referenced(turn, [fields]), fields)
    return await apply_delivery(turn, checks, fields, before, whole=whole)


async def apply_delivery(
    turn: UnitOfWork,
    checks: Validator,
    fields: Values,
    before: ReleaseDocument | None = None,
    *,
    whole: bool = True,
) -> list[str]:
    """Set the delivery in `fields` from the input in `checks`, and return warnings."""
    inner, then = checks.inner("delivery"), before["delivery"] if before else None
    if inner is None:
        if whole and then and then["status"] in release_delivery.STARTED_OR_LATER:
            fields["delivery"] = then
            return [release_delivery.kept(then)]
        return []
    values_ = release_delivery.read(inner)
    ids_of = release_delivery.references(then, values_)
    related = await stored_delivery.known(turn.caller, turn.database, ids_of, turn.session)
    fields["delivery"], warnings = release_delivery.apply(
        then, values_, related, inner, timestamps.now(), replace=whole
    )
    return warnings


async def load_referenced(turn: UnitOfWork, documents: Collection[Values]) -> dict[str, dict[str, StoredDocument]]:
    """Return the documents to which releases refer, for each collection by id."""
    ids_of = {
        collection: {one.get(field) for one in documents} for field, collection in release_update.RELATED.items()
    }
    ids_of[RELEASES] = {needed["releaseId"] for one in documents for needed in one.get("dependencies", ())}
    found: dict[str, dict[str, StoredDocument]] = {}
    for collection, ids_ in ids_of.items():
        keys = [turn.caller.key(id_) for id_ in ids_ if id_]
        seen = visibility.visible(turn.caller) if collection == RELEASES else {}
        match, shown = {"_id": {"$in": keys}, **seen}, {"id": 1, "name": 1, "version": 1}
        some = turn.database[CollectionName[Any](collection)].find(match, shown, session=turn.session)
        found[collection] = {one["id"]: one async for one in some} if keys else {}
    return found
