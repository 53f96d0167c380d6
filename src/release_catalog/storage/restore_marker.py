"""The marker of a restore that has begun and not ended: until then, nobody gets its tenant for a whole one."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator
from typing import Any, TypedDict

import structlog
from pymongo.asynchronous.collection import AsyncCollection

from release_catalog.storage import database as db
from release_catalog.storage import outages
from release_catalog.storage.collection_names import META, CollectionName
from release_catalog.storage.database import Database
from release_catalog.storage.workers import Workers

# The interval at which servers look for the marker.
LOOK_SECONDS = 2.0
# The answer to requests of such a tenant.
BEING_RESTORED = "The tenant is restored from a backup, and is not whole yet: try again later."
_ID = "restore"

_log = structlog.get_logger()


class RestoreMarker(TypedDict):
    """The tenant into which a restore writes, None for the whole database."""

    _id: str
    tenant: str | None
    startedAt: datetime.datetime


class RestoreWatch:
    """The marker as this process saw it last."""

    def __init__(self) -> None:
        self.marker: RestoreMarker | None = None

    def covers(self, tenant: str) -> bool:
        """Return whether a tenant is being restored, or was left unfinished."""
        return covers(self.marker, tenant)


def covers(marker: RestoreMarker | None, tenant: str | None) -> bool:
    """Return whether a marker stands for a tenant, None for the whole database."""
    return marker is not None and (marker["tenant"] in {None, tenant} or tenant is None)


def unfinished(tenant: str | None) -> str:
    """Return the message that a restore is unfinished."""
    name = "this database" if tenant is None else f"the tenant {tenant}"
    return (
        f"A restore of {name} is unfinished: wait for its end, or repeat it with release-catalog restore FILE "
        "--again, or remove its documents with release-catalog restore --discard."
    )


def _markers(database: Database) -> AsyncCollection[Any]:
    return database[CollectionName[Any](META)]


async def find(database: Database) -> RestoreMarker | None:
    """Return the marker of an unfinished restore."""
    found: RestoreMarker | None = await _markers(database).find_one({"_id": _ID})
    return found


async def put(database: Database, tenant: str | None) -> None:
    """Write the marker; raise DuplicateKeyError if there is one already."""
    marker = {"_id": _ID, "tenant": tenant, "startedAt": await db.now(database)}
    await _markers(database).insert_one(marker)


async def remove(database: Database) -> None:
    """Remove the marker: what was restored is whole."""
    await _markers(database).delete_one({"_id": _ID})


@contextlib.asynccontextmanager
async def run_watch(
    database: Database, ending: asyncio.Event | None = None, workers: Workers | None = None
) -> AsyncIterator[RestoreWatch]:
    """Look for the marker regularly while the context lasts, or until it is `ending`."""
    watch, over = RestoreWatch(), asyncio.Event()
    with db.deadline(db.BACKGROUND_SECONDS):
        watch.marker = await find(database)
    worker = (workers or Workers()).start("restores", _look_regularly(database, watch, over))
    try:
        with db.when(ending, over.set):
            yield watch
    finally:
        over.set()
        await db.end(worker)


async def _look_regularly(database: Database, watch: RestoreWatch, over: asyncio.Event) -> None:
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), LOOK_SECONDS)
        try:
            with db.deadline(db.BACKGROUND_SECONDS):
                watch.marker = await find(database)
        except db.Failure as error:
            _log.warning("looking for a restore failed", reason=outages.reason(error))
