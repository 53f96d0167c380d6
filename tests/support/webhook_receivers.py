"""Receivers of webhooks on loopback: what they got, and what they are told to answer."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

from standardwebhooks import Webhook

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclasses.dataclass
class Message:
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Answers each request with `answer` after a pause; without one, it never does. `secret` signed them all."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.answer: bytes | None = OK
        self.pause = 0.0
        self.secret = ""
        self.url = ""
        self.open: set[asyncio.StreamWriter] = set()

    @property
    def ids(self) -> list[int]:
        return [int(message.id) for message in self.got]

    @property
    def types(self) -> list[str]:
        return [message.event["event"] for message in self.got]

    def verify(self) -> None:
        for message in self.got:
            Webhook(self.secret).verify(message.body, message.headers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            request, *lines = head.strip().split("\r\n")
            assert request == "POST /hook HTTP/1.1"
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.got.append(Message(headers, body))
            await asyncio.sleep(self.pause)
            if self.answer is None:
                await reader.read()
            else:
                writer.write(self.answer)
                await writer.drain()
        writer.close()
        self.open.discard(writer)


@contextlib.asynccontextmanager
async def receiving(host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """A receiver at a free port of loopback."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, host, 0)
    receiver.url = "http://%s:%d/hook" % server.sockets[0].getsockname()[:2]
    try:
        yield receiver
    finally:
        server.close()
        for writer in receiver.open:
            writer.transport.abort()
        # Lets them close their sockets.
        await asyncio.sleep(0.01)


def status(line: str, *headers: str, body: bytes = b"") -> bytes:
    """An answer with this status line."""
    head = [f"HTTP/1.1 {line}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body
