"""Pagination: keyset cursors, stable while documents come and go, in both directions.

A `PageQuery` describes documents without reading them. One command answers several queries about one collection,
however many they are, so that a level of a GraphQL query costs one read.
"""

import base64
import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

import orjson
from pymongo.asynchronous.collection import AsyncCollection

from release_catalog.domain import caller as callers
from release_catalog.domain import timestamps
from release_catalog.domain.references import DependencyDocument
from release_catalog.errors import InvalidArgument
from release_catalog.storage import access_paths, cursors
from release_catalog.storage import database as db
from release_catalog.storage.access_paths import Access, Rebuild, Term, both, terms_condition
from release_catalog.storage.collection_names import CollectionName, Stored, StoredDocument
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.database import Collections, Filter, Stage, projection
from release_catalog.storage.pipelines import run_together

MAX_PAGE = 100


class DefaultSize(int):
    """A page size from the schema, which differs from the same number of a client."""


DEFAULT_PAGE, LONG_PAGE = DefaultSize(20), DefaultSize(100)
# A cursor holds a catalog, a name and a version, or a path in an environment, of up to four bytes a character.
MAX_CURSOR = 10_000


@dataclasses.dataclass(frozen=True)
class Order:
    """The order of documents: by `fields` in turn, which together distinguish any two.

    Each field comes with the type of its values; all run in one direction. `index` serves the order.
    """

    name: str
    index: str
    fields: Mapping[str, type]

    def cursor(self, document: StoredDocument) -> str:
        """Return an opaque cursor for the position of `document` in this order."""
        place = [self.name, *(_plain(document[field]) for field in self.fields)]
        return base64.urlsafe_b64encode(orjson.dumps(place)).rstrip(b"=").decode()

    def place(self, argument: str, cursor: str) -> list[Any]:
        """Return the values in `cursor`; raise InvalidArgument if it is not a cursor of this order."""
        check_cursor(argument, cursor)
        try:
            raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
            name, *values = orjson.loads(raw)
            if isinstance(name, str) and name != self.name:
                reason = (
                    f"the cursor belongs to a list in the order {name[:20]}: start this list without a cursor."
                )
                raise InvalidArgument(argument, reason)
            return [_typed(kind, value) for kind, value in zip(self.fields.values(), values, strict=True)]
        except (ValueError, TypeError, OverflowError):
            raise InvalidArgument(argument, "this is not a cursor: give one that this list returned.") from None


def check_cursor(argument: str, cursor: str) -> None:
    """Raise InvalidArgument if a cursor is longer than any that a list returns."""
    if len(cursor) > MAX_CURSOR:
        raise InvalidArgument(argument, f"the cursor has {len(cursor)} characters: give at most {MAX_CURSOR}.")


def _plain(value: Any) -> Any:
    return timestamps.milliseconds(value) if isinstance(value, datetime.datetime) else value


def _typed(kind: type, value: Any) -> Any:
    if kind is datetime.datetime and type(value) is int:
        return timestamps.from_milliseconds(value)
    if type(value) is not kind or (kind is int and value not in range(2**63)):
        raise TypeError(value)
    return value


@dataclasses.dataclass(frozen=True)
class PageArgs:
    """A part of an ordered list: `size` documents from `cursor` on, forwards or backwards."""

    size: int
    cursor: str | None = None
    backwards: bool = False

    @property
    def argument(self) -> str:
        """Return the name of the argument that contained the cursor."""
        return "before" if self.backwards else "after"


def window(
    first: int | None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
    default: int = DEFAULT_PAGE,
) -> PageArgs:
    """Return the page for Relay's four arguments; raise InvalidArgument for the one that does not fit."""
    if isinstance(first, DefaultSize) and last is not None:
        first = None
    if first is not None and last is not None:
        raise InvalidArgument("last", "first and last exclude each other: give one of them.")
    if after is not None and (last is not None or before is not None):
        raise InvalidArgument("after", "after goes with first: give before together with last.")
    if before is not None and last is None:
        raise InvalidArgument("before", "before goes with last: give last, or use after.")
    for name, value in (("first", first), ("last", last)):
        if value is not None and not 1 <= value <= MAX_PAGE:
            raise InvalidArgument(name, f"{value} is not a page size: give 1 to {MAX_PAGE}.")
    if last is not None:
        return PageArgs(last, before, backwards=True)
    return PageArgs(first or default, after)


def reference_cursor(reference: DependencyDocument) -> str:
    """Return the cursor of a reference: the reference itself, so that it stays valid when others are removed."""
    return base64.urlsafe_b64encode(orjson.dumps(reference["reference"])).rstrip(b"=").decode()


