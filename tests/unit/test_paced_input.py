"""Input of a connection in pieces: whole and in order, and never too much at once."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.server.connection_limit import MAX_EXTRA_REST_SECONDS, NetworkTurns, PacedInput


class Transport:
    """A transport that notes whether it is read from."""

    def __init__(self) -> None:
        self.reading, self.closing, self.aborted = True, False, False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = self.aborted = True

    async def read_again(self) -> int:
        """Wait until the transport is read from; the turns of the event loop that took."""
        turns = 0
        while not self.reading:
            await asyncio.sleep(0)
            turns += 1
        return turns


@given(st.lists(st.binary(max_size=50)))
def test_input_arrives_whole_and_in_order_in_small_pieces(chunks: list[bytes]) -> None:
    async def run() -> None:
        pieces: list[bytes] = []
        transport: Any = Transport()
        given = PacedInput(pieces.append, 8, asyncio.get_running_loop(), lambda: False)
        for chunk in chunks:
            given.feed(chunk, transport)
        await transport.read_again()
        assert b"".join(pieces) == b"".join(chunks)
        assert max(map(len, pieces), default=0) <= 8

    asyncio.run(run())


async def test_others_run_between_two_pieces() -> None:
    pieces: list[bytes] = []
    transport: Any = Transport()
    PacedInput(pieces.append, 1, asyncio.get_running_loop(), lambda: False).feed(b"x" * 100, transport)
    assert await transport.read_again() >= 100
    assert len(pieces) == 100


async def test_a_piece_that_takes_long_is_followed_by_a_rest() -> None:
    now, rests = 0.0, []

    def slow(_: bytes) -> None:
        nonlocal now
        now += 0.002

    class Loop:
        def call_later(self, seconds: float, call: Any, *arguments: Any) -> asyncio.TimerHandle:
            rests.append(round(seconds, 6))
            return asyncio.get_running_loop().call_later(0, call, *arguments)

    transport, loop = Transport(), Loop()
    paced = PacedInput(slow, 8, loop, lambda: False, lambda: now)  # type: ignore[arg-type]
    paced.feed(b"x" * 20, transport)  # type: ignore[arg-type]
    await transport.read_again()
    assert rests == [0.0, 0.008, 0.008, 0.008]


async def test_reading_stays_paused_where_the_protocol_wants_no_more_and_ends_with_the_connection() -> None:
    pieces: list[bytes] = []
    transport: Any = Transport()
    paused = PacedInput(pieces.append, 1, asyncio.get_running_loop(), lambda: True)
    paused.feed(b"xyz", transport)
    for _ in range(10):
        await asyncio.sleep(0)
    assert (pieces, transport.reading) == ([b"x", b"y", b"z"], False)
    paused.feed(b"xyz", transport)
    paused.close()
    await asyncio.sleep(0)
    assert len(pieces) == 3


class Network:
    """Connections of one network on a loop whose time is made up: pieces take time, and rests pass by `wait`."""

    def __init__(self) -> None:
        self.now, self.turns = 0.0, NetworkTurns()
        self.rests: list[float] = []
        self.due: Any = None
        # What was handled, by connection.
        self.handled: list[str] = []
        self.transports: dict[str, Any] = {}

    def call_later(self, seconds: float, call: Any, *arguments: Any) -> Any:
        assert self.due is None, "one timer is enough"
        self.rests.append(round(seconds, 6))
        self.due = (call, arguments)
        return self

    def connection(self, name: str, seconds: float) -> Callable[[bytes], None]:
        """Return how a connection is fed, of which every piece of up to eight bytes takes so long."""

        def handle(_: bytes) -> None:
            self.now += seconds
            self.handled.append(name)

        transport: Any = Transport()
        paced = PacedInput(handle, 8, self, lambda: False, lambda: self.now, self.turns)  # type: ignore[arg-type]
        self.transports[name] = transport
        return lambda data: paced.feed(data, transport)

    def wait(self) -> list[str]:
        """Let the next turn come; return what is handled in it."""
        before = len(self.handled)
        call, arguments = self.due
        self.due = None
        call(*arguments)
        return self.handled[before:]


def test_the_connections_of_a_network_share_its_rests() -> None:
    network = Network()
    feeds = [network.connection(str(number), 0.01) for number in range(200)]
    for feed in feeds:
        feed(b"x" * 24)
    turns = [network.wait() for _ in range(600)]
    assert turns == [[str(number)] for number in range(200)] * 3, "one a turn, and each in its turn"
    assert network.rests[0] == 0
    assert set(network.rests[1:]) == {0.04}, "four fifths of the time"
    assert all(transport.reading for transport in network.transports.values())
    assert network.wait() == []
    assert network.due is None


def test_small_inputs_are_handled_while_their_network_rests() -> None:
    network = Network()
    for number in range(50):
        network.connection(str(number), 0.01)(b"x" * 24)
    network.wait()
    other = network.connection("other", 0.0001)
    for _ in range(100):
        other(b"x" * 4)
    assert network.handled[1:] == ["other"] * 100
    assert network.transports["other"].reading
    # More than that waits, and a whole piece without a backlog does so too.
    other(b"x" * 8)
    assert (network.handled[101:], network.transports["other"].reading) == ([], False)


def test_a_long_body_gets_a_piece_in_every_turn() -> None:
    network = Network()
    for number in range(50):
        network.connection(str(number), 0.01)(b"x" * 800)
    network.connection("body", 0.0001)(b"x" * 64)
    for _ in range(50):
        network.wait()
    assert network.wait() == ["body", "0"]
    assert [network.wait()[0] for _ in range(7)] == ["body"] * 7
    assert network.transports["body"].reading


def test_pieces_that_do_not_take_long_end_a_turn_together_and_let_all_go_on() -> None:
    network = Network()
    for number in range(10):
        network.connection(str(number), 0.0006)(b"x" * 32)
    turns = [network.wait() for _ in range(20)]
    assert max(map(len, turns)) == 2
    assert set(network.rests) == {0.0}
    assert sorted(network.handled) == sorted(map(str, list(range(10)) * 4))


def test_inputs_that_took_long_are_rested_for_and_keep_nobody_from_a_turn() -> None:
    network = Network()
    slow = network.connection("slow", 0.01)
    slow(b"x")
    assert network.rests == [0.04]
    # Where that was no accident, its inputs wait however small they are.
    slow(b"x")
    slow(b"x")
    assert network.handled == ["slow"] * 2
    # Others may take a little more of a rest together, for which the next one is longer.
    for number in range(100):
        network.connection(str(number), 0.01)(b"x")
    assert network.handled[2:] == [str(number) for number in range(6)]
    assert network.wait() == ["slow"]
    assert network.rests[1:] == [0.32], f"no longer than {MAX_EXTRA_REST_SECONDS}, and what two pieces more add"
    for number in range(6, 100):
        assert network.wait() == [str(number)]
    assert network.wait() == []
    assert network.due is None


def test_connections_that_are_gone_or_fail_hold_up_nobody() -> None:
    network = Network()
    for name in ("closing", "failing", "last"):
        network.connection(name, 0.01)(b"x" * 24)
    network.transports["closing"].closing = True
    network.handled = Failing()
    with pytest.raises(ValueError, match="failing"):
        network.wait()
    assert network.transports["failing"].aborted
    assert network.wait() == ["last"]


class Failing(list[str]):
    """A list that does not take one of the names."""

    def append(self, name: str) -> None:
        if name == "failing":
            raise ValueError(name)
        super().append(name)
