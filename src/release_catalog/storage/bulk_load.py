"""Bulk import and export of releases."""

import collections
import dataclasses
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pymongo.errors import BulkWriteError

from release_catalog.domain import ids, release, release_document, timestamps, versions
from release_catalog.domain import release_update as drafts
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import CatalogDocument, ProductDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_update import Values
from release_catalog.domain.validation import Validator
from release_catalog.errors import Violation
from release_catalog.storage import (
    cursors,
    forms,
    named_products,
    reference_lookup,
    release_writes,
    scheme_change,
    search_terms,
    unit_of_work,
    verification_jobs,
    visibility,
)
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import (
    CATALOGS,
    PRODUCTS,
    RELEASES,
    CollectionName,
    Stored,
    StoredDocument,
)
from release_catalog.storage.database import Database
from release_catalog.storage.search_terms import StoredReleaseDocument
from release_catalog.storage.unit_of_work import UnitOfWork

DEFAULT_CATALOG = "default"
BATCH = 1_000
# The fields that no two releases of a tenant share.
IDENTITY = ("catalogId", "productId", "version", "revision", "channel")
_UNSAID = {field: release.FIELDS[field].default for field in ("revision", "channel")}

_DUPLICATE_KEY = 11000


@dataclasses.dataclass(frozen=True)
class NewProducts:
    """Whether a load or an import creates the products that do not exist, and their version scheme (S1)."""

    create: bool = True
    scheme: versions.Scheme = "ANY"


CREATED = NewProducts()


@dataclasses.dataclass(frozen=True)
class Loaded:
    """The result of a batch: the number of added releases, of those that existed before, and of new products.

    `refused` has the violation of each other release, by its place in the batch.
    """

    added: int
    present: int
    products: int = 0
    refused: Mapping[int, Violation] = dataclasses.field(default_factory=dict)


async def load(
    caller: Caller,
    database: Database,
    read: Collection[Values],
    *,
    catalog_id: str = DEFAULT_CATALOG,
    publish: bool = False,
    new: NewProducts = CREATED,
    known: Mapping[str, ProductDocument] | None = None,
) -> Loaded:
    """Add the releases that `release_document.read` made of import documents, and that pass `check`.

    A release whose identity is taken stays as it is, so that an interrupted load can be repeated. With `publish`
    the releases come in as published, else as drafts (S1). `known` are the products that `check` has found.
    """
    if not read:
        return Loaded(0, 0)
    now = timestamps.now()
    projects = {fields["project"] for fields in read}
    if known is None:
        known = (await named_products.find(caller, database, projects, catalog_id)).products
    products, created = await _with_new(caller, database, catalog_id, projects, known, new)
    life: Values = {"status": "PUBLISHED", "publishedAt": now} if publish else {}
    made: list[ReleaseDocument] = []
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for fields in read:
        product_ = products[fields["project"]]
        attributes = {name: value for name, value in fields.items() if name != "project"}
        attributes["name"] = fields["name"] or product_["name"]
        # Of several with one name and version, the first in the file has it first.
        names = (attributes["name"], fields["version"])
        since = now + counts[names] * timestamps.MILLISECOND
        counts[names] += 1
        made.append(release.document(caller.tenant, product_, now=now, **attributes, **life, nameSince=since))
    for document in made:
        verification_jobs.set_verification(document, "SKIP", ())
    failed = await _insert(database, RELEASES, (_unsettled(caller, document) for document in made))
    await scheme_change.order_inserted(caller, database, list(products.values()), made)
    # A document without an id stands for the release that has its identity, whatever the id of that one is.
    named = {at: made[at] for at, fields in enumerate(read) if at in failed and "id" in fields}
    refused = await _refused(caller, database, named)
    added = [document for at, document in enumerate(made) if at not in failed]
    # An earlier load may have ended between the insertion and this. Then this one, or a migration, completes it.
    if publish:
        await reference_lookup.settle_names(caller, database, added, made)
    with_id = {made[at]["id"] for at, fields in enumerate(read) if "id" in fields and at not in refused}
    await _lead_by_id(caller, database, made, with_id, added)
    await _settled(caller, database, added)
    if added:
        await unit_of_work.count_change(caller, database)
    return Loaded(len(added), len(failed) - len(refused), created, refused)


