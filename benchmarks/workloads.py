"""The workloads: a GraphQL document for each, and the random choice of its requests.

The hand-written endpoint for a workload has its name and takes its variables, so both get the same requests.
"""

import dataclasses
import random
import urllib.parse
from collections.abc import Callable
from typing import Any

import orjson

# draw.lua puts a number of its own in this place of each request.
UNIQUE = "@" * 16
Variables = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Known:
    """All releases, the newest first, and one of them with many dependants."""

    releases: list[Variables]
    hub: str

    def some(self, chance: random.Random) -> Variables:
        """Return any release."""
        return chance.choice(self.releases)

    def cursor(self, chance: random.Random) -> str:
        """Return a cursor with full pages after it."""
        cursor: str = self.releases[chance.randrange(len(self.releases) * 9 // 10)]["cursor"]
        return cursor


@dataclasses.dataclass(frozen=True)
class Workload:
    """One kind of request; `wanted` holds the ratios that the project wants, by connections and server."""

    name: str
    title: str
    document: str
    draw: Callable[[random.Random, Known], Variables]
    wanted: dict[int, dict[str, float]] = dataclasses.field(default_factory=dict)

    @property
    def is_write(self) -> bool:
        """Return whether it writes to the database."""
        return self.document.startswith("mutation")

    def body(self, variables: Variables) -> bytes:
        """Return the body of a GraphQL request."""
        return orjson.dumps({"query": " ".join(self.document.split()), "variables": variables})

    def by_hand(self, variables: Variables) -> bytes:
        """Return the same for the hand-written endpoint: the body of a write, the address of a read."""
        if self.is_write:
            return orjson.dumps(variables)
        query = urllib.parse.urlencode(variables)
        return f"/{self.name}{'?' + query if query else ''}".encode()


def _wanted(handwritten: float, mercurius: float, plans_off: float) -> dict[str, float]:
    return {"hand-written": handwritten, "Mercurius JIT": mercurius, "plans off": plans_off}


def _both(*ratios: float) -> dict[int, dict[str, float]]:
    return dict.fromkeys((8, 64), _wanted(*ratios))


def _filter(chance: random.Random, known: Known) -> Variables:
    return {"author": known.some(chance)["author"], "createdFrom": known.some(chance)["createdAt"]}


def _creation(chance: random.Random, known: Known) -> Variables:
    needed = known.some(chance)
    return {
        "productId": known.some(chance)["product"]["id"],
        "name": "benchmark",
        "version": f"1.{UNIQUE}",
        "sha256": f"{chance.getrandbits(256):064x}",
        "needed": needed["name"],
        "neededVersion": needed["version"],
    }


WORKLOADS = [
    Workload(
        "point",
        "point read with links",
        """query ($id: ID!) { release(id: $id) { id name version status createdAt _links {
            self { href } catalog { href } application { href }
            product { href } registry { href } baseImage { href }
        } } }""",
        lambda chance, known: {"id": known.some(chance)["id"]},
        {8: _wanted(0.9, 1.0, 2.5), 64: _wanted(1.5, 1.2, 3.5)},
    ),
    Workload(
        "page",
        "page of 50 x 20 fields",
        """query ($after: String) { releases(first: 50, after: $after) {
            nodes {
                id name version revision tag channel trial status published publishedAt private archived author
                createdAt updatedAt etag artifactCount
                artifacts { id name size sha256 downloadUrl platform { name osFamily architecture } }
                product { id key name }
                _links { self { href } catalog { href } application { href } }
            }
            pageInfo { hasNextPage endCursor }
        } }""",
        lambda chance, known: {"after": known.cursor(chance)},
        _both(0.85, 1.7, 6),
    ),
    Workload(
        "nested",
        "20 → dependencies → dependencies",
        """query ($after: String) { releases(first: 20, after: $after) { nodes { id name version
            dependencies { nodes { id name version dependencies { nodes { id name version } } } }
        } } }""",
        lambda chance, known: {"after": known.cursor(chance)},
        _both(0.85, 3.0, 6),
    ),
    Workload(
        "hub",
        "50 dependants of libc6",
        """query ($id: ID!, $after: String) { release(id: $id) { id name dependants(first: 50, after: $after) {
            nodes { id name version createdAt product { id key name } }
            pageInfo { hasNextPage endCursor }
        } } }""",
        lambda chance, known: {"id": known.hub, "after": known.cursor(chance)},
        _both(0.8, 2.0, 5),
    ),
    Workload(
        "filtered",
        "filtered, sorted, counted",
        """query ($author: String!, $createdFrom: DateTime!) { releases(
            filter: { author: $author, createdFrom: $createdFrom }
            orderBy: { field: NAME, direction: ASC }
            first: 20
        ) {
            totalCount
            nodes { id name version author createdAt }
            pageInfo { hasNextPage endCursor }
        } }""",
        _filter,
    ),
    Workload("typename", "{ __typename }", "{ __typename }", lambda *_: {}),
    Workload(
        "create",
        "createRelease",
        """mutation (
            $productId: ID!, $name: String!, $version: String!, $sha256: String!
            $needed: String!, $neededVersion: String!
        ) { createRelease(input: {
            productId: $productId, name: $name, version: $version
            artifacts: [
                { name: "file", size: 1024, sha256: $sha256, downloadUrl: "https://downloads.example/file" }
            ]
            dependencies: [{ name: $needed, version: $neededVersion }]
        }) { release { name version status } problem { detail } } }""",
        _creation,
    ),
]
