"""Publication, archiving, withdrawal and discarding of releases."""

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from release_catalog import errors
from release_catalog.domain import events, timestamps
from release_catalog.domain.caller import READ, Caller
from release_catalog.domain.lifecycle import check_transition
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_parts import WithdrawalDocument
from release_catalog.domain.release_update import Values
from release_catalog.domain.validation import MAX_LONG_TEXT, Validator
from release_catalog.errors import Problem, Violation
from release_catalog.storage import (
    cursors,
    dependency_traversal,
    idempotency,
    reference_lookup,
    release_delivery,
    releases,
    unit_of_work,
)
from release_catalog.storage import database as db
from release_catalog.storage import event_log as events_log
from release_catalog.storage.collection_names import PROMOTIONS, RELEASES, VERIFICATIONS
from release_catalog.storage.database import Database
from release_catalog.storage.idempotency import Answer, MutationInput
from release_catalog.storage.unit_of_work import UnitOfWork, command


@command("publishRelease")
async def publish(turn: UnitOfWork, values: MutationInput) -> Answer:
    """Publish a draft, unless one of its files has a MISMATCH."""
    fields = _at("publishedAt")
    fields |= {"publishedBy": turn.caller.subject, "nameSince": fields["publishedAt"]}
    answer = await _step(turn, values, "PUBLISHED", fields)
    if not isinstance(answer, Problem):
        await reference_lookup.settle_names(turn.caller, turn.database, [answer["release"]], session=turn.session)
    return answer


@command("archiveRelease")
async def archive(turn: UnitOfWork, values: MutationInput) -> Answer:
    """Archive a published or withdrawn release."""
    return await _step(turn, values, "ARCHIVED", _at("archivedAt"))


@command("discardRelease")
async def discard(turn: UnitOfWork, values: MutationInput) -> Answer:
    """Delete a draft: its version may be used again, but its id is never reused.

    The runs of its pipelines and the verification of its files end with it. References by its id lead by name and
    version from then on. Of very many, the last ones are redirected after the commit, and lead nowhere until then.
    """
    found = await unit_of_work.load_for_update(turn, values["id"], values)
    if isinstance(found, Problem):
        return found
    if violations := await _not_discardable(turn, found):
        return errors.ValidationProblem(violations=violations)
    is_settled = await reference_lookup.forget_id(
        turn.caller, turn.database, found["id"], turn.session, reference_lookup.MAX_REDIRECTED
    )
    await unit_of_work.delete_release(turn, found, is_settled=is_settled)
    if not is_settled:
        turn.later.append(functools.partial(_forget, turn.caller, turn.database, found["id"]))
    await turn.database[VERIFICATIONS].delete_one({"_id": turn.caller.key(found["id"])}, session=turn.session)
    await release_delivery.delete_executions(turn, found)
    last: ReleaseDocument = {**found, "updatedAt": timestamps.now()}
    await unit_of_work.append_event(turn.caller, turn.database, "release.discarded", last, turn.session)
    return {"discardedId": found["id"]}


async def _forget(caller: Caller, database: Database, id_: str) -> None:
    """Redirect the references that a discarding has left, in batches outside of any transaction."""
    # If this fails, a migration does it.
    with db.deadline(reference_lookup.REDIRECT_SECONDS), contextlib.suppress(db.Failure):
        await reference_lookup.forget_id(caller, database, id_)
        await unit_of_work.settle_remains(database, [caller.key(id_)])


async def _not_discardable(turn: UnitOfWork, release: ReleaseDocument) -> list[Violation]:
    if release["status"] != "DRAFT":
        message = f"The release is {release['status']}: only a draft can be discarded. Withdraw or archive it."
        return [Violation("input.id", message, "WRONG_STATUS")]
    match = {"tenantId": turn.caller.tenant, "releaseId": release["id"]}
    if await turn.database[PROMOTIONS].find_one(match, {"_id": 1}, hint="release", session=turn.session):
        message = (
            "The ledger has an attempt to promote this draft, and its records keep their releases: replace the "
            "draft instead."
        )
        return [Violation("input.id", message, "IN_LEDGER")]
    return []