def bounds(references: Sequence[DependencyDocument], page: PageArgs) -> tuple[int, int]:
    """Return the indexes in `references` at which a page begins and ends; raise as `index_of` does."""
    if page.cursor is None:
        at = len(references) if page.backwards else 0
    else:
        index = index_of(references, page.argument, page.cursor)
        at = index if page.backwards else index + 1
    if page.backwards:
        return max(at - page.size, 0), at
    return at, min(at + page.size, len(references))


def index_of(references: Sequence[DependencyDocument], argument: str, cursor: str) -> int:
    """Return the index of the reference with a cursor; raise InvalidArgument if none of them has it."""
    check_cursor(argument, cursor)
    for index, reference in enumerate(references):
        if reference_cursor(reference) == cursor:
            return index
    reason = "no entry of the list has this cursor, or not any more: give another one, or start without a cursor."
    raise InvalidArgument(argument, reason)


@dataclasses.dataclass(frozen=True, eq=False)
class PageQuery(Generic[Stored]):
    """A query for documents of a collection: condition, order and page.

    `match` always holds the caller's tenant. `terms`, where given, are of kinds that the `terms` index serves, and
    a document matches with any of them; an empty list matches nothing. `stages`, for queries without terms, drop
    documents after the match by conditions on other collections. `scheme` is the version scheme that the match
    supposes of the product; the page has the one in which it was read. A query without terms may have `accesses`:
    the one that leads through the fewest index keys is taken, if these are few.
    """

    collection: CollectionName[Stored]
    match: Filter
    order: Order
    window: PageArgs
    descending: bool = False
    terms: Sequence[Term] | None = None
    stages: Sequence[Stage] = ()
    scheme: str | None = None
    accesses: Sequence[Access] = ()
    rebuild: Rebuild | None = None
    place: list[Any] | None = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        """Read the cursor, so that an invalid one is refused immediately."""
        cursor = self.window.cursor
        place = None if cursor is None else self.order.place(self.window.argument, cursor)
        object.__setattr__(self, "place", place)

    def conditions(self) -> Filter:
        """Return the whole condition without the cursor."""
        if self.terms is None:
            return dict(self.match)
        return both({"terms": terms_condition(self.terms)}, self.match)

    def conditions_by(self, access: Access) -> Filter:
        """Return the whole condition without the cursor, for a way to the documents."""
        return both(access.condition, self.match if access.match is None else access.match)

    def beyond(self) -> Filter:
        """Return the condition for the documents from the cursor on."""
        return {"$or": self._places(self.place)} if self.place is not None else {}

    def _places(self, place: list[Any]) -> list[Filter]:
        beyond = "$lt" if self.direction < 0 else "$gt"
        fields = list(self.order.fields)
        return [
            {**dict(zip(fields[:depth], place, strict=False)), field: {beyond: place[depth]}}
            for depth, field in enumerate(fields)
        ]

    def onwards(self) -> Filter:
        """Return the whole condition from the cursor on, in a form that leaves the order to the index."""
        if self.place is None:
            return self.conditions()
        places = self._places(self.place)
        # Multiplied out: an $or inside an $and takes longer, and is merged in order only beside equalities.
        each = [both({"terms": term}, self.match) for term in self.terms or ()] or [self.conditions()]
        return {"$or": [{"$and": [condition, place]} for condition in each for place in places]}

    @property
    def direction(self) -> int:
        """Return 1 or -1, the direction of the walk, which is reversed for a backwards page."""
        return -1 if self.descending != self.window.backwards else 1

    @property
    def sort(self) -> dict[str, int]:
        """Return the order in MongoDB's form."""
        return dict.fromkeys(self.order.fields, self.direction)

    @property
    def index(self) -> str:
        """Return the index that finds the documents."""
        return self.order.index if self.terms is None else "terms"

    @property
    def ordered_by_terms(self) -> bool:
        """Return whether the terms index holds this order."""
        return self.terms is not None and self.order.index == "created"


@dataclasses.dataclass(frozen=True)
class Page(Generic[Stored]):
    """The result of a page query."""

    rows: list[Stored]
    has_next: bool
    has_previous: bool
    cursor: Callable[[StoredDocument], str]
    scheme: str | None = None


def _page(question: PageQuery[Stored], rows: list[Stored]) -> Page[Stored]:
    more = len(rows) > question.window.size
    rows = rows[: question.window.size]
    came_from = question.window.cursor is not None
    if question.window.backwards:
        rows.reverse()
        return Page(rows, came_from, more, question.order.cursor)
    return Page(rows, more, came_from, question.order.cursor)


async def read(database: Collections, question: PageQuery[Stored], keys: FieldPaths = None) -> Page[Stored]:
    """Return the page of a query, with `keys` of its documents."""
    collection = database[question.collection]
    if question.terms is not None and not question.terms:
        return _page(question, [])
    [access] = await access_paths.best(database, [question])
    if access:
        stages = _top(question, question.conditions_by(access), keys)
        return _page(question, await db.aggregate(collection, stages, keys, **access.hint))
    index = question.index
    if question.stages or (index == "terms" and not question.ordered_by_terms):
        if question.stages or not await _has_many(collection, question):
            return _page(question, await db.aggregate(collection, _pipeline(question, keys), keys, hint=index))
        index = question.order.index
    return _page(question, await _seek(collection, question, index, keys))


