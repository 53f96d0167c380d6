"""Coalescing of lookups from concurrent requests: those made while the process is busy share one read.

A read never begins before it is requested, so no request gets outdated data.
"""

import asyncio
import contextvars
import copy
import dataclasses
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from typing import Any

from release_catalog import usage
from release_catalog.errors import TooLarge
from release_catalog.query_engine.projection import FieldPaths
from release_catalog.storage.cursors import bound
from release_catalog.storage.database import Unavailable, timed_out
from release_catalog.usage import Usage

Found = Mapping[str, Any]
Read = Callable[[Collection[str]], Awaitable[Found]]

# Larger lookups go by themselves, so that small ones need not wait for them.
MAX_KEYS = 200
# A read begins when no lookup was added in a turn of the event loop, or at the latest after this time.
MAX_DELAY_SECONDS = 0.02


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
