"""Lookups along references: the releases that they lead to, and those that make them.

A reference by name leads to the same release for every caller (see `references.resolve_winner`): it is chosen
among all releases of the tenant, and then shown only to callers who may see it.
"""

import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from pymongo import UpdateMany, UpdateOne

from release_catalog.domain import references, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.domain.references import DependencyDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.storage import cursors, search_terms, visibility
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import RELEASES
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.database import ONE_BATCH, Collections, Database, Filter, Stage, projection
from release_catalog.storage.search_terms import StoredReleaseDocument

# Keeps a command far below MongoDB's 16 MB, whatever names the references hold.
REFERENCES_A_COMMAND = 5_000
# Releases that the driver decodes at a time, in a few milliseconds: with only their names, and with up to a
# thousand references each.
NAMES_AT_ONCE = 1_000
MAKERS_AT_ONCE = 100
# Releases that one transaction redirects: all writers of the tenant wait for it.
MAX_REDIRECTED = 1_000
# The time for redirecting the others after the commit; a migration does what is left then.
REDIRECT_SECONDS = 300.0
# More releases than this with the names of a lookup, on top of two for each, are looked up name by name.
_MANY_OF_A_NAME = 100
_LOOKUPS_A_COMMAND = 100
PUBLISHED = ["PUBLISHED", "WITHDRAWN", "ARCHIVED"]
# The fields by which a reference finds a release, and those that decide whether a caller sees it.
REFERENCE_FIELDS = dict.fromkeys(("id", "catalogId", "name", "version", "productId", "status", "private"), 1)
# The fields of a release whose references are redirected.
_MAKER = dict.fromkeys(("etag", "status", "catalogId", "name", "version", "dependencies", "terms"), 1)
# The fields that decide between releases of the same name and version.
CANDIDATE_FIELDS = {
    **REFERENCE_FIELDS,
    **dict.fromkeys(("channel", "revisionKey", "createdAt", "publishedAt", "resolvesName", "nameSince"), 1),
}


async def resolve_references(
    caller: Caller,
    database: Collections,
    names: Iterable[str],
    keys: FieldPaths = None,
    at_once: int = REFERENCES_A_COMMAND,
    *,
    is_walk: bool = False,
) -> dict[str, ReleaseDocument]:
    """Return the release that each reference leads to, if the caller sees it.

    A command looks up `at_once` references. A walk of many reads what decides between releases of one name only
    where there are several, with a further command.
    """
    found = await _led_to(caller, database, names, keys, at_once, is_walk=is_walk)
    return {reference: release for reference, release in found.items() if visibility.sees(caller, release)}


async def _led_to(
    caller: Caller, database: Collections, names: Iterable[str], keys: FieldPaths, at_once: int, *, is_walk: bool
) -> dict[str, ReleaseDocument]:
    fields = REFERENCE_FIELDS if is_walk else CANDIDATE_FIELDS
    names = list(dict.fromkeys(names))
    found: dict[str, dict[str, ReleaseDocument]] = {name: {} for name in names}
    for start in range(0, len(names), at_once):
        some = names[start : start + at_once]
        _collect(found, await _leading(caller, database, some, keys, fields))
        rivals = [name for name in some if len(found[name]) > 1]
        if is_walk and rivals:
            found |= {name: {} for name in rivals}
            _collect(found, await _first_of_each(caller, database, rivals, keys))
    winners = {reference: _winner(some.values()) for reference, some in found.items()}
    return {reference: winner for reference, winner in winners.items() if winner}


async def candidates(caller: Caller, database: Collections, names: Iterable[str]) -> list[ReleaseDocument]:
    """Return the releases of the tenant that references may lead to, with the fields that decide between them."""
    names, keys = list(names), frozenset(CANDIDATE_FIELDS)
    found: list[ReleaseDocument] = []
    for start in range(0, len(names), REFERENCES_A_COMMAND):
        found += await _leading(caller, database, names[start : start + REFERENCES_A_COMMAND], keys, keys)
    return found


