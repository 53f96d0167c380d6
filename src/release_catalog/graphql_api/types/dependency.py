"""The dependencies and the dependants of a release, direct and transitive."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import strawberry

from release_catalog.domain import references
from release_catalog.domain.references import DependencyDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.errors import InvalidArgument
from release_catalog.graphql_api.connection import PageInfo, page_info
from release_catalog.graphql_api.enums import GraphDirection
from release_catalog.graphql_api.fields import (
    After,
    Before,
    First,
    Last,
    argument,
    batched_field,
    computed_field,
    field,
    optional_field,
)
from release_catalog.query_engine.context import Context, Info
from release_catalog.query_engine.field_source import reads
from release_catalog.storage import dependency_traversal, pagination
from release_catalog.storage.collection_names import RELEASES
from release_catalog.storage.cursors import FieldPaths, prefixed, subpaths, union
from release_catalog.storage.pagination import LONG_PAGE

if TYPE_CHECKING:
    from release_catalog.graphql_api.types.release import Release

_Release = Annotated["Release", strawberry.lazy("release_catalog.graphql_api.types.release")]


_COMPLETED = (
    " A reference that gives only an id takes it from the release; callers from whom that release is hidden get "
    "an empty text."
)


@strawberry.type(description="A declared reference to another release.")
class DependencyReference:
    release_id: strawberry.ID | None = field("Id of the release. Null if the reference gives none.")
    name: str = field(f"Name of the release.{_COMPLETED}")
    version: str = field(f"Version of the release.{_COMPLETED}")


@strawberry.input(
    description="A reference to a release, by id or by name and version in the same catalog. If all are "
    "given, they must agree."
)
class DependencyInput:
    release_id: strawberry.ID | None = optional_field("Id of the release.")
    name: str | None = optional_field(
        "Name of the release. Optional if a release with that id exists; it is then shown only to "
        "callers who may see that release."
    )
    version: str | None = optional_field("Version of the release. Optional under the same rule as the name.")


class _Edge(TypedDict):
    reference: DependencyDocument


async def _node(context: Context, edges: Sequence[_Edge], paths: FieldPaths) -> Any:
    return await context.references.load_many([edge["reference"]["reference"] for edge in edges], paths)


async def _references(context: Context, edges: Sequence[_Edge], _: FieldPaths) -> Any:
    return await context.disclosed([edge["reference"] for edge in edges])


def _reference_keys(paths: FieldPaths) -> FieldPaths:
    """Return the paths of an edge to read for its reference: the requested ones, and those that decide access."""
    return union(prefixed(paths, "reference"), frozenset({"reference.reference", "reference.completed"}))


@strawberry.type(description="An edge from a release to a release that it needs.")
class DependencyEdge:
    cursor: str = computed_field(
        lambda edge: pagination.reference_cursor(edge["reference"]),
        "Opaque cursor of the edge, for `after` and `before`.",
        keys=["reference.reference"],
    )
    reference: DependencyReference = batched_field(_references, "Reference as it was declared.", _reference_keys)
    node: _Release | None = batched_field(
        _node,
        "Release that the reference leads to. By name, that is the highest published revision of the product and "
        "channel that published the name and version first; if none did, the oldest draft. Null if it does not "
        "exist or is hidden from the caller.",
        reads("reference.reference"),
    )


_DEFAULT_WINDOW = pagination.window(LONG_PAGE)


class DependencyPage:
    """A page of the references in a release's own document: nothing is read for it."""

    def __init__(self, release: ReleaseDocument, window: pagination.PageArgs) -> None:
        """Raise InvalidArgument if the window's cursor is not one of this release's references."""
        # Duplicates are removed: a cursor is the reference before it.
        self.all = references.unique(release["dependencies"])
        self.start, self.end = pagination.bounds(self.all, window)
        self.shown = self.all[self.start : self.end]


