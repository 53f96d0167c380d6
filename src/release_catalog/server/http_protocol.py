"""uvicorn's protocols with timeouts for slow clients: neither a head, a body nor a reader may take for ever.

uvicorn itself only closes connections that are idle between two requests, and it adds the trailers of a request to
its headers, where they would count as credentials that no proxy has seen. Both protocols count their connections:
see connection_limit.
"""

import asyncio
import enum
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from release_catalog.server.connection_limit import Connection, ConnectionLimit, PacedInput, extension
from release_catalog.server.refusal_log import RefusalLog

MAX_HEAD_BYTES = 1 << 16
# The pace at which a body must come and a response must be read, on top of the seconds for a head.
BYTES_A_SECOND = 1 << 14
# A WebSocket whose client is not known yet sends its credentials, and little else.
MAX_UNKNOWN_MESSAGE_BYTES = 1 << 15
# The longest time that a client may take to confirm that a WebSocket is closed.
CLOSING_SECONDS = 3.0
# Bytes of chunk sizes, extensions and trailers for each byte of content: five come with a chunk of one byte.
FRAMING_RATIO = 8
# Bytes that a protocol handles at a time. They hold at most 270 requests or 340 frames: 10 milliseconds.
HTTP_PIECE, SOCKET_PIECE = 1 << 13, 1 << 11
# Requests that wait on a connection behind the one that is answered, and pieces of one message of a WebSocket.
MAX_PIPELINED, MAX_FRAGMENTS = 20, 1_000
# Frames of ping and pong on a WebSocket whose client is not known yet: libraries send one in some seconds.
MAX_EARLY_CONTROL_FRAMES = 20
_LATE, _LONG = (
    f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
    for status in ("408 Request Timeout", "431 Request Header Fields Too Large")
)


# uvicorn and websockets log addresses with their query strings, and frames with all that is in them; each invalid
# request gets a line of theirs, too. Of their lines, only those about failures of this program are logged.
_failures = logging.getLogger("release_catalog.connections")
_failures.setLevel(logging.ERROR)


class _RequestPhase(enum.Enum):
    NOTHING = 0
    HEAD = 1
    BODY = 2


