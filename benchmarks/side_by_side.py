"""Measure this project beside other servers: one mongod, the same data, the same questions, in interleaved rounds.

    make bench                           on the sample
    make bench RELEASES=debian.ndjson    on a file of import documents
    make bench ROUNDS=5 SECONDS=3        rounds, and how long a server is under load in each

Before and after each round every server's answers are compared with this project's: one that answers wrong
is not measured, and the run fails. wrk loads from one thread; it and mongod share the machine with the server.
"""

import argparse
import collections
import contextlib
import functools
import gzip
import importlib.resources
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pymongo

import report
import servers
from release_catalog import embedded
from servers import Load, Server
from workloads import WORKLOADS, Known, Workload

CONNECTIONS = (8, 64)
REQUESTS = 4_000
COMPARED, COMPARED_AGAIN = 25, 3
SPAN = 5  # answers that each connection gets at least
WALK = """query ($after: String) { releases(first: 100, after: $after) { edges { cursor node {
    id name version author createdAt product { id } } } pageInfo { hasNextPage endCursor } } }"""
MUTATIONS = '{ __type(name: "Mutation") { fields { name } } }'
say = functools.partial(print, flush=True)


class Run:
    """Servers, what they are asked, and what came of it so far."""

    def __init__(self, folder: Path, url: str, up: list[Server]) -> None:
        self.folder, self.url, self.up, self.project = folder, url, up, up[0]
        self.loads: dict[tuple[str, int, str], list[Load]] = collections.defaultdict(list)
        self.wrong: set[tuple[str, str]] = set()
        self._rates: dict[tuple[str, str], float] = {}
        self._drawn: dict[str, list[dict[str, Any]]] = {}
        self._number = 0

    def prepare(self, chosen: list[Workload]) -> list[Workload]:
        """Draw all requests; the workloads that this project's schema has."""
        all_ = known(self.project)
        has = {field["name"] for field in _asked(self.project, MUTATIONS)["__type"]["fields"]}
        missing = [w for w in chosen if w.is_write and f"{w.name}Release" not in has]
        for workload in missing:
            say(f"{workload.title} is skipped: this project's schema does not have it yet.")
        chance = random.Random(1)  # noqa: S311  each run asks the same
        left = [workload for workload in chosen if workload not in missing]
        for workload in left:
            self._drawn[workload.name] = [workload.draw(chance, all_) for _ in range(REQUESTS)]
            for server in self.able(workload):
                lines = server.lines(workload, self._drawn[workload.name])
                self._file(workload, server).write_bytes(b"\n".join(lines) + b"\n")
        return left

    def able(self, workload: Workload) -> list[Server]:
        """The servers that the workload is measured on."""
        able = [s for s in self.up if not workload.is_write or s.name in servers.WRITERS]
        return [server for server in able if (workload.name, server.name) not in self.wrong]

    def compare(self, workload: Workload, count: int, seed: int) -> None:
        """Reject who answers any of `count` requests otherwise than this project does."""
        for variables in random.Random(seed).sample(self._drawn[workload.name], count):  # noqa: S311  as above
            expected: Any = None
            for server in self.able(workload):
                self._number += 1
                unique = f"{self._number:06d}{0:010d}"
                line = server.lines(workload, [variables])[0]
                answer = server.ask(server.path(workload), line, unique)
                if workload.is_write:
                    made = {"name": variables["name"], "version": f"1.{unique}", "status": "DRAFT"}
                    expected = {"data": {"createRelease": {"release": made, "problem": None}}}
                elif expected is None:
                    is_good = isinstance(answer, dict) and "errors" not in answer
                    expected = answer if is_good else "an answer without errors"
                if answer != expected:
                    said = f"{str(answer)[:600]}\n  instead of {str(expected)[:600]}"
                    self._reject(workload, server, f"answered {said}\n  to {variables}")
        self._forget(workload)

    def warm_up(self, workload: Workload, seconds: float) -> None:
        """Let every server compile and connect, and see about how fast it is."""
        for server in self.able(workload):
            self._rates[workload.name, server.name] = self._load(workload, server, CONNECTIONS[0], seconds, 0).rate

    def measure(self, workload: Workload, connections: int, seconds: float, seed: int) -> None:
        """Put each server under load in turn, the slow ones for longer: all connections get SPAN answers."""
        able = self.able(workload)
        first = seed % len(able) if able else 0
        for server in able[first:] + able[:first]:
            needed = SPAN * connections / max(self._rates[workload.name, server.name], 1)
            load = self._load(workload, server, connections, max(seconds, needed), seed)
            if not load.failed:
                self.loads[workload.name, connections, server.name].append(load)

    def _load(self, workload: Workload, server: Server, connections: int, seconds: float, seed: int) -> Load:
        self._number += 1
        path, file = server.path(workload), self._file(workload, server)
        load = server.load(path, file, connections, seconds, seed, self._number)
        if load.failed:
            self._reject(workload, server, f"failed {load.failed} requests")
        self._forget(workload)
        return load

    def _reject(self, workload: Workload, server: Server, reason: str) -> None:
        """Measure the server no longer, and show nothing of what was measured."""
        say(f"WRONG: {workload.title}: {server.name} {reason}")
        self.wrong.add((workload.name, server.name))
        for connections in CONNECTIONS:
            self.loads.pop((workload.name, connections, server.name), None)

    def _file(self, workload: Workload, server: Server) -> Path:
        return self.folder / f"{workload.name}-{server.path(workload).strip('/').replace('/', '-')}.txt"

    def _forget(self, workload: Workload) -> None:
        """Drop what a write has made, so that the next server finds the same catalog."""
        if workload.is_write:
            with pymongo.MongoClient[dict[str, Any]](self.url) as client:
                client[servers.DATABASE].releases.delete_many(
                    {"tenantId": servers.TENANT, "terms": "name:benchmark"}, hint="terms"
                )


