"""The floods of fairness.py: each takes all it can get, in a process of its own until it is killed.

python floods.py NAME JSON      the target as JSON: see Target
"""

import asyncio
import base64
import contextlib
import dataclasses
import itertools
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import websockets

from release_catalog.domain import access_tokens

PROTOCOL = "graphql-transport-ws"
PAGE = "{ releases(first: 50) { nodes { id name version channel tag createdAt artifacts { name sha256 } } } }"
# A refused client comes back this soon: no longer than a client in a hurry would wait.
BACK_SECONDS = 0.01
_numbers = itertools.count()


@dataclasses.dataclass(frozen=True)
class Target:
    """A server, the token of the client that floods it, and the names of accounts that it knows."""

    host: str
    port: int
    token: str
    accounts: tuple[str, ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of the client's requests."""
        return {"Authorization": f"Bearer {self.token}"}


Flood = Callable[[Target], Awaitable[None]]


def large_document() -> str:
    """Return a document of almost 2,000 tokens that no client has sent before."""
    fields = "id name version createdAt updatedAt channel branch tag author "
    parts = "artifacts { id name size sha256 downloadUrl } dependencies(first: 2) { nodes { id name version } } "
    number = next(_numbers)
    each = (f"a{n}: releases(first: 1) {{ nodes {{ {fields * 1}{parts} }} }}" for n in range(45))
    return f"query Large{number}_{id(each)} {{ {' '.join(each)} }}"


async def post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes, **headers: str) -> int:
    """Send a GraphQL request; return the status of its response."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{lines}"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(
        (line for line in answer.split("\r\n") if line.startswith("content-length:")), "content-length: 0"
    )
    await reader.readexactly(int(length.partition(":")[2]))
    return int(answer.split(" ", 2)[1])


async def requests(target: Target, count: int, each: Callable[[], tuple[bytes, dict[str, str]]]) -> None:
    """Keep `count` connections busy with requests, without a pause."""

    async def one() -> None:
        while True:
            with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError):
                reader, writer = await asyncio.open_connection(target.host, target.port)
                with contextlib.closing(writer):
                    while True:
                        body, headers = each()
                        if await post(reader, writer, body, **headers) >= 400:  # noqa: PLR2004  a refusal
                            await asyncio.sleep(BACK_SECONDS)
            await asyncio.sleep(BACK_SECONDS)

    await asyncio.gather(*(one() for _ in range(count)))


@contextlib.asynccontextmanager
async def socket(target: Target, payload: dict[str, str] | None) -> AsyncIterator[websockets.ClientConnection]:
    """Open a WebSocket, and send connection_init if there is a payload."""
    url: Any = f"ws://{target.host}:{target.port}/graphql"
    async with websockets.connect(url, subprotocols=[PROTOCOL], close_timeout=0.1) as client:  # type: ignore[list-item]
        if payload is not None:
            await client.send(json.dumps({"type": "connection_init", "payload": payload}))
            await client.recv()
        yield client


async def sockets(target: Target, count: int, payload: dict[str, str] | None) -> None:
    """Keep `count` WebSockets open, or try to."""

    async def one() -> None:
        while True:
            with contextlib.suppress(OSError, EOFError, TimeoutError, websockets.WebSocketException):
                async with socket(target, payload) as client:
                    async for _ in client:
                        pass
            await asyncio.sleep(BACK_SECONDS * 10)

    await asyncio.gather(*(one() for _ in range(count)))


async def large_documents(target: Target) -> None:
    """Send documents that are not known, each of the maximum size."""
    await requests(target, 30, lambda: (json.dumps({"query": large_document()}).encode(), target.headers))


def bombs() -> list[bytes]:
    """Return bodies that are refused, and would take long if they were not."""
    spreads = "".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }} " for n in range(95))
    queries = (
        "{" + "a:__typename " * 75_000 + "}",
        "{ a" * 10_000,
        "{ ...F0 } " + spreads + "fragment F95 on Query { __typename }",
        "#" + "x" * 1_000_000 + "\n{ __typename }",
        "{" + " ".join(f"a{n}" for n in range(1_990)) + "}",
    )
    return [json.dumps({"query": query}).encode() for query in queries]


async def bombs_back_to_back(target: Target) -> None:
    """Send bodies that are refused, one after the other on each connection."""
    bodies = itertools.cycle(bombs())
    await requests(target, 2, lambda: (next(bodies), target.headers))


async def large_documents_over_sockets(target: Target) -> None:
    """Send the same over WebSockets: 50 at a time on each."""

    async def one() -> None:
        while True:
            with contextlib.suppress(OSError, EOFError, TimeoutError, websockets.WebSocketException):
                async with socket(target, target.headers) as client:
                    for _ in range(50):
                        await ask(client)
                    async for text in client:
                        if json.loads(text)["type"] in {"complete", "error"}:
                            await ask(client)

    async def ask(client: websockets.ClientConnection) -> None:
        payload = {"query": large_document()}
        await client.send(json.dumps({"type": "subscribe", "id": str(next(_numbers)), "payload": payload}))

    await asyncio.gather(*(one() for _ in range(2)))


async def subscribers(target: Target) -> None:
    """Open more subscribers than there are slots."""
    await sockets(target, 150, target.headers)


async def unknown_sockets(target: Target) -> None:
    """Open WebSockets that never authenticate."""
    await sockets(target, 400, None)


async def idle_connections(target: Target) -> None:
    """Open three times as many connections as the server takes, which send nothing."""

    async def one() -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(target.host, target.port)
                await reader.read()
                writer.close()
            await asyncio.sleep(BACK_SECONDS * 10)

    await asyncio.gather(*(one() for _ in range(300)))


async def wrong_passwords(target: Target) -> None:
    """Guess the passwords of accounts, half of which do not exist."""

    def guess() -> tuple[bytes, dict[str, str]]:
        number = next(_numbers)
        name = target.accounts[number % len(target.accounts)] if number % 2 else f"nobody{number}"
        credentials = base64.b64encode(f"{name}:guess {number}".encode()).decode()
        return b'{"query": "{ __typename }"}', {"Authorization": f"Basic {credentials}"}

    await requests(target, 60, guess)


async def unknown_tokens(target: Target) -> None:
    """Send tokens of the right form that do not exist."""
    await requests(
        target, 60, lambda: (b'{"query": "{ __typename }"}', {"Authorization": f"Bearer {access_tokens.new()}"})
    )


async def small_queries(target: Target) -> None:
    """Send as many small requests at a time as a caller is allowed."""
    body = json.dumps({"query": "{ catalogs(first: 1) { nodes { id name } } }"}).encode()
    await requests(target, 64, lambda: (body, target.headers))


async def pages(target: Target) -> None:
    """Send as many requests for pages at a time as a caller is allowed."""
    body = json.dumps({"query": PAGE}).encode()
    await requests(target, 64, lambda: (body, target.headers))


FLOODS: dict[str, Flood] = {
    flood.__name__: flood
    for flood in (
        large_documents,
        bombs_back_to_back,
        large_documents_over_sockets,
        subscribers,
        unknown_sockets,
        idle_connections,
        wrong_passwords,
        unknown_tokens,
        small_queries,
        pages,
    )
}

if __name__ == "__main__":
    _given = json.loads(sys.argv[2])
    asyncio.run(FLOODS[sys.argv[1]](Target(**{**_given, "accounts": tuple(_given["accounts"])})))  # type: ignore[arg-type]
