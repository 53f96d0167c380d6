"""Walking dependencies breadth first: one look-up a level, however wide it is."""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from release_catalog.domain import events, graph, references
from release_catalog.domain.caller import Caller
from release_catalog.store import releases
from release_catalog.store.database import Database, Document

MAX_DEPTH = 100
MAX_NODES = 5_000
# Of the releases that a withdrawal concerns, so many are named.
MAX_NEAREST = 100
_REACHED = {**releases.IDENTITY, "private": 1}


@dataclasses.dataclass
class Walk:
    """What was reached from a release. Edges run from a release to what it needs, in both directions."""

    start: Mapping[str, Any]
    nodes: dict[str, Document] = dataclasses.field(default_factory=dict)
    edges: dict[str, dict[str, None]] = dataclasses.field(default_factory=dict)
    unresolved: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    depth: int = 0
    truncated: bool = False

    def add(self, release: Document, most: int) -> bool:
        """Take in a release that was not met before; False where it was, or where there is no room."""
        if release["id"] == self.start["id"] or release["id"] in self.nodes:
            return False
        if len(self.nodes) >= most:
            self.truncated = True
            return False
        self.nodes[release["id"]] = release
        return True

    def has(self, id_: str) -> bool:
        """Whether a release is part of the graph, the starting one included."""
        return id_ == self.start["id"] or id_ in self.nodes

    def link(self, source: str, target: str) -> None:
        """Note that `source` needs `target`, once."""
        self.edges.setdefault(source, {})[target] = None

    @property
    def cycles(self) -> list[list[str]]:
        """Ids of the releases that depend on each other."""
        return graph.cycles(self.edges)


async def dependencies(
    caller: Caller, database: Database, start: Mapping[str, Any], max_depth: int, max_nodes: int
) -> Walk:
    """Everything that `start` needs, within bounds."""
    walk = Walk(start)
    level: Sequence[Mapping[str, Any]] = [start]
    while level:
        wanted = {d["reference"] for release in level for d in release["dependencies"]}
        found = await releases.answering(caller, database, wanted)
        deeper = walk.depth < max_depth
        reached = []
        for release in level:
            walk.edges.setdefault(release["id"], {})
            for dependency in release["dependencies"]:
                target = found.get(dependency["reference"])
                if target is None:
                    # For who sees all, there is no such release; for others, they may not see it.
                    sees_all = caller.sees_drafts is True
                    shown = dependency if sees_all else references.undisclosed(dependency)
                    walk.unresolved[dependency["reference"]] = shown
                elif deeper and walk.add(target, max_nodes):
                    reached.append(target)
                elif not walk.has(target["id"]):
                    walk.truncated = True
                if target and walk.has(target["id"]):
                    walk.link(release["id"], target["id"])
        walk.depth += bool(reached)
        level = reached
    return walk


async def dependants(
    caller: Caller, database: Database, start: Mapping[str, Any], max_depth: int, max_nodes: int
) -> Walk:
    """Everything that needs `start`, within bounds."""
    walk = Walk(start, edges={start["id"]: {}})
    level: Sequence[Mapping[str, Any]] = [start]
    while level:
        needed: dict[str, str] = {}
        for release, terms in zip(level, await releases.needing(caller, database, level), strict=True):
            needed |= dict.fromkeys((term.removeprefix("needs:") for term in terms), release["id"])
        reached = []
        for release in await releases.needing_any(caller, database, needed, max_nodes + len(walk.nodes) + 2):
            if walk.depth == max_depth and not walk.has(release["id"]):
                walk.truncated = True
            elif walk.add(release, max_nodes):
                reached.append(release)
            if walk.has(release["id"]):
                for dependency in release["dependencies"]:
                    if target := needed.get(dependency["reference"]):
                        walk.link(release["id"], target)
        walk.depth += bool(reached)
        level = reached
    return walk


@dataclasses.dataclass
class Affected:
    """The published releases that reach one: how many, and the nearest of them."""

    count: int = 0
    nearest: list[Document] = dataclasses.field(default_factory=list)
    # Whether the way led over any that callers who may only read don't see.
    hidden: bool = False

    def add(self, release: Document) -> None:
        """Count a release that was reached, if it is published."""
        self.hidden = self.hidden or not events.is_open(release)
        if release["status"] == "PUBLISHED":
            self.count += 1
            if len(self.nearest) < MAX_NEAREST:
                self.nearest.append(release)


async def affected(caller: Caller, database: Database, start: Mapping[str, Any]) -> Affected:
    """The published releases that reach `start` through dependencies, however many there are."""
    seen = {start["id"]}
    found = Affected()
    level: Sequence[Mapping[str, Any]] = [start]
    while level:
        needed = [term for terms in await releases.needing(caller, database, level) for term in terms]
        level = []
        for at in range(0, len(needed), releases.REFERENCES_A_COMMAND):
            some = needed[at : at + releases.REFERENCES_A_COMMAND]
            match = {**releases.visible(caller), "terms": {"$in": some}}
            async for one in database.releases.find(match, _REACHED).hint("terms"):
                if one["id"] not in seen:
                    seen.add(one["id"])
                    level.append(one)
                    found.add(one)
    return found


async def paths(
    caller: Caller, database: Database, start: Mapping[str, Any], to_id: str, longest: int, most: int
) -> list[list[Mapping[str, Any]]]:
    """Return up to `most` of the shortest dependency paths from `start` to another release.

    They are searched among the first 5,000 releases that `start` reaches.
    """
    walk = await dependencies(caller, database, start, longest, MAX_NODES)
    known = {**walk.nodes, start["id"]: start}
    found = await in_steps(graph.path_steps(walk.edges, start["id"], to_id, longest=longest, most=most))
    return [[known[id_] for id_ in path] for path in found]


async def in_steps(steps: graph.Steps[graph.Result]) -> graph.Result:
    """Return the result of a computation, letting the event loop serve others between its steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: graph.Result = end.value
            return result
        await asyncio.sleep(0)
