"""Publishing, archiving and withdrawing releases."""

import contextlib
import dataclasses
from collections.abc import Sequence

from release_catalog import problems
from release_catalog.domain import events, instants, life
from release_catalog.domain.caller import READ, Caller
from release_catalog.domain.checks import LONG, Checks
from release_catalog.problems import Problem, Violation
from release_catalog.store import cursors, graph, releases, requests, writing
from release_catalog.store import events as events_log
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


async def withdraw(caller: Caller, database: Database, given: Given) -> Answer:
    """PUBLISHED becomes WITHDRAWN, for a reason; tells how many published releases reach it.

    Who these are is looked up before the transaction, because all writers of a tenant wait for one another there,
    and a hub has ten thousands of dependants. The transaction then reads the events since. Where one of them is
    about a release on the way, about one of the same name, or about one that needs any of these, what was found
    may no longer hold: the look-up is repeated, once. If that happens again, the withdrawal goes on with what was
    true when the second look-up began. Else a hub whose dependants change all the time could not be withdrawn, and
    the number is a notice to people, on which no rule rests.
    """
    for _ in range(MAX_LOOK_UPS - 1):
        notice = await _look(caller, database, given)
        with contextlib.suppress(_Outdated):
            return await _withdrawn(caller, database, given, notice)
    return await _withdrawn(caller, database, given, await _look(caller, database, given), last=True)


# How often a withdrawal looks up whom it concerns.
MAX_LOOK_UPS = 2
# The events since a look-up that are looked at one by one; where there were more, it is taken to be outdated.
MAX_EVENTS = 1_000


class _Outdated(Exception):  # noqa: N818  it is not an error: the look-up is repeated
    """What a withdrawal looked up may no longer hold."""


@dataclasses.dataclass(frozen=True)
class _Notice:
    """Whom a withdrawal concerns, as of an event: for those who see everything, and where others see less."""

    etag: str
    head: int
    everybody: graph.Affected
    readers: graph.Affected
    own_count: int
    readers_see_replacement: bool
    violations: Sequence[Violation]

    def told(self, withdrawal: Document) -> tuple[Document, Document | None]:
        """Return what the event tells those who see everything, and what it tells others where that is less."""
        replacement = withdrawal["replacementId"]
        found, seen = self.everybody, self.readers
        told = events.withdrawn(withdrawal, found.count, found.nearest, replacement)
        if seen is found and self.readers_see_replacement:
            return told, None
        replacement = replacement if self.readers_see_replacement else None
        return told, events.withdrawn(withdrawal, seen.count, seen.nearest, replacement)


async def _look(caller: Caller, database: Database, given: Given) -> _Notice | None:
    """Look up whom a withdrawal concerns; None where it will be refused, or is answered as before."""
    key = given.get("idempotencyKey")
    if key is not None and (requests.refused(key) or await requests.remembered(caller, database, key, None)):
        return None
    head = await events_log.head(caller, database)
    release = await writing.found(Turn(caller, database), given["id"], given)
    if isinstance(release, Problem) or life.step(release, "WITHDRAWN"):
        return None
    return await _notice(caller, database, release, head, given)


async def _notice(caller: Caller, database: Database, release: Document, head: int, given: Given) -> _Notice:
    checks = Checks(given, "input")
    await _check_replacement(caller, database, checks)
    replacement = given.get("replacementId")
    # Who withdraws it may be bound to its product, and see less than others are told.
    found = await graph.affected(dataclasses.replace(caller, product=None), database, release)
    reader = dataclasses.replace(caller, scopes=frozenset({READ}), product=None)
    # All callers see the same as long as the walk met nothing that is hidden from some.
    readers = await graph.affected(reader, database, release) if found.hidden else found
    bound = found.hidden and caller.product is not None
    own = await graph.affected(caller, database, release) if bound else found
    seen = await releases.by_ids(reader, database, [replacement] if replacement else [], frozenset({"id"}))
    return _Notice(
        etag=release["etag"],
        head=head,
        everybody=found,
        readers=readers,
        own_count=own.count,
        readers_see_replacement=bool(seen) == bool(replacement),
        violations=checks.found,
    )


