"""The values that migrations fill in: what the catalog can tell about fields that older documents lack."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson

from release_catalog.domain import caller, events, platforms, references, timestamps, versions
from release_catalog.domain.caller import Caller
from release_catalog.domain.events import EventDocument
from release_catalog.domain.promotion import EnvironmentContentDocument
from release_catalog.storage import (
    cursors,
    environment_holdings,
    forms,
    reference_lookup,
    search_terms,
    unit_of_work,
)
from release_catalog.storage.collection_names import EVENTS, PRODUCTS, PROMOTIONS, RELEASES, CollectionName
from release_catalog.storage.database import Database
from release_catalog.storage.search_terms import StoredReleaseDocument

# The known values of added fields, by the `_id` of their documents.
Known = Mapping[Any, dict[str, Any]]

# The events whose data names the caller, with the place in the data.
ACTORS = {
    "release.withdrawn": ("withdrawal", "withdrawnBy"),
    **{kind: ("promotion", "createdBy") for kind in events.TYPES if kind.startswith("promotion.")},
}


# The lowest form of releases that older processes do not know: in an upgrade, none has it before this migration.
_REPEATED_FROM = 2


async def actors(_: Database, found: Sequence[EventDocument]) -> Known:
    """Return the actors of withdrawals and promotions, which their events have always had in their data."""
    known = {}
    for event in found:
        if event["type"] in ACTORS:
            part, name = ACTORS[event["type"]]
            # An event that somebody else wrote must not hold up the others.
            with contextlib.suppress(KeyError, TypeError, ValueError):
                known[event["_id"]] = {"actor": orjson.loads(event["data"])[part][name]}
    return known


async def changed_releases(database: Database, found: Sequence[EventDocument]) -> Known:
    """Send the releases that older processes have changed through their migrations again; return no values.

    Older processes write events of older forms. A release that is migrated already has none of their values for
    fields that they do not know. One that they published has its name since then, and others may have lost it.
    """
    for tenant in {event["tenantId"] for event in found}:
        owner = caller.local(tenant)
        types: dict[str, set[str]] = {}
        for event in found:
            if event["tenantId"] == tenant and event.get("releaseId"):
                types.setdefault(owner.key(event["releaseId"]), set()).add(event["type"])
        shown = dict.fromkeys(("id", "catalogId", "name", "version"), 1)
        migrated = {"_id": {"$in": list(types)}, "tenantId": tenant, forms.FORM: {"$gte": _REPEATED_FROM}}
        releases = [release async for release in database[RELEASES].find(migrated, shown).hint({"_id": 1})]
        published = [release for release in releases if "release.published" in types[owner.key(release["id"])]]
        names = {references.name_key(release) for release in published}
        rivals = await reference_lookup.published_by_name(owner, database, names) if names else {}
        keys = [owner.key(rival["id"]) for some in rivals.values() for rival in some]
        keys += [owner.key(release["id"]) for release in releases]
        again = {**migrated, "_id": {"$in": keys}}
        dateless = {**migrated, "_id": {"$in": [owner.key(release["id"]) for release in published]}}
        await database[RELEASES].update_many(dateless, {"$unset": {"nameSince": "", forms.FORM: ""}})
        await database[RELEASES].update_many(again, {"$unset": {forms.FORM: ""}})
    return {}


async def _authors(database: Database, found: Sequence[StoredReleaseDocument]) -> Known:
    """Return the callers who created and published releases, as far as the log has events with an actor.

    The event of an import does not tell whether the import created the release or replaced a draft.
    """
    fields = {"release.created": "createdBy", "release.published": "publishedBy"}
    known: dict[Any, dict[str, Any]] = {}
    for tenant in {release["tenantId"] for release in found}:
        keys = {release["id"]: release["_id"] for release in found if release["tenantId"] == tenant}
        match = {"tenantId": tenant, "releaseId": {"$in": list(keys)}, "type": {"$in": list(fields)}}
        shown = {"releaseId": 1, "type": 1, "actor": 1}
        async for event in database[EVENTS].find(match, shown).hint("release"):
            if event["actor"] is not None:
                known.setdefault(keys[event["releaseId"]], {})[fields[event["type"]]] = event["actor"]
    return known


async def authors_and_keys(database: Database, found: Sequence[StoredReleaseDocument]) -> Known:
    """Return the known callers of releases, and the keys that order them by their versions and revisions."""
    authors = await _authors(database, found)
    products = {release["_id"]: caller.local(release["tenantId"]).key(release["productId"]) for release in found}
    shown = {"_id": 1, "versionScheme": 1}
    some = database[PRODUCTS].find({"_id": {"$in": list(set(products.values()))}}, shown)
    schemes = {product["_id"]: product["versionScheme"] async for product in some}
    return {
        release["_id"]: {
            **authors.get(release["_id"], {}),
            **versions.release_keys(
                schemes.get(products[release["_id"]], "ANY"), release["version"], release["revision"]
            ),
        }
        for release in found
    }


async def edges(database: Database, found: Sequence[StoredReleaseDocument]) -> Known:
    """Decide which releases references by name lead to, and let references to no release lead by name."""
    known: dict[Any, dict[str, Any]] = {}
    await _forget_remains(database, [release["_id"] for release in found if "id" not in release])
    found = [release for release in found if "id" in release]
    for tenant in {release["tenantId"] for release in found}:
        owner, some = caller.local(tenant), [release for release in found if release["tenantId"] == tenant]
        await _settle(owner, database, some, known)
        await _redirect(owner, database, some, known)
        await reference_lookup.learn_ids(owner, database, some)
    return known


async def _forget_remains(database: Database, keys: Sequence[str]) -> None:
    """Redirect the references that the discarding of drafts has left."""
    for key in keys:
        tenant, id_ = caller.split_key(key)
        await reference_lookup.forget_id(caller.local(tenant), database, id_)
    if keys:
        await unit_of_work.settle_remains(database, keys)


async def platform_keys(_: Database, found: Sequence[StoredReleaseDocument]) -> Known:
    """Return the platforms by which releases are found, and their terms."""
    known = {}
    for release in found:
        keys = platforms.search_keys(release)
        known[release["_id"]] = {
            "platformKeys": keys,
            "terms": list(dict.fromkeys([*release["terms"], *search_terms.platform_terms(keys)])),
        }
    return known


async def content_times(database: Database, found: Sequence[EnvironmentContentDocument]) -> Known:
    """Return the times of the promotions that brought contents of environments."""
    keys = {content["_id"]: caller.local(content["tenantId"]).key(content["promotionId"]) for content in found}
    some = database[CollectionName[Any](PROMOTIONS)].find({"_id": {"$in": [*set(keys.values())]}}, {"created": 1})
    times = {promotion["_id"]: promotion["created"] for promotion in await cursors.documents(some)}
    return {id_: {"since": times[key]} for id_, key in keys.items() if key in times}


async def environments_and_words(database: Database, found: Sequence[StoredReleaseDocument]) -> Known:
    """Return the environments of releases, the names of their products, and the terms that come from both."""
    known: dict[Any, dict[str, Any]] = {}
    for tenant in {release["tenantId"] for release in found}:
        owner, some = caller.local(tenant), [release for release in found if release["tenantId"] == tenant]
        holdings = await environment_holdings.of_releases(database, tenant, [release["id"] for release in some])
        products = {"_id": {"$in": [*{owner.key(release["productId"]) for release in some}]}}
        shown = {"_id": 0, "id": 1, "name": 1}
        found_products = await cursors.documents(database[PRODUCTS].find(products, shown))
        names = {product["id"]: product["name"] for product in found_products}
        for release in some:
            values = {
                "environments": holdings.get(release["id"], []),
                "productName": names.get(release["productId"]),
                "publishedKey": release["publishedAt"] or timestamps.NEVER,
            }
            terms = search_terms.with_later_terms(cast("StoredReleaseDocument", {**release, **values}))
            known[release["_id"]] = {**values, "terms": terms}
    return known


async def _settle(
    owner: Caller, database: Database, some: Sequence[StoredReleaseDocument], known: dict[Any, dict[str, Any]]
) -> None:
    published = {references.name_key(release): release for release in some if release["status"] != "DRAFT"}
    rivals = await reference_lookup.published_by_name(owner, database, published)
    for release in some:
        name = references.name_key(release)
        others = rivals.get(name, [])
        winner = references.resolve_winner(others)
        if winner is None or release["status"] == "DRAFT" or len(others) == 1:
            continue
        if winner["id"] == release["id"]:
            known[release["_id"]] = {"nameSince": references.since(winner, others)}
        else:
            terms = [term for term in release["terms"] if term != f"is:{name}"]
            known[release["_id"]] = {"resolvesName": False, "terms": terms}


async def _redirect(
    owner: Caller, database: Database, some: Sequence[StoredReleaseDocument], known: dict[Any, dict[str, Any]]
) -> None:
    """Let references by id lead by name and version if no release has the id."""
    ids_ = {needed["releaseId"] for release in some for needed in release["dependencies"] if needed["releaseId"]}
    keys = [owner.key(id_) for id_ in ids_]
    match = {"_id": {"$in": keys}, "tenantId": owner.tenant}
    there = {release["id"] async for release in database[RELEASES].find(match, {"id": 1})}
    for release in some:
        lost = [one for one in release["dependencies"] if one["releaseId"] and one["releaseId"] not in there]
        if not lost:
            continue
        values = known.setdefault(release["_id"], {})
        redirected = {one["reference"]: references.redirected(one, release, missing=True) for one in lost}
        values["dependencies"] = [redirected.get(one["reference"], one) for one in release["dependencies"]]
        terms = {f"needs:{old}": search_terms.reference_terms(new) for old, new in redirected.items()}
        values["terms"] = [
            new for term in values.get("terms", release["terms"]) for new in terms.get(term, [term])
        ]
