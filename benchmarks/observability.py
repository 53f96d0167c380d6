"""Measure what the log, the metrics and the monitor of database commands cost, beside a server without them.

    make bench-observability              on the sample
    make bench-observability ROUNDS=1000  requests of each workload to each server

Both servers are processes over one mongod, and get requests in turns, a few at a time. The CPU time of a request
is that of the server's process until its next request, so it includes the work after the response. Other work on
the machine makes times longer, never shorter, so a low quantile of them is compared.
"""

import argparse
import contextlib
import http.client
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import servers
from release_catalog.embedded_mongodb import supervisor
from rounds import known
from side_by_side import fill
from workloads import WORKLOADS

WITHOUT, WITH = "without", "with"
SETTINGS = {
    WITHOUT: {"RELEASE_CATALOG_LOG_LEVEL": "warning", "RELEASE_CATALOG_SLOW_SECONDS": "0"},
    WITH: {
        "RELEASE_CATALOG_LOG_LEVEL": "info",
        "RELEASE_CATALOG_LOG_FORMAT": "json",
        "RELEASE_CATALOG_METRICS": "on",
    },
}
MEASURED = ("typename", "point", "page", "nested")
# Requests before those that are measured.
WARM = 100
BURST = 10
DRAWN = 50
QUANTILE = 0.2
# At most this much more CPU time.
ALLOWED = 1.03


class Client:
    """A connection to a server, and the times of its requests."""

    def __init__(self, server: servers.Server) -> None:
        self._stat = Path(f"/proc/{server.process.pid}/schedstat")
        self._connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        self._spent = self._cpu()
        self.cpu: list[float] = []
        self.wall: list[float] = []

    def _cpu(self) -> float:
        """Return the CPU time of the thread that serves, in microseconds."""
        return int(self._stat.read_text().split()[0]) / 1e3

    def send(self, body: bytes) -> None:
        """Send a request, and note the CPU time of the one before."""
        spent = self._cpu()
        self.cpu.append(spent - self._spent)
        self._spent, began = spent, time.perf_counter()
        self._connection.request("POST", "/graphql", body, {"content-type": "application/json"})
        with self._connection.getresponse() as response:
            if b'"errors"' in response.read()[:20]:
                sys.exit("A request failed.")
        self.wall.append((time.perf_counter() - began) * 1e6)


def low(values: list[float]) -> float:
    """Return a low quantile of the values after the warm-up."""
    kept = sorted(values[WARM:])
    return kept[int(len(kept) * QUANTILE)]


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1_000)
    parser.add_argument("--workloads", nargs="*", default=list(MEASURED))
    return parser.parse_args()


def main() -> None:
    """Measure in turns and print the table; exit with 1 if a workload takes over 3 % more CPU time."""
    asked = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no server may stay behind
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(supervisor.start(folder / "data")).url
        fill(folder, url, None)
        up = {}
        for name, settings in SETTINGS.items():
            (folder / name).mkdir()
            up[name] = stack.enter_context(servers.running("this project", url, folder / name, settings))
        all_, chance = known(up[WITHOUT]), random.Random(1)  # noqa: S311  each run asks the same
        chosen = [workload for workload in WORKLOADS if workload.name in asked.workloads]
        bodies = {w.name: [w.body(w.draw(chance, all_)) for _ in range(DRAWN)] for w in chosen}
        worst = 0.0
        print(f"{'':10}{'CPU':>11}{'with both':>12}{'ratio':>8}{'response':>14}{'with both':>12}{'ratio':>8}")
        for workload in chosen:
            clients = {name: Client(server) for name, server in up.items()}
            for number in range((WARM + asked.rounds) // BURST):
                # In bursts, as caches are warm under load.
                for name in sorted(clients, reverse=bool(number % 2)):
                    for count in range(BURST):
                        clients[name].send(bodies[workload.name][(number * BURST + count) % DRAWN])
            line = f"{workload.name:10}"
            for part in ("cpu", "wall"):
                without, logged = (low(getattr(clients[name], part)) for name in (WITHOUT, WITH))
                line += f"{without:8.0f} us{logged:9.0f} us{logged / without:8.3f}   "
                worst = max(worst, logged / without) if part == "cpu" else worst
            print(line, flush=True)
    if worst > ALLOWED:
        sys.exit(f"The log and the metrics take {worst - 1:.1%} more CPU time; {ALLOWED - 1:.0%} are allowed.")


if __name__ == "__main__":
    main()
