"""What a release needs, what needs it, and everything that can be reached that way."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from release_catalog.api.connection import PageInfo, page_info
from release_catalog.api.enums import GraphDirection
from release_catalog.api.fields import computed, fetched, plain
from release_catalog.domain import references
from release_catalog.plans.context import Context, Info
from release_catalog.plans.how import only
from release_catalog.plans.keys import Keys, under, union, within
from release_catalog.problems import BadArgument
from release_catalog.store import graph, pages
from release_catalog.store.database import Document

if TYPE_CHECKING:
    from release_catalog.api.release import Release

_Release = Annotated["Release", strawberry.lazy("release_catalog.api.release")]


_COMPLETED = (
    " A reference by id alone is completed with it; then it is shown only to callers who may see that release, "
    "and empty for all others."
)


@strawberry.type(description="How a release names another one, as declared.")
class DependencyReference:
    release_id: strawberry.ID | None = plain("The release's id, where it was given.")
    name: str = plain(f"The release's name.{_COMPLETED}")
    version: str = plain(f"The release's version.{_COMPLETED}")


async def _node(context: Context, edges: Sequence[Document], asked: Keys) -> Any:
    return await context.references.load_many([edge["reference"]["reference"] for edge in edges], asked)


async def _references(context: Context, edges: Sequence[Document], _: Keys) -> Any:
    return await context.disclosed([edge["reference"] for edge in edges])


def _reference_keys(asked: Keys) -> Keys:
    """What is read of an edge for its reference: besides what is asked, all that tells what may be shown."""
    return union(within(asked, "reference"), frozenset({"reference.reference", "reference.completed"}))


@strawberry.type(description="One reference to another release.")
class DependencyEdge:
    cursor: str = computed(
        lambda edge: pages.offset_cursor(edge["reference"]),
        "Opaque place of this edge, for `after`.",
        keys=["reference.reference"],
    )
    reference: DependencyReference = fetched(_references, "The reference as it was declared.", _reference_keys)
    node: _Release | None = fetched(
        _node, "The release that it leads to; null as long as there is none.", only("reference.reference")
    )


_USUAL = pages.window(100)


class Dependencies:
    """A page of the references that stand in a release's own document: nothing is read for it."""

    def __init__(self, release: Mapping[str, Any], window: pages.Window) -> None:
        """BadArgument where the window's cursor is not one of this release's references."""
        # Each once: a cursor is the reference that it stands behind.
        self.all = references.once(release["dependencies"])
        start = pages.offset(self.all, window.argument, window.cursor) if window.cursor is not None else 0
        self.shown = self.all[start : start + window.size]
        self.start, self.end = start, start + len(self.shown)


def _edges(connection: Dependencies) -> Any:
    return [{"reference": reference} for reference in connection.shown]


async def _nodes(context: Context, connections: Sequence[Dependencies], asked: Keys) -> Any:
    wanted = [reference["reference"] for connection in connections for reference in connection.shown]
    found = iter(await context.references.load_many(wanted, asked))
    shown = [[next(found) for _ in connection.shown] for connection in connections]
    return [[release for release in releases if release is not None] for releases in shown]


def _page_info(connection: Dependencies) -> Any:
    shown = connection.shown
    cursors = [pages.offset_cursor(reference) for reference in shown[:1] + shown[-1:]]
    return page_info(cursors, has_next=connection.end < len(connection.all), has_previous=connection.start > 0)


def _shown(asked: Keys) -> Keys:
    """What is read of the references for a page of them: what leads to their releases in any case."""
    return union(under(asked, "reference"), frozenset({"reference"}))


# Its fields read the references of the release, so their keys are those of a reference.
@strawberry.type(description="A page of references: one edge each, resolved or not.")
class DependencyConnection:
    edges: list[DependencyEdge] = computed(_edges, "The references with their cursors.", keys=_shown)
    nodes: list[_Release] = fetched(_nodes, "The releases that the page's references lead to.", only("reference"))
    page_info: PageInfo = computed(_page_info, "Where this page lies in the list.", keys=["reference"])
    total_count: int = computed(
        lambda connection: len(connection.all), "How many references were declared.", keys=["reference"]
    )


def dependencies(root: strawberry.Parent[Document], first: int | None = 100, after: str | None = None) -> Any:
    """The references of the release `root`."""
    # The same window for every release of a level, as a rule.
    is_usual = first == _USUAL.size and after is None
    return Dependencies(root, _USUAL if is_usual else pages.window(first, after, default=100))


