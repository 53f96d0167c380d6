"""The database of a process, opened from its settings."""

import asyncio
import contextlib
import functools
import sys
import time
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import anyio
import structlog

from release_catalog import logging_config
from release_catalog.console import printable
from release_catalog.embedded_mongodb import binary, data_folder, supervisor
from release_catalog.files import address_guard, verifier
from release_catalog.settings import Settings
from release_catalog.storage import database as db
from release_catalog.storage import indexes, restore_marker
from release_catalog.storage.outages import MAX_REASON, outage

Result = TypeVar("Result")

_log = structlog.get_logger()

# The time of one attempt to reach the database, if there are several and if there is one; and the pause between.
_LOOK_SECONDS, _ONLY_LOOK_SECONDS, _PAUSE_SECONDS = 2.0, 10.0, 1.0
_SINGLE = (
    "The MongoDB in RELEASE_CATALOG_MONGODB_URL is a single server without transactions: start "
    "it with --replSet rs0, and run rs.initiate() in mongosh once."
)


def fetcher(settings: Settings, progress: Callable[[int], None] | None = None) -> verifier.Fetcher:
    """Return a fetcher of files within the limits of the settings; `progress` gets the received bytes."""
    return verifier.Fetcher(
        address_guard.parse(settings.files_allow),
        max_bytes=settings.files_max_bytes,
        at_once=settings.files_at_once,
        seconds=settings.files_deadline,
        min_rate=settings.files_min_rate,
        progress=progress,
    )


def run_with_database(
    settings: Settings,
    does: Callable[[db.Database], Coroutine[Any, Any, Result]],
    *,
    existing: bool = False,
    restoring: bool = False,
) -> Result:
    """Run a command on the database, in its own event loop, with warnings in the log.

    Name the database on standard error, because a shell without the server's settings uses another one. A command
    that needs an `existing` catalog creates none: raise binary.Unavailable if it is missing.
    """
    logging_config.configure("warning", settings.log_format)
    if existing and not settings.mongodb_url and not data_folder.holds_data(settings.data_dir):
        raise binary.Unavailable(no_catalog(settings))
    sys.stderr.write(printable(f"Using the database {place(settings)}.") + "\n")

    async def run() -> Result:
        # A command in a shell that lacks the server's settings must not shorten the server's retention of events.
        async with open_database(settings, keeps=False, existing=existing, restoring=restoring) as database:
            return await does(database)

    return anyio.run(run)


def place(settings: Settings) -> str:
    """Return which database the settings name, without the credentials for it."""
    if not settings.mongodb_url:
        return f"{settings.database} in the data folder {settings.data_dir}"
    parts = urllib.parse.urlsplit(settings.mongodb_url)
    hosts = parts.netloc.rpartition("@")[2]
    # In an unescaped password, a slash, a question mark or a hash seems to end the hosts.
    if "@" in parts._replace(netloc="").geturl():
        return f"{settings.database} of the MongoDB in RELEASE_CATALOG_MONGODB_URL"
    return f"{settings.database} of MongoDB at {hosts}"


def no_catalog(settings: Settings, but: str = "") -> str:
    """Return the message that a catalog is missing; `but` adds what exists instead."""
    return (
        f"The database {place(settings)} has no catalog{but}: set RELEASE_CATALOG_DATA_DIR to the "
        "data folder of your server (make run uses .data), or RELEASE_CATALOG_MONGODB_URL and "
        "RELEASE_CATALOG_DATABASE to its MongoDB."
    )


@contextlib.asynccontextmanager
async def open_database(
    settings: Settings,
    database: Any = None,
    *,
    keeps: bool = True,
    existing: bool = False,
    monitors: Sequence[db.Monitor] = (),
    restoring: bool = False,
) -> AsyncIterator[db.Database]:
    """Open the database with all its indexes; the embedded MongoDB runs only if no other is named.

    With `keeps`, the settings decide from now on for how long events are kept. They also decide how long to wait
    for a database that is not there yet. An `existing` database must already hold a catalog. Only a command that
    is `restoring` may use a database that a restore has left unfinished. The `monitors` get its commands, except
    those of a `database` that the application has opened.
    """
    async with contextlib.AsyncExitStack() as stack:
        if database is None:
            # It blocks for seconds, while nothing else can run yet. In a thread, a signal would lose track of it.
            url = settings.mongodb_url or stack.enter_context(supervisor.start(settings.data_dir)).url
            client = db.connect(url, monitors)
            stack.push_async_callback(client.close)
            stack.push_async_callback(db.background_ended)
            await _patiently(settings.database_wait_seconds, functools.partial(_check, client, settings))
            database = client[settings.database]
            if existing and not await database.list_collection_names(filter={"name": "releases"}):
                raise binary.Unavailable(no_catalog(settings))
        used = db.configure(database)
        prepare = functools.partial(indexes.ensure, used, settings.events_days, keeps=keeps)
        await _patiently(settings.database_wait_seconds, prepare)
        if not restoring:
            await _patiently(settings.database_wait_seconds, functools.partial(_check_restored, used))
        yield used


async def _check(client: Any, settings: Settings) -> None:
    with db.deadline(_LOOK_SECONDS if settings.database_wait_seconds else _ONLY_LOOK_SECONDS):
        if await db.is_standalone(client):
            raise binary.Unavailable(_SINGLE)


async def _check_restored(database: db.Database) -> None:
    """Raise binary.Unavailable for a database that is half restored; warn of a tenant that is."""
    with db.deadline(_ONLY_LOOK_SECONDS):
        marker = await restore_marker.find(database)
    if marker and marker["tenant"] is None:
        raise binary.Unavailable(restore_marker.unfinished(None))
    if marker:
        _log.warning(restore_marker.unfinished(marker["tenant"]))


async def _patiently(seconds: float, step: Callable[[], Awaitable[None]]) -> None:
    """Run a step on the database, and retry it for `seconds` while the database is unavailable."""
    until = time.monotonic() + seconds
    while True:
        try:
            return await step()
        except (db.Failure, binary.Unavailable) as error:
            left = until - time.monotonic()
            if left <= 0 or not (isinstance(error, binary.Unavailable) or outage(error)):
                raise
            reason = str(error)[:MAX_REASON]
            _log.warning("waiting for the database", reason=reason, seconds_left=round(left))
        await asyncio.sleep(min(_PAUSE_SECONDS, left))
