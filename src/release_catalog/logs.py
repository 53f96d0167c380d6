"""Structured logs: a line for each request, and errors under the id that the client was told."""

import logging
import sys
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import Processor

from release_catalog.domain import ids

_log = structlog.get_logger()


def configure(level: str, form: str) -> None:
    """Log to standard error as JSON lines or as text; `auto` is text on a terminal."""
    shown: list[Processor] = [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    if form == "text" or (form == "auto" and sys.stderr.isatty()):
        shown = [structlog.dev.ConsoleRenderer()]
    prepare: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*prepare, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=prepare, processors=[remove, *shown])
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for quiet in ("pymongo", "asyncio"):
        logging.getLogger(quiet).setLevel(logging.WARNING)


class Requests:
    """Gives each request an id, which stands in its log lines and in the header `x-request-id`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and log how it was answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, began, status = ids.new(), time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, answer)
            finally:
                took = round((time.perf_counter() - began) * 1000, 2)
                _log.info("request", method=scope["method"], path=scope["path"], status=status, milliseconds=took)
