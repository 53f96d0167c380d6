"""The uvicorn server that runs the application."""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from release_catalog.graphql_http import websocket
from release_catalog.graphql_http.subscriber_limit import SubscriberLimiter
from release_catalog.server import connection_limit, http_protocol
from release_catalog.storage.outages import RETRY_SECONDS, UNAVAILABLE

# WebSockets whose clients do not confirm the server's end in this time are closed without a word.
_CLOSING_SECONDS = 3.0
# The time to answer requests that can't go on, before those that have begun are broken off.
_ANSWER_SECONDS = 5.0
# Connections at a time before there is a database.
_EARLY_CONNECTIONS = 100
# The time for the head of a request to a small application.
_RECEIVE_SECONDS = 10.0
# Python's default is 50 times as long.
SWITCH_SECONDS = 0.0001


def server(app: Starlette, grace_seconds: int, seconds: float, connections: int) -> uvicorn.Server:
    """Return a server of the application that stops within `grace_seconds`, after answering current requests.

    See http_protocol.TimeoutHttpProtocol for `seconds`, which bound slow clients. It accepts `connections`
    connections, and those of subscribers on top.
    """
    subscriber_limit: SubscriberLimiter = app.state.subscriber_limit
    limit = connection_limit.ConnectionLimit(lambda: connections + subscriber_limit.used)
    app.state.measured.watch_connections(limit)
    http, sockets = http_protocol.configure_protocols(seconds, limit)
    # While a thread reads a large document (see graphql_http/documents.py), each turn of a request waits this long
    # for it.
    sys.setswitchinterval(SWITCH_SECONDS)
    _allow_files()
    config = uvicorn.Config(
        app,
        http=http,
        ws=sockets,
        log_config=None,
        server_header=False,
        access_log=False,
        # It would take any text for the address of a client, also for that of this machine: see client_address.
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=grace_seconds,
        ws_max_size=websocket.MAX_MESSAGE_BYTES,
        # It would take memory for each subscriber, for messages that are small.
        ws_per_message_deflate=False,
    )
    return _Server(config)


@contextlib.asynccontextmanager
async def alive(listener: socket.socket) -> AsyncIterator[None]:
    """Answer /livez at a socket while the application is not ready yet, and everything else with 503."""
    async with beside(_not_ready, listener.dup(), _EARLY_CONNECTIONS):
        yield


@contextlib.asynccontextmanager
async def beside(app: ASGIApp, listener: socket.socket, connections: int) -> AsyncIterator[None]:
    """Serve a small application at a socket of its own while the context lasts, beside the server."""
    limit = connection_limit.ConnectionLimit(lambda: connections)
    http, _ = http_protocol.configure_protocols(_RECEIVE_SECONDS, limit)
    config = uvicorn.Config(
        app,
        http=http,
        ws="none",
        log_config=None,
        server_header=False,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        limit_concurrency=connections,
    )
    server, log = _Beside(config), logging.getLogger("uvicorn.error")
    level = log.level
    # Its start and its end are not those of the server.
    log.setLevel(logging.WARNING)
    task, ready = asyncio.create_task(server.serve([listener])), asyncio.create_task(server.ready.wait())
    await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    log.setLevel(level)
    try:
        yield
    finally:
        log.setLevel(logging.WARNING)
        server.should_exit = True
        await task
        log.setLevel(level)


async def _not_ready(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        await send({"type": "websocket.close", "code": 1013})
        return
    response: Response = PlainTextResponse("ok")
    if scope["path"] != "/livez":
        error = {"message": UNAVAILABLE.message, "extensions": UNAVAILABLE.extensions}
        body = (
            {"errors": [error]} if scope["path"] == "/graphql" else {"ready": False, "reason": UNAVAILABLE.message}
        )
        response = JSONResponse(body, 503, {"Retry-After": str(RETRY_SECONDS)})
    await response(scope, receive, send)


class _Beside(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the command line, which ends current work."""
        yield


def _allow_files() -> None:
    """Take as many file descriptors as the machine allows: each connection needs one, and 1,024 are usual."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # where there are no such limits
        import resource  # noqa: PLC0415

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # It waits for every response to end, and event streams do not end by themselves.
        state, loop = self.config.app.state, asyncio.get_running_loop()  # type: ignore[union-attr]  # an application
        state.subscriber_limit.closing.set()
        loop.call_later(_CLOSING_SECONDS, self._abort_sockets)
        if state.files:
            # Requests that wait for files then are answered in the time that is left.
            grace = self.config.timeout_graceful_shutdown or 0
            loop.call_later(max(0, grace - _ANSWER_SECONDS), state.files.stopping.set)
        await super().shutdown(sockets)

    def _abort_sockets(self) -> None:
        for connection in list(self.server_state.connections):
            if not isinstance(connection, http_protocol.TimeoutHttpProtocol):
                connection.transport.abort()
