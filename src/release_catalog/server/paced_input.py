"""Hand connections' input to their protocols in small pieces, with rests after pieces that took long.

A protocol handles all that it is given before anything else runs. A client that sends thousands of tiny frames or
pipelined requests at once would so hold the event loop for a tenth of a second, again and again. The rests are
those of a network, not of a connection: with many connections, a client gets no more of the loop than with one.
"""

import asyncio
import collections
import time
from collections.abc import Callable

# After a piece that took longer, the backlogs of its network rest so many times as long, for a fifth of the loop.
REST_AFTER_SECONDS = 0.001
REST_FACTOR = 4
# However much there is to rest for, the next turn comes after so long.
MAX_REST_SECONDS = 1.0
# Small inputs are handled during a rest as long as they make the next one no longer than this, and those of a
# connection until so many in a row took long: one may be bad luck.
MAX_EXTRA_REST_SECONDS = 0.25
MAX_SLOW = 2


class NetworkTurns:
    """The turns of the connections of one network that have input waiting, and the rests between the turns.

    Belongs to one event loop.
    """

    def __init__(self) -> None:
        # In the order of their turns.
        self._waiting: collections.OrderedDict[PacedInput, None] = collections.OrderedDict()
        # The next turn: there is one while somebody waits, and after a piece that took long.
        self.next: asyncio.TimerHandle | None = None
        self._rest = 0.0

    def takes_small(self) -> bool:
        """Whether small inputs may be handled during a rest: few of them took long since the last turn."""
        return self._rest < MAX_EXTRA_REST_SECONDS

    def join(self, paced: "PacedInput", loop: asyncio.AbstractEventLoop) -> None:
        """Have a connection wait for its turn, behind the others."""
        self._waiting[paced] = None
        if self.next is None:
            self._schedule(loop)

    def leave(self, paced: "PacedInput") -> None:
        """Have a connection wait no longer."""
        self._waiting.pop(paced, None)

    def charge(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        """Rest for a piece that took so long and had no turn: now, or after the turn that is next."""
        self._rest += seconds * REST_FACTOR
        if self.next is None:
            self._schedule(loop)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        rest, self._rest = min(self._rest, MAX_REST_SECONDS), 0.0
        self.next = loop.call_later(rest, self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Handle a piece of each connection that waits, until that took long."""
        spent, first = 0.0, []
        try:
            for _ in range(len(self._waiting)):
                if spent > REST_AFTER_SECONDS or not self._waiting:
                    break
                paced, _ = self._waiting.popitem(last=False)
                took = paced.go_on()
                spent += took
                if took > REST_AFTER_SECONDS:
                    self._rest += took * REST_FACTOR
                if not paced.waiting:
                    continue
                self._waiting[paced] = None
                # Long bodies, of which a piece takes little, need not wait for all the others after each piece.
                if paced.used > REST_AFTER_SECONDS:
                    paced.used = 0.0
                else:
                    first.append(paced)
            for paced in reversed(first):
                if paced in self._waiting:
                    self._waiting.move_to_end(paced, last=False)
        finally:
            self.next = None
            if self._waiting or self._rest:
                self._schedule(loop)


class PacedInput:
    """The input of a connection that its protocol has not handled yet; at most the bytes on their way at once."""

    def __init__(
        self,
        receive: Callable[[bytes], None],
        piece: int,
        loop: asyncio.AbstractEventLoop,
        is_paused: Callable[[], bool],
        clock: Callable[[], float] = time.perf_counter,
        turns: NetworkTurns | None = None,
    ) -> None:
        """Hand input to `receive` in pieces of at most `piece` bytes, in the turns of the connection's network.

        `is_paused` tells whether the protocol itself wants to read no more for now. Up to half a piece that comes
        alone does not wait for others, unless the two pieces before it took long.
        """
        self._receive = receive
        self._piece = piece
        self._small = max(piece // 2, 1)
        self._loop = loop
        self._is_paused = is_paused
        self._clock = clock
        self._turns = turns or NetworkTurns()
        self._backlog = bytearray()
        self._transport: asyncio.Transport | None = None
        # How many pieces in a row took long.
        self._slow = 0
        # Whether there is a turn to come, and the seconds that were used since it was last put behind the others.
        self.waiting = False
        self.used = 0.0

    def feed(self, data: bytes, transport: asyncio.Transport) -> None:
        """Take what has come from `transport`, whose reading is paused while some of it waits."""
        size = len(data)
        if (
            size <= self._piece
            and not self.waiting
            and (
                self._turns.next is None
                or (size <= self._small and self._slow < MAX_SLOW and self._turns.takes_small())
            )
        ):
            began = self._clock()
            self._receive(data)
            took = self._clock() - began
            if took <= REST_AFTER_SECONDS:
                self._slow = 0
            else:
                self._slow += 1
                self._turns.charge(took, self._loop)
            return
        self._backlog += data
        if not self.waiting:
            self.waiting, self.used, self._transport = True, 0.0, transport
            self._turns.join(self, self._loop)
        transport.pause_reading()

    def close(self) -> None:
        """Forget the unhandled input: the connection is gone."""
        self._backlog.clear()
        self._turns.leave(self)
        self.waiting, self._transport = False, None

    def go_on(self) -> float:
        """Have a piece handled, and wait for another turn if there is more; return how many seconds that took."""
        transport = self._transport
        if transport is None or transport.is_closing():
            self.close()
            return 0.0
        piece = bytes(self._backlog[: self._piece])
        del self._backlog[: self._piece]
        began = self._clock()
        try:
            self._receive(piece)
        except BaseException:
            # As event loops do where a protocol fails.
            self.close()
            transport.abort()
            raise
        took = self._clock() - began
        self._slow = self._slow + 1 if took > REST_AFTER_SECONDS else 0
        self.used += took
        if not self._backlog and self.waiting:
            self.waiting, self._transport = False, None
            if not self._is_paused():
                transport.resume_reading()
        return took
