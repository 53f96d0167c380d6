"""Who tells which webhook what: leases, the log of deliveries, and how far each webhook has come.

Whoever tells a webhook leases it and renews the lease meanwhile; who dies loses it. A webhook is
written to on condition that the lease is still held and that nobody has put the cursor elsewhere.
"""

import datetime
import random
from collections.abc import Callable, Sequence
from typing import Any

from release_catalog.domain import events as kinds
from release_catalog.domain import ids, instants
from release_catalog.store import database as db
from release_catalog.store import events
from release_catalog.store.database import Database, Document

LEASE = datetime.timedelta(seconds=10)
# Whoever is woken by nothing looks as often.
LOOK = datetime.timedelta(seconds=30)
# For a webhook that all events it waits for are gone from before it was told: there is nothing to look for.
_IDLE = datetime.timedelta(seconds=60)
# Webhooks that are decoded at a time: other tasks go on in between.
_BATCH = 2_000

# Gets the webhooks that are due, with their ids and tenants, and returns those to lease.
Choose = Callable[[Sequence[Document]], Sequence[Document]]


def _shuffled(due: Sequence[Document]) -> Sequence[Document]:
    return random.sample(due, len(due))


async def take(
    database: Database, limit: int, choose: Choose = _shuffled
) -> tuple[list[Document], datetime.datetime]:
    """Lease up to `limit` of the webhooks that have something to be told, and return when to look again too.

    `choose` gets all that are due, of any tenant, and returns those to lease.

    It costs one covered walk over the keys of all active webhooks, 6 to 7 microseconds each, and one look-up of
    their tenants' counters: nothing is written when something happens, however many webhooks there are.
    """
    now = instants.now()
    fields = ("tenantId", "cursor", "nextAttemptAt", "leaseUntil")
    found = database.webhooks.find({"active": True}, dict.fromkeys(fields, 1)).hint("due").batch_size(_BATCH)
    active = await found.to_list(None)
    heads = await events.heads(database, {webhook["tenantId"] for webhook in active})
    behind = [webhook for webhook in active if webhook["cursor"] < heads.get(webhook["tenantId"], 0)]
    due = [max(webhook["nextAttemptAt"], webhook["leaseUntil"]) for webhook in behind]
    free = [webhook for webhook, at in zip(behind, due, strict=True) if at <= now]
    until = {"nextAttemptAt": {"$lte": now}, "leaseUntil": {"$lte": now}}
    lease = {"$set": {"owner": ids.new(), "leaseUntil": now + LEASE}}
    taken = [
        await database.webhooks.find_one_and_update(
            {"_id": webhook["_id"], "active": True, **until}, lease, return_document=db.AFTER
        )
        for webhook in choose(free)[:limit]
    ]
    # Whoever has got one that was free may die.
    again = min([now + LOOK, *(at if at > now else now + LEASE for at in due)])
    return [webhook for webhook in taken if webhook], again


async def renew(database: Database, webhook: Document) -> bool:
    """Keep a webhook that is being told something; False where somebody else has it."""
    until = {"$set": {"leaseUntil": instants.now() + LEASE}}
    return bool((await database.webhooks.update_one(_held(webhook), until)).matched_count)


async def release(database: Database, webhook: Document) -> None:
    """Let others have a webhook."""
    await database.webhooks.update_one(_held(webhook), {"$set": {"owner": None, "leaseUntil": instants.now()}})


async def advance(database: Database, webhook: Document, sequence: int) -> Document | None:
    """Be done with all events up to a number; the webhook as it is by now, or None where it is no longer held."""
    now = instants.now()
    done = {"cursor": sequence, "attempts": 0, "nextAttemptAt": now, "leaseUntil": now + LEASE}
    match = {**_held(webhook), "cursor": webhook["cursor"]}
    return await database.webhooks.find_one_and_update(match, {"$set": done}, return_document=db.AFTER)


async def put_off(database: Database, webhook: Document, attempts: int, at: datetime.datetime) -> None:
    """Leave a webhook alone until `at`, unless it was changed meanwhile."""
    await _set(database, webhook, {"attempts": attempts, "nextAttemptAt": at})


async def switch_off(database: Database, webhook: Document) -> None:
    """Send nothing more to a webhook until its owner says so, unless it was changed meanwhile."""
    await _set(database, webhook, {"active": False, "attempts": 0})


async def idle(database: Database, webhook: Document) -> None:
    """Look for events again after a while: those that the counter tells of are gone."""
    await put_off(database, webhook, webhook["attempts"], instants.now() + _IDLE)


async def _set(database: Database, webhook: Document, fields: Document) -> None:
    match = {**_held(webhook), "version": webhook["version"]}
    await database.webhooks.update_one(match, {"$set": fields})


async def note(
    database: Database, webhook: Document, sequence: int, status: str, *, attempts: int = 1, **said: Any
) -> None:
    """Keep in the log how an attempt to tell of an event ended; told again, an event keeps its entry."""
    now, id_ = instants.now(), kinds.id_of(sequence)
    fields = {"responseStatus": None, "error": None, "nextAttemptAt": None, "deliveredAt": None, **said}
    new = {"tenantId": webhook["tenantId"], "webhookId": webhook["id"], "sequence": sequence, "createdAt": now}
    await database.webhookDeliveries.update_one(
        {"_id": f"{webhook['_id']}/{id_}"},
        {"$set": {"status": status, **fields}, "$inc": {"attempts": attempts}, "$setOnInsert": new},
        upsert=True,
    )


async def give_up(database: Database, webhook: Document, sequence: int) -> None:
    """Let nothing up to a number wait in the log for an attempt that is not made any more."""
    match = {"tenantId": webhook["tenantId"], "webhookId": webhook["id"], "status": "PENDING"}
    error = "It was not tried again: it is no longer kept, asked for or to be seen."
    gone = {"status": "FAILED", "nextAttemptAt": None, "error": error}
    match["sequence"] = {"$lte": sequence}
    await database.webhookDeliveries.update_many(match, {"$set": gone}, hint="pending")


def _held(webhook: Document) -> Document:
    return {"_id": webhook["_id"], "owner": webhook["owner"]}
