"""Creation, patching and replacement of releases."""

import asyncio
import datetime
import functools
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from release_catalog import errors
from release_catalog.domain import (
    ids,
    references,
    release,
    release_delivery,
    release_document,
    release_update,
    timestamps,
)
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import ProductDocument, version_keys
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_delivery import DeliveryDocument
from release_catalog.domain.release_update import Values
from release_catalog.domain.validation import Validator
from release_catalog.domain.version_schemes.scheme import MAX_VERSION
from release_catalog.errors import Problem
from release_catalog.storage import database as db
from release_catalog.storage import named_products, reference_lookup, release_batch, unit_of_work, visibility
from release_catalog.storage import release_delivery as stored_delivery
from release_catalog.storage.bulk_writes import Bulk, Decisions, Place
from release_catalog.storage.collection_names import PRODUCTS, RELEASES, CollectionName, StoredDocument
from release_catalog.storage.database import Database
from release_catalog.storage.idempotency import Answer, MutationInput
from release_catalog.storage.release_batch import Batch, Decision, identity
from release_catalog.storage.unit_of_work import Rollback, UnitOfWork, command

# The maximum time to lock the key of a bulk.
_LOCK_SECONDS = 10.0
# The fields of a document that a draft is created from.
_DOCUMENT = release.INPUT_FIELDS | {"id", "productId", "catalogId"}


@command("createRelease")
async def create(turn: UnitOfWork, values: MutationInput) -> Answer:
    """Create a draft (S2)."""
    return await _create(turn, Draft(Validator(values, "input")))


@command("createReleaseDocument")
async def create_from_document(turn: UnitOfWork, values: MutationInput) -> Answer:
    """Create a draft from the JSON object `values["release"]`, which nothing has checked yet (S2)."""
    document = values["release"]
    checks = Validator(document if document.get("name") is not None else {**document, "name": ""}, "")
    checks.known(_DOCUMENT)
    return await _create(turn, Draft(checks))


async def _create(turn: UnitOfWork, draft: "Draft") -> Answer:
    batch = Batch(turn)
    await load_drafts(batch, [draft])
    answer, new = _decide(batch, draft)
    if new:
        batch.keep(new)
        await batch.store()
    return answer


async def create_all(caller: Caller, database: Database, values: MutationInput) -> Answer:
    """Create drafts (S2), each as `create` does."""
    bulk = Bulk(caller, database, "createReleases", values)
    if refused := bulk.refused():
        return refused
    async with bulk.locked(min(db.remaining(), _LOCK_SECONDS)) as done:
        return done if isinstance(done, Problem) else await bulk.run(done, bulk.places, _start_drafts)


async def _start_drafts(turn: UnitOfWork, places: Sequence[Place], _: float) -> tuple[Batch, Decisions]:
    batch, drafts = Batch(turn), list[Draft]()
    for place in places:
        drafts.append(Draft(Validator(place.values, "input")))
        await asyncio.sleep(0)  # a turn for others
    await load_drafts(batch, drafts)
    await _load_holders(batch, drafts)
    return batch, [functools.partial(_decide, batch, draft) for draft in drafts]


class Draft:
    """The input for a new draft (S2), with its parsed fields and its violations so far."""

    def __init__(self, checks: Validator) -> None:
        self.now = timestamps.now()
        self.checks = checks
        self.product_id = checks.text("productId", 256, required=True)
        self.catalog_id = checks.text("catalogId", 255)
        self.fields = release_update.read(checks, self.now)
        self.fields |= {
            "version": checks.name("version", MAX_VERSION) or "",
            "createdAt": _created(checks, self.now),
            "id": checks.new_id("id") or ids.new(),
        }
        self.has_given_id = checks.fields.get("id") is not None
        self.delivery = read_delivery(checks)


async def load_drafts(batch: Batch, drafts: Sequence[Draft]) -> None:
    """Read the documents around new drafts."""
    turn = batch.turn
    batch.products = await batch.load_by_id(PRODUCTS, [draft.product_id for draft in drafts])
    batch.referenced = await load_referenced(turn, [draft.fields for draft in drafts])
    await batch.load_deliveries(
        release_delivery.references(None, draft.delivery.values) for draft in drafts if draft.delivery
    )


async def _load_holders(batch: Batch, drafts: Sequence[Draft]) -> None:
    """Read the releases that may be in the way of new drafts."""
    identities = [
        identity({**draft.fields, "catalogId": product["catalogId"], "productId": product["id"]})
        for draft in drafts
        if (product := batch.products.get(draft.product_id or ""))
    ]
    await batch.load_holders(identities, [draft.fields["id"] for draft in drafts if draft.has_given_id])


def _decide(batch: Batch, draft: Draft) -> Decision:
    """Return the result of a new draft, and its writes unless it is refused."""
    checks, fields, caller = draft.checks, draft.fields, batch.turn.caller
    product = batch.products.get(draft.product_id or "")
    if product and (refused := unit_of_work.check_product_scope(caller, product["id"])):
        return refused, None
    _check_product(draft, product)
    release_update.check_references(checks, fields, batch.referenced, fields)
    warnings = complete_delivery(draft.delivery, fields, None, batch.delivery)
    release_update.check_urls(None, checks, fields)
    release_update.unique(checks, fields)
    if checks.found or product is None:
        return errors.ValidationProblem(violations=checks.found), None
    made = release.document(caller.tenant, product, now=draft.now, createdBy=caller.subject, **fields)
    new = batch.created(made, "release.created", has_given_id=draft.has_given_id)
    refused = release_batch.too_large(new) or batch.in_the_way(made)
    return (refused, None) if refused else ({"release": made, "warnings": warnings}, new)


