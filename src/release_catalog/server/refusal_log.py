"""The log of connections that end before the application gets a request from them.

A flood of these must not fill the disk: each reason gets at most one line a second, with the number of refusals.
"""

import collections
import time
from collections.abc import Callable

import structlog

# Between two lines of one reason.
SECONDS = 1.0

_log = structlog.get_logger()


class RefusalLog:
    """Counts and logs refused connections by their reason, one of a few constants."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self._clock = clock
        # The time of the last line of each reason, and the number of refusals then.
        self._told: dict[str, tuple[float, int]] = {}

    def note(self, reason: str, client: str | None) -> None:
        """Count a refusal of a client, and log it unless another one was just logged."""
        self.counts[reason] += 1
        now, count = self._clock(), self.counts[reason]
        last, told = self._told.get(reason, (now - SECONDS, 0))
        if now - last < SECONDS:
            return
        self._told[reason] = now, count
        _log.info("connection refused", reason=reason, client=client, count=count - told)
