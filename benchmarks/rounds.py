"""Rounds: servers that are put under load in turn, with their responses compared before and after."""

import collections
import functools
import random
from pathlib import Path
from typing import Any

import pymongo

import servers
from servers import Load, Server
from workloads import Known, Workload

CONNECTIONS = (8, 64)
REQUESTS = 4_000
# The responses that each connection should get, and the maximum seconds for that.
SPAN, LONGEST = 5, 15
WALK = """query ($after: String) { releases(first: 100, after: $after) { edges { cursor node {
    id name version author createdAt product { id } } } pageInfo { hasNextPage endCursor } } }"""
MUTATIONS = '{ __type(name: "Mutation") { fields { name } } }'
say = functools.partial(print, flush=True)


class Run:
    """The servers, their requests, and the results so far."""

    def __init__(self, folder: Path, url: str, up: list[Server]) -> None:
        self.folder, self.url, self.up, self.project = folder, url, up, up[0]
        self.loads: dict[tuple[str, int, str], list[Load]] = collections.defaultdict(list)
        self.wrong: set[tuple[str, str]] = set()
        self._rates: dict[tuple[str, str], float] = {}
        self._drawn: dict[str, list[dict[str, Any]]] = {}
        self._number = 0

    def prepare(self, chosen: list[Workload]) -> list[Workload]:
        """Draw all requests; return the workloads that this project's schema has."""
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
        """Return the servers that the workload is measured on."""
        able = [s for s in self.up if not workload.is_write or s.name in servers.WRITERS]
        return [server for server in able if (workload.name, server.name) not in self.wrong]

    def compare(self, workload: Workload, count: int, seed: int) -> None:
        """Reject each server that answers any of `count` requests otherwise than this project does."""
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
        """Let every server compile and connect, and measure roughly its speed."""
        for server in self.able(workload):
            self._rates[workload.name, server.name] = self._load(workload, server, CONNECTIONS[0], seconds, 0).rate

    def measure(self, workload: Workload, connections: int, seconds: float, seed: int) -> None:
        """Put each server under load in turn, the slow ones for longer: all connections get SPAN responses."""
        able = self.able(workload)
        first = seed % len(able) if able else 0
        for server in able[first:] + able[:first]:
            needed = min(LONGEST, SPAN * connections / max(self._rates[workload.name, server.name], 1))
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
        """Measure the server no longer, and drop its measurements."""
        say(f"WRONG: {workload.title}: {server.name} {reason}")
        self.wrong.add((workload.name, server.name))
        for connections in CONNECTIONS:
            self.loads.pop((workload.name, connections, server.name), None)

    def _file(self, workload: Workload, server: Server) -> Path:
        return self.folder / f"{workload.name}-{server.path(workload).strip('/').replace('/', '-')}.txt"

    def _forget(self, workload: Workload) -> None:
        """Drop the documents of a write, so that the next server finds the same catalog."""
        if workload.is_write:
            with pymongo.MongoClient[dict[str, Any]](self.url) as client:
                client[servers.DATABASE].releases.delete_many(
                    {"tenantId": servers.TENANT, "terms": "name:benchmark"}, hint="terms"
                )


def known(server: Server) -> Known:
    """Return all releases, as the server itself lists them."""
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
