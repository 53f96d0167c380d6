"""The database that a process works on, from its settings."""

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import anyio

from release_catalog import embedded, logs, mongod
from release_catalog.files import guard, hashing
from release_catalog.settings import Settings
from release_catalog.store import database as db
from release_catalog.store import indexes

Result = TypeVar("Result")

_SINGLE = (
    "The MongoDB of RELEASE_CATALOG_MONGODB_URL is a single server, which has no transactions: start it with "
    "--replSet rs0, and run rs.initiate() in mongosh once."
)


def fetcher(settings: Settings, progress: Callable[[int], None] | None = None) -> hashing.Fetcher:
    """What fetches files within the limits of the settings, telling `progress` how many bytes have come."""
    return hashing.Fetcher(
        guard.parse(settings.files_allow),
        max_bytes=settings.files_max_bytes,
        at_once=settings.files_at_once,
        seconds=settings.files_deadline,
        min_rate=settings.files_min_rate,
        progress=progress,
    )


def work(settings: Settings, does: Callable[[db.Database], Coroutine[Any, Any, Result]]) -> Result:
    """What a command gives on the database: in a loop of its own, with warnings in the log."""
    logs.configure("warning", settings.log_format)

    async def run() -> Result:
        # A command in a shell that lacks the server's settings must not shorten what the server keeps.
        async with opened(settings, keeps=False) as database:
            return await does(database)

    return anyio.run(run)


@contextlib.asynccontextmanager
async def opened(settings: Settings, database: Any = None, *, keeps: bool = True) -> AsyncIterator[db.Database]:
    """The database with all its indexes; the MongoDB that comes along runs only where no other is named.

    With `keeps`, events are kept for as long as the settings say from now on.
    """
    async with contextlib.AsyncExitStack() as stack:
        if database is None:
            # It blocks for seconds, while nothing else can run yet. In a thread, a signal would lose track of it.
            url = settings.mongodb_url or stack.enter_context(embedded.start(settings.data_dir)).url
            client = db.connect(url)
            stack.push_async_callback(client.close)
            stack.push_async_callback(db.background_ended)
            if await db.is_single(client):
                raise mongod.Unavailable(_SINGLE)
            database = client[settings.database]
        used = db.prepared(database)
        await indexes.ensure(used, settings.events_days, keeps=keeps)
        yield used
