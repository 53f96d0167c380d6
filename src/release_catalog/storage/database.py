"""Access to the driver: PyMongo's asynchronous API, or a Motor database that an application already has."""

import asyncio
import contextlib
import contextvars
import datetime
import functools
import inspect
import math
import time
import urllib.parse
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import pymongo
import structlog
from bson import tz_util
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, ReadPreference, ReturnDocument, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ConnectionFailure, InvalidURI, PyMongoError, ServerSelectionTimeoutError
from pymongo.monitoring import CommandListener, ConnectionPoolListener
from pymongo.read_concern import ReadConcern

from release_catalog.storage import cursors, forms, outages
from release_catalog.storage.collection_names import CollectionName, Stored
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.forms import StoredDatabase

# MongoDB's own language: conditions, changes, stages of pipelines, and expressions in any of them.
Filter = dict[str, Any]
Update = dict[str, Any]
Stage = dict[str, Any]
Expression = dict[str, Any]

# What the driver calls for each command or for each change of its connections.
Monitor = CommandListener | ConnectionPoolListener

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_log = structlog.get_logger()

AFTER = ReturnDocument.AFTER
SNAPSHOT = ReadConcern("snapshot")
# A write waits this long for a majority. Inside a `deadline`, drivers send that instead.
MAJORITY = WriteConcern("majority", wtimeout=10_000)
# MongoDB sends 101 documents at first and the rest on request, unless it is told to send more. The driver decodes
# this many small ones in a few milliseconds, while nothing else is served.
ONE_BATCH = 1_000
# The maximum time to find out whether the database answers.
LOOK_SECONDS = 0.5
# The deadline of a background command.
BACKGROUND_SECONDS = 10.0
# The time that a process waits at its end for each of its background tasks.
_END_SECONDS = 2.0
# The time zone of timestamps from either driver.
UTC = tz_util.utc
Unavailable = ConnectionFailure
Failure = PyMongoError

# The deadline of commands, in seconds of the monotonic clock: see `deadline`.
_deadline: contextvars.ContextVar[float] = contextvars.ContextVar("deadline", default=math.inf)


# Nothing waits forever, even without a deadline. A frozen server is noticed after a heartbeat and a connection
# timeout; commands that wait for it then go to the next primary, while their request still has time.
_OPTIONS: dict[str, Any] = {
    "appName": "release-catalog",
    "serverSelectionTimeoutMS": 10_000,
    "connectTimeoutMS": 5_000,
    "heartbeatFrequencyMS": 2_000,
    "socketTimeoutMS": 60_000,
    "waitQueueTimeoutMS": 10_000,
    "maxPoolSize": 100,
}


class Collections(Protocol):
    """A container of collections, each with the type of its documents."""

    def __getitem__(self, name: CollectionName[Stored]) -> AsyncCollection[Stored]: ...


class Database(Collections, Protocol):
    """A database of either driver; this module evens out the differences between the two."""

    name: str
    client: Any

    async def command(self, command: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Run a command and return its response."""

    def watch(self, pipeline: Sequence[Stage], **options: Any) -> Any:
        """Open a change stream."""

    def with_options(self, **options: Any) -> Any:
        """Return the same database with other options."""


def connect(url: str, monitors: Sequence[Monitor] = ()) -> AsyncMongoClient[dict[str, Any]]:
    """Return a client for `url`, whose own options win; it belongs to the event loop that first uses it."""
    own = {name.lower() for name, _ in urllib.parse.parse_qsl(url.partition("?")[2], keep_blank_values=True)}
    options = {name: value for name, value in _OPTIONS.items() if name.lower() not in own}
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            client = AsyncMongoClient[dict[str, Any]](url, event_listeners=monitors, **options)
        except ValueError as error:
            # Such as a port that is no number.
            raise InvalidURI(str(error)) from error
    for warning in found:
        _log.warning("option of the MongoDB URL ignored", reason=str(warning.message))
    return client


async def is_standalone(client: AsyncMongoClient[dict[str, Any]]) -> bool:
    """Return whether a MongoDB is neither replica set nor cluster: reads work, but every write fails."""
    hello = await client.admin.command("hello")
    return "setName" not in hello and hello.get("msg") != "isdbgrid"


def configure(database: Any) -> Database:
    """Return `database` with the options of the catalog, regardless of its URL and the cluster's defaults.

    Writes wait for a majority, and reads return majority data: a failover undoes neither. Timestamps are UTC, and
    documents come out in today's form (see `storage.forms`).
    """
    options: Any = database.with_options(
        codec_options=CodecOptions(tz_aware=True),
        read_preference=ReadPreference.PRIMARY,
        write_concern=MAJORITY,
        read_concern=ReadConcern("majority"),
    )
    return cast("Database", StoredDatabase(options))


class ReadOnlyDatabase(StoredDatabase):
    """The collections of a database for data that is only read and shown: timestamps are naive UTC.

    Adding the time zone takes more than a third of the time to decode a page of documents.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database.with_options(codec_options=CodecOptions(tz_aware=False)))


@functools.lru_cache(1_000)
def projection(keys: FieldPaths, *also: str) -> dict[str, int]:
    """Return the projection of `keys` and `also`, or of everything except the terms; must not be modified."""
    if keys is None:
        return {"terms": 0}
    paths = keys.union(also)
    # MongoDB takes a path or paths below it, not both.
    kept = [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]
    return {**dict.fromkeys(kept, 1), "_id": 0}


