"""How much each caller may ask for at a time and in an hour, counted in this process alone."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator

from release_catalog.api.limits import Limits
from release_catalog.api.refusals import Refusal
from release_catalog.domain.caller import Caller

HOUR = 3_600
Who = tuple[str, str]  # tenant and subject


class Callers:
    """Counts what is under way for each caller, and the points that it has used of its hour.

    Each process counts for itself: of several behind one address, each gives every caller that much.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_once = limits.max_concurrency
        self._an_hour = limits.cost_per_hour
        self._clock = clock
        self._under_way: dict[Who, int] = {}
        # When its hour ends, and what it has used of it.
        self._used: dict[Who, tuple[float, int]] = {}
        self._swept = clock()

    @contextlib.contextmanager
    def admitted(self, caller: Caller) -> Iterator[None]:
        """Count a request as under way; refused where that would be one too many."""
        who = caller.tenant, caller.subject
        count = self._under_way.get(who, 0)
        if count >= self._at_once:
            reason = f"{count} of your requests are under way; the limit concurrency allows no more."
            raise Refusal(429, reason, self._code("concurrency", self._at_once), Retry_After="1")
        self._under_way[who] = count + 1
        try:
            yield
        finally:
            self._under_way[who] -= 1
            if not self._under_way[who]:
                del self._under_way[who]

    def charge(self, caller: Caller, points: int) -> None:
        """Take points from the caller's hour; refused where they are not left. Without a rate, nothing happens."""
        if not self._an_hour:
            return
        who = caller.tenant, caller.subject
        end, used = self._hour(who)
        if used + points > self._an_hour:
            seconds = math.ceil(end - self._clock())
            reason = (
                f"This request costs {points} points and {self._an_hour - used} are left of the "
                f"{self._an_hour} that the limit rate allows an hour: repeat it in {seconds} seconds."
            )
            raise Refusal(429, reason, self._code("rate", self._an_hour), Retry_After=str(seconds))
        self._used[who] = end, used + points

    def headers(self, caller: Caller) -> dict[str, str]:
        """What is left of the caller's hour."""
        if not self._an_hour:
            return {}
        end, used = self._hour((caller.tenant, caller.subject))
        return {
            "x-ratelimit-limit": str(self._an_hour),
            "x-ratelimit-remaining": str(self._an_hour - used),
            "x-ratelimit-reset": str(math.ceil(end - self._clock())),
        }

    def _hour(self, who: Who) -> tuple[float, int]:
        now = self._clock()
        if now - self._swept > HOUR:
            self._swept = now
            self._used = {one: hour for one, hour in self._used.items() if hour[0] > now}
        end, used = self._used.get(who, (0.0, 0))
        return (end, used) if end > now else (now + HOUR, 0)

    @staticmethod
    def _code(limit: str, most: int) -> dict[str, object]:
        return {"code": "RATE_LIMITED", "limit": limit, "allowed": most}