def _edges(connection: DependencyPage) -> list[_Edge]:
    return [{"reference": reference} for reference in connection.shown]


async def _nodes(context: Context, connections: Sequence[DependencyPage], paths: FieldPaths) -> Any:
    references = [reference["reference"] for connection in connections for reference in connection.shown]
    found = iter(await context.references.load_many(references, paths))
    shown = [[next(found) for _ in connection.shown] for connection in connections]
    return [[release for release in releases if release is not None] for releases in shown]


def _page_info(connection: DependencyPage) -> Any:
    shown = connection.shown
    cursors = [pagination.reference_cursor(reference) for reference in shown[:1] + shown[-1:]]
    return page_info(cursors, has_next=connection.end < len(connection.all), has_previous=connection.start > 0)


def _shown(paths: FieldPaths) -> FieldPaths:
    """Return the paths of references to read for a page of them: those that lead to their releases in any case."""
    return union(subpaths(paths, "reference"), frozenset({"reference"}))


# Its fields read the references of the release, so their keys are those of a reference.
@strawberry.type(description="A page of references to other releases: one edge a reference, resolved or not.")
class DependencyConnection:
    edges: list[DependencyEdge] = computed_field(_edges, "References of the page with their cursors.", keys=_shown)
    nodes: list[_Release] = batched_field(
        _nodes,
        "Releases that the references of the page resolve to, without the unresolved ones.",
        reads("reference"),
    )
    page_info: PageInfo = computed_field(_page_info, "Position of the page in the list.", keys=["reference"])
    total_count: int = computed_field(
        lambda connection: len(connection.all), "Number of declared references.", keys=["reference"]
    )


