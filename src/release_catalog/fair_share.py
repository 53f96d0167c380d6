"""Fair shares: a bounded capacity divided between owners, in turns.

One rule of fairness for everything of which a process has a limited number: parser threads, password checks,
webhook deliveries, file verifications, subscribers, writes. An owner is a tenant and one of its callers.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import contextvars
import functools
import ipaddress
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from release_catalog.domain.caller import Owner

Result = TypeVar("Result")

# Waiters that keep coming for longer than this are no burst; from then on, the longest wait.
BURST_SECONDS, MAX_WAIT_SECONDS = 1.0, 1.0


@functools.lru_cache(10_000)
def client_network(address: str | None) -> str:
    """Return the key of an address for shares of clients: itself, or the /64 network of an IPv6 address.

    A client of IPv6 may use every address of its network. A mapped address counts as its IPv4 address.
    """
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or ""
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


# What ends the turn of the current request.
current_turn: contextvars.ContextVar[Callable[[], None]] = contextvars.ContextVar("turn")


def end_turn() -> None:
    """End the turn of the current request, if it has one, because it begins to wait for another server."""
    if end := current_turn.get(None):
        end()


class Busy(Exception):  # noqa: N818  it reports a full resource, not a fault of the program
    """A full capacity, with no room for this owner now; `own` tells whether the owner itself fills its share."""

    def __init__(self, reason: str, *, own: bool) -> None:
        super().__init__(reason)
        self.own = own


class FairSlots:
    """A number of slots that owners take and give back.

    At most `capacity` slots are taken at once, at most `per_tenant` of them by one tenant and at most `per_caller`
    by one caller. Waiters take turns: first between tenants, then between the callers of a tenant, and each
    caller's own requests come in their order. So an owner that floods the queue delays others by one slot's use.

    With `leave_free`, a tenant takes another slot only while more slots are free than it holds. One tenant alone
    gets half of the capacity, n tenants get an n+1st part each, and the next one still finds a slot: the rule of
    dynamic thresholds, by which switches share buffers between their ports. It suits slots that are held for long.

    With `max_delay`, the queue absorbs bursts, but stays short under a lasting overload: once there have been
    waiters for BURST_SECONDS, and the last one waited longer than `max_delay`, an owner with a waiter gets no
    second one. Otherwise the queue would be as long as its limit during all of the overload, and everybody would
    wait.

    Belongs to one event loop.
    """

    def __init__(
        self,
        capacity: int,
        *,
        per_tenant: int | None = None,
        per_caller: int | None = None,
        leave_free: bool = False,
        max_waiting: int = 1_000,
        max_waiting_per_caller: int = 100,
        max_delay: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Limit the slots in use and the number of waiters; a limit of None is the whole capacity."""
        self._max_delay, self._clock = max_delay, clock
        # The time since when there have always been waiters, the time when one of them got a slot, and the seconds
        # that it had waited.
        self._waiting_since = self._served_at = self._delay = 0.0
        self.capacity = capacity
        self._per_tenant = capacity if per_tenant is None else per_tenant
        self._per_caller = capacity if per_caller is None else per_caller
        self._leave_free = leave_free
        self._max_waiting = max_waiting
        self._max_waiting_per_caller = max_waiting_per_caller
        # The number of slots held, for each tenant and caller with any.
        self._tenants: dict[str, int] = {}
        self._callers: dict[Owner, int] = {}
        # Waiters by tenant and caller. The first tenant, and in it the first caller, has the next turn.
        self._queues: dict[str, dict[Owner, collections.deque[asyncio.Future[None]]]] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self.used = 0
        self.waiting = 0

    @property
    def free(self) -> int:
        """Return the number of free slots."""
        return self.capacity - self.used

    def held_by(self, owner: Owner) -> int:
        """Return the number of slots that this caller holds."""
        return self._callers.get(owner, 0)

    def held_by_tenant(self, tenant: str) -> int:
        """Return the number of slots that the callers of this tenant hold."""
        return self._tenants.get(tenant, 0)

    def fits(self, owner: Owner) -> bool:
        """Return whether the owner could take a slot now, waiters aside."""
        return self._fits_tenant(owner.tenant) and self._callers.get(owner, 0) < self._per_caller

    def _fits_tenant(self, tenant: str) -> bool:
        free = self.capacity - self.used
        limit = min(self._per_tenant, free) if self._leave_free else self._per_tenant
        return free > 0 and self._tenants.get(tenant, 0) < limit

    def full_tenants(self) -> list[str]:
        """Return the tenants that hold slots and can't take another one now."""
        return [tenant for tenant in self._tenants if not self._fits_tenant(tenant)]

    def slot_now(self, owner: Owner) -> "HeldSlot":
        """Take a slot without waiting, and give it back when the context ends, which must be entered at once.

        Raise Busy if no slot is free for this owner.
        """
        if not self.fits(owner):
            own = self.used < self.capacity
            raise Busy("Your share is in use." if own else "All slots are in use.", own=own)
        self._take(owner)
        return HeldSlot(self, owner)

    @contextlib.asynccontextmanager
    async def slot(self, owner: Owner, *, max_seconds: float | None = None) -> AsyncIterator[None]:
        """Hold a slot, after waiting for a turn if necessary.

        Raise Busy if too many wait already, or when `max_seconds` have passed.
        """
        await self._acquire(owner, max_seconds)
        try:
            yield
        finally:
            self.give_back(owner)

    @contextlib.asynccontextmanager
    async def turn(
        self, owner: Owner, hold_seconds: float, *, max_seconds: float | None = None
    ) -> AsyncIterator[None]:
        """Hold a slot like `slot`, but at most for `hold_seconds`: then another owner gets a turn beside it.

        So slow work, which mostly waits, keeps no other from beginning.
        """
        turn = await self.take_turn(owner, hold_seconds, max_seconds=max_seconds)
        try:
            yield
        finally:
            turn.end()

    async def take_turn(
        self, owner: Owner, hold_seconds: float, *, max_seconds: float | None = None
    ) -> "HeldTurn":
        """Take a slot like `turn`; the result gives it back at its `end`."""
        await self._acquire(owner, max_seconds)
        return HeldTurn(self, owner, hold_seconds)

    async def run_to_end(
        self, owner: Owner, work: Callable[[], Awaitable[Result]], *, max_seconds: float | None = None
    ) -> Result:
        """Return the result of `work`, which runs in a slot; raise Busy as `slot` does.

        If the caller is cancelled, work that has begun goes on and keeps its slot until it ends. This is for work
        that can't be stopped, such as a command to the database.
        """
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.slot(owner, max_seconds=max_seconds))
            task = asyncio.create_task(_run(stack.pop_all(), work))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # mark it as retrieved, because no task may await it any more

    async def _acquire(self, owner: Owner, max_seconds: float | None) -> None:
        if self.fits(owner):
            # No waiter fits, or it would have been served: so nobody is overtaken, and no crowd of waiters over
            # their share keeps others out.
            self._take(owner)
        else:
            await self._wait(owner, max_seconds)

    async def _wait(self, owner: Owner, max_seconds: float | None) -> None:
        queue = self._queues.get(owner.tenant, {}).get(owner, ())
        if self.waiting >= self._max_waiting or len(queue) >= self._max_waiting_per_caller:
            raise Busy("Too many requests are waiting.", own=len(queue) >= self._max_waiting_per_caller)
        began = self._clock()
        if not self.waiting:
            self._waiting_since = self._served_at = began
        if self._max_delay is not None and began - self._waiting_since > BURST_SECONDS:
            if queue and max(self._delay, began - self._served_at) > self._max_delay:
                raise Busy("Others have been waiting for too long.", own=False)
            max_seconds = MAX_WAIT_SECONDS if max_seconds is None else min(max_seconds, MAX_WAIT_SECONDS)
        turn = asyncio.get_running_loop().create_future()
        self._queues.setdefault(owner.tenant, {}).setdefault(owner, collections.deque()).append(turn)
        self.waiting += 1
        self._serve()
        try:
            async with asyncio.timeout(max_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.give_back(owner)  # the turn came at the moment of giving up
            else:
                self._forget(owner, turn)
            if isinstance(error, TimeoutError):
                raise Busy(f"No slot became free within {max_seconds:g} seconds.", own=False) from error
            raise
        self._served_at = self._clock()
        self._delay = self._served_at - began

    def _forget(self, owner: Owner, turn: "asyncio.Future[None]") -> None:
        queue = self._queues.get(owner.tenant, {}).get(owner)
        if queue and turn in queue:  # its turn may have come and gone since it was cancelled
            queue.remove(turn)
            self.waiting -= 1
            self._drop_empty(owner)

    def _drop_empty(self, owner: Owner) -> None:
        callers = self._queues[owner.tenant]
        if not callers[owner]:
            del callers[owner]
        if not callers:
            del self._queues[owner.tenant]

    def _take(self, owner: Owner) -> None:
        self.used += 1
        self._tenants[owner.tenant] = self._tenants.get(owner.tenant, 0) + 1
        self._callers[owner] = self._callers.get(owner, 0) + 1

    def give_back(self, owner: Owner) -> None:
        """Give a slot back, which goes to the next waiter in turn."""
        self.used -= 1
        if left := self._tenants.pop(owner.tenant) - 1:
            self._tenants[owner.tenant] = left
        if left := self._callers.pop(owner) - 1:
            self._callers[owner] = left
        if self._queues:
            self._serve()

    def _serve(self) -> None:
        """Give free slots to the next waiters in turn."""
        while self.used < self.capacity and (owner := self._next()):
            callers = self._queues[owner.tenant]
            turn = callers[owner].popleft()
            self.waiting -= 1
            # Behind the others, for the next turn.
            self._queues[owner.tenant] = self._queues.pop(owner.tenant)
            callers[owner] = callers.pop(owner)
            self._drop_empty(owner)
            if not turn.done():
                self._take(owner)
                turn.set_result(None)

    def _next(self) -> Owner | None:
        # Only tenants and callers that hold slots are skipped: at most as many as there are slots.
        for tenant, callers in self._queues.items():
            if self._fits_tenant(tenant):
                for owner in callers:
                    if self._callers.get(owner, 0) < self._per_caller:
                        return owner
        return None


class HeldSlot:
    """A slot that is given back when the context ends; a generator would take three times as long."""

    __slots__ = ("_owner", "_slots")

    def __init__(self, slots: FairSlots, owner: Owner) -> None:
        self._slots, self._owner = slots, owner

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._slots.give_back(self._owner)


class HeldTurn:
    """A slot that is given back at its end, or after some time."""

    __slots__ = ("_owner", "_slots", "_timer")

    def __init__(self, slots: FairSlots, owner: Owner, seconds: float) -> None:
        self._slots: FairSlots | None = slots
        self._owner = owner
        self._timer = asyncio.get_running_loop().call_later(seconds, self.end)

    def end(self) -> None:
        """Give the slot back, unless its time is over."""
        if self._slots is not None:
            self._timer.cancel()
            slots, self._slots = self._slots, None
            slots.give_back(self._owner)


async def _run(slot: contextlib.AsyncExitStack, work: Callable[[], Awaitable[Result]]) -> Result:
    async with slot:
        return await work()


class Aside:
    """Threads for work that would hold the event loop, in turns between tenants and their callers."""

    def __init__(
        self, threads: int = 2, *, max_waiting: int = sys.maxsize, max_waiting_per_caller: int = sys.maxsize
    ) -> None:
        """If there are several threads, keep one free of each tenant's work."""
        self._slots = FairSlots(
            threads,
            per_tenant=max(1, threads - 1),
            max_waiting=max_waiting,
            max_waiting_per_caller=max_waiting_per_caller,
        )
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, "aside")

    async def run(self, owner: Owner, work: Callable[[], Result]) -> Result:
        """Return the result of `work`, once the caller has its turn."""
        return await self.turn(owner, functools.partial(self.in_thread, work))

    async def turn(
        self, owner: Owner, work: Callable[[], Awaitable[Result]], *, max_seconds: float | None = None
    ) -> Result:
        """Return the result of `work`, which runs in a turn of the caller and calls `in_thread`.

        If the caller is cancelled, the turn goes on to its end: the thread is in use until then.
        """
        return await self._slots.run_to_end(owner, work, max_seconds=max_seconds)

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Return the result of `work` from a thread; only for work that has a turn."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, work)
