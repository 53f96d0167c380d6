"""How a field comes by its value, said where the field is declared, so that plans need not call its resolver."""

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from release_catalog.query_engine.projection import ALL, NONE, FieldPaths

# Its name in a Strawberry field's metadata.
SOURCE = "how"


@dataclasses.dataclass(frozen=True)
class FieldSource:
    """How a field comes by its value: by `value` or by `many`, or by its resolver where it has neither.

    `keys` tells what of the parent's document is read for that, from what is asked of the value.
    """

    keys: Callable[[FieldPaths], FieldPaths] = lambda _: ALL
    # A pure function of the parent.
    value: Callable[[Any], Any] | None = None
    # From the context, all parents of a level and what is asked of the values: a value for each parent.
    many: Callable[[Any, Sequence[Any], FieldPaths], Awaitable[Sequence[Any]]] | None = None
    # Where several fields share what `many` fetches, which is then fetched once: the pure function that makes the
    # value of it, and what is asked of it where so much is asked of the value.
    part: Callable[[Any], Any] | None = None
    wants: Callable[[FieldPaths], FieldPaths] = lambda asked: asked
    # A pure function that will do where nothing but the id is asked of the value.
    by_id: Callable[[Any], Any] | None = None
    # The collection whose documents the resolver gets from the context, and what it reads of them itself.
    collection: str | None = None
    reads: FieldPaths = NONE


def source_metadata(how: FieldSource) -> dict[str, FieldSource]:
    """`how`, as a Strawberry field takes it."""
    return {SOURCE: how}


def reads(*paths: str) -> Callable[[FieldPaths], FieldPaths]:
    """The same keys whatever is asked of the value; whole documents where none are named."""
    keys: FieldPaths = frozenset(paths) if paths else ALL
    return lambda _: keys
