"""The embedded MongoDB, used if no other is configured.

One mongod a data folder, shared by every process that uses the folder; the last to leave stops it. It listens on
loopback only, and accepts only clients that know the key in the folder: users who can read the key can read the
data, other users of this machine can't. A mongod that stops while it is in use is restarted at the same port.

The data folder, accessible to its owner only, has `db/` (MongoDB's files), `mongod.key` (what clients and mongod
prove that they know), `mongod.log` and `mongod.log.1` (this run and the one before). Locks tell which processes
use the folder, because the kernel releases them however a process ends: `turn.lock` is held while starting or
stopping, `users.lock` is shared by the users, and `mongod.port` (the port to find it at) is held by our mongod
itself, which inherits that lock and so outlives its starter with it.
"""

import contextlib
import functools
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

import pymongo.errors
import structlog

from release_catalog.embedded_mongodb import binary, data_folder
from release_catalog.embedded_mongodb.binary import ELSEWHERE, Unavailable
from release_catalog.embedded_mongodb.data_folder import private
from release_catalog.embedded_mongodb.watcher import Watcher

if sys.platform != "win32":
    import fcntl

_HOST = "127.0.0.1"
_REPLICA_SET = "release-catalog"
_OPTIONS = (
    *("--bind_ip", _HOST, "--replSet", _REPLICA_SET, "--noscripting", "--quiet"),
    "--nounixsocket",  # one left in /tmp by another user's mongod would stop ours from starting
    *("--wiredTigerCacheSizeGB", "1"),
    # The defaults write out the same pages over and over once 50 MB of them have changed, as a load soon does.
    "--wiredTigerEngineConfigString",
    "eviction_dirty_target=60,eviction_dirty_trigger=80,eviction_updates_target=50,eviction_updates_trigger=70",
    *("--oplogSize", "1024"),  # MB; the default is 5% of the disk, and nobody replicates from here
    # A killed process's uncommitted changes stay locked until its transaction is too old: 60 s by default.
    *("--setParameter", "transactionLifetimeLimitSeconds=10"),
    *("--setParameter", "diagnosticDataCollectionEnabled=false"),  # 200 MB that only MongoDB's support reads
    # Clients are members of the replica set, by its key, so no user is needed.
    *("--setParameter", "enableLocalhostAuthBypass=false"),
)
# MongoDB's own name for a client that knows the key.
_USER, _AUTHENTICATION_DATABASE = "__system", "local"
_EXIT_PORT_TAKEN = 48
_STOP_SECONDS, _RESTART_SECONDS = 30.0, 120.0
_PAUSE_SECONDS = 0.03

_log = structlog.get_logger()


class Embedded(contextlib.AbstractContextManager["Embedded", None]):
    """A share in a running, writable MongoDB at `url`, a replica set of one. Leave a `with` block to stop.

    The URL holds the key: do not log it.
    """

    def __init__(self, folder: pathlib.Path, share: IO[bytes]) -> None:
        key, self._port = urllib.parse.quote(data_folder.key(folder), safe=""), _port(folder)
        self.url = (
            f"mongodb://{_USER}:{key}@{_HOST}:{self._port}/"
            f"?directConnection=true&authSource={_AUTHENTICATION_DATABASE}"
        )
        self._folder = folder
        self._share = share
        # Whether mongod has another port by now, where no client of this process looks for it.
        self._is_lost = False
        self._watcher = Watcher(folder, self._is_running, self._restart, functools.partial(_log_excerpt, folder))

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Give the share back; the last user also stops mongod and waits for that: 1 second, at most 30.

        May be called again. Close your own clients first. A mongod that can't stop is left to the next start.
        """
        if self._share.closed:
            return
        self._watcher.close(_STOP_SECONDS)
        is_late = _after(_STOP_SECONDS)
        # Unavailable: others took too long to start or stop, and so there are others.
        with self._share, contextlib.suppress(Unavailable), _startup_lock(self._folder, is_late):
            if _lock(self._share):
                _shut_down(self._folder, is_late)

    def _is_running(self) -> bool:
        if not _is_locked(self._folder / "mongod.port"):
            return False
        if not self._is_lost and _port(self._folder) != self._port:
            self._is_lost = True
            reason = f"Another program took port {self._port}: restart this process, too."
            _log.error("port of the embedded MongoDB changed", folder=str(self._folder), reason=reason)
        return True

    def _restart(self, is_over: Callable[[], bool]) -> None:
        """Start mongod again where its clients look for it, unless another process has."""
        is_late = _after(_RESTART_SECONDS, is_over)
        with _startup_lock(self._folder, is_late), contextlib.ExitStack() as on_failure:
            _join_or_launch(self._folder, is_late, on_failure, self._port)
            on_failure.pop_all()


def _after(seconds: float, is_over: Callable[[], bool] = lambda: False) -> Callable[[], bool]:
    """Return a function that tells whether to give up: after `seconds`, or when `is_over()`."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end or is_over()


