"""Subscribers: those of one tenant read and are answered a few at a time, and those of another come in between."""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import parse
from graphql.execution import execute_subscription_event

from release_catalog.domain.caller import Caller, local
from release_catalog.domain.events import EventDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.events import broker, change_stream
from release_catalog.events.broker import EventStream, Subscription
from release_catalog.graphql_api.schema import schema
from release_catalog.query_engine import context as contexts
from release_catalog.query_engine import executor as operations
from release_catalog.query_engine import subscriptions
from release_catalog.query_engine.context import Context
from release_catalog.storage import event_log
from release_catalog.storage.event_log import EventFilter
from support.catalog import Catalog
from support.subscribers import happen
from support.waiting import eventually

HOG, OTHER = local("hog"), local("other")
FOLLOW = "subscription { events(after: %s) { id %s } }"


@contextlib.asynccontextmanager
async def feeding(catalog: Catalog) -> AsyncIterator[broker.EventBroker]:
    async with (
        broker.run_broker(catalog.database) as feeds,
        change_stream.watch_changes(catalog.database, feeds.ring),
    ):
        yield feeds


async def made(catalog: Catalog, caller: Caller) -> ReleaseDocument:
    """A release in the caller's tenant, and an event about it."""
    seen = catalog.seen_by(caller)
    release = await seen.put(await seen.product("tool", id=f"tool of {caller.tenant}"), "1", status="PUBLISHED")
    await happen(seen, release)
    return release


async def test_replays_of_one_tenant_read_a_few_at_a_time_and_another_tenant_reads_on(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for caller in (HOG, OTHER):
        await made(empty, caller)
    reading, most, go = collections.Counter[str](), collections.Counter[str](), asyncio.Event()
    since = event_log.since

    async def slowly(caller: Caller, *about: Any) -> Any:
        reading[caller.tenant] += 1
        most[caller.tenant] = max(most[caller.tenant], reading[caller.tenant])
        if caller.tenant == "hog":
            await go.wait()
        reading[caller.tenant] -= 1
        return await since(caller, *about)

    monkeypatch.setattr(event_log, "since", slowly)
    async with feeding(empty) as feeds:

        async def replay(caller: Caller) -> EventDocument:
            return await anext(await feeds.follow(caller, "0"))

        callers = [Caller("hog", f"caller {number}", HOG.scopes) for number in range(20)]
        flood = [asyncio.create_task(replay(caller)) for caller in callers * 5]
        await eventually(lambda: reading["hog"] == broker.READERS_OF_TENANT)
        for _ in range(3):
            follow = await asyncio.wait_for(feeds.follow(OTHER, "0"), 60)
            assert (await asyncio.wait_for(anext(follow), 60))["sequence"] == 1
        go.set()
        assert {event["sequence"] for event in await asyncio.gather(*flood)} == {1}
    assert most["hog"] == broker.READERS_OF_TENANT


async def subscribed(catalog: Catalog, caller: Caller, context: Context, query: str) -> Any:
    """The first answer to a subscription."""
    document = operations.Document(schema._schema, parse(query))
    results = await subscriptions.subscribe(document, schema._schema, context, {}, None)
    try:
        return await anext(results)
    finally:
        await results.aclose()


async def test_of_many_subscribers_of_one_tenant_a_few_are_answered_at_a_time(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for caller in (HOG, OTHER):
        await made(empty, caller)
    under_way, go = collections.Counter[str](), asyncio.Event()

    async def slowly(executor: Any) -> Any:
        tenant = executor.context_value.caller.tenant
        under_way[tenant] += 1
        if tenant == "hog":
            await go.wait()
        result = execute_subscription_event(executor)
        return await result if asyncio.iscoroutine(result) else result

    monkeypatch.setattr(subscriptions, "execute_subscription_event", slowly)
    answering = contexts.subscription_slots()
    async with feeding(empty) as feeds:

        def context(caller: Caller) -> Context:
            return Context(caller, empty.database, follow=feeds.follow, answering=answering)

        # Each asks something else, so that none is answered with another.
        flood = [
            asyncio.create_task(
                subscribed(
                    empty,
                    HOG,
                    context(Caller("hog", f"caller {n % 20}", HOG.scopes)),
                    FOLLOW % ('"0"', f"a{n}: type"),
                )
            )
            for n in range(100)
        ]
        await eventually(lambda: under_way["hog"] == contexts.ANSWERS_OF_TENANT)
        for _ in range(3):
            answer = await asyncio.wait_for(subscribed(empty, OTHER, context(OTHER), FOLLOW % ('"0"', "type")), 60)
            assert answer.result.data["events"]["id"] == f"{1:016d}"
        assert under_way["hog"] == contexts.ANSWERS_OF_TENANT
        go.set()
        results = await asyncio.gather(*flood)
    assert all(not answer.result.errors for answer in results)
    assert answering.used == answering.waiting == 0


async def test_an_event_for_many_lets_others_come_in_between(empty: Catalog) -> None:
    """All of them are answered with one answer; each turn of the loop lets a few go on with it."""
    answering, turn, woken = contexts.subscription_slots(), 0, collections.Counter[int]()
    document = operations.Document(schema._schema, parse(FOLLOW % ("null", "type release { name }")))
    over = asyncio.Event()

    async def tick() -> None:
        nonlocal turn
        while not over.is_set():
            turn += 1
            await asyncio.sleep(0)

    async def follow(results: Any) -> None:
        await anext(results)
        woken[turn] += 1
        await results.aclose()

    async with feeding(empty) as feeds:
        release = await made(empty, HOG)
        streams = []
        for number in range(200):
            caller = Caller("hog", f"caller {number % 50}", HOG.scopes)
            context = Context(caller, empty.database, follow=feeds.follow, answering=answering)
            streams.append(await subscriptions.subscribe(document, schema._schema, context, {}, None))
        following_ = [asyncio.create_task(follow(stream)) for stream in streams]
        await eventually(lambda: sum(len(feed.subscribers) for feed in feeds._feeds.values()) == 200)
        ticking = asyncio.create_task(tick())
        await happen(empty.seen_by(HOG), release)
        await asyncio.wait_for(asyncio.gather(*following_), 60)
        over.set()
        await ticking
    assert sum(woken.values()) == 200
    assert max(woken.values()) <= contexts.ANSWERS_OF_TENANT


async def test_offering_many_events_to_many_subscribers_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        {"sequence": number, "type": "release.created", "releaseId": "r", "productId": "p"}
        for number in range(1, broker.READ + 1)
    ]

    async def since(*_: Any) -> Any:
        return found, found[-1]["sequence"]

    monkeypatch.setattr(event_log, "since", since)
    feed: Any = EventStream(HOG, 0)
    feed.subscribers = {Subscription(EventFilter()) for _ in range(2_000)}
    reading, turns, joined = asyncio.create_task(feed.read(None)), 0, {}
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
        # Whoever joins meanwhile has missed what was offered before, and gets all that comes.
        subscriber = Subscription(EventFilter())
        joined[subscriber] = feed.at
        feed.subscribers.add(subscriber)
    assert turns >= broker.READ
    for subscriber, missed in joined.items():
        if missed < broker.READ:
            event = await subscriber.next()
            assert event
            assert event["sequence"] == missed + 1