async def _seek(
    collection: AsyncCollection[Stored], question: PageQuery[Stored], index: str, keys: FieldPaths
) -> list[Stored]:
    """Return the first documents from the cursor on, in the order of `index`, with the fields of their cursors."""
    limit = question.window.size + 1
    found = collection.find(question.onwards(), projection(keys, *question.order.fields))
    return await cursors.documents(found.sort(list(question.sort.items())).limit(limit).hint(index), limit, keys)


async def _has_many(collection: AsyncCollection[Stored], question: PageQuery[Stored]) -> bool:
    conditions, limit = question.conditions(), access_paths.SELECTIVE_LIMIT + 1
    matching = {field: conditions[field] for field in ("tenantId", "terms")}
    count = await collection.count_documents(matching, limit=limit, hint="terms")
    if count == limit and "createdAt" in conditions:  # which the index covers as well, but not without documents
        matching["createdAt"] = conditions["createdAt"]
        count = await collection.count_documents(matching, limit=limit, hint="terms")
    return count == limit


def _pipeline(question: PageQuery[Any], keys: FieldPaths) -> list[Stage]:
    """Return the query as aggregation stages, none of which sorts more than the page."""
    limit, shown = question.window.size + 1, {"$project": projection(keys, *question.order.fields)}
    if question.terms is None or question.ordered_by_terms:
        ordered: list[Stage] = [{"$sort": question.sort}, *question.stages, {"$limit": limit}]
        return [{"$match": question.onwards()}, *ordered, shown]
    return _top(question, question.conditions(), keys)


def _top(question: PageQuery[Any], conditions: Filter, keys: FieldPaths) -> list[Stage]:
    """Return stages that pick the page from the index keys of all documents that match, then read it."""
    limit, shown = question.window.size + 1, {"$project": projection(keys, *question.order.fields)}
    # Indexes hold the id, and not the key that is made of it.
    prefix = {"$literal": callers.local(question.match["tenantId"]).key("")}
    top = {"n": limit, "sortBy": question.sort, "output": "$id"}
    found = {"from": question.collection, "localField": "top", "foreignField": "_id", "as": "found"}
    return [
        {"$match": both(conditions, question.beyond())},
        {"$group": {"_id": None, "top": {"$topN": top}}},
        {"$unwind": "$top"},
        {"$set": {"top": {"$concat": [prefix, "$top"]}}},
        {"$lookup": found},
        {"$replaceRoot": {"newRoot": {"$first": "$found"}}},
        shown,
    ]


async def fetch_pages(
    database: Collections, questions: Sequence[PageQuery[Any]], keys: FieldPaths = None
) -> list[Page[Any]]:
    """Return the pages of several queries, with one command for each collection."""
    if len(questions) == 1:
        return [await read(database, questions[0], keys)]
    best = dict(zip(map(id, questions), await access_paths.best(database, questions), strict=True))

    def stages(question: PageQuery[Any]) -> list[Stage]:
        access = best[id(question)]
        return _top(question, question.conditions_by(access), keys) if access else _pipeline(question, keys)

    rows = await _union(database, questions, stages, keys)
    return [_page(question, found) for question, found in zip(questions, rows, strict=True)]


async def count_many(database: Collections, questions: Sequence[PageQuery[Any]]) -> list[int]:
    """Return the number of documents that match each query, regardless of its page."""
    if len(questions) == 1 and not questions[0].stages and questions[0].terms != []:
        question = questions[0]
        match, hint = counted(question)
        return [await database[question.collection].count_documents(match, **hint)]
    counts = await _union(
        database,
        questions,
        lambda q: [{"$match": counted(q)[0]}, *q.stages, {"$count": "count"}],
        frozenset(),
    )
    return [found[0]["count"] if found else 0 for found in counts]


def counted(question: PageQuery[Any]) -> tuple[Filter, dict[str, Any]]:
    """Return the condition by which all documents of a query are counted, and the hint to its index.

    If several ways lead to them, the database tries all and takes the shortest.
    """
    if not question.accesses:
        return question.conditions(), {"hint": question.index}
    [access, *others] = question.accesses
    return question.conditions_by(access), {} if others else access.hint


async def _union(
    database: Collections,
    questions: Sequence[PageQuery[Any]],
    pipeline: Callable[[PageQuery[Any]], list[Stage]],
    keys: FieldPaths,
) -> list[list[Any]]:
    """Run `pipeline` for all queries together; `keys` are read of the documents."""
    parts = [
        (question.collection, pipeline(question) if question.terms is None or question.terms else None)
        for question in questions
    ]
    return await run_together(database, parts, keys)
