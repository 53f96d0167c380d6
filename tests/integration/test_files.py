"""Fetching files from servers that lie, stall and point elsewhere, over real sockets."""

import asyncio
import contextlib
import hashlib
import shutil
import socket
import ssl
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from release_catalog.domain.caller import Owner
from release_catalog.domain.release_parts import VerificationDocument
from release_catalog.files import address_guard, http_client, verifier
from release_catalog.files.dns_resolver import Resolver
from release_catalog.webhooks import sender

FILE = b"what was built" * 1000
SHA256 = hashlib.sha256(FILE).hexdigest()
OTHER = hashlib.sha256(b"something else").hexdigest()
PUBLIC = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 80))
PRIVATE = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 80))

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


def sending(*pieces: bytes, then: float = 0) -> Behaviour:
    async def send(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        await asyncio.sleep(then)

    return send


def repeating(piece: bytes, before: bytes = b"", pause: float = 0) -> Behaviour:
    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return send


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", *(headers or [f"Content-Length: {len(body)}"])]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(body: bytes) -> bytes:
    return answer(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), "Transfer-Encoding: chunked")


def redirect(location: str, status: int = 302) -> Behaviour:
    return sending(answer(b"", f"Location: {location}", "Content-Length: 0", status=f"{status} Found"))


class Server:
    """Answers each connection as it is told to, and keeps what was asked."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = sending(answer(FILE))
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self.until = b"\r\n\r\n"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/file"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.requests.append(await reader.readuntil(self.until))
            await self.behaviour(writer)
        writer.transport.abort()

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator["Server"]:
        self, tasks = cls(), []

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.append(asyncio.create_task(self._serve(reader, writer)))

        listening = await asyncio.start_server(accept, host, 0, ssl=tls)
        self.port = listening.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listening.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks)
            # Lets the transports that were aborted close their sockets.
            await asyncio.sleep(0.01)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server.started() as server:
        yield server


@pytest.fixture
async def forbidden() -> AsyncIterator[Server]:
    """A server at an address that is not in the list."""
    async with Server.started() as server:
        yield server
        assert server.connections == 0


@pytest.fixture
async def fetcher(server: Server) -> AsyncIterator[verifier.Fetcher]:
    async with verifier.Fetcher(
        address_guard.parse(f"127.0.0.1:{server.port}"), max_bytes=1 << 40, at_once=4
    ) as fetcher:
        yield fetcher


@pytest.fixture(autouse=True)
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The addresses that were connected to, or that would have been."""
    addresses: list[tuple[str, int]] = []
    dial = address_guard._dial

    async def spy(answer: tuple[Any, ...], seconds: float) -> socket.socket:
        addresses.append(answer[4][:2])
        return await dial(answer, seconds)

    monkeypatch.setattr(address_guard, "_dial", spy)
    return addresses


def outcome(result: VerificationDocument) -> tuple[str, str | None, int | None]:
    assert result.keys() == {"status", "actualSha256", "actualSize", "message", "checkedAt"}
    return result["status"], result["actualSha256"], result["actualSize"]


@pytest.mark.parametrize("reply", [answer(FILE), chunked(FILE), answer(FILE, "Connection: close")])
async def test_the_right_file(server: Server, fetcher: verifier.Fetcher, reply: bytes) -> None:
    server.behaviour = sending(reply)
    result = await fetcher.check(server.url, len(FILE), SHA256, 5)
    assert outcome(result) == ("VERIFIED", SHA256, len(FILE))
    assert result["message"] is None
    request = server.requests[0].lower()
    assert b"accept-encoding: identity\r\n" in request
    assert not any(name in request for name in (b"cookie", b"authorization", b"referer"))


async def test_an_empty_file(server: Server, fetcher: verifier.Fetcher) -> None:
    server.behaviour = sending(answer(b""))
    empty = hashlib.sha256().hexdigest()
    assert outcome(await fetcher.check(server.url, 0, empty, 5)) == ("VERIFIED", empty, 0)
    server.behaviour = sending(answer(b"", status="204 No Content"))
    assert "status 204" in str((await fetcher.check(server.url, 0, empty, 5))["message"])