def start(data_dir: pathlib.Path, *, timeout_seconds: float = 60) -> Embedded:
    """Join the MongoDB that runs in `data_dir`, or start it; return when it takes writes. Blocks: 1 to 3 s.

    `data_dir` is made with mode 0700 if it does not exist. Raises Unavailable, also after `timeout_seconds`.
    """
    if sys.platform == "win32":
        raise Unavailable(f"The embedded MongoDB runs on Linux and macOS only: {ELSEWHERE}.")
    is_late = _after(timeout_seconds)
    try:
        folder = data_folder.prepare(data_dir)
        with contextlib.ExitStack() as on_failure:
            share = on_failure.enter_context(private(folder / "users.lock").open("ab"))
            with _startup_lock(folder, is_late):
                fcntl.flock(share, fcntl.LOCK_SH)
                data_folder.make_key(folder)
                _join_or_launch(folder, is_late, on_failure)
                on_failure.pop_all()
                return Embedded(folder, share)
    except OSError as error:
        raise Unavailable(
            f"The data folder {data_dir} can't be used: {error}. Make the folder writable, free space "
            f"on its disk, choose another folder, or {ELSEWHERE}."
        ) from error


@contextlib.contextmanager
def _startup_lock(folder: pathlib.Path, is_late: Callable[[], bool]) -> Iterator[None]:
    """Hold the lock for starting and stopping. Poll, because a blocking flock has no timeout."""
    with private(folder / "turn.lock").open("ab") as file:
        while not _lock(file):
            if is_late():
                raise Unavailable(
                    f"Another process is starting or stopping the MongoDB in {folder}: try again later, or "
                    f"{ELSEWHERE}."
                )
            time.sleep(_PAUSE_SECONDS)
        yield


def _lock(file: IO[Any]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(path: pathlib.Path) -> bool:
    try:
        with path.open("rb") as file:
            return not _lock(file)
    except FileNotFoundError:
        return False


def _join_or_launch(
    folder: pathlib.Path, is_late: Callable[[], bool], on_failure: contextlib.ExitStack, port: int | None = None
) -> None:
    """Return when our mongod is a writable primary.

    Inspect everything in each round, because a crash may leave any state. Launch mongod only at `port`, if given.
    """
    launched: subprocess.Popen[bytes] | None = None
    while True:
        if _is_locked(folder / "mongod.port"):
            if _is_primary(folder):
                return
        elif launched is not None and launched.wait() != _EXIT_PORT_TAKEN:
            raise Unavailable(_error_report(folder, f"stopped with exit code {launched.returncode}"))
        elif launched is not None and port is not None:
            raise Unavailable(f"Another program uses port {port} of the MongoDB in {folder}: stop that program.")
        elif _is_locked(folder / "db" / "mongod.lock"):
            raise Unavailable(
                f"The data folder {folder} is in use by a mongod that release-catalog did not start. "
                f"Stop that mongod, choose another folder, or {ELSEWHERE}."
            )
        else:
            with _signals_later():
                launched = _launch(folder, port or _free_port(folder))
                on_failure.callback(launched.terminate)
        if is_late():
            raise Unavailable(_error_report(folder, "was not ready in time"))
        time.sleep(_PAUSE_SECONDS)


@contextlib.contextmanager
def _signals_later() -> Iterator[None]:
    """Delay signals: one that is handled before mongod's start is noted leaves mongod running."""
    if threading.current_thread() is not threading.main_thread():  # none are handled there
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda which, _: came.append(which)) for number in numbers}
    try:
        yield
    finally:
        for number, answer in before.items():
            signal.signal(number, answer if answer is not None else signal.SIG_DFL)
        for waiting in came:
            signal.raise_signal(waiting)


def _launch(folder: pathlib.Path, port: int) -> subprocess.Popen[bytes]:
    """Start mongod; its log is its standard output, and so also has the output from before the log begins."""
    program, log_path = binary.program(), folder / "mongod.log"
    with contextlib.suppress(FileNotFoundError):
        log_path.replace(folder / "mongod.log.1")
    own = ("--dbpath", folder / "db", "--port", str(port), "--keyFile", folder / "mongod.key")
    with private(log_path).open("ab") as log, private(folder / "mongod.port").open("a+") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        mark.seek(0)
        # On a full disk, nothing could be written in place of what is there.
        if mark.read() != f"{port}\n":
            mark.truncate(0)
            print(port, file=mark, flush=True)
        process = subprocess.Popen(  # noqa: S603 - we found the program, and no shell reads the arguments
            [program, *own, *_OPTIONS],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[mark.fileno()],
            start_new_session=True,  # Ctrl-C is for the server, which needs its database until it has ended
        )
    # Another user of the folder may be the one to stop it: no zombie may stay here then.
    threading.Thread(target=process.wait, name="embedded-mongod", daemon=True).start()
    return process


