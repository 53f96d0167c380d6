"""How many a process streams to at once, and when that has to end."""

import asyncio
import contextlib
from collections.abc import Iterator


class Seats:
    """One for each WebSocket and each event stream."""

    def __init__(self, left: int = 10_000) -> None:
        self.left = left
        # Set when the server shuts down: it waits for event streams to end.
        self.over = asyncio.Event()

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Hold one for as long as the context lasts."""
        self.left -= 1
        try:
            yield
        finally:
            self.left += 1
