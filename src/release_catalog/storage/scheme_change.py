"""Changes of version schemes: the releases of a product get other sort keys in bounded batches.

A change is a field of its product. It has three steps, and any process can continue it:

PREPARE
    Each release gets its key in the new scheme as `nextVersionKey`. Readers use `versionKey`: the old order.
COPY
    The product has the new scheme. Its releases are read by `nextVersionKey`, while `versionKey` becomes the same.
CLEAN
    They are read by `versionKey` again, while `nextVersionKey` is removed.

A step begins in a transaction that also writes the tenant's counter of events, as each transaction that writes a
release does. Therefore a release that is written during a step has the keys of this step, and
`storage.version_order` learns of the step from that counter.

The holder of a lease does the batches. They are no transactions: in one, an update of an indexed field takes three
times as long. Each write depends on the keys that were read, so that a batch can be repeated by any process.
"""

import asyncio
import contextlib
import datetime
import functools
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, cast

import structlog
from pymongo import UpdateOne

from release_catalog.domain import caller as callers
from release_catalog.domain import ids, versions
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import ProductDocument, version_keys
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.versions import Scheme
from release_catalog.storage import database as db
from release_catalog.storage import leases, outages, renamed_products, search_terms, unit_of_work, version_order
from release_catalog.storage.collection_names import COUNTERS, PRODUCTS, RELEASES
from release_catalog.storage.database import Database, Filter, Update
from release_catalog.storage.outages import SchemeChangeUnderWay, TurnNotReached
from release_catalog.storage.pagination import Order, PageArgs, PageQuery
from release_catalog.storage.unit_of_work import UnitOfWork
from release_catalog.storage.workers import Workers

BATCH = 250
# Much longer than a batch takes.
LEASE = datetime.timedelta(seconds=30)
# The interval at which servers look for changes that nobody continues.
LOOK_SECONDS = 10.0
# The pause after a batch is at least this long, and otherwise this part of the time that the batch took.
_LEAST_PAUSE_SECONDS, _PAUSE = 0.002, 0.2
# The time that the lease must last when a batch begins.
_LASTING = datetime.timedelta(seconds=1.5 * db.BACKGROUND_SECONDS)
# The interval at which a request looks whether the change of another one has ended.
_WAIT_SECONDS = 0.1
# The part of a request's time that is left for its answer.
_ANSWER_SECONDS = 1.0

_IDENTITY = Order("IDENTITY", "identity", dict.fromkeys(("version", "revision", "channel"), str))
_FOLLOWING = {"PREPARE": "COPY", "COPY": "CLEAN"}

_log = structlog.get_logger()


class UnderWay(Exception):  # noqa: N818  it is not an error
    """Another change of the same product is under way: see `wait`."""


async def begin(turn: UnitOfWork, product: ProductDocument, scheme: Scheme, owner: str) -> ProductDocument:
    """Begin a change in the transaction of `turn`, and return the product afterwards.

    A product without releases has the new scheme at once; otherwise `finish` does the rest, with the same `owner`.
    """
    await _count_step(turn.database, product, {}, turn.session)
    own = {name: product[name] for name in ("tenantId", "catalogId")}
    match = {**own, "productId": product["id"]}
    if await turn.database[RELEASES].find_one(match, {"_id": 1}, session=turn.session, hint="identity"):
        change = {"to": scheme, "step": "PREPARE", "owner": owner, "leaseUntil": leases.after(LEASE)}
        fields: Update = {"schemeChange": change}
    else:
        fields = {"versionScheme": scheme}
    return await db.upsert(turn.database[PRODUCTS], {"_id": product["_id"]}, [{"$set": fields}], turn.session)


async def finish(database: Database, product: ProductDocument, owner: str) -> ProductDocument:
    """Do the rest of a change, and return the product as soon as readers have the new order and the rest is done.

    Return it earlier if the deadline is near, and raise SchemeChangeUnderWay if readers still have the old order:
    the change continues without the request.
    """
    task = db.in_background(_run(database, product["_id"], owner))
    await _time_left(task)
    if task.done() and not isinstance(task.exception(), db.Failure):
        task.result()
    try:
        found = await database[PRODUCTS].find_one({"_id": product["_id"]})
    except db.Failure as error:
        raise SchemeChangeUnderWay(str(error)) from error
    assert found is not None  # noqa: S101  products are never deleted
    if found["versionScheme"] == product["versionScheme"]:
        raise SchemeChangeUnderWay("The batches were not done in time.")
    return found


async def _time_left(task: "asyncio.Task[None]") -> None:
    """Wait for a task, but leave time for an answer."""
    left = db.remaining()
    await asyncio.wait([task], timeout=None if left == math.inf else left - min(left / 2, _ANSWER_SECONDS))


