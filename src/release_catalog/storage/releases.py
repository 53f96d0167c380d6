"""Reads of releases: pages by any filter, lookups by id and reference, and the latest of a product."""

import contextlib
import datetime
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from release_catalog.domain import references, versions
from release_catalog.domain.caller import Caller
from release_catalog.domain.references import DependencyDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.version_schemes.key_ranges import PRE_RELEASE_END, KeyRanges, Range, without
from release_catalog.errors import InvalidArgument
from release_catalog.storage import cursors, pagination, search_terms
from release_catalog.storage.collection_names import PRODUCTS, RELEASES
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.database import ONE_BATCH, Collections, Database, Filter, Stage, projection
from release_catalog.storage.pagination import Order, PageArgs, PageQuery

MAX_IDS = 100
MAX_SUBSTRING = 256
# Keeps a command far below MongoDB's 16 MB, whatever names the references hold.
REFERENCES_A_COMMAND = 5_000
# Releases that the driver decodes at a time, in a few milliseconds: with only their names, and with up to a
# thousand references each.
NAMES_AT_ONCE = 1_000
MAKERS_AT_ONCE = 100
# The fields that decide which release a reference resolves to.
REFERENCE_FIELDS = dict.fromkeys(("id", "catalogId", "name", "version", "revisionKey", "createdAt", "status"), 1)

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
_LATEST = Order("LATEST", "latest", {"versionKey": str, "revisionKey": str, "createdAt": _INSTANT, "id": str})


def visible(caller: Caller) -> Filter:
    """Return the condition that every read of releases begins with (model.md, Visibility)."""
    if caller.sees_drafts is True:
        return {"tenantId": caller.tenant}
    if not caller.sees_drafts:
        return {"tenantId": caller.tenant, "status": {"$ne": "DRAFT"}, "private": False}
    # Stated as what is hidden, because no index serves that, so that it never misleads the query planner.
    others = {"productId": {"$ne": caller.sees_drafts}}
    return {"tenantId": caller.tenant, "$nor": [{**others, "status": "DRAFT"}, {**others, "private": True}]}


def visible_through(caller: Caller, field: str) -> list[Stage]:
    """Return stages that drop documents whose release, with its id in `field`, is hidden from the caller."""
    if caller.sees_drafts is True:
        return []
    key = {"$concat": [{"$literal": caller.key("")}, f"${field}"]}
    same = {"$expr": {"$eq": ["$_id", "$$key"]}}
    seen = [{"$match": {**same, **visible(caller)}}, {"$project": {"_id": 1}}]
    return [
        {"$lookup": {"from": "releases", "let": {"key": key}, "pipeline": seen, "as": "visible"}},
        {"$match": {"visible": {"$ne": []}}},
        {"$project": {"visible": 0}},
    ]


async def by_ids(
    caller: Caller, database: Collections, ids: Iterable[str], keys: FieldPaths = None
) -> dict[str, ReleaseDocument]:
    """Return the releases with these ids, by id, as far as they are visible to the caller."""
    match = {"_id": {"$in": [caller.key(id_) for id_ in ids]}, **visible(caller)}
    found = database[RELEASES].find(match, projection(keys, "id")).batch_size(ONE_BATCH)
    return {release["id"]: release for release in await cursors.documents(found, None, keys)}


async def resolve_references(
    caller: Caller,
    database: Collections,
    names: Iterable[str],
    keys: FieldPaths = None,
    at_once: int = REFERENCES_A_COMMAND,
) -> dict[str, ReleaseDocument]:
    """Return the release that each reference resolves to, without the unresolved references.

    A command looks up `at_once` references.
    """
    names, shown = list(dict.fromkeys(names)), projection(keys, *REFERENCE_FIELDS)
    sought = set(names)
    found: dict[str, ReleaseDocument] = {}
    for start in range(0, len(names), at_once):
        some = search_terms.resolves_any(names[start : start + at_once])
        match = {**visible(caller), **some}
        cursor = database[RELEASES].find(match, shown).hint("terms").batch_size(ONE_BATCH)
        for release in await cursors.documents(cursor, None, keys and keys.union(REFERENCE_FIELDS)):
            for reference in references.reference_keys(release):
                if reference in sought:
                    rival = found.get(reference)
                    found[reference] = (rival and references.resolve_winner([rival, release])) or release
    return found


async def disclosed(
    caller: Caller,
    dependencies: Sequence[DependencyDocument],
    find: Callable[[list[str]], Awaitable[Sequence[ReleaseDocument | None]]],
) -> list[DependencyDocument]:
    """Return dependencies as the caller may see them.

    Fields completed from a release show only if the caller may see that release; `find` returns the releases that
    references resolve to for this caller.
    """
    doubtful = [one["reference"] for one in dependencies if references.completed(one)]
    if caller.sees_drafts is True or not doubtful:
        return list(dependencies)
    found = dict(zip(doubtful, await find(doubtful), strict=True))
    hidden = {reference for reference, release in found.items() if release is None}
    return [references.undisclosed(one) if one["reference"] in hidden else one for one in dependencies]


