"""Measure the writes of other products while a product with many releases changes its version scheme.

    make bench-scheme
    python benchmarks/scheme_change.py --releases 12000 --rounds 3

A real server has a product with many releases and one without. The median time to create a release of the second
is compared with the usual one: it should not be more than three times as long. Pages of the first product's
releases are read all the time: each must be in the old order or the new one.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import http.client
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from release_catalog.domain import caller, release, timestamps, versions
from release_catalog.embedded_mongodb import supervisor
from release_catalog.storage import bulk_load, indexes
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import PRODUCTS, RELEASES

TARGET = 3.0
USUAL_SECONDS = 5.0
BATCH = 2_000
SCHEMES: tuple[versions.Scheme, ...] = ("SEMVER", "ANY")
_LOCAL = caller.local("local")
_SERVING = re.compile(r'"url":"http://[^"]+:(\d+)/graphql"')
_CREATE = """mutation($id: ID!, $version: String!) { createRelease(
  input: {productId: $id, name: "other", version: $version}) { problem { detail } } }"""
_PAGE = """{ product(id: "large") { releases(first: 20, orderBy: {field: VERSION}) { nodes { version } } } }"""
_SAVE = """mutation($scheme: VersionScheme!) { saveProduct(
  input: {id: "large", key: "large", name: "Large", versionScheme: $scheme}) {
    product { versionScheme } problem { detail } } }"""


class Client:
    """A client of the server with a connection of its own."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(self, query: str, **variables: Any) -> Any:
        """Return the data of a response."""
        body = json.dumps({"query": query, "variables": variables})
        self._connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
        answer = json.loads(self._connection.getresponse().read())
        if "errors" in answer and answer["errors"][0]["extensions"]["code"] != "UNAVAILABLE":
            raise SystemExit(f"the server answered {answer['errors']}")
        return answer["data"]


def numbered(count: int) -> list[str]:
    """Return versions whose orders in the two schemes differ."""
    return [f"1.{number // 120}.{number // 2 % 60}{'-1' if number % 2 else ''}" for number in range(count)]


async def fill(url: str, count: int) -> None:
    """Store the two products, and the releases of the first."""
    client = db.connect(url)
    database = db.configure(client["bench"])
    await indexes.ensure(database)
    await bulk_load.catalog(_LOCAL, database, bulk_load.DEFAULT_CATALOG)
    products = [
        {**bulk_load.product(_LOCAL, bulk_load.DEFAULT_CATALOG, id_), "id": id_} for id_ in ("large", "other")
    ]
    await bulk_load.put(_LOCAL, database, PRODUCTS, products)
    now, large = timestamps.now(), bulk_load.product(_LOCAL, bulk_load.DEFAULT_CATALOG, "large")
    large["id"] = "large"
    all_versions = numbered(count)
    for start in range(0, count, BATCH):
        some = all_versions[start : start + BATCH]
        made = [release.document("local", large, "large", version, now, status="PUBLISHED") for version in some]
        await bulk_load.put(_LOCAL, database, RELEASES, made)
    await client.close()


@contextlib.contextmanager
def serving(url: str, folder: Path) -> Iterator[int]:
    """Serve the database at a port of this machine."""
    log = folder / "server.log"
    settings = {"MONGODB_URL": url, "DATABASE": "bench", "LOG_LEVEL": "info"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELEASE_CATALOG_")}
    env = kept | {f"RELEASE_CATALOG_{name}": value for name, value in settings.items()}
    with log.open("wb") as output:
        command = [str(Path(sys.executable).parent / "release-catalog"), "serve", "--port", "0"]
        process = subprocess.Popen(command, stderr=output, env=env)  # noqa: S603  our own arguments
    try:
        until = time.monotonic() + 120
        while not (found := _SERVING.search(log.read_text())):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the server did not start:\n{log.read_text()[-2_000:]}")
            time.sleep(0.1)
        yield int(found[1])
    finally:
        process.terminate()
        process.wait(60)


@dataclasses.dataclass
class Beside:
    """The milliseconds of other clients' requests until `over` is set, and the number of pages in no order."""

    writes: list[float] = dataclasses.field(default_factory=list)
    pages: list[float] = dataclasses.field(default_factory=list)
    mixed: int = 0
    over: threading.Event = dataclasses.field(default_factory=threading.Event)


def write(port: int, beside: Beside, names: Iterator[int]) -> None:
    """Create releases of the other product."""
    client = Client(port)
    while not beside.over.is_set():
        start = time.perf_counter()
        client.ask(_CREATE, id="other", version=f"{next(names)}")
        beside.writes.append((time.perf_counter() - start) * 1_000)
        time.sleep(0.005)


def read(port: int, beside: Beside, tops: list[list[str]]) -> None:
    """Read the first page of the large product."""
    client = Client(port)
    while not beside.over.is_set():
        start = time.perf_counter()
        nodes = client.ask(_PAGE)["product"]["releases"]["nodes"]
        beside.pages.append((time.perf_counter() - start) * 1_000)
        beside.mixed += [node["version"] for node in nodes] not in tops
        time.sleep(0.005)


@contextlib.contextmanager
def others(port: int, tops: list[list[str]], names: Iterator[int]) -> Iterator[Beside]:
    """Have other clients write and read as long as the context lasts."""
    beside = Beside()
    threads = [
        threading.Thread(target=write, args=(port, beside, names)),
        threading.Thread(target=read, args=(port, beside, tops)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield beside
    finally:
        beside.over.set()
        for thread in threads:
            thread.join()


def changed(port: int, scheme: str) -> float:
    """Change the scheme of the large product, and return the seconds; a slow machine needs several requests."""
    start, client = time.perf_counter(), Client(port)
    while not client.ask(_SAVE, scheme=scheme):
        pass
    took = time.perf_counter() - start
    # The response may come before the last batches; another one comes after them.
    while not client.ask(_SAVE, scheme=scheme):
        pass
    return took


def main() -> None:
    """Print a line for each round; exit with 1 if writes take too long, or a page is in no order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=12_000, help="of the product that changes its scheme")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    all_versions = numbered(options.releases)
    tops = [
        sorted(all_versions, key=lambda version: versions.sort_key(scheme, version), reverse=True)[:20]
        for scheme in SCHEMES
    ]
    names, failed = itertools.count(1), 0
    print("  change  usual write    beside       p95  ratio      page    beside  mixed")
    with tempfile.TemporaryDirectory() as name, supervisor.start(Path(name, "data")) as mongod:
        asyncio.run(fill(mongod.url, options.releases))
        with serving(mongod.url, Path(name)) as port:
            for number in range(options.rounds):
                with others(port, tops, names) as usual:
                    time.sleep(USUAL_SECONDS)
                with others(port, tops, names) as beside:
                    seconds = changed(port, SCHEMES[number % 2])
                ratio = statistics.median(beside.writes) / statistics.median(usual.writes)
                failed += ratio > TARGET or beside.mixed > 0
                p95 = sorted(beside.writes)[int(len(beside.writes) * 0.95)]
                times = [statistics.median(usual.writes), statistics.median(beside.writes), p95]
                pages = [statistics.median(usual.pages), statistics.median(beside.pages)]
                print(
                    f"{seconds:7.1f}s {times[0]:10.1f}ms {times[1]:7.1f}ms {times[2]:7.1f}ms {ratio:6.2f} "
                    f"{pages[0]:7.1f}ms {pages[1]:7.1f}ms {beside.mixed:6}",
                    flush=True,
                )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
