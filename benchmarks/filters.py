"""Compare pages with a search, with any and none, and with facets to the same pages without them.

    make bench-filters RELEASES=debian.ndjson        import documents, one a line

Prints the median time of each page in this process, over one embedded MongoDB, and its ratio to the plain page.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import orjson
from graphql import parse
from pymongo import AsyncMongoClient

from release_catalog.domain import caller, release_document, timestamps
from release_catalog.embedded_mongodb import supervisor
from release_catalog.graphql_api.schema import schema
from release_catalog.query_engine import executor
from release_catalog.query_engine.context import Context
from release_catalog.storage import bulk_load, indexes
from release_catalog.storage import database as db

LOCAL = caller.local("local")
ROUNDS = 60
PLAIN = "the same page"
FIELDS = "nodes { id name version channel status createdAt product { key } }"
SEARCHES = ("libssl", "python", "toolkit library", "lib", "x86", "documentation files")
FACETS = (
    "facets { status { value count } channel { value count } platform { value count } product { value count } }"
)
PAGES = {
    PLAIN: ("", ""),
    **{f"search {words!r}": (f'search: "{words}"', "") for words in SEARCHES},
    "any of two names": ('any: [{name: "libssl3"}, {name: "git"}]', ""),
    "any of a search and a tag": ('any: [{search: "python"}, {tag: "bookworm"}]', ""),
    "none of a status": ("none: [{status: [DRAFT]}]", ""),
    "any and none": ('any: [{search: "python"}, {search: "perl"}], none: [{nameContains: "doc"}]', ""),
    "facets of all releases": ("", FACETS),
    "facets of a search": ('search: "python"', FACETS),
}


async def _load(database: db.Database, file: Path) -> int:
    await indexes.ensure(database)
    now, count = timestamps.now(), 0
    with file.open("rb") as lines:
        while batch := [line for _, line in zip(range(bulk_load.BATCH), lines, strict=False)]:
            read = [release_document.read(orjson.loads(line), "", now)[0] for line in batch]
            count += (await bulk_load.load(LOCAL, database, read, publish=True)).added
    return count


async def _milliseconds(database: db.Database, filter_: str, more: str) -> float:
    query = f"{{ releases(first: 50{f', filter: {{{filter_}}}' if filter_ else ''}) {{ {FIELDS} {more} }} }}"
    document = executor.Document(schema._schema, parse(query))
    reading, times = db.ReadOnlyDatabase(database), []
    for _ in range(ROUNDS):
        context = Context(LOCAL, database, reading=reading)
        began = time.perf_counter()
        result = await executor.answer(document, schema._schema, context, {}, None)
        times.append(1_000 * (time.perf_counter() - began))
        if result.errors:
            raise SystemExit(str(result.errors))
    return statistics.median(times)


async def _compare(url: str, file: Path) -> None:
    async with AsyncMongoClient(url) as client:
        database = db.configure(client["filters"])
        sys_count = await _load(database, file)
        print(f"{sys_count} releases")
        found = {name: await _milliseconds(database, *page) for name, page in PAGES.items()}
        for name, milliseconds in found.items():
            print(f"{milliseconds:7.1f} ms  {milliseconds / found[PLAIN]:5.2f} x  {name}")
        sizes = await database.command("collStats", "releases")
        print(f"{sizes['indexSizes']['terms'] / sys_count:.0f} bytes of the terms index for each release")


def main() -> None:
    """Load the releases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("releases", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, supervisor.start(Path(folder) / "data") as mongod:
        asyncio.run(_compare(mongod.url, asked.releases))


if __name__ == "__main__":
    main()
