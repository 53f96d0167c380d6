"""Batches: what the resolvers of a level ask for one by one is read together.

A level is read when no resolver has asked for anything for a few turns of the event loop and no earlier read is
under way. So the number of reads depends on how deep a query goes, and not on which branch of it came first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

# graphql-core needs up to four turns from one awaited field to the next below it.
QUIET_TURNS = 8


class Level:
    """Decides when the batches of a request are read: all together, once everybody waits."""

    def __init__(self) -> None:
        self._full: list[Batch[Any, Any]] = []
        self._reads: set[asyncio.Task[None]] = set()
        self._quiet = 0
        self._watching = False

    def asked(self, batch: "Batch[Any, Any]") -> None:
        """Note that `batch` has something to read."""
        self._quiet = 0
        if batch not in self._full:
            self._full.append(batch)
        self._watch()

    def _watch(self) -> None:
        if not self._watching and self._full and not self._reads:
            self._watching = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._quiet += 1
        if self._quiet <= QUIET_TURNS:
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


class Batch(Generic[Key, Value]):
    """Keys asked for one by one and read by `many`, each once a request, in the order of asking."""

    def __init__(
        self,
        level: Level,
        many: Callable[[list[Key]], Awaitable[Sequence[Value]]],
        identity: Callable[[Key], Hashable],
    ) -> None:
        """Keys of one `identity` are one key; it must stay the same for as long as the key lives."""
        self._level = level
        self._many = many
        self._identity = identity
        # The key stays with its value: an identity may be its address.
        self._known: dict[Hashable, tuple[Key, asyncio.Future[Value]]] = {}
        self._waiting: list[tuple[Key, asyncio.Future[Value]]] = []

    def load(self, key: Key) -> "asyncio.Future[Value]":
        """The value of `key`, once its level is read."""
        identity = self._identity(key)
        if identity not in self._known:
            asked = key, asyncio.get_running_loop().create_future()
            self._known[identity] = asked
            self._waiting.append(asked)
            self._level.asked(self)
        return self._known[identity][1]

    async def read(self) -> None:
        """Read everything that waits; a failure goes to all who wait for it."""
        waiting, self._waiting = self._waiting, []
        try:
            values = await self._many([key for key, _ in waiting])
        except Exception as error:  # noqa: BLE001  handed on to whoever awaits the values
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), value in zip(waiting, values, strict=True):
            if not future.done():
                future.set_result(value)
