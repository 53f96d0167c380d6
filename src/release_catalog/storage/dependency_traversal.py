"""Breadth-first walks over dependencies: one lookup for each level, however wide it is.

A walk reads only names and references of releases. The number of releases and references that it examines is
bounded, and it gives way to other tasks every few thousand of them.
"""

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from release_catalog import usage
from release_catalog.domain import dependency_graph, events, references
from release_catalog.domain.caller import Caller
from release_catalog.domain.references import DependencyDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.storage import cursors, reference_lookup, releases, visibility
from release_catalog.storage.collection_names import RELEASES
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.database import Database

MAX_DEPTH = 100
MAX_NODES = 5_000
# Each may be an edge of the graph: 5,000 releases with 20 references each.
MAX_REFERENCES = 100_000
# The maximum number of affected releases that a withdrawal names.
MAX_NEAREST = 100
# The fields of each release that a walk keeps.
WALKED: FieldPaths = frozenset(reference_lookup.REFERENCE_FIELDS)
# The fields of the start release that a walk reads.
START = frozenset({"id", "catalogId", "name", "version", "dependencies.reference"})
_WITH_REFERENCES: FieldPaths = frozenset({*reference_lookup.REFERENCE_FIELDS, "dependencies.reference"})
# The batch size of lookups, in releases or references: each batch takes a few milliseconds of this process.
AT_ONCE = 1_000
# Until a walk has examined this many references, a level of at most this many releases is read together with its
# references; later, references are read separately, so that no more are read than may be examined.
_SMALL_WALK = 2_000
_SMALL_LEVEL = 100


@dataclasses.dataclass
class Walk:
    """The graph reached from a release. Edges run from a release to its dependency, in both kinds of walk."""

    start: ReleaseDocument
    max_nodes: int = MAX_NODES
    nodes: dict[str, ReleaseDocument] = dataclasses.field(default_factory=dict)
    edges: dict[str, dict[str, None]] = dataclasses.field(default_factory=dict)
    # Unresolved references, each with the id of a release that makes it.
    unresolved: dict[str, str] = dataclasses.field(default_factory=dict)
    depth: int = 0
    truncated: bool = False
    # The number of references that the walk may still examine.
    references_left: int = MAX_REFERENCES
    _cycles: list[list[str]] | None = None

    def add(self, release: ReleaseDocument) -> bool:
        """Add a release; return False if it was added before, or if the walk is full."""
        if release["id"] == self.start["id"] or release["id"] in self.nodes:
            return False
        if len(self.nodes) >= self.max_nodes:
            self.truncated = True
            return False
        self.nodes[release["id"]] = release
        return True

    def has(self, id_: str) -> bool:
        """Return whether a release is part of the graph, the start included."""
        return id_ == self.start["id"] or id_ in self.nodes

    def link(self, source: str, target: str) -> None:
        """Add the edge from `source` to its dependency `target`, once."""
        self.edges.setdefault(source, {})[target] = None

    def look_at(self, made: list[str]) -> list[str]:
        """Return those of a release's references that the walk may still examine."""
        if len(made) > self.references_left:
            self.truncated = True
            made = made[: self.references_left]
        self.references_left -= len(made)
        return made

    async def find_cycles(self) -> list[list[str]]:
        """Return the ids of the releases that depend on each other, by group."""
        if self._cycles is None:
            self._cycles = await in_steps(dependency_graph.cycle_steps(self.edges))
        return self._cycles


class _Pace:
    """A pause for the event loop after every few thousand items."""

    def __init__(self) -> None:
        self._items = 0

    async def step(self, items: int) -> None:
        self._items += items + 1
        if self._items > dependency_graph.STEP:
            self._items = 0
            await asyncio.sleep(0)


@contextlib.contextmanager
def _charged(walk: Walk) -> Iterator[None]:
    """Count the work of the walk towards the request, even if it ends with an error."""
    try:
        yield
    finally:
        usage.walk(len(walk.nodes), MAX_REFERENCES - walk.references_left)


async def dependencies(
    caller: Caller, database: Database, start: ReleaseDocument, max_depth: int, max_nodes: int
) -> Walk:
    """Return all dependencies of `start`, direct and indirect, within bounds."""
    walk = Walk(start, max_nodes)
    with _charged(walk):
        await _walk_dependencies(caller, database, walk, max_depth)
    return walk


