"""Bytes that no HTTP library would send, over a raw socket: nobody gets in by them, and the server goes on."""

import contextlib
import json
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import Server, run, serving

QUERY = json.dumps({"query": "{ viewer { subject } }"}).encode()
JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
BODY = b"%x\r\n%s\r\n" % (len(QUERY), QUERY)
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def head(*lines: bytes, target: bytes = b"POST /graphql") -> bytes:
    return target + b" HTTP/1.1\r\nHost: localhost\r\n" + b"".join(lines) + b"\r\n"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, mongodb_url: str) -> Iterator[tuple[Server, bytes]]:
    """A server that asks for credentials, and a token that it takes."""
    folder = tmp_path_factory.mktemp("raw")
    settings: dict[str, Any] = {
        "mongodb_url": mongodb_url,
        "database": f"raw_{uuid.uuid4().hex}",
        "data_dir": folder / "data",
    }
    token = run("token", "raw", "--new-catalog", "--scope", "admin", **settings).stdout.strip().encode()
    with serving(folder, authentication="required", **settings) as server:
        yield server, token
        assert server.stop() == 0


def answers(server: Server, *pieces: bytes, most: int = 100) -> list[bytes]:
    """The responses to what is sent, up to `most`, or until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=20) as client:
        received = b""
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                client.sendall(piece)
            while received.count(b"HTTP/1.1 ") < most and (piece := client.recv(1 << 16)):
                received += piece
    return [b"HTTP/1.1 " + part for part in received.split(b"HTTP/1.1 ")[1:]]


def statuses(server: Server, *pieces: bytes, most: int = 100) -> list[int]:
    return [int(answer.split(b" ", 2)[1]) for answer in answers(server, *pieces, most=most)]


def test_credentials_in_headers_are_taken(guarded: tuple[Server, bytes]) -> None:
    server, token = guarded
    for line in (b"Authorization: Bearer %s\r\n" % token, b"X-Project-Token: %s\r\n" % token):
        assert statuses(server, head(JSON, CHUNKED, line) + BODY + b"0\r\n\r\n" + LIVEZ) == [200, 200]


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "in pieces"])
@pytest.mark.parametrize("name", [b"Authorization: Bearer ", b"X-Project-Token: ", b"AUTHORIZATION:Bearer "])
def test_credentials_in_trailers_are_not_taken(guarded: tuple[Server, bytes], name: bytes, apart: bool) -> None:
    server, token = guarded
    trailer = name + token + b"\r\n"
    for lines in ([JSON], [JSON, b"Trailer: Authorization, X-Project-Token\r\nTE: trailers\r\n"]):
        pieces = [head(*lines, CHUNKED), BODY, b"0\r\n", trailer, b"\r\n", LIVEZ]
        assert statuses(server, *(pieces if apart else [b"".join(pieces)])) == [401, 200]
    target = b"GET /v1/registries/none"
    assert statuses(server, head(CHUNKED, target=target) + b"0\r\n" + trailer + b"\r\n" + LIVEZ) == [401, 200]


def test_trailers_change_nothing_else(guarded: tuple[Server, bytes]) -> None:
    server, token = guarded
    known = b"Authorization: Bearer %s\r\n" % token
    for line, expected in (
        (JSON, 415), (b"Host: other\r\n", 200), (b"Accept: text/css\r\n", 200), (known, 200), (b"x:\r\n", 200),
        (b"Expect: 100-continue\r\n", 200), (b"Connection: upgrade\r\nUpgrade: websocket\r\n", 200),
    ):  # fmt: skip
        lines = [known, CHUNKED] if expected == 415 else [known, JSON, CHUNKED]
        assert statuses(server, head(*lines) + BODY + b"0\r\n" + line + b"\r\n" + LIVEZ) == [expected, 200]
    # Nor does one reach the request behind it.
    behind = head(JSON, CHUNKED) + BODY + b"0\r\n\r\n" + LIVEZ
    assert statuses(server, head(JSON, CHUNKED) + BODY + b"0\r\n" + known + b"\r\n" + behind) == [401, 401, 200]


def test_framing_without_content_has_an_end(guarded: tuple[Server, bytes]) -> None:
    server, token = guarded
    known = b"Authorization: Bearer %s\r\n" % token
    start = head(known, JSON, CHUNKED)
    for endless in (
        [b"0\r\nx: ", *[b"a" * 65_536] * 50],
        [b"0\r\n", *[b"x: a\r\n" * 10_000] * 50],
        [b"1;a=", *[b"a" * 65_536] * 50],
        [b"1" + b";a" * 2_000 + b"\r\n{\r\n"] * 200,
    ):
        assert 200 not in statuses(server, start, *endless)
    # The smallest chunks are no reason to close.
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in QUERY + b" " * 100_000)
    assert statuses(server, start, pieces, b"0\r\n\r\n", LIVEZ) == [200, 200]


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 1\r\nContent-Length: 1\r\n", b"Content-Length: 1\r\nContent-Length: 2\r\n",
        b"Content-Length: 1, 1\r\n", b"Content-Length: +1\r\n", b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999999\r\n", b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: xchunked\r\n",
        b"X: a\r\n b\r\n", b"Authorization:\r\n Bearer x\r\n", b"X : a\r\n", b"X: a\0b\r\n", b": a\r\n",
        b"X: a\rY: b\r\n", b"X: a\nAuthorization: b\r\n", b"Host: other\r\n", b"Host: localhost\r\n",
    ],
)  # fmt: skip
def test_ambiguous_headers_are_refused(guarded: tuple[Server, bytes], lines: bytes) -> None:
    server, _ = guarded
    [status, *more] = statuses(server, head(lines) + b"a" + LIVEZ)
    assert status == 400
    # With two hosts the message itself is sound; what comes behind it is not.
    assert 200 not in more


@pytest.mark.parametrize(
    "host",
    [
        b"", b"a b", b"a/b", b"user@host", b"a:b", b"a:80:80", b"[::1", b"::1", b"[::1]x", b"a\\b", b'"', b"<script>",
        b"a,b", b"a?b", b"a#b", b"\xff", b"a" * 256, b"a:999999",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [b"/graphql", b"/livez", b"/", b"/graphql/"])
def test_requests_with_an_invalid_host_are_refused(
    guarded: tuple[Server, bytes], host: bytes, path: bytes
) -> None:
    server, _ = guarded
    accept = b"Accept: text/html\r\nConnection: close\r\n\r\n"
    assert statuses(server, b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + accept) == [400]
    assert statuses(server, b"GET " + path + b" HTTP/1.1\r\n" + accept) == [400]
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += (
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    )
    assert statuses(server, b"GET /graphql HTTP/1.1\r\nHost: " + host + b"\r\n" + upgrade) == [403]


@pytest.mark.parametrize(
    "host", [b"localhost", b"a.example:8443", b"127.0.0.1:1", b"[::1]:8000", b"api_1", b"xn--p1ai."]
)
def test_hosts_are_taken(guarded: tuple[Server, bytes], host: bytes) -> None:
    server, _ = guarded
    rest = b"\r\nConnection: close\r\n\r\n"
    [answer] = answers(server, b"GET / HTTP/1.1\r\nHost: " + host + rest)
    assert b"\r\nlocation: /graphql\r\n" in answer
    # No address is made of what a client says that the host is.
    for path in (b"/graphql/", b"/v1", b"/lifecycle", b"//evil.example/"):
        assert statuses(server, b"GET " + path + b" HTTP/1.1\r\nHost: " + host + rest) in ([404], [401])
    assert statuses(server, b"GET /livez HTTP/1.0\r\n\r\n") == [200]


def test_an_invalid_origin_is_refused(guarded: tuple[Server, bytes]) -> None:
    server, _ = guarded
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n"
    for origin in (b"http://[::1", b"null", b"http://evil", b"", b"http://\xff["):
        line = b"Origin: " + origin + b"\r\n"
        assert statuses(server, head(upgrade, line, target=b"GET /graphql"), most=1) == [403]


def test_invalid_request_targets_are_refused(guarded: tuple[Server, bytes]) -> None:
    server, _ = guarded
    for target in (b"OPTIONS *", b"CONNECT a:1", b"GET http://[::1/", b"GET /\xff", b"GET a", b"GET //", b"GET ?"):
        [status] = statuses(server, head(b"Connection: close\r\n", target=target))
        assert 400 <= status < 500, target


def test_hostile_requests_log_no_server_error(guarded: tuple[Server, bytes], tmp_path: Path) -> None:
    server, _ = guarded
    assert "Traceback" not in server.log.read_text()
    entries = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert [entry for entry in entries if entry["level"] == "error" or entry.get("status") == 500] == []
