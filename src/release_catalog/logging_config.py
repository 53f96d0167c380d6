"""Structured logs: a line for each request, and errors under the request id that the client got."""

import contextvars
import logging
import sys
import time
from typing import Any

import orjson
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import EventDict, Processor

from release_catalog.console import printable, printable_lines
from release_catalog.domain import ids

# The conventional status of requests whose client was gone before the response.
CLIENT_GONE = 499

# The id of the current request.
_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id")


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
    if id_ := _id.get(None):
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


class Requests:
    """A middleware that gives each request an id, for its log lines and the header `x-request-id`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        # Made once, because making a logger takes as long as writing a line.
        self._log = structlog.get_logger().bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and log its status and duration."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, began, status = ids.new(), time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        before = _id.set(request_id)
        try:
            await self.app(scope, receive, answer)
        except ClientDisconnect:
            status = CLIENT_GONE
        finally:
            took = round((time.perf_counter() - began) * 1000, 2)
            path = scope["raw_path"].decode("latin-1")
            self._log.info("request", method=scope["method"], path=path, status=status, milliseconds=took)
            _id.reset(before)