class TimeoutHttpProtocol(HttpToolsProtocol):
    """A connection that is closed when its client does not go on.

    Its one timer is reset only when it fires, so that a request in time costs a few assignments.
    """

    # The seconds that a head may take, and the limit on the connections of a process.
    seconds = 10.0
    limit = ConnectionLimit(lambda: 1_000)
    refusals = RefusalLog()
    _connection: Connection
    _input: PacedInput

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _failures
        self._part = _RequestPhase.NOTHING
        # The time when the part must be complete, and the bytes of it that have come.
        self._due = 0.0
        self._got = 0
        # The bytes of content in it.
        self._content = 0
        self._timer: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, which may end another one or itself."""
        super().connection_made(transport)
        self._expect(_RequestPhase.HEAD)
        self._connection = self.limit.add(self.client[0] if self.client else None, self._make_room)
        self._input = PacedInput(
            self._take, HTTP_PIECE, self.loop, lambda: self.flow.read_paused, turns=self._connection.turns
        )

    def _refuse(self, reason: str) -> None:
        self.refusals.note(reason, self.client[0] if self.client else None)

    def _make_room(self) -> None:
        self._refuse("too many connections")
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse("invalid request")
        super().send_400_response(msg)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers, and no longer count the connection."""
        self._connection.gone()
        self._input.close()
        self._expect(_RequestPhase.NOTHING)
        for timer in (self._timer, self._reader):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take input, a piece at a time."""
        self._input.feed(data, self.transport)

    def _take(self, data: bytes) -> None:
        if self._part is _RequestPhase.NOTHING:
            self._expect(_RequestPhase.HEAD)
        self._got += len(data)
        super().data_received(data)
        if self._part is not _RequestPhase.NOTHING and self._got > MAX_HEAD_BYTES + FRAMING_RATIO * self._content:
            self._refuse("large head")
            self._end(_LONG)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, and count its content."""
        self._content += len(body)
        super().on_body(body)

    def on_message_begin(self) -> None:
        """Begin a request, maybe behind another one."""
        super().on_message_begin()
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse("too many pipelined requests")
            self.transport.abort()
        self.scope["extensions"] = extension(self._connection.identified)
        if self._part is _RequestPhase.NOTHING:
            self._expect(_RequestPhase.HEAD)

    def on_headers_complete(self) -> None:
        """Expect its body next. Trailers go to a list that nobody reads, as RFC 9110 (6.5.1) allows."""
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            self.headers = []
        self._connection.busy()
        self._expect(_RequestPhase.BODY)

    def on_message_complete(self) -> None:
        """Leave the rest to the application."""
        super().on_message_complete()
        self._expect(_RequestPhase.NOTHING)

    def on_response_complete(self) -> None:
        """Go on with the next request, if there is one already."""
        super().on_response_complete()
        if self.cycle is None or self.cycle.response_complete:
            self._connection.idle()

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to another protocol."""
        self._connection.gone()
        self._expect(_RequestPhase.NOTHING)
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        """Check that the client continues to read the output."""
        super().pause_writing()
        if self._reader is None:
            self._read_on(self.transport.get_write_buffer_size())

    def _read_on(self, size: int) -> None:
        self._reader = self.loop.call_later(self.seconds, self._check_reader, size)

    def _check_reader(self, before: int) -> None:
        self._reader = None
        now = self.transport.get_write_buffer_size()
        if now and now > before - BYTES_A_SECOND * self.seconds:
            self._refuse("slow reader")
            self.transport.abort()
        elif now:
            self._read_on(now)

    def _expect(self, part: _RequestPhase) -> None:
        self._part, self._got, self._content = part, 0, 0
        if part is not _RequestPhase.NOTHING:
            self._due = self.loop.time() + self.seconds
            if self._timer is None:
                self._timer = self.loop.call_later(self.seconds, self._check)

    def _check(self) -> None:
        self._timer = None
        if self._part is _RequestPhase.NOTHING or self.transport.is_closing():
            return
        now = self.loop.time()
        due = self._due + (self._got / BYTES_A_SECOND if self._part is _RequestPhase.BODY else 0)
        if self.flow.read_paused or self._input.waiting:
            # It is the application that does not go on, or the turns of others come first.
            due = now + self.seconds
        if due > now:
            self._timer = self.loop.call_later(due - now, self._check)
        else:
            if self._got or self._part is _RequestPhase.BODY:  # not a connection that nobody uses
                self._refuse("slow request")
            self._end(_LATE)

    def _end(self, answer: bytes) -> None:
        """Close the connection, with `answer` if no other response is under way."""
        if self._part is _RequestPhase.HEAD and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(answer)
            self.transport.close()
        else:
            self.transport.abort()


class LimitedWebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket that takes little until its client is known."""

    limit = ConnectionLimit(lambda: 1_000)
    refusals = TimeoutHttpProtocol.refusals
    _connection: Connection
    _input: PacedInput

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = self.conn.logger = _failures
        self.conn.debug = False
        self._early_control_frames = 0

    def data_received(self, data: bytes) -> None:
        """Take input, a piece at a time."""
        self._input.feed(data, self.transport)

    def handle_cont(self, event: Frame) -> None:
        """Take a further piece of a message, unless it has too many."""
        if len(self.frames) >= MAX_FRAGMENTS:
            self._refuse("too many fragments")
            self.transport.abort()
        super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer a ping, unless too many come from an unknown client."""
        if self._takes_control_frame():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """Take a pong, unless too many come from an unknown client."""
        if self._takes_control_frame():
            super().handle_pong(event)

    def _refuse(self, reason: str) -> None:
        self.refusals.note(reason, self.client[0] if self.client else None)

    def _make_room(self) -> None:
        self._refuse("too many connections")
        self.transport.abort()

    def _takes_control_frame(self) -> bool:
        """Count a control frame of an unknown client, and close its connection where that was one too many."""
        if self._connection.known:
            return True
        self._early_control_frames += 1
        if self._early_control_frames <= MAX_EARLY_CONTROL_FRAMES:
            return True
        if not self.transport.is_closing():
            self._refuse("too many control frames")
            if self.handshake_complete and not self.close_sent:
                self.conn.fail(CloseCode.POLICY_VIOLATION, "Too many control frames before connection_init")
                self.transport.write(b"".join(self.conn.data_to_send()))
                self.close_sent = True
                self.transport.close()
            else:
                self.transport.abort()
        return False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, which may end another one or itself."""
        super().connection_made(transport)
        self.conn.max_message_size = MAX_UNKNOWN_MESSAGE_BYTES
        self.close_timeout = CLOSING_SECONDS
        self.loop.call_later(CLOSING_SECONDS, self._check_handshake)
        self._connection = self.limit.add(self.client[0] if self.client else None, self._make_room)
        self._input = PacedInput(
            super().data_received, SOCKET_PIECE, self.loop, lambda: self.read_paused, turns=self._connection.turns
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting it."""
        self._connection.gone()
        self._input.close()
        super().connection_lost(exc)

    def _check_handshake(self) -> None:
        """Close a connection whose handshake can't be read: the library takes lines of 8,192 bytes at most."""
        if self._input.waiting:
            self.loop.call_later(CLOSING_SECONDS, self._check_handshake)
        elif not self.handshake_initiated:
            self._refuse("slow handshake")
            self.transport.abort()

    async def run_asgi(self) -> None:
        """Run the application, which tells when the client is known."""
        self.scope["extensions"] = {**(self.scope.get("extensions") or {}), **extension(self._identified)}
        try:
            await super().run_asgi()
        finally:
            # It may still be open: its client has not confirmed its end.
            self._connection.forgotten()

    def _identified(self) -> None:
        self._connection.identified()
        self.conn.max_message_size = self.config.ws_max_size


def configure_protocols(
    seconds: float, limit: ConnectionLimit
) -> tuple[type[TimeoutHttpProtocol], type[LimitedWebSocketProtocol]]:
    """Return the protocols of HTTP and WebSocket for one server, with its limits: see TimeoutHttpProtocol."""
    return type("TimeoutHttpProtocol", (TimeoutHttpProtocol,), {"seconds": seconds, "limit": limit}), type(
        "Socket", (LimitedWebSocketProtocol,), {"limit": limit}
    )
