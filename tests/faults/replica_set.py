"""A replica set of real mongods on loopback, whose members can be killed, frozen and restarted."""

import contextlib
import dataclasses
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import pymongo
from pymongo.errors import PyMongoError

from faults.ports import free_port
from release_catalog.embedded_mongodb import binary
from support import processes

Result = TypeVar("Result")

NAME = "faults"
ELECTION_SECONDS = 2.0
_HOST = "127.0.0.1"
_OPTIONS = (
    *("--bind_ip", _HOST, "--replSet", NAME, "--noscripting", "--quiet", "--nounixsocket"),
    *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"),
    # As the README asks for: what a killed process was writing stays locked until its transaction is too old.
    *("--setParameter", "transactionLifetimeLimitSeconds=10"),
    *("--setParameter", "diagnosticDataCollectionEnabled=false"),
)
_SETTINGS = {"electionTimeoutMillis": int(ELECTION_SECONDS * 1000), "heartbeatIntervalMillis": 500}
_LOOK_SECONDS = 0.1


class Member:
    """One mongod, whose data and port outlive its process."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self.folder, self.port, self.options = folder, free_port(), tuple(options)
        self.address = f"{_HOST}:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.frozen = False

    def start(self) -> None:
        """Start the process, which need not be ready when this returns."""
        data = self.folder / "db"
        data.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [
            binary.program(),
            "--dbpath",
            data,
            "--port",
            str(self.port),
            *_OPTIONS,
            *self.options,
        ]
        with (self.folder / "mongod.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.frozen = False

    @property
    def running(self) -> bool:
        """Whether the process exists, be it frozen."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End the process at once."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        """Stop the process where it is; its connections stay open."""
        assert self.process
        processes.freeze(self.process)
        self.frozen = True

    def resume(self) -> None:
        """Let a frozen process go on."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)
        self.frozen = False

    def client(self, seconds: float = 5) -> pymongo.MongoClient[dict[str, Any]]:
        """Return a client of this member alone, each of whose commands has so many seconds."""
        milliseconds = int(seconds * 1000)
        return pymongo.MongoClient(
            _HOST,
            self.port,
            directConnection=True,
            serverSelectionTimeoutMS=milliseconds,
            socketTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
        )


@dataclasses.dataclass(frozen=True)
class Reign:
    """The time from which a member has been a primary that takes writes."""

    since: float
    member: Member
    election: Any


class Monitor:
    """Notes when members become primary, by asking each of them ten times a second."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.reigns: list[Reign] = []
        self._lock, self._over = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._follow, args=(member,), daemon=True) for member in members]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _follow(self, member: Member) -> None:
        with member.client(0.5) as client:
            while not self._over.wait(_LOOK_SECONDS):
                with contextlib.suppress(PyMongoError):
                    hello = client.admin.command("hello")
                    if hello["isWritablePrimary"]:
                        self._note(member, hello["electionId"])

    def _note(self, member: Member, election: Any) -> None:
        with self._lock:
            if all(reign.election != election for reign in self.reigns):
                self.reigns.append(Reign(time.monotonic(), member, election))

    def current(self) -> Reign:
        """Return the newest reign."""
        with self._lock:
            return max(self.reigns, key=lambda reign: reign.election)

    def after(self, moment: float, seconds: float = 60) -> Reign:
        """Return the first reign that began after a moment, waiting for it."""
        return wait_for(
            lambda: next((r for r in self.reigns if r.since > moment), None), seconds, "no new primary"
        )


class ReplicaSet:
    """Members that vote for a primary, as many as there are folders for."""

    def __init__(self, folders: Sequence[Path], options: Sequence[str] = ()) -> None:
        self.members = [Member(folder, options) for folder in folders]
        self.monitor = Monitor(self.members)

    def url(self, options: str = "") -> str:
        """Return the URL that names all members."""
        hosts = ",".join(member.address for member in self.members)
        return f"mongodb://{hosts}/?replicaSet={NAME}{options}"

    @property
    def primary(self) -> Member:
        """The member that became primary last."""
        return self.monitor.current().member

    @property
    def secondaries(self) -> list[Member]:
        """The other members."""
        return [member for member in self.members if member is not self.primary]

    def restore(self, seconds: float = 90) -> None:
        """Bring every member back, and wait until all of them serve."""
        for member in self.members:
            if member.frozen:
                member.resume()
            if not member.running:
                member.start()
        wait_for(self._whole, seconds, "the replica set is not whole")

    def _whole(self) -> bool:
        with contextlib.suppress(PyMongoError), self.members[0].client() as client:
            status = client.admin.command("replSetGetStatus")
            states = sorted(member["stateStr"] for member in status["members"])
            return states == ["PRIMARY", *["SECONDARY"] * (len(self.members) - 1)]
        return False

    def gone(self, seconds: float = 120) -> None:
        """Wait until so many members have ended that there can be no primary."""

        def few() -> bool:
            return sum(member.running for member in self.members) <= len(self.members) // 2

        wait_for(few, seconds, "most members still run")

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Have the replica set run with a primary for as long as the context lasts."""
        try:
            for member in self.members:
                member.start()
            for member in self.members:
                # The first one asks the others for their votes at once.
                with member.client(30) as client:
                    client.admin.command("ping")
            config = {
                "_id": NAME,
                "members": [{"_id": at, "host": member.address} for at, member in enumerate(self.members)],
                "settings": _SETTINGS,
            }
            with self.members[0].client(30) as client:
                client.admin.command("replSetInitiate", config)
            with self.monitor:
                wait_for(self._whole, 60, "the replica set does not form")
                self.monitor.after(0)
                yield self
        finally:
            for member in self.members:
                member.kill()

    @contextlib.contextmanager
    def client(self) -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
        """Have a client that reads what a majority holds."""
        with pymongo.MongoClient[dict[str, Any]](
            self.url("&readConcernLevel=majority&w=majority"), tz_aware=True, serverSelectionTimeoutMS=30_000
        ) as client:
            yield client


def wait_for(condition: Callable[[], Result | None], seconds: float, complaint: str) -> Result:
    """Return what `condition` gives as soon as that is true; AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{complaint} after {seconds:.0f} s"
        time.sleep(0.05)
    return found
