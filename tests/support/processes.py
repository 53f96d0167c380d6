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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx2

from release_catalog.cli.main import main
from support import graphql_client

SCRIPT = str(Path(sys.executable).parent / "release-catalog")
# The event of a query that no plan could be compiled for.
NOT_COMPILED = "not answered by a compiled query"
SERVING = re.compile(r'"url":"(http://[^"]+)/graphql"')


def environment(**settings: object) -> dict[str, str]:
    """The environment with these settings, and no others of the catalog."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELEASE_CATALOG_")}
    # Each process would compile everything anew.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {f"RELEASE_CATALOG_{name.upper()}": str(value) for name, value in settings.items()}


class Done(subprocess.CompletedProcess[str]):
    """A command that has ended. `database` is what it called its database; `stderr` is the rest.

    `is_new` tells whether the command created the catalog.
    """

    database: str | None = None
    is_new: bool = False


def run(*arguments: object, source: bytes | None = None, folder: Path | None = None, **settings: object) -> Done:
    """Run a command to its end, in a folder; `source` is its standard input."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.NamedTemporaryFile()) for _ in range(3)]
        files[0].write(source or b"")
        files[0].flush()
        process = Process(arguments, environment(**settings), *(file.name for file in files), folder=folder)
        try:
            code = process.wait(180)
        finally:
            process.kill()
        out, told = (Path(file.name).read_text() for file in files[1:])
    named = re.match(r"Using the database (.*)\.\n(It has no catalog yet: a new one is created\.\n)?", told)
    ended = Done(process.command, code, out, told[named.end() :] if named else told)
    ended.database = named[1] if named else None
    ended.is_new = bool(named and named[2])
    return ended


# A process that has imported the command line, of which commands are forked: importing it takes a second.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["__main__", "release_catalog.cli.main", "release_catalog.server.app"])


class Process:
    """A command that runs by itself, with the methods of subprocess.Popen; its standard streams are files."""

    def __init__(
        self,
        arguments: Iterable[object],
        env: dict[str, str],
        source: str = os.devnull,
        output: str = os.devnull,
        errors: str = os.devnull,
        *,
        folder: Path | None = None,
    ) -> None:
        self.command = [SCRIPT, *map(str, arguments)]
        for file in {output, errors} - {os.devnull}:
            Path(file).write_bytes(b"")
        streams = (source, output, errors)
        self._forked = _FORKS.Process(target=_execute, args=(self.command, env, folder or Path.cwd(), streams))
        self._forked.start()

    @property
    def pid(self) -> int:
        assert self._forked.pid
        return self._forked.pid

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        return self._forked.exitcode

    def wait(self, seconds: float | None = None) -> int:
        """The exit code, once it has ended."""
        self._forked.join(seconds)
        if self._forked.exitcode is None:
            raise subprocess.TimeoutExpired(self.command, seconds or 0)
        return self._forked.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _execute(command: list[str], env: dict[str, str], folder: Path, files: tuple[str, str, str]) -> None:
    """Be a command that reads the first file and writes to the others."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.argv = command
    for number, (file, mode) in enumerate(zip(files, "rww", strict=True)):
        os.dup2(os.open(file, os.O_RDONLY if mode == "r" else os.O_WRONLY), number)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, 1) for number, mode in enumerate("rww"))  # noqa: PTH123, SIM115
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


def freeze(process: subprocess.Popen[bytes] | Process) -> None:
    """Stop a process, and return when each of its threads stands still: a signal alone takes its time."""
    process.send_signal(signal.SIGSTOP)
    if sys.platform == "linux":
        threads = Path(f"/proc/{process.pid}/task")
        assert eventually(lambda: {_state(file) for file in threads.glob("*/stat")} == {"T"})


def _state(file: Path) -> str:
    """The state of a thread, such as R for one that runs and T for one that is stopped."""
    return file.read_text().rpartition(")")[2].split()[0]


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

    def __init__(self, process: Process | subprocess.Popen[bytes], log: Path) -> None:
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
    process = Process(("serve", "--port", 0, *arguments), environment(**settings), errors=str(log))
    try:
        yield Server(process, log)
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
