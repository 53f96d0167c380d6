"""The seam to the driver: PyMongo's asynchronous API, or a Motor database that an application already has."""

import asyncio
import contextlib
import contextvars
import datetime
import functools
import inspect
import math
import time
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar

import pymongo
import structlog
from bson import tz_util
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, ReadPreference, ReturnDocument, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConnectionFailure, PyMongoError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern

from release_catalog.storage import cursors

Document = dict[str, Any]
# A Motor database quacks the same but for what this module evens out.
Database = AsyncDatabase[Document]

# The dotted paths that are read of documents; None for all.
Keys = frozenset[str] | None

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_log = structlog.get_logger()

AFTER = ReturnDocument.AFTER
SNAPSHOT = ReadConcern("snapshot")
# A write waits for so long until a majority has it. Where `within` sets a deadline, drivers send that instead.
MAJORITY = WriteConcern("majority", wtimeout=10_000)
# MongoDB sends 101 documents at first and the others when asked again, unless it is told to send more. The driver
# decodes so many small ones in a few milliseconds, while nothing else is served.
ONE_BATCH = 1_000
# How long it takes at most to find out whether the database answers anything.
LOOK_SECONDS = 0.5
# How long a command in the background may take.
BACKGROUND_SECONDS = 10.0
# How long a process that ends waits for each thing that it does in the background.
_END_SECONDS = 2.0
# What instants come with, whatever the driver.
UTC = tz_util.utc
Unavailable = ConnectionFailure
Failure = PyMongoError

# When commands have to end, in seconds of the monotonic clock: see within.
_deadline: contextvars.ContextVar[float] = contextvars.ContextVar("deadline", default=math.inf)


# Nothing waits without end, whoever forgets to set a deadline. A frozen server is noticed after a heartbeat and a
# connection timeout: what waits for it then is sent to the next primary, while its request still has time.
_OPTIONS: dict[str, Any] = {
    "appName": "release-catalog",
    "serverSelectionTimeoutMS": 10_000,
    "connectTimeoutMS": 5_000,
    "heartbeatFrequencyMS": 2_000,
    "socketTimeoutMS": 60_000,
    "waitQueueTimeoutMS": 10_000,
    "maxPoolSize": 100,
}


def connect(url: str) -> AsyncMongoClient[Document]:
    """Return a client for `url`, whose own options win; it belongs to the event loop that first uses it."""
    own = {name.lower() for name, _ in urllib.parse.parse_qsl(url.partition("?")[2], keep_blank_values=True)}
    return AsyncMongoClient(url, **{name: value for name, value in _OPTIONS.items() if name.lower() not in own})


async def is_standalone(client: AsyncMongoClient[Document]) -> bool:
    """Whether a MongoDB is no replica set and no cluster: it can be read, but each change would fail."""
    hello = await client.admin.command("hello")
    return "setName" not in hello and hello.get("msg") != "isdbgrid"


def configure(database: Any) -> Database:
    """Return `database` with the options of the catalog, whatever its URL and the defaults of the cluster are.

    Writes wait for a majority, and reads return what a majority has: a failover undoes neither. Instants are UTC.
    """
    options: Database = database.with_options(
        codec_options=CodecOptions(tz_aware=True),
        read_preference=ReadPreference.PRIMARY,
        write_concern=MAJORITY,
        read_concern=ReadConcern("majority"),
    )
    return options


class Collections(Protocol):
    """What has collections by their names."""

    def __getitem__(self, name: str) -> Any: ...


class ReadOnlyDatabase:
    """The collections of a database for what is only read and shown: instants are UTC without saying so.

    Saying so takes more than a third of what decoding a page of documents does, and a collection object for each
    command a twentieth of what a small one costs.
    """

    def __init__(self, database: Database) -> None:
        self._database: Any = database.with_options(codec_options=CodecOptions(tz_aware=False))
        self._collections: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """A collection."""
        if name not in self._collections:
            self._collections[name] = self._database[name]
        return self._collections[name]


@functools.lru_cache(1_000)
def projection(keys: Keys, *also: str) -> dict[str, int]:
    """The part of documents to read: `keys` and `also`, or all but their terms. Not to be changed."""
    if keys is None:
        return {"terms": 0}
    paths = keys.union(also)
    # MongoDB takes a path or paths below it, not both.
    kept = [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]
    return {**dict.fromkeys(kept, 1), "_id": 0}


async def awaited(value: Any) -> Any:
    """Return what PyMongo's asynchronous API has to be awaited for and Motor's has not."""
    return await value if inspect.isawaitable(value) else value


async def aggregate(
    collection: Any, pipeline: Sequence[Mapping[str, Any]], keys: Keys = None, **options: Any
) -> list[Document]:
    """Return all documents of an aggregation of a collection; `keys` are what they hold, None for anything."""
    cursor = await awaited(collection.aggregate(pipeline, **options))
    return await cursors.documents(cursor, None, keys)


