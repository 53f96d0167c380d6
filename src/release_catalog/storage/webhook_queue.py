"""The webhook queue: leases, the log of webhook deliveries, and the cursor of each webhook.

A dispatcher leases a webhook and renews the lease while it delivers; if it dies, the lease ends. Updates of a
webhook require that the lease is still held and that nobody has moved the cursor. All times are by the database's
clock.
"""

import datetime
import functools
import random
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from release_catalog.domain import events as kinds
from release_catalog.domain import ids
from release_catalog.domain.webhooks import WebhookDocument
from release_catalog.storage import database as db
from release_catalog.storage import event_log, leases
from release_catalog.storage.collection_names import WEBHOOK_DELIVERIES, WEBHOOKS
from release_catalog.storage.database import Database, Filter

LEASE = datetime.timedelta(seconds=10)
# The polling interval, for a dispatcher that nothing wakes.
LOOK = datetime.timedelta(seconds=30)
# For a webhook whose pending events are all gone before delivery: there is nothing to look for.
_IDLE_SECONDS = 60.0
# Webhooks that are decoded at a time: other tasks go on in between.
_BATCH = 2_000

_log = structlog.get_logger()

# Takes the due webhooks, with their ids and tenants, and returns those to lease.
Choose = Callable[[Sequence[WebhookDocument]], Sequence[WebhookDocument]]


def _shuffled(due: Sequence[WebhookDocument]) -> Sequence[WebhookDocument]:
    return random.sample(due, len(due))


@db.bounded
async def take(database: Database, limit: int, choose: Choose = _shuffled) -> tuple[list[WebhookDocument], float]:
    """Lease up to `limit` webhooks with pending events; return also the seconds until the next look.

    `choose` takes all due webhooks, of any tenant, and returns those to lease.

    It costs one covered walk over the keys of all active webhooks, 6 to 7 microseconds each, and one lookup of
    their tenants' counters: an event causes no write here, however many webhooks there are.
    """
    now = await db.now(database)
    fields = ("tenantId", "cursor", "nextAttemptAt", "leaseUntil")
    found = database[WEBHOOKS].find({"active": True}, dict.fromkeys(fields, 1)).hint("due").batch_size(_BATCH)
    active = [webhook for webhook in await found.to_list(None) if _is_sound(webhook)]
    heads = await event_log.heads(database, {webhook["tenantId"] for webhook in active})
    behind = [webhook for webhook in active if webhook["cursor"] < heads.get(webhook["tenantId"], 0)]
    due = [max(webhook["nextAttemptAt"], webhook["leaseUntil"]) for webhook in behind]
    free = [webhook for webhook, at in zip(behind, due, strict=True) if at <= now]
    is_due = {"$and": [{"$lte": ["$nextAttemptAt", "$$NOW"]}, {"$lte": ["$leaseUntil", "$$NOW"]}]}
    lease = [{"$set": {"owner": ids.new(), "leaseUntil": leases.after(LEASE)}}]
    taken = [
        await database[WEBHOOKS].find_one_and_update(
            {"_id": webhook["_id"], "active": True, "$expr": is_due}, lease, return_document=db.AFTER
        )
        for webhook in choose(free)[:limit]
    ]
    # The process that has leased a free one may die.
    again = min([now + LOOK, *(at if at > now else now + LEASE for at in due)])
    return [webhook for webhook in taken if webhook], (again - now).total_seconds()


def _is_sound(webhook: WebhookDocument) -> bool:
    """Return whether a webhook can be scheduled; a broken one must not hold up the others."""
    types = {"tenantId": str, "cursor": int, "nextAttemptAt": datetime.datetime, "leaseUntil": datetime.datetime}
    wrong = [field for field, type_ in types.items() if not isinstance(webhook.get(field), type_)]
    if wrong:
        _note_broken(webhook["_id"], *wrong)
    return not wrong


@functools.lru_cache(1_000)
def _note_broken(webhook: str, *fields: str) -> None:
    """Log a broken webhook once, and not at each look."""
    _log.error("broken webhook", webhook=webhook, fields=fields)