async def dependants(
    root: strawberry.Parent[Document], info: Info, first: int | None = 100, after: str | None = None
) -> Any:
    """The question which releases need `root`."""
    return await info.context.dependants(root, pages.window(first, after, default=100))


# ---------------------------------------------------------------- everything reachable


@strawberry.type(description="That one release needs another.")
class DependencyGraphEdge:
    from_id: strawberry.ID = plain("The release that needs the other.")
    to_id: strawberry.ID = plain("The release that is needed.")


async def _walked(context: Context, walks: Sequence[graph.Walk], asked: Keys) -> Any:
    """The releases of graphs: as the walk has read them, where no more is asked of them."""
    if asked is not None and graph.WALKED is not None and asked <= graph.WALKED:
        return [list(walk.nodes.values()) for walk in walks]
    found = iter(await context.by_ids("releases").load_many([id_ for walk in walks for id_ in walk.nodes], asked))
    lists = [[next(found) for _ in walk.nodes] for walk in walks]
    return [[release for release in releases if release is not None] for releases in lists]


async def _unresolved(context: Context, walks: Sequence[graph.Walk], _: Keys) -> Any:
    return [await graph.made_unresolved(context.caller, context.database, walk) for walk in walks]


async def _cycles(_: Context, walks: Sequence[graph.Walk], __: Keys) -> Any:
    return [await walk.find_cycles() for walk in walks]


def _links(walk: graph.Walk) -> Any:
    return [{"fromId": source, "toId": target} for source, targets in walk.edges.items() for target in targets]


@strawberry.type(description="What a release reaches, breadth first.")
class DependencyGraph:
    nodes: list[_Release] = fetched(
        _walked, "The releases that were reached, nearest first, without the starting one.", only()
    )
    edges: list[DependencyGraphEdge] = computed(
        _links,
        "Who needs whom among these and the starting release, in whichever direction it was walked.",
    )
    unresolved: list[DependencyReference] = fetched(
        _unresolved, "References inside the graph that resolve to no release.", only()
    )
    cycles: list[list[strawberry.ID]] = fetched(
        _cycles, "Ids of releases that depend on each other, a list for each strongly connected group.", only()
    )
    depth: int = computed(lambda walk: walk.depth, "How many steps away the farthest release is.")
    node_count: int = computed(
        lambda walk: len(walk.nodes), "How many releases were reached, the starting one not counted."
    )
    truncated: bool = computed(lambda walk: walk.truncated, "True where a bound cut the traversal short.")


async def _along(context: Context, paths: Sequence[Document], asked: Keys) -> Any:
    """The releases of paths. The first may stand in no database: it may be what a dry run would make."""
    found = iter(await context.by_ids("releases").load_many([id_ for path in paths for id_ in path["ids"]], asked))
    return [
        [next(found) or (path["start"] if id_ == path["start"]["id"] else None) for id_ in path["ids"]]
        for path in paths
    ]


@strawberry.type(description="A chain of releases, each of which needs the next.")
class DependencyPath:
    length: int = computed(lambda path: len(path["ids"]) - 1, "How many steps it has.", keys=["ids"])
    releases: list[_Release] = fetched(_along, "The releases along it, both ends included.", only())


def bounded(argument: str, value: int | None, default: int, limit: int) -> int:
    """`value`, or `default` where there is none; BadArgument outside 1 to `limit`."""
    value = default if value is None else value
    if not 1 <= value <= limit:
        raise BadArgument(argument, f"{value} is out of bounds: give 1 to {limit}.")
    return value


async def dependency_graph(
    root: strawberry.Parent[Document],
    info: Info,
    direction: GraphDirection = GraphDirection.DEPENDENCIES,
    max_depth: int | None = 10,
    max_nodes: int | None = 1000,
) -> Any:
    """Everything that `root` reaches in one direction."""
    depth = bounded("maxDepth", max_depth, 10, graph.MAX_DEPTH)
    nodes = bounded("maxNodes", max_nodes, 1000, graph.MAX_NODES)
    walk = graph.dependencies if direction is GraphDirection.DEPENDENCIES else graph.dependants
    return await walk(info.context.caller, info.context.database, root, depth, nodes)


async def dependency_paths(
    root: strawberry.Parent[Document],
    info: Info,
    to_id: strawberry.ID,
    max_length: int | None = 10,
    first: int | None = 10,
) -> Any:
    """The shortest ways on which `root` depends on another release."""
    longest = bounded("maxLength", max_length, 10, graph.MAX_DEPTH)
    most = bounded("first", first, 10, pages.MAX_PAGE)
    found = await graph.paths(info.context.caller, info.context.database, root, to_id, longest, most)
    return [{"ids": path, "start": root} for path in found]
