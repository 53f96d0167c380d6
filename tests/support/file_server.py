"""A web server on loopback that hands out files, and may be told to lie."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Files:
    """The files of the server by path; `asked` are the requests, which wait while `free` is not set."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.arrived: asyncio.Queue[str] = asyncio.Queue()
        self.free = asyncio.Event()
        self.free.set()
        self.url = ""

    def put(self, name: str, content: bytes) -> str:
        """Hand out `content`; its URL."""
        self.contents[f"/{name}"] = content
        return f"{self.url}/{name}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split()[1].decode()
            self.asked.append(path)
            self.arrived.put_nowait(path)
            await self.free.wait()
            content = self.contents.get(path)
            status = "404 Not Found" if content is None else "200 OK"
            body = content or b""
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Files]:
    """A server at a free port of 127.0.0.1."""
    files = Files()
    server = await asyncio.start_server(files.answer, "127.0.0.1", 0)
    files.url = "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
    try:
        yield files
    finally:
        files.free.set()
        server.close()
