"""Real mongods and real processes; each test has its own folder, and leaves nothing running."""

import contextlib
import os
import pathlib
import signal
import socketserver
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest

from processes import eventually, mongods
from release_catalog import embedded, mongod

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the embedded MongoDB is POSIX only")

USER = """
import pathlib, sys
from release_catalog import embedded
with embedded.start(pathlib.Path(sys.argv[1])) as mongodb:
    print(mongodb.url, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    yield tmp_path / "data"
    for pid in mongods(tmp_path):
        os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def user(folder: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the folder until it reads a line."""
    command = [sys.executable, "-c", USER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextlib.contextmanager
def connected(url: str) -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    with pymongo.MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=3000) as client:
        yield client


def port_of(url: str) -> int:
    return int(url.rpartition("@")[2].partition("/")[0].rpartition(":")[2])


def keep(url: str) -> None:
    with connected(url) as client:
        client["catalog"]["releases"].insert_one({"_id": "kept"})


def kept(url: str) -> bool:
    with connected(url) as client:
        return client["catalog"]["releases"].count_documents({"_id": "kept"}) == 1


@contextlib.contextmanager
def squatted(url: str) -> Iterator[None]:
    """Another program at this address. It hangs up on everybody; for a silent one mongod would wait 30 s."""
    port = port_of(url)
    with Squatter(("127.0.0.1", port), socketserver.BaseRequestHandler) as squatter:
        thread = threading.Thread(target=squatter.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            squatter.shutdown()
            thread.join()


class Squatter(socketserver.TCPServer):
    allow_reuse_address = True


def fake_mongod(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch, script: str) -> pathlib.Path:
    """Put a program called mongod first on PATH, and hide the packaged one."""
    place.mkdir(exist_ok=True)
    program = place / "mongod"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(place))
    hide_the_package(monkeypatch)
    return program


def hide_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def test_first_start_gives_a_writable_primary_with_transactions_and_change_streams(
    folder: pathlib.Path,
) -> None:
    with embedded.start(folder) as mongodb, connected(mongodb.url) as client:
        releases = client["catalog"]["releases"]
        with releases.watch(max_await_time_ms=5000) as changes:
            with client.start_session() as session, session.start_transaction():
                releases.insert_one({"_id": 1}, session=session)
            assert changes.next()["documentKey"] == {"_id": 1}
        (pid,) = mongods(folder)
        assert os.getsid(pid) == pid, "Ctrl-C reaches the terminal's session, and must not reach mongod"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert mongods(folder) == []


def test_data_outlives_a_stop_and_logs_do_not_pile_up(folder: pathlib.Path) -> None:
    folder.mkdir()
    for log in ("mongod.log", "mongod.log.1"):
        (folder / log).write_text("of earlier runs\n")
    urls = set()
    for turn in range(2):
        mongodb = embedded.start(folder)
        if turn == 0:
            keep(mongodb.url)
        assert kept(mongodb.url)
        urls.add(mongodb.url)
        mongodb.stop()
        mongodb.stop()  # once too often does no harm
    assert len(urls) == 1, "the port is kept"
    logs = sorted(folder.glob("mongod.log*"))
    assert [log.name for log in logs] == ["mongod.log", "mongod.log.1"]
    assert not any("of earlier runs" in log.read_text() for log in logs)


def test_processes_share_one_mongod_and_the_last_one_stops_it(folder: pathlib.Path) -> None:
    with user(folder) as second, user(folder) as third:  # they race, too
        first = embedded.start(folder)
        assert url_of(second) == url_of(third) == first.url
        assert len(mongods(folder)) == 1
        keep(first.url)
        third.communicate("\n")
        first.stop()
        assert kept(first.url)
        second.communicate("\n")
        assert second.returncode == third.returncode == 0
    assert mongods(folder) == []


def test_a_mongod_whose_starter_was_killed_is_taken_over(folder: pathlib.Path) -> None:
    with user(folder) as owner:
        keep(url_of(owner))
        owner.kill()
    orphans = mongods(folder)
    with embedded.start(folder) as mongodb:
        assert mongods(folder) == orphans
        assert kept(mongodb.url)
    assert eventually(lambda: mongods(folder) == [])


def test_a_mongod_whose_starter_was_killed_before_it_was_ready_is_taken_over(folder: pathlib.Path) -> None:
    with user(folder) as owner:
        assert eventually(lambda: mongods(folder) != [])
        owner.kill()
    orphans = mongods(folder)
    with user(folder) as heir:
        keep(url_of(heir))
        assert mongods(folder) == orphans


def test_a_start_recovers_what_was_killed(folder: pathlib.Path) -> None:
    with user(folder) as owner:
        url = url_of(owner)
        keep(url)
        os.kill(mongods(folder)[0], signal.SIGKILL)
        with user(folder) as heir:
            assert url_of(heir) == url, "so that the owner finds it again"
            assert kept(url)
            for pid in (owner.pid, heir.pid, *mongods(folder)):
                os.kill(pid, signal.SIGKILL)
    with embedded.start(folder) as mongodb:
        assert kept(mongodb.url)


