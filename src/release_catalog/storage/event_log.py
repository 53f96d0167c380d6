"""The event log in order of number: pages for clients, and batches for webhooks and subscribers."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from release_catalog import usage
from release_catalog.domain import caller as callers
from release_catalog.domain import events
from release_catalog.domain.caller import Caller
from release_catalog.domain.events import EventDocument
from release_catalog.errors import InvalidArgument
from release_catalog.storage import database as db
from release_catalog.storage import visibility
from release_catalog.storage.collection_names import COUNTERS, EVENTS, RELEASES
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.database import Collections, Database, Filter, Stage
from release_catalog.storage.pagination import Order, PageArgs, PageQuery

# The number of events checked for a webhook at a time.
AT_ONCE = 500
_HEADER = {"_id": 1, "sequence": 1, "type": 1, "open": 1, "releaseId": 1}


class _Log(Order):
    """The order of the log, in which event ids are cursors."""

    def cursor(self, document: Mapping[str, Any]) -> str:
        return events.id_of(document["sequence"])

    def place(self, argument: str, cursor: str) -> list[Any]:
        number = events.sequence(cursor)
        if number is None:
            raise InvalidArgument(argument, "this is not the id of an event: give one that this list returned.")
        return [number]


_ORDERS = {index: _Log("LOG", index, {"sequence": int}) for index in ("sequence", "type", "release")}


async def log(
    caller: Caller,
    database: Database,
    window: PageArgs,
    types: Sequence[str] | None = None,
    release_id: str | None = None,
) -> PageQuery[EventDocument]:
    """Return a query for the events visible to the caller, oldest first.

    A caller who does not see everything gets the events of releases that were visible then and still are. Raise
    InvalidArgument if events after the cursor are no longer kept.
    """
    match: Filter = {"tenantId": caller.tenant, **_seen(caller)}
    index = "sequence"
    if types is not None:
        match["type"] = {"$in": sorted(_types(types))}
        index = "type"
    if release_id is not None:
        match["releaseId"] = release_id
        index = "release"
    stages = visibility.visible_through(caller, "releaseId", "productId")
    question = PageQuery(EVENTS, match, _ORDERS[index], window, stages=stages)
    if question.place:
        # Backwards, the log begins with the oldest event that is still kept.
        check = _not_written if window.backwards else unkept
        if reason := await check(caller, database, question.place[0]):
            raise InvalidArgument(window.argument, reason)
    return question


async def by_ids(
    caller: Caller, database: Collections, ids: Iterable[str], keys: FieldPaths = None
) -> dict[str, EventDocument]:
    """Return `keys` of events by id, as far as `log` shows them to the caller."""
    match = {"_id": {"$in": [caller.key(id_) for id_ in ids]}, **_seen(caller)}
    seen = visibility.visible_through(caller, "releaseId", "productId")
    stages = [{"$match": match}, *seen, {"$project": db.projection(keys, "sequence")}]
    found = await db.aggregate(database[EVENTS], stages, keys)
    return {events.id_of(event["sequence"]): event for event in found}


def _seen(caller: Caller) -> Filter:
    """Return the condition for events of releases that were visible to the caller at the time."""
    if caller.sees_drafts is True:
        return {}
    return {"$or": [{"open": True}, {"productId": caller.sees_drafts}]} if caller.sees_drafts else {"open": True}


def _types(patterns: Sequence[str]) -> frozenset[str]:
    for pattern in patterns:
        if not events.matching([pattern]):
            raise InvalidArgument("types", f"the event type {pattern[:64]!r} does not exist: give {known()}.")
    return events.matching(patterns)


def known() -> str:
    """Return the text that lists the valid event types, for error messages."""
    return f"one of {', '.join(events.TYPES)}, a kind such as release.*, or * for all"


async def unkept(caller: Caller, database: Database, after: int) -> str | None:
    """Return the reason why the log can't be read after this number, or None."""
    # Before the oldest event is read: one that is written in between is not taken for one that was kept no longer.
    last = await head(caller, database)
    if after > last:
        return _unwritten(last)
    first = await database[EVENTS].find_one({"tenantId": caller.tenant}, _HEADER, sort=[("sequence", 1)])
    oldest = first["sequence"] if first else last + 1
    if after + 1 < oldest:
        return (
            f"events from {events.id_of(after + 1)} to {events.id_of(oldest - 1)} are no longer kept "
            "(RELEASE_CATALOG_EVENTS_DAYS). Read the current releases, then continue with the oldest "
            f"kept event: after {events.id_of(oldest - 1)}."
        )
    return None


async def _not_written(caller: Caller, database: Database, number: int) -> str | None:
    """Return the reason why no event has this number yet, or None."""
    last = await head(caller, database)
    return None if number <= last else _unwritten(last)


def _unwritten(last: int) -> str:
    return f"the event does not exist yet: the last one is {events.id_of(last)}. Give the id of an event."


