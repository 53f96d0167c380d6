"""Measure what the log and the monitor of database commands cost: the server with them beside one without.

    make bench-observability            on the sample
    make bench-observability ROUNDS=60  turns of each server

Both servers are processes over one mongod. They get requests in short turns, one server after the other. The CPU
time of a request is that of the server's process. Of all turns, the tenth with the lowest times counts: other
work on the machine makes times longer, never shorter.
"""

import argparse
import collections
import contextlib
import http.client
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import servers
from release_catalog.embedded_mongodb import supervisor
from rounds import known
from side_by_side import fill
from workloads import WORKLOADS

WITHOUT, WITH = "without", "with"
SETTINGS = {
    WITHOUT: {"RELEASE_CATALOG_LOG_LEVEL": "warning", "RELEASE_CATALOG_SLOW_SECONDS": "0"},
    WITH: {"RELEASE_CATALOG_LOG_LEVEL": "info", "RELEASE_CATALOG_LOG_FORMAT": "json"},
}
# The requests of each workload in a turn.
MEASURED = {"typename": 100, "point": 60, "page": 15, "nested": 10}
DRAWN = 50
# At most this much more CPU time.
ALLOWED = 1.03


class Sample(NamedTuple):
    """The result of one turn: microseconds of CPU time of a request, and microseconds until its response."""

    cpu: float
    wall: float


def cpu_seconds(server: servers.Server) -> float:
    """Return the CPU time of all threads of a server."""
    stats = [task.read_text() for task in Path(f"/proc/{server.process.pid}/task").glob("*/schedstat")]
    return sum(int(stat.split()[0]) for stat in stats) / 1e9


def measure(server: servers.Server, bodies: list[bytes], count: int) -> Sample:
    """Send requests one after the other."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    with contextlib.closing(connection):
        before, began = cpu_seconds(server), time.perf_counter()
        for number in range(count):
            connection.request("POST", "/graphql", bodies[number % DRAWN], {"content-type": "application/json"})
            with connection.getresponse() as response:
                if b'"errors"' in response.read()[:20]:
                    sys.exit("A request failed.")
        took, spent = time.perf_counter() - began, cpu_seconds(server) - before
    return Sample(spent / count * 1e6, took / count * 1e6)


def low(values: list[float]) -> float:
    """Return the mean of the lowest tenth."""
    lowest = sorted(values)[: max(1, len(values) // 10)]
    return sum(lowest) / len(lowest)


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--workloads", nargs="*", default=list(MEASURED))
    return parser.parse_args()


def main() -> None:
    """Measure in turns and print the table; exit with 1 if a workload takes over 3 % more CPU time."""
    asked = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no server may stay behind
    samples: dict[tuple[str, str], list[Sample]] = collections.defaultdict(list)
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
        # The first round warms up.
        for number in range(asked.rounds + 1):
            for workload in chosen:
                for name in sorted(up, reverse=bool(number % 2)):
                    sample = measure(up[name], bodies[workload.name], MEASURED[workload.name])
                    if number:
                        samples[workload.name, name].append(sample)
    worst = 0.0
    print(f"{'':10}{'CPU':>11}{'with log':>12}{'ratio':>8}{'response':>14}{'with log':>12}{'ratio':>8}")
    for workload in chosen:
        line = f"{workload.name:10}"
        for part in range(2):
            without, logged = (low([s[part] for s in samples[workload.name, name]]) for name in (WITHOUT, WITH))
            line += f"{without:8.0f} us{logged:9.0f} us{logged / without:8.3f}   "
            worst = worst if part else max(worst, logged / without)
        print(line)
    if worst > ALLOWED:
        sys.exit(f"The log takes {worst - 1:.1%} more CPU time: at most {ALLOWED - 1:.0%} are allowed.")


if __name__ == "__main__":
    main()