def known(server: Server) -> Known:
    """All releases, as the server itself tells."""
    found, after = [], None
    while True:
        page = _asked(server, WALK, after=after)["releases"]
        found += [{**edge["node"], "cursor": edge["cursor"]} for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    hub = next((release for release in found if release["name"] == "libc6"), found[0])
    return Known(found, hub["id"])


def _asked(server: Server, query: str, **variables: Any) -> Any:
    workload = Workload("", "", query, lambda *_: {})
    return server.ask(server.path(workload), workload.body(variables))["data"]


def need_wrk() -> None:
    """Exit where the load tool is missing."""
    if not shutil.which("wrk"):
        sys.exit("wrk is missing, which makes the load: apt-get install wrk.")


def fill(folder: Path, url: str, given: Path | None) -> None:
    """Load the releases through the command line, published."""
    file = given or folder / "sample.ndjson"
    if not given:
        sample = importlib.resources.files("release_catalog.sample") / "debian.ndjson.gz"
        file.write_bytes(gzip.decompress(sample.read_bytes()))
    command = [str(servers.BIN / "release-catalog"), "load", str(file), "--publish"]
    subprocess.run(command, env=servers.environment(url), check=True)  # noqa: S603  our own command


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=Path, help="import documents, one a line; otherwise the sample")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="how long each server is under load in a round")
    parser.add_argument("--workloads", nargs="*", default=[workload.name for workload in WORKLOADS])
    parser.add_argument("--servers", nargs="*", default=list(servers.COMMANDS), help="this project always runs")
    parser.add_argument("--chart", type=Path, default=servers.HERE / "results.svg")
    return parser.parse_args()


def main() -> None:
    """Run everything, print the tables, draw the chart; exit with 1 if any answer was wrong."""
    asked = arguments()
    need_wrk()
    chosen = [workload for workload in WORKLOADS if workload.name in asked.workloads]
    names = [name for name in servers.COMMANDS if name == "this project" or name in asked.servers]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(embedded.start(folder / "data")).url
        fill(folder, url, asked.releases)
        up = [stack.enter_context(servers.running(name, url, folder)) for name in names]
        run = Run(folder, url, up)
        left = run.prepare(chosen)
        for workload in left:
            run.compare(workload, COMPARED, seed=0)
            run.warm_up(workload, asked.seconds)
        for number in range(1, asked.rounds + 1):
            for workload in left:
                for connections in CONNECTIONS:
                    run.measure(workload, connections, asked.seconds, number)
                run.compare(workload, COMPARED_AGAIN, number)
            say(f"round {number} of {asked.rounds} done")
        memory = {server.name: server.memory() for server in up}
    result = report.Result(left, names, CONNECTIONS, run.loads, memory)
    say(report.tables(result))
    asked.chart.write_text(report.chart(result, CONNECTIONS[-1]))
    if run.wrong:
        sys.exit(f"Not all answers were right: {sorted(run.wrong)}")


if __name__ == "__main__":
    main()
