"""The event broker: each event once to every subscriber, in order, beginning after any event.

The log is the source of truth. New events are read once for all subscribers with the same visibility, and put into
a bounded queue of each. A subscriber that joins late or falls behind reads the log until it has caught up.
"""

import asyncio
import collections
import contextlib
import functools
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Self, TypeVar

import structlog

from release_catalog.domain import events
from release_catalog.domain.caller import Caller, Owner
from release_catalog.domain.events import EventDocument
from release_catalog.fair_share import FairSlots
from release_catalog.storage import database as db
from release_catalog.storage import event_log, outages
from release_catalog.storage.database import Database
from release_catalog.storage.event_log import EventFilter

# The maximum queue of a subscriber; with more, it has fallen behind.
QUEUED = 100
# Events read at a time, for all and for one subscriber that catches up, which holds them until they are taken.
READ, REPLAYED = 50, 25
# Concurrent readers of the log, those of one tenant, and those of one caller: each takes a database connection.
READERS, READERS_OF_TENANT, READERS_OF_CALLER = 8, 3, 2
# Other tasks run after an event was offered to this many subscribers.
_OFFERED = 1_000
# The maximum delay of events for which no wakeup came.
POLL_INTERVAL = 10.0
_PAUSE_SECONDS = 1.0
# A slower read is retried, maybe with another primary.
_READ_SECONDS = 10.0

Result = TypeVar("Result")

_log = structlog.get_logger()


class Subscription:
    """The queue of one subscriber."""

    def __init__(self, filters: EventFilter) -> None:
        self._wanted = filters
        self._waiting: collections.deque[EventDocument] = collections.deque()
        self._behind = False
        self._changed = asyncio.Event()

    def offer(self, event: EventDocument) -> None:
        """Queue an event for the subscriber, unless it has fallen behind."""
        if self._behind or not self._wanted.takes(event):
            return
        self._behind = len(self._waiting) >= QUEUED
        if not self._behind:
            self._waiting.append(event)
        self._changed.set()

    async def next(self) -> EventDocument | None:
        """Return the next event; None if the events after the last one were not queued."""
        while self.idle:
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft() if self._waiting else None

    @property
    def idle(self) -> bool:
        """Return whether the subscriber got all events that were offered."""
        return not self._waiting and not self._behind


class EventStream:
    """The new events for all subscribers with the same visibility."""

    def __init__(self, caller: Caller, at: int) -> None:
        self.caller = caller
        # All events after this number are offered to every subscriber.
        self.at = at
        self.subscribers: set[Subscription] = set()
        self.bell = asyncio.Event()

    async def read(self, database: Database) -> None:
        """Offer new events to the subscribers."""
        found, reached = await event_log.since(self.caller, database, self.at, EventFilter(), READ)
        offered = 0
        for event in found:
            # Without a pause, so that a joining subscriber has either missed this event or is offered it.
            for subscriber in self.subscribers:
                subscriber.offer(event)
            self.at = event["sequence"]
            offered += len(self.subscribers)
            if offered >= _OFFERED:
                offered = 0
                await asyncio.sleep(0)
        self.at = reached
        if len(found) == READ:
            self.bell.set()


class FollowedEvents:
    """The events of one subscriber, in order, and the positions from which it could continue."""

    def __init__(self, at: int, follow: Callable[[Self], AsyncGenerator[EventDocument]]) -> None:
        """Begin after the event with the number `at`; `follow` makes the generator of the events."""
        # The numbers of the last event that was returned, and of the last one that the subscriber is done with.
        self._returned = self._done = at
        # The stream and the queue of the subscriber while it waits for new events.
        self.waits_for: tuple[EventStream, Subscription] | None = None
        self._events = follow(self)

    @property
    def last_id(self) -> str:
        """Return the id of the last event that was returned, or of the one to begin after."""
        return events.id_of(self._returned)

    @property
    def position(self) -> str:
        """Return the id of an event after which the subscriber can continue and misses nothing.

        Events that its filter excludes count, too. It is done with an event when it requests the next one.
        """
        if self.waits_for:
            stream, queue = self.waits_for
            if queue.idle:
                return events.id_of(max(self._done, stream.at))
        return events.id_of(self._done)

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> EventDocument:
        """Wait for the next event."""
        self._done = self._returned
        event = await anext(self._events)
        self._returned = event["sequence"]
        return event

    async def aclose(self) -> None:
        """Stop following."""
        await self._events.aclose()


