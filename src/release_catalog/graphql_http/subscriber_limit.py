"""The limit on subscribers of a process, shared between callers and tenants, and the end of their access."""

import asyncio
import collections
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from starlette.requests import HTTPConnection

from release_catalog.domain.caller import Caller
from release_catalog.fair_share import Busy, FairSlots
from release_catalog.graphql_api.request_errors import RequestError, capacity_exceeded
from release_catalog.query_engine.context import Context
from release_catalog.server.connection_limit import ConnectionLimit
from release_catalog.storage import database as db

# The interval between checks of a subscriber's access.
LOOK_SECONDS = 30.0
# WebSockets whose client is not known yet; the one that has waited longest makes room for a new one.
MAX_UNKNOWN = 200
RETRY_SECONDS = 5
_UNAUTHORIZED = 401
# The kinds of connections that hold slots.
KINDS = WEBSOCKET, SSE, MULTIPART = "websocket", "sse", "multipart"

Authenticate = Callable[[HTTPConnection], Coroutine[Any, Any, Context]]
Reauthenticate = Callable[[], Coroutine[Any, Any, Context]]


class SubscriberLimiter:
    """The slots for subscribers: one for each event stream, and for each WebSocket whose client is known."""

    def __init__(
        self,
        capacity: int = 10_000,
        *,
        per_tenant: int | None = None,
        per_caller: int | None = None,
        leave_free: bool = False,
    ) -> None:
        """Limit the slots of a process, of a tenant and of a caller; None means all slots. See FairSlots."""
        self._slots = FairSlots(capacity, per_tenant=per_tenant, per_caller=per_caller, leave_free=leave_free)
        self._per_caller = min(share for share in (capacity, per_tenant, per_caller) if share is not None)
        self.unknown = ConnectionLimit(lambda: MAX_UNKNOWN, spare=0)
        # The slots in use, by the kind of connection.
        self.kinds: collections.Counter[str] = collections.Counter()
        # Set when the server shuts down: it waits for event streams to end.
        self.closing = asyncio.Event()

    @property
    def used(self) -> int:
        """Return the number of slots in use."""
        return self._slots.used

    def check(self, caller: Caller) -> None:
        """Refuse a caller if no slot is free for it now."""
        with self.slot(caller):
            pass

    @contextlib.contextmanager
    def slot(self, caller: Caller, kind: str = "") -> Iterator[None]:
        """Hold a slot for as long as the context lasts; refuse the caller if no slot is free for it.

        `kind` is the kind of connection that holds it, one of KINDS.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._slots.slot_now(caller.owner))
            except Busy as busy:
                raise capacity_exceeded(
                    own=busy.own,
                    what="subscribers",
                    limit="subscribers",
                    allowed=self._per_caller,
                    retry_seconds=RETRY_SECONDS,
                ) from busy
            self.kinds[kind] += 1
            try:
                yield
            finally:
                self.kinds[kind] -= 1


async def reauthenticate(admit: Reauthenticate, context: Context) -> Context | None:
    """Return a new context for the caller; None if it is refused by now, or its permissions have changed.

    While the database can't tell, the caller keeps its permissions.
    """
    try:
        with contextlib.suppress(db.Failure):
            new = await db.shielded(admit())
            return new if new.caller == context.caller else None
    except RequestError as refusal:
        if refusal.status == _UNAUTHORIZED:
            return None
    return context.again()


async def wait_until_unauthorized(admit: Reauthenticate, context: Context) -> None:
    """Return when the caller has lost its access."""
    known: Context | None = context
    while known:
        await asyncio.sleep(LOOK_SECONDS)
        known = await reauthenticate(admit, context)
