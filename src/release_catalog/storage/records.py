"""Reads of reference data: catalogs, products, pipelines, projects, environments, promotions and more."""

import datetime
from collections.abc import Iterable
from typing import Any

from release_catalog.domain.caller import Caller
from release_catalog.domain.promotion import (
    EnvironmentContentDocument,
    PromotionDocument,
    content_id,
    content_place,
)
from release_catalog.domain.reference_data import (
    EnvironmentDocument,
    ExecutionDocument,
    ProductDocument,
)
from release_catalog.errors import InvalidArgument
from release_catalog.storage import cursors, release_filters, visibility
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import (
    BASE_IMAGES,
    CATALOGS,
    CONTENTS,
    ENVIRONMENTS,
    EXECUTIONS,
    PIPELINES,
    PRODUCTS,
    PROJECTS,
    PROMOTIONS,
    REGISTRIES,
    RELEASES,
    CollectionName,
    Stored,
)
from release_catalog.storage.database import Database, Filter, Stage
from release_catalog.storage.pagination import MAX_PAGE, Order, PageArgs, PageQuery

# The maximum length of lists that have no pages in the contract.
MAX_LISTED = 1000
MAX_EXECUTIONS = 100
MAX_DISTRO = 129

_BY_KEY = Order("KEY", "key", {"key": str, "catalogId": str})
_BY_KEY_IN_CATALOG = Order("CATALOG", "catalog", {"key": str})
_BY_NAME: dict[CollectionName[Any], Order] = {
    collection: Order("NAME", index, {"name": str, "id": str})
    for collection, index in (
        (CATALOGS, "name"),
        (PIPELINES, "listed"),
        (PROJECTS, "listed"),
        (REGISTRIES, "listed"),
        (BASE_IMAGES, "listed"),
    )
}
_BY_PATH = Order("PATH", "path", {"path": str})
_BY_SEQUENCE = {
    index: Order("SEQUENCE", index, {"sequence": int})
    for index in ("sequence", "environment", "release", "record")
}


async def by_ids(
    caller: Caller,
    database: db.Collections,
    collection: CollectionName[Stored],
    ids: Iterable[str],
    keys: cursors.FieldPaths = None,
) -> dict[str, Stored]:
    """Return `keys` of a collection's documents by id; of releases, only those visible to the caller."""
    seen = visibility.visible(caller) if collection == RELEASES else {}
    match = {"_id": {"$in": [caller.key(id_) for id_ in ids]}, **seen}
    found = database[collection].find(match, db.projection(keys, "id")).batch_size(db.ONE_BATCH)
    return {document["id"]: document for document in await cursors.documents(found, None, keys)}


def by_name(
    caller: Caller, collection: CollectionName[Stored], window: PageArgs, name_contains: str | None = None
) -> PageQuery[Stored]:
    """Return a query for the documents of a collection, by name."""
    match: Filter = {"tenantId": caller.tenant}
    if name_contains is not None:
        match["name"] = release_filters.containing("nameContains", name_contains)
    return PageQuery(collection, match, _BY_NAME[collection], window)


def products(
    caller: Caller, window: PageArgs, catalog_id: str | None = None, name_contains: str | None = None
) -> PageQuery[ProductDocument]:
    """Return a query for products by key, of one catalog or of all."""
    match: Filter = {"tenantId": caller.tenant}
    if catalog_id is not None:
        match["catalogId"] = catalog_id
    if name_contains is not None:
        match["name"] = release_filters.containing("nameContains", name_contains)
    return PageQuery(PRODUCTS, match, _BY_KEY if catalog_id is None else _BY_KEY_IN_CATALOG, window)


async def products_by_key(caller: Caller, database: Database, key: str) -> list[ProductDocument]:
    """Return the products with `key`, one for each catalog that has one, at most 100."""
    found = database[PRODUCTS].find({"tenantId": caller.tenant, "key": key}).sort("catalogId", 1)
    return await cursors.documents(found.hint("key").limit(MAX_PAGE), MAX_PAGE)


async def product_by_key(
    caller: Caller, database: Database, key: str, catalog_id: str | None
) -> ProductDocument | None:
    """Return the product with `key`; raise InvalidArgument if several catalogs have one and none is named."""
    found = await products_by_key(caller, database, key)
    if catalog_id is not None:
        found = [product for product in found if product["catalogId"] == catalog_id]
    if len(found) > 1:
        raise InvalidArgument(
            "catalogId", f"several catalogs have a product with the key {key!r}: give the catalog."
        )
    return found[0] if found else None


async def images_of(caller: Caller, database: Database, distro: str) -> list[str]:
    """Return the ids of the base images with a distribution written as in S5's links, such as photon-4.

    Name and version have at most 64 characters each, so `distro` has at most 129. Raise InvalidArgument beyond.
    """
    if len(distro) > MAX_DISTRO:
        raise InvalidArgument("distro", f"the text has {len(distro)} characters: give at most {MAX_DISTRO}.")
    # Either side may contain dashes itself.
    dashes = [at for at, character in enumerate(distro) if character == "-"]
    splits = [(distro[:at], distro[at + 1 :] or None) for at in dashes] + [(distro, None)]
    either = [{"operatingSystem.distro": name, "operatingSystem.version": version} for name, version in splits]
    match = {"tenantId": caller.tenant, "$or": either}
    found = database[BASE_IMAGES].find(match, {"id": 1}).hint("listed").limit(MAX_LISTED)
    return [image["id"] for image in await cursors.documents(found, MAX_LISTED, frozenset({"id"}))]


