"""Figures of the queues of all tenants: webhooks, verification jobs and migrations. They name no tenant."""

import asyncio
import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from release_catalog.storage import database as db
from release_catalog.storage import event_log, migrations
from release_catalog.storage.collection_names import EVENTS, VERIFICATIONS, WEBHOOKS
from release_catalog.storage.database import Database, Stage

# At most this many jobs are counted, and this many places of webhooks in the log. With more, the figures are too
# low, but far beyond every alarm.
MAX_JOBS = 10_000
MAX_PLACES = 10_000
# The age is that of the oldest of so many pending events: of those with the most events behind them.
MAX_PENDING = 100
_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class QueueFigures:
    """The numbers of one moment."""

    webhooks_active: int
    # With an event that they did not get yet.
    webhooks_pending: int
    # Of those, the ones whose last attempt failed, and that wait for the next one.
    webhooks_failing: int
    webhook_oldest_seconds: float
    jobs_waiting: int
    jobs_running: int
    job_oldest_seconds: float
    migrations_pending: int


class JobFigures(NamedTuple):
    """The verification jobs that wait, those that a worker has, and the time from which the oldest one waits."""

    waiting: int
    running: int
    oldest: datetime.datetime | None


class _Place(TypedDict):
    """The webhooks of a tenant that are done with the same event."""

    _id: dict[str, Any]
    count: int
    failing: int


_IS_LATER = {"$cond": [{"$gt": ["$nextAttemptAt", "$$NOW"]}, 1, 0]}
_PLACES: list[Stage] = [
    {"$match": {"active": True}},
    {
        "$group": {
            "_id": {"tenant": "$tenantId", "cursor": "$cursor"},
            "count": {"$sum": 1},
            "failing": {"$sum": _IS_LATER},
        }
    },
    {"$limit": MAX_PLACES},
]


async def read(database: Database) -> QueueFigures:
    """Read the figures, within two seconds; raise Failure if the database does not answer in time.

    It takes as many commands as there are queues, however much is in them: webhooks are counted on the keys of an
    index, jobs up to a number.
    """
    work = db.in_background(_read(database))
    # Connecting has a timeout of its own, and Motor's threads may all be busy.
    await asyncio.wait([work], timeout=_SECONDS + 0.1)
    if not work.done():
        raise db.Unavailable("no answer in time")
    return await work


async def _read(database: Database) -> QueueFigures:
    with db.deadline(_SECONDS):
        now = await db.now(database)
        active, pending, failing, oldest = await _webhooks(database, now)
        queue = await jobs(database, now)
        left = await migrations.collections_pending(database)
    waits = _seconds(queue.oldest, now)
    return QueueFigures(active, pending, failing, oldest, queue.waiting, queue.running, waits, left)


async def _webhooks(database: Database, now: datetime.datetime) -> tuple[int, int, int, float]:
    """Return the number of active webhooks, of pending and of failing ones, and the age of the oldest event."""
    webhooks: Any = database[WEBHOOKS]
    places: Sequence[_Place] = await db.aggregate(webhooks, _PLACES, frozenset(), hint="due")
    sound = [place for place in places if isinstance(place["_id"].get("cursor"), int)]
    heads = await event_log.heads(database, {place["_id"]["tenant"] for place in sound})
    behind = [place for place in sound if _missing(place, heads) > 0]
    behind.sort(key=lambda place: _missing(place, heads), reverse=True)
    next_ = [{"tenantId": place["_id"]["tenant"], "sequence": place["_id"]["cursor"] + 1} for place in behind]
    stages: list[Stage] = [{"$match": {"$or": next_[:MAX_PENDING]}}]
    oldest = await _earliest(database[EVENTS], stages, "writtenAt") if next_ else None
    active, pending = (sum([place["count"] for place in found]) for found in (places, behind))
    return active, pending, sum([place["failing"] for place in behind]), _seconds(oldest, now)


def _missing(place: _Place, heads: Mapping[str, int]) -> int:
    """Return the number of events behind a place."""
    missing: int = heads.get(place["_id"]["tenant"], 0) - place["_id"]["cursor"]
    return missing


async def jobs(database: Database, now: datetime.datetime) -> JobFigures:
    """Return the numbers of the verification jobs; each is at most `MAX_JOBS`."""
    collection = database[VERIFICATIONS]
    # The lease of a job that waits ended when it began to wait.
    waiting, running = [
        await collection.count_documents({"leaseUntil": {order: now}}, limit=MAX_JOBS, hint="due")
        for order in ("$lte", "$gt")
    ]
    waits: list[Stage] = [{"$match": {"leaseUntil": {"$lte": now}}}, {"$sort": {"leaseUntil": 1}}, {"$limit": 1}]
    return JobFigures(waiting, running, await _earliest(collection, waits, "leaseUntil"))


async def _earliest(collection: Any, stages: Sequence[Stage], field: str) -> datetime.datetime | None:
    """Return the earliest time in a field of some documents."""
    group = {"$group": {"_id": None, "at": {"$min": f"${field}"}}}
    found: Sequence[Any] = await db.aggregate(collection, [*stages, group], frozenset())
    return found[0]["at"] if found else None


def _seconds(at: datetime.datetime | None, now: datetime.datetime) -> float:
    """Return the seconds since a time; 0 without one."""
    return max(0.0, (now - at).total_seconds()) if at else 0.0
