"""The monitor of database commands: it adds each to the record of the request that sends it.

The driver calls it in the task that sends the command, so the record is that of the task. A lookup that several
requests share counts towards the one that began it. A Motor database that an application brings is not monitored.
"""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from release_catalog import request_record
from release_catalog.request_record import DatabaseCommand

# The parts of a command's document that say which documents it is about.
_QUESTIONS = {
    "find": ("filter", "sort"),
    "aggregate": ("pipeline",),
    "count": ("query",),
    "distinct": ("query",),
    "findAndModify": ("query", "sort"),
    "update": ("updates",),
    "delete": ("deletes",),
}
# Of a list with more entries, and of nested objects, only this much is shown.
_MAX_ENTRIES, _MAX_DEPTH = 20, 12
_NAME = re.compile(r"\$?[A-Za-z_][A-Za-z0-9_.]{0,59}")
_NOTHING: Mapping[str, Any] = {}


class CommandMonitor(CommandListener):
    """Adds commands to the records of requests, with the description of at most `max_steps` of each request."""

    def __init__(self, max_steps: int = request_record.MAX_STEPS) -> None:
        self._max_steps = max_steps
        # The commands under way, by their ids.
        self._started: dict[int, Mapping[str, Any]] = {}

    def started(self, event: CommandStartedEvent) -> None:
        """Keep the command of a request until it ends."""
        if request_record.current.get() is not None:
            self._started[event.request_id] = event.command

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Add the command to its request."""
        if (command := self._started.pop(event.request_id, None)) is not None:
            self._add(event, command, _documents(event.reply))

    def failed(self, event: CommandFailedEvent) -> None:
        """Add the command to its request."""
        if (command := self._started.pop(event.request_id, None)) is not None:
            self._add(event, command, None)

    def _add(
        self,
        event: CommandSucceededEvent | CommandFailedEvent,
        command: Mapping[str, Any],
        documents: int | None,
    ) -> None:
        record = request_record.current.get()
        if record is None:
            return
        name = event.command_name
        collection = command.get("collection") if name == "getMore" else command.get(name)
        # An inserted document is of no use here, and may be large.
        question = command if name in _QUESTIONS else _NOTHING
        place = collection if isinstance(collection, str) else ""
        seconds = event.duration_micros / 1e6
        step = DatabaseCommand(name, place, seconds, time.perf_counter(), documents, question)
        record.add_command(step, self._max_steps)


def _documents(reply: Mapping[str, Any]) -> int:
    """Return the number of documents that a command returned or changed."""
    cursor = reply.get("cursor")
    if isinstance(cursor, Mapping):
        batch = cursor.get("firstBatch", cursor.get("nextBatch", ()))
        return len(batch)
    count = reply.get("n", 0)
    return int(count) if isinstance(count, int | float) else 0


def query_shape(command: DatabaseCommand) -> Any:
    """Return the names of fields and operators in a command, without any value; None if it asks nothing."""
    question = command.question
    if changes := question.get("updates") or question.get("deletes"):
        # What is stored may have keys that a client chose.
        return {"q": _shape(changes[0].get("q"), _MAX_DEPTH)} if changes else None
    parts = {name: question[name] for name in _QUESTIONS.get(command.name, ()) if name in question}
    return {name: _shape(value, _MAX_DEPTH) for name, value in parts.items()} or None


def _shape(value: Any, depth: int, *, of_field: bool = False) -> Any:
    """Return the shape of a condition or a stage. An object `of_field` without operators is a value."""
    if isinstance(value, Mapping):
        if depth == 0 or (of_field and not all(str(name).startswith("$") for name in value)):
            return "?"
        return {
            name: "?" if name == "$literal" else _shape(inner, depth - 1, of_field=not name.startswith("$"))
            for name, inner in [*value.items()][:_MAX_ENTRIES]
            if _NAME.fullmatch(name)
        }
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        # Values in a list tell only their number. Conditions and stages are objects.
        objects = [entry for entry in value[:_MAX_ENTRIES] if isinstance(entry, Mapping | list)]
        if depth == 0 or of_field or not objects:
            return f"{len(value)} values"
        return [_shape(entry, depth - 1) for entry in objects]
    return "?"
