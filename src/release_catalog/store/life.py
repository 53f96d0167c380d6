"""Publishing, archiving and withdrawing releases."""

import dataclasses
from collections.abc import Sequence

from release_catalog import problems
from release_catalog.domain import events, instants, life
from release_catalog.domain.caller import READ, Caller
from release_catalog.domain.checks import LONG, Checks
from release_catalog.problems import Problem, Violation
from release_catalog.store import graph, releases, writing
from release_catalog.store.database import Database, Document
from release_catalog.store.requests import Answer, Given
from release_catalog.store.writing import Turn, verb


@verb("publishRelease")
async def publish(turn: Turn, given: Given) -> Answer:
    """DRAFT becomes PUBLISHED, if no file is known to be another than it says."""
    return await _step(turn, given, "PUBLISHED", _at("publishedAt"))


@verb("archiveRelease")
async def archive(turn: Turn, given: Given) -> Answer:
    """PUBLISHED or WITHDRAWN becomes ARCHIVED."""
    return await _step(turn, given, "ARCHIVED", _at("archivedAt"))


def _at(field: str) -> Document:
    now = instants.now()
    return {field: now, "updatedAt": now}


@verb("withdrawRelease")
async def withdraw(turn: Turn, given: Given) -> Answer:
    """PUBLISHED becomes WITHDRAWN, for a reason; tells how many published releases reach it."""
    checks = Checks(given, "input")
    withdrawal = {
        "reason": checks.text("reason", LONG, required=True),
        "replacementId": given.get("replacementId"),
        "withdrawnAt": instants.now(),
        "withdrawnBy": turn.caller.subject,
    }
    await _check_replacement(turn.caller, turn.database, checks)
    return await _step(turn, given, "WITHDRAWN", {"withdrawal": withdrawal}, checks.found)


async def _notice(caller: Caller, database: Database, release: Document) -> tuple[Document, Document | None]:
    """Whom a withdrawal concerns: for those who see everything, and for others where that is less."""
    withdrawal = release["withdrawal"]
    replacement = withdrawal["replacementId"]
    # Who withdraws it may be bound to its product, and see less than others are told.
    found = await graph.affected(dataclasses.replace(caller, product=None), database, release)
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


async def _step(turn: Turn, given: Given, to: str, fields: Document, wrong: Sequence[Violation] = ()) -> Answer:
    found = await writing.found(turn, given["id"], given)
    if isinstance(found, Problem):
        return found
    if violations := [*life.step(found, to), *wrong]:
        return problems.Invalid(violations=violations)
    after = await writing.change(turn, found, {"status": to, **fields})
    told, less = await _notice(turn.caller, turn.database, after) if to == "WITHDRAWN" else (None, None)
    kind = f"release.{to.lower()}"
    await writing.happened(
        turn.caller, turn.database, kind, after, turn.session, withdrawal=told, open_withdrawal=less
    )
    if told is None:
        return {"release": after}
    if turn.caller.product is None:
        return {"release": after, "affectedCount": told["affectedCount"]}
    return {"release": after, "affectedCount": (await graph.affected(turn.caller, turn.database, after)).count}
