"""The transfer rate of a server, and the minimum rate for waiting on.

A thread that reads counts the bytes, and the event loop checks them: so a slow server is dropped in time whether
it drips a TLS handshake, headers or a body.
"""

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator
from typing import Any

from release_catalog.files.address_guard import Unreachable

ANSWER_SECONDS = 30.0
# A body is judged after this time.
GRACE_SECONDS = 10.0
_LOOK_SECONDS = 1.0


class TransferRate:
    """The rate of a server: the time to its answer, then at least `min_rate` bytes a second on average."""

    def __init__(self, host: str, min_rate: int) -> None:
        self._host = host
        self._min_rate = min_rate
        self._connected = time.monotonic()
        self._answered = False
        self._first: float | None = None
        self._received = 0

    def answered(self) -> None:
        """Record the end of the headers; body bytes that arrived with them are not counted, as far as known."""
        # A reader may already hold this much of the body.
        self._answered, self._received = True, io.DEFAULT_BUFFER_SIZE

    def received(self, count: int) -> None:
        """Record received bytes."""
        if self._answered and self._first is None:
            self._first = time.monotonic()
        self._received += count

    def check(self) -> None:
        """Raise Unreachable if the server is too slow by now."""
        now = time.monotonic()
        if not self._answered and now - self._connected > ANSWER_SECONDS:
            raise Unreachable(
                f"{self._host} took longer than {ANSWER_SECONDS:g} seconds to answer: check the server."
            )
        seconds = now - (now if self._first is None else self._first)
        if seconds >= GRACE_SECONDS and self._received < seconds * self._min_rate:
            raise Unreachable(
                f"{self._host} sends less than {self._min_rate} bytes a second: use a faster server, or ask "
                "an operator to lower RELEASE_CATALOG_FILES_MIN_RATE."
            )

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Cancel the work inside, and raise Unreachable, as soon as the server is too slow."""
        loop = asyncio.get_running_loop()
        slow: list[Unreachable] = []

        def look() -> None:
            try:
                self.check()
            except Unreachable as error:
                slow.append(error)
                limit.reschedule(loop.time())
            else:
                timers.append(loop.call_later(_LOOK_SECONDS, look))
                del timers[0]

        timers = [loop.call_later(_LOOK_SECONDS, look)]
        try:
            async with asyncio.timeout(None) as limit:
                yield
        except TimeoutError:
            if slow:
                raise slow[0] from None
            raise
        finally:
            timers[0].cancel()


class Counted(io.RawIOBase):
    """A raw stream that counts the bytes that it reads."""

    def __init__(self, raw: Any, rate: TransferRate) -> None:
        super().__init__()
        self._raw = raw
        self._rate = rate

    def readable(self) -> bool:
        """Return True, as `io.BufferedReader` needs it."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read into `buffer` and return the number of bytes."""
        count: int | None = self._raw.readinto(buffer)
        self._rate.received(count or 0)
        return count

    def close(self) -> None:
        """Close the stream below too."""
        self._raw.close()
        super().close()
