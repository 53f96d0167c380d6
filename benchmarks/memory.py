"""Watch the memory of this project's server over many requests with thousands of different documents.

    make bench-memory                                 a million requests, 10,000 documents: about an hour
    make bench-memory REQUESTS=50000 DOCUMENTS=2000

The documents differ in their fields and aliases, and so fill every cache of documents in a server. Prints the
resident memory as it goes, and at the end by how much the last tenth of the requests exceeds the second.
"""

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
from pathlib import Path

import orjson

import rounds
import servers
import side_by_side
from release_catalog.embedded_mongodb import supervisor
from workloads import Workload

FIELDS = "name version revision tag channel status published private author createdAt updatedAt etag trial".split()
CONNECTIONS = 8
SLICES = 50


def documents(count: int, ids: list[str]) -> list[bytes]:
    """Return bodies of requests, each with a document of its own."""
    chance = random.Random(1)  # noqa: S311  each run asks the same
    bodies = []
    for number in range(count):
        some = chance.sample(FIELDS, chance.randint(3, len(FIELDS)))
        plain = " ".join(f"{field}{number}: {field}" for field in some)
        below = "dependencies(first: 5) { nodes { id name product { key } } }" if number % 2 else "product { key }"
        document = f"query ($id: ID!) {{ release(id: $id) {{ {plain} {below} _links {{ self {{ href }} }} }} }}"
        bodies.append(orjson.dumps({"query": document, "variables": {"id": chance.choice(ids)}}))
    return bodies


def main() -> None:
    """Print a line for each slice of the requests; exit with 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=Path, help="import documents, one a line; otherwise the sample")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--documents", type=int, default=10_000)
    asked = parser.parse_args()
    side_by_side.need_wrk()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(supervisor.start(folder / "data")).url
        side_by_side.fill(folder, url, asked.releases)
        server = stack.enter_context(servers.running("this project", url, folder))
        known = rounds.known(server)
        bodies = documents(asked.documents, [release["id"] for release in known.releases])
        sample = Workload("", "", "", lambda *_: {})
        for body in bodies[:20]:
            if "errors" in (answer := server.ask(server.path(sample), body)):
                sys.exit(f"A document is refused: {answer}")
        file = folder / "documents.txt"
        file.write_bytes(b"\n".join(bodies) + b"\n")
        answered, readings, rate = 0, [], 500.0
        while answered < asked.requests:
            seconds = max(1.0, asked.requests / SLICES / rate)
            load = server.load("/graphql", file, CONNECTIONS, seconds, len(readings), 0)
            if load.failed:
                sys.exit(f"{load.failed} requests failed.")
            rate = load.rate
            answered += load.requests
            readings.append(server.memory())
            print(f"{answered:9} requests {readings[-1]:7.1f} MiB {rate:7.0f} requests/s", flush=True)
    tenth = max(1, len(readings) // 10)
    early, late = statistics.mean(readings[tenth : 2 * tenth] or readings), statistics.mean(readings[-tenth:])
    print(f"last tenth {late:.1f} MiB, second tenth {early:.1f} MiB: {late / early - 1:+.1%}")


if __name__ == "__main__":
    main()