async def test_the_environment_and_netrc_are_ignored(
    server: Server, fetcher: verifier.Fetcher, forbidden: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, forbidden.url)
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (await fetcher.check(server.url, len(FILE), SHA256, 5))["status"] == "VERIFIED"
    assert b"uthorization" not in server.requests[0]


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (answer(FILE + b"!"), FILE + b"!"),
        (answer(FILE[:-1]), FILE[:-1]),
        (chunked(FILE + b"!"), FILE + b"!"),
        (answer(FILE + b"!", "Connection: close"), FILE + b"!"),
        (answer(FILE * 100), FILE * 100),
        (chunked(b"some"), b"some"),
        (chunked(b""), b""),
        (answer(b""), b""),
    ],
)
async def test_a_file_of_another_size_is_hashed_to_its_end(
    server: Server, fetcher: verifier.Fetcher, reply: bytes, body: bytes
) -> None:
    server.behaviour = sending(reply)
    result = await fetcher.check(server.url, len(FILE), SHA256, 5)
    assert outcome(result) == ("MISMATCH", hashlib.sha256(body).hexdigest(), len(body))
    assert f"has {len(body)} bytes, but {len(FILE)} are declared" in str(result["message"])


LONGER = f"Content-Length: {len(FILE) + 1}"


@pytest.mark.parametrize(
    ("behaviour", "size"),
    [
        (sending(answer(FILE, LONGER)), len(FILE) + 1),
        (sending(answer(FILE, LONGER), then=60), len(FILE) + 1),
        (sending(answer(FILE, f"Content-Length: {1 << 40}"), then=60), 1 << 40),
        (repeating(b"w" * 100, answer(FILE, "Connection: close")), None),
        (repeating(b"1\r\nw\r\n" * 100, answer(b"", "Transfer-Encoding: chunked")), None),
        (sending(answer(b"ffffff\r\n" + FILE + b"!", "Transfer-Encoding: chunked"), then=60), None),
    ],
    ids=["breaks off", "stalls", "above the limit", "endless", "endless chunks", "stalls in a chunk"],
)
async def test_a_file_of_another_size_that_can_not_be_read_to_its_end_has_no_digest(
    server: Server, behaviour: Behaviour, size: int | None
) -> None:
    server.behaviour = behaviour
    allowed = address_guard.parse("127.0.0.1")
    async with verifier.Fetcher(allowed, max_bytes=2 * len(FILE), at_once=1) as fetcher:
        result = await fetcher.check(server.url, len(FILE), SHA256, 1)
    assert outcome(result) == ("MISMATCH", None, size)
    assert "declared" in str(result["message"])


async def test_another_hash(server: Server, fetcher: verifier.Fetcher) -> None:
    result = await fetcher.check(server.url, len(FILE), OTHER, 5)
    assert outcome(result) == ("MISMATCH", SHA256, len(FILE))
    assert SHA256 in str(result["message"])
    assert OTHER in str(result["message"])


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (answer(FILE[:50], f"Content-Length: {len(FILE)}"), "broke off"),
        (answer(b"ffff\r\nsome", "Transfer-Encoding: chunked"), "broke off"),
        (answer(b"no number\r\n", "Transfer-Encoding: chunked"), "broke off"),
        (b"", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "broke off"),
        (answer(FILE, "Transfer-Encoding: gzip, chunked"), "unknown encoding"),
        (answer(b"", status="404 Not Found"), "status 404"),
        (answer(b"secret", status="500 <b>secret</b>"), "status 500"),
        (answer(FILE, status="206 Partial Content"), "status 206"),
        (answer(b"", status="304 Not Modified"), "status 304"),
        (answer(b"", status="302 Found"), "status 302"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer in HTTP"),
        (b"\x00\xff" * 100_000, "does not answer in HTTP"),
        (answer(b"", "X: " + "x" * 1_000_000), "too large headers"),
        (answer(b"", *["X: x"] * 1000), "too large headers"),
    ],
)  # fmt: skip
async def test_responses_without_a_file_are_unreachable(
    server: Server, fetcher: verifier.Fetcher, reply: bytes, said: str
) -> None:
    server.behaviour = sending(reply)
    result = await fetcher.check(server.url, len(FILE), SHA256, 5)
    assert outcome(result) == ("UNREACHABLE", None, None)
    assert said in str(result["message"])
    assert "secret" not in str(result["message"])


