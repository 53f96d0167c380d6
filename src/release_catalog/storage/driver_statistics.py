"""Counters of the driver: database commands and the connections of the pool.

They are plain numbers: the driver calls this several times for each command.
"""

import asyncio
import dataclasses
from collections.abc import Mapping

from pymongo import monitoring

_MAX_ENDED = 1_000


@dataclasses.dataclass(slots=True)
class CommandCount:
    """The commands of one name that have ended, how many of them failed, and the seconds they took together."""

    count: int = 0
    failed: int = 0
    seconds: float = 0.0


class DriverStatistics(monitoring.CommandListener, monitoring.ConnectionPoolListener):
    """Counts the commands of one client, and its connections."""

    def __init__(self) -> None:
        self._commands: dict[str, CommandCount] = {}
        self._waiting: set[asyncio.Task[object] | None] = set()
        self.open = self.in_use = 0
        # Requests for a connection that got none.
        self.refused = 0

    @property
    def commands(self) -> Mapping[str, CommandCount]:
        """Return the counts by the names of commands, which are those that this program sends."""
        return self._commands.copy()

    @property
    def waiting(self) -> int:
        """Return the number of tasks that wait for a connection."""
        self._forget_ended()
        return len(self._waiting)

    def _forget_ended(self) -> None:
        # The driver does not tell when a task that waits is cancelled.
        self._waiting = {task for task in self._waiting.copy() if task and not task.done()}

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Ignore the beginning of a command."""

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Count a command."""
        self._ended(event)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Count a command, and its failure."""
        self._ended(event).failed += 1

    def _ended(self, event: monitoring.CommandSucceededEvent | monitoring.CommandFailedEvent) -> CommandCount:
        name = event.command_name
        counted = self._commands.get(name)
        if counted is None:
            counted = self._commands[name] = CommandCount()
        counted.count += 1
        counted.seconds += event.duration_micros / 1_000_000
        return counted

    def connection_created(self, _event: monitoring.ConnectionCreatedEvent) -> None:
        """Count an open connection."""
        self.open += 1

    def connection_closed(self, _event: monitoring.ConnectionClosedEvent) -> None:
        """Stop counting a connection."""
        self.open -= 1

    def connection_check_out_started(self, _event: monitoring.ConnectionCheckOutStartedEvent) -> None:
        """Note that a task waits for a connection."""
        self._waiting.add(_task())
        if len(self._waiting) > _MAX_ENDED:
            self._forget_ended()

    def connection_check_out_failed(self, _event: monitoring.ConnectionCheckOutFailedEvent) -> None:
        """Note that a task got no connection."""
        self._waiting.discard(_task())
        self.refused += 1

    def connection_checked_out(self, _event: monitoring.ConnectionCheckedOutEvent) -> None:
        """Note that a task got a connection."""
        self._waiting.discard(_task())
        self.in_use += 1

    def connection_checked_in(self, _event: monitoring.ConnectionCheckedInEvent) -> None:
        """Note that a connection is free again."""
        self.in_use -= 1

    def connection_ready(self, event: monitoring.ConnectionReadyEvent) -> None:
        """Ignore the end of a handshake."""

    def pool_created(self, event: monitoring.PoolCreatedEvent) -> None:
        """Ignore a new pool."""

    def pool_ready(self, event: monitoring.PoolReadyEvent) -> None:
        """Ignore a pool that may be used."""

    def pool_cleared(self, event: monitoring.PoolClearedEvent) -> None:
        """Ignore a cleared pool: each of its connections is closed with an event of its own."""

    def pool_closed(self, event: monitoring.PoolClosedEvent) -> None:
        """Ignore a closed pool, likewise."""


def _task() -> "asyncio.Task[object] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:  # outside of an event loop
        return None
