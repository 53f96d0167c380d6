"""Publishing, archiving and withdrawing releases."""

import dataclasses
from typing import Any

from release_catalog import problems
from release_catalog.domain import events, instants, life
from release_catalog.domain.caller import READ, Caller
from release_catalog.domain.checks import Checks
from release_catalog.problems import Problem
from release_catalog.store import graph, releases, writing
from release_catalog.store.database import Database, Document
from release_catalog.store.requests import Answer, Given

MAX_REASON = 4096


async def publish(caller: Caller, database: Database, given: Given) -> Answer:
    """DRAFT becomes PUBLISHED, if no file is known to be another than it says."""

    async def work(session: Any) -> Answer:
        return await _step(caller, database, given, session, "PUBLISHED", _at("publishedAt"))

    return await writing.once(caller, database, "publishRelease", given, work)


async def archive(caller: Caller, database: Database, given: Given) -> Answer:
    """PUBLISHED or WITHDRAWN becomes ARCHIVED."""

    async def work(session: Any) -> Answer:
        return await _step(caller, database, given, session, "ARCHIVED", _at("archivedAt"))

    return await writing.once(caller, database, "archiveRelease", given, work)


def _at(field: str) -> Document:
    now = instants.now()
    return {field: now, "updatedAt": now}


async def withdraw(caller: Caller, database: Database, given: Given) -> Answer:
    """PUBLISHED becomes WITHDRAWN, for a reason; tells how many published releases reach it."""

    async def work(session: Any) -> Answer:
        checks = Checks(given, "input")
        withdrawal = {
            "reason": checks.text("reason", MAX_REASON, required=True, lines=True),
            "replacementId": given.get("replacementId"),
            "withdrawnAt": instants.now(),
            "withdrawnBy": caller.subject,
        }
        await _check_replacement(caller, database, checks)
        return await _step(caller, database, given, session, "WITHDRAWN", {"withdrawal": withdrawal}, checks)

    return await writing.once(caller, database, "withdrawRelease", given, work)


async def _notice(caller: Caller, database: Database, release: Document) -> tuple[Document, Document | None]:
    """Whom a withdrawal concerns: for those who see everything, and for others where that is less."""
    withdrawal = release["withdrawal"]
    replacement = withdrawal["replacementId"]
    found = await graph.affected(caller, database, release)
    told = events.withdrawn(withdrawal, found.count, found.nearest, replacement)
    reader = dataclasses.replace(caller, scopes=frozenset({READ}))
    seen = await releases.by_ids(reader, database, [replacement] if replacement else [])
    if not found.hidden and bool(seen) == bool(replacement):
        return told, None
    found = await graph.affected(reader, database, release)
    return told, events.withdrawn(withdrawal, found.count, found.nearest, replacement if seen else None)


async def _check_replacement(caller: Caller, database: Database, checks: Checks) -> None:
    other = checks.fields.get("replacementId")
    if other is not None and (
        other == checks.fields["id"] or not await releases.by_ids(caller, database, [other])
    ):
        checks.refuse("replacementId", "UNKNOWN", "Give the id of another release that there is.")


async def _step(
    caller: Caller,
    database: Database,
    given: Given,
    session: Any,
    to: str,
    fields: Document,
    checks: Checks | None = None,
) -> Answer:
    found = await writing.found(caller, database, given["id"], given, session)
    if isinstance(found, Problem):
        return found
    if violations := life.step(found, to) + (checks.found if checks else []):
        return problems.Invalid(violations=violations)
    after = await writing.change(caller, database, found, {"status": to, **fields}, session)
    if to != "WITHDRAWN":
        await writing.happened(caller, database, f"release.{to.lower()}", after, session)
        return {"release": after}
    told, less = await _notice(caller, database, after)
    await writing.happened(
        caller, database, "release.withdrawn", after, session, withdrawal=told, open_withdrawal=less
    )
    return {"release": after, "affectedCount": told["affectedCount"]}
