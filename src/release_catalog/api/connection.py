"""Lists in pages, after the Relay connection specification."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import strawberry

from release_catalog.api.fields import fetched, must
from release_catalog.plans.context import Context
from release_catalog.plans.how import only
from release_catalog.plans.keys import NOTHING, Keys, under
from release_catalog.store.pages import Page, Question

Node = TypeVar("Node")


async def _edges(context: Context, questions: Sequence[Question], asked: Keys) -> Any:
    pages = await context.pages.load_many(questions, under(asked, "node"))
    return [[{"cursor": page.cursor(row), "node": row} for row in page.rows] for page in pages]


async def _nodes(context: Context, questions: Sequence[Question], asked: Keys) -> Any:
    return [page.rows for page in await context.pages.load_many(questions, asked)]


async def _page_info(context: Context, questions: Sequence[Question], _: Keys) -> Any:
    return [_place(page) for page in await context.pages.load_many(questions, NOTHING)]


def _place(page: Page) -> dict[str, Any]:
    cursors = [page.cursor(row) for row in page.rows[:1] + page.rows[-1:]]
    return page_info(cursors, has_next=page.has_next, has_previous=page.has_previous)


async def _total_count(context: Context, questions: Sequence[Question], _: Keys) -> Any:
    return await context.counts.load_many(questions, NOTHING)


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
    has_next_page: bool = must("Whether more follow this page.")
    has_previous_page: bool = must("Whether any come before this page.")
    start_cursor: str | None = must("The first edge's cursor; null on an empty page.")
    end_cursor: str | None = must("The last edge's cursor; null on an empty page.")


@strawberry.type(description="An entry of a page, with its place in the list.")
class Edge(Generic[Node]):
    cursor: str = must("Opaque place of this entry, for `after` and `before`.")
    node: Node = must("The entry itself.")


@strawberry.type(name="Connection", description="A page of a list that is too long to be counted.")
class Uncounted(Generic[Node]):
    edges: list[Edge[Node]] = fetched(_edges, "The entries with their cursors.", only())
    nodes: list[Node] = fetched(_nodes, "The entries alone.", only())
    page_info: PageInfo = fetched(_page_info, "Where this page lies in the list.", only())


@strawberry.type(description="A page of a list. Cursors stay good while entries come and go.")
class Connection(Uncounted[Node]):
    total_count: int = fetched(
        _total_count, "How long the whole list is; counted only where it is asked for.", only()
    )
