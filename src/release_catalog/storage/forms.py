"""The forms of stored documents: each document has the version of its form in `form`; without one, it is 0.

A new form only adds fields, because older processes go on reading and writing the others meanwhile. A document
that lacks an added field is read with its default: `StoredCollection` completes all documents that are read, so no
other code knows older forms. The database evaluates conditions and orders on the stored documents: `{field: None}`
also matches a document that lacks the field, and any other default counts only after `storage.migrations` has
stored it.
"""

import copy
import functools
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from pymongo.asynchronous.collection import AsyncCollection

from release_catalog.domain import reference_data, release, release_delivery, release_parts
from release_catalog.domain.declarations import SetBy, defaults
from release_catalog.storage.collection_names import (
    BASE_IMAGES,
    CATALOGS,
    COLLECTIONS,
    ENVIRONMENTS,
    EVENTS,
    EXECUTIONS,
    PIPELINES,
    PRODUCTS,
    PROJECTS,
    PROMOTIONS,
    REGISTRIES,
    RELEASES,
    REQUESTS,
    VERIFICATIONS,
    CollectionName,
    Stored,
)

# The field that holds the version.
FORM = "form"

# The version of a document that only keeps an id from being used again: it has no form, and never gets one.
REMAINS = -1

# The form of a loaded release until its references are settled: the migration to the next form settles them, too.
UNSETTLED = 1

# The forms of each collection's documents, from 1: the fields that a form added, by dotted path, with their
# defaults, which are JSON. A path may lead through a list: then each of its entries has the field.
FORMS: dict[CollectionName[Any], Sequence[Mapping[str, Any]]] = {
    **{collection: [{}] for collection in COLLECTIONS},
    RELEASES: [
        {"createdBy": None, "publishedBy": None},
        {"resolvesName": True, "nameSince": None},
        {"platformKeys": []},
    ],
    # Form 2 adds nothing: events of older forms tell which releases older processes changed meanwhile.
    EVENTS: [{"actor": None}, {}],
    VERIFICATIONS: [{"actor": None}],
}
# The defaults of all declared fields, by dotted path: a document that lacks one of them is read with it, whatever
# its form.
DEFAULTS: dict[CollectionName[Any], Mapping[str, Any]] = {
    **{
        collection: reference_data.optional_defaults(collection)
        for collection in (CATALOGS, PRODUCTS, PROJECTS, REGISTRIES, BASE_IMAGES, PIPELINES, ENVIRONMENTS)
    },
    RELEASES: {
        **defaults(release.FIELDS, *SetBy),
        **{
            f"{place}.{name}": default
            for place, inner in (
                ("artifacts", defaults(release_parts.ARTIFACT_FIELDS, *SetBy)),
                ("dockerImages", defaults(release_parts.IMAGE_FIELDS, *SetBy)),
                ("delivery", release_delivery.NEW),
            )
            for name, default in inner.items()
        },
    },
    REQUESTS: {"answer.warnings.platform": None},
}
# The answers of requests hold documents of other collections, which change with their forms.
_EMBEDDED: dict[CollectionName[Any], dict[str, CollectionName[Any]]] = {
    REQUESTS: {"answer.release": RELEASES, "answer.promotion": PROMOTIONS, "answer.execution": EXECUTIONS}
}

# An added field: the names that lead to it, and its default.
Added = tuple[tuple[str, ...], Any]


def current(collection: CollectionName[Any]) -> int:
    """Return the version of today's form of a collection's documents."""
    return len(FORMS[collection])


def older(form: int) -> dict[str, Any]:
    """Return the condition for documents of an older form than `form`; the index of `form` serves it."""
    return {FORM: {"$in": [None, *range(1, form)]}}


@functools.lru_cache(1_000)
def added(collection: CollectionName[Any], keys: frozenset[str] | None) -> Sequence[Added]:
    """Return the fields with defaults of a collection of which `keys` are read, by dotted path; None for all."""
    fields = _read_defaults(collection)
    for place, other in _EMBEDDED.get(collection, {}).items():
        fields |= {f"{place}.{path}": value for path, value in _read_defaults(other).items()}
    return [
        (path, value)
        for path, value in _paths(fields)
        if keys is None or any(_overlap(".".join(path), key) for key in keys)
    ]


