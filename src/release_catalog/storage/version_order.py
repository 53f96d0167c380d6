"""Pages in the order of versions, while the version schemes of products change (see `storage.scheme_change`).

The releases of a product whose scheme changes are read by `nextVersionKey` for a while. The tenant's counter of
events names these products and counts the steps of all changes. A page is read as that counter was known, then the
counter is read: if a step has begun meanwhile, the page is read again. So a page costs one more command.
"""

import dataclasses
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from release_catalog.domain import caller as callers
from release_catalog.storage import cursors, pagination
from release_catalog.storage.access_paths import Rebuild, both
from release_catalog.storage.collection_names import COUNTERS, PRODUCTS
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.database import Collections, Database, Filter
from release_catalog.storage.pagination import Order, Page, PageQuery
from release_catalog.storage.releases import LATEST, LATEST_ON_PLATFORM, ORDERS

Result = TypeVar("Result")

# The condition that lets the indexes of `nextVersionKey` serve a query.
PREPARED: Filter = {"nextVersionKey": {"$gte": ""}}


def _by_next_key(order: Order, index: str) -> Order:
    fields = {("nextVersionKey" if name == "versionKey" else name): kind for name, kind in order.fields.items()}
    return Order(order.name, index, fields)


NEXT_VERSION = _by_next_key(ORDERS["VERSION"], "next")
_NEXT = {
    "version": NEXT_VERSION,
    "latest": _by_next_key(LATEST, "nextLatest"),
    "platform": _by_next_key(LATEST_ON_PLATFORM, "nextLatest"),
}


class _Known(NamedTuple):
    """The number of steps of a tenant's scheme changes, and the products to read by `nextVersionKey`."""

    steps: int = 0
    reordered: Sequence[str] = ()


# The last known counters of each database's tenants that have ever changed a scheme.
_counters: weakref.WeakKeyDictionary[Database, dict[str, _Known]] = weakref.WeakKeyDictionary()


async def fetch_pages(
    reading: Collections, database: Database, questions: Sequence[PageQuery[Any]], keys: FieldPaths = None
) -> list[Page[Any]]:
    """Return the pages of several queries, those by version each in one order.

    The documents come from `reading`, which is `database` or the same with other options.
    """

    async def read(questions: Sequence[PageQuery[Any]], reordered: Sequence[str]) -> list[Page[Any]]:
        # A page in the order of versions is divided by products anyway: see `_parts`.
        rebuilt = [one if one.order.index in _NEXT else _rebuilt(one, reordered) for one in questions]
        return await _read(reading, rebuilt, keys, reordered)

    by_version = [question for question in questions if question.order.index in _NEXT]
    pages, schemes = await _consistent(database, questions, by_version, read)
    return [
        dataclasses.replace(page, scheme=schemes.get(question.match["productId"])) if question.scheme else page
        for question, page in zip(questions, pages, strict=True)
    ]


async def read_all(
    database: Database,
    questions: Sequence[PageQuery[Any]],
    read: Callable[[Sequence[PageQuery[Any]]], Awaitable[Sequence[Result]]],
    steps: Callable[[Result], int] | None = None,
) -> Sequence[Result]:
    """Return the results of `read` for all documents of several queries, whose order does not matter.

    `steps` gives the number of steps of scheme changes after a result was read, if `read` reads it anyway.
    """

    async def ignoring_order(questions: Sequence[PageQuery[Any]], reordered: Sequence[str]) -> Sequence[Result]:
        return await read([_rebuilt(question, reordered) for question in questions])

    return (await _consistent(database, questions, (), ignoring_order, steps))[0]


async def _consistent(
    database: Database,
    questions: Sequence[PageQuery[Any]],
    by_version: Sequence[PageQuery[Any]],
    read: Callable[[Sequence[PageQuery[Any]], Sequence[str]], Awaitable[Sequence[Result]]],
    steps: Callable[[Result], int] | None = None,
) -> tuple[Sequence[Result], Mapping[str, Any]]:
    """Return what `read` gives while no scheme changes, and the schemes of the products that queries depend on.

    It gets the queries as they are for the current schemes, and the products to read by `nextVersionKey`.
    """
    depending = [*by_version, *(question for question in questions if question.rebuild)]
    if not depending:
        return await read(questions, ()), {}
    counters, tenant = _counters.setdefault(database, {}), depending[0].match["tenantId"]
    known = counters.get(tenant, _Known())
    while True:
        results = await read(questions, known.reordered)
        if steps:
            # Without a step since the lookups of the filters, the schemes in them are the current ones.
            seen = {steps(result) for result in results}
            seen |= {question.rebuild.lookups.steps for question in depending if question.rebuild}
            if seen == {known.steps}:
                return results, {}
        schemes = await _schemes(database, tenant, depending)
        now = await _counter(database, tenant)
        changed = [_with_schemes(question, schemes) for question in questions]
        if now == known and all(one is other for one, other in zip(changed, questions, strict=True)):
            return results, schemes
        known, questions = now, changed
        counters[tenant] = now


