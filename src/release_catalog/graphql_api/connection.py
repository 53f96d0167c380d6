"""Lists in pages, after the Relay connection specification."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import strawberry

from release_catalog.graphql_api.fields import batched_field, field
from release_catalog.query_engine.context import Context
from release_catalog.query_engine.field_source import reads
from release_catalog.storage.cursors import NONE, FieldPaths, subpaths
from release_catalog.storage.pagination import Page, PageQuery

Entry = TypeVar("Entry")


async def _pages(context: Context, questions: Sequence[PageQuery[Any]], paths: FieldPaths) -> Sequence[Page[Any]]:
    return await context.pages.load_many(questions, paths)


async def _total_count(context: Context, questions: Sequence[PageQuery[Any]], _: FieldPaths) -> Sequence[int]:
    return await context.counts.load_many(questions, NONE)


def _of_node(paths: FieldPaths) -> FieldPaths:
    return subpaths(paths, "node")


def _edges(page: Page[Any]) -> list[dict[str, Any]]:
    return [{"cursor": page.cursor(row), "node": row} for row in page.rows]


def _page_info(page: Page[Any]) -> dict[str, Any]:
    cursors = [page.cursor(row) for row in page.rows[:1] + page.rows[-1:]]
    return page_info(cursors, has_next=page.has_next, has_previous=page.has_previous)


def page_info(cursors: list[str], *, has_next: bool, has_previous: bool) -> dict[str, Any]:
    """Return a PageInfo for a page whose first and last cursors are the ends of `cursors`."""
    return {
        "hasNextPage": has_next,
        "hasPreviousPage": has_previous,
        "startCursor": cursors[0] if cursors else None,
        "endCursor": cursors[-1] if cursors else None,
    }


def _page_field(
    part: Callable[[Page[Any]], Any], description: str, wants: Callable[[FieldPaths], FieldPaths]
) -> Any:
    """Declare a field made from its connection's page; `wants` maps its paths to those of the entries."""
    return batched_field(_pages, description, reads(), part=part, wants=wants)


@strawberry.type(description="Position of a page in its list.")
class PageInfo:
    has_next_page: bool = field("Whether entries follow this page.")
    has_previous_page: bool = field("Whether entries precede this page.")
    start_cursor: str | None = field("Cursor of the first edge. Null if the page is empty.")
    end_cursor: str | None = field("Cursor of the last edge. Null if the page is empty.")


@strawberry.type(description="An entry of a page with its cursor.")
class Edge(Generic[Entry]):
    cursor: str = field("Opaque cursor of the entry, for `after` and `before`.")
    node: Entry = field("The entry.")


@strawberry.type(name="Connection", description="A page of a list without a total count.")
class ConnectionWithoutCount(Generic[Entry]):
    edges: list[Edge[Entry]] = _page_field(_edges, "Entries of the page with their cursors.", _of_node)
    nodes: list[Entry] = _page_field(
        lambda page: page.rows, "Entries of the page without cursors.", lambda asked: asked
    )
    page_info: PageInfo = _page_field(_page_info, "Position of the page in the list.", lambda _: NONE)


@strawberry.type(description="A page of a list. Cursors stay valid when entries are added or removed.")
class Connection(ConnectionWithoutCount[Entry]):
    total_count: int = batched_field(
        _total_count, "Number of entries in the whole list. It is counted only if requested.", reads()
    )