def leased_at(webhook: WebhookDocument) -> datetime.datetime:
    """Return the time, by the database's clock, at which `take` leased a webhook."""
    return webhook["leaseUntil"] - LEASE


@db.bounded
async def renew(database: Database, webhook: WebhookDocument) -> bool:
    """Renew the lease of a webhook; return False if another process has it."""
    until = [{"$set": {"leaseUntil": leases.after(LEASE)}}]
    return bool((await database[WEBHOOKS].update_one(_held(webhook), until)).matched_count)


@db.bounded
async def release(database: Database, webhook: WebhookDocument) -> None:
    """Release the lease of a webhook."""
    await database[WEBHOOKS].update_one(_held(webhook), [{"$set": {"owner": None, "leaseUntil": "$$NOW"}}])


@db.bounded
async def advance(database: Database, webhook: WebhookDocument, sequence: int) -> WebhookDocument | None:
    """Move the cursor to a number; return the updated webhook, or None if it is no longer held."""
    done = {"cursor": sequence, "attempts": 0, "nextAttemptAt": "$$NOW", "leaseUntil": leases.after(LEASE)}
    match = {**_held(webhook), "cursor": webhook["cursor"]}
    return await database[WEBHOOKS].find_one_and_update(match, [{"$set": done}], return_document=db.AFTER)


async def postpone(database: Database, webhook: WebhookDocument, attempts: int, seconds: float) -> None:
    """Delay the next attempt for a webhook by `seconds`, unless it was changed meanwhile."""
    at = leases.after(datetime.timedelta(seconds=seconds))
    await _set(database, webhook, {"attempts": attempts, "nextAttemptAt": at})


async def switch_off(database: Database, webhook: WebhookDocument) -> None:
    """Deactivate a webhook until its owner activates it, unless it was changed meanwhile."""
    await _set(database, webhook, {"active": False, "attempts": 0})


async def snooze(database: Database, webhook: WebhookDocument) -> None:
    """Postpone a webhook for a while, because the events that the counter promises are gone."""
    await postpone(database, webhook, webhook["attempts"], _IDLE_SECONDS)


@db.bounded
async def _set(database: Database, webhook: WebhookDocument, fields: dict[str, Any]) -> None:
    match = {**_held(webhook), "version": webhook["version"]}
    await database[WEBHOOKS].update_one(match, [{"$set": fields}])


@db.bounded
async def log_attempt(
    database: Database,
    webhook: WebhookDocument,
    sequence: int,
    status: str,
    now: datetime.datetime,
    *,
    attempts: int = 1,
    **said: Any,
) -> None:
    """Log the outcome of a webhook delivery's attempt; a replayed event keeps its entry.

    `now` is by the database's clock: see `leased_at`.
    """
    id_ = kinds.id_of(sequence)
    fields = {"responseStatus": None, "error": None, "nextAttemptAt": None, "deliveredAt": None, **said}
    new = {"tenantId": webhook["tenantId"], "webhookId": webhook["id"], "sequence": sequence, "createdAt": now}
    await database[WEBHOOK_DELIVERIES].update_one(
        {"_id": f"{webhook['_id']}/{id_}"},
        {"$set": {"status": status, **fields}, "$inc": {"attempts": attempts}, "$setOnInsert": new},
        upsert=True,
    )


@db.bounded
async def fail_pending(database: Database, webhook: WebhookDocument, sequence: int) -> None:
    """Fail the pending log entries up to a number, for which no further attempt is made."""
    match: Filter = {"tenantId": webhook["tenantId"], "webhookId": webhook["id"], "status": "PENDING"}
    error = (
        "The event was not sent again: it is no longer kept, its type is no longer selected, or the "
        "webhook can't see it any more."
    )
    gone = {"status": "FAILED", "nextAttemptAt": None, "error": error}
    match["sequence"] = {"$lte": sequence}
    await database[WEBHOOK_DELIVERIES].update_many(match, {"$set": gone}, hint="pending")


def _held(webhook: WebhookDocument) -> Filter:
    return {"_id": webhook["_id"], "owner": webhook["owner"]}