async def _lead_by_id(
    caller: Caller,
    database: Database,
    made: Sequence[ReleaseDocument],
    with_id: Collection[str],
    added: Sequence[ReleaseDocument],
) -> None:
    """Let references by id lead to the releases of a load, and references in a load to releases that exist now.

    A release that existed when the load was checked may have been discarded since, and one of its own refused.
    """
    needed = [one for document in made for one in document["dependencies"] if one["releaseId"]]
    keys = {caller.key(id_) for id_ in (*with_id, *(one["releaseId"] or "" for one in needed))}
    match = {"_id": {"$in": list(keys)}, "tenantId": caller.tenant}
    found = database[RELEASES].find(match, reference_lookup.CANDIDATE_FIELDS)
    there = {release["id"]: release for release in await cursors.documents(found)} if keys else {}
    sought = {*with_id, *(one["releaseId"] or "" for one in needed if one.get("missing"))} & there.keys()
    if sought:
        beside = {document["id"] for document in added}
        await reference_lookup.learn_ids(caller, database, [there[id_] for id_ in sought], beside=beside)
    for id_ in {one["releaseId"] or "" for one in needed if not one.get("missing")} - there.keys():
        await reference_lookup.forget_id(caller, database, id_)


def _unsettled(caller: Caller, document: ReleaseDocument) -> StoredReleaseDocument:
    """Return a release as it is inserted, in a form whose migration settles its references if the load ends."""
    stored: Any = {**search_terms.to_stored(caller, document), forms.FORM: forms.UNSETTLED}
    made: StoredReleaseDocument = stored
    return made


async def _settled(caller: Caller, database: Database, made: Iterable[ReleaseDocument]) -> None:
    """Give releases whose references are settled today's form; one in a newer form is only migrated again."""
    match = {"_id": {"$in": [caller.key(document["id"]) for document in made]}}
    await database[RELEASES].update_many(match, {"$set": {forms.FORM: forms.current(RELEASES)}})


async def _insert(
    database: Database, collection: CollectionName[Stored], documents: Iterable[Stored]
) -> frozenset[int]:
    """Insert the documents that no unique index refuses, and return the places of the others."""
    try:
        await database[collection].insert_many(list(documents), ordered=False)
    except BulkWriteError as error:
        failures = error.details["writeErrors"]
        if any(failure["code"] != _DUPLICATE_KEY for failure in failures):
            raise
        return frozenset(failure["index"] for failure in failures)
    return frozenset()


async def _refused(
    caller: Caller, database: Database, made: Mapping[int, ReleaseDocument]
) -> dict[int, Violation]:
    """Return violations of the releases whose id is taken, or whose identity is that of another id."""
    if not made:
        return {}
    holders = await _holders(caller, database, (document["id"] for document in made.values()))
    refused = {}
    for at, document in made.items():
        holder = holders.get(document["id"])
        if holder is None:
            message = (
                f"The version {document['version']} of this product exists under another id than "
                f"{document['id']!r}: give that id, or none."
            )
            refused[at] = Violation("id", message, "CONFLICT")
        elif _identity(holder) != _identity(document):
            refused[at] = _used(document["id"])
    return refused


