"""Bulk import and export of releases."""

import dataclasses
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any

from pymongo.errors import BulkWriteError

from release_catalog.domain import ids, reference_data, release, release_document, timestamps
from release_catalog.domain import release_update as drafts
from release_catalog.domain.caller import Caller
from release_catalog.domain.validation import Validator
from release_catalog.errors import Violation
from release_catalog.storage import release_writes, releases, search_terms
from release_catalog.storage.database import Database, Document
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
    read: Collection[Document],
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
    life: Document = {"status": "PUBLISHED", "publishedAt": now} if publish else {}
    made = []
    for fields in read:
        attributes = {name: value for name, value in fields.items() if name != "project"}
        made.append(release.document(caller.tenant, products[fields["project"]], now=now, **attributes, **life))
    added = await _insert(database, "releases", (search_terms.to_stored(caller, document) for document in made))
    return Loaded(added, len(made) - added)


async def _insert(database: Database, collection: str, documents: Iterable[Document]) -> int:
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
    caller: Caller, database: Database, read: Mapping[int, Document]
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
) -> dict[str, Document]:
    """Return the product of each project, found by key or id; create missing products (S1)."""
    found = await _known_products(caller, database, catalog_id, projects)
    missing = [product(caller, catalog_id, project) for project in projects if project not in found]
    if not missing:
        return found
    await catalog(caller, database, catalog_id)
    if await _insert(database, "products", missing) == len(missing):
        return found | {made["key"]: made for made in missing}
    return await _known_products(caller, database, catalog_id, projects)


async def _known_products(
    caller: Caller, database: Database, catalog_id: str, projects: set[str]
) -> dict[str, Document]:
    names = list(projects)
    by_key = {"tenantId": caller.tenant, "key": {"$in": names}, "catalogId": catalog_id}
    by_id = {"_id": {"$in": [caller.key(project) for project in names]}, "catalogId": catalog_id}
    # A key wins over an id, because an export writes the key.
    found = [product async for product in database.products.find({"$or": [by_key, by_id]})]
    return {product["id"]: product for product in found if product["id"] in projects} | {
        product["key"]: product for product in found if product["key"] in projects
    }


def product(caller: Caller, catalog_id: str, project: str) -> Document:
    """Return a new product as an import makes it (S1)."""
    id_ = ids.new()
    made = {"_id": caller.key(id_), "id": id_, "tenantId": caller.tenant, "catalogId": catalog_id}
    return {**reference_data.defaults("products"), **made, "key": project, "name": project, "versionScheme": "ANY"}


async def catalog(caller: Caller, database: Database, catalog_id: str, session: Any = None) -> None:
    """Create the catalog with this id if it does not exist."""
    name = "Default catalog" if catalog_id == DEFAULT_CATALOG else catalog_id
    made = {**reference_data.defaults("catalogs"), "id": catalog_id, "tenantId": caller.tenant, "name": name}
    key, new = {"_id": caller.key(catalog_id)}, {"$setOnInsert": {**made, "createdAt": timestamps.now()}}
    await database.catalogs.update_one(key, new, upsert=True, session=session)


async def is_empty(caller: Caller, database: Database) -> bool:
    """Return whether the caller's tenant has no release yet."""
    return await database.releases.find_one({"tenantId": caller.tenant}, {"_id": 1}) is None


async def export(caller: Caller, database: Database) -> AsyncIterator[dict[str, Any]]:
    """Yield import documents of all releases visible to the caller, oldest first, in bounded memory."""
    found = database.releases.find(releases.visible(caller), {"terms": 0})
    batch: list[Document] = []
    async for document in found.sort([("createdAt", 1), ("id", 1)]).hint("created").batch_size(BATCH):
        batch.append(document)
        if len(batch) == BATCH:
            for source in await _written(caller, database, batch):
                yield source
            batch = []
    for source in await _written(caller, database, batch):
        yield source


async def _written(caller: Caller, database: Database, batch: Sequence[Document]) -> list[dict[str, Any]]:
    keys = {"_id": {"$in": [caller.key(document["productId"]) for document in batch]}}
    products = {
        product["id"]: product["key"] async for product in database.products.find(keys, {"id": 1, "key": 1})
    }

    async def find(references: list[str]) -> list[Document | None]:
        found = await releases.resolve_references(caller, database, references, frozenset())
        return [found.get(reference) for reference in references]

    for document in batch:
        document["dependencies"] = await releases.disclosed(caller, document["dependencies"], find)
    return [release_document.written(document, products[document["productId"]]) for document in batch]


async def put(caller: Caller, database: Database, collection: str, documents: Iterable[Mapping[str, Any]]) -> int:
    """Add ready-made documents of the sample that do not exist yet, and return their number."""
    keyed = [{**d, "_id": caller.key(d["id"]), "tenantId": caller.tenant} for d in documents]
    if collection == "releases":
        keyed = [search_terms.to_stored(caller, document) for document in keyed]
    return await _insert(database, collection, keyed) if keyed else 0
