"""Hostile bytes on real sockets: in what servers read before any application does, and in what comes in floods.

The server runs in this process, so the same meter as in test_hostile_inputs.py tells how long it held the loop.
"""

import asyncio
import base64
import functools
import os
import struct
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from pymongo import AsyncMongoClient

from conftest import connected
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from support import hostile_requests as hostile
from support.hostile_requests import LONG, SHORT, Meter
from support.loop_turns import bytes_by_turn
from support.subscribers import served

WIDE = os.environ.get("HOSTILE") == "wide"
# As in test_hostile_inputs.py.
MAX_SECONDS, MAX_GAP, TRIES = (0.2, 0.1, 3) if WIDE else (3.0, 3.0, 3)
# Of floods, only the turns of others count: so many seconds of CPU, or a part of the flood.
MAX_FLOOD_GAP, MAX_FLOOD_PART = 0.1, 0.25
# What the library for WebSocket takes of a line, less the longest name and prefix here.
MAX_LINE = 8_000
HANDSHAKE = {
    "Host": "localhost",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "graphql-transport-ws",
}
# Each with what goes before a hostile text.
SOCKET_HEADERS = {
    "Connection": ("", "Upgrade, "),
    "Upgrade": ("", "websocket, "),
    "Sec-WebSocket-Key": ("",),
    "Sec-WebSocket-Version": ("",),
    "Sec-WebSocket-Protocol": ("", "graphql-transport-ws, "),
    "Sec-WebSocket-Extensions": ("", "permessage-deflate; ", 'permessage-deflate; a="'),
    "Origin": ("", "http://"),
}
HTTP_HEADERS = {
    "Transfer-Encoding": ("", "chunked, "),
    "Content-Length": ("", "1"),
    "Expect": ("", "100-continue, "),
    "Connection": ("", "close, "),
    "Keep-Alive": ("",),
    "Trailer": ("",),
}


@pytest.fixture(scope="module")
async def host(mongodb_url: str) -> AsyncIterator[str]:
    async with (
        connected(mongodb_url, "hostile_sockets", driver=AsyncMongoClient) as database,
        served(create_app(Settings(), database=database)) as host,
    ):
        yield host


@pytest.fixture(scope="module")
async def meter(host: str) -> AsyncIterator[Meter]:
    async with Meter.running() as meter:
        yield meter


async def exchange(
    host: str, data: bytes, answers: int = 1, seconds: float = 30, begin: bytes = b""
) -> bytes | None:
    """Return what a server answers to some bytes: so many heads at most, or what comes before it hangs up.

    None where it does neither in so many seconds. The answer to `begin` is awaited before the others are sent.
    """
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port), limit=1 << 24)
    found = bytearray()
    try:
        async with asyncio.timeout(seconds):
            if begin:
                writer.write(begin)
                await reader.readuntil(b"\r\n\r\n")
            writer.write(data)
            while found.count(b"\r\n\r\n") < answers and (part := await reader.read(1 << 16)):
                found += part
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    except TimeoutError:
        return None
    finally:
        writer.transport.abort()
    return bytes(found)