async def _check_replacement(caller: Caller, database: Database, checks: Checks) -> None:
    other = checks.fields.get("replacementId")
    keys = frozenset({"id"})
    if other is not None and (
        other == checks.fields["id"] or not await releases.by_ids(caller, database, [other], keys)
    ):
        checks.refuse("replacementId", "UNKNOWN", "Give the id of another release that there is.")


async def _withdrawn(
    caller: Caller, database: Database, given: Given, notice: _Notice | None, *, last: bool = False
) -> Answer:
    """Withdraw in a transaction; raise _Outdated where `notice` may no longer hold, but for the `last` one."""

    async def work(turn: Turn, given: Given) -> Answer:
        checks = Checks(given, "input")
        withdrawal = {
            "reason": checks.text("reason", LONG, required=True),
            "replacementId": given.get("replacementId"),
            "withdrawnAt": instants.now(),
            "withdrawnBy": turn.caller.subject,
        }
        found = await writing.found(turn, given["id"], given)
        if isinstance(found, Problem):
            return found
        violations = [*life.step(found, "WITHDRAWN"), *checks.found]
        if notice is None:
            await _check_replacement(turn.caller, turn.database, checks)
            violations = [*life.step(found, "WITHDRAWN"), *checks.found]
        else:
            violations += notice.violations
        if violations:
            return problems.Invalid(violations=violations)
        known = await _still(turn, found, notice, given, last=last)
        after = await writing.change(turn, found, {"status": "WITHDRAWN", "withdrawal": withdrawal})
        told, less = known.told(withdrawal)
        await writing.happened(
            turn.caller, turn.database, "release.withdrawn", after, turn.session, withdrawal=told,
            open_withdrawal=less,
        )  # fmt: skip
        return {"release": after, "affectedCount": known.own_count}

    return await writing.once(caller, database, "withdrawRelease", given, work)


async def _still(turn: Turn, release: Document, notice: _Notice | None, given: Given, *, last: bool) -> _Notice:
    """Return the notice if it still holds; raise _Outdated where it may not."""
    if notice is not None and (last or not await _outdated(turn, release, notice)):
        return notice
    if not last:
        raise _Outdated
    # Each time there was nothing to withdraw at first, and then there was: this is not put off again.
    return await _notice(turn.caller, turn.database, release, 0, given)


async def _outdated(turn: Turn, release: Document, notice: _Notice) -> bool:
    """Whether anything has happened since the look-up that may have changed what it found."""
    if release["etag"] != notice.etag:
        return True
    changed = await events_log.changed_since(turn.caller, turn.database, notice.head, MAX_EVENTS, turn.session)
    if changed is None:
        return True
    keys = [turn.caller.key(id_) for id_ in changed if id_ != release["id"]]
    if not keys:
        return False
    shown = {**releases.IDENTITY, "dependencies.reference": 1}
    found = turn.database.releases.find({"_id": {"$in": keys}}, shown, session=turn.session)
    at_once = releases.MAKERS_AT_ONCE
    async with contextlib.aclosing(cursors.batches(found.batch_size(at_once), at_once)) as batches:
        async for some in batches:
            if notice.everybody.touched_by(some) or notice.readers.touched_by(some):
                return True
    return False


async def _step(turn: Turn, given: Given, to: str, fields: Document) -> Answer:
    found = await writing.found(turn, given["id"], given)
    if isinstance(found, Problem):
        return found
    if violations := life.step(found, to):
        return problems.Invalid(violations=violations)
    after = await writing.change(turn, found, {"status": to, **fields})
    await writing.happened(turn.caller, turn.database, f"release.{to.lower()}", after, turn.session)
    return {"release": after}
