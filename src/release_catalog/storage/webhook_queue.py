"""Who tells which webhook what: leases, the log of deliveries, and how far each webhook has come.

Whoever tells a webhook leases it and renews the lease meanwhile; who dies loses it. A webhook is
written to on condition that the lease is still held and that nobody has put the cursor elsewhere. All instants are
by the database's clock.
"""

import datetime
import random
from collections.abc import Callable, Sequence
from typing import Any

from release_catalog.domain import events as kinds
from release_catalog.domain import ids
from release_catalog.storage import database as db
from release_catalog.storage import event_log, leases
from release_catalog.storage.database import Database, Document

LEASE = datetime.timedelta(seconds=10)
# Whoever is woken by nothing looks as often.
LOOK = datetime.timedelta(seconds=30)
# For a webhook that all events it waits for are gone from before it was told: there is nothing to look for.
_IDLE_SECONDS = 60.0
# Webhooks that are decoded at a time: other tasks go on in between.
_BATCH = 2_000

# Gets the webhooks that are due, with their ids and tenants, and returns those to lease.
Choose = Callable[[Sequence[Document]], Sequence[Document]]


def _shuffled(due: Sequence[Document]) -> Sequence[Document]:
    return random.sample(due, len(due))


@db.bounded
async def take(database: Database, limit: int, choose: Choose = _shuffled) -> tuple[list[Document], float]:
    """Lease up to `limit` of the webhooks that have something to be told; return also when to look, in seconds.

    `choose` gets all that are due, of any tenant, and returns those to lease.

    It costs one covered walk over the keys of all active webhooks, 6 to 7 microseconds each, and one look-up of
    their tenants' counters: nothing is written when something happens, however many webhooks there are.
    """
    now = await db.now(database)
    fields = ("tenantId", "cursor", "nextAttemptAt", "leaseUntil")
    found = database.webhooks.find({"active": True}, dict.fromkeys(fields, 1)).hint("due").batch_size(_BATCH)
    active = await found.to_list(None)
    heads = await event_log.heads(database, {webhook["tenantId"] for webhook in active})
    behind = [webhook for webhook in active if webhook["cursor"] < heads.get(webhook["tenantId"], 0)]
    due = [max(webhook["nextAttemptAt"], webhook["leaseUntil"]) for webhook in behind]
    free = [webhook for webhook, at in zip(behind, due, strict=True) if at <= now]
    is_due = {"$and": [{"$lte": ["$nextAttemptAt", "$$NOW"]}, {"$lte": ["$leaseUntil", "$$NOW"]}]}
    lease = [{"$set": {"owner": ids.new(), "leaseUntil": leases.after(LEASE)}}]
    taken = [
        await database.webhooks.find_one_and_update(
            {"_id": webhook["_id"], "active": True, "$expr": is_due}, lease, return_document=db.AFTER
        )
        for webhook in choose(free)[:limit]
    ]
    # Whoever has got one that was free may die.
    again = min([now + LOOK, *(at if at > now else now + LEASE for at in due)])
    return [webhook for webhook in taken if webhook], (again - now).total_seconds()


def leased_at(webhook: Document) -> datetime.datetime:
    """Return the instant by the database's clock at which a webhook was leased, as `take` gives it."""
    at: datetime.datetime = webhook["leaseUntil"] - LEASE
    return at


@db.bounded
async def renew(database: Database, webhook: Document) -> bool:
    """Keep a webhook that is being told something; False where somebody else has it."""
    until = [{"$set": {"leaseUntil": leases.after(LEASE)}}]
    return bool((await database.webhooks.update_one(_held(webhook), until)).matched_count)


@db.bounded
async def release(database: Database, webhook: Document) -> None:
    """Let others have a webhook."""
    await database.webhooks.update_one(_held(webhook), [{"$set": {"owner": None, "leaseUntil": "$$NOW"}}])


@db.bounded
async def advance(database: Database, webhook: Document, sequence: int) -> Document | None:
    """Be done with all events up to a number; the webhook as it is by now, or None where it is no longer held."""
    done = {"cursor": sequence, "attempts": 0, "nextAttemptAt": "$$NOW", "leaseUntil": leases.after(LEASE)}
    match = {**_held(webhook), "cursor": webhook["cursor"]}
    return await database.webhooks.find_one_and_update(match, [{"$set": done}], return_document=db.AFTER)


async def postpone(database: Database, webhook: Document, attempts: int, seconds: float) -> None:
    """Leave a webhook alone for so many seconds, unless it was changed meanwhile."""
    at = leases.after(datetime.timedelta(seconds=seconds))
    await _set(database, webhook, {"attempts": attempts, "nextAttemptAt": at})


async def switch_off(database: Database, webhook: Document) -> None:
    """Send nothing more to a webhook until its owner says so, unless it was changed meanwhile."""
    await _set(database, webhook, {"active": False, "attempts": 0})


async def snooze(database: Database, webhook: Document) -> None:
    """Look for events again after a while: those that the counter tells of are gone."""
    await postpone(database, webhook, webhook["attempts"], _IDLE_SECONDS)


@db.bounded
async def _set(database: Database, webhook: Document, fields: Document) -> None:
    match = {**_held(webhook), "version": webhook["version"]}
    await database.webhooks.update_one(match, [{"$set": fields}])


@db.bounded
async def log_attempt(
    database: Database,
    webhook: Document,
    sequence: int,
    status: str,
    now: datetime.datetime,
    *,
    attempts: int = 1,
    **said: Any,
) -> None:
    """Keep in the log how an attempt to tell of an event ended; told again, an event keeps its entry.

    `now` is by the database's clock: see `leased_at`.
    """
    id_ = kinds.id_of(sequence)
    fields = {"responseStatus": None, "error": None, "nextAttemptAt": None, "deliveredAt": None, **said}
    new = {"tenantId": webhook["tenantId"], "webhookId": webhook["id"], "sequence": sequence, "createdAt": now}
    await database.webhookDeliveries.update_one(
        {"_id": f"{webhook['_id']}/{id_}"},
        {"$set": {"status": status, **fields}, "$inc": {"attempts": attempts}, "$setOnInsert": new},
        upsert=True,
    )


@db.bounded
async def fail_pending(database: Database, webhook: Document, sequence: int) -> None:
    """Let nothing up to a number wait in the log for an attempt that is not made any more."""
    match = {"tenantId": webhook["tenantId"], "webhookId": webhook["id"], "status": "PENDING"}
    error = "It was not tried again: it is no longer kept, asked for or to be seen."
    gone = {"status": "FAILED", "nextAttemptAt": None, "error": error}
    match["sequence"] = {"$lte": sequence}
    await database.webhookDeliveries.update_many(match, {"$set": gone}, hint="pending")


def _held(webhook: Document) -> Document:
    return {"_id": webhook["_id"], "owner": webhook["owner"]}