def _read_defaults(collection: CollectionName[Any]) -> dict[str, Any]:
    return {**DEFAULTS.get(collection, {}), **_of_forms(collection)}


def _of_forms(collection: CollectionName[Any]) -> dict[str, Any]:
    return {path: value for form in FORMS.get(collection, ()) for path, value in form.items()}


def added_by(collection: CollectionName[Any], form: int) -> Sequence[Added]:
    """Return the fields that a form of a collection added."""
    return _paths(FORMS[collection][form - 1])


def _paths(fields: Mapping[str, Any]) -> list[Added]:
    return [(tuple(path.split(".")), value) for path, value in fields.items()]


def _overlap(path: str, key: str) -> bool:
    return path == key or path.startswith(f"{key}.") or key.startswith(f"{path}.")


def complete(documents: Sequence[dict[str, Any]], fields: Sequence[Added], whole: int | None = None) -> None:
    """Give each document the defaults of the fields that it lacks; one with `whole` keys lacks none of its own."""
    if whole is None:
        names = {path[0] for path, _ in fields if len(path) == 1}
        lacking = [document for document in documents if not document.keys() >= names]
    else:
        lacking = [document for document in documents if len(document) < whole]
    for (*place, name), value in fields:
        for document in _parents(documents, place) if place else lacking:
            if name not in document:
                document[name] = copy.deepcopy(value)


