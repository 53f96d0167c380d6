"""Pages in the order of versions, while the version schemes of products change (see `storage.scheme_change`).

The releases of a product whose scheme changes are read by `nextVersionKey` for a while. The tenant's counter of
events names these products and counts the steps of all changes. A page is read as that counter was known, then the
counter is read: if a step has begun meanwhile, the page is read again. So a page costs one more command.
"""

import dataclasses
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

from release_catalog.domain import caller as callers
from release_catalog.storage import cursors, pagination
from release_catalog.storage.collection_names import COUNTERS, PRODUCTS
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.database import Collections, Database, Filter
from release_catalog.storage.pagination import Order, Page, PageQuery
from release_catalog.storage.releases import LATEST, LATEST_ON_PLATFORM, ORDERS

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
    by_version = [question for question in questions if question.order.index in _NEXT]
    if not by_version:
        return await pagination.fetch_pages(reading, questions, keys)
    counters, tenant = _counters.setdefault(database, {}), by_version[0].match["tenantId"]
    known = counters.get(tenant, _Known())
    while True:
        pages = await _read(reading, questions, keys, known.reordered)
        schemes = await _schemes(database, tenant, by_version)
        now = await _counter(database, tenant)
        if now == known:
            return [
                dataclasses.replace(page, scheme=schemes.get(question.match["productId"]))
                if question.scheme
                else page
                for question, page in zip(questions, pages, strict=True)
            ]
        known = counters[tenant] = now


async def _counter(database: Collections, tenant: str) -> _Known:
    key = {"_id": callers.local(tenant).key("events")}
    found = await database[COUNTERS].find_one(key, {"_id": 0, "schemeSteps": 1, "reordered": 1})
    return _Known(found.get("schemeSteps", 0), found.get("reordered", [])) if found else _Known()


async def _schemes(database: Collections, tenant: str, questions: Sequence[PageQuery[Any]]) -> dict[str, Any]:
    """Return the schemes of the products whose queries depend on them."""
    products = {question.match["productId"] for question in questions if question.scheme}
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
        only = [question.match["productId"]]
    elif terms and all(term.startswith(prefix) for term in terms):
        only = [term.removeprefix(prefix) for term in terms]
    by_term = only is not None and "productId" not in question.match
    parts = []
    for product in reordered:
        if only is None or product in only:
            match = {"$and": [_renamed(question.match), {"productId": product}, PREPARED]}
            match["tenantId"] = question.match["tenantId"]
            order = _NEXT[question.order.index]
            parts.append(dataclasses.replace(question, match=match, order=order, terms=None if by_term else terms))
    if only is None:
        others = {"$and": [*question.match.get("$and", []), {"productId": {"$nin": list(reordered)}}]}
        parts.append(dataclasses.replace(question, match={**question.match, **others}))
    elif left := [product for product in only if product not in reordered]:
        some = [f"{prefix}{product}" for product in left] if by_term else terms
        parts.append(dataclasses.replace(question, terms=some))
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
