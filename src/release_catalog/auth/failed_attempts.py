"""Recent failures of credentials, and the wait before the next attempt."""

import collections
import time
from collections.abc import Callable, Hashable

# Failures are forgotten this long after the last one; the oldest ones sooner if there are too many.
FORGET_SECONDS = 600.0
MAX_KEYS = 10_000
# After this many failures, the next attempt has to wait: a quarter of a second, then twice as long each time.
FREE_FAILURES = 3
FIRST_SECONDS, MAX_SECONDS = 0.25, 4.0


class Failures:
    """Counts failures by key: a network, an account name, or both."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # The count, and the time of the last failure; the oldest first.
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
        """Start again from zero."""
        self._failed.pop(key, None)

    def many(self, key: Hashable) -> bool:
        """Return whether there were more failures lately than typing errors explain."""
        count, last = self._failed.get(key, (0, 0.0))
        return count >= FREE_FAILURES and last > self._clock() - FORGET_SECONDS

    def delay(self, key: Hashable) -> float:
        """Return the seconds to wait before the next attempt."""
        if not self.many(key):
            return 0.0
        count, last = self._failed[key]
        pause = min(MAX_SECONDS, FIRST_SECONDS * 2.0 ** min(count - FREE_FAILURES, 10))
        return max(0.0, last + pause - self._clock())