class deadline:  # noqa: N801  used like a function: a generator would take three times as long for each request
    """Have every command inside end when `seconds` are over: each is sent with the time that is left to it.

    Both drivers take it from the context, so it needs no client of one's own. An earlier deadline around it stays.
    """

    __slots__ = ("_driver", "_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        # The drivers take no time for any time.
        self._seconds = max(seconds, 0.001)

    def __enter__(self) -> None:
        self._token = _deadline.set(min(_deadline.get(), time.monotonic() + self._seconds))
        self._driver = pymongo.timeout(self._seconds)
        self._driver.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._driver.__exit__(kind, error, traceback)
        _deadline.reset(self._token)


def remaining() -> float:
    """Return the seconds until the deadline that `within` has set, infinite where there is none."""
    return _deadline.get() - time.monotonic()


def bounded(work: Callable[Parameters, Awaitable[Result]]) -> Callable[Parameters, Awaitable[Result]]:
    """Give a function that works in the background a deadline: no request sets one for it."""

    @functools.wraps(work)
    async def run(*arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
        with deadline(BACKGROUND_SECONDS):
            return await work(*arguments, **named)

    return run


async def now(database: Database) -> datetime.datetime:
    """Return the instant by the database's clock: the same for all processes."""
    said: Any = await database.command("hello", read_preference=ReadPreference.PRIMARY)
    return said["localTime"].replace(tzinfo=UTC)  # type: ignore[no-any-return]


async def answers(database: Database) -> bool:
    """Return whether the primary answers soon."""
    try:
        await ping(database, LOOK_SECONDS)
    except Failure:
        return False
    return True


def timed_out(error: object) -> bool:
    """Whether a command took longer than it may, which says nothing of whether the database can be reached."""
    return isinstance(error, PyMongoError) and error.timeout and not isinstance(error, ServerSelectionTimeoutError)


@contextlib.asynccontextmanager
async def watch(database: Database, pipeline: Sequence[Mapping[str, Any]]) -> AsyncIterator[Any]:
    """Open a change stream from now on, whose `try_next` waits for a moment."""
    async with await awaited(database.watch(pipeline, max_await_time_ms=250)) as stream:
        yield stream


_unwatched: set["asyncio.Future[Any]"] = set()


async def shielded(work: Coroutine[Any, Any, Result]) -> Result:
    """What `work` gives. Who is cancelled while waiting for it leaves it to end by itself.

    A command that is cancelled may lose its connection, and a driver may swallow the cancellation.
    """
    task = asyncio.ensure_future(work)
    _unwatched.add(task)
    task.add_done_callback(_left)
    return await asyncio.shield(task)


def _left(task: "asyncio.Future[Any]") -> None:
    """Forget a task, and read its error: asyncio would log one that nobody waits for any more."""
    _unwatched.discard(task)
    if not task.cancelled():
        task.exception()


def in_background(work: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
    """Start a task that goes on when the caller is cancelled or out of time; an error that ends it is logged."""
    task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
    _unwatched.add(task)
    task.add_done_callback(_ended)
    return task


@contextlib.contextmanager
def when(event: asyncio.Event | None, action: Callable[[], object]) -> Iterator[None]:
    """Take an action as soon as an event happens while the context lasts."""
    if event is None:
        yield
        return

    async def wait() -> None:
        await event.wait()
        action()

    waiting = asyncio.create_task(wait())
    try:
        yield
    finally:
        waiting.cancel()


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Wait until tasks have ended that were told to, and leave those that the database holds up."""
    if not tasks:
        return
    _, pending = await asyncio.wait(tasks, timeout=_END_SECONDS)
    for task in pending:
        task.cancel()


async def background_ended(seconds: float = _END_SECONDS) -> None:
    """Wait for the tasks in the background, and for `undisturbed` work, for at most so long."""
    loop = asyncio.get_running_loop()
    if tasks := [task for task in _unwatched if task.get_loop() is loop]:
        await asyncio.wait(tasks, timeout=seconds)


def _ended(task: "asyncio.Future[Any]") -> None:
    _unwatched.discard(task)
    if not task.cancelled() and (error := task.exception()):
        _log.warning("work in the background failed", reason=str(error)[:200])


async def ping(database: Database, seconds: float) -> None:
    """Raise `Failure` unless the primary answers within so many seconds."""
    task = in_background(_ping(database, seconds))
    # Motor's threads may all be taken, and connecting has a timeout of its own.
    await asyncio.wait([task], timeout=seconds + 0.1)
    if not task.done():
        raise ConnectionFailure("no answer in time")
    await task


async def _ping(database: Database, seconds: float) -> None:
    with deadline(seconds):
        await database.command("ping", read_preference=ReadPreference.PRIMARY)
