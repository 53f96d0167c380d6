"""The pacing of a connection's input: small pieces, with rests after pieces that took long.

A protocol handles all its input before anything else runs. A client that sends thousands of tiny frames or
pipelined requests at once would so hold the event loop for a tenth of a second, again and again.
"""

import asyncio
import time
from collections.abc import Callable

# After a piece that took longer, nothing is read for this many times as long: a connection gets a fifth of the
# loop.
REST_AFTER_SECONDS = 0.001
REST_FACTOR = 4
MAX_REST_SECONDS = 1.0


class PacedInput:
    """The input of a connection that its protocol has not handled yet; at most the bytes on their way at once."""

    def __init__(
        self,
        receive: Callable[[bytes], None],
        piece: int,
        loop: asyncio.AbstractEventLoop,
        is_paused: Callable[[], bool],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Hand input to `receive` in pieces of at most `piece` bytes, one a turn of the event loop.

        `is_paused` tells whether the protocol itself wants to read no more for now.
        """
        self._receive = receive
        self._piece = piece
        self._loop = loop
        self._is_paused = is_paused
        self._clock = clock
        self._backlog = bytearray()
        self._next: asyncio.TimerHandle | None = None

    def feed(self, data: bytes, transport: asyncio.Transport) -> None:
        """Take input from `transport`, and pause its reading while more than a piece waits."""
        if self._next is None and len(data) <= self._piece:
            rest = self._hand_over(data)
            if not rest:
                return
        else:
            self._backlog += data
            rest = 0.0
        if self._next is None:
            self._later(rest, transport)
        transport.pause_reading()

    def close(self) -> None:
        """Forget the unhandled input: the connection is gone."""
        self._backlog.clear()
        if self._next:
            self._next.cancel()
            self._next = None

    def _hand_over(self, piece: bytes) -> float:
        """Have a piece handled; return the seconds to rest."""
        began = self._clock()
        self._receive(piece)
        took = self._clock() - began
        return min(took * REST_FACTOR, MAX_REST_SECONDS) if took > REST_AFTER_SECONDS else 0.0

    def _later(self, seconds: float, transport: asyncio.Transport) -> None:
        self._next = self._loop.call_later(seconds, self._go_on, transport)

    def _go_on(self, transport: asyncio.Transport) -> None:
        self._next = None
        if transport.is_closing():
            self._backlog.clear()
            return
        rest = 0.0
        if self._backlog:
            piece = bytes(self._backlog[: self._piece])
            del self._backlog[: self._piece]
            rest = self._hand_over(piece)
        if self._backlog or rest:
            self._later(rest, transport)
        elif not self._is_paused():
            transport.resume_reading()
