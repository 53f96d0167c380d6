"""The sources of field values, declared with the fields, so that plans need not call resolvers."""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from release_catalog.storage.collection_names import CollectionName
from release_catalog.storage.cursors import ALL, NONE, FieldPaths

# The key in a Strawberry field's metadata.
SOURCE = "how"
# The key in a document that names its type, for fields of an abstract type.
TYPE_KEY = "__typename"


@dataclasses.dataclass(frozen=True)
class FieldSource:
    """The source of a field's value: `value` or `many`, or its resolver without either.

    `keys` maps the paths requested of the value to the paths that must be read of the parent's document.
    """

    keys: Callable[[FieldPaths], FieldPaths] = lambda _: ALL
    # A pure function of the parent.
    value: Callable[[Any], Any] | None = None
    # Returns a value for each parent, from the context, all parents of a level and the requested paths.
    many: Callable[[Any, Sequence[Any], FieldPaths], Awaitable[Sequence[Any]]] | None = None
    # If several fields share the result of `many`, it is fetched once: `part` is the pure function that makes the
    # value from it, and `wants` maps the paths requested of the value to those of the result.
    part: Callable[[Any], Any] | None = None
    wants: Callable[[FieldPaths], FieldPaths] = lambda asked: asked
    # A pure function that suffices if only the id is requested of the value.
    by_id: Callable[[Any], Any] | None = None
    # The collection whose documents the resolver gets from the context, and the paths that it reads itself.
    collection: CollectionName[Any] | None = None
    reads: FieldPaths = NONE
    # The same for a value of an abstract type: maps the paths requested of each type of object to those of each
    # collection. The resolver returns the name of the type under the key `TYPE_KEY` of its documents.
    by_type: Callable[[Mapping[str, FieldPaths]], Mapping[CollectionName[Any], FieldPaths]] | None = None


def source_metadata(how: FieldSource) -> dict[str, FieldSource]:
    """Return the metadata of a Strawberry field for this source."""
    return {SOURCE: how}


def reads(*paths: str) -> Callable[[FieldPaths], FieldPaths]:
    """Return the same paths for any request; without any, whole documents."""
    keys: FieldPaths = frozenset(paths) if paths else ALL
    return lambda _: keys