def test_another_port_is_found_when_somebody_has_ours(folder: pathlib.Path) -> None:
    with embedded.start(folder) as mongodb:
        keep(mongodb.url)
    with squatted(mongodb.url), embedded.start(folder) as moved:
        assert moved.url != mongodb.url
        assert kept(moved.url)
        with connected(moved.url) as client:
            client["catalog"]["releases"].insert_one({"_id": "takes writes"})


def test_a_folder_in_use_by_a_stranger_is_refused(folder: pathlib.Path) -> None:
    (folder / "db").mkdir(parents=True)
    command = f"{mongod.program()} --dbpath {folder / 'db'} --port 0 --bind_ip 127.0.0.1 --nounixsocket".split()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as stranger:
        lock = folder / "db" / "mongod.lock"
        assert eventually(lambda: lock.exists() and lock.read_text() != "")
        with pytest.raises(mongod.Unavailable, match=f"{folder} is in use by a mongod"):
            embedded.start(folder)
        assert stranger.poll() is None
        stranger.kill()


def test_without_a_mongod_all_three_ways_out_are_named(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    hide_the_package(monkeypatch)
    with pytest.raises(mongod.Unavailable) as refusal:
        embedded.start(folder)
    for way in ("pip install 'release-catalog[embedded]'", "mongod on PATH", "RELEASE_CATALOG_MONGODB_URL"):
        assert way in str(refusal.value)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "echo 'libcrypto.so.3: cannot open shared object file' >&2; exit 127",
            "libcrypto.so.3: cannot open",
        ),
        ("echo 'db version v5.0.9'", "db version v5.0.9"),
    ],
)
def test_a_mongod_that_does_not_run_here_is_named_with_its_reason(
    folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    program = fake_mongod(tmp_path / "bin", monkeypatch, script)
    with pytest.raises(mongod.Unavailable) as refusal:
        embedded.start(folder)
    for part in (str(program), reason, "release-catalog[embedded]"):
        assert part in str(refusal.value)


def test_a_mongod_that_gives_up_is_quoted(
    folder: pathlib.Path,
) -> None:
    (folder / "db").mkdir(parents=True)
    (folder / "db" / "WiredTiger.turtle").write_text("no turtle")
    with pytest.raises(mongod.Unavailable) as refusal:
        embedded.start(folder)
    for part in (f"{folder} stopped with exit code", "WiredTiger error message", str(folder / "mongod.log")):
        assert part in str(refusal.value)


def test_a_mongod_that_never_gets_ready_is_ended(
    folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'case "$1" in --version) echo db version v6.0.5;; *) echo still busy; exec /bin/sleep 99;; esac'
    fake_mongod(tmp_path / "bin", monkeypatch, script)
    with pytest.raises(mongod.Unavailable, match="was not ready in time: still busy"):
        embedded.start(folder, timeout_seconds=0.5)
    assert eventually(lambda: not embedded._is_locked(folder / "mongod.port"))


def test_a_folder_that_can_not_be_one_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(mongod.Unavailable, match=f"{tmp_path / 'file' / 'data'} can't be used"):
        embedded.start(tmp_path / "file" / "data")


def test_windows_is_told_what_to_do(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(mongod.Unavailable, match="RELEASE_CATALOG_MONGODB_URL"):
        embedded.start(folder)


def test_only_clients_that_know_the_key_are_served(folder: pathlib.Path) -> None:
    with embedded.start(folder) as mongodb:
        key = folder / "mongod.key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert key.read_text() not in (folder / "mongod.log").read_text()
        for credentials in ("", "__system:guess@", "root:root@"):
            url = (
                f"mongodb://{credentials}127.0.0.1:{port_of(mongodb.url)}/?directConnection=true&authSource=local"
            )
            with connected(url) as client, pytest.raises(pymongo.errors.OperationFailure):
                client["catalog"]["releases"].find_one()
            # No first user can be made either, whatever MongoDB grants to clients of the same machine.
            with connected(url) as client, pytest.raises(pymongo.errors.OperationFailure):
                client.admin.command("createUser", "me", pwd="me", roles=["root"])
        keep(mongodb.url)
        assert kept(mongodb.url)


def test_a_folder_from_before_there_were_keys_goes_on(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded.start(folder) as mongodb:
        keep(mongodb.url)
    (folder / "mongod.key").unlink()
    with embedded.start(folder) as mongodb:
        assert kept(mongodb.url)


def test_a_mongod_that_ends_is_started_again(folder: pathlib.Path) -> None:
    with embedded.start(folder) as mongodb:
        keep(mongodb.url)
        [before] = mongods(folder)
        os.kill(before, signal.SIGKILL)
        again = eventually(lambda: [pid for pid in mongods(folder) if pid != before], 60)
        assert len(again) == 1

        def answers() -> bool:
            with contextlib.suppress(pymongo.errors.PyMongoError):
                return kept(mongodb.url)
            return False

        assert eventually(answers, 60)
    assert mongods(folder) == []
