"""Structured logs, with the id of the request that each line is about."""

import asyncio
import atexit
import contextlib
import datetime
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor

from release_catalog import request_record
from release_catalog.console import printable, printable_json, printable_lines

_LEVELS = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}

# At most this many lines wait for the end of a turn of the event loop.
_MAX_PENDING = 100

_log = structlog.get_logger()


class Members:
    """Entries that many lines have in common, with their JSON, which is made once."""

    __slots__ = ("entries", "json")

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self.entries = entries
        self.json = orjson.dumps(entries)[1:-1]


class _JsonLines:
    """The writer of `write`, for JSON as `configure` has set it up."""

    def __init__(self, processors: list[Processor], minimum: int, stream: TextIO) -> None:
        self._processors = processors
        self._first = processors[0]
        self.minimum = minimum
        self._stream = stream
        # Text would be encoded a second time. Some streams, such as those of tests, take only text.
        self._bytes: BinaryIO | None = getattr(stream, "buffer", None)
        self._pending: list[bytes] = []

    def is_used(self) -> bool:
        """Return whether the processors are still those of `configure`: others may replace them, as tests do."""
        used = structlog.get_config()["processors"]
        return used is self._processors and used[0] is self._first

    def write(self, level: str, event: str, entry: dict[str, Any], members: Members) -> None:
        """Write a line."""
        entry["event"], entry["level"], entry["timestamp"] = event, level, datetime.datetime.now(datetime.UTC)
        own = orjson.dumps(entry, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
        line = printable_json(b"{%s,%s" % (members.json, own[1:]))
        if self._bytes is None:
            self._stream.write(line.decode())
            return
        # A system call takes as long as making the line, so all lines of a turn of the event loop share one.
        self._pending.append(line)
        if len(self._pending) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # there is no loop
                self.flush()
        elif len(self._pending) >= _MAX_PENDING:
            self.flush()

    def flush(self) -> None:
        """Write the lines of this turn."""
        if self._bytes is not None and self._pending:
            lines = b"".join(self._pending)
            # Lines that can't be written are lost: kept, they would fill the memory.
            self._pending.clear()
            with contextlib.suppress(OSError):
                self._bytes.write(lines)
                self._bytes.flush()


class _LossyStream:
    """Standard error, without errors of its own: a full disk or a closed pipe must fail no request."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


_json_lines: _JsonLines | None = None


@atexit.register
def _flush() -> None:
    if _json_lines:
        _json_lines.flush()


def configure(level: str, form: str) -> None:
    """Log to standard error as JSON lines or as text; `auto` is text on a terminal."""
    global _json_lines  # noqa: PLW0603  as the configuration of structlog
    prepare: list[Processor] = [
        _of_request,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    is_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    shown = _text() if is_text else _json()
    processors = [*prepare, *shown]
    _json_lines = None if is_text else _JsonLines(processors, _LEVELS[level], sys.stderr)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _LossyStream(sys.stderr))),
    )
    # Libraries log through the standard library, which takes five times as long.
    handler = logging.StreamHandler(sys.stderr)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=prepare, processors=[remove, *shown])
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for quiet in ("pymongo", "asyncio"):
        logging.getLogger(quiet).setLevel(logging.WARNING)


def is_logged(level: str) -> bool:
    """Return whether a line of this level may be written."""
    return _json_lines is None or _LEVELS[level] >= _json_lines.minimum or not _json_lines.is_used()


def write(level: str, event: str, entry: dict[str, Any], members: Members) -> None:
    """Log an entry of plain values, which this may change, with `members`.

    As JSON, this takes a tenth of the time that other loggers take.
    """
    if _json_lines is None or not _json_lines.is_used():
        getattr(_log, level)(event, **members.entries, **entry)
    elif _LEVELS[level] >= _json_lines.minimum:
        _json_lines.write(level, event, entry, members)


def _of_request(_logger: Any, _method: str, entry: EventDict) -> EventDict:
    if (record := request_record.current.get()) and "request_id" not in entry:
        entry["request_id"] = record.request_id
    return entry


def _text() -> list[Processor]:
    colors = sys.stderr.isatty()
    console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    return [_without_values(structlog.processors.format_exc_info), _printable, console]


def _printable(_logger: Any, _method: str, entry: EventDict) -> EventDict:
    for key, value in entry.items():
        if isinstance(value, str):
            entry[key] = printable_lines(value) if key == "exception" else printable(value)
    return entry


def _json() -> list[Processor]:
    # Local variables contain data from clients, and the database's password.
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    exceptions = _without_values(structlog.processors.ExceptionRenderer(tracebacks))
    return [exceptions, structlog.processors.JSONRenderer(_dumps)]


def _without_values(render: Processor) -> Processor:
    """Render exceptions, but of the driver's only the code of the server: its message quotes what was sent.

    The event may have the message, too: asyncio tells which exception nobody has awaited.
    """

    def process(logger: Any, method: str, entry: EventDict) -> EventDict:
        messages = {
            message: f"MongoDB's error {error.code}"
            for error in _server_errors(entry.get("exc_info"))
            # As part of another message, in which it may be quoted once more.
            for message in (repr(error), str(error), repr(str(error))[1:-1])
            if message
        }
        rendered = render(logger, method, entry)
        return _replaced(rendered, messages) if messages else rendered  # type: ignore[return-value]

    return process


def _server_errors(info: Any) -> Iterator[Any]:
    """Yield the errors of the database in a chain of exceptions."""
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    waiting, seen = [error], set[int]()
    while waiting:
        error = waiting.pop()
        if not isinstance(error, BaseException) or id(error) in seen:
            continue
        seen.add(id(error))
        if type(error).__module__.startswith("pymongo.") and hasattr(error, "code"):
            yield error
        waiting += [error.__cause__, error.__context__, *getattr(error, "exceptions", ())]


def _replaced(value: Any, messages: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for message, code in messages.items():
            value = value.replace(message, code)
        return value
    if isinstance(value, list):
        return [_replaced(entry, messages) for entry in value]
    return (
        {name: _replaced(entry, messages) for name, entry in value.items()} if isinstance(value, dict) else value
    )


def _dumps(entry: Any, **_: Any) -> str:
    return printable_json(orjson.dumps(entry, default=repr)).decode()