async def dependant_terms(
    caller: Caller,
    database: Collections,
    releases: Sequence[ReleaseDocument],
    notice: Callable[[ReleaseDocument], None] | None = None,
) -> list[list[str]]:
    """Return the terms of the dependants of each release.

    A reference by name means the highest revision of its version, so only that release has dependants by name: one
    lookup finds these among `releases`. `notice` gets each release with one of the names, with its field
    `private`.
    """
    by_name = {release["id"]: references.reference_keys(release)[1] for release in releases}
    match = {**visible(caller), **search_terms.resolves_any(by_name.values())}
    winners: dict[str, ReleaseDocument] = {}
    cursor = (
        database[RELEASES].find(match, {**REFERENCE_FIELDS, "private": 1}).hint("terms").batch_size(NAMES_AT_ONCE)
    )
    async for rivals in cursors.batches(cursor, NAMES_AT_ONCE):
        for rival in rivals:
            name = references.reference_keys(rival)[1]
            best = winners.get(name)
            winners[name] = (best and references.resolve_winner([best, rival])) or rival
            if notice:
                notice(rival)
    answer = []
    for release in releases:
        name = by_name[release["id"]]
        winner = winners.get(name)
        found = [f"needs:{references.by_id(release['id'])}"]
        answer.append([*found, f"needs:{name}"] if winner and winner["id"] == release["id"] else found)
    return answer


def dependants(caller: Caller, needing_terms: Sequence[str], window: PageArgs) -> PageQuery[ReleaseDocument]:
    """Return a query for the releases with one of `needing_terms`, newest first."""
    return PageQuery(RELEASES, visible(caller), ORDERS["CREATED_AT"], window, descending=True, terms=needing_terms)


def latest(
    caller: Caller,
    product_id: str,
    *,
    channel: str | None,
    platform: str | None = None,
    constraint: KeyRanges | None = None,
    packaging: str | None = None,
    base_images: Sequence[str] | None = None,
    **branch: str | None,
) -> PageQuery[ReleaseDocument]:
    """Return a query for a product's highest published version; `branch` counts only if given, even as None.

    `constraint` is one on versions in the product's `scheme`.
    """
    match = {**visible(caller), "productId": product_id, "status": "PUBLISHED", **branch}
    if packaging is not None:
        match["packagingType"] = packaging
    if base_images is not None:
        match["baseImageId"] = {"$in": base_images}
    if channel is not None:
        match["channel"] = channel
    if platform is not None:
        match |= _on_platform(platform)
    if constraint is not None:
        match["$and"] = _within(constraint)
    return PageQuery(RELEASES, match, _LATEST, PageArgs(1), descending=True)


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
    match = visible(caller)
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
    if "platform" in values:
        match |= _on_platform(values["platform"])
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


def _on_platform(platform: str) -> Filter:
    return {"platforms": {"$elemMatch": {"$or": [{"name": platform}, {"osFamily": platform}]}}}


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
    return found + [
        ([f"{kind}:{values[name]}"], {name: values[name]}) for kind, name in _LOW_SELECTIVITY if name in values
    ]


async def _needing_id(caller: Caller, database: Database, id_: str) -> list[str]:
    found = await by_ids(caller, database, [id_], frozenset(REFERENCE_FIELDS))
    return (await dependant_terms(caller, database, [found[id_]]))[0] if id_ in found else []


async def _product_ids(caller: Caller, database: Database, values: Mapping[str, Any]) -> list[str] | None:
    if "productKey" not in values:
        return [values["productId"]] if "productId" in values else None
    match = {"tenantId": caller.tenant, "key": values["productKey"]}
    if "productId" in values:
        match["id"] = values["productId"]
    found = database[PRODUCTS].find(match, {"id": 1}).hint("key").limit(pagination.MAX_PAGE)
    return [product["id"] for product in await cursors.documents(found, None, frozenset({"id"}))]


async def find_by_reference(
    caller: Caller, database: Database, references: Iterable[str], limit: int, keys: FieldPaths
) -> list[ReleaseDocument]:
    """Return at most `limit` releases that make one of these references, with `keys` of them."""
    match = {**visible(caller), "terms": {"$in": [f"needs:{reference}" for reference in references]}}
    found = database[RELEASES].find(match, projection(keys)).hint("terms").limit(limit).batch_size(NAMES_AT_ONCE)
    return await cursors.documents(found, limit, keys)


async def find_dependants(
    caller: Caller, database: Database, ids: Iterable[str]
) -> AsyncGenerator[list[tuple[str, list[str]]], None]:
    """Yield the references of releases by release id, in batches."""
    match = {"_id": {"$in": [caller.key(id_) for id_ in ids]}, **visible(caller)}
    shown = projection(frozenset({"id", "dependencies.reference"}))
    cursor = database[RELEASES].find(match, shown).batch_size(MAKERS_AT_ONCE)
    async with contextlib.aclosing(cursors.batches(cursor, MAKERS_AT_ONCE)) as batches:
        async for some in batches:
            yield [(one["id"], [needed["reference"] for needed in one["dependencies"]]) for one in some]
