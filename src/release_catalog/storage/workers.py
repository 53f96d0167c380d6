"""The background workers of an application, by name, so that somebody can tell whether they all still run."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Workers:
    """The tasks that run for as long as their application."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start a worker."""
        self._tasks[name] = task = asyncio.create_task(work, name=name)
        return task

    def running(self) -> dict[str, bool]:
        """Return for each worker that was started whether it still runs."""
        return {name: not task.done() for name, task in self._tasks.items()}