def _at(field: str) -> Values:
    now = timestamps.now()
    return {field: now, "updatedAt": now}


async def withdraw(caller: Caller, database: Database, values: MutationInput) -> Answer:
    """Withdraw a published release for a reason, and return the number of published releases that reach it.

    These are looked up before the transaction, because all writers of a tenant wait for one another there, and a
    hub has tens of thousands of dependants. The transaction then reads the events since. If one of them is about a
    release on the way, about one of the same name, or about one that depends on any of these, the result may be
    outdated: the lookup is repeated, once. If that happens again, the withdrawal continues with the second result.
    Otherwise a hub whose dependants change all the time could not be withdrawn, and the number is a notice to
    people, on which no rule rests.
    """
    for _ in range(MAX_LOOK_UPS - 1):
        notice = await _look(caller, database, values)
        with contextlib.suppress(_Outdated):
            return await _withdrawn(caller, database, values, notice)
    return await _withdrawn(caller, database, values, await _look(caller, database, values), last=True)


# The maximum number of lookups for one withdrawal.
MAX_LOOK_UPS = 2
# The maximum number of events since a lookup to check one by one; after more, it counts as outdated.
MAX_EVENTS = 1_000


class _Outdated(Exception):  # noqa: N818  it is not an error: the lookup is repeated
    """The lookup of a withdrawal may be outdated."""


@dataclasses.dataclass(frozen=True)
class _Notice:
    """The releases that a withdrawal affects, as of an event: for callers who see everything, and for others."""

    etag: str
    head: int
    everybody: dependency_traversal.Affected
    readers: dependency_traversal.Affected
    own_count: int
    readers_see_replacement: bool
    violations: Sequence[Violation]

    def event_payloads(self, withdrawal: WithdrawalDocument) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Return the event's payload for callers who see everything, and that for others if it is smaller."""
        replacement = withdrawal["replacementId"]
        found, seen = self.everybody, self.readers
        payload = events.withdrawn(withdrawal, found.count, found.nearest, replacement)
        if seen is found and self.readers_see_replacement:
            return payload, None
        replacement = replacement if self.readers_see_replacement else None
        return payload, events.withdrawn(withdrawal, seen.count, seen.nearest, replacement)


async def _look(caller: Caller, database: Database, values: MutationInput) -> _Notice | None:
    """Look up the affected releases; return None if the withdrawal will be refused or replayed."""
    key = values.get("idempotencyKey")
    if key is not None and (
        idempotency.refused(key) or await idempotency.find_record(caller, database, key, None)
    ):
        return None
    head = await events_log.head(caller, database)
    release = await unit_of_work.load_for_update(UnitOfWork(caller, database), values["id"], values)
    if isinstance(release, Problem) or check_transition(release, "WITHDRAWN"):
        return None
    return await _notice(caller, database, release, head, values)


async def _notice(
    caller: Caller, database: Database, release: ReleaseDocument, head: int, values: MutationInput
) -> _Notice:
    checks = Validator(values, "input")
    await _check_replacement(caller, database, checks)
    replacement = values.get("replacementId")
    # The withdrawing caller may be bound to its product, and see less than recipients of the event.
    found = await dependency_traversal.affected(dataclasses.replace(caller, product=None), database, release)
    reader = dataclasses.replace(caller, scopes=frozenset({READ}), product=None)
    # All callers see the same if the walk met nothing that is hidden from some.
    readers = await dependency_traversal.affected(reader, database, release) if found.hidden else found
    bound = found.hidden and caller.product is not None
    own = await dependency_traversal.affected(caller, database, release) if bound else found
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


