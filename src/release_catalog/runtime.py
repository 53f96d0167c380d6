"""The database of a process, opened from its settings."""

import asyncio
import contextlib
import functools
import re
import socket
import sys
import time
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
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
    new_catalog: bool | None = None,
    prepares: bool = True,
    restoring: bool = False,
) -> Result:
    """Run a command on the database, in its own event loop, with warnings in the log.

    Name the database on standard error, because a shell without the server's settings uses another one. Raise
    binary.Unavailable if it has no catalog, unless `new_catalog` lets the command create one. None means that the
    command never does. Without `prepares`, no index is created either.
    """
    logging_config.configure("warning", settings.log_format)
    if not new_catalog and not settings.mongodb_url and not data_folder.holds_data(settings.data_dir):
        raise _no_catalog(settings, new_catalog)
    announce(settings)

    def missing() -> None:
        if not new_catalog:
            raise _no_catalog(settings, new_catalog)
        sys.stderr.write("It has no catalog yet: a new one is created.\n")

    async def run() -> Result:
        # A command in a shell that lacks the server's settings must not shorten the server's retention of events.
        opened = open_database(settings, keeps=False, missing=missing, prepares=prepares, restoring=restoring)
        async with opened as database:
            return await does(database)

    return anyio.run(run)


def announce(settings: Settings) -> None:
    """Name the database on standard error."""
    sys.stderr.write(printable(f"Using the database {place(settings)}.") + "\n")


_HOST = re.compile(r"(?:[\w.%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def place(settings: Settings) -> str:
    """Return which database the settings name, without the credentials for it."""
    if not settings.mongodb_url:
        return f"{settings.database} in the data folder {settings.data_dir}"
    parts = urllib.parse.urlsplit(settings.mongodb_url)
    hosts = parts.netloc.rpartition("@")[2]
    # In an unescaped password, a slash, a question mark or a hash seems to end the hosts; and without the hosts, a
    # user and a password stand in their place.
    if "@" in parts._replace(netloc="").geturl() or not all(map(_HOST.fullmatch, hosts.split(","))):
        return f"{settings.database} of the MongoDB in RELEASE_CATALOG_MONGODB_URL"
    return f"{settings.database} of MongoDB at {hosts}"


def _no_catalog(settings: Settings, new_catalog: bool | None) -> binary.Unavailable:
    """Return the error that a catalog is missing, with the place of another one and the way to a new one."""
    new = "" if new_catalog is None else " For a new catalog, give --new-catalog."
    return binary.Unavailable(
        f"The database {place(settings)} has no catalog{_another(settings)}: set RELEASE_CATALOG_DATA_DIR to the "
        "data folder of your server (make run uses .data), or RELEASE_CATALOG_MONGODB_URL and "
        f"RELEASE_CATALOG_DATABASE to its MongoDB.{new}"
    )


def _another(settings: Settings) -> str:
    """Return where another catalog seems to be, for users whose settings name none."""
    if has_own_place(settings):
        return ""
    if data_folder.holds_data(beside := Path.cwd() / ".data"):
        return f", but there is one in {beside}"
    # UnicodeError: no host has such a name.
    with contextlib.suppress(OSError, UnicodeError):
        socket.create_connection((settings.host, settings.port), timeout=1).close()
        return f", but a server with other data runs at {settings.host}:{settings.port}"
    return ""


def has_own_place(settings: Settings) -> bool:
    """Return whether the settings name the place of the data."""
    return bool(settings.mongodb_url) or "data_dir" in settings.model_fields_set


@contextlib.asynccontextmanager
async def open_database(
    settings: Settings,
    database: Any = None,
    *,
    keeps: bool = True,
    missing: Callable[[], None] | None = None,
    prepares: bool = True,
    monitors: Sequence[db.Monitor] = (),
    restoring: bool = False,
) -> AsyncIterator[db.Database]:
    """Open the database with all its indexes; the embedded MongoDB runs only if no other is named.

    With `keeps`, the settings decide from now on for how long events are kept. They also decide how long to wait
    for a database that is not there yet. `missing` is called if the database has no catalog. Without `prepares`,
    no index is created. Only a command that is `restoring` may use a database that a restore has left unfinished.
    The `monitors` get its commands, except those of a `database` that the application has opened.
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
            if missing and not await database.list_collection_names(filter={"name": "releases"}):
                missing()
        used = db.configure(database)
        if prepares:
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
