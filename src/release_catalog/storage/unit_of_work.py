"""The unit of work: one transaction holds a document, its event and the idempotency record.

A request with an idempotency key is stored for 24 hours with its answer. Of two concurrent ones the later collides
on that record; MongoDB has it repeated, and it finds the answer of the first.
"""

import asyncio
import contextlib
import dataclasses
import functools
import re
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

import bson
import orjson
from pymongo.errors import DuplicateKeyError

from release_catalog import errors, usage
from release_catalog.domain import events, ids, timestamps
from release_catalog.domain.caller import WRITE, Caller
from release_catalog.domain.events import EventDocument
from release_catalog.domain.promotion import PromotionDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_update import Values
from release_catalog.errors import Problem, Violation
from release_catalog.fair_share import Busy, FairSlots
from release_catalog.storage import database as db
from release_catalog.storage import forms, idempotency, search_terms, transactions, visibility
from release_catalog.storage.collection_names import COUNTERS, EVENTS, RELEASES, CollectionName, Stored
from release_catalog.storage.database import Database
from release_catalog.storage.idempotency import Answer, MutationInput
from release_catalog.storage.outages import NothingWritten, TurnNotReached

# MongoDB stores documents of up to 16 MiB; an idempotency record holds the release and more.
MAX_BYTES = 12 << 20
LONGEST_PAUSE = 1.0
_OF_RELEASES = re.compile(rf"E11000 duplicate key error collection: \S+\.{RELEASES} index: ")
# The fields by which a release is in the way of others.
HEAD = dict.fromkeys(("id", "catalogId", "productId", "version", "revision", "channel", "status", "private"), 1)
# The maximum number of a tenant's writes that wait in this process, and the maximum time that each waits.
_MAX_WAITING = 1_000
_MAX_WAIT_SECONDS = 10.0

Result = TypeVar("Result")

_tenant_locks: weakref.WeakValueDictionary[tuple[int, str, str], FairSlots] = weakref.WeakValueDictionary()


@dataclasses.dataclass(frozen=True)
class UnitOfWork:
    """The caller, database and transaction of a mutation; without a transaction, it only reads.

    A dry run is rolled back.
    """

    caller: Caller
    database: Database
    session: Any = None
    dry: bool = False
    # Steps that follow the commit, in the background; another process repeats them if this one ends before.
    later: list[Callable[[], Coroutine[Any, Any, None]]] = dataclasses.field(default_factory=list)

    async def one(self, collection: CollectionName[Stored], id_: str) -> Stored | None:
        """Return a document of the caller's tenant by id."""
        return await self.database[collection].find_one({"_id": self.caller.key(id_)}, session=self.session)


Work = Callable[[UnitOfWork, MutationInput], Awaitable[Answer]]
Verb = Callable[[Caller, Database, MutationInput], Awaitable[Answer]]


class Rollback(Exception):  # noqa: N818  it is not an error
    """An answer that leaves a transaction and rolls it back."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def command(name: str) -> Callable[[Work], Verb]:
    """Make a mutation of a function that does its work in a transaction: see `execute`."""

    def made(work: Work) -> Verb:
        @functools.wraps(work)
        async def run(caller: Caller, database: Database, values: MutationInput) -> Answer:
            return await execute(caller, database, name, values, work)

        return run

    return made


async def execute(
    caller: Caller, database: Database, verb: str, values: MutationInput, work: Work, claim: str | None = None
) -> Answer:
    """Return the answer of `work`, which writes in a transaction; a refusal leaves no trace.

    An answer that holds a refusal as its `problem` is kept, with all that was written, and stored for replay.
    `values` may hold an `idempotencyKey`, under which the same input gets the first answer again, and `dryRun`,
    with which everything is tried and nothing kept. A request with a `claim` on its key continues.
    """
    key, dry = values.get("idempotencyKey"), bool(values.get("dryRun"))
    if unusable := idempotency.refused(key):
        return unusable
    fingerprint = idempotency.fingerprint_of(caller, verb, values) if key is not None else ""

    later: list[Callable[[], Coroutine[Any, Any, None]]] = []

    async def attempt(session: Any) -> Answer:
        later.clear()
        known = await idempotency.find_record(caller, database, key, session) if key is not None else None
        if known and (answer := idempotency.replay(known, fingerprint, claim)):
            return answer
        answer = await work(UnitOfWork(caller, database, session, dry, later), values)
        if dry or isinstance(answer, Problem):
            raise Rollback(answer)
        if key is not None:
            await idempotency.remember(caller, database, key, fingerprint, answer, session)
        return answer

    pause, again = 0.0, False
    while True:
        try:
            answer = await serialized_transaction(caller, database, attempt)
        except Rollback as undone:
            return undone.answer
        except DuplicateKeyError as error:
            # Another request was first. If it had the same key, its answer is there now.
            if again and (problem := await _taken(caller, database, error)):
                return problem
            if pause > LONGEST_PAUSE:
                raise NothingWritten("The conflicting document is not confirmed by a majority.") from error
        else:
            start_later(later)
            return answer
        # A majority may not have the first one yet, and a failover may undo it.
        await asyncio.sleep(pause)
        pause, again = 2 * pause + 0.01 * again, True


def start_later(steps: Iterable[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Start the steps that follow a commit, in the background."""
    for step in steps:
        db.in_background(step())