def _rebuilt(question: PageQuery[Any], reordered: Sequence[str]) -> PageQuery[Any]:
    """Return a query whose constraints read the versions of `reordered` products by their next keys."""
    if question.rebuild is None or not reordered:
        return question
    rebuilt: PageQuery[Any] = question.rebuild.build(
        dataclasses.replace(question.rebuild.lookups, reordered=reordered)
    )
    return rebuilt


def _with_schemes(question: PageQuery[Any], schemes: Mapping[str, Any]) -> PageQuery[Any]:
    """Return the query itself, or one for the schemes that its products have now."""
    if question.rebuild is None:
        return question
    lookups, build = question.rebuild
    current = {id_: schemes.get(id_, scheme) for id_, scheme in lookups.schemes.items()}
    if current == lookups.schemes:
        return question
    lookups = dataclasses.replace(lookups, schemes=current)
    return dataclasses.replace(build(lookups), rebuild=Rebuild(lookups, build))


async def _counter(database: Collections, tenant: str) -> _Known:
    key = {"_id": callers.local(tenant).key("events")}
    found = await database[COUNTERS].find_one(key, {"_id": 0, "schemeSteps": 1, "reordered": 1})
    return _Known(found.get("schemeSteps", 0), found.get("reordered", [])) if found else _Known()


async def _schemes(database: Collections, tenant: str, questions: Sequence[PageQuery[Any]]) -> dict[str, Any]:
    """Return the schemes of the products whose queries depend on them."""
    products = {question.match["productId"] for question in questions if question.scheme}
    products |= {id_ for question in questions if question.rebuild for id_ in question.rebuild.lookups.schemes}
    if not products:
        return {}
    match = {"_id": {"$in": [callers.local(tenant).key(id_) for id_ in products]}}
    cursor = database[PRODUCTS].find(match, {"id": 1, "versionScheme": 1})
    found = await cursors.documents(cursor, None, frozenset({"id", "versionScheme"}))
    return {product["id"]: product["versionScheme"] for product in found}


async def _read(
    database: Collections, questions: Sequence[PageQuery[Any]], keys: FieldPaths, reordered: Sequence[str]
) -> list[Page[Any]]:
    if not reordered:
        return await pagination.fetch_pages(database, questions, keys)
    parts = [_parts(question, reordered) for question in questions]
    found = iter(await pagination.fetch_pages(database, [part for some in parts for part in some], keys))
    return [
        _merged(question, [(part, next(found)) for part in some])
        for question, some in zip(questions, parts, strict=True)
    ]


def _parts(question: PageQuery[Any], reordered: Sequence[str]) -> list[PageQuery[Any]]:
    """Return a query for each of the reordered products that may matter, and one for all others."""
    if question.order.index not in _NEXT:
        return [question]
    prefix, terms = "product:", question.terms
    only: list[str] | None = None
    if "productId" in question.match:
        product = question.match["productId"]
        only = product["$in"] if isinstance(product, dict) else [product]
    elif terms and all(isinstance(term, str) and term.startswith(prefix) for term in terms):
        only = [str(term).removeprefix(prefix) for term in terms]
    by_term = only is not None and "productId" not in question.match
    parts = []
    for product in reordered:
        if only is None or product in only:
            match = {"$and": [_renamed(question.match), {"productId": product}, PREPARED]}
            match["tenantId"] = question.match["tenantId"]
            order = _NEXT[question.order.index]
            own = None if by_term else terms
            parts.append(dataclasses.replace(question, match=match, order=order, terms=own, accesses=()))
    if only is None:
        others = {"$and": [*question.match.get("$and", []), {"productId": {"$nin": list(reordered)}}]}
        parts.append(dataclasses.replace(question, match={**question.match, **others}, accesses=()))
    elif left := [product for product in only if product not in reordered]:
        some = [f"{prefix}{product}" for product in left] if by_term else terms
        match = both(question.match, {} if by_term else {"productId": {"$in": left}})
        parts.append(dataclasses.replace(question, match=match, terms=some, accesses=()))
    return parts


def _renamed(condition: Any) -> Any:
    """Return a condition on `versionKey` as one on `nextVersionKey`."""
    if isinstance(condition, dict):
        return {
            ("nextVersionKey" if name == "versionKey" else name): _renamed(value)
            for name, value in condition.items()
        }
    return [_renamed(part) for part in condition] if isinstance(condition, list) else condition


def _merged(question: PageQuery[Any], parts: Sequence[tuple[PageQuery[Any], Page[Any]]]) -> Page[Any]:
    """Return the page of a query from those of its parts."""
    if parts[0][0] is question:
        return parts[0][1]
    rows = []
    for part, page in parts:
        if "nextVersionKey" in part.order.fields:
            for row in page.rows:
                row["versionKey"] = row.pop("nextVersionKey")
        rows += page.rows
    fields, window = tuple(question.order.fields), question.window
    rows.sort(key=lambda row: [row[field] for field in fields], reverse=question.descending)
    is_cut = len(rows) > window.size
    rows = rows[-window.size :] if window.backwards else rows[: window.size]
    has_next = any(page.has_next for _, page in parts) or (is_cut and not window.backwards)
    has_previous = any(page.has_previous for _, page in parts) or (is_cut and window.backwards)
    return Page(rows, has_next, has_previous, question.order.cursor)
