"""The rate limit: the requests of each caller at a time and its points an hour, counted in this process alone."""

import collections
import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from release_catalog import fair_share, request_record
from release_catalog.domain.caller import Caller, Owner
from release_catalog.fair_share import Busy, FairSlots, HeldTurn
from release_catalog.graphql_api.request_errors import RequestError, capacity_exceeded
from release_catalog.pace import refusal_pace
from release_catalog.request_limits import Limits

HOUR = 3_600
# Of a tenant that crowds others, this many small and large requests are executed at a time. One that takes longer
# than a turn mostly waits for the database, and keeps no other from beginning.
SMALL_AT_ONCE, LARGE_AT_ONCE = 4, 2
LARGE_POINTS = 20
TURN_SECONDS = 0.1
# The time for which a caller that has sent a request counts among the others.
SEEN_SECONDS = 1.0
# Of all callers together, at most this many queries and mutations are executed at a time: enough for the full
# speed of a process and its database. While others wait and executions take longer than SLOW_SECONDS, it is fewer,
# down to FEWEST. Under a lasting overload, the others wait for about MAX_DELAY_SECONDS, or are refused: with
# everything executed at once, everything would be slow. A query that takes longer than QUERY_SECONDS mostly waits
# for something else, and keeps no other from beginning. Mutations of a tenant wait for one another, so more
# of them at a time would not be faster.
QUERIES_AT_ONCE, QUERY_SECONDS, MAX_DELAY_SECONDS = 64, 1.0, 0.25
MUTATIONS_AT_ONCE, MUTATIONS_OF_TENANT, MUTATION_SECONDS, MAX_MUTATION_DELAY_SECONDS = 16, 4, 5.0, 0.5
SLOW_SECONDS, FEWEST = 0.1, 4