class EventBroker:
    """The subscribers of this process and their streams."""

    def __init__(self, database: Database, delivered: Callable[[EventDocument], None] = lambda _: None) -> None:
        """Call `delivered` for each event that a subscriber gets and that is newer than its subscription."""
        self._database = database
        self._delivered = delivered
        self._feeds: dict[tuple[str, bool | str], EventStream] = {}
        self._readers: set[asyncio.Task[None]] = set()
        self._over = False
        # Each subscriber waits at most once, so their number bounds the waiters.
        self._reads = FairSlots(
            READERS,
            per_tenant=READERS_OF_TENANT,
            per_caller=READERS_OF_CALLER,
            leave_free=True,
            max_waiting=sys.maxsize,
            max_waiting_per_caller=sys.maxsize,
        )

    @property
    def streams(self) -> int:
        """Return the number of streams."""
        return len(self._feeds)

    @property
    def subscriptions(self) -> int:
        """Return the number of subscribers that wait for new events of any stream."""
        return sum([len(feed.subscribers) for feed in [*self._feeds.values()]])

    async def follow(
        self,
        caller: Caller,
        after: str | None,
        types: Sequence[str] | None = None,
        release_id: str | None = None,
        product_id: str | None = None,
    ) -> FollowedEvents:
        """Return the events after a given one, or from now on; raise InvalidArgument if that is impossible."""
        filters = event_log.event_filter(types, release_id, product_id)
        at = await self._read(caller, functools.partial(event_log.start, caller, self._database, after))
        return FollowedEvents(at, lambda followed: self._events(caller, at, filters, followed))

    async def _events(
        self, caller: Caller, at: int, filters: EventFilter, followed: FollowedEvents
    ) -> AsyncGenerator[EventDocument]:
        begun: int | None = None
        while True:
            feed = await _retry_until_available(lambda: self._feed(caller))
            # Events up to this one are no news for the subscriber, who asked for them again.
            begun = feed.at if begun is None else begun
            with _subscribed(feed, filters) as subscriber:
                offered, reached = feed.at, at
                while reached < offered:
                    read = functools.partial(self._missed, caller, reached, filters)
                    found, reached = await _retry_until_available(read)
                    for event in found:
                        at = event["sequence"]
                        if at > begun:
                            self._delivered(event)
                        yield event
                at = max(at, reached)
                while True:
                    followed.waits_for = feed, subscriber
                    next_ = await subscriber.next()
                    followed.waits_for = None
                    if next_ is None:
                        break
                    if next_["sequence"] > at:
                        at = next_["sequence"]
                        self._delivered(next_)
                        yield next_

    async def _missed(self, caller: Caller, at: int, filters: EventFilter) -> tuple[list[EventDocument], int]:
        since = functools.partial(event_log.since, caller, self._database, at, filters, REPLAYED)
        found, reached = await self._read(caller, since)
        if reached == at:  # just after a failover
            await asyncio.sleep(_PAUSE_SECONDS)
        return found, reached

    async def _read(self, caller: Caller, read: Callable[[], Awaitable[Result]]) -> Result:
        async def bounded() -> Result:
            with db.deadline(_READ_SECONDS):
                return await read()

        return await self._reads.run_to_end(caller.owner, bounded)

    async def _feed(self, caller: Caller) -> EventStream:
        # Everything that decides which events are visible to a caller.
        key = caller.tenant, caller.sees_drafts
        if key not in self._feeds:
            at = await self._read(caller, functools.partial(event_log.head, caller, self._database))
            if key not in self._feeds:
                self._feeds[key] = EventStream(caller, at)
                # It outlives the first subscriber, and that one's deadline.
                reader = db.in_background(self._feed_all(key, self._feeds[key]))
                self._readers.add(reader)
                reader.add_done_callback(self._readers.discard)
        return self._feeds[key]

    async def _feed_all(self, key: tuple[str, bool | str], feed: EventStream) -> None:
        await asyncio.sleep(0)  # the first subscriber joins first
        while feed.subscribers and not self._over:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(feed.bell.wait(), POLL_INTERVAL)
            feed.bell.clear()
            try:
                # It serves all subscribers of the tenant, so it counts as a caller of its own.
                async with self._reads.slot(Owner(feed.caller.tenant)):
                    with db.deadline(_READ_SECONDS):
                        await feed.read(self._database)
            except db.Failure as error:
                _log.warning("read of events failed", reason=outages.reason(error))
            except Exception:  # noqa: BLE001  the subscribers would wait for ever
                _log.exception("read of events failed")
        del self._feeds[key]

    def ring(self, tenant: str | None) -> None:
        """Wake the streams of a tenant, or all for None."""
        for (of, _), feed in self._feeds.items():
            if tenant in {None, of}:
                feed.bell.set()

    async def end(self) -> None:
        """Stop reading."""
        self._over = True
        self.ring(None)
        await db.end(*self._readers)


async def _retry_until_available(read: Callable[[], Awaitable[Result]]) -> Result:
    """Return the result of `read`, retrying it until the database is available."""
    while True:
        try:
            return await read()
        except db.Failure as error:
            _log.warning("read of events for a subscriber failed", reason=outages.reason(error))
            await asyncio.sleep(_PAUSE_SECONDS)


@contextlib.contextmanager
def _subscribed(feed: EventStream, filters: EventFilter) -> Iterator[Subscription]:
    subscriber = Subscription(filters)
    feed.subscribers.add(subscriber)
    try:
        yield subscriber
    finally:
        feed.subscribers.discard(subscriber)
        if not feed.subscribers:
            feed.bell.set()


@contextlib.asynccontextmanager
async def run_broker(
    database: Database, delivered: Callable[[EventDocument], None] = lambda _: None
) -> AsyncIterator[EventBroker]:
    """Run a broker for as long as the context lasts."""
    feeds = EventBroker(database, delivered)
    try:
        yield feeds
    finally:
        await feeds.end()