def dependencies(
    root: strawberry.Parent[ReleaseDocument],
    first: First = LONG_PAGE,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Any:
    """Return the references of the release `root`."""
    # The same window for every release of a level, as a rule.
    if first == LONG_PAGE and after is None and last is None and before is None:
        return DependencyPage(root, _DEFAULT_WINDOW)
    return DependencyPage(root, pagination.window(first, after, last, before, LONG_PAGE))


async def dependants(
    root: strawberry.Parent[ReleaseDocument],
    info: Info,
    first: First = LONG_PAGE,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Any:
    """Return the query for the releases that depend on `root`."""
    return await info.context.dependants(root, pagination.window(first, after, last, before, LONG_PAGE))


# ---------------------------------------------------------------- everything reachable


@strawberry.type(description="An edge of a graph: one release needs another.")
class DependencyGraphEdge:
    from_id: strawberry.ID = field("Id of the release that needs the other one.")
    to_id: strawberry.ID = field("Id of the release that is needed.")


async def _walked(context: Context, walks: Sequence[dependency_traversal.Walk], paths: FieldPaths) -> Any:
    """Return the releases of graphs: as the walk has read them, if no more paths are requested."""
    if paths is not None and dependency_traversal.WALKED is not None and paths <= dependency_traversal.WALKED:
        return [list(walk.nodes.values()) for walk in walks]
    found = iter(await context.by_ids(RELEASES).load_many([id_ for walk in walks for id_ in walk.nodes], paths))
    lists = [[next(found) for _ in walk.nodes] for walk in walks]
    return [[release for release in releases if release is not None] for releases in lists]


async def _unresolved(context: Context, walks: Sequence[dependency_traversal.Walk], _: FieldPaths) -> Any:
    return [await dependency_traversal.made_unresolved(context.caller, context.database, walk) for walk in walks]


async def _cycles(_: Context, walks: Sequence[dependency_traversal.Walk], __: FieldPaths) -> Any:
    return [await walk.find_cycles() for walk in walks]


def _links(walk: dependency_traversal.Walk) -> Any:
    return [{"fromId": source, "toId": target} for source, targets in walk.edges.items() for target in targets]


@strawberry.type(description="Releases reachable from a release, breadth first.")
class DependencyGraph:
    nodes: list[_Release] = batched_field(
        _walked, "Reached releases, nearest first, without the starting one.", reads()
    )
    edges: list[DependencyGraphEdge] = computed_field(
        _links,
        "Edges between the reached releases and the starting one. Each leads from a release to one "
        "that it needs, whatever the direction of the walk.",
    )
    unresolved: list[DependencyReference] = batched_field(
        _unresolved, "References in the graph that resolve to no release.", reads()
    )
    cycles: list[list[strawberry.ID]] = batched_field(
        _cycles,
        "Cycles: the ids of releases that depend on each other, one list for each strongly connected "
        "group of two or more.",
        reads(),
    )
    depth: int = computed_field(lambda walk: walk.depth, "Number of steps to the farthest reached release.")
    node_count: int = computed_field(
        lambda walk: len(walk.nodes), "Number of reached releases, without the starting one."
    )
    truncated: bool = computed_field(lambda walk: walk.truncated, "Whether a limit ended the walk early.")


class _Path(TypedDict):
    ids: list[str]
    start: ReleaseDocument


async def _along(context: Context, paths: Sequence[_Path], field_paths: FieldPaths) -> Any:
    """Return the releases of paths. The first may be missing in the database: a dry run may have made it."""
    found = iter(
        await context.by_ids(RELEASES).load_many([id_ for path in paths for id_ in path["ids"]], field_paths)
    )
    return [
        [next(found) or (path["start"] if id_ == path["start"]["id"] else None) for id_ in path["ids"]]
        for path in paths
    ]


@strawberry.type(description="A path along dependencies: each release needs the next one.")
class DependencyPath:
    length: int = computed_field(
        lambda path: len(path["ids"]) - 1, "Number of steps: one less than the number of releases.", keys=["ids"]
    )
    releases: list[_Release] = batched_field(_along, "Releases on the path, with both ends.", reads())


def bounded(argument: str, value: int | None, default: int, limit: int) -> int:
    """Return `value`, or `default` if it is missing; raise InvalidArgument outside 1 to `limit`."""
    value = default if value is None else value
    if not 1 <= value <= limit:
        raise InvalidArgument(argument, f"{value} is out of bounds: give 1 to {limit}.")
    return value


async def dependency_graph(
    root: strawberry.Parent[ReleaseDocument],
    info: Info,
    direction: Annotated[GraphDirection, argument("Direction of the walk.")] = GraphDirection.DEPENDENCIES,
    max_depth: Annotated[int | None, argument("Maximum number of steps, 1 to 100.")] = 10,
    max_nodes: Annotated[int | None, argument("Maximum number of releases, 1 to 5000.")] = 1000,
) -> Any:
    """Return everything that `root` reaches in one direction."""
    depth = bounded("maxDepth", max_depth, 10, dependency_traversal.MAX_DEPTH)
    nodes = bounded("maxNodes", max_nodes, 1000, dependency_traversal.MAX_NODES)
    walk = (
        dependency_traversal.dependencies
        if direction is GraphDirection.DEPENDENCIES
        else dependency_traversal.dependants
    )
    return await walk(info.context.caller, info.context.database, root, depth, nodes)


async def dependency_paths(
    root: strawberry.Parent[ReleaseDocument],
    info: Info,
    to_id: Annotated[strawberry.ID, argument("Id of the release at the end of the paths.")],
    max_length: Annotated[int | None, argument("Maximum number of steps, 1 to 100.")] = 10,
    first: Annotated[int | None, argument("Maximum number of paths, 1 to 100.")] = 10,
) -> Any:
    """Return the shortest paths on which `root` depends on another release."""
    longest = bounded("maxLength", max_length, 10, dependency_traversal.MAX_DEPTH)
    most = bounded("first", first, 10, pagination.MAX_PAGE)
    found = await dependency_traversal.paths(
        info.context.caller, info.context.database, root, to_id, longest, most
    )
    return [{"ids": path, "start": root} for path in found]
