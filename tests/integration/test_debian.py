"""Debian's packages, loaded and walked: a third of them, and all 63,000 in `make test-debian`.

The third is each package whose name has a certain checksum, with all that it needs.
"""

import os
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from conftest import LOCAL, SHARED, connected
from support.catalog import Catalog, Commands, source
from support.processes import peak

SCRIPT = SHARED / "data" / "debian_releases.py"
LISTS = Path("/var/lib/apt/lists")
pytestmark = pytest.mark.skipif(
    not SCRIPT.is_file() or not list(LISTS.glob("*_main_binary-*_Packages*")),
    reason="Debian's package lists or the script that reads them are not here",
)
WHOLE = os.environ.get("DEBIAN") == "whole"
COUNT, DEPENDANTS = (60_000, 21_000) if WHOLE else (20_000, 7_000)
MAX_MEMORY_KB = 300 * 1024


def third(lines: list[bytes]) -> list[bytes]:
    releases = {release["name"]: release for release in map(orjson.loads, lines)}
    todo, kept = [name for name in releases if zlib.crc32(name.encode()) % 8 == 0], set[str]()
    while todo:
        name = todo.pop()
        if name not in kept and name in releases:
            kept.add(name)
            todo += [needed["name"] for needed in releases[name]["dependencies"]]
    return [line for name, line in zip(releases, lines, strict=True) if name in kept]


@pytest.fixture(scope="module")
def loaded(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Loads packages into the database `debian`; gives the number of releases."""
    printed = subprocess.run([sys.executable, str(SCRIPT)], stdout=subprocess.PIPE, check=True)
    lines = printed.stdout.splitlines(keepends=True)
    lines = lines if WHOLE else third(lines)
    file = tmp_path_factory.mktemp("debian") / "debian.ndjson"
    file.write_bytes(b"".join(lines))
    environment = {**os.environ, "RELEASE_CATALOG_MONGODB_URL": mongodb_url, "RELEASE_CATALOG_DATABASE": "debian"}
    command = [str(Path(sys.executable).parent / "release-catalog"), "load", str(file)]
    process = subprocess.Popen(command, env=environment)
    memory = peak(process)
    assert process.returncode == 0
    assert memory < MAX_MEMORY_KB
    return len(lines)


@pytest.fixture
async def debian(mongodb_url: str, loaded: int) -> AsyncIterator[Catalog]:
    commands = Commands()
    async with connected(mongodb_url, "debian", commands) as database:
        yield Catalog(database, LOCAL, commands)


async def find(catalog: Catalog, name: str) -> Any:
    query = "query($name: String!) { releases(filter: {name: $name}) { nodes { id version dependants { totalCount } } } }"
    return (await catalog.ask(query, name=name))["releases"]["nodes"][0]


async def test_all_packages_are_loaded(debian: Catalog, loaded: int) -> None:
    assert (await debian.ask("{ releases { totalCount } }"))["releases"]["totalCount"] == loaded > COUNT


PAGES = {
    "first": """query($id: ID!, $at: String) { releases(filter: {dependsOnId: $id}, first: 100, after: $at) {
      nodes { id } pageInfo { more: hasNextPage at: endCursor } } }""",
    "last": """query($id: ID!, $at: String) { releases(filter: {dependsOnId: $id}, last: 100, before: $at) {
      nodes { id } pageInfo { more: hasPreviousPage at: startCursor } } }""",
}


async def test_the_dependants_of_libc6_are_walked_both_ways_while_releases_come_in(debian: Catalog) -> None:
    libc6 = await find(debian, "libc6")
    before = libc6["dependants"]["totalCount"]
    assert before >= DEPENDANTS
    walks = []
    for direction, query in PAGES.items():
        seen: list[str] = []
        at, more, turn = None, True, 0
        while more:
            page = (await debian.ask(query, id=libc6["id"], at=at))["releases"]
            seen += [node["id"] for node in page["nodes"]]
            at, more, turn = page["pageInfo"]["at"], page["pageInfo"]["more"], turn + 1
            if turn % 20 == 1:
                late = source(f"late {direction} {turn}", createdAt="2023-06-15T00:00:00Z")
                late["dependencies"] = [{"name": "libc6", "version": libc6["version"]}]
                assert (await debian.load(late)).added == 1
        assert len(seen) == len(set(seen)) >= before
        walks.append(set(seen))
    assert walks[0] <= walks[1]


async def test_a_cycle_through_libc6_and_libgcc_s1_is_reported(debian: Catalog) -> None:
    ids = {name: (await find(debian, name))["id"] for name in ("libc6", "libgcc-s1")}
    data = await debian.ask("query($id: ID!) { release(id: $id) { dependencyGraph { cycles } } }", id=ids["libc6"])
    assert any(set(group) >= set(ids.values()) for group in data["release"]["dependencyGraph"]["cycles"])


async def test_three_levels_under_twenty_releases_take_four_reads(debian: Catalog) -> None:
    await debian.ask("""{ releases(first: 20) { nodes { name dependencies { nodes { name dependencies { nodes { name
      dependencies { nodes { name } } } } } } } } }""")
    assert debian.commands.reads == {"releases": 4}


async def test_the_graph_above_a_hub_is_bounded(debian: Catalog) -> None:
    libc6 = await find(debian, "libc6")
    query = """query($id: ID!) { release(id: $id) {
      dependencyGraph(direction: DEPENDANTS, maxNodes: 500) { nodeCount truncated nodes { id } edges { toId } } } }"""
    found = (await debian.ask(query, id=libc6["id"]))["release"]["dependencyGraph"]
    assert (found["nodeCount"], found["truncated"]) == (500, True)
    assert len({node["id"] for node in found["nodes"]}) == 500
