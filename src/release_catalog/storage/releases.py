"""Reads of releases: pages by any filter, lookups by id, and the latest of a product."""

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from release_catalog.domain import release_parts, versions
from release_catalog.domain.caller import Caller
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_parts import RegistryArtifactDocument
from release_catalog.domain.version_schemes.key_ranges import PRE_RELEASE_END, KeyRanges, Range, without
from release_catalog.errors import InvalidArgument
from release_catalog.storage import cursors, pagination, reference_lookup, search_terms, visibility
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import PRODUCTS, RELEASES, CollectionName
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.database import ONE_BATCH, Collections, Database, Filter, Stage, projection
from release_catalog.storage.pagination import Order, PageArgs, PageQuery

MAX_IDS = 100
MAX_SUBSTRING = 256

_INSTANT = datetime.datetime
ORDERS = {
    "CREATED_AT": Order("CREATED_AT", "created", {"createdAt": _INSTANT, "id": str}),
    "UPDATED_AT": Order("UPDATED_AT", "updated", {"updatedAt": _INSTANT, "id": str}),
    "RELEASED_AT": Order("RELEASED_AT", "released", {"releasedKey": _INSTANT, "id": str}),
    "NAME": Order("NAME", "name", {"name": str, "id": str}),
    "VERSION": Order("VERSION", "version", {"versionKey": str, "id": str}),
}
# Filters whose value is one term; those of the second line usually match many releases.
_EXACT = ("name", "version", "author")
_LOW_SELECTIVITY = (("branch", "branch"), ("tag", "tag"), ("catalog", "catalogId"))
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
        match["$and"] = _within(constraint)
    order = LATEST if platform is None else LATEST_ON_PLATFORM
    return PageQuery(RELEASES, match, order, PageArgs(1), descending=True, scheme=scheme)


def constraints(scheme: versions.Scheme, text: str) -> list[KeyRanges]:
    """Return the constraints in `text`, of which the first that any release fits counts."""
    try:
        return versions.constraint(scheme, text)
    except ValueError as error:
        raise InvalidArgument("constraint", str(error)) from error


def _within(allowed: KeyRanges) -> list[dict[str, Any]]:
    """Return conditions on the sort key that leave both its ranges and the pre-releases in them to the index."""
    pre_releases = allowed.pre_releases
    ranges = [_bounds(keys) for keys in pre_releases]
    ranges += [
        {**_bounds(keys), "$regex": f"[^{PRE_RELEASE_END}]$"} for keys in without(allowed.releases, pre_releases)
    ]
    if len(ranges) <= 1:
        return [{"versionKey": keys} for keys in ranges or [{"$in": []}]]
    whole = _bounds((allowed.releases[0][0], allowed.releases[-1][1]))
    return [{"versionKey": whole}, {"$or": [{"versionKey": keys} for keys in ranges]}]


def _bounds(keys: Range) -> dict[str, Any]:
    low, high = keys
    return {"$gte": low} if high is None else {"$gte": low, "$lt": high}


async def search(
    caller: Caller,
    database: Database,
    filter_: Mapping[str, Any],
    window: PageArgs,
    order: str = "CREATED_AT",
    *,
    descending: bool = True,
) -> PageQuery[ReleaseDocument]:
    """Return a query for the releases that meet every condition of `filter_`, with the keys of ReleaseFilter."""
    conditions = {name: value for name, value in filter_.items() if value is not None}
    _contradictions(conditions)
    match = visibility.visible(caller)
    match |= _plain_conditions(conditions)
    chosen: list[str] | None = None
    for found, condition in await _index_conditions(caller, database, conditions):
        if chosen is None:
            chosen = found
        else:
            match["$and"] = [*match.get("$and", []), condition]
    return PageQuery(RELEASES, match, ORDERS[order], window, descending=descending, terms=chosen)


def _contradictions(values: Mapping[str, Any]) -> None:
    for start, end in (("createdFrom", "createdBefore"), ("releasedFrom", "releasedBefore")):
        if start in values and end in values and values[start] >= values[end]:
            raise InvalidArgument(f"filter.{start}", f"the range ends before it begins: give a time before {end}.")
    if len(values.get("ids", ())) > MAX_IDS:
        raise InvalidArgument("filter.ids", f"the list has too many ids: give at most {MAX_IDS}.")
    for name in ("channel", "packagingType", "status", "deliveryStatus", "verification"):
        if values.get(name) == []:
            raise InvalidArgument(f"filter.{name}", "an empty list matches nothing: leave it out to match all.")


