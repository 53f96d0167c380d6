"""Structured logs, with the id of the request that each line is about."""

import contextvars
import logging
import sys
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor

from release_catalog.console import printable, printable_lines

# The id of the current request, which its client gets.
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id")


def configure(level: str, form: str) -> None:
    """Log to standard error as JSON lines or as text; `auto` is text on a terminal."""
    prepare: list[Processor] = [
        _of_request,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    shown = _text() if form == "text" or (form == "auto" and sys.stderr.isatty()) else _json()
    structlog.configure(
        processors=[*prepare, *shown],
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


def _of_request(_logger: Any, _method: str, entry: EventDict) -> EventDict:
    if id_ := request_id.get(None):
        entry["request_id"] = id_
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
