"""Wakeups for new events: one change stream a process, which only wakes the readers of the log.

No event is read from the stream, so nothing is missed while it is down: when it reopens, all readers are woken.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import structlog

from release_catalog.storage import database as db
from release_catalog.storage.database import Database, Stage
from release_catalog.storage.workers import Workers

# The interval at which all readers are woken without a change stream.
POLL_SECONDS = 1.0
# Events, and webhooks that their owners have changed or replayed.
_WRITTEN: list[Stage] = [
    {"$match": {"$or": [
        {"ns.coll": "events", "operationType": "insert"},
        {"ns.coll": "webhooks", "updateDescription.updatedFields.version": {"$exists": True}},
    ]}},
    {"$project": {"tenantId": "$fullDocument.tenantId"}},
]  # fmt: skip

_log = structlog.get_logger()

# Takes the tenant with new events, or None if it may be any.
Notify = Callable[[str | None], None]


@contextlib.asynccontextmanager
async def watch_changes(database: Database, *rings: Notify, workers: Workers | None = None) -> AsyncIterator[None]:
    """Call `rings` on each change for as long as the context lasts."""
    over = asyncio.Event()

    def ring(tenant: str | None) -> None:
        for each in rings:
            each(tenant)

    watcher = (workers or Workers()).start("change_stream", _watch(database, ring, over))
    try:
        yield
    finally:
        # Not cancelled: it is in the middle of a command.
        over.set()
        await db.end(watcher)


async def _watch(database: Database, ring: Notify, over: asyncio.Event) -> None:
    is_logged = False
    while not over.is_set():
        try:
            async with db.watch(database, _WRITTEN) as stream:
                change = await stream.try_next()
                # The stream is open now. Earlier events woke nobody.
                ring(None)
                is_logged = False
                while stream.alive and not over.is_set():
                    if change:
                        ring(change.get("tenantId"))
                    change = await stream.try_next()
        except Exception as error:  # noqa: BLE001  readers must be woken whatever the error
            if not is_logged:
                _log.warning("change stream unavailable; polling for events", reason=str(error)[:200])
            is_logged = True
        ring(None)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), POLL_SECONDS)
