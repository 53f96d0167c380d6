"""Data loaders: keys requested one by one by the branches of a level are read together.

A level is read when nothing was requested for a few turns of the event loop and no earlier read is in progress. So
the number of reads depends on the depth of a query, and not on which branch of it came first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from graphql import GraphQLError

from release_catalog.query_engine.projection import ALL, FieldPaths, union
from release_catalog.storage.database import Failure
from release_catalog.usage import Usage

Key = TypeVar("Key")
Value = TypeVar("Value")

# Keys, the fields to read of their values, and the future of these.
_Waiting = tuple[Sequence[Key], FieldPaths, asyncio.Future[list[Value]]]

# graphql-core needs up to four turns from one awaited field to the next below it.
IDLE_TICKS = 8


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
        alone = len(waiting) == 1 or isinstance(error, Failure | GraphQLError)
        for one in waiting:
            if failure := error if alone else await self._read([one]):
                future = one[2]
                if not future.done():
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
