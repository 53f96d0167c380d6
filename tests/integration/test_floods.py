"""Clients that send thousands of tiny things at once: the event loop goes on with the others."""

import asyncio
import contextlib
import socket

import pytest

from release_catalog.server.app import create_app
from release_catalog.server.http_protocol import MAX_EARLY_CONTROL_FRAMES
from release_catalog.settings import Settings
from support.catalog import Catalog
from support.loop_turns import bytes_by_turn
from support.subscribers import PROTOCOL, connected, served

HANDSHAKE = (
    "GET /graphql HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n"
)
# Masked frames of no bytes: a ping, a pong, the first piece of a text, and a further piece of it.
PING, PONG, TEXT, PIECE = (bytes([head, 0x80, 0, 0, 0, 0]) for head in (0x89, 0x8A, 0x01, 0x00))
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def send_all(host: str, data: bytes, *, upgrade: bool) -> bytes:
    """Send without reading, then read until the server has nothing more to say."""
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    received = b""
    if upgrade:
        writer.write(HANDSHAKE.format(host=host).encode())
        received = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in received
    writer.write(data)
    with contextlib.suppress(ConnectionError, TimeoutError):
        while more := await asyncio.wait_for(reader.read(1 << 16), 1):
            received += more
    writer.close()
    return received


@pytest.mark.parametrize(
    ("data", "upgrade"),
    [(PING * 20_000, True), (TEXT + PIECE * 20_000, True), (GET * 2_000, False)],
    ids=["pings", "pieces", "requests"],
)
async def test_a_flood_of_tiny_things_holds_up_nobody(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch, data: bytes, *, upgrade: bool
) -> None:
    app = create_app(Settings(), database=empty.database)
    async with bytes_by_turn(monkeypatch) as turns, served(app) as host:
        received = await send_all(host, data, upgrade=upgrade)
        name, _, port = host.partition(":")
        reader, writer = await asyncio.open_connection(name, int(port))
        writer.write(GET)
        assert b" 200 OK" in await asyncio.wait_for(reader.readline(), 60)
        writer.close()
    assert max(turns) < len(data) / 4
    if not upgrade:
        # A client that sends further requests without reading the answers is cut off.
        assert received.count(b"200 OK") <= 100


async def test_a_handshake_that_can_not_be_read_is_not_kept(empty: Catalog) -> None:
    async with served(create_app(Settings(), database=empty.database)) as host:
        name, _, port = host.partition(":")
        reader, writer = await asyncio.open_connection(name, int(port))
        handshake = HANDSHAKE.format(host=host).replace("Host:", f"Origin: {'x' * 9_000}\r\nHost:")
        writer.write(handshake.encode())
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()


@pytest.mark.parametrize("frame", [PING, PONG], ids=["pings", "pongs"])
async def test_an_unknown_client_may_send_few_control_frames(empty: Catalog, frame: bytes) -> None:
    async with served(create_app(Settings(), database=empty.database)) as host:
        name, _, port = host.partition(":")
        reader, writer = await asyncio.open_connection(name, int(port))
        writer.write(HANDSHAKE.format(host=host).encode())
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(frame * MAX_EARLY_CONTROL_FRAMES)
        with contextlib.suppress(TimeoutError):
            # A ping is answered with a pong of two bytes.
            answer = await asyncio.wait_for(reader.readexactly(2 * MAX_EARLY_CONTROL_FRAMES), 1)
            assert (frame, answer) == (PING, b"\x8a\x00" * MAX_EARLY_CONTROL_FRAMES)
        assert not reader.at_eof()
        writer.write(frame)
        assert b"Too many control frames" in await asyncio.wait_for(reader.read(), 30)
        writer.close()


async def test_a_known_client_may_send_more_of_them(empty: Catalog) -> None:
    async with served(create_app(Settings(), database=empty.database)) as host, connected(host) as client:
        for _ in range(3 * MAX_EARLY_CONTROL_FRAMES):
            await client.pong()
            await asyncio.wait_for(await client.ping(), 30)
