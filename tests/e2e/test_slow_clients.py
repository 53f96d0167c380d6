"""A real server between clients that take their time, or send bombs, and clients that do not."""

import contextlib
import json
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import httpx2
import pytest
import websockets.sync.client
from websockets.typing import Subprotocol

from support.graphql_client import data_of, post
from support.processes import Server, eventually, serving

QUERY = json.dumps({"query": "{ viewer { subject } }"}).encode()
HEAD = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SECONDS = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mongodb_url: str) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hurried")
    settings = {"receive_seconds": SECONDS, "max_connections": 600, "database": "hurried"}
    with serving(folder, mongodb_url=mongodb_url, **settings) as server:
        yield server
        assert server.stop() == 0


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=60)


def ended(client: socket.socket) -> bytes:
    """Return the bytes that the server sends until it closes the connection."""
    with contextlib.suppress(ConnectionResetError):
        return client.makefile("rb").read()
    return b""


def memory(server: Server) -> int:
    """Megabytes that the server holds."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))


def answered(server: Server, while_true: Callable[[], bool]) -> int:
    """Return how many requests of an ordinary client are answered."""
    count = 0
    with httpx2.Client(timeout=60) as client:
        while while_true():
            assert data_of(post(client, "{ viewer { subject } }", url=server.url))
            count += 1
    return count


def test_a_missing_head_times_out(server: Server) -> None:
    for sent in (b"", HEAD, b"\r\n", QUERY[:1]):
        with connected(server) as client:
            client.sendall(sent)
            answer = ended(client)
            assert answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 "))


def test_a_dripping_head_times_out(server: Server) -> None:
    with connected(server) as client:
        client.sendall(HEAD)
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            _drip(client)


def _drip(client: socket.socket) -> None:
    """Send a little now and then, thirty times as long as a head may take."""
    for _ in range(150 * SECONDS):
        time.sleep(0.2)
        client.sendall(b"X-a: b\r\n")


def test_a_second_head_has_the_same_timeout(server: Server) -> None:
    with connected(server) as client:
        client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(QUERY) + QUERY + HEAD)
        assert ended(client).count(b"HTTP/1.1 ") == 2


def test_a_stalled_body_times_out(server: Server) -> None:
    with connected(server) as client:
        client.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + QUERY)
        assert ended(client) == b""
    assert eventually(lambda: 499 in {entry["status"] for entry in server.entries("request")})


def test_a_steady_body_may_take_longer(server: Server) -> None:
    body = QUERY + b" " * 200_000
    with connected(server) as client:
        client.sendall(HEAD + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body))
        for at in range(0, len(body), 25_000):
            client.sendall(body[at : at + 25_000])
            time.sleep(0.4)
        assert ended(client).startswith(b"HTTP/1.1 200 ")


def test_a_head_has_an_end(server: Server) -> None:
    with connected(server) as client:
        with contextlib.suppress(OSError):
            for _ in range(100):
                client.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 10_000 if not _ else b"a" * 10_000)
                time.sleep(0.005)
        answer = ended(client)
        assert not answer or answer.startswith(b"HTTP/1.1 431 ")
    assert server.ask("{ viewer { subject } }")


def test_a_hundred_megabytes_in_chunks_are_cut_off(server: Server) -> None:
    before = memory(server)
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    sent = 0
    with connected(server) as client:
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(1_600):
                client.sendall(chunk)
                sent += len(chunk)
        ended(client)
    assert sent < 32 << 20
    assert eventually(lambda: 413 in {entry["status"] for entry in server.entries("request")})
    assert memory(server) - before < 32


def test_500_slow_connections_disturb_nobody(server: Server) -> None:
    before = memory(server)
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(connected(server)).sendall(HEAD)
        for _ in range(10):
            assert server.ask("{ viewer { subject } }")
    assert memory(server) - before < 32


def test_a_full_server_closes_the_connection_that_waits_longest(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(700):
            stack.enter_context(connected(server)).sendall(HEAD)
        assert server.ask("{ viewer { subject } }")


def test_subscribers_use_no_slots_of_other_requests(tmp_path: Path, mongodb_url: str) -> None:
    with (
        serving(tmp_path, mongodb_url=mongodb_url, database="hurried", max_connections=10) as server,
        contextlib.ExitStack() as stack,
    ):
        url = server.url.replace("http", "ws") + "/graphql"
        protocol = [Subprotocol("graphql-transport-ws")]
        sockets = [
            stack.enter_context(websockets.sync.client.connect(url, subprotocols=protocol)) for _ in range(15)
        ]
        for each in sockets:
            each.send('{"type": "connection_init"}')
            assert each.recv(60) == '{"type":"connection_ack"}'
        assert server.ask("{ viewer { subject } }")


def bombs() -> Iterator[bytes]:
    """Bodies that are to be refused."""
    spreads = "".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }} " for n in range(95))
    deep = "[" * 500_000
    for query in (
        "{" + "a:__typename " * 75_000 + "}",
        "{" + " ".join(f"a{n}:__typename" for n in range(600)) + "}",
        "{ a" * 10_000,
        "{ ...F0 } " + spreads + "fragment F95 on Query { __typename }",
        "{" + "viewer { subject } " * 490 + "}",
        "#" + "x" * 1_000_000 + "\n{ __typename }",
    ):
        yield json.dumps({"query": query}).encode()
    search = "query ($f: ReleaseFilter) { releases(filter: $f) { totalCount } }"
    for value in ({"nameContains": "(a+)+" * 40_000}, {"channel": ["x"] * 200_000}, {"name": "x" * 1_000_000}):
        yield json.dumps({"query": search, "variables": {"f": value}}).encode()
    yield json.dumps([{"query": "{ __typename }"}] * 10_000).encode()
    yield f'{{"query": "{{ __typename }}", "variables": {{"a": {deep}'.encode()


def mistakes() -> Iterator[bytes]:
    """Bodies within the limits that take long to find invalid."""
    spreads = "".join(f"fragment F{n} on Query {{ ...F{n + 1} a{n} }} " for n in range(90))
    for query in (
        "{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...A ...A }",
        "{ ...F0 } " + spreads + "fragment F90 on Query { ...F0 }",
        "{" + " ".join(f"a{n}" for n in range(1_990)) + "}",
    ):
        yield json.dumps({"query": query}).encode()


def throw(url: str, bodies: list[bytes], accept: str, told: Connection) -> None:
    """Send bodies back to back until killed; after each round, tell the statuses of its answers."""
    headers = {"content-type": "application/json", "accept": accept}
    with httpx2.Client(timeout=60) as client:
        while True:
            told.send([client.post(url, content=body, headers=headers).status_code for body in bodies])


@contextlib.contextmanager
def thrown(server: Server, bodies: list[bytes], accept: str) -> Iterator[Connection]:
    """Another process throws bodies; tells the statuses."""
    spawning = multiprocessing.get_context("spawn")
    there, told = spawning.Pipe(duplex=False)
    thrower = spawning.Process(target=throw, args=(f"{server.url}/graphql", bodies, accept, told), daemon=True)
    thrower.start()
    try:
        assert there.poll(60)
        yield there
    finally:
        thrower.kill()
        thrower.join()


@pytest.mark.parametrize(
    ("bodies", "accept"),
    [(list(bombs()), "application/json"), (list(mistakes()), "application/graphql-response+json")],
    ids=["bombs", "mistakes"],
)
def test_bombs_are_refused_and_others_are_answered_meanwhile(
    server: Server, bodies: list[bytes], accept: str
) -> None:
    before = memory(server)
    rounds: list[list[int]] = []

    def few() -> bool:
        while there.poll():
            rounds.append(there.recv())
        return len(rounds) < 4

    with thrown(server, bodies, accept) as there:
        count = answered(server, few)
    assert {status for statuses in rounds for status in statuses} == {400}
    # Some of the first round came before the first request.
    assert count > 3 * len(bodies)
    assert memory(server) - before < 64
