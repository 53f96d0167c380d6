"""The declaration of fields, which read documents by name, by a pure function, or as a relation.

A plain field reads the document's key of its own GraphQL name, so no object is built for a document.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated, Any

import orjson
import strawberry
from strawberry.utils.str_converters import to_camel_case

from release_catalog.query_engine.context import Context, Info
from release_catalog.query_engine.field_source import FieldSource, reads, source_metadata
from release_catalog.storage.collection_names import CollectionName, Stored, StoredDocument
from release_catalog.storage.cursors import ALL, FieldPaths

# The arguments of lists and of single documents, with their descriptions.
First = Annotated[
    int | None, strawberry.argument(description="Page size, 1 to 100, from the beginning of the list.")
]
After = Annotated[str | None, strawberry.argument(description="Cursor of the entry before the page.")]
Last = Annotated[
    int | None, strawberry.argument(description="Page size, 1 to 100, from the end of the list. Excludes `first`.")
]
Before = Annotated[
    str | None, strawberry.argument(description="Cursor of the entry that follows the page. Needs `last`.")
]
Id = Annotated[strawberry.ID, strawberry.argument(description="Id of the document.")]

_keys: dict[str, str] = {}


def argument(description: str) -> Any:
    """Describe an argument, in the annotation of a resolver's parameter."""
    return strawberry.argument(description=description)


def field(description: str) -> Any:
    """Declare a field that an input must give, or that a response reads by its name."""
    return strawberry.field(description=description)


def optional_field(description: str) -> Any:
    """Declare a field that an input may leave out."""
    return strawberry.field(default=strawberry.UNSET, description=description)


def default_resolver(source: Any, name: str) -> Any:
    """Return the value of a document's key, or of a problem's attribute: Strawberry's default resolver."""
    if not isinstance(source, dict):
        return getattr(source, name)
    key = _keys.get(name)
    if key is None:
        key = _keys[name] = to_camel_case(name)
    return source[key]


def computed_field(
    value: Callable[[Any], Any],
    description: str,
    *,
    name: str | None = None,
    keys: Iterable[str] | Callable[[FieldPaths], FieldPaths] = (),
) -> Any:
    """Declare a field that a pure function makes from the document.

    `keys` lists the keys of the document that it reads, or is a function that returns them for the paths requested
    of its value; without them, the whole document is read.
    """

    def resolve(root: strawberry.Parent[StoredDocument]) -> Any:
        return value(root)

    source = FieldSource(keys if callable(keys) else reads(*keys), value=value)
    return strawberry.field(resolver=resolve, description=description, name=name, metadata=source_metadata(source))


def json_text(description: str, key: str = "metadata") -> Any:
    """Declare a field of free JSON, which documents keep as text so that it comes back to the letter.

    The text becomes part of the answer unread: read, a megabyte of it would hold the event loop for long. It can
    be so since orjson has written it (see domain.metadata), and would write the same again.
    """

    def value(document: StoredDocument) -> Any:
        text = document[key]
        if text is None:
            return None
        if type(text) is not str or not text:
            raise TypeError(key)
        return orjson.Fragment(text)

    return computed_field(value, description, keys=[key])


def batched_field(
    many: Callable[[Context, Sequence[Any], FieldPaths], Awaitable[Sequence[Any]]],
    description: str,
    keys: Callable[[FieldPaths], FieldPaths],
    **how: Any,
) -> Any:
    """Declare a field whose values `many` fetches for all documents of a level, with the requested paths.

    `keys` returns the keys of the documents that `many` reads, for the paths requested of its values; for more,
    see FieldSource.
    """
    source = FieldSource(keys, many=many, **how)

    async def resolve(root: strawberry.Parent[Any], info: Info) -> Any:
        [value] = await many(info.context, [root], ALL)
        return source.part(value) if source.part else value

    return strawberry.field(resolver=resolve, description=description, metadata=source_metadata(source))


def reference(collection: CollectionName[Stored], key: str, description: str, *, lasting: bool = False) -> Any:
    """Declare a relation to the document of `collection` whose id is in the field `key`.

    If it is `lasting`, that document is known to exist and to be visible, so that it is not read for its id.
    """

    async def many(
        context: Context, documents: Sequence[StoredDocument], paths: FieldPaths
    ) -> Sequence[Stored | None]:
        ids = [document[key] for document in documents]
        found = await context.by_ids(collection).load_many([id_ for id_ in ids if id_ is not None], paths)
        each = iter(found)
        return [None if id_ is None else next(each) for id_ in ids]

    by_id = (lambda document: {"id": document[key]}) if lasting else None
    return batched_field(many, description, reads(key), by_id=by_id)


_whole = reads()


def projects(
    collection: CollectionName[Any], *reads: str, keys: Callable[[FieldPaths], FieldPaths] = _whole
) -> dict[str, FieldSource]:
    """Return the metadata of a field whose resolver gets documents of `collection` from the context.

    The field reads `reads` of them itself, and `keys` of its parent, as in `computed_field`.
    """
    return source_metadata(FieldSource(keys, collection=collection, reads=frozenset(reads)))
