"""Reads of releases: pages by any filter, lookups by id, and the latest of a product."""

import dataclasses
import datetime
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from release_catalog.domain import release_parts
from release_catalog.domain.caller import Caller
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_parts import RegistryArtifactDocument
from release_catalog.domain.version_schemes.key_ranges import KeyRanges
from release_catalog.storage import (
    cursors,
    filter_lookups,
    release_filters,
    search_terms,
    version_constraints,
    visibility,
)
from release_catalog.storage import database as db
from release_catalog.storage.access_paths import Access, Rebuild, both, terms_condition
from release_catalog.storage.collection_names import RELEASES, CollectionName
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.database import ONE_BATCH, Collections, Database, Stage, projection
from release_catalog.storage.filter_lookups import Lookups
from release_catalog.storage.pagination import Order, PageArgs, PageQuery
from release_catalog.storage.release_filters import Compiled

_INSTANT = datetime.datetime
ORDERS = {
    "CREATED_AT": Order("CREATED_AT", "created", {"createdAt": _INSTANT, "id": str}),
    "UPDATED_AT": Order("UPDATED_AT", "updated", {"updatedAt": _INSTANT, "id": str}),
    "RELEASED_AT": Order("RELEASED_AT", "released", {"releasedKey": _INSTANT, "id": str}),
    "PUBLISHED_AT": Order("PUBLISHED_AT", "published", {"publishedKey": _INSTANT, "id": str}),
    "NAME": Order("NAME", "name", {"name": str, "id": str}),
    "VERSION": Order("VERSION", "version", {"versionKey": str, "id": str}),
}
LATEST = Order("LATEST", "latest", {"versionKey": str, "revisionKey": str, "createdAt": _INSTANT, "id": str})
LATEST_ON_PLATFORM = Order("LATEST_ON_PLATFORM", "platform", LATEST.fields)


async def by_ids(
    caller: Caller, database: Collections, ids: Iterable[str], keys: FieldPaths = None
) -> dict[str, ReleaseDocument]:
    """Return the releases with these ids, by id, as far as they are visible to the caller."""
    match = {"_id": {"$in": [caller.key(id_) for id_ in ids]}, **visibility.visible(caller)}
    found = database[RELEASES].find(match, projection(keys, "id")).batch_size(ONE_BATCH)
    return {release["id"]: release for release in await cursors.documents(found, None, keys)}


async def first_packages(
    caller: Caller, database: Collections, some: Iterable[ReleaseDocument]
) -> dict[str, RegistryArtifactDocument]:
    """Return the first image, or else the first file, of each of these visible releases, by release id (S5)."""
    keys = [caller.key(release["id"]) for release in some]
    if not keys:
        return {}
    # A release may have a thousand files: only the first one leaves the database.
    first = {
        "image": {name: {"$first": f"$dockerImages.{name}"} for name in ("name", "imageUrl")},
        "file": {name: {"$first": f"$artifacts.{name}"} for name in ("name", "downloadUrl", "sha256")},
    }
    stages: list[Stage] = [{"$match": {"_id": {"$in": keys}}}, {"$project": {"id": 1, "version": 1, **first}}]
    packages = {}
    for found in await db.aggregate(database[CollectionName[Any](RELEASES)], stages, frozenset({"id", "version"})):
        if found["image"] or found["file"]:
            packages[found["id"]] = release_parts.package(found["version"], found["image"], found["file"])
    return packages


def dependants(caller: Caller, needing_terms: Sequence[str], window: PageArgs) -> PageQuery[ReleaseDocument]:
    """Return a query for the releases with one of `needing_terms`, newest first."""
    return PageQuery(
        RELEASES, visibility.visible(caller), ORDERS["CREATED_AT"], window, descending=True, terms=needing_terms
    )


def held(caller: Caller, environment: str, window: PageArgs) -> PageQuery[ReleaseDocument]:
    """Return a query for the releases of which an environment holds something now, newest first."""
    terms = [search_terms.environment_term(environment)]
    return PageQuery(
        RELEASES, visibility.visible(caller), ORDERS["CREATED_AT"], window, descending=True, terms=terms
    )


def latest(
    caller: Caller,
    product_id: str,
    *,
    channel: str | None,
    platform: str | None = None,
    constraint: KeyRanges | None = None,
    scheme: str | None = None,
    packaging: str | None = None,
    base_images: Sequence[str] | None = None,
    **branch: str | None,
) -> PageQuery[ReleaseDocument]:
    """Return a query for a product's highest published version; `branch` counts only if given, even as None.

    `constraint` is one on versions in the product's `scheme`.
    """
    match = {**visibility.visible(caller), "productId": product_id, "status": "PUBLISHED", **branch}
    if packaging is not None:
        match["packagingType"] = packaging
    if base_images is not None:
        match["baseImageId"] = {"$in": base_images}
    if channel is not None:
        match["channel"] = channel
    if platform is not None:
        match["platformKeys"] = platform.casefold()
    if constraint is not None:
        match["$and"] = version_constraints.within(constraint)
    order = LATEST if platform is None else LATEST_ON_PLATFORM
    return PageQuery(RELEASES, match, order, PageArgs(1), descending=True, scheme=scheme)


async def search(
    caller: Caller,
    database: Database,
    filter_: Mapping[str, Any],
    window: PageArgs,
    order: str = "CREATED_AT",
    *,
    descending: bool = True,
    within: Mapping[str, Any] | None = None,
    look_up: Callable[[Mapping[str, Any]], Awaitable[Lookups]] | None = None,
) -> PageQuery[ReleaseDocument]:
    """Return a query for the releases that meet every condition of `filter_`, with the keys of ReleaseFilter.

    `within` narrows it to a catalog or a product, which does not count as a condition. `look_up` reads the
    documents that the filter refers to, together with those of other filters.
    """
    release_filters.check(filter_)
    filter_ = release_filters.within(filter_, within or {})
    if look_up and filter_lookups.refers(filter_):
        lookups = await look_up(filter_)
    else:
        lookups = await filter_lookups.look_up(caller, database, [filter_])
    filter_lookups.check(filter_, lookups)

    def build(lookups: Lookups) -> PageQuery[ReleaseDocument]:
        return _query(caller, release_filters.compiled(filter_, lookups), window, ORDERS[order], descending)

    question = build(lookups)
    return dataclasses.replace(question, rebuild=Rebuild(lookups, build)) if lookups.schemes else question


def _query(
    caller: Caller,
    found: Compiled,
    window: PageArgs,
    order: Order,
    descending: bool,
) -> PageQuery[ReleaseDocument]:
    """Return a query by the best way to the releases that meet a filter."""
    seen = visibility.visible(caller)
    query = functools.partial(PageQuery, RELEASES, order=order, window=window, descending=descending)
    accesses = [access for access in found.accesses if access.name != order.index]
    covered = sorted((one for one in found.conditions if one.cover is not None), key=lambda one: one.rank)
    is_in_order = all(release_filters.is_in_order(one.cover) for one in covered)
    best = covered[0] if covered else None
    if best and best.cover is not None:
        compares = not is_in_order or accesses
        if not best.cover or not compares or release_filters.is_selective(best, accesses):
            return query(match=both(seen, *found.match_without(best)), terms=best.cover)
    ways = [
        Access("terms", {"terms": terms_condition(one.cover)}, both(seen, *found.match_without(one)))
        for one in covered[: release_filters.MAX_ACCESSES]
        if one.cover is not None
    ]
    match = both(seen, *found.match_without(None))
    return query(match=match, accesses=[*ways, *accesses])