async def wait(database: Database, key: str) -> None:
    """Wait for the end of a product's change, which this process continues if nobody does."""
    while db.remaining() > _WAIT_SECONDS:
        product = await database[PRODUCTS].find_one({"_id": key}, {"schemeChange": 1})
        if product is None or "schemeChange" not in product:
            return
        if taken := await _take(database, {"_id": key}):
            task = db.in_background(_run(database, key, taken["schemeChange"]["owner"]))
            await asyncio.wait([task], timeout=max(0, db.remaining()))
        else:
            await _rest(_WAIT_SECONDS)
    raise TurnNotReached("Another change of this product's version scheme is under way.")


async def order_inserted(
    caller: Caller, database: Database, products: Sequence[ProductDocument], inserted: Sequence[ReleaseDocument]
) -> None:
    """Correct the keys and terms of releases that were inserted without a transaction, if their product changed.

    `products` are their products as they were before.
    """
    keys = {"_id": {"$in": [product["_id"] for product in products]}}
    shown = {"versionScheme": 1, "schemeChange": 1, "name": 1}
    now = {product["_id"]: _state(product) async for product in database[PRODUCTS].find(keys, shown)}
    for product in products:
        if now[product["_id"]] != _state(product):
            some = [release for release in inserted if release["productId"] == product["id"]]
            work = functools.partial(_order_again, caller, database, product["_id"], some)
            await unit_of_work.serialized_transaction(caller, database, work)


def _state(product: ProductDocument) -> Any:
    change = product.get("schemeChange")
    return product["versionScheme"], product["name"], change and (change["to"], change["step"])


async def _order_again(
    caller: Caller, database: Database, key: str, inserted: Sequence[ReleaseDocument], session: Any
) -> None:
    product = await database[PRODUCTS].find_one({"_id": key}, session=session)
    assert product is not None  # noqa: S101  products are never deleted
    changes: list[Any] = []
    for release in inserted:
        keys: Update = {"nextVersionKey": None, **version_keys(product, release["version"])}
        update = {"$set": {name: value for name, value in keys.items() if value is not None}}
        if release["productName"] != product["name"]:
            renamed: ReleaseDocument = {**release, "productName": product["name"]}
            update["$set"] |= {"productName": product["name"], "terms": search_terms.derived(renamed)["terms"]}
        if keys["nextVersionKey"] is None:
            update["$unset"] = {"nextVersionKey": ""}
        changes.append(UpdateOne({"_id": caller.key(release["id"])}, update))
    await database[RELEASES].bulk_write(changes, ordered=False, session=session)
    await _count_step(database, product, {}, session)


@contextlib.asynccontextmanager
async def run_in_background(
    database: Database, ending: asyncio.Event | None = None, workers: Workers | None = None
) -> AsyncIterator[None]:
    """Continue all changes that nobody continues while the context lasts, or until it is `ending`."""
    over = asyncio.Event()
    worker = (workers or Workers()).start("scheme_changes", _continue(database, over))
    try:
        with db.when(ending, over.set):
            yield
    finally:
        over.set()
        await db.end(worker)


async def _continue(database: Database, over: asyncio.Event) -> None:
    while not over.is_set():
        try:
            await renamed_products.finish_all(database)
            while not over.is_set() and (product := await _take(database, {})):
                _log.info("scheme change continued", product=product["id"])
                await _run(database, product["_id"], product["schemeChange"]["owner"], over)
        except db.Failure as error:
            _log.warning("scheme change failed", reason=outages.reason(error))
        except Exception:  # noqa: BLE001  the server serves without it, and the next attempt may succeed
            _log.exception("scheme change failed")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), LOOK_SECONDS)


async def _run(database: Database, key: str, owner: str, over: asyncio.Event | None = None) -> None:
    """Do all steps that are left while `owner` holds the lease, or until `over` is set."""
    try:
        async with leases.renewed(lambda: _renew(database, key, owner), LEASE):
            while product := await _held(database, key, owner):
                if not await _all_batches(database, product, over):
                    return
                await _next_step(database, product)
    finally:
        # Otherwise the others would wait until the lease is over.
        await asyncio.wait([db.in_background(_release(database, key, owner))])


async def _all_batches(database: Database, product: ProductDocument, over: asyncio.Event | None) -> bool:
    """Do the batches of a step; return False if the lease is lost, or `over` is set before their end."""
    clock, place = asyncio.get_running_loop().time, ""
    while not (over and over.is_set()):
        began = clock()
        batch = await _batch(database, product, place)
        if not batch.is_held or batch.is_last:
            return batch.is_held
        place = batch.place
        await _rest(max(_LEAST_PAUSE_SECONDS, (clock() - began) * _PAUSE))
    return False


async def _rest(seconds: float) -> None:
    await asyncio.sleep(seconds)


class _Batch(NamedTuple):
    """Whether the lease was held, the place of the last release, and whether no other follows."""

    is_held: bool
    place: str = ""
    is_last: bool = False