async def _holders(caller: Caller, database: Database, ids_: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Return the identities of the releases that have or had these ids, by id; a discarded draft has none."""
    keys = {caller.key(id_): id_ for id_ in ids_}
    found: Any = database[RELEASES].find({"_id": {"$in": list(keys)}}, dict.fromkeys(IDENTITY, 1))
    return {keys[holder["_id"]]: holder async for holder in found.batch_size(db.ONE_BATCH)}


def _identity(document: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(document.get(field) for field in IDENTITY)


def _used(id_: str) -> Violation:
    return Violation("id", f"The id {id_!r} was used before: ids are never reused. Give another one.", "CONFLICT")


class Checked(NamedTuple):
    """The violations of a batch by number, and the products that its releases name."""

    refused: dict[int, list[Violation]]
    products: dict[str, ProductDocument]


async def check(
    caller: Caller,
    database: Database,
    read: Mapping[int, Values],
    *,
    catalog_id: str = DEFAULT_CATALOG,
    new: NewProducts = CREATED,
) -> Checked:
    """Check releases against stored documents, and complete the valid ones."""
    turn = UnitOfWork(caller, database)
    known = await release_writes.load_referenced(turn, read.values())
    projects = {fields["project"] for fields in read.values()}
    named = await named_products.find(caller, database, projects, catalog_id)
    holders = await _holders(caller, database, (fields["id"] for fields in read.values() if "id" in fields))
    there = await _with_old_versions(caller, database, read, named.products, catalog_id)
    earlier = known["releases"]
    refused: dict[int, list[Violation]] = {}
    for number, fields in read.items():
        checks = Validator(fields, "")
        product_ = named_products.check(checks, "project", fields["project"], named, create=new.create)
        if number not in there:
            scheme = product_["versionScheme"] if product_ else new.scheme
            named_products.check_version(checks, fields["version"], scheme)
        own = {
            "id": None,
            **fields,
            "name": fields["name"] or (product_["name"] if product_ else fields["project"]),
        }
        if holder := holders.get(own["id"]):
            placed = _placed(fields, product_, catalog_id)
            if "productId" not in holder or _identity(holder) != _identity(placed):
                checks.found.append(_used(own["id"]))
        drafts.check_references(checks, fields, known, own)
        if "delivery" in fields:
            await release_writes.apply_delivery(turn, checks, fields)
        if checks.found:
            refused[number] = checks.found
        elif "id" in fields:
            # As if each line was saved before the next one is read.
            target: Any = {name: own[name] for name in ("id", "name", "version")}
            earlier.setdefault(fields["id"], target)
    return Checked(refused, named.products)


def _placed(fields: Values, product_: ProductDocument | None, catalog_id: str) -> dict[str, Any]:
    return {"catalogId": catalog_id, "productId": product_ and product_["id"], **_UNSAID, **fields}


async def _with_old_versions(
    caller: Caller,
    database: Database,
    read: Mapping[int, Values],
    known: Mapping[str, ProductDocument],
    catalog_id: str,
) -> frozenset[int]:
    """Return the numbers of existing releases whose version the present scheme of their product refuses."""
    odd = {
        number: _identity(_placed(fields, product_, catalog_id))
        for number, fields in read.items()
        if (product_ := known.get(fields["project"]))
        and versions.problem(product_["versionScheme"], fields["version"])
    }
    if not odd:
        return frozenset()
    match = {
        "$or": [
            {"tenantId": caller.tenant, **dict(zip(IDENTITY, identity, strict=True))} for identity in odd.values()
        ]
    }
    found: Any = database[RELEASES].find(match, dict.fromkeys(IDENTITY, 1), hint="identity")
    there = {_identity(holder) async for holder in found.batch_size(db.ONE_BATCH)}
    return frozenset(number for number, identity in odd.items() if identity in there)


async def _with_new(
    caller: Caller,
    database: Database,
    catalog_id: str,
    projects: Collection[str],
    known: Mapping[str, ProductDocument],
    new: NewProducts,
) -> tuple[Mapping[str, ProductDocument], int]:
    """Return the product of each project, and the number of those that were created now (S1)."""
    missing = [product(caller, catalog_id, project, new.scheme) for project in projects if project not in known]
    if not missing:
        return known, 0
    await catalog(caller, database, catalog_id)
    failed = await _insert(database, PRODUCTS, missing)
    if not failed:
        return {**known, **{made["key"]: made for made in missing}}, len(missing)
    found = await named_products.find(caller, database, projects, catalog_id)
    return found.products, len(missing) - len(failed)


def product(caller: Caller, catalog_id: str, project: str, scheme: versions.Scheme = "ANY") -> ProductDocument:
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
        "versionScheme": scheme,
    }


def new_catalog(caller: Caller, catalog_id: str) -> CatalogDocument:
    """Return a new catalog with this id."""
    return {
        "_id": caller.key(catalog_id),
        "id": catalog_id,
        "tenantId": caller.tenant,
        "name": "Default catalog" if catalog_id == DEFAULT_CATALOG else catalog_id,
        "description": None,
        "public": False,
        "createdAt": timestamps.now(),
    }


async def catalog(caller: Caller, database: Database, catalog_id: str, session: Any = None) -> None:
    """Create the catalog with this id if it does not exist."""
    made = new_catalog(caller, catalog_id)
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
        await unit_of_work.count_change(caller, database)
    return len(keyed) - len(await _insert(database, collection, keyed)) if keyed else 0