async def _walk_dependencies(caller: Caller, database: Database, walk: Walk, max_depth: int) -> None:
    pace, start = _Pace(), walk.start
    level = {start["id"]: walk.look_at([needed["reference"] for needed in start["dependencies"]])}
    while level:
        references = list(dict.fromkeys(itertools.chain.from_iterable(level.values())))
        together = len(references) <= _SMALL_LEVEL and MAX_REFERENCES - walk.references_left <= _SMALL_WALK
        keys = _WITH_REFERENCES if together else WALKED
        found = await reference_lookup.resolve_references(
            caller, database, references, keys, AT_ONCE, is_walk=True
        )
        deeper = walk.depth < max_depth
        reached: dict[str, ReleaseDocument] = {}
        for id_, made in level.items():
            await pace.step(len(made))
            walk.edges.setdefault(id_, {})
            for reference in made:
                target = found.get(reference)
                if target is None:
                    walk.unresolved.setdefault(reference, id_)
                elif deeper and walk.add(target):
                    reached[target["id"]] = target
                elif not walk.has(target["id"]):
                    walk.truncated = True
                if target and walk.has(target["id"]):
                    walk.link(id_, target["id"])
        walk.depth += bool(reached)
        if together:
            level = {
                id_: walk.look_at([needed["reference"] for needed in one["dependencies"]])
                for id_, one in reached.items()
            }
        else:
            level = await _references(caller, database, walk, reached)


async def _references(
    caller: Caller, database: Database, walk: Walk, ids: Collection[str]
) -> dict[str, list[str]]:
    """Return the references of releases by id, as far as the walk may still examine them."""
    made: dict[str, list[str]] = {id_: [] for id_ in ids}
    for some in _batched(list(ids)):
        async with contextlib.aclosing(reference_lookup.find_dependants(caller, database, some)) as batches:
            async for batch in batches:
                made |= {id_: walk.look_at(found) for id_, found in batch}
                if walk.references_left <= 0:
                    walk.truncated = True
                    return made
    return made


async def dependants(
    caller: Caller, database: Database, start: ReleaseDocument, max_depth: int, max_nodes: int
) -> Walk:
    """Return all dependants of `start`, direct and indirect, within bounds."""
    walk = Walk(start, max_nodes, edges={start["id"]: {}})
    with _charged(walk):
        await _walk_dependants(caller, database, walk, max_depth)
    return walk


async def _walk_dependants(caller: Caller, database: Database, walk: Walk, max_depth: int) -> None:
    pace, start = _Pace(), walk.start
    # The ids of the releases in the graph that make each reference.
    makers: dict[str, list[str]] = {}
    new = {start["id"]: walk.look_at([needed["reference"] for needed in start["dependencies"]])}
    level: Sequence[ReleaseDocument] = [start]
    while level:
        needed = await _needed(caller, database, level)
        reached: dict[str, ReleaseDocument] = {}
        for some in _batched(list(needed)):
            limit = walk.max_nodes + len(walk.nodes) + 2
            for release in await reference_lookup.find_by_reference(caller, database, some, limit, WALKED):
                if walk.depth == max_depth and not walk.has(release["id"]):
                    walk.truncated = True
                elif walk.add(release):
                    reached[release["id"]] = release
            await pace.step(len(some))
        new |= await _references(caller, database, walk, reached)
        for id_, made in new.items():
            await pace.step(len(made))
            for reference in made:
                makers.setdefault(reference, []).append(id_)
        new = {}
        for reference, target in needed.items():
            sources = makers.get(reference, ())
            await pace.step(len(sources))
            for source in sources:
                walk.link(source, target)
        walk.depth += bool(reached)
        level = list(reached.values())


async def _needed(caller: Caller, database: Database, level: Sequence[ReleaseDocument]) -> dict[str, str]:
    """Return the references that resolve to the releases of a level, each with the release's id."""
    needed: dict[str, str] = {}
    for some in _batched(level):
        for release, terms in zip(
            some, await reference_lookup.dependant_terms(caller, database, some), strict=True
        ):
            needed |= dict.fromkeys((term.removeprefix("needs:") for term in terms), release["id"])
    return needed