def head(method: str, target: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def heads(text: str) -> Iterator[tuple[str, bytes]]:
    """Return heads of requests with `text` in each part that the server itself reads."""
    text = hostile.header_text(text)
    # Longer lines of a handshake are not answered: see below.
    line = text[:MAX_LINE]
    plain = {"Host": "localhost", "Connection": "close"}
    for header, prefixes in SOCKET_HEADERS.items():
        for before in prefixes:
            yield f"handshake {header}: {before}", head("GET", "/graphql", HANDSHAKE | {header: before + line})
    for header, prefixes in HTTP_HEADERS.items():
        for before in prefixes:
            yield f"{header}: {before}", head("POST", "/livez", plain | {header: before + text})
    target = text.replace(" ", "+")
    yield "target", head("GET", f"/{target}", plain)
    yield "target without a slash", head("GET", target, plain)
    yield "query", head("GET", f"/livez?{target}", plain)
    yield "fragment", head("GET", f"/livez#{target}", plain)
    yield "authority", head("GET", f"http://{target}/livez", plain)
    yield "method", head(target, "/livez", plain)
    yield "name of a header", head("GET", "/livez", plain | {target.replace(":", "-"): "a"})
    yield "version", f"GET /livez HTTP/{text}\r\n\r\n".encode("latin-1")
    yield "anything", text.encode("latin-1") + b"\r\n\r\n"
    yield "folded header", head("GET", "/livez", plain | {"X-Folded": f"a\r\n {text}"})


async def test_heads(host: str, meter: Meter) -> None:
    found, sizes = [], (SHORT, 8_000, 60_000)
    for at, (family, text) in enumerate(hostile.FAMILIES.items()):
        made = [list(heads(text(size))) for size in sizes]
        for number, (name, _) in enumerate(made[0]):
            # Each in one of the sizes, which changes from family to family.
            for size in range(3) if WIDE else [(number + at) % 3]:
                sending = functools.partial(exchange, host, made[size][number][1])
                best, answer = await meter.measure(sending)
                for _ in range(TRIES - 1):
                    if best.total > MAX_SECONDS or best.gap > MAX_GAP:
                        best = best.least((await meter.measure(sending))[0])
                if answer is None or best.total > MAX_SECONDS or best.gap > MAX_GAP:
                    found.append(f"{name}, {family} x {sizes[size]:,}: answered {answer is not None}, {best}")
                assert len(found) < 4, "\n".join(found)  # each may have taken half a minute
    assert not found, "\n".join(found)


async def test_handshakes_with_long_lines_are_ended(host: str, meter: Meter) -> None:
    async def ended(header: str, prefix: str, family: str) -> bytes | None:
        text = hostile.header_text(hostile.FAMILIES[family](LONG))
        return await exchange(host, head("GET", "/graphql", HANDSHAKE | {header: prefix + text}))

    cases = [
        (header, prefixes[-1], family)
        for header, prefixes in SOCKET_HEADERS.items()
        for family in ("nines", "commas")
    ]
    answers = await asyncio.gather(*(ended(*case) for case in cases))
    assert None not in answers
    taken, _ = await meter.measure(lambda: ended(*cases[-1]))
    assert taken.total <= MAX_SECONDS * 2  # it waits for seconds, in which the meter beats


# ---------------------------------------------------------------- floods


def frame(payload: bytes, code: int = 1, *, last: bool = True) -> bytes:
    """Return a WebSocket frame of a client, masked with zeros."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
    return bytes([(0x80 if last else 0) | code]) + length + bytes(4) + payload


_OPEN = head("GET", "/graphql", HANDSHAKE)
_INIT = frame(b'{"type":"connection_init"}')
_QUERY = b'{"type":"subscribe","id":"%d","payload":{"query":"{ __typename }"}}'
_GET = head("GET", "/livez", {"Host": "localhost"})
_CHUNKED = {"Host": "localhost", "Transfer-Encoding": "chunked", "Content-Type": "application/json"}
_ASK = head("POST", "/graphql", _CHUNKED)
FLOODS: dict[str, Callable[[int], bytes]] = {
    "requests behind each other": lambda count: _GET * count,
    "empty lines": lambda count: b"\r\n" * count + _GET,
    "headers": lambda count: _GET[:-2] + b"".join(b"x%d: 1\r\n" % at for at in range(count)) + b"\r\n",
    "the same header": lambda count: _GET[:-2] + b"accept: a/b\r\n" * count + b"\r\n",
    "chunks of one byte": lambda count: _ASK + b"1\r\n \r\n" * count + b"0\r\n\r\n",
    "extensions of chunks": lambda count: _ASK + b"1;a=b\r\n \r\n" * count + b"0\r\n\r\n",
    "trailers": lambda count: _ASK + b"0\r\n" + b"a: b\r\n" * count + b"\r\n",
}
# After a handshake.
SOCKET_FLOODS: dict[str, Callable[[int], bytes]] = {
    "frames of ping": lambda count: frame(b"", 9) * count,
    "frames of pong": lambda count: frame(b"", 10) * count,
    "empty frames": lambda count: frame(b"") * count,
    "fragments": lambda count: frame(b"[", last=False) + frame(b"", 0, last=False) * count + frame(b"]", 0),
    "messages before connection_init": lambda count: frame(b'{"type":"ping"}') * count,
    "ping messages": lambda count: _INIT + frame(b'{"type":"ping"}') * count,
    "pong messages": lambda count: _INIT + frame(b'{"type":"pong"}') * count,
    "complete messages": lambda count: _INIT + frame(b'{"type":"complete","id":"a"}') * count,
    "operations": lambda count: _INIT + b"".join(frame(_QUERY % at) for at in range(count)),
}


@pytest.mark.parametrize("flood", [*FLOODS, *SOCKET_FLOODS])
async def test_a_flood_leaves_turns_to_others(
    host: str, meter: Meter, monkeypatch: pytest.MonkeyPatch, flood: str
) -> None:
    data, begin = _flood(flood, LONG)
    pouring = functools.partial(exchange, host, data, LONG, 1, begin)
    async with bytes_by_turn(monkeypatch) as turns:
        taken, _ = await meter.measure(pouring)
    assert taken.gap <= MAX_FLOOD_GAP or max(turns) <= len(data) * MAX_FLOOD_PART, (taken, max(turns))


async def test_many_clients_that_flood_leave_turns_to_others(
    host: str, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [_flood(name, SHORT) for name in ("requests behind each other", "frames of ping", "ping messages")]

    async def pouring() -> None:
        await asyncio.gather(*(exchange(host, data, SHORT, 3, begin) for data, begin in chosen * 4))

    async with bytes_by_turn(monkeypatch) as turns:
        taken, _ = await meter.measure(pouring)
    size = 4 * sum(len(data) for data, _ in chosen)
    assert taken.gap <= MAX_FLOOD_GAP or max(turns) <= size * MAX_FLOOD_PART, (taken, max(turns))


def _flood(name: str, count: int) -> tuple[bytes, bytes]:
    return (FLOODS[name](count), b"") if name in FLOODS else (SOCKET_FLOODS[name](count), _OPEN)