async def _leading(
    caller: Caller, database: Collections, names: Sequence[str], keys: FieldPaths, fields: Iterable[str]
) -> list[ReleaseDocument]:
    """Return the releases that references may lead to, with `keys` and `fields` of them."""
    match = {"tenantId": caller.tenant, **search_terms.resolves_any(names)}
    # Few releases have the name of another one, unless somebody saves thousands of drafts of it.
    limit = 2 * len(names) + _MANY_OF_A_NAME
    cursor = database[RELEASES].find(match, projection(keys, *fields)).hint("terms").limit(limit)
    read = None if keys is None else keys.union(fields)
    found = await cursors.documents(cursor.batch_size(ONE_BATCH), None, read)
    return await _first_of_each(caller, database, names, keys) if len(found) == limit else found


def _collect(found: Mapping[str, dict[str, ReleaseDocument]], releases: Iterable[ReleaseDocument]) -> None:
    for release in releases:
        for reference in references.reference_keys(release):
            if reference in found:
                found[reference][release["id"]] = release


def _winner(some: Collection[ReleaseDocument]) -> ReleaseDocument | None:
    """Return the only release, or the one that wins the name of all."""
    return next(iter(some)) if len(some) == 1 else references.resolve_winner(some)


async def _first_of_each(
    caller: Caller, database: Collections, names: Sequence[str], keys: FieldPaths
) -> list[ReleaseDocument]:
    """Return, for each reference, the few published releases that it may lead to, and only the oldest draft."""
    found: list[ReleaseDocument] = []
    shown: Stage = {"$project": projection(keys, *CANDIDATE_FIELDS)}
    for start in range(0, len(names), _LOOKUPS_A_COMMAND):
        looks: list[list[Stage]] = []
        for name in names[start : start + _LOOKUPS_A_COMMAND]:
            match: Filter = {"tenantId": caller.tenant, "terms": f"is:{name}"}
            if (named := references.parsed(name)) is not None:
                match |= named
                published = {**match, "resolvesName": {"$ne": False}, "status": {"$in": PUBLISHED}}
                looks.append([{"$match": published}, {"$limit": _MANY_OF_A_NAME}, shown])
                match["status"] = "DRAFT"
            oldest: Stage = {"$sort": {"nameSince": 1, "id": 1}}
            looks.append([{"$match": match}, oldest, {"$limit": 1}, shown])
        unions: list[Stage] = [{"$unionWith": {"coll": str(RELEASES), "pipeline": look}} for look in looks]
        # Unions follow a collection of which nothing is taken.
        stages = [{"$match": {"_id": None}}, *unions]
        found += await db.aggregate(
            database[RELEASES], stages, None if keys is None else keys.union(CANDIDATE_FIELDS)
        )
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
    caller: Caller, database: Collections, releases: Sequence[ReleaseDocument]
) -> list[list[str]]:
    """Return the terms of the dependants of each release.

    Of the releases with one name and version, only the one that wins has dependants by name.
    """
    names = [references.name_key(release) for release in releases]
    found = await _led_to(caller, database, names, frozenset(), NAMES_AT_ONCE, is_walk=True)
    answer = []
    for release in releases:
        by_id, by_name = references.reference_keys(release)
        winner = found.get(by_name)
        is_winner = winner is not None and winner["id"] == release["id"]
        answer.append([f"needs:{by_id}", f"needs:{by_name}"] if is_winner else [f"needs:{by_id}"])
    return answer


async def find_by_reference(
    caller: Caller, database: Database, references: Iterable[str], limit: int, keys: FieldPaths
) -> list[ReleaseDocument]:
    """Return at most `limit` releases that make one of these references, with `keys` of them."""
    match = {**visibility.visible(caller), "terms": {"$in": [f"needs:{reference}" for reference in references]}}
    found = database[RELEASES].find(match, projection(keys)).hint("terms").limit(limit).batch_size(NAMES_AT_ONCE)
    return await cursors.documents(found, limit, keys)


async def find_dependants(
    caller: Caller, database: Database, ids: Iterable[str]
) -> AsyncGenerator[list[tuple[str, list[str]]], None]:
    """Yield the references of releases by release id, in batches."""
    match = {"_id": {"$in": [caller.key(id_) for id_ in ids]}, **visibility.visible(caller)}
    shown = projection(frozenset({"id", "dependencies.reference"}))
    cursor = database[RELEASES].find(match, shown).batch_size(MAKERS_AT_ONCE)
    async with contextlib.aclosing(cursors.batches(cursor, MAKERS_AT_ONCE)) as batches:
        async for some in batches:
            yield [(one["id"], [needed["reference"] for needed in one["dependencies"]]) for one in some]


