"""uvicorn's HTTP protocol for clients that are in no hurry: neither a head, a body nor a reader may take for ever.

uvicorn itself only closes connections that are idle between two requests.
"""

import asyncio
import enum
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 1 << 16
# What a body has to come at and an answer has to be taken at, on top of the seconds for a head.
BYTES_A_SECOND = 1 << 14
_LATE, _LONG = (
    f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
    for status in ("408 Request Timeout", "431 Request Header Fields Too Large")
)


class _Part(enum.Enum):
    NOTHING = 0
    HEAD = 1
    BODY = 2


class Hurried(HttpToolsProtocol):
    """A connection that is closed when its client does not go on.

    Its one timer is set anew only when it fires, so that a request in time costs a few assignments.
    """

    # How long a head may take, and how many connections a process may hold by now.
    seconds = 10.0
    most: Callable[[], int] = staticmethod(lambda: 1_000)
    # Those of the process from which a head is awaited, the oldest first.
    _awaited: dict["Hurried", None] = {}  # noqa: RUF012  it is meant to be shared

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._part = _Part.NOTHING
        # When the part has to be here, and how much of it is.
        self._due = 0.0
        self._got = 0
        self._timer: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Where there is no room, take that of the one that has let the server wait longest."""
        super().connection_made(transport)
        self._expect(_Part.HEAD)
        if len(self.connections) > self.most():
            next(iter(self._awaited)).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._expect(_Part.NOTHING)
        for timer in (self._timer, self._reader):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come, and count it."""
        if self._part is _Part.NOTHING:
            self._expect(_Part.HEAD)
        self._got += len(data)
        super().data_received(data)
        if self._part is _Part.HEAD and self._got > MAX_HEAD_BYTES:
            self._end(_LONG)

    def on_message_begin(self) -> None:
        """Begin a request, maybe behind another one."""
        super().on_message_begin()
        if self._part is _Part.NOTHING:
            self._expect(_Part.HEAD)

    def on_headers_complete(self) -> None:
        """Have its body follow."""
        super().on_headers_complete()
        self._expect(_Part.BODY)

    def on_message_complete(self) -> None:
        """Leave the rest to the application."""
        super().on_message_complete()
        self._expect(_Part.NOTHING)

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to another protocol."""
        self._expect(_Part.NOTHING)
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        """See whether the client goes on taking what is written."""
        super().pause_writing()
        if self._reader is None:
            self._read_on(self.transport.get_write_buffer_size())

    def _read_on(self, size: int) -> None:
        self._reader = self.loop.call_later(self.seconds, self._check_reader, size)

    def _check_reader(self, before: int) -> None:
        self._reader = None
        now = self.transport.get_write_buffer_size()
        if now and now > before - BYTES_A_SECOND * self.seconds:
            self.transport.abort()
        elif now:
            self._read_on(now)

    def _expect(self, part: _Part) -> None:
        self._part, self._got = part, 0
        if part is _Part.HEAD:
            self._awaited[self] = None
        else:
            self._awaited.pop(self, None)
        if part is not _Part.NOTHING:
            self._due = self.loop.time() + self.seconds
            if self._timer is None:
                self._timer = self.loop.call_later(self.seconds, self._check)

    def _check(self) -> None:
        self._timer = None
        if self._part is _Part.NOTHING or self.transport.is_closing():
            return
        now = self.loop.time()
        due = self._due + (self._got / BYTES_A_SECOND if self._part is _Part.BODY else 0)
        if self.flow.read_paused:
            # It is the application that does not go on.
            due = now + self.seconds
        if due > now:
            self._timer = self.loop.call_later(due - now, self._check)
        else:
            self._end(_LATE)

    def _end(self, answer: bytes) -> None:
        """Close the connection, with an answer where no other one is under way."""
        if self._part is _Part.HEAD and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(answer)
            self.transport.close()
        else:
            self.transport.abort()


def hurried(seconds: float, most: Callable[[], int]) -> type[Hurried]:
    """The protocol with these limits: see Hurried."""
    Hurried.seconds, Hurried.most = seconds, staticmethod(most)
    return Hurried
