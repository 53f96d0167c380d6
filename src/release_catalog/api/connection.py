"""Lists in pages, after the Relay connection specification."""

from typing import Any, Generic, TypeVar

import strawberry

from release_catalog.plans.context import Context, Info
from release_catalog.store.pages import Page, Question

Node = TypeVar("Node")


async def _page(question: Question, context: Context) -> Page:
    return await context.pages.load(question)


async def _edges(root: strawberry.Parent[Question], info: Info) -> Any:
    page = await _page(root, info.context)
    return [{"cursor": page.cursor(row), "node": row} for row in page.rows]


async def _nodes(root: strawberry.Parent[Question], info: Info) -> Any:
    return (await _page(root, info.context)).rows


async def _page_info(root: strawberry.Parent[Question], info: Info) -> Any:
    page = await _page(root, info.context)
    cursors = [page.cursor(row) for row in page.rows[:1] + page.rows[-1:]]
    return page_info(cursors, has_next=page.has_next, has_previous=page.has_previous)


async def _total_count(root: strawberry.Parent[Question], info: Info) -> int:
    return await info.context.counts.load(root)


def page_info(cursors: list[str], *, has_next: bool, has_previous: bool) -> dict[str, Any]:
    """A PageInfo for a page whose first and last cursors are the ends of `cursors`."""
    return {
        "hasNextPage": has_next,
        "hasPreviousPage": has_previous,
        "startCursor": cursors[0] if cursors else None,
        "endCursor": cursors[-1] if cursors else None,
    }


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more follow this page.")
    has_previous_page: bool = strawberry.field(description="Whether any come before this page.")
    start_cursor: str | None = strawberry.field(description="The first edge's cursor; null on an empty page.")
    end_cursor: str | None = strawberry.field(description="The last edge's cursor; null on an empty page.")


@strawberry.type(description="An entry of a page, with its place in the list.")
class Edge(Generic[Node]):
    cursor: str = strawberry.field(description="Opaque place of this entry, for `after` and `before`.")
    node: Node = strawberry.field(description="The entry itself.")


@strawberry.type(name="Connection", description="A page of a list that is too long to be counted.")
class Uncounted(Generic[Node]):
    edges: list[Edge[Node]] = strawberry.field(resolver=_edges, description="The entries with their cursors.")
    nodes: list[Node] = strawberry.field(resolver=_nodes, description="The entries alone.")
    page_info: PageInfo = strawberry.field(resolver=_page_info, description="Where this page lies in the list.")


@strawberry.type(description="A page of a list. Cursors stay good while entries come and go.")
class Connection(Generic[Node]):
    edges: list[Edge[Node]] = strawberry.field(resolver=_edges, description="The entries with their cursors.")
    nodes: list[Node] = strawberry.field(resolver=_nodes, description="The entries alone.")
    page_info: PageInfo = strawberry.field(resolver=_page_info, description="Where this page lies in the list.")
    total_count: int = strawberry.field(
        resolver=_total_count, description="How long the whole list is; counted only where it is asked for."
    )
