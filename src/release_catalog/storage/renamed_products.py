"""New names of products: their releases, which a search also finds by them, get the new words in bounded batches.

The transaction that renames a product marks it, and writes the tenant's counter of events, as each transaction
that writes a release does: so a release that is written later has the new name. The process that renames a product
does the batches, and any process continues them. Two at once would store the same.
"""

import asyncio
from typing import Any, NotRequired, cast

from pymongo import UpdateOne

from release_catalog.domain import caller as callers
from release_catalog.domain.reference_data import ProductDocument
from release_catalog.errors import Problem
from release_catalog.storage import cursors, search_terms, unit_of_work
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import PRODUCTS, RELEASES, CollectionName
from release_catalog.storage.database import Database, Stage
from release_catalog.storage.pagination import Order, PageArgs, PageQuery
from release_catalog.storage.unit_of_work import UnitOfWork

BATCH = 250
# The time that a request leaves for its answer.
_ANSWER_SECONDS = 1.0
_IDENTITY = Order("IDENTITY", "identity", {"version": str, "revision": str, "channel": str})
_RENAMED = {"renamed": True}


class _Renamed(ProductDocument):
    """A product whose releases may still have an older name of it."""

    renamed: NotRequired[bool]


async def mark(turn: UnitOfWork, before: ProductDocument | None, saved: ProductDocument | Problem) -> None:
    """Mark a product if this transaction renames it."""
    if before is None or isinstance(saved, Problem) or saved["name"] == before["name"]:
        return
    cast("_Renamed", saved)["renamed"] = True
    match = {"_id": turn.caller.key(saved["id"])}
    await turn.database[PRODUCTS].update_one(match, {"$set": _RENAMED}, session=turn.session)
    await unit_of_work.count_change(turn.caller, turn.database, turn.session)


async def finish(database: Database, saved: ProductDocument | Problem) -> None:
    """Give the releases of a renamed product its name; once the time is short, continue in the background."""
    if isinstance(saved, Problem) or not cast("_Renamed", saved).get("renamed"):
        return
    task = db.in_background(_finish(database, callers.local(saved["tenantId"]).key(saved["id"])))
    await asyncio.wait([task], timeout=max(0, min(db.remaining(), 60) - _ANSWER_SECONDS))


async def finish_all(database: Database) -> None:
    """Finish what other processes have left."""
    while product := await _next(database):
        await _finish(database, product["_id"])


@db.bounded
async def _next(database: Database) -> ProductDocument | None:
    return await database[PRODUCTS].find_one(_RENAMED, {"_id": 1}, hint="renamed")


async def _finish(database: Database, key: str) -> None:
    while product := await _product(database, key):
        place: str | None = None
        while place != "":
            place = await _batch(database, product, place)
        await _end(database, product)


@db.bounded
async def _product(database: Database, key: str) -> ProductDocument | None:
    return await database[PRODUCTS].find_one({"_id": key, **_RENAMED})


@db.bounded
async def _batch(database: Database, product: ProductDocument, place: str | None) -> str | None:
    """Give the next releases behind `place` the product's name; return the new place, empty at the end."""
    match = {name: product[name] for name in ("tenantId", "catalogId")} | {"productId": product["id"]}
    question = PageQuery(RELEASES, match, _IDENTITY, PageArgs(BATCH, place))
    shown = dict.fromkeys((*_IDENTITY.fields, "etag", *search_terms.SEARCHED), 1)
    cursor = database[CollectionName[Any](RELEASES)].find(question.onwards(), shown)
    cursor = cursor.sort(list(question.sort.items())).limit(BATCH).hint("identity")
    found: list[Any] = await cursors.documents(cursor, BATCH)
    changes = [
        UpdateOne({"_id": release["_id"], "etag": release["etag"]}, _change(release, product["name"]))
        for release in found
        if release["productName"] != product["name"]
    ]
    if changes and (await database[RELEASES].bulk_write(changes, ordered=False)).matched_count < len(changes):
        # Somebody has changed a release since it was read.
        return place
    return _IDENTITY.cursor(found[-1]) if len(found) == BATCH else ""


def _change(release: Any, name: str) -> list[Stage]:
    words = search_terms.word_terms(cast("Any", {**release, "productName": name}))
    is_other = {"$ne": [{"$indexOfBytes": ["$$this", search_terms.WORD]}, 0]}
    others = {"$filter": {"input": "$terms", "cond": is_other}}
    terms = {"$concatArrays": [others, {"$literal": words}]}
    return [{"$set": {"productName": {"$literal": name}, "terms": terms}}]


@db.bounded
async def _end(database: Database, product: ProductDocument) -> None:
    """Remove the mark, unless the product was renamed again meanwhile."""
    match = {"_id": product["_id"], "name": product["name"]}
    await database[PRODUCTS].update_one(match, {"$unset": {"renamed": ""}})
    await unit_of_work.count_change(callers.local(product["tenantId"]), database)