@pytest.mark.parametrize(
    "behaviour",
    [
        sending(then=60),
        sending(answer(FILE[:50], f"Content-Length: {len(FILE)}"), then=60),
        repeating(b"w", answer(b"", f"Content-Length: {len(FILE)}"), pause=0.1),
        repeating(b"1\r\nw\r\n", answer(b"", "Transfer-Encoding: chunked"), pause=0.1),
        repeating(b"X", b"HTTP/1.1 200 OK\r\n", pause=0.1),
        repeating(b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.01),
        repeating(b"X: x\r\n", answer(b"0\r\n", "Transfer-Encoding: chunked"), pause=0.01),
    ],
    ids=["hang", "hang in body", "slow", "slow chunks", "slow headers", "endless continue", "endless trailer"],
)
async def test_the_deadline_ends_what_takes_too_long(
    server: Server, fetcher: verifier.Fetcher, behaviour: Behaviour
) -> None:
    server.behaviour = behaviour
    result = await asyncio.wait_for(fetcher.check(server.url, len(FILE), SHA256, 0.5), 30)
    assert outcome(result) == ("UNREACHABLE", None, None)
    assert "took longer than 0.5 seconds" in str(result["message"])
    # The thread is free again: what it waited for was shut down.
    server.behaviour = sending(answer(FILE))
    results = await fetcher.check_all(
        Owner("a"), [{"downloadUrl": server.url, "size": len(FILE), "sha256": SHA256}] * 40, 5
    )
    assert {result["status"] for result in results} == {"VERIFIED"}


async def test_a_gap_ends_it_before_the_deadline(
    server: Server, fetcher: verifier.Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "READ_SECONDS", 0.2)
    server.behaviour = sending(answer(FILE[:50], f"Content-Length: {len(FILE)}"), then=60)
    assert "sent nothing for 0.2 seconds" in str(
        (await fetcher.check(server.url, len(FILE), SHA256, 5))["message"]
    )


