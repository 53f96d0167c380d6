"""A server that starts before its database: it waits for as long as the settings say, and is alive meanwhile."""

import contextlib
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2

from support.graphql_client import ask, post, refusal_of
from support.outages import Mongod
from support.processes import SERVING, Process, environment, eventually


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def started(folder: Path, url: str, seconds: int, port: int) -> Iterator[tuple[Process, Path]]:
    """A server that may have no database yet, and its log."""
    log = folder / "server.log"
    settings = {"mongodb_url": url, "database_wait_seconds": seconds, "data_dir": folder / "data"}
    process = Process(("serve", "--port", port), environment(**settings), errors=str(log))
    try:
        yield process, log
    finally:
        process.kill()
        process.wait()


def test_the_server_serves_as_soon_as_the_database_answers(tmp_path: Path) -> None:
    (tmp_path / "mongod").mkdir()
    mongod, port = Mongod(tmp_path / "mongod"), free_port()
    base = f"http://127.0.0.1:{port}"

    def status(path: str) -> int:
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(base + path, timeout=5).status_code
        return 0

    with started(tmp_path, mongod.url, 120, port) as (process, log):
        assert eventually(lambda: status("/livez") == 200), log.read_text()
        assert (status("/readyz"), status("/v1/catalogs/default")) == (503, 503)
        with httpx2.Client(timeout=30) as http:
            early = post(http, "{ __typename }", url=base)
        assert (early.status_code, early.headers["retry-after"]) == (503, "2")
        assert refusal_of(early)["extensions"] == {"code": "UNAVAILABLE", "retryAfter": 2}
        assert eventually(lambda: "waiting for the database" in log.read_text())
        try:
            mongod.start()
            assert eventually(lambda: SERVING.search(log.read_text()), 60), log.read_text()
            assert eventually(lambda: status("/readyz") == 200)
            assert ask(base, "{ releases { totalCount } }") == {"releases": {"totalCount": 0}}
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            mongod.kill()


def test_the_wait_for_the_database_has_a_limit(tmp_path: Path) -> None:
    with started(tmp_path, f"mongodb://127.0.0.1:{free_port()}", 4, free_port()) as (process, log):
        assert process.wait(60) == 1
        assert "The database can't be used" in log.read_text()
        assert re.search(r"seconds_left.*waiting for the database", log.read_text())


def test_a_waiting_server_stops_at_once(tmp_path: Path) -> None:
    port = free_port()
    with started(tmp_path, f"mongodb://127.0.0.1:{free_port()}", 600, port) as (process, log):
        assert eventually(lambda: "waiting for the database" in log.read_text(), 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
        assert "Traceback" not in log.read_text()
