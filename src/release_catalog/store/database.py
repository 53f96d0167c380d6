"""The seam to the driver: PyMongo's asynchronous API, or a Motor database that an application already has."""

import asyncio
import contextlib
import functools
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import pymongo
from bson import tz_util
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, ReadPreference, ReturnDocument, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConnectionFailure, PyMongoError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern

from release_catalog.store import cursors

Document = dict[str, Any]
# A Motor database quacks the same but for what this module evens out.
Database = AsyncDatabase[Document]

_REPEATED = 120.0
# The dotted paths that are read of documents; None for all.
Keys = frozenset[str] | None

Result = TypeVar("Result")

AFTER = ReturnDocument.AFTER
_SETTLED = ReadConcern("majority")
# MongoDB sends 101 documents at first and the others when asked again, unless it is told to send more.
ONE_BATCH = 10_000
# What instants come with, whatever the driver.
UTC = tz_util.utc
Unavailable = ConnectionFailure
Failure = PyMongoError


def connect(url: str) -> AsyncMongoClient[Document]:
    """A client for `url`; it belongs to the event loop that first uses it."""
    return AsyncMongoClient(url, appname="release-catalog", serverSelectionTimeoutMS=10_000)


async def is_single(client: AsyncMongoClient[Document]) -> bool:
    """Whether a MongoDB is no replica set and no cluster: it can be read, but each change would fail."""
    hello = await client.admin.command("hello")
    return "setName" not in hello and hello.get("msg") != "isdbgrid"


def prepared(database: Any) -> Database:
    """`database` reading instants as UTC from the primary, and writing to a majority."""
    options: Database = database.with_options(
        codec_options=CodecOptions(tz_aware=True),
        read_preference=ReadPreference.PRIMARY,
        write_concern=WriteConcern("majority"),
        read_concern=ReadConcern("local"),
    )
    return options


class Collections(Protocol):
    """What has collections by their names."""

    def __getitem__(self, name: str) -> Any: ...


class Reading:
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


def collection(database: Collections, name: str, *, settled: bool) -> Any:
    """A collection; of one that is `settled` is only read what no failover can undo."""
    return database[name].with_options(read_concern=_SETTLED) if settled else database[name]


@functools.lru_cache(1_000)
def projection(keys: Keys, *also: str) -> dict[str, int]:
    """The part of documents to read: `keys` and `also`, or all but their terms. Not to be changed."""
    if keys is None:
        return {"terms": 0}
    paths = keys.union(also)
    # MongoDB takes a path or paths below it, not both.
    kept = [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]
    return {**dict.fromkeys(kept, 1), "_id": 0}


async def aggregate(
    collection: Any, pipeline: Sequence[Mapping[str, Any]], keys: Keys = None, **options: Any
) -> list[Document]:
    """Return all documents of an aggregation of a collection; `keys` are what they hold, None for anything.

    PyMongo's is awaited for its cursor, Motor's is not.
    """
    cursor: Any = collection.aggregate(pipeline, **options)
    if inspect.isawaitable(cursor):
        cursor = await cursor
    return await cursors.documents(cursor, None, keys)


async def transaction(database: Database, work: Callable[[Any], Awaitable[Result]]) -> Result:
    """What `work` gives, all of its writes taking effect or none; it gets the session to write in.

    MongoDB asks for a repetition where transactions collide, so `work` may run several times, for two minutes.
    Its commands have no longer, either.
    """
    end = time.monotonic() + _REPEATED
    session: Any = database.client.start_session()
    if inspect.isawaitable(session):
        session = await session
    with pymongo.timeout(_REPEATED):
        async with session:
            while True:
                try:
                    done: Result = await session.with_transaction(work)
                except PyMongoError as error:
                    # Motor repeats what collided in `work`, but not what collided in the commit.
                    if error.has_error_label("TransientTransactionError") and time.monotonic() < end:
                        continue
                    raise
                return done


def within(seconds: float) -> AbstractContextManager[None]:
    """Have every command inside end when `seconds` are over: each is sent with the time that is left to it.

    Both drivers take it from the context, so it needs no client of one's own.
    """
    return pymongo.timeout(seconds)


def timed_out(error: object) -> bool:
    """Whether a command took longer than it may, which says nothing of whether the database can be reached."""
    return isinstance(error, PyMongoError) and error.timeout and not isinstance(error, ServerSelectionTimeoutError)


@contextlib.asynccontextmanager
async def changes(database: Database, pipeline: Sequence[Mapping[str, Any]]) -> AsyncIterator[Any]:
    """A change stream from now on, whose `try_next` waits for a moment; PyMongo's is awaited, Motor's is not."""
    settled: Any = database.with_options(read_concern=_SETTLED)
    stream: Any = settled.watch(pipeline, max_await_time_ms=250)
    if inspect.isawaitable(stream):
        stream = await stream
    async with stream:
        yield stream


_unwatched: set["asyncio.Future[Any]"] = set()


async def undisturbed(work: Coroutine[Any, Any, Result]) -> Result:
    """What `work` gives. Who is cancelled while waiting for it leaves it to end by itself.

    A command that is cancelled may lose its connection, and a driver may swallow the cancellation.
    """
    task = asyncio.ensure_future(work)
    _unwatched.add(task)
    task.add_done_callback(_unwatched.discard)
    return await asyncio.shield(task)


async def ping(database: Database) -> None:
    """Raise `Unavailable` unless the primary answers within two seconds."""
    with pymongo.timeout(2):
        await database.command("ping", read_preference=ReadPreference.PRIMARY)
