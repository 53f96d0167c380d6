"""Measure the wait of a client while another one takes all it can get.

    make bench-fairness
    python benchmarks/fairness.py --seconds 5 --only "wrong passwords"

For each scarce resource of a server, one client floods a real server, and the median of another client is compared
with its usual one. The other client should not wait more than three times as long.
"""

import argparse
import base64
import contextlib
import dataclasses
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import websockets.sync.client

import floods

TARGET = 3.0
WARM_SECONDS = 1.5
# Between two measurements, so that the effects of the last one are gone.
REST_SECONDS = 1.0
LEAST = 8
PASSWORD = "correct horse battery"  # noqa: S105  of accounts that this makes
KNOWN, GUESSED = "known", ("ci", "deploy")
FRESH = [f"fresh{number}" for number in range(40)]
_SERVING = re.compile(r'"url":"http://[^"]+:(\d+)/graphql"')
_COMMAND = str(Path(sys.executable).parent / "release-catalog")
SETTINGS = {
    "AUTHENTICATION": "required",
    "PUBLIC_SCHEMA": "false",
    "MAX_CONNECTIONS": "100",
    "SUBSCRIBERS": "200",
    "COST_PER_HOUR": "0",
    "LOG_LEVEL": "info",
}


class Client:
    """The client that does not flood; it keeps its connection unless a method says otherwise."""

    def __init__(self, target: floods.Target) -> None:
        self._target = target
        self._fresh = iter(FRESH)
        self._connection = http.client.HTTPConnection(target.host, target.port, timeout=60)

    def query(self) -> None:
        """Send a small query."""
        self._post("{ viewer { subject } }", self._target.headers)

    def small_query(self) -> None:
        """Send a small query that reads something."""
        self._post("{ catalogs(first: 1) { nodes { id name } } }", self._target.headers)

    def page(self) -> None:
        """Query a page of releases."""
        self._post("{ releases(first: 20) { nodes { id name version } } }", self._target.headers)

    def large_document(self) -> None:
        """Send a large document that the server does not know."""
        self._post(floods.large_document(), self._target.headers)

    def new_connection(self) -> None:
        """Send a small query over a new connection."""
        self._connection.close()
        self.query()

    def subscriber(self) -> None:
        """Open a WebSocket, and wait until it is acknowledged."""
        url, protocol = f"ws://{self._target.host}:{self._target.port}/graphql", floods.PROTOCOL
        with websockets.sync.client.connect(url, subprotocols=[protocol], close_timeout=1) as client:  # type: ignore[list-item]
            client.send(json.dumps({"type": "connection_init", "payload": self._target.headers}))
            if json.loads(client.recv(60))["type"] != "connection_ack":
                raise OSError("not acknowledged")

    def known_account(self) -> None:
        """Send a query as a service account that has signed in before."""
        self._post("{ viewer { subject } }", _basic(KNOWN))

    def fresh_account(self) -> None:
        """Send a query as a service account that signs in for the first time."""
        self._post("{ viewer { subject } }", _basic(next(self._fresh)))

    def _post(self, query: str, headers: dict[str, str]) -> None:
        body = json.dumps({"query": query})
        try:
            self._connection.request("POST", "/graphql", body, {"Content-Type": "application/json", **headers})
            response = self._connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if response.status != http.client.OK or "errors" in answer:
            raise OSError(f"status {response.status}: {answer}")


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A scarce resource of a server: the flood that takes it all, and the requests of the other client.

    `others` is called as often as `seconds` allow, or only a few times if each can be done only once.
    """

    name: str
    flood: floods.Flood
    others: Callable[[Client], None]
    most: int = 2_000


SCENARIOS = [
    Scenario("large documents: another's large one", floods.large_documents, Client.large_document),
    Scenario("large documents: another's small one", floods.large_documents, Client.query),
    Scenario("the same over sockets", floods.large_documents_over_sockets, Client.large_document),
    Scenario("bombs: another's small query", floods.bombs_back_to_back, Client.query),
    Scenario("subscribers", floods.subscribers, Client.subscriber),
    Scenario("sockets of nobody", floods.unknown_sockets, Client.subscriber),
    Scenario("idle connections", floods.idle_connections, Client.new_connection),
    Scenario("wrong passwords: a known account", floods.wrong_passwords, Client.known_account),
    Scenario("wrong passwords: a new account", floods.wrong_passwords, Client.fresh_account, len(FRESH) // 2),
    Scenario("unknown tokens", floods.unknown_tokens, Client.query),
    Scenario("requests under way: small ones", floods.small_queries, Client.small_query),
    Scenario("requests under way: pages", floods.pages, Client.page),
    Scenario("requests under way: both", floods.pages, Client.small_query),
]


def _basic(name: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{PASSWORD}'.encode()).decode()}"}


@dataclasses.dataclass(frozen=True)
class Measured:
    """The milliseconds of requests, and the number of failures."""

    median: float
    p95: float
    failed: int


def measure(ask: Callable[[], None], seconds: float, most: int) -> Measured:
    """Call `ask` again and again; return the times."""
    took, failed, began = list[float](), 0, time.perf_counter()
    while len(took) + failed < most and (time.perf_counter() - began < seconds or len(took) < LEAST):
        start = time.perf_counter()
        try:
            ask()
            took.append((time.perf_counter() - start) * 1_000)
        except (OSError, http.client.HTTPException, websockets.exceptions.WebSocketException):
            failed += 1
        if time.perf_counter() - began > 10 * seconds:
            break
        time.sleep(0.005)
    if not took:
        return Measured(float("inf"), float("inf"), failed)
    return Measured(statistics.median(took), sorted(took)[int(len(took) * 0.95)], failed)


@contextlib.contextmanager
def flooded(flood: floods.Flood, target: floods.Target) -> Iterator[None]:
    """Flood the server for as long as the context lasts."""
    command = [sys.executable, floods.__file__, flood.__name__, json.dumps(dataclasses.asdict(target))]  # type: ignore[attr-defined]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603  our own arguments
    try:
        time.sleep(WARM_SECONDS)
        if process.poll() is not None:
            raise SystemExit(f"the flood {flood.__name__} ended by itself")  # type: ignore[attr-defined]
        yield
    finally:
        process.kill()
        process.wait()


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a server with its data in `folder`."""
    settings = {"DATA_DIR": str(folder / "data"), **SETTINGS, **more}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELEASE_CATALOG_")}
    return kept | {f"RELEASE_CATALOG_{name}": value for name, value in settings.items()}