async def settle_names(
    caller: Caller,
    database: Database,
    published: Iterable[ReleaseDocument],
    others: Iterable[ReleaseDocument] = (),
    session: Any = None,
) -> None:
    """Make references by name lead to no release that has lost its name for good, after these were published.

    Thus a reference is decided among the winner and drafts, however many releases have its name and version. The
    names of `others` are settled, too.
    """
    new = {release["id"] for release in published}
    names = {references.name_key(release) for some in (published, others) for release in some}
    changes: list[Any] = []
    for name, some in (await published_by_name(caller, database, names, session)).items():
        if len(some) == 1:
            continue
        _date_after(some, new)
        winner = references.resolve_winner(some)
        assert winner  # noqa: S101  one of several published releases always wins
        losers = [caller.key(release["id"]) for release in some if release is not winner]
        lost = {"$set": {"resolvesName": False}, "$pull": {"terms": f"is:{name}"}}
        changes.append(UpdateMany({"_id": {"$in": losers}}, lost))
        since = {"$set": {"nameSince": references.since(winner, some)}}
        changes.append(UpdateOne({"_id": caller.key(winner["id"])}, since))
    if changes:
        await database[RELEASES].bulk_write(changes, ordered=False, session=session)


def _date_after(some: Sequence[ReleaseDocument], new: Collection[str]) -> None:
    """Date the new ones among releases after all others, whatever the clocks of their processes said."""
    last = max((references.name_since(release) for release in some if release["id"] not in new), default=None)
    for release in sorted(some, key=references.name_since):
        if release["id"] in new:
            if last and references.name_since(release) <= last:
                release["nameSince"] = last + timestamps.MILLISECOND
            last = references.name_since(release)


async def published_by_name(
    caller: Caller, database: Database, names: Iterable[str], session: Any = None
) -> dict[str, list[ReleaseDocument]]:
    """Return the releases that were ever published and that these references by name may lead to."""
    match = {"tenantId": caller.tenant, **search_terms.resolves_any(names), "status": {"$ne": "DRAFT"}}
    found: dict[str, list[ReleaseDocument]] = {}
    cursor = database[RELEASES].find(match, CANDIDATE_FIELDS, session=session).hint("terms")
    async with contextlib.aclosing(cursors.batches(cursor.batch_size(NAMES_AT_ONCE), NAMES_AT_ONCE)) as batches:
        async for some in batches:
            for release in some:
                found.setdefault(references.name_key(release), []).append(release)
    return found


async def forget_id(
    caller: Caller, database: Database, id_: str, session: Any = None, limit: int | None = None
) -> bool:
    """Let the references by the id of a deleted release lead by name and version.

    Return False if `limit` releases are redirected and others are left.
    """

    def forget(dependency: DependencyDocument, maker: ReleaseDocument) -> DependencyDocument:
        if dependency["releaseId"] != id_:
            return dependency
        return references.redirected(dependency, maker, missing=True)

    redirected, terms = 0, [f"needs:{references.by_id(id_)}"]
    async with contextlib.aclosing(_maker_batches(caller, database, terms, session)) as batches:
        async for some in batches:
            if limit is not None and redirected >= limit:
                return False
            await _redirect(caller, database, some, forget, session)
            redirected += len(some)
    return True


async def are_wanted_by_many(caller: Caller, database: Database, ids: Iterable[str], session: Any) -> bool:
    """Return whether more releases wait for releases with these ids than one transaction may redirect."""
    match = {"tenantId": caller.tenant, "terms": {"$in": [f"wants:{references.by_id(id_)}" for id_ in ids]}}
    limit = MAX_REDIRECTED + 1
    return await database[RELEASES].count_documents(match, limit=limit, hint="terms", session=session) == limit


async def learn_ids(
    caller: Caller,
    database: Database,
    made: Iterable[ReleaseDocument],
    session: Any = None,
    beside: Collection[str] = (),
) -> None:
    """Let the references by the ids of new releases lead to these.

    A reference of a published release that leads to another published release by name stays there. `beside` are
    the ids of releases that were made at the same time: they count if they had the name earlier.
    """
    by_id, is_changed = {release["id"]: release for release in made}, False
    async for some in _maker_batches(
        caller, database, [f"wants:{references.by_id(id_)}" for id_ in by_id], session
    ):
        names = {
            one["reference"]
            for maker in some
            if maker["status"] != "DRAFT"
            for one in maker["dependencies"]
            if one["releaseId"] in by_id
        }
        fixed = await published_by_name(caller, database, names, session) if names else {}
        drafts = [maker for maker in some if maker["status"] == "DRAFT"]
        others = [maker for maker in some if maker["status"] != "DRAFT"]
        for makers, stays in ((drafts, {}), (others, fixed)):
            learn = functools.partial(_learnt, by_id, stays, beside)
            is_changed |= await _redirect(caller, database, makers, learn, session)
    if is_changed and session is None:
        await forget_missing(caller, database, by_id)


