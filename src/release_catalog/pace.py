"""A pace for requests of the same sender, which holds back those that come faster."""

import asyncio
import collections
import math
import time
from collections.abc import Callable, Hashable

# The refusals of one sender that are not held back: at once, and per second in the long run; then the longest
# hold.
REFUSAL_BURST, REFUSALS_PER_SECOND = 50, 50.0
MAX_HOLD_SECONDS = 5.0
_MAX_SENDERS = 10_000


class Pace:
    """A pace of what senders do: each may do `burst` things at once, and `per_second` in the long run."""

    def __init__(
        self,
        burst: float,
        per_second: float,
        *,
        max_pause: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst, self._per_second, self._max_pause = burst, per_second, max_pause
        self._clock = clock
        # When the last thing of each sender is due, in seconds times `per_second`, ordered by their latest things.
        self._due: collections.OrderedDict[Hashable, float] = collections.OrderedDict()

    def pause(self, sender: Hashable = None) -> float:
        """Count a thing that `sender` does; return the seconds to hold it back."""
        now = self._clock() * self._per_second
        earliest = now - self._burst
        due = max(self._due.pop(sender, earliest), earliest) + 1
        self._due[sender] = due = min(due, now + self._max_pause * self._per_second)
        while len(self._due) > _MAX_SENDERS:
            self._due.popitem(last=False)
        return min(max(0.0, (due - now) / self._per_second), self._max_pause)

    async def wait(self, sender: Hashable = None) -> None:
        """Count a thing that `sender` does, and hold it back."""
        await asyncio.sleep(self.pause(sender))


def refusal_pace(clock: Callable[[], float] = time.monotonic) -> Pace:
    """Return a pace for refusals, so that a sender who retries again and again keeps nobody else waiting.

    It holds back only refusals: permitted requests are handled at once.
    """
    return Pace(REFUSAL_BURST, REFUSALS_PER_SECOND, max_pause=MAX_HOLD_SECONDS, clock=clock)
