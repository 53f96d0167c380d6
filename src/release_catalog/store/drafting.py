"""Creating, patching and replacing releases."""

from collections.abc import Collection
from typing import Any

from release_catalog import problems
from release_catalog.domain import delivery, drafting, ids, instants, release, versions
from release_catalog.domain.caller import Caller
from release_catalog.domain.checks import Checks
from release_catalog.problems import Problem
from release_catalog.store import delivering, releases, terms, writing
from release_catalog.store.database import Database, Document
from release_catalog.store.requests import Answer, Given


async def create(caller: Caller, database: Database, given: Given) -> Answer:
    """A new draft (S2)."""

    async def work(session: Any) -> Answer:
        now = instants.now()
        checks = Checks(given, "input")
        product = await _product(caller, database, checks, session)
        if product and (refused := writing.beyond(caller, product["id"])):
            return refused
        fields = drafting.read(checks, now)
        drafting.unique(checks, fields)
        fields |= {"id": ids.new(), "version": _version(checks, product), "createdAt": _created(checks, now)}
        warnings = await settle(caller, database, checks, fields, None, session)
        if checks.found or product is None:
            return problems.Invalid(violations=checks.found)
        made = release.document(caller.tenant, product, now=now, **fields)
        await add(caller, database, made, "release.created", session)
        return {"release": made, "warnings": warnings}

    return await writing.once(caller, database, "createRelease", given, work)


async def _product(caller: Caller, database: Database, checks: Checks, session: Any) -> Document | None:
    id_, catalog_id = checks.fields["productId"], checks.fields.get("catalogId")
    product: Document | None = await database.products.find_one({"_id": caller.key(id_)}, session=session)
    if product is None:
        checks.refuse("productId", "UNKNOWN", f"There is no product {id_!r}: save it first.")
    elif catalog_id not in {None, product["catalogId"]}:
        message = f"Its product stands in the catalog {product['catalogId']!r}: give that one, or none."
        checks.refuse("catalogId", "CONTRADICTORY_REFERENCE", message)
    return product


def _version(checks: Checks, product: Document | None) -> str:
    version = checks.text("version", versions.MAX_LENGTH, required=True) or ""
    if version and product and (reason := versions.problem(product["versionScheme"], version)):
        checks.refuse("version", "NOT_A_VERSION", reason)
    return version


def _created(checks: Checks, now: Any) -> Any:
    created = checks.fields.get("createdAt") or now
    if created > now:
        checks.refuse("createdAt", "IN_FUTURE", "Give an instant of the past, and only for a release that is old.")
    return created


async def add(caller: Caller, database: Database, made: Document, kind: str, session: Any) -> None:
    """Insert a release and tell of it."""
    writing.fits(made)
    await database.releases.insert_one(terms.stored(caller, made), session=session)
    await writing.happened(caller, database, kind, made, session)
    if started := delivery.event(None, made["delivery"]):
        await writing.happened(caller, database, started, made, session)


async def patch(caller: Caller, database: Database, given: Given) -> Answer:
    """Adds and updates, never removes (S4 PATCH)."""
    return await _revise(caller, database, "patchRelease", given)


async def replace(caller: Caller, database: Database, given: Given) -> Answer:
    """Sets all that can be said of a release, what is not said to its default (S4 PUT)."""
    return await _revise(caller, database, "replaceRelease", given)


async def _revise(caller: Caller, database: Database, verb: str, given: Given) -> Answer:
    async def work(session: Any) -> Answer:
        before = await writing.found(caller, database, given["id"], given, session)
        if isinstance(before, Problem):
            return before
        now, checks, whole = instants.now(), Checks(given, "input"), verb == "replaceRelease"
        fields = drafting.read(checks, now)
        drafting.unique(checks, fields)
        fields |= {"id": before["id"], "version": before["version"]}
        warnings = await settle(caller, database, checks, fields, before, session, whole=whole)
        after = drafting.revised(before, checks, fields, now, replace=whole)
        drafting.frozen(checks, before, after)
        if checks.found:
            return problems.Invalid(violations=checks.found)
        return {"release": await store(caller, database, before, after, session), "warnings": warnings}

    return await writing.once(caller, database, verb, given, work)


async def store(
    caller: Caller,
    database: Database,
    before: Document,
    after: Document,
    session: Any,
    kind: str = "release.updated",
) -> Document:
    """Keep what a release has become and tell of it; where nothing changed, nothing happened."""
    changed = {field: value for field, value in after.items() if value != before[field]}
    if not changed:
        return before
    writing.fits(after)
    release_ = await writing.change(caller, database, before, changed, session)
    await writing.happened(caller, database, kind, release_, session)
    if started := delivery.event(before["delivery"], after["delivery"]):
        await writing.happened(caller, database, started, release_, session)
    return release_


async def settle(
    caller: Caller,
    database: Database,
    checks: Checks,
    fields: Document,
    before: Document | None,
    session: Any,
    *,
    whole: bool = True,
) -> list[str]:
    """Hold what is said of a release against what it refers to, and complete it from there; gives warnings."""
    drafting.refer(checks, fields, await known(caller, database, [fields], session), fields)
    return await deliver(caller, database, checks, fields, before, session, whole=whole)


async def deliver(
    caller: Caller,
    database: Database,
    checks: Checks,
    fields: Document,
    before: Document | None = None,
    session: Any = None,
    *,
    whole: bool = True,
) -> list[str]:
    """The delivery of a release, from what is said of it in `checks`; gives warnings."""
    inner, then = checks.inner("delivery"), before["delivery"] if before else None
    if inner is None:
        if whole and then and then["status"] in delivery.UNDER_WAY:
            checks.refuse(
                "delivery", "UNDER_WAY", f"It is {then['status']}: say again how it goes on, or complete it."
            )
        return []
    said = delivery.read(inner)
    related = await delivering.known(caller, database, delivery.wanted(then, said), session)
    fields["delivery"], warnings = delivery.settled(then, said, related, inner, instants.now(), replace=whole)
    return warnings


async def known(
    caller: Caller, database: Database, said: Collection[Document], session: Any = None
) -> dict[str, dict[str, Document]]:
    """The documents that releases refer to, of each collection by id."""
    wanted = {collection: {one.get(field) for one in said} for field, collection in drafting.RELATED.items()}
    wanted["releases"] = {needed["releaseId"] for one in said for needed in one.get("dependencies", ())}
    found: dict[str, dict[str, Document]] = {}
    for collection, ids_ in wanted.items():
        keys = [caller.key(id_) for id_ in ids_ if id_]
        seen = releases.visible(caller) if collection == "releases" else {}
        match = {"_id": {"$in": keys}, **seen}
        some = database[collection].find(match, {"id": 1, "name": 1, "version": 1}, session=session)
        found[collection] = {one["id"]: one async for one in some} if keys else {}
    return found