async def serialized_transaction(
    caller: Caller, database: Database, work: Callable[[Any], Awaitable[Result]]
) -> Result:
    """Return the result of `work`, run in one transaction.

    One counter numbers all changes of a tenant, so concurrent transactions collide. Those of one process take
    turns: nothing would go wrong otherwise, but of 64 at once most would be repeated many times. Callers of the
    tenant take turns, too; a write whose turn does not come in time is refused.
    """
    key = id(asyncio.get_running_loop()), database.name, caller.tenant
    slots = FairSlots(1, max_waiting=_MAX_WAITING, max_waiting_per_caller=_MAX_WAITING // 2)
    turn = _tenant_locks.setdefault(key, slots)
    owner, seconds = caller.owner, min(_MAX_WAIT_SECONDS, db.remaining())
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(turn.slot(owner, max_seconds=seconds))
        except Busy as busy:
            raise TurnNotReached(str(busy)) from busy
        return await transactions.run(database, work)


async def _taken(caller: Caller, database: Database, error: DuplicateKeyError) -> Problem | None:
    """Return the problem that another release has the identity or the id; None if it can't be read yet."""
    details = error.details or {}
    taken = details.get("keyValue", {})
    if "revision" not in taken and not _OF_RELEASES.match(details.get("errmsg", "")):
        raise error
    other = await database[RELEASES].find_one(taken, HEAD)
    if other is None:
        return None
    return identity_taken(other) if "revision" in taken else id_taken(caller, taken["_id"], other)


def identity_taken(other: ReleaseDocument) -> Problem:
    """Return the problem that another release has the product, version, revision and channel."""
    detail = (
        f"The version {other['version']} of this product exists: revision {other['revision']}, channel "
        f"{other['channel']!r}, status {other['status']}. Versions are never reused: give another one."
    )
    return errors.Conflict(detail=detail, conflicting_id=other["id"])


def id_taken(caller: Caller, key: str, holder: ReleaseDocument) -> Problem:
    """Return the problem that a release has or had the id behind `key`; a discarded one has no fields any more."""
    id_ = key.removeprefix(caller.key(""))
    detail = f"The id {id_!r} was used before: ids are never reused. Give another one, or none."
    is_seen = "id" in holder and visibility.sees(caller, holder)
    return errors.Conflict(detail=detail, conflicting_id=id_ if is_seen else None)


async def load_for_update(turn: UnitOfWork, id_: str, values: MutationInput) -> ReleaseDocument | Problem:
    """Return the release of a request if its etag still matches `ifMatch`, else a problem."""
    match = {"_id": turn.caller.key(id_), **visibility.visible(turn.caller)}
    release = await turn.database[RELEASES].find_one(match, {"terms": 0}, session=turn.session)
    if release is None:
        return errors.NotFound(detail=f"The release {id_!r} does not exist: check its id.")
    if refused := check_product_scope(turn.caller, release["productId"]):
        return refused
    if values.get("ifMatch") not in {None, release["etag"]}:
        return errors.PreconditionProblem(
            detail="The release has changed since you read it: read it again, then repeat the request."
        )
    return release


def check_product_scope(caller: Caller, product_id: str) -> Problem | None:
    """Return the problem of a caller that is bound to another product, or None."""
    if caller.product in {None, product_id}:
        return None
    detail = (
        f"Your token is bound to the product {caller.product!r}: write releases of this product, or "
        "use another token."
    )
    return errors.ForbiddenProblem(detail=detail, scope=WRITE)


def too_large(release: Mapping[str, Any], path: str) -> list[Violation]:
    """Return a violation if a release is larger than a document may be."""
    return check_size(stored_size(release), path)


def stored_size(release: Mapping[str, Any]) -> int:
    """Return the number of bytes that a release takes, and charge the current request for them."""
    size = len(bson.encode(release))
    usage.write(size)
    return size


def check_size(size: int, path: str) -> list[Violation]:
    """Return a violation if a release of `size` bytes is larger than a document may be."""
    if size <= MAX_BYTES:
        return []
    message = f"The release would take {size} bytes: store at most {MAX_BYTES}, with all of its parts."
    return [Violation(path, message, "TOO_LARGE")]


async def append_event(
    caller: Caller,
    database: Database,
    kind: str,
    release: ReleaseDocument,
    session: Any,
    *,
    promotion: PromotionDocument | None = None,
    withdrawal: MutationInput | None = None,
    open_withdrawal: MutationInput | None = None,
) -> None:
    """Write an event about a release, or about its promotion or withdrawal: see `append_events`.

    `open_withdrawal` is the withdrawal for callers with only `release:read`, if they see less of it.
    """
    event = new_event(caller, kind, release, promotion=promotion, withdrawal=withdrawal)
    if open_withdrawal:
        event["openWithdrawal"] = orjson.dumps(open_withdrawal).decode()
    await append_events(caller, database, [event], session)


def new_event(
    caller: Caller,
    kind: str,
    release: ReleaseDocument,
    *,
    promotion: PromotionDocument | None = None,
    withdrawal: MutationInput | None = None,
) -> EventDocument:
    """Return an event about a release as it is now, which `append_events` numbers and dates."""
    more: dict[str, Any] = events.promotion_payload(promotion) if promotion else {}
    more |= {"withdrawal": {**withdrawal}} if withdrawal else {}
    at = promotion["created"] if promotion else release["updatedAt"]
    return {
        "_id": "",
        "tenantId": caller.tenant,
        "sequence": 0,
        "type": kind,
        "triggeredAt": at,
        "writtenAt": at,
        "releaseId": release["id"],
        "productId": release["productId"],
        "actor": caller.subject or None,
        "open": events.is_public(release),
        "data": orjson.dumps(events.release_payload(release) | more).decode(),
    }


async def append_events(caller: Caller, database: Database, new: Sequence[EventDocument], session: Any) -> None:
    """Write events in their order.

    Their numbers come from the tenant's counter, which the transaction holds until it ends: numbers become visible
    in the order in which they were taken, so that a reader of one event has missed none before it. The counter
    also supplies `writtenAt`, from which an event's retention is counted: it is the database's time, whatever the
    clocks of other machines say.
    """
    if not new:
        return
    number = {"$add": [{"$ifNull": ["$value", 0]}, len(new)]}
    form = {"$ifNull": [f"${forms.FORM}", forms.current(COUNTERS)]}
    change = [{"$set": {"value": number, "at": {"$max": ["$at", "$$NOW"]}, forms.FORM: form}}]
    counter = await db.upsert(database[COUNTERS], {"_id": caller.key("events")}, change, session)
    for sequence, event in enumerate(new, counter["value"] - len(new) + 1):
        event["_id"], event["sequence"] = caller.key(events.id_of(sequence)), sequence
        event["writtenAt"] = counter["at"]
    await database[EVENTS].insert_many(new, session=session)


async def hold_events(turn: UnitOfWork) -> None:
    """Keep other transactions of the tenant from writing events until this one ends.

    Without this, a long transaction would find in its last command that shorter ones of other processes have
    written events since it began, again and again.
    """
    await count_change(turn.caller, turn.database, turn.session)


async def count_change(caller: Caller, database: Database, session: Any = None) -> None:
    """Let the tenant's counter of events show that its releases changed, although no event was written."""
    key, change = {"_id": caller.key("events")}, {"$inc": {"held": 1, "value": 0}}
    await database[COUNTERS].update_one(key, change, upsert=True, session=session)


async def delete_release(turn: UnitOfWork, release: ReleaseDocument, *, is_settled: bool) -> None:
    """Delete a release that was read in this transaction; the mutation writes the event.

    A document without any field of a release stays under its key, so that the index of keys refuses the id for
    ever, whoever gives it. No query finds it, because it has no tenant. Its version keeps it apart from others of
    its kind in the index of identities. Unless `is_settled`, references by the id are left, and its form tells.
    """
    key = turn.caller.key(release["id"])
    remains: Any = {"version": key, forms.FORM: forms.REMAINS if is_settled else forms.UNSETTLED}
    match = {"_id": key, "etag": release["etag"]}
    await turn.database[RELEASES].replace_one(match, remains, session=turn.session)


async def settle_remains(database: Database, keys: Sequence[str]) -> None:
    """Give what is left of deleted releases its final form: no references by their ids are left."""
    match = {"_id": {"$in": keys}, "tenantId": None, forms.FORM: forms.UNSETTLED}
    change = {"$set": {forms.FORM: forms.REMAINS}}
    await database[RELEASES].update_many(match, change)


async def update_release(turn: UnitOfWork, release: ReleaseDocument, fields: Values) -> ReleaseDocument:
    """Set fields of a release that was read in this transaction; the mutation writes the event.

    `release` is whole except for its terms, which are derived from the changed release.
    """
    # The etag that a dry run answers with is the stored one: `ifMatch` takes it.
    etag = release["etag"] if turn.dry else ids.new()
    changed = {"updatedAt": timestamps.now(), **fields, "etag": etag}
    after = cast("ReleaseDocument", {**release, **changed})
    match = {"_id": turn.caller.key(release["id"]), "etag": release["etag"]}
    stored = {"$set": {**changed, **search_terms.derived(after)}}
    await turn.database[RELEASES].update_one(match, stored, session=turn.session)
    return after