async def forget_missing(caller: Caller, database: Database, ids: Collection[str]) -> None:
    """Let the references by those of `ids` that no release has any more lead by name and version."""
    for id_ in await missing(caller, database, ids):
        await forget_id(caller, database, id_)


async def missing(caller: Caller, database: Database, ids: Collection[str], session: Any = None) -> set[str]:
    """Return the ids that no release has."""
    match = {"_id": {"$in": [caller.key(id_) for id_ in ids]}, "tenantId": caller.tenant}
    found = database[RELEASES].find(match, {"id": 1}, session=session).batch_size(ONE_BATCH)
    return {*ids} - {release["id"] for release in await cursors.documents(found)}


def _learnt(
    by_id: Mapping[str, ReleaseDocument],
    fixed: Mapping[str, Sequence[ReleaseDocument]],
    beside: Collection[str],
    dependency: DependencyDocument,
    maker: ReleaseDocument,
) -> DependencyDocument:
    release = by_id.get(dependency["releaseId"] or "")
    names = (dependency["name"], dependency["version"])
    if release is None or names != (release["name"], release["version"]):
        return dependency
    for rival in fixed.get(dependency["reference"], ()):
        is_later = rival["id"] in beside and references.name_since(rival) >= references.name_since(release)
        if rival["id"] != release["id"] and not is_later:
            return dependency
    return references.redirected(dependency, maker, missing=False)


async def _maker_batches(
    caller: Caller, database: Database, terms: Sequence[str], session: Any
) -> AsyncGenerator[list[StoredReleaseDocument], None]:
    """Yield the releases with one of these terms, in batches."""
    match = {"tenantId": caller.tenant, "terms": {"$in": list(terms)}}
    found: Any = database[RELEASES].find(match, _MAKER, session=session)
    cursor = found.hint("terms").batch_size(MAKERS_AT_ONCE)
    async with contextlib.aclosing(cursors.batches(cursor, MAKERS_AT_ONCE)) as batches:
        async for some in batches:
            yield some


async def _redirect(
    caller: Caller,
    database: Database,
    makers: Sequence[StoredReleaseDocument],
    redirect: Callable[[DependencyDocument, ReleaseDocument], DependencyDocument],
    session: Any,
) -> bool:
    """Change the references of releases, also of those that are changed meanwhile; return whether any changed."""
    is_changed = False
    while changes := _redirections(makers, redirect):
        done = await database[RELEASES].bulk_write(changes, ordered=False, session=session)
        is_changed |= done.matched_count > 0
        if done.matched_count == len(changes):
            break
        match = {"_id": {"$in": [maker["_id"] for maker in makers]}, "tenantId": caller.tenant}
        makers = await cursors.documents(cast("Any", database[RELEASES].find(match, _MAKER).batch_size(ONE_BATCH)))
    return is_changed


def _redirections(
    makers: Iterable[StoredReleaseDocument],
    redirect: Callable[[DependencyDocument, ReleaseDocument], DependencyDocument],
) -> list[Any]:
    changes: list[Any] = []
    for maker in makers:
        after = [redirect(one, maker) for one in maker["dependencies"]]
        if after == maker["dependencies"]:
            continue
        before = {term for one in maker["dependencies"] for term in search_terms.reference_terms(one)}
        terms = {term for one in after for term in search_terms.reference_terms(one)}
        # Its other terms may have changed meanwhile.
        match = {"_id": maker["_id"], "etag": maker["etag"]}
        others = {"$setDifference": ["$terms", {"$literal": sorted(before | terms)}]}
        fields = {
            "dependencies": {"$literal": after},
            "terms": {"$concatArrays": [others, {"$literal": sorted(terms)}]},
        }
        changes.append(UpdateOne(match, [{"$set": fields}]))
    return changes
