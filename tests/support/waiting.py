"""Waiting for conditions instead of for some time."""

import asyncio
from collections.abc import Callable
from typing import Any


async def loop_turns(count: int = 20) -> None:
    """Let tasks go on that wait for nothing but their turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Return when `condition` is true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  threads, sockets and databases know no events
            await asyncio.sleep(0.01)
