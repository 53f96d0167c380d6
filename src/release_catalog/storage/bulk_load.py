"""Bulk import and export of releases."""

import dataclasses
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any

from pymongo.errors import BulkWriteError

from release_catalog.domain import ids, release, release_document, timestamps
from release_catalog.domain import release_update as drafts
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import CatalogDocument, ProductDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_update import Values
from release_catalog.domain.validation import Validator
from release_catalog.errors import Violation
from release_catalog.storage import reference_lookup, release_writes, search_terms, verification_jobs, visibility
from release_catalog.storage.collection_names import (
    CATALOGS,
    PRODUCTS,
    RELEASES,
    CollectionName,
    Stored,
    StoredDocument,
)
from release_catalog.storage.database import Database, Filter
from release_catalog.storage.unit_of_work import UnitOfWork

DEFAULT_CATALOG = "default"
BATCH = 1_000

_DUPLICATE_KEY = 11000


@dataclasses.dataclass(frozen=True)
class Loaded:
    """The result of a batch: the number of added releases, and of those that existed before."""

    added: int
    present: int


async def load(
    caller: Caller,
    database: Database,
    read: Collection[Values],
    *,
    catalog_id: str = DEFAULT_CATALOG,
    publish: bool = False,
) -> Loaded:
    """Add the releases that `release_document.read` made of import documents without `contradictions`.

    A release whose identity is taken stays as it is, so that an interrupted load can be repeated. With `publish`
    the releases come in as published, else as drafts (S1).
    """
    if not read:
        return Loaded(0, 0)
    now = timestamps.now()
    products = await _products(caller, database, catalog_id, {fields["project"] for fields in read})
    life: Values = {"status": "PUBLISHED", "publishedAt": now, "nameSince": now} if publish else {}
    made = []
    for fields in read:
        attributes = {name: value for name, value in fields.items() if name != "project"}
        made.append(release.document(caller.tenant, products[fields["project"]], now=now, **attributes, **life))
    for document in made:
        verification_jobs.set_verification(document, "SKIP", ())
    added = await _insert(database, RELEASES, (search_terms.to_stored(caller, document) for document in made))
    if publish:
        await reference_lookup.settle_names(caller, database, made)
    return Loaded(added, len(made) - added)


async def _insert(database: Database, collection: CollectionName[Stored], documents: Iterable[Stored]) -> int:
    """Insert the documents that no unique index refuses, and return their number."""
    documents = list(documents)
    try:
        await database[collection].insert_many(documents, ordered=False)
    except BulkWriteError as error:
        if any(failure["code"] != _DUPLICATE_KEY for failure in error.details["writeErrors"]):
            raise
        return int(error.details["nInserted"])
    return len(documents)


async def contradictions(
    caller: Caller, database: Database, read: Mapping[int, Values]
) -> dict[int, list[Violation]]:
    """Return the violations in the references of releases, by number, and complete the valid releases."""
    known = await release_writes.load_referenced(UnitOfWork(caller, database), read.values())
    refused: dict[int, list[Violation]] = {}
    for number, fields in read.items():
        checks = Validator(fields, "")
        fields["id"] = ids.new()
        drafts.check_references(checks, fields, known, fields)
        if "delivery" in fields:
            await release_writes.apply_delivery(UnitOfWork(caller, database), checks, fields)
        if checks.found:
            refused[number] = checks.found
    return refused


async def _products(
    caller: Caller, database: Database, catalog_id: str, projects: set[str]
) -> dict[str, ProductDocument]:
    """Return the product of each project, found by key or id; create missing products (S1)."""
    found = await _known_products(caller, database, catalog_id, projects)
    missing = [product(caller, catalog_id, project) for project in projects if project not in found]
    if not missing:
        return found
    await catalog(caller, database, catalog_id)
    if await _insert(database, PRODUCTS, missing) == len(missing):
        return found | {made["key"]: made for made in missing}
    return await _known_products(caller, database, catalog_id, projects)


