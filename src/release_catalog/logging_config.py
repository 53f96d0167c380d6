"""Structured logs, with the id of the request that each line is about."""

import datetime
import logging
import sys
from typing import Any, NamedTuple, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

from release_catalog import request_record
from release_catalog.console import printable, printable_lines

_LEVELS = logging.getLevelNamesMapping()

_log = structlog.get_logger()


class _JsonLines(NamedTuple):
    """The configuration of JSON lines: see `write`."""

    processors: list[Processor]
    minimum: int
    stream: TextIO


_json_lines: _JsonLines | None = None


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
    _json_lines = None if is_text else _JsonLines(processors, _LEVELS[level.upper()], sys.stderr)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
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


def write(level: str, event: str, entry: EventDict) -> None:
    """Log an entry of plain values; JSON takes a quarter of the time that the loggers of other modules take."""
    lines = _json_lines
    # Others may have replaced the processors, as tests do.
    if lines is None or structlog.get_config()["processors"] is not lines.processors or len(lines.processors) == 1:
        getattr(_log, level)(event, **entry)
    elif _LEVELS[level.upper()] >= lines.minimum:
        now = datetime.datetime.now(datetime.UTC)
        line = orjson.dumps({**entry, "event": event, "level": level, "timestamp": now}, option=orjson.OPT_UTC_Z)
        lines.stream.write(line.decode() + "\n")


def _of_request(_logger: Any, _method: str, entry: EventDict) -> EventDict:
    if (record := request_record.current.get()) and "request_id" not in entry:
        entry["request_id"] = record.request_id
    return entry


def _text() -> list[Processor]:
    colors = sys.stderr.isatty()
    console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    return [structlog.processors.format_exc_info, _printable, console]


def _printable(_logger: Any, _method: str, entry: EventDict) -> EventDict:
    for key, value in entry.items():
        if isinstance(value, str):
            entry[key] = printable_lines(value) if key == "exception" else printable(value)
    return entry


def _json() -> list[Processor]:
    # Local variables contain data from clients, and the database's password.
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer(_dumps)]


def _dumps(entry: Any, **_: Any) -> str:
    return orjson.dumps(entry, default=repr).decode()
