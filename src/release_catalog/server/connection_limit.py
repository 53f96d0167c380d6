"""The limit on connections: if a new one exceeds it, close the least useful connection.

Idle connections go first, and one that answers a known caller is never closed for another. Addresses that hold
more than their share go before the others, so that nobody pushes out the connections of somebody else. The
connections of a network also share the turns of their input: see paced_input.
"""

import dataclasses
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from release_catalog.fair_share import client_network
from release_catalog.server.paced_input import NetworkTurns

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
