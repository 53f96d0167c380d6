"""The delay of the event loop: how much later than due it runs what is due."""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator

_INTERVAL = 0.5
# A scraper that comes once a minute misses nothing.
_KEPT_SECONDS = 60.0


class LoopDelay:
    """The longest delay of the event loop in the last minute."""

    def __init__(self) -> None:
        self._delays: collections.deque[float] = collections.deque(maxlen=int(_KEPT_SECONDS / _INTERVAL))

    @property
    def seconds(self) -> float:
        """Return the longest delay."""
        return max([*self._delays], default=0.0)

    @contextlib.asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        """Measure it while the context lasts, twice a second."""
        task = asyncio.create_task(self._measure())
        try:
            yield
        finally:
            task.cancel()

    async def _measure(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + _INTERVAL
            await asyncio.sleep(_INTERVAL)
            self._delays.append(max(0.0, clock() - due))
