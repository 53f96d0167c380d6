"""Data loaders: keys requested one by one by the branches of a level are read together, and with other requests.

A level is read when nothing was requested for a few turns of the event loop and no earlier read is in progress. So
the number of reads depends on the depth of a query, and not on which branch of it came first.

Lookups that concurrent requests make while the process is busy share one read. A read never begins before it is
requested, so no request gets outdated data.
"""

import asyncio
import contextvars
import copy
import dataclasses
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from release_catalog import usage
from release_catalog.errors import TooLarge
from release_catalog.storage.cursors import ALL, UNREADABLE, FieldPaths, bound, union
from release_catalog.storage.database import Unavailable, timed_out
from release_catalog.usage import Usage

Key = TypeVar("Key")
Value = TypeVar("Value")

# Keys, the fields to read of their values, and the future of these.
_Waiting = tuple[Sequence[Key], FieldPaths, asyncio.Future[list[Value]]]

# graphql-core needs up to four turns from one awaited field to the next below it.
IDLE_TICKS = 8
Found = Mapping[str, Any]
Read = Callable[[Collection[str]], Awaitable[Found]]

# Larger lookups go by themselves, so that small ones need not wait for them.
MAX_KEYS = 200
# A read begins when no lookup was added in a turn of the event loop, or at the latest after this time.
MAX_DELAY_SECONDS = 0.02


class BatchScheduler:
    """A scheduler of the batches of a request: all are read together, once every branch waits."""

    def __init__(self, usage: Usage) -> None:
        self.quiet_turns = IDLE_TICKS
        # Whether branches never make requests in parallel, so that none must wait for another.
        self.single = False
        self.usage = usage
        # The first database error: later attempts may have no time left.
        self.failure: Exception | None = None
        self._full: list[DataLoader[Any, Any]] = []
        self._reads: set[asyncio.Task[None]] = set()
        self._quiet = 0
        self._watching = False

    def enqueue(self, batch: "DataLoader[Any, Any]") -> None:
        """Schedule the read of `batch`."""
        self._quiet = 0
        if batch not in self._full:
            self._full.append(batch)
        self._watch()

    def _watch(self) -> None:
        if not self._watching and self._full and not self._reads:
            self._watching = True
            self._turn()

    def _turn(self) -> None:
        self._quiet += 1
        if self._quiet <= self.quiet_turns:
            asyncio.get_running_loop().call_soon(self._turn)
            return
        self._watching = False
        full, self._full = self._full, []
        for batch in full:
            read = asyncio.ensure_future(batch.read())
            self._reads.add(read)
            read.add_done_callback(self._done)

    def _done(self, read: "asyncio.Task[None]") -> None:
        self._reads.discard(read)
        self._quiet = 0
        self._watch()


class DataLoader(Generic[Key, Value]):
    """A loader of keys, requested one by one or in lists, which `many` reads in order of request."""

    def __init__(
        self,
        level: BatchScheduler,
        many: Callable[[list[Key], FieldPaths], Awaitable[Sequence[Value]]],
        identity: Callable[[Key], Hashable],
    ) -> None:
        """Treat keys of one `identity` as one key; it must not change while the key lives."""
        self._level = level
        self._many = many
        self._identity = identity
        # The key is kept with its value, because an identity may be its address.
        self._known: dict[Hashable, tuple[Key, asyncio.Future[list[Value]]]] = {}
        self._waiting: list[_Waiting[Key, Value]] = []

    async def load(self, key: Key) -> Value:
        """Return the whole value of `key`, read with its level and once a request."""
        self._level.usage.take_nodes(1)
        if self._level.single:
            return (await self._many([key], ALL))[0]
        identity = self._identity(key)
        if identity not in self._known:
            self._known[identity] = key, self._enqueue([key], ALL)
        # A branch that is cancelled must not cancel the read for the others.
        return (await asyncio.shield(self._known[identity][1]))[0]

    async def load_many(self, keys: Sequence[Key], fields: FieldPaths) -> list[Value]:
        """Return `fields` of the values of several keys, read with their level."""
        self._level.usage.take_nodes(len(keys))
        if not keys:
            return []
        if not self._level.single:
            return await self._enqueue(keys, fields)
        found = await self._found(keys, fields)
        return [found[self._identity(key)] for key in keys]

    def _enqueue(self, keys: Sequence[Key], fields: FieldPaths) -> asyncio.Future[list[Value]]:
        future: asyncio.Future[list[Value]] = asyncio.get_running_loop().create_future()
        self._waiting.append((keys, fields, future))
        self._level.enqueue(self)
        return future

    async def read(self) -> None:
        """Read all waiting keys; an error goes to every waiter.

        A broken document among them fails only those who wait for it: the others are read again without it.
        """
        waiting, self._waiting = self._waiting, []
        error = await self._read(waiting)
        if error is None:
            return
        failures: list[Exception | None] = [error] * len(waiting)
        if len(waiting) > 1 and isinstance(error, UNREADABLE):
            again = [await self._read([one]) for one in waiting]
            # If all fail, the reason is none of the documents.
            failures = failures if all(again) else again
        for (_, _, future), failure in zip(waiting, failures, strict=True):
            if failure and not future.done():
                future.set_exception(failure)
                future.exception()  # mark it as retrieved, even if no task awaits it any more

    async def _read(self, waiting: Sequence[_Waiting[Key, Value]]) -> Exception | None:
        keys = (key for some, _, _ in waiting for key in some)
        try:
            found = await self._found(keys, union(*(wanted for _, wanted, _ in waiting)))
        except Exception as error:  # noqa: BLE001  handed on to the tasks that await the values
            return error
        for some, _, future in waiting:
            if not future.done():
                future.set_result([found[self._identity(key)] for key in some])
        return None

    async def _found(self, keys: Iterable[Key], fields: FieldPaths) -> dict[Hashable, Value]:
        """Return the values by the identities of their keys, each read once."""
        unique = {self._identity(key): key for key in keys}
        return dict(zip(unique, await self._many(list(unique.values()), fields), strict=True))