@db.bounded
async def _batch(database: Database, product: ProductDocument, place: str) -> _Batch:
    """Write the keys of the next releases behind `place`."""
    # The lease outlasts the deadline of these commands, however long the process sleeps between two of them.
    lasts = {"$expr": {"$gte": ["$schemeChange.leaseUntil", leases.after(_LASTING)]}}
    if not await database[PRODUCTS].find_one({**_as_held(product), **lasts}, {"_id": 1}):
        return _Batch(is_held=False)
    is_preparing = product["schemeChange"]["step"] == "PREPARE"
    match: Filter = {"tenantId": product["tenantId"], "productId": product["id"]}
    match |= {"catalogId": product["catalogId"]} if is_preparing else version_order.PREPARED
    order = _IDENTITY if is_preparing else version_order.NEXT_VERSION
    question = PageQuery(RELEASES, match, order, PageArgs(BATCH, place or None), descending=not is_preparing)
    shown = dict.fromkeys((*order.fields, "versionKey", "nextVersionKey"), 1)
    cursor = database[RELEASES].find(question.onwards(), shown)
    found = await cursor.sort(list(question.sort.items())).limit(BATCH).hint(order.index).to_list(BATCH)
    if changes := _changes(product, found):
        done = await database[RELEASES].bulk_write(changes, ordered=False)
        if done.matched_count < len(changes):
            # Somebody has changed a release since it was read.
            return _Batch(is_held=True, place=place)
    if len(found) < BATCH:
        return _Batch(is_held=True, is_last=True)
    return _Batch(is_held=True, place=order.cursor(found[-1]))


def _changes(product: ProductDocument, found: Sequence[ReleaseDocument]) -> list[Any]:
    """Return the writes that releases still need in the current step."""
    change = product["schemeChange"]
    changes = []
    for release in found:
        key, before = release["versionKey"], release.get("nextVersionKey")
        if change["step"] == "PREPARE":
            after = versions.sort_key(change["to"], release["version"])
            update: Update = {"$set": {"nextVersionKey": after}}
            is_done = before == after
        elif change["step"] == "COPY":
            update, is_done = {"$set": {"versionKey": before}}, key == before
        else:
            update, is_done = {"$unset": {"nextVersionKey": ""}}, False
        if not is_done:
            match = {"_id": cast("Any", release)["_id"], "versionKey": key, "nextVersionKey": before}
            changes.append(UpdateOne(match, update))
    return changes


async def _next_step(database: Database, product: ProductDocument) -> None:
    """Begin the next step, or end the change after the last one; without the lease, do nothing."""
    step = product["schemeChange"]["step"]
    update: Update = {"$unset": {"schemeChange": ""}}
    reordered: Update = {}
    if step != "CLEAN":
        update = {"$set": {"schemeChange.step": _FOLLOWING[step]}}
    if step == "PREPARE":
        update["$set"]["versionScheme"] = product["schemeChange"]["to"]
        reordered = {"$addToSet": {"reordered": product["id"]}}
    elif step == "COPY":
        reordered = {"$pull": {"reordered": product["id"]}}

    async def work(session: Any) -> None:
        if (await database[PRODUCTS].update_one(_as_held(product), update, session=session)).matched_count:
            await _count_step(database, product, reordered, session)

    await unit_of_work.serialized_transaction(callers.local(product["tenantId"]), database, work)


async def _count_step(database: Database, product: ProductDocument, change: Update, session: Any) -> None:
    key = {"_id": callers.local(product["tenantId"]).key("events")}
    counted = {"$inc": {"schemeSteps": 1, "value": 0}, **change}
    await database[COUNTERS].update_one(key, counted, upsert=True, session=session)


def _as_held(product: ProductDocument) -> Filter:
    """Return the condition that a change is still in the same step, and its lease held by the same owner."""
    change = product["schemeChange"]
    return {"_id": product["_id"], "schemeChange.step": change["step"], "schemeChange.owner": change["owner"]}


@db.bounded
async def _held(database: Database, key: str, owner: str) -> ProductDocument | None:
    return await database[PRODUCTS].find_one({"_id": key, "schemeChange.owner": owner})


@db.bounded
async def _take(database: Database, match: Filter) -> ProductDocument | None:
    """Take the lease of a change that nobody continues, and return its product."""
    is_free = {**match, "schemeChange": {"$exists": True}, **leases.is_over("schemeChange.leaseUntil")}
    lease = {"schemeChange.owner": ids.new(), "schemeChange.leaseUntil": leases.after(LEASE)}
    index: Any = {"_id": 1} if match else "schemeChange"
    return await database[PRODUCTS].find_one_and_update(
        is_free, [{"$set": lease}], return_document=db.AFTER, hint=index
    )


async def _renew(database: Database, key: str, owner: str) -> bool:
    held = {"_id": key, "schemeChange.owner": owner}
    until = [{"$set": {"schemeChange.leaseUntil": leases.after(LEASE)}}]
    return bool((await database[PRODUCTS].update_one(held, until)).matched_count)


async def _release(database: Database, key: str, owner: str) -> None:
    held = {"_id": key, "schemeChange.owner": owner}
    with contextlib.suppress(db.Failure), db.deadline(_ANSWER_SECONDS):  # otherwise the lease ends by itself
        await database[PRODUCTS].update_one(held, [{"$set": {"schemeChange.leaseUntil": "$$NOW"}}])