def _batched(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[at : at + AT_ONCE] for at in range(0, len(items), AT_ONCE))


async def made_unresolved(caller: Caller, database: Database, walk: Walk) -> list[DependencyDocument]:
    """Return the unresolved references of a walk, as they were declared.

    For callers who do not see everything, the release may only be hidden, so completed fields are left empty.
    """
    # The start may not be in the database: it may be the result of a dry run.
    declared = {one["reference"]: one for one in walk.start["dependencies"] if "name" in one}
    ids = {id_ for reference, id_ in walk.unresolved.items() if reference not in declared}
    found = await releases.by_ids(caller, database, ids, frozenset({"dependencies"})) if ids else {}
    for release in found.values():
        declared |= {one["reference"]: one for one in release["dependencies"]}
    shown = [declared[reference] for reference in walk.unresolved if reference in declared]
    return shown if caller.sees_drafts is True else [references.undisclosed(one) for one in shown]


@dataclasses.dataclass
class Affected:
    """The published releases that reach a release: their number, and the nearest of them."""

    count: int = 0
    nearest: list[ReleaseDocument] = dataclasses.field(default_factory=list)
    # Whether the walk met a release hidden from callers with only `release:read`.
    hidden: bool = False
    # The reference strings of the releases on the way.
    answers: set[str] = dataclasses.field(default_factory=set)

    def add(self, release: ReleaseDocument) -> None:
        """Count a reached release if it is published."""
        self.hidden = self.hidden or not events.is_public(release)
        if release["status"] == "PUBLISHED":
            self.count += 1
            if len(self.nearest) < MAX_NEAREST:
                self.nearest.append(release)

    def touched_by(self, changed: Iterable[ReleaseDocument]) -> bool:
        """Return whether the result may be different now that the releases in `changed` have changed.

        This is so if one of them is on the way, has the name of one that is, or depends on one that is.
        """
        return any(
            not self.answers.isdisjoint(references.reference_keys(one))
            or not self.answers.isdisjoint(needed["reference"] for needed in one["dependencies"])
            for one in changed
        )


async def affected(caller: Caller, database: Database, start: ReleaseDocument) -> Affected:
    """Return the published releases that reach `start` through dependencies, without a bound on their number."""
    seen = {start["id"]}
    found = Affected()
    level: Sequence[ReleaseDocument] = [start]
    try:
        while level:
            level = await _next_level(caller, database, level, seen, found)
    finally:
        usage.walk(len(seen) - 1)
    return found


async def _next_level(
    caller: Caller, database: Database, level: Sequence[ReleaseDocument], seen: set[str], found: Affected
) -> list[ReleaseDocument]:
    needed: list[str] = []
    for some in _batched(level):
        found.answers.update(itertools.chain.from_iterable(map(references.reference_keys, some)))
        for terms in await reference_lookup.dependant_terms(caller, database, some):
            needed += terms
    reached = []
    for part in _batched(needed):
        match = {**visibility.visible(caller), "terms": {"$in": part}}
        cursor = (
            database[RELEASES].find(match, reference_lookup.REFERENCE_FIELDS).hint("terms").batch_size(AT_ONCE)
        )
        async with contextlib.aclosing(cursors.batches(cursor, AT_ONCE)) as batches:
            async for batch in batches:
                for one in batch:
                    if one["id"] not in seen:
                        seen.add(one["id"])
                        reached.append(one)
                        found.add(one)
    return reached


async def paths(
    caller: Caller, database: Database, start: ReleaseDocument, to_id: str, longest: int, limit: int
) -> list[list[str]]:
    """Return up to `limit` of the shortest dependency paths from `start` to another release, as ids.

    The search covers the first 5,000 releases that `start` reaches.
    """
    walk = await dependencies(caller, database, start, longest, MAX_NODES)
    return await in_steps(
        dependency_graph.path_steps(walk.edges, start["id"], to_id, longest=longest, limit=limit)
    )


async def in_steps(steps: dependency_graph.Steps[dependency_graph.Result]) -> dependency_graph.Result:
    """Return the result of a computation, letting the event loop serve other tasks between its steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: dependency_graph.Result = end.value
            return result
        await asyncio.sleep(0)
