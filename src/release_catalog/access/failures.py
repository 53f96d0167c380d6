"""Remember for whom credentials failed lately, and hold back answers and further attempts."""

import asyncio
import collections
import time
from collections.abc import Callable, Hashable

# Failures are forgotten so long after the last one; those that are the oldest sooner, where there are too many.
FORGET_SECONDS = 600.0
MAX_KEYS = 10_000
# After so many failures, the next attempt has to wait: a quarter of a second, then twice as long each time.
FREE_FAILURES = 3
FIRST_SECONDS, MAX_SECONDS = 0.25, 4.0
# Answers to bad credentials that a network gets: so many at once, and so many a second in the long run.
BURST, PER_SECOND = 50, 50.0
MAX_PACE_SECONDS = 5.0


class Failures:
    """Counts failures by what they belong to: a network, an account name, or both."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # How many, and when the last one was; the oldest first.
        self._failed: collections.OrderedDict[Hashable, tuple[int, float]] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._failed)

    def add(self, key: Hashable) -> None:
        """Count a failure."""
        now = self._clock()
        count, last = self._failed.pop(key, (0, now))
        self._failed[key] = (count + 1 if last > now - FORGET_SECONDS else 1), now
        while len(self._failed) > MAX_KEYS:
            self._failed.popitem(last=False)

    def forget(self, key: Hashable) -> None:
        """Count from none again."""
        self._failed.pop(key, None)

    def many(self, key: Hashable) -> bool:
        """Return whether there were more failures lately than slips of the pen explain."""
        count, last = self._failed.get(key, (0, 0.0))
        return count >= FREE_FAILURES and last > self._clock() - FORGET_SECONDS

    def delay(self, key: Hashable) -> float:
        """Return the seconds to wait before the next attempt."""
        if not self.many(key):
            return 0.0
        count, last = self._failed[key]
        pause = min(MAX_SECONDS, FIRST_SECONDS * 2.0 ** min(count - FREE_FAILURES, 10))
        return max(0.0, last + pause - self._clock())


class Pace:
    """Holds back the answers to bad credentials, so that a client that tries again and again keeps nobody busy.

    Those whose credentials are good are not held back, wherever they come from.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # When the next answer of a network is due; those that were due first come first.
        self._due: collections.OrderedDict[str, float] = collections.OrderedDict()

    def pause(self, network: str) -> float:
        """Count an answer; return the seconds to hold it back."""
        now = self._clock()
        due = max(self._due.pop(network, 0.0), now - BURST / PER_SECOND) + 1 / PER_SECOND
        # No client waits longer than this, so nothing is due later.
        self._due[network] = due = min(due, now + MAX_PACE_SECONDS)
        while len(self._due) > MAX_KEYS:
            self._due.popitem(last=False)
        return max(0.0, due - now)

    async def wait(self, network: str) -> None:
        """Hold back an answer."""
        await asyncio.sleep(self.pause(network))
