"""The choice of the connection to close for a new one."""

import asyncio
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.server.connection_limit import (
    GRACE_SECONDS,
    Connection,
    ConnectionLimit,
    extension,
    identified,
)

A, B = "192.0.2.1", "198.51.100.1"


class Door:
    """A limit of connections by name, which notes whom it closes."""

    def __init__(self, limit: int, spare: int = 0) -> None:
        self.now = 100.0
        self.limit = ConnectionLimit(lambda: limit, spare=spare, clock=lambda: self.now)
        self.closed: list[str] = []

    def opened(self, name: str, address: str = A, *, known: bool = False, busy: bool = False) -> Connection:
        self.now += 0.001
        connection = self.limit.add(address, lambda: self.closed.append(name))
        if known or busy:
            connection.busy()
        if known:
            connection.identified()
            if not busy:
                connection.idle()
        return connection


def test_the_oldest_idle_connection_goes_first() -> None:
    door = Door(50)
    for number in range(55):
        door.opened(f"idle {number}")
    assert door.closed == [f"idle {number}" for number in range(5)]
    assert door.limit.count == 50


def test_idle_connections_of_known_clients_go_after_those_that_were_silent_for_a_while() -> None:
    door = Door(4)
    door.opened("known", known=True)
    door.opened("busy", busy=True)
    door.opened("silent")
    door.opened("answered", known=True, busy=True)
    door.now += GRACE_SECONDS
    for name in ("first", "second", "third", "fourth"):
        door.opened(name)
    # A new connection has a moment to say who it is, even where others come after it.
    assert door.closed == ["silent", "known", "first", "second"]
    door.now += GRACE_SECONDS
    for name in ("fifth", "sixth"):
        door.opened(name, known=True, busy=True)
    assert door.closed[4:] == ["third", "fourth"]
    door.opened("seventh")
    assert door.closed[6:] == ["busy"], "whose credentials are still being checked"
    door.opened("eighth")
    assert door.closed[7:] == ["seventh"]


def test_spare_connections_are_accepted_while_all_serve_known_clients() -> None:
    door = Door(3, spare=2)
    for number in range(3):
        door.opened(f"busy {number}", known=True, busy=True)
    door.opened("first")
    door.opened("second", busy=True)
    assert door.closed == []
    door.opened("third")
    assert door.closed == ["first"]
    door.opened("fourth", known=True, busy=True)
    assert door.closed == ["first", "third"]
    door.opened("fifth", known=True, busy=True)
    assert door.closed == ["first", "third", "second"]
    door.opened("sixth")
    assert door.closed == ["first", "third", "second", "sixth"], "it alone answers nobody"
    assert door.limit.count == 5


def test_an_address_pushes_out_its_own_connections() -> None:
    door = Door(10)
    mine = [door.opened("mine", B, busy=busy) for busy in (True, False)]
    for number in range(50):
        door.opened(f"other {number}", A, busy=number % 2 == 0)
    assert "mine" not in door.closed
    assert door.limit.count == 10
    # One that holds little may have an idle one of theirs in any case.
    door.opened("again", B)
    assert "mine" not in door.closed
    for connection in mine:
        connection.gone()
        connection.gone()
    assert door.limit.count == 8


@pytest.mark.parametrize("known", [True, False])
def test_active_connections_of_others_stay_whoever_comes(known: bool) -> None:
    door = Door(10)
    for number in range(5):
        door.opened(f"mine {number}", B, known=known, busy=True)
    for number in range(100):
        door.opened(f"other {number}", A, known=True, busy=True)
    assert not [name for name in door.closed if name.startswith("mine")]


def test_connections_of_one_ipv6_network_are_those_of_one_address() -> None:
    door = Door(4)
    door.opened("mine", A)
    for number in range(10):
        door.opened(f"other {number}", f"2001:db8::{number + 1:x}")
    assert "mine" not in door.closed


async def test_connections_of_a_network_share_turns_that_outlive_them_while_it_rests() -> None:
    door = Door(9)
    first, second, other = door.opened("first"), door.opened("second"), door.opened("other", B)
    assert first.turns is second.turns is not other.turns
    first.turns.charge(0.001, asyncio.get_running_loop())
    seen = weakref.ref(first.turns)
    for connection in (first, second):
        connection.gone()
    del first, second, connection
    again = door.opened("again")
    assert again.turns is seen()
    again.gone()
    del again
    await asyncio.sleep(0.05)
    assert seen() is None


def test_identified_marks_the_client_of_a_connection_as_known() -> None:
    door = Door(4)
    connection = door.opened("one", busy=True)
    identified({"type": "http"})
    identified({"type": "http", "extensions": {}})
    known = [connection.known]
    identified({"type": "http", "extensions": extension(connection.identified)})
    known.append(connection.known)
    connection.forgotten()
    known.append(connection.known)
    assert known == [False, True, False]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "idle", "busy", "identified", "forgotten", "gone"]),
        st.integers(0, 30),
        st.sampled_from([A, B, "203.0.113.1"]),
        st.floats(0, 2),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 5), st.integers(0, 2))
def test_any_order_of_steps_keeps_the_limit_and_closes_no_one_who_is_served(
    steps: list[tuple[str, int, str, float]], most: int, spare: int
) -> None:
    now = 0.0
    limit = ConnectionLimit(lambda: most, spare=spare, clock=lambda: now)
    open_: list[Connection] = []
    served: set[Connection] = set()

    def close(connection: list[Any]) -> None:
        closed.append(connection)

    closed: list[list[Any]] = []
    for step, number, address, seconds in steps:
        now += seconds
        if step == "open":
            closed.clear()
            cell: list[Any] = []
            connection = limit.add(address, lambda cell=cell: close(cell))  # type: ignore[misc]
            cell.append(connection)
            connection.close = lambda cell=cell: close(cell)  # type: ignore[misc]
            open_.append(connection)
            assert len(closed) <= 1
            for [victim] in closed:
                assert victim not in served
                open_.remove(victim)
        elif open_:
            connection = open_[number % len(open_)]
            if step == "identified" and connection.known and connection not in served:
                continue  # a client shows credentials during a request
            getattr(connection, step)()
            if step == "gone":
                open_.remove(connection)
            served.discard(connection)
            if connection.known and step in {"busy", "identified"}:
                served.add(connection)
        assert limit.count == len(open_) <= most + spare
    for connection in open_:
        connection.gone()
    assert limit.count == 0
    assert not limit._networks
