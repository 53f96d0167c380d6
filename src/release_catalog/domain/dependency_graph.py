"""Dependencies as a graph of ids: cycles, distances and paths."""

import collections
from collections.abc import Collection, Generator, Iterator, Mapping
from typing import TypeVar

Edges = Mapping[str, Collection[str]]
# A computation that gives way to other tasks each time it yields, and then returns its result.
Result = TypeVar("Result")
Steps = Generator[None, None, Result]

# Edges that a computation examines between two yields: under a millisecond.
STEP = 2_000
# Edges that a path search examines before it goes on to longer paths, and before it ends.
MAX_EFFORT_A_LENGTH, MAX_EFFORT = 300_000, 2_000_000
# After this many edges without a path, the search enters only nodes that can still reach the target.
PATIENCE = 1_000


def cycles(edges: Edges) -> list[list[str]]:
    """Return the result of `cycle_steps` without giving way to other tasks."""
    return run(cycle_steps(edges))


def cycle_steps(edges: Edges) -> Steps[list[list[str]]]:
    """Find the strongly connected groups of two or more nodes, each in the order of `edges`.

    This is Tarjan's algorithm with a stack of its own: memory bounds the depth of a graph, not Python's recursion.
    """
    effort = 0
    position = {node: number for number, node in enumerate(edges)}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: list[str] = []
    is_open: set[str] = set()
    groups = []
    for root in edges:
        if root in index:
            continue
        work: list[tuple[str, Iterator[str]]] = []
        entering: str | None = root
        while entering or work:
            if entering:
                effort += 1 + len(edges.get(entering, ()))
                if effort > STEP:
                    effort = 0
                    yield
                index[entering] = low[entering] = len(index)
                open_.append(entering)
                is_open.add(entering)
                work.append((entering, iter(edges.get(entering, ()))))
            node, targets = work[-1]
            entering = None
            for target in targets:
                if target not in index:
                    entering = target
                    break
                if target in is_open:
                    low[node] = min(low[node], index[target])
            if entering:
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[node])
            group = _cut_off(open_, node) if low[node] == index[node] else []
            is_open.difference_update(group)
            if len(group) > 1:
                groups.append(sorted(group, key=lambda n: position.get(n, len(position))))
    return sorted(groups, key=lambda group: position.get(group[0], len(position)))


def _cut_off(open_: list[str], node: str) -> list[str]:
    """Pop `node` and everything above it from the stack, in time that depends only on their number."""
    group = [open_.pop()]
    while group[-1] != node:
        group.append(open_.pop())
    return group


def distances(edges: Edges, target: str) -> dict[str, int]:
    """Return the number of steps to `target` from each node that reaches it."""
    backwards: dict[str, list[str]] = {}
    for node, targets in edges.items():
        for needed in targets:
            backwards.setdefault(needed, []).append(node)
    found = {target: 0}
    reached = collections.deque([target])
    while reached:
        node = reached.popleft()
        for source in backwards.get(node, ()):
            if source not in found:
                found[source] = found[node] + 1
                reached.append(source)
    return found


def paths(
    edges: Edges, start: str, target: str, *, longest: int, limit: int, effort: int = MAX_EFFORT
) -> list[list[str]]:
    """Return the result of `path_steps` without giving way to other tasks."""
    return run(path_steps(edges, start, target, longest=longest, limit=limit, effort=effort))


def run(steps: Steps[Result]) -> Result:
    """Return the result of a computation in steps, run to its end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def path_steps(
    edges: Edges, start: str, target: str, *, longest: int, limit: int, effort: int = MAX_EFFORT
) -> Steps[list[list[str]]]:
    """Find up to `limit` simple paths from `start` to `target` of at most `longest` steps, shortest first.

    From a release to itself, the paths are the cycles through it. The search finds all paths of one length before
    longer ones. It knows the nodes that reach the target in exactly the steps left, and enters no others, so it
    meets dead ends only where it would cross its own path. It examines at most `effort` edges, and at most 300,000
    for each length; it leaves out paths that need more.
    """
    search = _PathSearch(edges, start, target, limit, effort)
    yield from search.prepare()
    for length in range(1, longest + 1):
        if search.done or not search.reach[length - 1]:
            break
        yield from search.find(length)
        yield from search.extend()
    return search.found


class _PathSearch:
    """A search for paths, length by length, in memory that grows only with the graph and the length."""

    def __init__(self, edges: Edges, start: str, target: str, limit: int, effort: int) -> None:
        self.found: list[list[str]] = []
        # By number of steps, the nodes that reach the target in exactly that many, never through the target
        # itself.
        self.reach: list[set[str]] = [{target}]
        self._edges, self._start, self._target = edges, start, target
        self._most, self._effort = limit, effort
        # Edges left for the current length, and edges examined since the last path was found.
        self._left, self._missed = 0, 0
        self._sources: dict[str, list[str]] = {}

    @property
    def done(self) -> bool:
        """Return whether the search has found enough paths or examined enough edges."""
        return len(self.found) >= self._most or self._effort <= 0

    def prepare(self) -> Steps[None]:
        """Build the reversed edges."""
        count = 0
        for source, targets in self._edges.items():
            for target in targets:
                self._sources.setdefault(target, []).append(source)
            count += len(targets)
            if count > STEP:
                count = 0
                yield

    def extend(self) -> Steps[None]:
        """Compute the nodes that reach the target in one step more."""
        nodes: set[str] = set()
        count = 0
        for node in self.reach[-1]:
            sources = self._sources.get(node, ())
            nodes.update(sources)
            count += len(sources)
            if count > STEP:
                count = 0
                yield
        nodes.discard(self._target)
        self.reach.append(nodes)

    def find(self, length: int) -> Steps[None]:
        """Find the paths of exactly `length` steps."""
        self._left, self._missed = min(MAX_EFFORT_A_LENGTH, self._effort), 0
        path, on_path = [self._start], {self._start}
        branches = [iter(self._edges.get(self._start, ()))]
        # For each node of the path, the distances to the target that do not cross the path, once they are needed.
        ways: list[dict[str, int] | None] = [None]
        while branches and not self.done and self._left > 0:
            node = next(branches[-1], None)
            if node is None:
                branches.pop()
                ways.pop()
                on_path.discard(path.pop())
                continue
            if self._spend(1):
                yield
            steps = length - len(path)
            if node not in self.reach[steps]:
                continue
            if not steps:
                self.found.append([*path, node])
                self._missed = 0
            elif node not in on_path:
                if self._missed > PATIENCE and ways[-1] is None:
                    ways[-1] = yield from self._distances(on_path)
                if (way := ways[-1]) is not None and way.get(node, length) > steps:
                    continue
                path.append(node)
                on_path.add(node)
                branches.append(iter(self._edges.get(node, ())))
                ways.append(None)

    def _distances(self, on_path: set[str]) -> Steps[dict[str, int]]:
        """Return the number of steps from each node to the target without crossing the path."""
        found, level = {self._target: 0}, [self._target]
        while level:
            above = []
            for node in level:
                sources = self._sources.get(node, ())
                if self._spend(len(sources)):
                    yield
                fresh = [source for source in sources if source not in found and source not in on_path]
                found.update(dict.fromkeys(fresh, found[node] + 1))
                above += fresh
            level = above
        return found

    def _spend(self, edges: int) -> bool:
        """Count examined edges, and return whether it is time to give way."""
        before = self._effort
        self._effort -= edges
        self._left -= edges
        self._missed += edges
        return before // STEP != self._effort // STEP
