"""The state of a deployment for its operators: all tenants, in a few bounded reads that change nothing."""

import asyncio
import datetime
from collections.abc import Coroutine
from typing import Any, TypedDict

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import OperationFailure

from release_catalog.storage import database as db
from release_catalog.storage import event_log, forms, migrations, queue_figures, restore_marker
from release_catalog.storage.collection_names import (
    EVENTS,
    MIGRATION_STATE,
    PRODUCTS,
    RELEASES,
    WEBHOOK_DELIVERIES,
    WEBHOOKS,
)
from release_catalog.storage.database import Database, Stage

# Counts end here, and so do walks over webhooks and jobs.
MAX_COUNT = queue_figures.MAX_JOBS
# Tenants and scheme changes that are named.
MAX_NAMED = 100
# Webhooks whose oldest waiting event is looked up.
_LOOKED_UP = 10
_SECONDS = 10.0
_BAD_VALUE = 2


class ServerState(TypedDict):
    """The MongoDB behind the database."""

    version: str
    replicaSet: str | None
    primary: str | None


class MigrationsState(TypedDict):
    """The migrations with documents left, and whether a process migrates now."""

    pending: dict[str, int]
    running: bool


class WebhooksState(TypedDict):
    """The queue of webhook deliveries. `waitingEvents` includes events that their webhooks do not select."""

    active: int
    inactive: int
    behind: int
    failing: int
    retries: int
    waitingEvents: int
    oldestWaitingAt: datetime.datetime | None
    waitingSeconds: float | None


class VerificationsState(TypedDict):
    """The queue of releases whose files are to be verified."""

    running: int
    waiting: int
    oldestWaitingAt: datetime.datetime | None
    waitingSeconds: float | None


class SchemeChangeState(TypedDict):
    """A product whose version scheme changes."""

    tenant: str
    productId: str
    to: str
    step: str


class LastEvent(TypedDict):
    """The newest kept event of a tenant."""

    tenant: str
    number: int
    at: datetime.datetime


class RestoreState(TypedDict):
    """A restore that has begun and not ended; the tenant is None for the whole database."""

    tenant: str | None
    startedAt: datetime.datetime


class DeploymentState(TypedDict):
    """The state of a deployment at a moment of the database's clock."""

    at: datetime.datetime
    server: ServerState
    releases: int
    # The versions of documents that this program writes, by collection.
    forms: dict[str, int]
    migrations: MigrationsState
    restore: RestoreState | None
    # None while an index is missing, which the next start of a server creates.
    webhooks: WebhooksState | None
    verifications: VerificationsState | None
    schemeChanges: list[SchemeChangeState] | None
    lastEvents: list[LastEvent] | None


async def read(database: Database) -> DeploymentState:
    """Return the state of a deployment."""
    with db.deadline(_SECONDS):
        now = await db.now(database)
        about, releases, migrating, restore, webhooks, verifications, changes, events = await asyncio.gather(
            server(database),
            db.awaited(database[RELEASES].estimated_document_count()),
            _migrations(database),
            _restore(database),
            _indexed(_webhooks(database, now)),
            _indexed(_verifications(database, now)),
            _indexed(_scheme_changes(database)),
            _indexed(last_events(database)),
        )
    return {
        "at": now,
        "server": about,
        "releases": releases,
        "forms": {str(name): forms.current(name) for name in forms.FORMS},
        "migrations": migrating,
        "restore": restore,
        "webhooks": webhooks,
        "verifications": verifications,
        "schemeChanges": changes,
        "lastEvents": events,
    }


async def _indexed(part: Coroutine[Any, Any, db.Result]) -> db.Result | None:
    """Return a part of the state, None if its index is missing."""
    try:
        return await part
    except OperationFailure as error:
        if error.code != _BAD_VALUE or "hint" not in str(error):
            raise
        return None


async def server(database: Database) -> ServerState:
    """Return the MongoDB behind a database."""
    admin = database.client.admin
    hello = await admin.command("hello")
    build = await admin.command("buildInfo")
    return {"version": build["version"], "replicaSet": hello.get("setName"), "primary": hello.get("primary")}