async def _known_products(
    caller: Caller, database: Database, catalog_id: str, projects: set[str]
) -> dict[str, ProductDocument]:
    names = list(projects)
    by_key: Filter = {"tenantId": caller.tenant, "key": {"$in": names}, "catalogId": catalog_id}
    by_id = {"_id": {"$in": [caller.key(project) for project in names]}, "catalogId": catalog_id}
    # A key wins over an id, because an export writes the key.
    found = [product async for product in database[PRODUCTS].find({"$or": [by_key, by_id]})]
    return {product["id"]: product for product in found if product["id"] in projects} | {
        product["key"]: product for product in found if product["key"] in projects
    }


def product(caller: Caller, catalog_id: str, project: str) -> ProductDocument:
    """Return a new product as an import makes it (S1)."""
    id_ = ids.new()
    return {
        "_id": caller.key(id_),
        "id": id_,
        "tenantId": caller.tenant,
        "catalogId": catalog_id,
        "key": project,
        "name": project,
        "description": None,
        "disclaimer": None,
        "longDisplayName": None,
        "category": None,
        "basedOnScratch": None,
        "latestFree": None,
        "versionScheme": "ANY",
    }


async def catalog(caller: Caller, database: Database, catalog_id: str, session: Any = None) -> None:
    """Create the catalog with this id if it does not exist."""
    made: CatalogDocument = {
        "_id": caller.key(catalog_id),
        "id": catalog_id,
        "tenantId": caller.tenant,
        "name": "Default catalog" if catalog_id == DEFAULT_CATALOG else catalog_id,
        "description": None,
        "public": False,
        "createdAt": timestamps.now(),
    }
    await database[CATALOGS].update_one({"_id": made["_id"]}, {"$setOnInsert": made}, upsert=True, session=session)


async def is_empty(caller: Caller, database: Database) -> bool:
    """Return whether the caller's tenant has no release yet."""
    return await database[RELEASES].find_one({"tenantId": caller.tenant}, {"_id": 1}) is None


async def export(caller: Caller, database: Database) -> AsyncIterator[dict[str, Any]]:
    """Yield import documents of all releases visible to the caller, oldest first, in bounded memory."""
    found = database[RELEASES].find(visibility.visible(caller), {"terms": 0})
    batch: list[ReleaseDocument] = []
    async for document in found.sort([("createdAt", 1), ("id", 1)]).hint("created").batch_size(BATCH):
        batch.append(document)
        if len(batch) == BATCH:
            for source in await _written(caller, database, batch):
                yield source
            batch = []
    for source in await _written(caller, database, batch):
        yield source


async def _written(caller: Caller, database: Database, batch: Sequence[ReleaseDocument]) -> list[dict[str, Any]]:
    keys = {"_id": {"$in": [caller.key(document["productId"]) for document in batch]}}
    products = {
        product["id"]: product["key"] async for product in database[PRODUCTS].find(keys, {"id": 1, "key": 1})
    }

    async def find(references: list[str]) -> list[ReleaseDocument | None]:
        found = await reference_lookup.resolve_references(caller, database, references, frozenset())
        return [found.get(reference) for reference in references]

    for document in batch:
        document["dependencies"] = await reference_lookup.disclosed(caller, document["dependencies"], find)
    return [release_document.written(document, products[document["productId"]]) for document in batch]


async def put(
    caller: Caller, database: Database, collection: CollectionName[Any], documents: Iterable[StoredDocument]
) -> int:
    """Add ready-made documents of the sample that do not exist yet, and return their number."""
    keyed: list[Any] = [{**d, "_id": caller.key(d["id"]), "tenantId": caller.tenant} for d in documents]
    if collection == RELEASES:
        keyed = [search_terms.to_stored(caller, document) for document in keyed]
    return await _insert(database, collection, keyed) if keyed else 0
