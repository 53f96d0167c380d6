"""Creating, patching and replacing releases."""

from collections.abc import Collection
from typing import Any

from release_catalog import problems
from release_catalog.domain import delivery, drafting, ids, instants, release, versions
from release_catalog.domain.checks import Checks
from release_catalog.problems import Problem
from release_catalog.store import delivering, releases, terms, writing
from release_catalog.store.database import Document
from release_catalog.store.requests import Answer, Given
from release_catalog.store.writing import Turn, verb


@verb("createRelease")
async def create(turn: Turn, given: Given) -> Answer:
    """A new draft (S2)."""
    now = instants.now()
    checks = Checks(given, "input")
    product = await _product(turn, checks)
    if product and (refused := writing.beyond(turn.caller, product["id"])):
        return refused
    fields = drafting.read(checks, now)
    fields |= {"id": ids.new(), "version": _version(checks, product), "createdAt": _created(checks, now)}
    warnings = await settle(turn, checks, fields, None)
    drafting.unique(checks, fields)
    if checks.found or product is None:
        return problems.Invalid(violations=checks.found)
    made = release.document(turn.caller.tenant, product, now=now, **fields)
    await add(turn, made, "release.created")
    return {"release": made, "warnings": warnings}


async def _product(turn: Turn, checks: Checks) -> Document | None:
    id_, catalog_id = checks.fields["productId"], checks.fields.get("catalogId")
    product = await turn.one("products", id_)
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


async def add(turn: Turn, made: Document, kind: str) -> None:
    """Insert a release and tell of it."""
    writing.fits(made)
    await turn.database.releases.insert_one(terms.stored(turn.caller, made), session=turn.session)
    await _tell(turn, kind, None, made)


async def _tell(turn: Turn, kind: str, before: Document | None, made: Document) -> None:
    for happened in (kind, delivery.event(before, made["delivery"])):
        if happened:
            await writing.happened(turn.caller, turn.database, happened, made, turn.session)


@verb("patchRelease")
async def patch(turn: Turn, given: Given) -> Answer:
    """Adds and updates, never removes (S4 PATCH)."""
    return await _revise(turn, given, whole=False)


@verb("replaceRelease")
async def replace(turn: Turn, given: Given) -> Answer:
    """Sets all that can be said of a release, what is not said to its default (S4 PUT)."""
    return await _revise(turn, given, whole=True)


async def _revise(turn: Turn, given: Given, *, whole: bool) -> Answer:
    before = await writing.found(turn, given["id"], given)
    if isinstance(before, Problem):
        return before
    now, checks = instants.now(), Checks(given, "input")
    fields = drafting.read(checks, now)
    fields |= {"id": before["id"], "version": before["version"]}
    warnings = await settle(turn, checks, fields, before, whole=whole)
    drafting.unique(checks, fields)
    after = drafting.revised(before, checks, fields, now, replace=whole)
    drafting.frozen(checks, before, after)
    if checks.found:
        return problems.Invalid(violations=checks.found)
    return {"release": await store(turn, before, after), "warnings": warnings}


async def store(turn: Turn, before: Document, after: Document, kind: str = "release.updated") -> Document:
    """Keep what a release has become and tell of it; where nothing changed, nothing happened."""
    changed = {field: value for field, value in after.items() if value != before[field]}
    if not changed:
        return before
    writing.fits(after)
    made = await writing.change(turn, before, changed)
    await _tell(turn, kind, before["delivery"], made)
    return made


async def settle(
    turn: Turn, checks: Checks, fields: Document, before: Document | None, *, whole: bool = True
) -> list[str]:
    """Hold what is said of a release against what it refers to, and complete it from there; gives warnings."""
    drafting.refer(checks, fields, await known(turn, [fields]), fields)
    return await deliver(turn, checks, fields, before, whole=whole)


async def deliver(
    turn: Turn, checks: Checks, fields: Document, before: Document | None = None, *, whole: bool = True
) -> list[str]:
    """The delivery of a release, from what is said of it in `checks`; gives warnings."""
    inner, then = checks.inner("delivery"), before["delivery"] if before else None
    if inner is None:
        if whole and then and then["status"] in delivery.UNDER_WAY:
            message = f"It is {then['status']}: say again how it goes on, or complete it."
            checks.refuse("delivery", "UNDER_WAY", message)
        return []
    said = delivery.read(inner)
    wanted = delivery.wanted(then, said)
    related = await delivering.known(turn.caller, turn.database, wanted, turn.session)
    fields["delivery"], warnings = delivery.settled(then, said, related, inner, instants.now(), replace=whole)
    return warnings


async def known(turn: Turn, said: Collection[Document]) -> dict[str, dict[str, Document]]:
    """The documents that releases refer to, of each collection by id."""
    wanted = {collection: {one.get(field) for one in said} for field, collection in drafting.RELATED.items()}
    wanted["releases"] = {needed["releaseId"] for one in said for needed in one.get("dependencies", ())}
    found: dict[str, dict[str, Document]] = {}
    for collection, ids_ in wanted.items():
        keys = [turn.caller.key(id_) for id_ in ids_ if id_]
        seen = releases.visible(turn.caller) if collection == "releases" else {}
        match, shown = {"_id": {"$in": keys}, **seen}, {"id": 1, "name": 1, "version": 1}
        some = turn.database[collection].find(match, shown, session=turn.session)
        found[collection] = {one["id"]: one async for one in some} if keys else {}
    return found