async def head(caller: Caller, database: Database) -> int:
    """Return the number of the last event, or 0 without any."""
    return (await heads(database, {caller.tenant})).get(caller.tenant, 0)


async def changed_since(
    caller: Caller, database: Database, after: int, limit: int, session: Any
) -> list[str] | None:
    """Return the ids of the releases that changed after an event; None after `limit` events or more.

    Promotions and verified files leave a release as it is.
    """
    match = {"tenantId": caller.tenant, "sequence": {"$gt": after}}
    found = (
        database[EVENTS].find(match, {"releaseId": 1, "type": 1}, session=session).hint("sequence").limit(limit)
    )
    rows = await found.to_list(limit)
    if len(rows) == limit:
        return None
    return list({row["releaseId"]: None for row in rows if row["type"].startswith("release.")})


async def heads(database: Database, tenants: Iterable[str]) -> dict[str, int]:
    """Return the number of the last event of each tenant that has any."""
    keys = {callers.local(tenant).key("events"): tenant for tenant in tenants}
    found = database[COUNTERS].find({"_id": {"$in": list(keys)}})
    # Loads of releases make a counter, too, before the first event.
    return {keys[counter["_id"]]: counter.get("value", 0) async for counter in found}


async def following(database: Database, tenant: str, after: int) -> list[EventDocument]:
    """Return the headers (all but the data) of the next events after a number, up to the first gap."""
    match = {"tenantId": tenant, "sequence": {"$gt": after}}
    found = database[EVENTS].find(match, _HEADER).sort("sequence", 1).limit(AT_ONCE)
    rows = await found.hint("sequence").to_list(AT_ONCE)
    return [row for at, row in enumerate(rows) if row["sequence"] == rows[0]["sequence"] + at]


async def whole(caller: Caller, database: Database, header: EventDocument) -> EventDocument | None:
    """Return an event with its data if the caller, who may have only the scope for webhooks, can see it."""
    if not caller.may(callers.READ):
        return None
    if caller.sees_drafts is not True:
        match = {"_id": caller.key(header["releaseId"]), **visibility.visible(caller)}
        if not header.get("open") or not await database[RELEASES].find_one(match, {"_id": 1}):
            return None
    return await database[EVENTS].find_one({"_id": header["_id"]})


@dataclasses.dataclass(frozen=True)
class EventFilter:
    """The events that a subscriber follows: those of some types, of one release, of one product, or all."""

    types: frozenset[str] | None = None
    release_id: str | None = None
    product_id: str | None = None

    def takes(self, event: EventDocument) -> bool:
        """Return whether the filter includes an event."""
        return (
            (self.types is None or event["type"] in self.types)
            and self.release_id in {None, event["releaseId"]}
            and self.product_id in {None, event["productId"]}
        )

    def match(self) -> Filter:
        """Return the filter as a MongoDB condition."""
        types = None if self.types is None else {"$in": sorted(self.types)}
        match = {"type": types, "releaseId": self.release_id, "productId": self.product_id}
        return {field: value for field, value in match.items() if value is not None}


def event_filter(types: Sequence[str] | None, release_id: str | None, product_id: str | None) -> EventFilter:
    """Return the filter for these arguments; raise InvalidArgument for an unknown type."""
    return EventFilter(None if types is None else _types(types), release_id, product_id)


async def start(caller: Caller, database: Database, after: str | None) -> int:
    """Return the number after which to follow: the cursor's, or the last event's without a cursor.

    Raise InvalidArgument if events after the cursor are no longer kept.
    """
    if after is None:
        return await head(caller, database)
    [number] = _ORDERS["sequence"].place("after", after)
    if reason := await unkept(caller, database, number):
        raise InvalidArgument("after", reason)
    return int(number)


async def since(
    caller: Caller, database: Database, after: int, filters: EventFilter, limit: int
) -> tuple[list[EventDocument], int]:
    """Return the next visible events after a number, and the number up to which they are complete."""
    last = await head(caller, database)
    if last <= after:
        return [], after
    match = {"tenantId": caller.tenant, "sequence": {"$gt": after, "$lte": last}, **filters.match()}
    stages: list[Stage] = [
        {"$match": {**match, **_seen(caller)}},
        {"$sort": {"sequence": 1}},
        *visibility.visible_through(caller, "releaseId", "productId"),
        {"$limit": limit},
    ]
    found = await db.aggregate(database[EVENTS], stages)
    return found, found[-1]["sequence"] if len(found) == limit else last


async def count(caller: Caller, database: Database, after: int, patterns: Sequence[str], limit: int) -> int:
    """Return the number of events of these types after a number, up to `limit`; 0 without `release:read`."""
    if not caller.may(callers.READ):
        return 0
    match: Filter = {"tenantId": caller.tenant, "type": {"$in": sorted(events.matching(patterns))}}
    match |= {"sequence": {"$gt": after}} | _seen(caller)
    found: int = await database[EVENTS].count_documents(match, limit=limit, hint="type")
    usage.count(found)
    return found