class RateLimiter:
    """Counts the current requests of each caller, and the points that it has used in its hour.

    Each process counts for itself: of several behind one address, each gives every caller the full limit.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_caller = min(limits.max_concurrency, limits.max_concurrency_total)
        per_tenant = limits.max_concurrency_per_tenant
        self._requests = FairSlots(
            limits.max_concurrency_total,
            per_tenant=per_tenant,
            per_caller=limits.max_concurrency,
            leave_free=limits.tenants_share and not per_tenant,
        )
        self._small = FairSlots(2 * SMALL_AT_ONCE, per_tenant=SMALL_AT_ONCE, max_delay=MAX_DELAY_SECONDS)
        self._large = FairSlots(2 * LARGE_AT_ONCE, per_tenant=LARGE_AT_ONCE, max_delay=MAX_DELAY_SECONDS)
        self._queries = FairSlots(QUERIES_AT_ONCE, max_delay=MAX_DELAY_SECONDS)
        self._mutations = FairSlots(
            MUTATIONS_AT_ONCE, per_tenant=MUTATIONS_OF_TENANT, max_delay=MAX_MUTATION_DELAY_SECONDS
        )
        self._wait_seconds = limits.query_seconds
        # The callers with a request executed lately, and its time; the last one comes last.
        self._seen: collections.OrderedDict[Owner, float] = collections.OrderedDict()
        self.refusals = refusal_pace()
        # Writes of a tenant wait for one another. They leave room for reads.
        self._writes_at_once = max(1, limits.max_concurrency * 4 // 5)
        self._writes = FairSlots(sys.maxsize, per_caller=self._writes_at_once)
        self._an_hour = limits.points_per_hour
        self._clock = clock
        # The end of a caller's hour, and the points used of it.
        self._used: dict[Owner, tuple[float, int]] = {}
        self._last_cleanup = clock()

    @property
    def in_progress(self) -> int:
        """Return the number of current requests."""
        return self._requests.used

    def concurrency_slot(self, caller: Caller) -> AbstractContextManager[None]:
        """Count a current request in the shares of its caller and its tenant; refuse it if they are full.

        Enter the context at once.
        """
        try:
            return self._requests.slot_now(caller.owner)
        except Busy as busy:
            raise self._crowded(busy) from busy

    def turn(self, caller: Caller, points: int, *, writes: bool = False) -> "Turn":
        """Return the context in which a request that costs `points` is executed.

        It waits for a turn if the server is full, or if the caller crowds others. A refusal gives the points back.
        All requests share one event loop. So a caller that has many of them under way, or whose tenant has, would
        make callers with small requests wait for all of these at each step.
        """
        who, now = caller.owner, self._clock()
        self._seen[who] = now
        self._seen.move_to_end(who)
        while next(iter(self._seen.values())) < now - SEEN_SECONDS:
            self._seen.popitem(last=False)
        crowd, at_once = (self._large, LARGE_AT_ONCE) if points > LARGE_POINTS else (self._small, SMALL_AT_ONCE)
        everybody = (self._mutations, MUTATION_SECONDS) if writes else (self._queries, QUERY_SECONDS)
        turns = [(crowd, TURN_SECONDS), everybody] if self._crowds(who, at_once) else [everybody]
        return Turn(self, who, points, turns, self._wait_seconds)

    def _crowds(self, who: Owner, at_once: int) -> bool:
        """Return whether a caller or its tenant has over `at_once` requests, and twice as many as another."""
        tenant = self._requests.held_by_tenant(who.tenant)
        if tenant <= at_once or len(self._seen) == 1:
            return False
        own = self._requests.held_by(who)
        return any(
            2 * self._requests.held_by_tenant(other.tenant) < tenant
            if other.tenant != who.tenant
            else own > at_once and 2 * self._requests.held_by(other) < own
            for other in self._seen
        )

    def note_execution(self, slots: FairSlots, seconds: float) -> None:
        """Adapt the number of requests that are executed at a time to the time that one has taken."""
        most = QUERIES_AT_ONCE if slots is self._queries else MUTATIONS_AT_ONCE
        if seconds > SLOW_SECONDS and slots.waiting:
            slots.capacity = max(slots.capacity - 1, min(FEWEST, most))
        else:
            # Also slow ones, once nobody waits: they are slow by themselves, such as with a distant database.
            slots.capacity = min(slots.capacity + 1, most)

    def refuse_turn(self, who: Owner, points: int, busy: Busy) -> RequestError:
        """Return the refusal of a request that got no turn, and give its points back."""
        if self._an_hour and who in self._used:
            end, used = self._used[who]
            self._used[who] = end, max(0, used - points)
        return self._crowded(busy)

    def _crowded(self, busy: Busy) -> RequestError:
        what, allowed = "requests in progress", self._per_caller
        return capacity_exceeded(own=busy.own, what=what, limit="concurrency", allowed=allowed)

    def write_slot(self, caller: Caller) -> AbstractContextManager[None]:
        """Count a current request that writes; refuse it beyond four fifths of the caller's requests.

        Enter the context at once.
        """
        try:
            return self._writes.slot_now(caller.owner)
        except Busy as busy:
            reason = (
                f"You have {self._writes_at_once} mutations in progress, the maximum that the limit writes "
                "allows: repeat this one when another has ended."
            )
            code = self._code("writes", self._writes_at_once)
            raise RequestError(429, reason, code, Retry_After="1") from busy

    def consume(self, caller: Caller, points: int) -> None:
        """Take points from the caller's hour; refuse if too few are left. Without a rate, only record them."""
        if self._an_hour:
            self._take(caller, points)
        request_record.charge(points)

    def _take(self, caller: Caller, points: int) -> None:
        who = caller.owner
        end, used = self._window(who)
        if used + points > self._an_hour:
            seconds = math.ceil(end - self._clock())
            reason = (
                f"This request costs {points} points, but only {max(0, self._an_hour - used)} of the "
                f"{self._an_hour} points an hour are left: repeat it in {seconds} seconds."
            )
            raise RequestError(429, reason, self._code("rate", self._an_hour), Retry_After=str(seconds))
        self._used[who] = end, used + points

    def settle(self, caller: Caller, points: int) -> None:
        """Take points for work that is done already, whether or not they are left: the next request is refused."""
        if points <= 0:
            return
        if self._an_hour:
            who = caller.owner
            end, used = self._window(who)
            self._used[who] = end, used + points
        request_record.charge(points)

    def points_left(self, caller: Caller) -> tuple[int, int, float] | None:
        """Return the points of an hour, those left, and the seconds to its end; None without a rate."""
        if not self._an_hour:
            return None
        end, used = self._window(caller.owner)
        return self._an_hour, max(0, self._an_hour - used), end - self._clock()

    def headers(self, caller: Caller) -> dict[str, str]:
        """Return the headers that show the rest of the caller's hour."""
        standing = self.points_left(caller)
        if standing is None:
            return {}
        limit, remaining, seconds = standing
        return {
            "x-ratelimit-limit": str(limit),
            "x-ratelimit-remaining": str(remaining),
            "x-ratelimit-reset": str(math.ceil(seconds)),
        }

    def _window(self, who: Owner) -> tuple[float, int]:
        now = self._clock()
        if now - self._last_cleanup > HOUR:
            self._last_cleanup = now
            self._used = {one: hour for one, hour in self._used.items() if hour[0] > now}
        end, used = self._used.get(who, (0.0, 0))
        return (end, used) if end > now else (now + HOUR, 0)

    @staticmethod
    def _code(limit: str, allowed: int) -> dict[str, object]:
        return {"code": "RATE_LIMITED", "limit": limit, "allowed": allowed}


class Turn:
    """The turn of a request: a context that waits for each of some slots, for a limited time in all."""

    __slots__ = ("_began", "_held", "_limiter", "_points", "_seconds", "_turns", "_who")

    def __init__(
        self,
        limiter: RateLimiter,
        who: Owner,
        points: int,
        turns: Sequence[tuple[FairSlots, float]],
        seconds: float,
    ) -> None:
        self._limiter, self._who, self._points = limiter, who, points
        self._turns, self._seconds = turns, seconds
        self._held: list[HeldTurn] = []
        # None before the execution, and once it waits for another server.
        self._began: float | None = None

    async def __aenter__(self) -> None:
        try:
            for slots, hold_seconds in self._turns:
                self._held.append(await slots.take_turn(self._who, hold_seconds, max_seconds=self._seconds))
        except Busy as busy:
            self._end()
            raise self._limiter.refuse_turn(self._who, self._points, busy) from busy
        except BaseException:
            self._end()
            raise
        self._began = time.monotonic()
        fair_share.current_turn.set(self._end)

    async def __aexit__(self, *_: object) -> None:
        if self._began is not None:
            self._limiter.note_execution(self._turns[-1][0], time.monotonic() - self._began)
        self._end()

    def _end(self) -> None:
        self._began = None
        for turn in self._held:
            turn.end()
