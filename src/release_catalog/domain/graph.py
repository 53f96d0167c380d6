"""Dependencies as a graph of ids: what depends on itself, and how one release reaches another."""

import collections
import heapq
import itertools
from collections.abc import Collection, Iterator, Mapping

Edges = Mapping[str, Collection[str]]


def cycles(edges: Edges) -> list[list[str]]:
    """The strongly connected groups of two or more, each in the order of `edges`.

    Tarjan's algorithm with a stack of its own: the depth of a graph is bounded by memory, not by Python.
    """
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
            if low[node] == index[node]:
                group = open_[open_.index(node) :]
                del open_[-len(group) :]
                is_open.difference_update(group)
                if len(group) > 1:
                    groups.append(sorted(group, key=lambda n: position.get(n, len(position))))
    return sorted(groups, key=lambda group: position.get(group[0], len(position)))


def distances(edges: Edges, target: str) -> dict[str, int]:
    """How many steps each node is from `target`, of those that reach it."""
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
    edges: Edges, start: str, target: str, *, longest: int, most: int, effort: int = 100_000
) -> list[list[str]]:
    """Up to `most` paths from `start` to `target` without repeats, shortest first, of at most `longest` steps.

    A search that knows from each node how far the target still is; it looks at no more than `effort`
    beginnings, so that a graph with a great many near misses ends as well. From a release to itself, the
    paths are the cycles through it.
    """
    remaining = distances(edges, target)
    ticket = itertools.count()
    waiting = [(remaining[start], next(ticket), [start])] if start in remaining else []
    found: list[list[str]] = []
    for _ in range(effort):
        if not waiting or len(found) == most:
            break
        _, _, path = heapq.heappop(waiting)
        if path[-1] == target and len(path) > 1:
            found.append(path)
            continue
        for node in edges.get(path[-1], ()):
            length = len(path) + remaining.get(node, longest)
            if length <= longest and (node not in path or node == target == start):
                heapq.heappush(waiting, (length, next(ticket), [*path, node]))
    return found
