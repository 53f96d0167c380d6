"""Look-ups that concurrent requests make together: what is asked for while a read is under way goes in the next.

A read never begins before it is asked for, so nobody gets what was true before.
"""

import asyncio
import copy
import dataclasses
import time
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from typing import Any

from release_catalog.store.database import Unavailable

Found = Mapping[str, Any]
Read = Callable[[Collection[str]], Awaitable[Found]]

# Larger look-ups go by themselves, so that small ones need not wait for them.
MAX_KEYS = 200
# Nobody waits longer than this for a read that others began.
PATIENCE_SECONDS = 0.02


@dataclasses.dataclass
class _Asked:
    keys: Collection[str]
    read: Read
    answer: "asyncio.Future[Found]"


class _Line:
    """Those who wait for one kind of look-up."""

    def __init__(self, leave: Callable[[], object]) -> None:
        self._leave = leave
        self._waiting: list[_Asked] = []
        self._reads = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._began = 0.0

    async def ask(self, keys: Collection[str], read: Read) -> Found:
        """Read at once, or with all others that come while a read is under way."""
        if not self._reads:
            return await self._alone(keys, read)
        asked = _Asked(keys, read, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if time.monotonic() - self._began > PATIENCE_SECONDS:
            self._begin()
        elif len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._hurry, self._waiting)
        return await asked.answer

    async def _alone(self, keys: Collection[str], read: Read) -> Found:
        self._reads, self._began = self._reads + 1, time.monotonic()
        try:
            return await read(keys)
        finally:
            self._ended()

    def _hurry(self, waiting: list[_Asked]) -> None:
        if waiting is self._waiting:
            self._begin()

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._reads, self._began = self._reads + 1, time.monotonic()
        # Not a task of any caller: who gives up takes nothing from the others.
        task = asyncio.get_running_loop().create_task(_answer(waiting))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._ended()

    def _ended(self) -> None:
        self._reads -= 1
        if self._waiting and not self._reads:
            self._begin()
        elif not self._reads:
            self._leave()


async def _answer(waiting: list[_Asked]) -> None:
    """Read for all who wait; where that fails, for each alone, so that nobody fails for what another asked."""
    together = {key for asked in waiting for key in asked.keys}
    try:
        found = await waiting[0].read(together)
    except Exception as error:  # noqa: BLE001  handed on to whoever awaits the answer
        if len(waiting) > 1 and not isinstance(error, Unavailable):
            await asyncio.gather(*(_answer([asked]) for asked in waiting))
            return
        for asked in waiting:
            if not asked.answer.done():
                # An exception that several raise would keep the frames of all of them.
                alone = error if len(waiting) == 1 else copy.copy(error).with_traceback(error.__traceback__)
                asked.answer.set_exception(alone)
        return
    for asked in waiting:
        if not asked.answer.done():
            asked.answer.set_result(found)


class Shared:
    """The look-ups of all requests of a process that go to one database."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, _Line] = {}

    async def look_up(self, kind: Hashable, keys: Collection[str], read: Read) -> Found:
        """What `read` finds for `keys`, and maybe for others.

        Reads of one `kind` must give the same for the same keys, whoever asks: it holds the tenant, what of it
        the caller may see, and what is read of the documents. Values are shared and must not be changed.
        """
        if len(keys) > MAX_KEYS:
            return await read(keys)
        line = self._lines.get(kind)
        if line is None:
            line = self._lines[kind] = _Line(lambda: self._lines.pop(kind, None))
        return await line.ask(keys, read)
