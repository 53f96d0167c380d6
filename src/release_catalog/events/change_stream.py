"""Knowing that something has happened: one change stream a process, which only wakes those who read the log.

Nobody reads what happened from it, so nothing is missed while it is down: when it is there again, all are woken.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog

from release_catalog.storage import database as db
from release_catalog.storage.database import Database

# Where there is no change stream, everybody is woken as often.
POLL_SECONDS = 1.0
# Events, and webhooks whose owners have changed them or put them back.
_WRITTEN: list[dict[str, Any]] = [
    {"$match": {"$or": [
        {"ns.coll": "events", "operationType": "insert"},
        {"ns.coll": "webhooks", "updateDescription.updatedFields.version": {"$exists": True}},
    ]}},
    {"$project": {"tenantId": "$fullDocument.tenantId"}},
]  # fmt: skip

_log = structlog.get_logger()

# Gets the tenant in which something has happened, or None where it may be any.
Notify = Callable[[str | None], None]


@contextlib.asynccontextmanager
async def watch_changes(database: Database, *rings: Notify) -> AsyncIterator[None]:
    """Ring whenever something has happened, for as long as the context lasts."""
    over = asyncio.Event()

    def ring(tenant: str | None) -> None:
        for each in rings:
            each(tenant)

    watcher = asyncio.create_task(_watch(database, ring, over))
    try:
        yield
    finally:
        # Not cancelled: it is in the middle of a command.
        over.set()
        await db.end(watcher)


async def _watch(database: Database, ring: Notify, over: asyncio.Event) -> None:
    told = False
    while not over.is_set():
        try:
            async with db.watch(database, _WRITTEN) as stream:
                change = await stream.try_next()
                # It is open now. What happened before woke nobody.
                ring(None)
                told = False
                while stream.alive and not over.is_set():
                    if change:
                        ring(change.get("tenantId"))
                    change = await stream.try_next()
        except Exception as error:  # noqa: BLE001  whatever keeps it from waking, somebody has to
            if not told:
                _log.warning("no change stream: looking for events every second", reason=str(error)[:200])
            told = True
        ring(None)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), POLL_SECONDS)
