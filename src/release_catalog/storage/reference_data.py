"""Saving of reference data: created if the id is new or absent, changed otherwise."""

from typing import Any

from pymongo.errors import DuplicateKeyError

from release_catalog import errors
from release_catalog.domain import ids, reference_data, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import EnvironmentDocument, Fields, ProductDocument
from release_catalog.domain.validation import Validator
from release_catalog.errors import Problem
from release_catalog.storage import bulk_load, cursors, renamed_products, scheme_change, transactions
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import (
    CATALOGS,
    ENVIRONMENTS,
    PRODUCTS,
    CollectionName,
    Stored,
)
from release_catalog.storage.database import Database
from release_catalog.storage.idempotency import MutationInput
from release_catalog.storage.records import MAX_LISTED
from release_catalog.storage.unit_of_work import UnitOfWork


async def save_reference(
    caller: Caller, database: Database, collection: CollectionName[Stored], values: MutationInput
) -> Stored | Problem:
    """Save a catalog, pipeline, project, registry or base image, which depend on nothing else."""

    async def work(session: Any) -> Stored | Problem:
        checks = Validator(values, "input")
        fields = reference_data.read(checks, collection)
        new = {"createdAt": timestamps.now()} if collection == CATALOGS else {}
        return await _put(UnitOfWork(caller, database, session), collection, checks, fields, new)

    return await transactions.run(database, work)


async def environment(caller: Caller, database: Database, values: MutationInput) -> EnvironmentDocument | Problem:
    """Save an environment; its name is immutable, because the ledger and its contents refer to it by name."""

    async def work(session: Any) -> EnvironmentDocument | Problem:
        checks = Validator(values, "input")
        found = database[ENVIRONMENTS].find({"tenantId": caller.tenant}, session=session).limit(MAX_LISTED)
        known = await cursors.documents(found, MAX_LISTED)
        fields = reference_data.environment(checks, {e["name"]: e["requires"] for e in known})
        for before in known:
            if before["id"] == values.get("id"):
                checks.fixed("name", before["name"])
        return await _put(UnitOfWork(caller, database, session), ENVIRONMENTS, checks, fields)

    try:
        return await transactions.run(database, work)
    except DuplicateKeyError as error:
        return await _conflict(caller, database, ENVIRONMENTS, error)


async def product(caller: Caller, database: Database, values: MutationInput) -> ProductDocument | Problem:
    """Save a product, which stays in its catalog; a new version scheme reorders its releases."""
    catalog_id, owner = values.get("catalogId"), ids.new()

    async def work(session: Any) -> ProductDocument | Problem:
        checks = Validator(values, "input")
        fields = reference_data.read(checks, PRODUCTS)
        turn = UnitOfWork(caller, database, session)
        before = await turn.one(PRODUCTS, values.get("id") or "")
        if before:
            checks.fixed("catalogId", before["catalogId"])
        elif catalog_id and not await turn.one(CATALOGS, catalog_id):
            checks.refuse("catalogId", "UNKNOWN", f"The catalog {catalog_id!r} does not exist: save it first.")
        elif not catalog_id:
            await bulk_load.catalog(caller, database, bulk_load.DEFAULT_CATALOG, session)
        new = {"catalogId": catalog_id or bulk_load.DEFAULT_CATALOG}
        scheme = fields.pop("versionScheme", None) if before else None
        saved = await _put(turn, PRODUCTS, checks, fields, new)
        await renamed_products.mark(turn, before, saved)
        if scheme is None or isinstance(saved, Problem):
            return saved
        if "schemeChange" in saved:
            raise scheme_change.UnderWay
        if saved["versionScheme"] == scheme:
            return saved
        return await scheme_change.begin(turn, saved, scheme, owner)

    while True:
        try:
            saved = await transactions.run(database, work)
        except DuplicateKeyError as error:
            return await _conflict(caller, database, PRODUCTS, error)
        except scheme_change.UnderWay:
            await scheme_change.wait(database, caller.key(values["id"]))
            continue
        await renamed_products.finish(database, saved)
        if isinstance(saved, Problem) or saved.get("schemeChange", {}).get("owner") != owner:
            return saved
        return await scheme_change.finish(database, saved, owner)


async def _put(
    turn: UnitOfWork,
    collection: CollectionName[Stored],
    checks: Validator,
    fields: Fields,
    new: Fields | None = None,
) -> Stored | Problem:
    """Set `fields` in one conditional write; other fields keep their values, or get `new` or the defaults."""
    id_ = checks.id("id") or ids.new()
    if checks.found:
        return errors.ValidationProblem(violations=checks.found)
    made = {"id": id_, "tenantId": turn.caller.tenant, **reference_data.defaults(collection), **(new or {})}
    change = {"$set": fields, "$setOnInsert": {key: made[key] for key in made.keys() - fields.keys()}}
    return await db.upsert(turn.database[collection], {"_id": turn.caller.key(id_)}, change, turn.session)


async def _conflict(
    caller: Caller, database: Database, collection: CollectionName[Stored], error: DuplicateKeyError
) -> Problem:
    taken = (error.details or {}).get("keyValue", {})
    other = await database[collection].find_one({**taken, "tenantId": caller.tenant}, {"id": 1})
    name = taken.get("key") or taken.get("name")
    detail = (
        f"Another document has the value {name!r}: give another value, or the id of that document to change it."
    )
    return errors.Conflict(detail=detail, conflicting_id=other["id"] if other else None)