@dataclasses.dataclass
class _PendingLookup:
    keys: Collection[str]
    read: Read
    fields: FieldPaths
    answer: "asyncio.Future[Found]"
    # It holds the deadline of the request's commands.
    context: contextvars.Context = dataclasses.field(default_factory=contextvars.copy_context)


async def _answer(waiting: list[_PendingLookup]) -> None:
    """Read for all waiting lookups; on failure read for each alone, so that none fails because of another."""
    together = {key for pending in waiting for key in pending.keys}
    try:
        if len(waiting) == 1:
            found = await waiting[0].read(together)
        else:
            # Each request is charged for its own part, below.
            with usage.measuring(Usage()):
                found = await waiting[0].read(together)
    except Exception as error:  # noqa: BLE001  handed on to the tasks that await the answer
        if len(waiting) > 1 and (timed_out(error) or not isinstance(error, Unavailable)):
            alone = asyncio.get_running_loop().create_task
            await asyncio.gather(*(alone(_answer([pending]), context=pending.context) for pending in waiting))
            return
        for pending in waiting:
            if not pending.answer.done():
                # An exception raised in several tasks would keep the frames of all of them.
                own = error if len(waiting) == 1 else copy.copy(error).with_traceback(error.__traceback__)
                pending.answer.set_exception(own)
        return
    for pending in waiting:
        if not pending.answer.done():
            try:
                if len(waiting) > 1:
                    pending.context.run(_charge, pending, found)
            except TooLarge as error:
                pending.answer.set_exception(error)
            else:
                pending.answer.set_result(found)


def _charge(lookup: _PendingLookup, found: Found) -> None:
    """Count the bytes found for a lookup towards the current request."""
    if request := usage.current():
        documents = [found[key] for key in lookup.keys if key in found]
        request.take_documents(documents, bound(documents, lookup.fields))


class LookupCoalescer:
    """A coalescer of the lookups that all requests of a process make in one database."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, list[_PendingLookup]] = {}
        self._reads: set[asyncio.Task[None]] = set()

    async def look_up(self, kind: Hashable, keys: Collection[str], read: Read, fields: FieldPaths = None) -> Found:
        """Return the result of `read` for `keys`, and maybe for others: `fields` of documents, all if None.

        Reads of one `kind` must give the same for the same keys in any request: it holds the tenant, the caller's
        visibility, and the paths that are read of the documents. Values are shared and must not be changed.
        """
        if len(keys) > MAX_KEYS:
            return await read(keys)
        loop = asyncio.get_running_loop()
        pending = _PendingLookup(keys, read, fields, loop.create_future())
        waiting = self._waiting.setdefault(kind, [])
        waiting.append(pending)
        if len(waiting) == 1:
            loop.call_soon(self._turn, kind, 0, loop.time() + MAX_DELAY_SECONDS)
        return await pending.answer

    def _turn(self, kind: Hashable, before: int, until: float) -> None:
        """Read unless a lookup was added since there were `before`, one turn of the event loop ago."""
        loop, count = asyncio.get_running_loop(), len(self._waiting[kind])
        if count > before and loop.time() < until:
            loop.call_soon(self._turn, kind, count, until)
            return
        # Not a task of any caller: a cancelled request takes nothing from the others.
        read = loop.create_task(_answer(self._waiting.pop(kind)))
        self._reads.add(read)
        read.add_done_callback(self._reads.discard)
