"""The server around the application."""

import asyncio
import contextlib
import socket
import sys

import uvicorn
from starlette.applications import Starlette

from release_catalog import connection_limit, receiving
from release_catalog.api import websocket
from release_catalog.api.seats import Seats

# WebSockets whose clients do not take that the server ends in that time are left without a word.
_CLOSING_SECONDS = 3.0
# Python's own would be 50 times as long.
SWITCH_SECONDS = 0.0001


def server(app: Starlette, grace_seconds: int, seconds: float, connections: int) -> uvicorn.Server:
    """A server of the application that answers within `grace_seconds` what has begun when it is told to end.

    See receiving.Hurried for the `seconds` that clients have. There are as many `connections`, and those of
    subscribers on top.
    """
    seats: Seats = app.state.seats
    limit = connection_limit.ConnectionLimit(lambda: connections + seats.used)
    http, sockets = receiving.protocols(seconds, limit)
    # While a thread reads a large document (see api/documents.py), each turn of a request waits this long for it.
    sys.setswitchinterval(SWITCH_SECONDS)
    _allow_files()
    config = uvicorn.Config(
        app,
        http=http,
        ws=sockets,
        log_config=None,
        server_header=False,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=grace_seconds,
        ws_max_size=websocket.MAX_MESSAGE_BYTES,
        # It would take memory for each subscriber, for messages that are small.
        ws_per_message_deflate=False,
    )
    return _Server(config)


def _allow_files() -> None:
    """Take as many file descriptors as the machine allows: each connection needs one, and 1,024 are usual."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # where there are no such limits
        import resource  # noqa: PLC0415

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # It waits for every response to end, and event streams do not end by themselves.
        self.config.app.state.seats.over.set()  # type: ignore[union-attr]  # what it was made with
        asyncio.get_running_loop().call_later(_CLOSING_SECONDS, self._abort_sockets)
        await super().shutdown(sockets)

    def _abort_sockets(self) -> None:
        for connection in list(self.server_state.connections):
            if not isinstance(connection, receiving.Hurried):
                connection.transport.abort()