def _plain_conditions(values: Mapping[str, Any]) -> Filter:
    """Return conditions on fields with few distinct values, judged while walking an order's index."""
    match: Filter = {}
    for name in ("revision", "trial"):
        if name in values:
            match[name] = values[name]
    for name, path in (
        ("channel", "channel"),
        ("packagingType", "packagingType"),
        ("verification", "artifacts.verification.status"),
    ):
        if name in values:
            match[path] = {"$in": values[name]}
    for name, field in (("created", "createdAt"), ("released", "releasedKey")):
        bounds = {"$gte": values.get(f"{name}From"), "$lt": values.get(f"{name}Before")}
        if bounds := {operator: value for operator, value in bounds.items() if value is not None}:
            # Releases without this time have NEVER.
            match[field] = bounds if name == "created" else {"$gt": search_terms.NEVER, **bounds}
    if "nameContains" in values:
        match["name"] = containing("filter.nameContains", values["nameContains"])
    # These two may stand beside the caller's own visibility: both must hold.
    also = [{"status": {"$in": values["status"]}}] if "status" in values else []
    also += [{"private": values["private"]}] if "private" in values else []
    return match | ({"$and": also} if also else {})


def containing(argument: str, text: str) -> Filter:
    """Return a condition on texts that contain `text` in any case; raise InvalidArgument if no name could."""
    if len(text) > MAX_SUBSTRING or "\x00" in text:
        raise InvalidArgument(
            argument, f"this text can't be searched: give at most {MAX_SUBSTRING} characters, without NUL."
        )
    return {"$regex": re.escape(text), "$options": "i"}


async def _index_conditions(
    caller: Caller, database: Database, values: Mapping[str, Any]
) -> list[tuple[list[str], Filter]]:
    """Return the conditions that the terms index serves, most selective first: as terms, and as a condition."""
    found: list[tuple[list[str], Filter]] = []
    if "ids" in values:
        found.append(([f"is:#{id_}" for id_ in values["ids"]], {"id": {"$in": values["ids"]}}))
    if "artifactSha256" in values:
        digest = values["artifactSha256"].lower().removeprefix("sha256:")
        found.append(([f"sha256:{digest}"], {"artifacts.sha256": digest}))
    if "dependsOnId" in values:
        needed = await _needing_id(caller, database, values["dependsOnId"])
        paths = [term.removeprefix("needs:") for term in needed]
        found.append((needed, {"dependencies.reference": {"$in": paths}}))
    if (products := await _product_ids(caller, database, values)) is not None:
        found.append(([f"product:{id_}" for id_ in products], {"productId": {"$in": products}}))
    found += [([f"{kind}:{values[kind]}"], {kind: values[kind]}) for kind in _EXACT if kind in values]
    if "endOfLifeBefore" in values:
        day = values["endOfLifeBefore"]
        found.append((search_terms.ends_before(day), {"endOfLifeAt": {"$lt": day.isoformat()}}))
    if "deliveryStatus" in values:
        statuses = values["deliveryStatus"]
        found.append(([f"delivery:{status}" for status in statuses], {"delivery.status": {"$in": statuses}}))
    found += [
        ([f"{kind}:{values[name]}"], {name: values[name]}) for kind, name in _LOW_SELECTIVITY if name in values
    ]
    if "platform" in values:
        key = values["platform"].casefold()
        found.append((search_terms.platform_terms([key]), {"platformKeys": key}))
    return found


async def _needing_id(caller: Caller, database: Database, id_: str) -> list[str]:
    found = await by_ids(caller, database, [id_], frozenset(reference_lookup.REFERENCE_FIELDS))
    return (await reference_lookup.dependant_terms(caller, database, [found[id_]]))[0] if id_ in found else []


async def _product_ids(caller: Caller, database: Database, values: Mapping[str, Any]) -> list[str] | None:
    if "productKey" not in values:
        return [values["productId"]] if "productId" in values else None
    match = {"tenantId": caller.tenant, "key": values["productKey"]}
    if "productId" in values:
        match["id"] = values["productId"]
    found = database[PRODUCTS].find(match, {"id": 1}).hint("key").limit(pagination.MAX_PAGE)
    return [product["id"] for product in await cursors.documents(found, None, frozenset({"id"}))]