def _parents(values: Iterable[Any], place: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects at a place of each value; a list stands for its entries."""
    for value in values:
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                if place:
                    yield from _parents([part.get(place[0])], place[1:])
                else:
                    yield part


def completion(fields: Iterable[Added]) -> dict[str, Any]:
    """Return the fields of a `$set` stage that stores what `complete` adds."""
    return {name: _completed(f"${name}", inner) for name, inner in _by_head(fields).items()}


def _by_head(fields: Iterable[Added]) -> dict[str, list[Added]]:
    found: dict[str, list[Added]] = {}
    for (head, *rest), value in fields:
        found.setdefault(head, []).append((tuple(rest), value))
    return found


def _completed(value: str, fields: Sequence[Added], depth: int = 0) -> Any:
    """Return the expression of a field with the defaults that it lacks; the empty path means the field itself."""
    result: Any = value
    for default in [default for path, default in fields if not path]:
        result = {"$cond": [{"$eq": [{"$type": value}, "missing"]}, {"$literal": default}, value]}
    inner = _by_head(field for field in fields if field[0])
    if not inner:
        return result
    part, entry = f"part{depth}", f"entry{depth}"
    parts = {name: _completed(f"$${entry}.{name}", some, depth + 1) for name, some in inner.items()}
    is_object = {"$eq": [{"$type": f"$${entry}"}, "object"]}
    one = {"$cond": [is_object, {"$mergeObjects": [f"$${entry}", parts]}, f"$${entry}"]}
    each = {"$map": {"input": f"$${part}", "as": entry, "in": one}}
    alone = {"$let": {"vars": {entry: f"$${part}"}, "in": one}}
    either = {"$cond": [{"$isArray": [f"$${part}"]}, each, alone]}
    return {"$let": {"vars": {part: result}, "in": either}}


def _shown(projection: Mapping[str, Any] | None) -> frozenset[str] | None:
    """Return the paths that a projection shows; None if it names what is left out."""
    if projection is None:
        return None
    paths = frozenset(path for path, shown in projection.items() if shown)
    if not paths or projection.get("_id") == 0:
        return paths or None
    return paths | {"_id"}


@functools.lru_cache(1_000)
def _number_of_keys(paths: frozenset[str] | None) -> int | None:
    """Return the number of keys of a document that has all of these paths; None if they are not known."""
    return None if paths is None else len({path.partition(".")[0] for path in paths})


class _Cursor:
    """A cursor whose documents come out in today's form."""

    def __init__(self, cursor: Any, fields: Sequence[Added], whole: int | None) -> None:
        self._cursor = cursor
        self._fields = fields
        self._whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def sort(self, *arguments: Any) -> Self:
        self._cursor.sort(*arguments)
        return self

    def limit(self, limit: int) -> Self:
        self._cursor.limit(limit)
        return self

    def hint(self, index: Any) -> Self:
        self._cursor.hint(index)
        return self

    def batch_size(self, size: int) -> Self:
        self._cursor.batch_size(size)
        return self

    async def to_list(self, length: int | None = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._cursor.to_list(length)
        complete(found, self._fields, self._whole)
        return found

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        async for document in self._cursor:
            complete([document], self._fields, self._whole)
            yield document


class StoredCollection:
    """A collection whose documents come out in today's form, and go in with its version.

    Inserts get the version here, and so do upserts by operators. An upsert by a pipeline sets it itself.
    """

    def __init__(self, collection: Any, name: CollectionName[Any]) -> None:
        self._collection = collection
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def find(self, match: Any = None, projection: Any = None, **options: Any) -> Any:
        """Return a cursor of the documents that match."""
        cursor = self._collection.find(match, projection, **options)
        shown = _shown(projection)
        fields = added(self._name, shown)
        return _Cursor(cursor, fields, _number_of_keys(shown)) if fields else cursor

    async def find_one(self, match: Any = None, projection: Any = None, **options: Any) -> Any:
        """Return a document that matches, or None."""
        return self._whole(await self._collection.find_one(match, projection, **options), projection)

    async def find_one_and_update(self, match: Any, change: Any, projection: Any = None, **options: Any) -> Any:
        """Change a document and return it; with `upsert`, a new one gets today's version."""
        change = self._stamped(change, upsert=options.get("upsert", False))
        found = await self._collection.find_one_and_update(match, change, projection, **options)
        return self._whole(found, projection)

    async def insert_one(self, document: dict[str, Any], **options: Any) -> Any:
        """Insert a document in today's form."""
        [made] = self._new([document])
        return await self._collection.insert_one(made, **options)

    async def insert_many(self, documents: Iterable[dict[str, Any]], **options: Any) -> Any:
        """Insert documents in today's form."""
        return await self._collection.insert_many(self._new(documents), **options)

    async def update_one(self, match: Any, change: Any, **options: Any) -> Any:
        """Change a document; with `upsert`, a new one gets today's version."""
        change = self._stamped(change, upsert=options.get("upsert", False))
        return await self._collection.update_one(match, change, **options)

    def _whole(self, document: dict[str, Any] | None, projection: Any) -> dict[str, Any] | None:
        if document is not None:
            shown = _shown(projection)
            complete([document], added(self._name, shown), _number_of_keys(shown))
        return document

    def _new(self, documents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        form = current(self._name)
        made = [{**document, FORM: document.get(FORM, form)} for document in documents]
        complete(made, _paths(_of_forms(self._name)))
        return made

    def _stamped(self, change: Any, *, upsert: bool) -> Any:
        if not upsert or isinstance(change, list):
            return change
        new = {FORM: current(self._name), **change.get("$setOnInsert", {})}
        return {**change, "$setOnInsert": new}


class StoredDatabase:
    """A database whose collections are StoredCollections; everything else is as in the driver."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._collections: dict[str, Any] = {}

    def __getitem__(self, name: CollectionName[Stored]) -> AsyncCollection[Stored]:
        """Return a collection, always the same object: a new one takes a twentieth of the time of a small read."""
        found: Any = self._collections.get(name)
        if found is None:
            # The driver encodes a plain text faster.
            found = self._database[str(name)]
            if name in FORMS:
                found = StoredCollection(found, name)
            self._collections[name] = found
        collection: AsyncCollection[Stored] = found
        return collection

    def __getattr__(self, name: str) -> Any:
        return self[CollectionName[Any](name)] if name in FORMS else getattr(self._database, name)