async def _check_replacement(caller: Caller, database: Database, checks: Validator) -> None:
    other = checks.fields.get("replacementId")
    keys = frozenset({"id"})
    if other is not None and (
        other == checks.fields["id"] or not await releases.by_ids(caller, database, [other], keys)
    ):
        checks.refuse("replacementId", "UNKNOWN", "The replacement must be another existing release: give its id.")


async def _withdrawn(
    caller: Caller, database: Database, values: MutationInput, notice: _Notice | None, *, last: bool = False
) -> Answer:
    """Withdraw in a transaction; raise _Outdated if `notice` may be outdated, unless it is the `last` one."""

    async def work(turn: UnitOfWork, values: MutationInput) -> Answer:
        checks = Validator(values, "input")
        withdrawal: WithdrawalDocument = {
            "reason": checks.text("reason", MAX_LONG_TEXT, required=True) or "",
            "replacementId": values.get("replacementId"),
            "withdrawnAt": timestamps.now(),
            "withdrawnBy": turn.caller.subject,
        }
        found = await unit_of_work.load_for_update(turn, values["id"], values)
        if isinstance(found, Problem):
            return found
        violations = [*check_transition(found, "WITHDRAWN"), *checks.found]
        if notice is None:
            await _check_replacement(turn.caller, turn.database, checks)
            violations = [*check_transition(found, "WITHDRAWN"), *checks.found]
        else:
            violations += notice.violations
        if violations:
            return errors.ValidationProblem(violations=violations)
        known = await _still(turn, found, notice, values, last=last)
        after = await unit_of_work.update_release(turn, found, {"status": "WITHDRAWN", "withdrawal": withdrawal})
        payload, less = known.event_payloads(withdrawal)
        await unit_of_work.append_event(
            turn.caller, turn.database, "release.withdrawn", after, turn.session, withdrawal=payload,
            open_withdrawal=less,
        )  # fmt: skip
        return {"release": after, "affectedCount": known.own_count}

    return await unit_of_work.execute(caller, database, "withdrawRelease", values, work)


async def _still(
    turn: UnitOfWork, release: ReleaseDocument, notice: _Notice | None, values: MutationInput, *, last: bool
) -> _Notice:
    """Return the notice if it is certain to hold; otherwise raise _Outdated."""
    if notice is not None and (last or not await _outdated(turn, release, notice)):
        return notice
    if not last:
        raise _Outdated
    # Each time there was nothing to withdraw at first, and then there was: this is not put off again.
    return await _notice(turn.caller, turn.database, release, 0, values)


async def _outdated(turn: UnitOfWork, release: ReleaseDocument, notice: _Notice) -> bool:
    """Return whether an event since the lookup may have changed its result."""
    if release["etag"] != notice.etag:
        return True
    changed = await events_log.changed_since(turn.caller, turn.database, notice.head, MAX_EVENTS, turn.session)
    if changed is None:
        return True
    keys = [turn.caller.key(id_) for id_ in changed if id_ != release["id"]]
    if not keys:
        return False
    shown = {**reference_lookup.REFERENCE_FIELDS, "dependencies.reference": 1}
    match = {"_id": {"$in": keys}, "tenantId": turn.caller.tenant}
    found = turn.database[RELEASES].find(match, shown, session=turn.session)
    at_once = reference_lookup.MAKERS_AT_ONCE
    async with contextlib.aclosing(cursors.batches(found.batch_size(at_once), at_once)) as batches:
        async for some in batches:
            if notice.everybody.touched_by(some) or notice.readers.touched_by(some):
                return True
    return False


async def _step(turn: UnitOfWork, values: MutationInput, to: str, fields: Values) -> Answer:
    found = await unit_of_work.load_for_update(turn, values["id"], values)
    if isinstance(found, Problem):
        return found
    if violations := check_transition(found, to):
        return errors.ValidationProblem(violations=violations)
    after = await unit_of_work.update_release(turn, found, {"status": to, **fields})
    await unit_of_work.append_event(turn.caller, turn.database, f"release.{to.lower()}", after, turn.session)
    return {"release": after}
