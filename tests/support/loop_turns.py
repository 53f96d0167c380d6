"""The input of connections between two turns of the event loop for others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from release_catalog.server.connection_limit import PacedInput


@contextlib.asynccontextmanager
async def bytes_by_turn(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[int]]:
    """The numbers of bytes that the protocols handle between two turns of the loop for others."""
    turns = [0]
    init = PacedInput.__init__

    def counted(self: PacedInput, receive: Callable[[bytes], None], *arguments: Any, **named: Any) -> None:
        def receive_counted(data: bytes) -> None:
            turns[-1] += len(data)
            receive(data)

        init(self, receive_counted, *arguments, **named)

    async def begin_turns() -> None:
        while True:
            await asyncio.sleep(0)
            if turns[-1]:
                turns.append(0)

    monkeypatch.setattr(PacedInput, "__init__", counted)
    beginning = asyncio.create_task(begin_turns())
    try:
        yield turns
    finally:
        beginning.cancel()
