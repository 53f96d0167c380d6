"""Lists in pages, after the Relay connection specification."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import strawberry

from release_catalog.api.fields import fetched, plain
from release_catalog.plans.context import Context
from release_catalog.plans.how import only
from release_catalog.plans.keys import NOTHING, Keys, under
from release_catalog.store.pages import Page, Question

Node = TypeVar("Node")


async def _pages(context: Context, questions: Sequence[Question], asked: Keys) -> Sequence[Page]:
    return await context.pages.load_many(questions, asked)


async def _total_count(context: Context, questions: Sequence[Question], _: Keys) -> Sequence[int]:
    return await context.counts.load_many(questions, NOTHING)


def _of_node(asked: Keys) -> Keys:
    return under(asked, "node")


def _edges(page: Page) -> list[dict[str, Any]]:
    return [{"cursor": page.cursor(row), "node": row} for row in page.rows]


def _place(page: Page) -> dict[str, Any]:
    cursors = [page.cursor(row) for row in page.rows[:1] + page.rows[-1:]]
    return page_info(cursors, has_next=page.has_next, has_previous=page.has_previous)


def page_info(cursors: list[str], *, has_next: bool, has_previous: bool) -> dict[str, Any]:
    """A PageInfo for a page whose first and last cursors are the ends of `cursors`."""
    return {
        "hasNextPage": has_next,
        "hasPreviousPage": has_previous,
        "startCursor": cursors[0] if cursors else None,
        "endCursor": cursors[-1] if cursors else None,
    }


def _of_page(part: Callable[[Page], Any], description: str, wants: Callable[[Keys], Keys]) -> Any:
    """A field made from the page that its connection asks for; `wants` tells what it reads of the entries."""
    return fetched(_pages, description, only(), part=part, wants=wants)


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = plain("Whether more follow this page.")
    has_previous_page: bool = plain("Whether any come before this page.")
    start_cursor: str | None = plain("The first edge's cursor; null on an empty page.")
    end_cursor: str | None = plain("The last edge's cursor; null on an empty page.")


@strawberry.type(description="An entry of a page, with its place in the list.")
class Edge(Generic[Node]):
    cursor: str = plain("Opaque place of this entry, for `after` and `before`.")
    node: Node = plain("The entry itself.")


@strawberry.type(name="Connection", description="A page of a list that is too long to be counted.")
class Uncounted(Generic[Node]):
    edges: list[Edge[Node]] = _of_page(_edges, "The entries with their cursors.", _of_node)
    nodes: list[Node] = _of_page(lambda page: page.rows, "The entries alone.", lambda asked: asked)
    page_info: PageInfo = _of_page(_place, "Where this page lies in the list.", lambda _: NOTHING)


@strawberry.type(description="A page of a list. Cursors stay good while entries come and go.")
class Connection(Uncounted[Node]):
    total_count: int = fetched(
        _total_count, "How long the whole list is; counted only where it is asked for.", only()
    )