async def _migrations(database: Database) -> MigrationsState:
    pending = await migrations.pending(database, limit=MAX_COUNT)
    lease = {"_id": "lease", "owner": {"$ne": None}, "$expr": {"$gt": ["$leaseUntil", "$$NOW"]}}
    return {"pending": pending, "running": await database[MIGRATION_STATE].find_one(lease) is not None}


async def _restore(database: Database) -> RestoreState | None:
    found = await restore_marker.find(database)
    return {"tenant": found["tenant"], "startedAt": found["startedAt"]} if found else None


async def _webhooks(database: Database, now: datetime.datetime) -> WebhooksState:
    shown = dict.fromkeys(("tenantId", "cursor", "attempts"), 1)
    cursor = database[WEBHOOKS].find({"active": True}, shown).hint("due").limit(MAX_COUNT)
    active = await cursor.to_list(MAX_COUNT)
    heads = await event_log.heads(database, {webhook["tenantId"] for webhook in active})
    waiting = [(heads.get(it["tenantId"], 0) - it["cursor"], it["tenantId"], it["cursor"]) for it in active]
    behind = sorted((it for it in waiting if it[0] > 0), reverse=True)
    looks = [_written(database, tenant, number) for _, tenant, number in behind[:_LOOKED_UP]]
    oldest = min(filter(None, await asyncio.gather(*looks)), default=None)
    inactive = database[WEBHOOKS].count_documents({"active": False}, hint="due", limit=MAX_COUNT)
    retries = database[WEBHOOK_DELIVERIES].count_documents({"status": "PENDING"}, hint="pending", limit=MAX_COUNT)
    return {
        "active": len(active),
        "inactive": await inactive,
        "behind": len(behind),
        "failing": sum(webhook.get("attempts", 0) > 0 for webhook in active),
        "retries": await retries,
        "waitingEvents": sum(count for count, _, _ in behind),
        "oldestWaitingAt": oldest,
        "waitingSeconds": _since(oldest, now),
    }


async def _written(database: Database, tenant: str, number: int) -> datetime.datetime | None:
    """Return the time of a tenant's first event after a number."""
    match = {"tenantId": tenant, "sequence": {"$gt": number}}
    found = await database[EVENTS].find_one(match, {"writtenAt": 1}, sort=[("sequence", 1)], hint="sequence")
    return found["writtenAt"] if found else None


async def _verifications(database: Database, now: datetime.datetime) -> VerificationsState:
    queue = await queue_figures.jobs(database, now)
    return {
        "running": queue.running,
        "waiting": queue.waiting,
        "oldestWaitingAt": queue.oldest,
        "waitingSeconds": _since(queue.oldest, now),
    }


async def _scheme_changes(database: Database) -> list[SchemeChangeState]:
    match = {"schemeChange": {"$exists": True}}
    shown = dict.fromkeys(("tenantId", "id", "schemeChange"), 1)
    cursor = database[PRODUCTS].find(match, shown).hint("schemeChange").limit(MAX_NAMED)
    return [
        {
            "tenant": product["tenantId"],
            "productId": product["id"],
            "to": product["schemeChange"]["to"],
            "step": product["schemeChange"]["step"],
        }
        for product in await cursor.to_list(MAX_NAMED)
    ]


async def last_events(database: Database) -> list[LastEvent]:
    """Return the newest kept event of each tenant, at most `MAX_NAMED`; it costs a seek in the index for each."""
    stages: list[Stage] = [
        {"$sort": {"tenantId": -1, "sequence": -1}},
        {"$group": {"_id": "$tenantId", "number": {"$first": "$sequence"}, "at": {"$first": "$writtenAt"}}},
        {"$limit": MAX_NAMED},
        {"$sort": {"_id": 1}},
    ]
    events: AsyncCollection[Any] = database[EVENTS]
    found = await db.aggregate(events, stages, frozenset(), hint="sequence")
    return [{"tenant": it["_id"], "number": it["number"], "at": it["at"]} for it in found]


def _since(at: datetime.datetime | None, now: datetime.datetime) -> float | None:
    return None if at is None else max(0.0, (now - at).total_seconds())