async def awaited(value: Any) -> Any:
    """Await a value that PyMongo's asynchronous API returns as an awaitable and Motor's does not."""
    return await value if inspect.isawaitable(value) else value


async def aggregate(
    collection: AsyncCollection[Stored], pipeline: Sequence[Stage], keys: FieldPaths = None, **options: Any
) -> list[Stored]:
    """Return all documents of an aggregation of a collection, in today's form; `keys` are read, None for all."""
    cursor = await awaited(collection.aggregate(pipeline, **options))
    found = await cursors.documents(cursor, None, keys)
    # Their number of keys tells nothing: pages have those of their order, too.
    forms.complete(found, forms.added(collection.name, keys))
    return found


async def upsert(
    collection: AsyncCollection[Stored], match: Filter, change: Update | Sequence[Stage], session: Any = None
) -> Stored:
    """Change the document that meets `match`, or make one, and return it as it is afterwards."""
    found = await collection.find_one_and_update(
        match, change, upsert=True, return_document=AFTER, session=session
    )
    assert found is not None  # noqa: S101  there is a document in any case
    return found


class deadline:  # noqa: N801  used like a function: a generator would take three times as long for each request
    """A deadline for every command inside: each is sent with the remaining part of `seconds`.

    Both drivers take it from the context, so it needs no client of its own. An earlier outer deadline still holds.
    """

    __slots__ = ("_driver", "_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        # The drivers treat 0 as no limit.
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
    """Return the seconds left until the current `deadline`; infinite without one."""
    return _deadline.get() - time.monotonic()


def bounded(work: Callable[Parameters, Awaitable[Result]]) -> Callable[Parameters, Awaitable[Result]]:
    """Give a background function a deadline, because no request sets one for it."""

    @functools.wraps(work)
    async def run(*arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
        with deadline(BACKGROUND_SECONDS):
            return await work(*arguments, **named)

    return run


async def now(database: Database) -> datetime.datetime:
    """Return the current time of the database's clock, which all processes share."""
    hello = await database.command("hello", read_preference=ReadPreference.PRIMARY)
    local: datetime.datetime = hello["localTime"]
    return local.replace(tzinfo=UTC)


async def answers(database: Database) -> bool:
    """Return whether the primary answers within `LOOK_SECONDS`."""
    try:
        await ping(database, LOOK_SECONDS)
    except Failure:
        return False
    return True


def timed_out(error: object) -> bool:
    """Return whether a command timed out, which does not tell whether the database is reachable."""
    return isinstance(error, PyMongoError) and error.timeout and not isinstance(error, ServerSelectionTimeoutError)


@contextlib.asynccontextmanager
async def watch(database: Database, pipeline: Sequence[Stage]) -> AsyncIterator[Any]:
    """Open a change stream that begins now; its `try_next` waits for a moment."""
    async with await awaited(database.watch(pipeline, max_await_time_ms=250)) as stream:
        yield stream


_unwatched: set["asyncio.Future[Any]"] = set()


async def shielded(work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of `work`, which runs to its end even if the waiting task is cancelled.

    A cancelled command may lose its connection, and a driver may swallow the cancellation.
    """
    task = asyncio.ensure_future(work)
    _unwatched.add(task)
    task.add_done_callback(_left)
    return await asyncio.shield(task)


def _left(task: "asyncio.Future[Any]") -> None:
    """Forget a task, and read its error, because asyncio would log one that nobody awaits."""
    _unwatched.discard(task)
    if not task.cancelled():
        task.exception()


def in_background(work: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
    """Start a task that continues when the caller is cancelled or out of time; its error is logged."""
    task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
    _unwatched.add(task)
    task.add_done_callback(_ended)
    return task


@contextlib.contextmanager
def when(event: asyncio.Event | None, action: Callable[[], object]) -> Iterator[None]:
    """Run `action` as soon as `event` is set while the context lasts."""
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
    """Wait until ending tasks have ended, and cancel those that wait for the database."""
    if not tasks:
        return
    _, pending = await asyncio.wait(tasks, timeout=_END_SECONDS)
    for task in pending:
        task.cancel()


async def background_ended(seconds: float = _END_SECONDS) -> None:
    """Wait at most `seconds` for the background tasks and for `shielded` work."""
    loop = asyncio.get_running_loop()
    if tasks := [task for task in _unwatched if task.get_loop() is loop]:
        await asyncio.wait(tasks, timeout=seconds)


def _ended(task: "asyncio.Future[Any]") -> None:
    _unwatched.discard(task)
    if not task.cancelled() and (error := task.exception()):
        _log.warning("background task failed", reason=outages.reason(error))


async def ping(database: Database, seconds: float) -> None:
    """Raise `Failure` unless the primary answers within `seconds`."""
    task = in_background(_ping(database, seconds))
    # All of Motor's threads may be busy, and connecting has a timeout of its own.
    await asyncio.wait([task], timeout=seconds + 0.1)
    if not task.done():
        raise ConnectionFailure("no answer in time")
    await task


async def _ping(database: Database, seconds: float) -> None:
    with deadline(seconds):
        await database.command("ping", read_preference=ReadPreference.PRIMARY)