def _port(folder: pathlib.Path) -> int:
    """Return the port last used, or else one of the folder's own."""
    try:
        return int((folder / "mongod.port").read_text())
    except (FileNotFoundError, ValueError):  # ValueError: the starter was killed, or the disk full
        # Below the ports that outgoing connections take, and so likely to be free at the next start too.
        return 20_000 + zlib.crc32(bytes(folder)) % 10_000


def _free_port(folder: pathlib.Path) -> int:
    """Prefer the port of last time: another changes the URL, and the replica set's configuration."""
    with socket.socket() as probe:
        # As mongod does: connections of its last run that linger in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, _port(folder)))
        except OSError:
            probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _client(folder: pathlib.Path) -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    """Connect to our mongod: OSError or PyMongoError while it isn't ready, or if its port is another's."""
    port = _port(folder)
    # A MongoClient that finds no server sleeps for half a second.
    socket.create_connection((_HOST, port), timeout=2).close()
    with pymongo.MongoClient[dict[str, Any]](
        _HOST,
        port,
        username=_USER,
        password=data_folder.key(folder),
        authSource=_AUTHENTICATION_DATABASE,
        directConnection=True,
        serverSelectionTimeoutMS=2_000,
        socketTimeoutMS=5_000,
    ) as client:
        options = client.admin.command("getCmdLineOpts")["parsed"]
        if options.get("storage", {}).get("dbPath") != str(folder / "db"):
            raise pymongo.errors.ConnectionFailure("another mongod uses the port")
        yield client


def _is_primary(folder: pathlib.Path) -> bool:
    """Ask for a writable primary, and remove the obstacle if it is not one."""
    # Errors: it reads its configuration, or votes, or has just died; the next look tells. With a new port it may
    # read for 30 s: it waits that long for a program at the old port that accepts and never answers.
    with contextlib.suppress(OSError, pymongo.errors.PyMongoError), _client(folder) as client:
        if client.admin.command("hello")["isWritablePrimary"]:
            return True
        _form_replica_set(client, f"{_HOST}:{_port(folder)}")
    return False


def _form_replica_set(client: pymongo.MongoClient[dict[str, Any]], host: str) -> None:
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except pymongo.errors.OperationFailure:
        # It does not exist, or isn't read yet: then this is refused, and the next look finds it.
        config = {"_id": _REPLICA_SET, "members": [{"_id": 0, "host": host}]}
        client.admin.command("replSetInitiate", config)
    if config["members"][0]["host"] != host:
        # With a new port it finds itself in no set, and obeys only force.
        config["members"][0]["host"] = host
        client.admin.command("replSetReconfig", config | {"version": config["version"] + 1}, force=True)


def _shut_down(folder: pathlib.Path, is_late: Callable[[], bool]) -> None:
    """Ask mongod itself to stop, not a process id that may be another's by now, and wait for its end."""
    # The response to a shutdown is a closed connection.
    with contextlib.suppress(OSError, pymongo.errors.PyMongoError), _client(folder) as client:
        client.admin.command("shutdown", force=True)
    while _is_locked(folder / "mongod.port") and not is_late():
        time.sleep(_PAUSE_SECONDS)


def _error_report(folder: pathlib.Path, event: str) -> str:
    space = f" {reason}" if (reason := data_folder.little_space(folder)) else ""
    return (
        f"The MongoDB in {folder} {event}: {_log_excerpt(folder)}.{space} See {folder / 'mongod.log'}, choose "
        f"another data folder, or {ELSEWHERE}."
    )


def _log_excerpt(folder: pathlib.Path) -> str:
    """Return mongod's first error, as later ones follow from it, or else its last line; 400 characters."""
    reason, log = "without output", ""
    with contextlib.suppress(FileNotFoundError):  # another process starts it, and begins its log, at this moment
        log = (folder / "mongod.log").read_text(errors="replace")
    for line in log.splitlines():
        reason = ": ".join(re.findall(r'"(?:msg|error|errmsg|error_str)":"((?:[^"\\]|\\.)*)"', line)) or line
        # A line that is not JSON comes from the loader, or is about an option.
        if re.search(r'"s":"[EF]"', line) or not line.startswith("{"):
            break
    return reason[:400]