def run(folder: Path, *arguments: str, source: str = "") -> str:
    """Run a command of the catalog; return its output."""
    command = [_COMMAND, *arguments]
    done = subprocess.run(  # noqa: S603  our own arguments
        command, input=source, env=environment(folder), capture_output=True, text=True, check=True
    )
    return done.stdout


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Serve the sample at a port of this machine."""
    accounts, log = folder / "accounts", folder / "server.log"
    names = (KNOWN, *GUESSED, *FRESH)
    # One hash for all of them, since each takes a while to make.
    line = run(folder, "account", "name", "--scope", "release:read", "--tenant", "mine", source=f"{PASSWORD}\n")
    accounts.write_text("".join(f"{name} {line.split(' ', 1)[1]}" for name in names))
    with log.open("wb") as output:
        command = [_COMMAND, "serve", "--port", "0", "--sample"]
        env = environment(folder, ACCOUNTS=str(accounts))
        process = subprocess.Popen(command, stderr=output, env=env)  # noqa: S603  our own arguments
    try:
        deadline = time.monotonic() + 120
        while not (found := _SERVING.search(log.read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server did not start:\n{log.read_text()[-2_000:]}")
            time.sleep(0.1)
        yield int(found[1])
    finally:
        process.terminate()
        process.wait(60)


def token(folder: Path, tenant: str) -> str:
    """Make a token of a tenant."""
    return run(folder, "token", "bench", "--new-catalog", "--scope", "release:read", "--tenant", tenant).strip()


def main() -> None:
    """Print a line for each scenario; exit with 1 if any other client waits too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--only", default="", help="the scenarios that have this in their name")
    asked = parser.parse_args()
    late = 0
    print(f"{'':40} {'usual':>9} {'flooded':>9} {'p95':>9} {'ratio':>7} {'failed':>7}")
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as port:
        folder = Path(name)
        greedy = floods.Target("127.0.0.1", port, token(folder, "local"), GUESSED)
        client = Client(floods.Target("127.0.0.1", port, token(folder, "mine")))
        client.known_account()
        for scenario in SCENARIOS:
            if asked.only not in scenario.name:
                continue
            late += not _compared(scenario, greedy, client, asked.seconds)
    sys.exit(1 if late else 0)


def _compared(scenario: Scenario, greedy: floods.Target, client: Client, seconds: float) -> bool:
    def ask() -> Any:
        return scenario.others(client)

    usual = measure(ask, seconds, scenario.most)
    with flooded(scenario.flood, greedy):
        beside = measure(ask, seconds, scenario.most)
    time.sleep(REST_SECONDS)
    ratio = beside.median / usual.median
    times = f"{usual.median:7.1f}ms {beside.median:7.1f}ms {beside.p95:7.1f}ms"
    print(f"{scenario.name:40} {times} {ratio:7.2f} {beside.failed:7}", flush=True)
    return ratio <= TARGET and not beside.failed


if __name__ == "__main__":
    main()