async def test_a_cancelled_fetch_raises(server: Server, fetcher: verifier.Fetcher) -> None:
    asked = asyncio.Event()

    async def stall(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.sleep(60)

    server.behaviour = stall
    task = asyncio.create_task(fetcher.check(server.url, len(FILE), SHA256, 60))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_files_of_a_release_share_a_deadline_and_keep_their_order(server: Server) -> None:
    asked = under_way = most = 0

    async def slowly(writer: asyncio.StreamWriter) -> None:
        nonlocal asked, under_way, most
        asked += 1
        under_way += 1
        most = max(most, under_way)
        # The seventh and the eighth are still waited for when the deadline comes.
        await asyncio.sleep(0.05 if asked <= 6 else 60)
        under_way -= 1
        writer.write(answer(FILE))

    server.behaviour = slowly
    artifacts: list[verifier.DeclaredFile] = [
        {"downloadUrl": server.url, "size": len(FILE), "sha256": OTHER if index == 1 else SHA256}
        for index in range(9)
    ]
    async with verifier.Fetcher(address_guard.parse("127.0.0.0/8"), max_bytes=1 << 20, at_once=2) as fetcher:
        results = await fetcher.check_all(Owner("a"), artifacts, 5)
    assert [result["status"] for result in results] == [
        "VERIFIED",
        "MISMATCH",
        *["VERIFIED"] * 4,
        *["UNREACHABLE"] * 3,
    ]
    assert most == 2


async def test_files_above_the_limit_are_not_requested(server: Server) -> None:
    async with verifier.Fetcher(address_guard.parse("127.0.0.0/8"), max_bytes=100, at_once=1) as fetcher:
        result = await fetcher.check(server.url, 101, SHA256, 5)
    assert outcome(result) == ("UNREACHABLE", None, None)
    assert "exceeds the limit of 100 bytes" in str(result["message"])
    assert server.connections == 0


# ---------------------------------------------------------------- addresses


SPELLINGS = [
    "127.0.0.1", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "0", "localhost", "127.0.0.2",
    "[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[::]", "[64:ff9b::7f00:1]", "[2002:7f00:1::1]",
    "169.254.169.254", "0xa9fea9fe", "2852039166", "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]", "[fe80::1]",
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_reaches_a_forbidden_address(
    server: Server, fetcher: verifier.Fetcher, forbidden: Server, spelling: str, dialled: list[tuple[str, int]]
) -> None:
    url = f"http://{spelling}:{forbidden.port}/latest/meta-data/"
    said = "has no address, or a forbidden one"
    # The same message, whether something listens there or not.
    assert said in str((await fetcher.check(url, 1, SHA256, 5))["message"])
    assert said in str((await fetcher.check(f"http://{spelling}:9/", 1, SHA256, 5))["message"])
    assert dialled == []
    server.behaviour = redirect(url)
    result = await fetcher.check(server.url, len(FILE), SHA256, 5)
    assert result["status"] == "UNREACHABLE"
    assert said in str(result["message"])
    assert dialled == [("127.0.0.1", server.port)]


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[tuple[Any, ...]]) -> list[str]:
    asked: list[str] = []

    async def resolve(_: Resolver, owner: Owner, host: str, port: int) -> list[tuple[Any, ...]]:
        asked.append(host)
        return [(*entry[:4], (entry[4][0], port)) for entry in answers[min(len(asked), len(answers)) - 1]]

    monkeypatch.setattr(Resolver, "addresses", resolve)
    return asked


@pytest.mark.parametrize("answers", [[PRIVATE], [PUBLIC, PRIVATE], [PRIVATE, PUBLIC]])
async def test_a_name_with_a_private_address(
    fetcher: verifier.Fetcher, monkeypatch: pytest.MonkeyPatch, answers: list[Any], dialled: list[tuple[str, int]]
) -> None:
    resolving(monkeypatch, answers)
    message = str((await fetcher.check("http://files.example/a", 1, SHA256, 5))["message"])
    assert "files.example has no address, or a forbidden one" in message
    assert "10.0.0.1" not in message
    assert dialled == []


async def test_internal_names_get_the_same_message_whether_they_exist_or_not(
    fetcher: verifier.Fetcher, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message, in whole steps of time, in verifications, redirects and webhooks; the log has the difference."""
    monkeypatch.setattr(address_guard, "REFUSAL_SECONDS", 0.2)

    async def resolve(_: Resolver, owner: Owner, host: str, port: int) -> list[tuple[Any, ...]]:
        if host.startswith("real"):
            return [(*PRIVATE[:4], (PRIVATE[4][0], port))]
        if host == "127.0.0.1":
            return [(*PRIVATE[:4], (host, port))]
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(Resolver, "addresses", resolve)
    told: dict[str, list[str | None]] = {}
    with structlog.testing.capture_logs() as entries:
        for name in ("real", "none"):
            url, began = f"https://{name}.corp.example:8443/a", time.monotonic()
            direct = str((await fetcher.check(url, 1, SHA256, 5))["message"])
            server.behaviour = redirect(url)
            redirected = str((await fetcher.check(server.url, 1, SHA256, 5))["message"])
            async with sender.WebhookSender(address_guard.Allowed(), 1) as poster:
                reply = await poster.post(Owner("acme"), url, {}, b"{}")
            assert time.monotonic() - began >= 3 * 0.2
            said = [direct, redirected, reply.error]
            told[name] = [text and text.replace(name, "NAME") for text in said]
    assert told["real"] == told["none"]
    assert all("NAME.corp.example" in str(text) and "10.0.0.1" not in str(text) for text in told["real"])
    reasons = [
        (entry["host"], entry["port"], entry["reason"]) for entry in entries if entry["event"] == "host refused"
    ]
    assert reasons == [
        *[("real.corp.example", 8443, "forbidden address: 10.0.0.1")] * 3,
        *[("none.corp.example", 8443, "no address: [Errno -2] Name or service not known")] * 3,
    ]
    # Of a name that an operator allowed, the truth helps.
    async with verifier.Fetcher(
        address_guard.parse("none.corp.example:8443"), max_bytes=1 << 20, at_once=1
    ) as allowed:
        message = str((await allowed.check("https://none.corp.example:8443/a", 1, SHA256, 5))["message"])
        assert message.startswith("none.corp.example has no address: correct the name")
        assert "or a forbidden one" in str(
            (await allowed.check("https://none.corp.example/a", 1, SHA256, 5))["message"]
        )


async def test_a_name_that_changes_its_answer(
    fetcher: verifier.Fetcher, forbidden: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checked address is the dialled one: the second answer is for the next file, and is checked as well."""
    dialled = []

    async def dial(answer: tuple[Any, ...], seconds: float) -> socket.socket:
        dialled.append(answer[4])
        raise ConnectionRefusedError

    monkeypatch.setattr(address_guard, "_dial", dial)
    loopback = (*PUBLIC[:4], ("127.0.0.1", 80))
    asked = resolving(monkeypatch, [PUBLIC], [loopback])
    url = f"http://files.example:{forbidden.port}/"
    assert "refused the connection" in str((await fetcher.check(url, 1, SHA256, 5))["message"])
    assert asked == ["files.example"]
    assert "or a forbidden one" in str((await fetcher.check(url, 1, SHA256, 5))["message"])
    assert dialled == [("93.184.215.14", forbidden.port)]


async def test_a_second_address_is_tried(
    server: Server, monkeypatch: pytest.MonkeyPatch, dialled: list[tuple[str, int]]
) -> None:
    resolving(monkeypatch, [(*PUBLIC[:4], (address, 0)) for address in ("127.0.0.9", "127.0.0.1")])
    async with verifier.Fetcher(
        address_guard.parse(f"files.example:{server.port}"), max_bytes=1 << 20, at_once=1
    ) as fetcher:
        url = f"http://files.example:{server.port}/file"
        assert (await fetcher.check(url, len(FILE), SHA256, 5))["status"] == "VERIFIED"
    assert dialled == [("127.0.0.9", server.port), ("127.0.0.1", server.port)]
    assert f"Host: files.example:{server.port}".encode() in server.requests[0]


async def test_names_without_address_and_ports_without_server(fetcher: verifier.Fetcher, server: Server) -> None:
    async with Server.started() as gone:
        port = gone.port
    async with verifier.Fetcher(address_guard.parse("127.0.0.1"), max_bytes=1 << 20, at_once=1) as anywhere:
        result = await anywhere.check(f"http://127.0.0.1:{port}/", 1, SHA256, 5)
    assert f"127.0.0.1 refused the connection at port {port}" in str(result["message"])
    for host in ("nowhere.invalid", "a" * 64 + ".example", "files%00.example", "[fe80::1%25nowhere]"):
        result = await fetcher.check(f"http://{host}/", 1, SHA256, 5)
        assert result["status"] == "UNREACHABLE"


async def test_redirects_are_followed_and_counted(server: Server, fetcher: verifier.Fetcher) -> None:
    async def hops(writer: asyncio.StreamWriter) -> None:
        last = len(server.requests) > 5
        await (sending(answer(FILE)) if last else redirect(f"next?{len(server.requests)}", 307))(writer)

    server.behaviour = hops
    assert (await fetcher.check(server.url, len(FILE), SHA256, 5))["status"] == "VERIFIED"
    assert server.requests[-1].startswith(b"GET /next?5 ")
    server.behaviour = redirect("/file")
    result = await fetcher.check(server.url, len(FILE), SHA256, 5)
    assert "redirects more than 5 times" in str(result["message"])
    assert server.connections == 12


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("file:///etc/passwd", "another scheme than http or https"),
        ("gopher://127.0.0.1:70/", "another scheme than http or https"),
        ("http://user:secret@127.0.0.1/", "user name or password"),
        ("http://[::1/", "is invalid"),
    ],
)
async def test_redirects_to_forbidden_urls_are_refused(
    server: Server, fetcher: verifier.Fetcher, location: str, said: str
) -> None:
    server.behaviour = redirect(location)
    result = await fetcher.check(server.url, len(FILE), SHA256, 5)
    assert said in str(result["message"])
    assert "127.0.0.1 redirects to an unusable URL" in str(result["message"])
    assert "secret" not in str(result["message"])


