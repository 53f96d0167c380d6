"""Limits on connections: their number, and how long their input may hold the event loop.

If a new connection exceeds the number, the least useful one is closed. Idle connections go first, and one that
answers a known caller is never closed for another. Addresses that hold more than their share go before the others,
so that nobody pushes out the connections of somebody else.

Input goes to protocols in small pieces, with rests after pieces that took long. A protocol handles all that it is
given before anything else runs: a client that sends thousands of tiny frames or pipelined requests at once would
hold the event loop for a tenth of a second, again and again. The rests are those of a network, not of a
connection: with many connections, a client gets no more of the loop than with one.
"""

import asyncio
import collections
import dataclasses
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from release_catalog.fair_share import client_network

# An idle connection whose client is not known yet has this long to authenticate. After that, it is closed before
# the idle connections of known clients; until then, after them.
GRACE_SECONDS = 1.0
# This many more are accepted before connections are closed that may be about to authenticate. So /livez answers
# even if every connection answers a known caller.
SPARE = 16
_EXTENSION = "release_catalog.identified"
# States of a connection; those in the last one are never closed for another connection.
_IDLE_UNKNOWN, _IDLE_KNOWN, _BUSY_UNKNOWN, _BUSY_KNOWN = range(4)
# The order of closing: the state of a connection, and the time it has been in it.
_ORDER = ((_IDLE_UNKNOWN, GRACE_SECONDS), (_IDLE_KNOWN, 0.0), (_IDLE_UNKNOWN, 0.0), (_BUSY_UNKNOWN, 0.0))
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


class Connection:
    """A connection as the limit counts it: idle at first, with an unknown client."""

    __slots__ = ("_limit", "close", "known", "network", "since", "state", "turns")

    def __init__(
        self, limit: "ConnectionLimit", network: str, turns: NetworkTurns, close: Callable[[], None]
    ) -> None:
        self._limit = limit
        self.network = network
        self.turns = turns
        self.close = close
        self.known = False
        self.state = _IDLE_UNKNOWN
        # The time when it entered its state.
        self.since = 0.0

    def idle(self) -> None:
        """Note that no request is in progress."""
        self._limit.move(self, _IDLE_KNOWN if self.known else _IDLE_UNKNOWN)

    def busy(self) -> None:
        """Note that a request is in progress."""
        self._limit.move(self, _BUSY_KNOWN if self.known else _BUSY_UNKNOWN)

    def identified(self) -> None:
        """Note that its client has shown valid credentials, during a request."""
        if not self.known:
            self.known = True
            self.busy()

    def forgotten(self) -> None:
        """Note that its client no longer counts as known, because it was asked to leave."""
        self.known = False
        self.idle()

    def gone(self) -> None:
        """Stop counting it."""
        self._limit.remove(self)


@dataclasses.dataclass(slots=True)
class _Network:
    """The connections of one network by state, the longest in a state first; and their number."""

    count: int = 0
    by_state: tuple[dict[Connection, None], ...] = dataclasses.field(default_factory=lambda: ({}, {}, {}, {}))


class ConnectionLimit:
    """Counts connections, and closes one if a new one is too many."""

    def __init__(
        self, limit: Callable[[], int], *, spare: int = SPARE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Allow `limit` connections, and `spare` more if none of them was idle for long."""
        self._limit = limit
        self._spare = spare
        self._clock = clock
        self._networks: dict[str, _Network] = {}
        # They outlive the connections of a network while it rests, and nobody comes out of a rest with a new one.
        self._turns: weakref.WeakValueDictionary[str, NetworkTurns] = weakref.WeakValueDictionary()
        self.count = 0
        # How many were closed for others so far.
        self.closed = 0

    def add(self, address: str | None, close: Callable[[], None]) -> Connection:
        """Count a new connection from `address`; `close` closes it for another one, maybe at once."""
        name = client_network(address)
        connection = Connection(self, name, self._turns.setdefault(name, NetworkTurns()), close)
        network = self._networks.setdefault(connection.network, _Network())
        network.count += 1
        self.count += 1
        connection.since = self._clock()
        network.by_state[connection.state][connection] = None
        over = self.count - self._limit()
        if over > 0:
            self._make_room(connection, urgent=over > self._spare)
        return connection

    def move(self, connection: Connection, state: int) -> None:
        """Put a connection behind the others of a state; do nothing if it is not counted."""
        if network := self._taken(connection):
            connection.state, connection.since = state, self._clock()
            network.by_state[state][connection] = None

    def remove(self, connection: Connection) -> None:
        """Stop counting a connection; do nothing if it is not counted."""
        if network := self._taken(connection):
            network.count -= 1
            self.count -= 1
            if not network.count:
                del self._networks[connection.network]

    def _taken(self, connection: Connection) -> _Network | None:
        network = self._networks.get(connection.network)
        if network is None or connection not in network.by_state[connection.state]:
            return None
        del network.by_state[connection.state][connection]
        return network

    def _make_room(self, newcomer: Connection, *, urgent: bool) -> None:
        """Close a connection of a network with its share or more, or an idle one; if `urgent`, maybe the new."""
        share = self.count / len(self._networks)
        own = self._networks[newcomer.network].count
        full = [network for network in self._networks.values() if network.count >= share]
        others = [network for network in self._networks.values() if own <= network.count < share]
        victim = (
            self._oldest(full, newcomer, _ORDER[: 4 if urgent else 2])
            or self._oldest(others, newcomer, _ORDER[: 3 if urgent else 2])
            or (newcomer if urgent else None)
        )
        if victim:
            self.closed += 1
            self.remove(victim)
            victim.close()

    def _oldest(
        self, networks: Sequence[_Network], newcomer: Connection, order: Iterable[tuple[int, float]]
    ) -> Connection | None:
        now = self._clock()
        for state, seconds in order:
            found = [
                (network.count, -oldest.since, oldest)
                for network in networks
                if (oldest := next(iter(network.by_state[state]), newcomer)) is not newcomer
                and now - oldest.since >= seconds
            ]
            if found:
                return max(found, key=lambda each: each[:2])[-1]
        return None


def identified(scope: Any) -> None:
    """Tell the server that the client of an ASGI scope has shown valid credentials; other servers ignore it."""
    note = scope.get("extensions", {}).get(_EXTENSION)
    if note:
        note()


def extension(note: Callable[[], None]) -> dict[str, Any]:
    """Return the extension of an ASGI scope that `identified` calls."""
    return {_EXTENSION: note}