def _check_product(draft: Draft, product: ProductDocument | None) -> None:
    checks, id_, catalog_id = draft.checks, draft.product_id, draft.catalog_id
    if product is None and id_:
        checks.refuse("productId", "UNKNOWN", f"The product {id_!r} does not exist: save it first.")
    elif product and catalog_id not in {None, product["catalogId"]}:
        message = f"The product is in the catalog {product['catalogId']!r}: give this catalog, or none."
        checks.refuse("catalogId", "CONTRADICTORY_REFERENCE", message)
    if product:
        named_products.check_version(checks, draft.fields["version"], product["versionScheme"])


def _created(checks: Validator, now: datetime.datetime) -> datetime.datetime:
    created = (checks.instant("createdAt") if checks.fields.get("createdAt") else None) or now
    release_document.check_past(checks, "createdAt", created, now)
    return created


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
    return {"release": await _store(turn, before, after), "warnings": warnings}


async def _store(turn: UnitOfWork, before: ReleaseDocument, after: ReleaseDocument) -> ReleaseDocument:
    """Store a changed release and write its events; without a change, do neither."""
    changed = {field: value for field, value in after.items() if value != before.get(field)}
    if not changed:
        return before
    if "name" in changed:
        after["nameSince"] = changed["nameSince"] = timestamps.now()
        changed |= await _freed_references(turn, before, after)
    if violations := unit_of_work.too_large(after, "input"):
        raise Rollback(errors.ValidationProblem(violations=violations))
    if "revision" in changed:
        # A change of the version scheme may have passed its new place already.
        product = await turn.one(PRODUCTS, after["productId"])
        changed |= version_keys(product, after["version"]) if product else {}
    made = await unit_of_work.update_release(turn, before, changed)
    kinds = ["release.updated", release_delivery.event(before["delivery"], made["delivery"])]
    new = [unit_of_work.new_event(turn.caller, kind, made) for kind in kinds if kind]
    await unit_of_work.append_events(turn.caller, turn.database, new, turn.session)
    return made


async def _freed_references(turn: UnitOfWork, before: ReleaseDocument, after: ReleaseDocument) -> Values:
    """Let the references that led nowhere because they name `before` itself lead by name, after a change of it."""
    own = (before["name"], before["version"])
    needed = after["dependencies"]
    ids_ = {one["releaseId"] or "" for one in needed if (one["name"], one["version"]) == own} - {""}
    lost = await reference_lookup.missing(turn.caller, turn.database, ids_, turn.session) if ids_ else set()
    if not lost:
        return {}
    after["dependencies"] = [
        references.redirected(one, after, missing=True) if one["releaseId"] in lost else one for one in needed
    ]
    return {"dependencies": after["dependencies"]}


async def resolve_and_complete(
    turn: UnitOfWork, checks: Validator, fields: Values, before: ReleaseDocument | None, *, whole: bool = True
) -> list[str]:
    """Check the fields of a release against its references, complete them from there, and return warnings."""
    release_update.check_references(checks, fields, await load_referenced(turn, [fields]), fields)
    return await apply_delivery(turn, checks, fields, before, whole=whole)


class DeliveryChange(NamedTuple):
    """A delivery as an input gives it: its parsed values, and the validator of their object."""

    checks: Validator
    values: Values


def read_delivery(checks: Validator) -> DeliveryChange | None:
    """Return the delivery of an input, or None without one."""
    inner = checks.inner("delivery")
    return DeliveryChange(inner, release_delivery.read(inner)) if inner else None


def complete_delivery(
    change: DeliveryChange | None,
    fields: Values,
    before: DeliveryDocument | None,
    known: release_delivery.Known,
    *,
    whole: bool = True,
) -> list[str]:
    """Set the delivery in `fields`, and return warnings."""
    if change is None:
        if whole and before and before["status"] in release_delivery.STARTED_OR_LATER:
            fields["delivery"] = before
            return [release_delivery.kept(before)]
        return []
    fields["delivery"], warnings = release_delivery.apply(
        before, change.values, known, change.checks, timestamps.now(), replace=whole
    )
    return warnings


async def apply_delivery(
    turn: UnitOfWork,
    checks: Validator,
    fields: Values,
    before: ReleaseDocument | None = None,
    *,
    whole: bool = True,
) -> list[str]:
    """Set the delivery in `fields` from the input in `checks`, and return warnings."""
    change, then = read_delivery(checks), before["delivery"] if before else None
    known = release_delivery.Known({}, {})
    if change:
        wanted = release_delivery.references(then, change.values)
        known = await stored_delivery.known(turn.caller, turn.database, wanted, turn.session)
    return complete_delivery(change, fields, then, known, whole=whole)


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
