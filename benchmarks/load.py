"""Measure the speed of loading releases, and the memory that it takes.

    make bench-load                         on generated releases
    make bench-load RELEASES=debian.ndjson       on a file of import documents

Loads through the command line into a MongoDB of its own, three times, each into an empty database, and compares
the median with the rate at which the same server takes in the same documents without an index: that tells the
speed of the machine at the moment.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from release_catalog.domain import release, release_document, timestamps
from release_catalog.embedded_mongodb import supervisor
from release_catalog.storage import database as db

ROUNDS = 3
# A small process in between, because a child's peak counts the memory of its parent when it was forked.
_WATCH = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
GENERATED = 20_000
BATCH = 1_000


def generated() -> Iterator[dict[str, Any]]:
    """Yield releases like those of a distribution: a file each, and four dependencies on earlier ones."""
    for number in range(GENERATED):
        file = {"name": f"package-{number}.deb", "size": number, "sha256": f"{number:064x}"}
        file |= {"downloadUrl": f"https://downloads.example/package-{number}.deb", "platform": "linux/amd64"}
        needs = sorted({number // 2, number // 3, number // 50, 0} - {number})
        yield {
            "name": f"package-{number}",
            "version": f"1.{number % 97}-{number % 5}",
            "createdAt": timestamps.format_rfc3339(
                timestamps.from_milliseconds(1_700_000_000_000 + number * 37_000)
            ),
            "project": f"package-{number}",
            "author": "builds@acme.example",
            "tag": "generated",
            "artifacts": [file],
            "dependencies": [{"name": f"package-{n}", "version": f"1.{n % 97}-{n % 5}"} for n in needs],
        }


async def without_index(url: str, name: str, documents: list[dict[str, Any]]) -> float:
    """Return the documents a second that MongoDB takes in if it has nothing to index."""
    client = db.connect(url)
    began = time.perf_counter()
    for start in range(0, len(documents), BATCH):
        await db.configure(client[name]).plain.insert_many(documents[start : start + BATCH], ordered=False)
    took = time.perf_counter() - began
    await client.drop_database(name)
    await client.close()
    return len(documents) / took


async def drop(url: str, name: str) -> None:
    """Drop the database, so that the next round has as much room as this one."""
    client = db.connect(url)
    await client.drop_database(name)
    await client.close()


def through_the_command_line(url: str, name: str, file: Path, count: int) -> tuple[float, int]:
    """Return the releases a second from start to exit, and the peak memory of the process in MiB."""
    command = [str(Path(sys.executable).parent / "release-catalog"), "load", str(file)]
    environment = {**os.environ, "RELEASE_CATALOG_MONGODB_URL": url, "RELEASE_CATALOG_DATABASE": name}
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-c", _WATCH, *command], env=environment, stdout=subprocess.PIPE, check=True
    )
    return count / (time.perf_counter() - began), int(done.stdout) // 1024


def main() -> None:
    """Print one line a round, and the medians."""
    given = os.environ.get("RELEASES")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(given) if given else Path(folder) / "generated.ndjson"
        if not given:
            file.write_bytes(b"".join(orjson.dumps(document) + b"\n" for document in generated()))
        sources = [orjson.loads(line) for line in file.read_bytes().splitlines()]
        now = timestamps.now()
        product = {"catalogId": "default", "id": "p", "versionScheme": "ANY"}
        documents = []
        for source in sources[:GENERATED]:
            fields = release_document.read(source, "", now)[0]
            fields.pop("project")
            documents.append(release.document("local", product, now=now, **fields))
        rates, plain = [], []
        with supervisor.start(Path(folder) / "data") as mongod:
            for number in range(ROUNDS):
                fresh = [{**document} for document in documents]
                plain.append(asyncio.run(without_index(mongod.url, f"plain_{number}", fresh)))
                rate, memory = through_the_command_line(mongod.url, f"load_{number}", file, len(sources))
                rates.append(rate)
                asyncio.run(drop(mongod.url, f"load_{number}"))
                print(f"{rate:8.0f} releases/s, {memory} MiB; without index {plain[-1]:.0f} documents/s")
        middle = statistics.median(rates)
        print(f"median {middle:.0f} releases/s, {middle / statistics.median(plain):.2f} of without index")


if __name__ == "__main__":
    main()
