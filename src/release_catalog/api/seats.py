"""How many a process streams to at once, and when that has to end."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from starlette.requests import HTTPConnection

from release_catalog.api.refusals import Refusal
from release_catalog.plans.context import Context
from release_catalog.store import database as db

# How often it is looked at whether who follows still may.
LOOK_SECONDS = 30.0
_UNAUTHORIZED = 401
FULL = "There are as many subscribers as this server takes: try again soon."

Arriving = Callable[[HTTPConnection], Coroutine[Any, Any, Context]]
Admit = Callable[[], Coroutine[Any, Any, Context]]


class Seats:
    """One for each WebSocket and each event stream."""

    def __init__(self, most: int = 10_000) -> None:
        self.left = self.most = most
        # Set when the server shuts down: it waits for event streams to end.
        self.over = asyncio.Event()

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Hold one for as long as the context lasts."""
        self.left -= 1
        try:
            yield
        finally:
            self.left += 1


async def still(admit: Admit, context: Context) -> Context | None:
    """A new context for who has asked; None where they are refused by now, or may do more or less than before.

    While nobody can tell, they are who they were.
    """
    try:
        with contextlib.suppress(db.Failure):
            new = await db.undisturbed(admit())
            return new if new.caller == context.caller else None
    except Refusal as refusal:
        if refusal.status == _UNAUTHORIZED:
            return None
    return context.again()


async def refused(admit: Admit, context: Context) -> None:
    """Return when who has asked may do so no longer."""
    known: Context | None = context
    while known:
        await asyncio.sleep(LOOK_SECONDS)
        known = await still(admit, context)