# ---------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*command.split(), "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    return paths


async def test_tls_is_verified_against_the_name(
    certificate: tuple[Path, Path], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    allowed = address_guard.parse("127.0.0.1")
    async with Server.started(tls=tls) as secure:
        url = f"https://localhost:{secure.port}/file"
        async with verifier.Fetcher(allowed, max_bytes=1 << 20, at_once=1) as fetcher:
            resolving(monkeypatch, [(*PUBLIC[:4], ("127.0.0.1", 0))])
            result = await fetcher.check(url, len(FILE), SHA256, 5)
            assert "certificate of localhost is not trusted (self-signed certificate)" in str(result["message"])
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        async with verifier.Fetcher(allowed, max_bytes=1 << 20, at_once=1) as fetcher:
            assert (await fetcher.check(url, len(FILE), SHA256, 5))["status"] == "VERIFIED"
            other = url.replace("localhost", "files.example")
            assert "Hostname mismatch" in str((await fetcher.check(other, len(FILE), SHA256, 5))["message"])
            secure.behaviour = redirect(server.url)
            result = await fetcher.check(url, len(FILE), SHA256, 5)
            assert "redirects from https to http" in str(result["message"])
            assert server.connections == 0
            secure.behaviour = sending(answer(FILE[:9], f"Content-Length: {len(FILE)}"), then=60)
            assert "took longer" in str((await fetcher.check(url, len(FILE), SHA256, 0.5))["message"])
            server.until = b"\x03"  # the version in a TLS greeting
            plain = server.url.replace("http", "https")
            assert "The TLS connection to" in str((await fetcher.check(plain, len(FILE), SHA256, 5))["message"])


# ---------------------------------------------------------------- memory and rate


async def test_memory_stays_flat_whatever_comes(server: Server, fetcher: verifier.Fetcher) -> None:
    deflate, zeros = zlib.compressobj(1, wbits=31), bytes(1 << 20)
    bomb = b"".join(deflate.compress(zeros) for _ in range(2048)) + deflate.flush()
    sha256 = hashlib.sha256(bomb).hexdigest()
    tracemalloc.start()
    try:
        server.behaviour = sending(answer(b"", f"Content-Length: {len(bomb)}", "Content-Encoding: gzip"), bomb)
        result = await fetcher.check(server.url, len(bomb), sha256, 20)
        assert outcome(result) == ("VERIFIED", sha256, len(bomb))
        assert "sent the file encoded (gzip)" in str(result["message"])
        piece = b"100000\r\n" + zeros + b"\r\n"
        server.behaviour = repeating(piece, answer(b"", "Transfer-Encoding: chunked"))
        result = await fetcher.check(server.url, 1 << 30, sha256, 50)
        assert outcome(result) == ("MISMATCH", None, None)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


SENDFILE = """
import os, socket, sys
size = os.path.getsize(sys.argv[1])
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
while True:
    connection, _ = listening.accept()
    with connection, open(sys.argv[1], "rb") as file:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % size)
        sent = 0
        while sent < size:
            sent += os.sendfile(connection.fileno(), file.fileno(), sent, 1 << 23)
"""
MEASURE = """
import asyncio, hashlib, resource, sys
from release_catalog.files import address_guard, verifier

async def main(path, url, size):
    async with verifier.Fetcher(address_guard.parse("127.0.0.1"), max_bytes=1 << 40, at_once=4) as fetcher:
        digest = hashlib.file_digest(open(path, "rb", buffering=0), "sha256").hexdigest()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result = await fetcher.check(url, size, digest, 100)
        assert result["status"] == "VERIFIED" and result["actualSha256"] == digest, result
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    """Verify half a gigabyte in 64 MB; `make bench-files` measures the rate."""
    file = tmp_path / "large"
    size = 5 * 10**8
    block = hashlib.shake_256(b"block").digest(1_000_000)
    with file.open("wb") as writing:
        for number in range(size // len(block)):
            writing.write(number.to_bytes(8, "big") + block[8:])
    with subprocess.Popen([sys.executable, "-c", SENDFILE, file], stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout
            url = f"http://127.0.0.1:{int(serving.stdout.readline())}/"
            command = [sys.executable, "-c", MEASURE, str(file), url, str(size)]
            kilobytes = int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        finally:
            serving.kill()
            file.unlink()
    assert kilobytes < 64_000
