"""Leases: the holder of a lease works on something, and others leave it alone until the lease ends.

Leases run by the database's clock, so that a process whose own clock is wrong takes nothing and loses nothing.
"""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable

from release_catalog.storage import database as db

# The pause after a failed renewal: the database may be back before the lease ends.
_RETRY_SECONDS = 1.0


def after(time: datetime.timedelta) -> db.Expression:
    """Return the time `time` from now, as an expression for a pipeline update."""
    return {"$add": ["$$NOW", round(time.total_seconds() * 1_000)]}


def is_over(field: str) -> db.Filter:
    """Return the condition that the time in a field has passed; it can use an index."""
    return {"$expr": {"$lte": [f"${field}", "$$NOW"]}}


@contextlib.asynccontextmanager
async def renewed(renew: Callable[[], Awaitable[bool]], lease: datetime.timedelta) -> AsyncIterator[None]:
    """Renew a lease while the context lasts, until `renew` returns that another process has it.

    It is never cancelled within a command, because that could cost a connection.
    """
    over = asyncio.Event()
    task = db.in_background(_renew(renew, lease.total_seconds() / 3, over))
    try:
        yield
    finally:
        over.set()
        await asyncio.wait([task])


async def _renew(renew: Callable[[], Awaitable[bool]], seconds: float, over: asyncio.Event) -> None:
    pause, is_mine = seconds, True
    while is_mine:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), pause)
        if over.is_set():
            return
        try:
            with db.deadline(seconds):
                is_mine = await renew()
            pause = seconds
        except db.Failure:
            pause = min(_RETRY_SECONDS, seconds)
