"""Offer a server twice the requests that it can serve, and check that it refuses the rest and stays quick.

    make load                                     2 minutes of overload
    make soak                                     10 minutes of as much as it can serve: memory stays flat
    python benchmarks/overload.py --seconds 10 --releases debian.ndjson

A real server with authentication gets a mixture of queries, nested pages, searches and mutations from several
callers of several tenants, with some subscribers beside them. First closed loops measure the capacity. Then each
of the connections sends at a pace of its own, whether or not others are answered (an open loop), and another
client asks for /livez over new connections. Exits with 1 if a promise of docs/capacity.md does not hold.
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import itertools
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import uvloop
import websockets

import fairness
import load

TENANTS, CALLERS_A_TENANT, SUBSCRIBERS = 4, 3, 8
CLOSED_CONNECTIONS = 16
SERVED, REFUSED = 200, (429, 503)
# The promises: 99 of 100 served requests, /livez, the return to full speed, and the growth of memory.
MAX_P99_SECONDS, MAX_LIVEZ_SECONDS, RECOVERY_SECONDS = 2.0, 1.0, 5.0
FULL_SPEED, MAX_GROWTH = 0.8, 0.1
# Servers close connections that are idle for longer.
MAX_IDLE_SECONDS = 3.0
# Only answers after this much of a run count for memory: caches fill first.
SETTLED = 0.25
_SERVING = re.compile(r'"url":"http://[^"]+:(\d+)/graphql"')
_versions = itertools.count(1)

SMALL = "{ viewer { subject } catalogs(first: 1) { nodes { id name } } }"
PAGE = "query ($after: String) { releases(first: 20, after: $after) { nodes { id name version channel } } }"
NESTED = """query ($name: String) { releases(first: 10, filter: { name: $name }) { nodes { id name version
    artifacts { name size sha256 } product { id key }
    dependencies(first: 5) { nodes { id name version dependencies(first: 2) { nodes { id } } } } } } }"""
SEARCH = "query ($word: String) { releases(first: 10, filter: { search: $word }) { nodes { id name version } } }"
CREATE = """mutation ($product: ID!, $version: String!) {
    createRelease(input: { productId: $product, name: "load", version: $version }) {
    release { id etag } problem { detail } } }"""
PATCH = """mutation ($id: ID!, $notes: String) { patchRelease(input: { id: $id, name: "load", notes: $notes }) {
    release { id etag } problem { detail } } }"""
EVENTS = "subscription { events { id type } }"
# The kinds of requests and their shares: one of five changes something.
MIXTURE = {"small": 30, "page": 20, "nested": 20, "search": 10, "create": 10, "patch": 10}
MAKE_CALLER = "mutation ($input: CreateAccessTokenInput!) { createAccessToken(input: $input) { token } }"
PRODUCTS = "{ products(first: 50) { nodes { id name } } }"


@dataclasses.dataclass
class Caller:
    """A caller with the documents of its tenant that it uses."""

    token: str
    # The number of generated releases of its tenant.
    count: int
    products: list[str] = dataclasses.field(default_factory=list)
    releases: collections.deque[str] = dataclasses.field(default_factory=lambda: collections.deque(maxlen=50))

    def request(self, kind: str, chance: random.Random) -> tuple[str, dict[str, Any]]:
        """Return a query of this kind, and its variables."""
        name = f"package-{chance.randrange(self.count)}"
        match kind:
            case "nested":
                return NESTED, {"name": name}
            case "search":
                return SEARCH, {"word": name}
            case "patch" if self.releases:
                return PATCH, {"id": chance.choice(self.releases), "notes": f"Notes {chance.random()}"}
            case "create" | "patch":
                return CREATE, {"product": chance.choice(self.products), "version": f"9.{next(_versions)}"}
        return (SMALL if kind == "small" else PAGE), {}


class Connection:
    """A connection of a caller; it is opened again after a failure."""

    def __init__(self, port: int, caller: Caller) -> None:
        self.port = port
        self.caller = caller
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used = 0.0

    async def ask(self, query: str, variables: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        """Return the status, the headers and the body of the response."""
        body = orjson.dumps({"query": query, "variables": variables})
        head = (
            "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Accept: application/graphql-response+json\r\nAuthorization: Bearer {self.caller.token}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        if time.perf_counter() > self._used + MAX_IDLE_SECONDS:
            self.close()
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self.port)
            return await exchange(*self._streams, head.encode() + body)
        except BaseException:
            self.close()
            raise
        finally:
            self._used = time.perf_counter()

    def close(self) -> None:
        """Close the connection."""
        if self._streams:
            self._streams[1].close()
            self._streams = None


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, dict[str, str], Any]:
    """Send a request; return the status, the headers and the body of its response."""
    writer.write(request)
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(first.split()[1]), headers, body


@dataclasses.dataclass
class Result:
    """The answers of a phase: the seconds of served and refused requests, and everything that is wrong."""

    began: float = dataclasses.field(default_factory=time.perf_counter)
    # When each served request was answered, the seconds that it took, and its kind.
    served: list[tuple[float, float, str]] = dataclasses.field(default_factory=list)
    refused: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    faults: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    offered: int = 0

    async def ask(self, connection: Connection, chance: random.Random) -> None:
        """Send a request of the mixture, and note the answer."""
        [kind] = chance.choices(list(MIXTURE), list(MIXTURE.values()))
        query, variables = connection.caller.request(kind, chance)
        began = time.perf_counter()
        try:
            status, headers, body = await connection.ask(query, variables)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.faults[type(error).__name__] += 1
            return
        now = time.perf_counter()
        if status in REFUSED:
            self.refused[status] += 1
            if not headers.get("retry-after", "").isdigit():
                self.faults[f"{status} without Retry-After"] += 1
        elif status != SERVED:
            self.faults[f"{status}: {body[:200]!r}"] += 1
        else:
            answer = orjson.loads(body)
            data = answer.get("data") or {}
            changed = data.get("createRelease") or data.get("patchRelease") or {}
            if "errors" in answer or changed.get("problem"):
                codes = {error.get("extensions", {}).get("code") for error in answer.get("errors", [])}
                self.faults["TIMEOUT" if codes == {"TIMEOUT"} else f"{body[:200]!r}"] += 1
                return
            self.served.append((now, now - began, kind))
            if changed:
                connection.caller.releases.append(changed["release"]["id"])

    def rate(self, after: float = 0.0, seconds: float | None = None) -> float:
        """Return the served requests a second, from `after` seconds on."""
        start = self.began + after
        end = start + seconds if seconds else max((at for at, *_ in self.served), default=start)
        count = sum(start <= at <= end for at, *_ in self.served)
        return count / (end - start) if end > start else 0.0

    def percentile(self, part: float, kind: str | None = None) -> float:
        """Return the seconds within which this part of the served requests (of a kind) was answered."""
        took = sorted(seconds for _, seconds, its_kind in self.served if kind in {None, its_kind})
        return took[min(len(took) - 1, int(len(took) * part))] if took else 0.0


async def closed_loops(port: int, callers: list[Caller], connections: int, seconds: float) -> Result:
    """Send requests one after the other over each connection."""
    result = Result()

    async def go_on(number: int) -> None:
        connection, chance = Connection(port, callers[number % len(callers)]), random.Random(number)  # noqa: S311
        while time.perf_counter() < result.began + seconds:
            result.offered += 1
            await result.ask(connection, chance)
        connection.close()

    await asyncio.gather(*map(go_on, range(connections)))
    return result


async def open_loops(port: int, callers: list[Caller], connections: int, rate: float, seconds: float) -> Result:
    """Offer `rate` requests a second over all connections; one that is late sends at once."""
    result = Result()

    async def go_on(number: int) -> None:
        connection, chance = Connection(port, callers[number % len(callers)]), random.Random(number)  # noqa: S311
        due = result.began
        while (due := due + chance.expovariate(rate / connections)) < result.began + seconds:
            result.offered += 1
            await asyncio.sleep(due - time.perf_counter())
            if time.perf_counter() > result.began + seconds:
                continue  # offered, but the connection was never free
            await result.ask(connection, chance)
        connection.close()

    await asyncio.gather(*map(go_on, range(connections)))
    return result


@dataclasses.dataclass
class Watch:
    """The observations beside the load: the seconds of /livez, the memory of the server, and received events."""

    livez: list[float] = dataclasses.field(default_factory=list)
    memory: list[float] = dataclasses.field(default_factory=list)
    events: int = 0
    failed: int = 0

    def growth(self) -> float:
        """Return how much larger memory was at the end of the load than after its first part."""
        settled = self.memory[int(len(self.memory) * SETTLED) :]
        part = max(1, len(settled) // 4)
        return statistics.mean(settled[-part:]) / statistics.mean(settled[:part]) - 1

    async def look(self, port: int, pid: int) -> None:
        """Ask for /livez over a new connection ten times a second."""
        request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        for number in itertools.count():
            began = time.perf_counter()
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                status, *_ = await exchange(reader, writer, request)
                writer.close()
                self.failed += status != SERVED
            except (OSError, asyncio.IncompleteReadError):
                self.failed += 1
            self.livez.append(time.perf_counter() - began)
            if number % 10 == 0:
                self.memory.append(resident(pid))
            await asyncio.sleep(0.1)

    async def subscribe(self, port: int, caller: Caller) -> None:
        """Receive the events of a caller's tenant."""
        headers = {"Authorization": f"Bearer {caller.token}"}
        url = f"ws://127.0.0.1:{port}/graphql"
        async with websockets.connect(url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            await socket.send(json.dumps({"type": "connection_init", "payload": headers}))
            await socket.recv()
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": EVENTS}}))
            async for message in socket:
                self.events += json.loads(message)["type"] == "next"


def resident(pid: int) -> float:
    """Return the memory of a process in MiB."""
    rows = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return int(rows.stdout or 0) / 1024


@contextlib.asynccontextmanager
async def running(*work: Awaitable[None]) -> AsyncIterator[None]:
    """Run things beside the load until the context ends."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[int, int]]:
    """Serve what is in `folder`, at a port of this machine; yield the port and the process id."""
    log = folder / "server.log"
    env = fairness.environment(folder, AUTHENTICATION="required", MAX_CONNECTIONS="1000")
    with log.open("wb") as output:
        command = [str(Path(sys.executable).parent / "release-catalog"), "serve", "--port", "0"]
        process = subprocess.Popen(command, stderr=output, env=env)  # noqa: S603  our own arguments
    try:
        while not (found := _SERVING.search(log.read_text())):
            if process.poll() is not None:
                raise SystemExit(f"The server did not start:\n{log.read_text()[-2_000:]}")
            time.sleep(0.1)
        yield int(found[1]), process.pid
    finally:
        process.terminate()
        process.wait(60)


async def prepare(folder: Path, port: int, count: int) -> list[Caller]:
    """Make callers of each tenant, and read the products that they use."""
    callers = []
    for tenant in range(TENANTS):
        first = fairness.run(folder, "token", "first", "--scope", "admin", "--tenant", f"tenant-{tenant}")
        connection = Connection(port, Caller(first.strip(), count))
        found = await _data(connection, PRODUCTS, {})
        products = [node["id"] for node in found["products"]["nodes"]]
        for number in range(CALLERS_A_TENANT):
            values = {"name": f"caller-{number}", "scopes": ["release:read", "release:write"]}
            made = await _data(connection, MAKE_CALLER, {"input": values})
            callers.append(Caller(made["createAccessToken"]["token"], count, products))
        connection.close()
    return callers


async def _data(connection: Connection, query: str, variables: dict[str, Any]) -> Any:
    _, _, body = await connection.ask(query, variables)
    return orjson.loads(body)["data"]


async def measure(folder: Path, port: int, pid: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Measure the capacity, the load, and the capacity afterwards; return the figures."""
    callers, watch = await prepare(folder, port, asked.releases_of_tenant), Watch()
    subscribers = [watch.subscribe(port, callers[number % len(callers)]) for number in range(SUBSCRIBERS)]
    calm = max(2.0, min(10.0, asked.seconds / 6))
    async with running(*subscribers):
        await closed_loops(port, callers, CLOSED_CONNECTIONS, calm)
        usual = await closed_loops(port, callers, CLOSED_CONNECTIONS, calm)
        capacity = usual.rate()
        async with running(watch.look(port, pid)):
            offered = capacity * asked.factor
            loaded = await open_loops(port, callers, asked.connections, offered, asked.seconds)
        after = await closed_loops(port, callers, CLOSED_CONNECTIONS, RECOVERY_SECONDS + calm)
    faults = usual.faults + loaded.faults + after.faults
    return {
        "capacity": round(capacity, 1),
        "usual_p99_seconds": round(usual.percentile(0.99), 3),
        "offered": loaded.offered,
        "offered_rate": round(loaded.offered / asked.seconds, 1),
        "served": len(loaded.served),
        "served_rate": round(loaded.rate(0, asked.seconds), 1),
        "refused": {str(status): count for status, count in sorted(loaded.refused.items())},
        "p50_seconds": round(loaded.percentile(0.5), 3),
        "p99_seconds": round(loaded.percentile(0.99), 3),
        "p99_seconds_by_kind": {kind: round(loaded.percentile(0.99, kind), 3) for kind in MIXTURE},
        "livez_max_seconds": round(max(watch.livez, default=0), 3),
        "livez_failed": watch.failed,
        "memory_mib": [round(watch.memory[0], 1), round(watch.memory[-1], 1)],
        "memory_growth": round(watch.growth(), 3),
        "events": watch.events,
        "after_rate": round(after.rate(RECOVERY_SECONDS), 1),
        "after_served": len(after.served),
        "faults": dict(faults.most_common(20)),
        "load_average": os.getloadavg()[0],
    }


def broken_promises(figures: dict[str, Any]) -> list[str]:
    """Return what does not hold."""
    checks: dict[str, Callable[[], bool]] = {
        "each answer is 200, or 429 or 503 with Retry-After": lambda: not figures["faults"],
        "99 % of the served requests take less than 2 s": lambda: figures["p99_seconds"] < MAX_P99_SECONDS,
        "/livez answers within 1 s": lambda: (
            not figures["livez_failed"] and figures["livez_max_seconds"] < MAX_LIVEZ_SECONDS
        ),
        "memory stays flat": lambda: figures["memory_growth"] < MAX_GROWTH,
        "full speed is back within 5 s": lambda: figures["after_rate"] > FULL_SPEED * figures["capacity"],
    }
    return [promise for promise, holds in checks.items() if not holds()]


def main() -> None:
    """Print the figures; exit with 1 if a promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=Path, help="import documents, one a line; otherwise generated ones")
    parser.add_argument("--releases-of-tenant", type=int, default=2_000, help="the number of generated ones")
    parser.add_argument("--seconds", type=float, default=120.0, help="of the load")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--factor", type=float, default=2.0, help="the offered requests, in capacities")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, and exit with 0")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, lines = Path(name), itertools.islice(load.generated(), asked.releases_of_tenant)
        source = (
            asked.releases.read_text()
            if asked.releases
            else "\n".join(orjson.dumps(one).decode() for one in lines)
        )
        for tenant in range(TENANTS):
            fairness.run(folder, "load", "-", "--tenant", f"tenant-{tenant}", source=source)
        with serving(folder) as (port, pid):
            figures = uvloop.run(measure(folder, port, pid, asked))
    if asked.json:
        print(json.dumps(figures))
        return
    for label, value in figures.items():
        print(f"{label:20} {value}")
    broken = broken_promises(figures)
    for promise in broken:
        print(f"BROKEN: {promise}")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
