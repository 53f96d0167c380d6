"""The command line and the server as users have them: processes of their own."""

import contextlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2

from release_catalog.cli.main import main
from support import graphql_client

SCRIPT = str(Path(sys.executable).parent / "release-catalog")
SERVING = re.compile(r'"url":"(http://[^"]+)/graphql"')


def environment(**settings: object) -> dict[str, str]:
    """The environment with these settings, and no others of the catalog."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELEASE_CATALOG_")}
    # Each process would compile everything anew.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {f"RELEASE_CATALOG_{name.upper()}": str(value) for name, value in settings.items()}


class Done(subprocess.CompletedProcess[str]):
    """A command that has ended. `database` is what it called its database; `stderr` is the rest."""

    database: str | None = None


def run(*arguments: object, source: bytes | None = None, folder: Path | None = None, **settings: object) -> Done:
    """Run a command to its end, in a folder; `source` is its standard input."""
    command, env = [SCRIPT, *map(str, arguments)], environment(**settings)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.NamedTemporaryFile()) for _ in range(3)]
        files[0].write(source or b"")
        files[0].flush()
        process = _FORKS.Process(
            target=_execute, args=(command, env, folder or Path.cwd(), [file.name for file in files])
        )
        process.start()
        process.join(180)
        if process.is_alive():
            process.kill()
        process.join()
        out, told = (Path(file.name).read_text() for file in files[1:])
    assert process.exitcode is not None
    named = re.match(r"Using the database (.*)\.\n", told)
    ended = Done(command, process.exitcode, out, told[named.end() :] if named else told)
    ended.database = named[1] if named else None
    return ended


# A process that has imported the command line, of which commands are forked: importing it takes a second.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["__main__", "release_catalog.cli.main", "release_catalog.server.app"])


def _execute(command: list[str], env: dict[str, str], folder: Path, files: list[str]) -> None:
    """Be a command that reads the first file and writes to the others."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.argv = command
    for number, (file, mode) in enumerate(zip(files, "rww", strict=True)):
        os.dup2(os.open(file, os.O_RDONLY if mode == "r" else os.O_WRONLY), number)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in enumerate("rww"))  # noqa: PTH123, SIM115
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)  # noqa: T201
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
        os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))


def eventually(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Return the value of `condition` as soon as it is true, or the last one."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def freeze(process: subprocess.Popen[bytes]) -> None:
    """Stop a process, and return when each of its threads stands still: a signal alone takes its time."""
    process.send_signal(signal.SIGSTOP)
    if sys.platform == "linux":
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


def high_water(pid: int) -> int:
    """The most memory that a process has had, in kB; what wait4 tells begins with the parent's, before exec."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        return int(found[1]) if (found := re.search(r"VmHWM:\s+(\d+) kB", status)) else 0
    return 0


def peak(process: subprocess.Popen[bytes]) -> int:
    """The most memory that a process has had until it ends, in kB."""
    most = 0
    while process.poll() is None:
        most = max(most, high_water(process.pid))
        time.sleep(0.02)
    return most


def mongods(folder: Path) -> list[int]:
    """The mongods that have their data under `folder`."""
    rows = subprocess.run(["ps", "-axwwo", "pid=,command="], capture_output=True, text=True, check=True)
    found = [row.split(maxsplit=1) for row in rows.stdout.splitlines()]
    return [int(pid) for pid, command in found if "--dbpath" in command and str(folder) in command]


class Server:
    """A server that is ready."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        found = eventually(lambda: SERVING.search(log.read_text()) or process.poll() is not None)
        assert isinstance(found, re.Match), log.read_text()
        self.url: str = found[1]
        assert httpx2.get(f"{self.url}/readyz").status_code == 200

    def entries(self, event: str) -> list[dict[str, Any]]:
        """The log's entries about this event."""
        entries: list[dict[str, Any]] = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [entry for entry in entries if entry["event"] == event]

    def ask(self, query: str, **variables: Any) -> Any:
        """The data of a query that has to succeed."""
        return graphql_client.ask(self.url, query, **variables)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextlib.contextmanager
def serving(folder: Path, *arguments: object, **settings: object) -> Iterator[Server]:
    """A server at a free port with its log in `folder`, and its data too unless a MongoDB is named."""
    settings = {"data_dir": folder / "data", **settings}
    folder.mkdir(exist_ok=True)
    log = folder / "server.log"
    with log.open("wb") as file:
        command = [SCRIPT, "serve", "--port", "0", *map(str, arguments)]
        process = subprocess.Popen(command, stderr=file, env=environment(**settings))
    try:
        yield Server(process, log)
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
