"""The monitor of database commands: it adds each to the record of the request that sends it.

The driver calls it in the task that sends the command, so the record is that of the task. A lookup that several
requests share counts towards the one that began it. A Motor database that an application brings is not monitored.
"""

import re
import time
from collections.abc import Mapping
from typing import Any

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from release_catalog import request_record
from release_catalog.request_record import DatabaseCommand, RequestRecord

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
# A connection that is made in the task of a request is not made for it alone.
_OF_CONNECTIONS = frozenset("hello isMaster ismaster saslStart saslContinue authenticate getnonce".split())
# The operators whose operands are conditions or stages; those of others are values.
_COMBINES = frozenset("$and $or $nor $not $elemMatch $match $facet $lookup $unionWith $graphLookup $sort".split())
# Of a list with more entries, and of nested objects, only this much is shown.
_MAX_ENTRIES, _MAX_DEPTH = 20, 12
_NAME = re.compile(r"\$?[A-Za-z_][A-Za-z0-9_.]{0,59}")
_NOTHING: Mapping[str, Any] = {}


class CommandMonitor(CommandListener):
    """Adds commands to the records of requests, with the description of at most `max_steps` of each request."""

    def __init__(self, max_steps: int = request_record.MAX_STEPS) -> None:
        self._max_steps = max_steps
        # The commands under way, by their ids, with the record of their request.
        self._started: dict[int, tuple[RequestRecord, Mapping[str, Any]]] = {}

    def started(self, event: CommandStartedEvent) -> None:
        """Keep the command of a request until it ends."""
        record = request_record.current.get()
        if record is not None and event.command_name not in _OF_CONNECTIONS:
            self._started[event.request_id] = record, event.command

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Add the command to its request."""
        if begun := self._started.pop(event.request_id, None):
            self._add(*begun, event, _count_documents(event.reply))

    def failed(self, event: CommandFailedEvent) -> None:
        """Add the command to its request."""
        if begun := self._started.pop(event.request_id, None):
            self._add(*begun, event, None)

    def _add(
        self,
        record: RequestRecord,
        command: Mapping[str, Any],
        event: CommandSucceededEvent | CommandFailedEvent,
        documents: int | None,
    ) -> None:
        name = event.command_name
        collection = command.get("collection") if name == "getMore" else command.get(name)
        place = collection if type(collection) is str else ""
        # An inserted document is of no use here, and may be large.
        question = command if name in _QUESTIONS else _NOTHING
        seconds = event.duration_micros / 1e6
        step = name, event.database_name, place, seconds, time.perf_counter(), documents, question
        record.add_command(DatabaseCommand._make(step), self._max_steps)


def _count_documents(reply: Mapping[str, Any]) -> int:
    """Return the number of documents that a command returned or changed."""
    if cursor := reply.get("cursor"):
        return len(cursor.get("firstBatch") or cursor.get("nextBatch") or ())
    count = reply.get("n", 0)
    return count if type(count) is int else 0


def query_shape(command: DatabaseCommand) -> Any:
    """Return the names of fields and operators in a command, without any value; None if it asks nothing."""
    question = command.question
    if changes := question.get("updates") or question.get("deletes"):
        # What is stored may have keys that a client chose.
        return {"q": _shape(changes[0].get("q"), _MAX_DEPTH)} if changes else None
    parts = {name: question[name] for name in _QUESTIONS.get(command.name, ()) if name in question}
    return {name: _shape(value, _MAX_DEPTH) for name, value in parts.items()} or None


def _shape(value: Any, depth: int) -> Any:
    """Return the shape of a condition, a stage or a list of them; anything else is a value."""
    if depth == 0:
        return "?"
    if isinstance(value, Mapping):
        return {
            name: _shape_of_operand(name, inner, depth - 1)
            for name, inner in [*value.items()][:_MAX_ENTRIES]
            if _NAME.fullmatch(name)
        }
    if isinstance(value, list):
        return [_shape(entry, depth - 1) for entry in value[:_MAX_ENTRIES]]
    return "?"


def _shape_of_operand(name: str, value: Any, depth: int) -> Any:
    if name in _COMBINES:
        return _shape(value, depth)
    # Below the name of a field, an object is a condition if it has operators. Its other keys may be a client's.
    if not name.startswith("$") and isinstance(value, Mapping) and all(str(key).startswith("$") for key in value):
        return _shape(value, depth)
    return f"{len(value)} values" if isinstance(value, list) else "?"
