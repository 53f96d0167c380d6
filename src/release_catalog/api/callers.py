"""The rate limit: how much each caller may ask for at a time and in an hour, counted in this process alone."""

import math
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from release_catalog.api.limits import Limits
from release_catalog.api.refusals import Refusal, no_room
from release_catalog.domain.caller import Caller
from release_catalog.fair_share import FairSlots, Owner

HOUR = 3_600


def owner(caller: Caller) -> Owner:
    """Return whom the shares of a caller belong to."""
    return Owner(caller.tenant, caller.subject)


class Callers:
    """Counts what is under way for each caller, and the points that it has used of its hour.

    Each process counts for itself: of several behind one address, each gives every caller that much.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_caller = min(limits.max_concurrency, limits.max_concurrency_total)
        per_tenant = limits.max_concurrency_per_tenant
        self._requests = FairSlots(
            limits.max_concurrency_total, per_tenant=per_tenant, per_caller=limits.max_concurrency
        )
        # Writes of a tenant wait for one another. They leave room for reads.
        self._writes_at_once = max(1, limits.max_concurrency // 2)
        self._writes = FairSlots(sys.maxsize, per_caller=self._writes_at_once)
        self._an_hour = limits.cost_per_hour
        self._clock = clock
        # When its hour ends, and what it has used of it.
        self._used: dict[Owner, tuple[float, int]] = {}
        self._swept = clock()

    def admitted(self, caller: Caller) -> AbstractContextManager[None]:
        """Count a request as under way in the shares of its caller and its tenant; refused where they are full.

        Enter the context at once.
        """
        who = owner(caller)
        if not self._requests.fits(who):
            own = self._requests.free > 0
            raise no_room(own=own, what="requests under way", limit="concurrency", allowed=self._per_caller)
        return self._requests.slot_now(who)

    def writing(self, caller: Caller) -> AbstractContextManager[None]:
        """Count a request that writes as under way; refused where that would be more than half of the caller's.

        Enter the context at once.
        """
        owner = Owner(caller.tenant, caller.subject)
        if not self._writes.fits(owner):
            reason = (
                f"{self._writes_at_once} of your mutations are under way; the limit writes allows no more: repeat "
                "this one when another has ended."
            )
            raise Refusal(429, reason, self._code("writes", self._writes_at_once), Retry_After="1")
        return self._writes.slot_now(owner)

    def charge(self, caller: Caller, points: int) -> None:
        """Take points from the caller's hour; refused where they are not left. Without a rate, nothing happens."""
        if not self._an_hour:
            return
        who = owner(caller)
        end, used = self._hour(who)
        if used + points > self._an_hour:
            seconds = math.ceil(end - self._clock())
            reason = (
                f"This request costs {points} points and {max(0, self._an_hour - used)} are left of the "
                f"{self._an_hour} that the limit rate allows an hour: repeat it in {seconds} seconds."
            )
            raise Refusal(429, reason, self._code("rate", self._an_hour), Retry_After=str(seconds))
        self._used[who] = end, used + points

    def settle(self, caller: Caller, points: int) -> None:
        """Take points for work that is done already, whether or not they are left: the next request is refused."""
        if self._an_hour and points > 0:
            who = owner(caller)
            end, used = self._hour(who)
            self._used[who] = end, used + points

    def headers(self, caller: Caller) -> dict[str, str]:
        """What is left of the caller's hour."""
        if not self._an_hour:
            return {}
        end, used = self._hour(owner(caller))
        return {
            "x-ratelimit-limit": str(self._an_hour),
            "x-ratelimit-remaining": str(max(0, self._an_hour - used)),
            "x-ratelimit-reset": str(math.ceil(end - self._clock())),
        }

    def _hour(self, who: Owner) -> tuple[float, int]:
        now = self._clock()
        if now - self._swept > HOUR:
            self._swept = now
            self._used = {one: hour for one, hour in self._used.items() if hour[0] > now}
        end, used = self._used.get(who, (0.0, 0))
        return (end, used) if end > now else (now + HOUR, 0)

    @staticmethod
    def _code(limit: str, most: int) -> dict[str, object]:
        return {"code": "RATE_LIMITED", "limit": limit, "allowed": most}
