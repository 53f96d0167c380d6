"""The search for paths against one that tries everything, and on graphs that are made to be slow."""

import tracemalloc
from collections.abc import Collection, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from release_catalog.domain import dependency_graph
from support.effort import bounded

Path = list[str]
NODES = "abcdefg"
# The most edges that may be looked at between two turns of others.
MAX_EDGES_A_TURN = 5_000


def every_path(edges: dependency_graph.Edges, start: str, target: str, longest: int) -> Iterator[Path]:
    """Return all simple paths, or cycles where start and target are one, in the order of their lengths."""
    paths = [[start]]
    for _ in range(longest):
        paths = [[*path, node] for path in paths for node in dict.fromkeys(edges.get(path[-1], ()))]
        yield from (path for path in paths if path[-1] == target)
        paths = [path for path in paths if path[-1] != target and path[-1] not in path[:-1]]


edges_of = st.dictionaries(
    st.sampled_from(NODES), st.lists(st.sampled_from(NODES), unique=True, max_size=len(NODES)), max_size=len(NODES)
)


@given(edges_of, st.sampled_from(NODES), st.sampled_from(NODES), st.integers(1, 8), st.integers(1, 30))
@example({"a": ["a"]}, "a", "a", 3, 5)
@example({"a": ["b"], "b": ["a"]}, "a", "a", 3, 5)
@example({"a": ["b"], "b": ["a", "c"]}, "a", "c", 8, 5)
@example({"a": ["b", "c"], "b": ["c"], "c": ["b", "d"]}, "a", "d", 3, 1)
@example({}, "a", "b", 1, 1)
def test_paths_are_those_that_there_are(
    edges: dict[str, Path], start: str, target: str, longest: int, most: int
) -> None:
    everything = list(every_path(edges, start, target, longest))
    found = dependency_graph.paths(edges, start, target, longest=longest, limit=most)
    assert [len(path) for path in found] == [len(path) for path in everything[:most]]
    assert len({tuple(path) for path in found}) == len(found)
    assert {tuple(path) for path in found} <= {tuple(path) for path in everything}


def layers(count: int, width: int) -> dict[str, Path]:
    """Return a graph of layers, each of whose nodes leads to all of the next layer."""
    names = [[f"{layer}-{at}" for at in range(width)] for layer in range(count)]
    return {name: names[layer + 1] for layer in range(count - 1) for name in names[layer]}


class Watched(dict[str, Collection[str]]):
    """Edges that count how many of them were looked at."""

    looked_at = 0

    def get(self, node: str, default: Collection[str] = ()) -> Collection[str]:  # type: ignore[override]
        """Return the targets of a node, each of which counts when it comes."""
        return _Counting(self, super().get(node, default))


class _Counting(list[str]):
    def __init__(self, edges: Watched, targets: Collection[str]) -> None:
        super().__init__(targets)
        self._edges = edges

    def __iter__(self) -> Iterator[str]:
        for target in super().__iter__():
            self._edges.looked_at += 1
            yield target


def searched(edges: dependency_graph.Edges, start: str, target: str, longest: int, limit: int) -> list[Path]:
    """Return what is found, after a look at how: in short turns, and with bounded effort."""
    watched, before = Watched(edges), 0
    steps = dependency_graph.path_steps(watched, start, target, longest=longest, limit=limit)
    with bounded():
        try:
            while True:
                next(steps)
                assert watched.looked_at - before <= MAX_EDGES_A_TURN
                before = watched.looked_at
        except StopIteration as end:
            found: list[Path] = end.value
    assert watched.looked_at <= dependency_graph.MAX_EFFORT
    return found


def test_dense_layers_are_searched_without_walking_all_ways() -> None:
    """602 releases with 5 billion paths: once 49 s, 2 GB and no answer."""
    edges = layers(7, 86)
    tracemalloc.start()
    found = searched(edges, "0-0", "6-0", longest=10, limit=100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000_000
    assert len(found) == 100
    assert {(path[0], path[-1], len(path)) for path in found} == {("0-0", "6-0", 7)}


@pytest.mark.parametrize(
    ("start", "target", "longest"),
    [
        ("0-0", "nowhere", 10),
        ("nowhere", "6-0", 10),
        # Against the direction of the edges.
        ("6-0", "0-0", 10),
        # One step further than is allowed.
        ("0-0", "6-0", 5),
        ("0-0", "0-0", 10),
    ],
)
def test_a_target_that_can_not_be_reached_costs_little(start: str, target: str, longest: int) -> None:
    edges = Watched(layers(7, 86))
    assert dependency_graph.paths(edges, start, target, longest=longest, limit=100) == []
    # Each length looks at what the start leads to.
    assert edges.looked_at <= 10 * 86


def test_a_node_with_many_edges_holds_nobody_up() -> None:
    star = {"a": [str(at) for at in range(4_000)], **{str(at): ["end"] for at in range(4_000)}, "end": ["a"]}
    assert len(searched(star, "a", "end", longest=3, limit=100)) == 100
    assert len(searched(star, "end", "end", longest=3, limit=100)) == 100


def test_everything_leads_to_everything() -> None:
    names = [str(at) for at in range(150)]
    found = searched(dict.fromkeys(names, names), "0", "1", longest=10, limit=100)
    assert [len(path) for path in found] == [2, *[3] * 99]


def test_ways_that_only_lead_back_end_the_search_and_not_the_answer() -> None:
    """From the gate on, all ways but one come back to it: no path is longer than two steps."""
    crowd = [f"c{at}" for at in range(80)]
    edges = {"start": ["gate"], "gate": [*crowd, "end"], **{name: [*crowd, "gate"] for name in crowd}}
    assert searched(edges, "start", "end", longest=10, limit=100) == [["start", "gate", "end"]]