async def named(
    caller: Caller, database: Database, collection: CollectionName[Stored], name: str
) -> Stored | None:
    """Return the document of a collection with this name, which is the only one or any of them."""
    return await cursors.document(database[collection].find_one({"tenantId": caller.tenant, "name": name}))


async def executions(
    caller: Caller, database: Database, pipeline_id: str, *, running: bool | None
) -> list[ExecutionDocument]:
    """Return the newest executions of a pipeline for releases visible to the caller, at most 100."""
    match: Filter = {"tenantId": caller.tenant, "pipelineId": pipeline_id}
    if running is not None:
        match["status"] = "RUNNING" if running else {"$ne": "RUNNING"}
    # Executions of hidden releases are dropped before the limit, so that they take no place in the list.
    newest: list[Stage] = [{"$match": match}, {"$sort": {"startedAt": -1}}]
    stages = [*newest, *visibility.visible_through(caller, "releaseId"), {"$limit": MAX_EXECUTIONS}]
    return await db.aggregate(database[EXECUTIONS], stages, hint="pipeline" if running else "started")


async def environments(caller: Caller, database: Database) -> list[EnvironmentDocument]:
    """Return all environments by name, at most 1000."""
    found = database[ENVIRONMENTS].find({"tenantId": caller.tenant}).sort("name", 1)
    return await cursors.documents(found.limit(MAX_LISTED), MAX_LISTED)


def contents(
    caller: Caller, environment_name: str, prefix: str | None, window: PageArgs
) -> PageQuery[EnvironmentContentDocument]:
    """Return a query for the contents of an environment, by path."""
    match: Filter = {"tenantId": caller.tenant, "environment": environment_name}
    if prefix:
        match["path"] = {"$gte": prefix, "$lt": prefix + "\U0010ffff"}
    stages = visibility.visible_through(caller, "releaseId")
    return PageQuery(CONTENTS, match, _BY_PATH, window, stages=stages)


async def contents_by_ids(
    caller: Caller, database: db.Collections, ids: Iterable[str], keys: cursors.FieldPaths = None
) -> dict[str, EnvironmentContentDocument]:
    """Return `keys` of contents by id, as far as their releases are visible to the caller."""
    paths: dict[str, list[str]] = {}
    for id_ in ids:
        environment_name, path = content_place(id_)
        paths.setdefault(environment_name, []).append(path)
    places: list[Filter] = [
        {"tenantId": caller.tenant, "environment": name, "path": {"$in": some}} for name, some in paths.items()
    ]
    stages: list[Stage] = [
        {"$match": {"$or": places}},
        *visibility.visible_through(caller, "releaseId"),
        {"$project": db.projection(keys, "environment", "path")},
    ]
    found = await db.aggregate(database[CONTENTS], stages, keys)
    return {content_id(content["environment"], content["path"]): content for content in found}


def promotions(caller: Caller, window: PageArgs, **wanted: str | None) -> PageQuery[PromotionDocument]:
    """Return a query for the ledger, newest first; `wanted` are values of its fields, None for any."""
    match: Filter = {"tenantId": caller.tenant}
    match |= {field: value for field, value in wanted.items() if value is not None}
    for field, index in (("releaseId", "release"), ("name", "record"), ("environment", "environment")):
        if field in match and (index != "record" or "version" in match):
            break
    else:
        index = "sequence"
    stages = visibility.visible_through(caller, "releaseId")
    return PageQuery(PROMOTIONS, match, _BY_SEQUENCE[index], window, descending=True, stages=stages)


async def promotions_by_ids(
    caller: Caller, database: db.Collections, ids: Iterable[str], keys: cursors.FieldPaths = None
) -> dict[str, PromotionDocument]:
    """Return `keys` of promotion records by id, as far as their releases are visible to the caller."""
    match = {"_id": {"$in": [caller.key(id_) for id_ in ids]}}
    seen = visibility.visible_through(caller, "releaseId")
    stages = [{"$match": match}, *seen, {"$project": db.projection(keys, "id")}]
    return {record["id"]: record for record in await db.aggregate(database[PROMOTIONS], stages, keys)}


async def promotion(
    caller: Caller, database: Database, name: str, version: str, created: datetime.datetime
) -> PromotionDocument | None:
    """Return the promotion record at S3's address if its release is visible to the caller."""
    match = {"tenantId": caller.tenant, "name": name, "version": version, "created": created}
    stages = [{"$match": match}, *visibility.visible_through(caller, "releaseId"), {"$limit": 1}]
    found = await db.aggregate(database[PROMOTIONS], stages, hint="record")
    return found[0] if found else None


async def is_rolled_back(caller: Caller, database: Database, id_: str) -> bool:
    """Return whether a promotion is rolled back."""
    match = {"tenantId": caller.tenant, "undoes": id_}
    return await database[PROMOTIONS].find_one(match, {"_id": 1}, hint="undoes") is not None
