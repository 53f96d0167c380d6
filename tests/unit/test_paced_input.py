"""Input of a connection in pieces: whole and in order, and never too much at once."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from release_catalog.server.paced_input import PacedInput


class Transport:
    """A transport that notes whether it is read from."""

    def __init__(self) -> None:
        self.reading, self.closing = True, False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

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
