"""A MongoDB that can be frozen or told to fail, and proof that the event loop goes on meanwhile."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pymongo

from release_catalog.embedded_mongodb import binary
from support import processes

Json = dict[str, Any]


class Mongod:
    """A replica set of one that takes the commands for tests."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        self.folder = folder
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it takes writes."""
        with (self.folder / "mongod.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(
                        binary.program(),
                        "--dbpath",
                        self.folder,
                        "--port",
                        str(self.port),
                        "--bind_ip",
                        "127.0.0.1",
                    ),
                    *("--replSet", "rs", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"),
                    *("--setParameter", "enableTestCommands=1"),
                    *("--setParameter", "diagnosticDataCollectionEnabled=false", *self.options),
                ],
                stdout=log,
                stderr=log,
            )
        with pymongo.MongoClient[Json](self.url) as client:
            with contextlib.suppress(pymongo.errors.OperationFailure):  # it has been initiated before
                members = [{"_id": 0, "host": f"127.0.0.1:{self.port}"}]
                client.admin.command("replSetInitiate", {"_id": "rs", "members": members})
            deadline = time.monotonic() + 60
            while not client.admin.command("hello")["isWritablePrimary"]:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def freeze(self) -> None:
        """Have it accept connections and answer nothing."""
        assert self.process
        processes.freeze(self.process)

    def thaw(self) -> None:
        """Have it go on."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a word."""
        if self.process:
            self.thaw()
            self.process.kill()
            self.process.wait()

    @contextlib.contextmanager
    def failing(self, *commands: str, mode: Any = "alwaysOn", **data: Any) -> Iterator[None]:
        """Have commands fail, so many times: see the failpoint failCommand."""
        with pymongo.MongoClient[Json](self.url) as client:
            fail = {"configureFailPoint": "failCommand", "data": {"failCommands": list(commands), **data}}
            client.admin.command({**fail, "mode": mode})
            try:
                yield
            finally:
                client.admin.command("configureFailPoint", "failCommand", mode="off")


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[Mongod]:
    """A MongoDB of its own."""
    server = Mongod(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


# Ticks of a heartbeat: a second. What must not hold the loop waits for at least two.
HELD = 50


class Heartbeat:
    """The longest time for which the event loop did nothing else, in ticks of a thread.

    A busy machine holds up the thread, too: only the loop is held up by what runs in it.
    """

    SECONDS = 0.02

    def __init__(self) -> None:
        self.longest = 0
        self._ticks = 0
        self._ended = threading.Event()

    def tick(self) -> None:
        """Tick until the end."""
        while not self._ended.wait(self.SECONDS):
            self._ticks += 1

    def end(self) -> None:
        """End the ticks."""
        self._ended.set()

    async def measure(self) -> None:
        """Compare the turns of the loop with the ticks."""
        while True:
            before = self._ticks
            await asyncio.sleep(self.SECONDS)
            self.longest = max(self.longest, self._ticks - before)


@contextlib.asynccontextmanager
async def heartbeat() -> AsyncIterator[Heartbeat]:
    """Measure for how long the event loop is held while the context lasts."""
    beat = Heartbeat()
    thread = threading.Thread(target=beat.tick)
    thread.start()
    task = asyncio.create_task(beat.measure())
    await asyncio.sleep(0)
    try:
        yield beat
        # It measures the last turn, too.
        await asyncio.sleep(2 * beat.SECONDS)
    finally:
        task.cancel()
        beat.end()
        thread.join()
