"""Processes whose clocks are wrong: what is leased, claimed, remembered and due is for the database's clock to say."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from conftest import LOCAL, connected
from release_catalog.auth import access_tokens
from release_catalog.domain import timestamps
from release_catalog.files import address_guard, verification, verifier
from release_catalog.storage import idempotency, release_import, webhook_queue
from release_catalog.storage import verification_jobs as jobs
from release_catalog.storage.collection_names import EVENTS, REQUESTS, TOKENS, WEBHOOK_DELIVERIES, WEBHOOKS
from release_catalog.webhooks import dispatcher, sender
from support import file_server as serving
from support.catalog import Catalog, source
from support.subscribers import happen
from support.waiting import eventually
from support.webhook_receivers import Receiver, receiving

ALLOWED = address_guard.parse("127.0.0.1")
HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
WRONG = [HOUR, -HOUR, 3 * DAY, -3 * DAY]
Shift = Callable[[datetime.timedelta], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Shift:
    """Puts the clock of this process ahead or behind."""
    right = timestamps.now

    def shift(by: datetime.timedelta) -> None:
        monkeypatch.setattr(timestamps, "now", lambda: right() + by)

    return shift


@pytest.fixture(params=WRONG, ids=str)
def wrong(request: pytest.FixtureRequest) -> datetime.timedelta:
    difference: datetime.timedelta = request.param
    return difference


@pytest.fixture
async def catalog(mongodb_url: str, empty_name: str) -> AsyncIterator[Catalog]:
    async with connected(mongodb_url, empty_name) as database:
        yield Catalog(database, LOCAL)


CREATE = """mutation($key: String) { createRelease(input: {productId: "p", name: "n", version: "1", idempotencyKey: $key}) {
  release { id } problem { detail } } }"""
HOOK = 'mutation($url: String!) { createWebhook(input: {url: $url, events: ["*"]}) { webhook { id } problem { detail } } }'
IMPORT = """mutation($input: ImportReleaseInput!) { importRelease(input: $input) { release { id } problem { detail } } }"""


async def test_an_idempotency_key_is_remembered_for_a_day(
    catalog: Catalog, clock: Shift, wrong: datetime.timedelta
) -> None:
    product = await catalog.product("p", id="p", _id="local/p")
    assert product["id"] == "p"
    first = (await catalog.ask(CREATE, key="k"))["createRelease"]["release"]
    clock(wrong)
    assert (await catalog.ask(CREATE, key="k"))["createRelease"]["release"] == first
    second = await catalog.ask(CREATE.replace('"1"', '"2"'), key="l")
    clock(datetime.timedelta())
    assert await catalog.ask(CREATE.replace('"1"', '"2"'), key="l") == second
    for memory in [memory async for memory in catalog.database[REQUESTS].find({})]:
        assert abs(memory["expiresAt"] - timestamps.now() - DAY) < datetime.timedelta(minutes=5)


async def test_an_idempotency_lock_is_held(catalog: Catalog, clock: Shift, wrong: datetime.timedelta) -> None:
    async with (
        serving.serving() as files,
        verifier.Fetcher(ALLOWED, max_bytes=9, at_once=1, seconds=60) as fetcher,
    ):
        files.free.clear()
        file = {"name": "a", "size": 1, "sha256": "ab" * 32, "downloadUrl": files.put("a", b"x")}
        given = {
            "projectIdentifier": "p", "release": source("p", artifacts=[file]), "verification": "WAIT", "onConflict": "UPDATE",
            "idempotencyKey": "k",
        }  # fmt: skip
        first = asyncio.create_task(verification.import_release(LOCAL, catalog.database, fetcher, given))
        await files.arrived.get()
        clock(wrong)
        other: Any = await verification.import_release(LOCAL, catalog.database, fetcher, given)
        assert "still running" in other.detail
        held = await catalog.database[REQUESTS].find_one({})
        assert held
        clock(datetime.timedelta())
        assert held["busyUntil"] - timestamps.now() < idempotency.LOCK_TTL + datetime.timedelta(seconds=5)
        files.free.set()
        assert isinstance(await first, dict)


async def test_an_idempotency_lock_of_a_process_that_died_is_taken_over_in_time(
    catalog: Catalog, clock: Shift
) -> None:
    """The clocks of both processes make no difference."""
    given = {"projectIdentifier": "p", "release": source("p"), "verification": "WAIT", "idempotencyKey": "k"}
    clock(3 * DAY)
    async with idempotency.idempotency_lock(LOCAL, catalog.database, "importRelease", given, 10) as (claim, _):
        assert claim
        # It can't renew any more.
        await catalog.database[REQUESTS].update_many({}, [{"$set": {"busyUntil": "$$NOW", "claim": "dead"}}])
    clock(-3 * DAY)
    async with idempotency.idempotency_lock(LOCAL, catalog.database, "importRelease", given, 10) as (
        claim,
        answer,
    ):
        assert (bool(claim), answer) == (True, None)
    assert await release_import.import_release(LOCAL, catalog.database, given | {"onConflict": "FAIL"})


async def test_jobs_are_held_and_due(catalog: Catalog, clock: Shift, wrong: datetime.timedelta) -> None:
    file = {"name": "a", "size": 1, "sha256": "ab" * 32, "downloadUrl": "https://files.example/a"}
    document = source("p", artifacts=[file])
    given = {"projectIdentifier": "p", "release": document, "verification": "BACKGROUND", "onConflict": "UPDATE"}
    clock(wrong)
    assert isinstance(await release_import.import_release(LOCAL, catalog.database, given), dict)
    clock(datetime.timedelta())
    # Due at once, whoever made it.
    job = await jobs.claim_job(catalog.database)
    assert job
    clock(wrong)
    assert await jobs.claim_job(catalog.database) is None
    assert await jobs.renew(catalog.database, job)
    await jobs.release_job(catalog.database, job)
    mine = await jobs.claim_job(catalog.database)
    assert mine
    clock(datetime.timedelta())
    assert (
        datetime.timedelta() < mine["leaseUntil"] - timestamps.now() < jobs.LEASE + datetime.timedelta(seconds=5)
    )
    assert await jobs.claim_job(catalog.database) is None


async def test_webhooks_are_held_and_due(catalog: Catalog, clock: Shift, wrong: datetime.timedelta) -> None:
    catalog.files = verifier.Fetcher(ALLOWED, max_bytes=9, at_once=1, seconds=60)
    clock(wrong)
    await catalog.ask(HOOK, url="https://hooks.example/x")
    release = await catalog.put(await catalog.product("tool"), "1", status="PUBLISHED")
    await happen(catalog, release)
    clock(datetime.timedelta())
    [hook], _ = await webhook_queue.take(catalog.database, 9)
    clock(wrong)
    taken, seconds = await webhook_queue.take(catalog.database, 9)
    assert (taken, 0 < seconds <= webhook_queue.LEASE.total_seconds() + 1) == ([], True)
    assert await webhook_queue.renew(catalog.database, hook)
    after = await webhook_queue.advance(catalog.database, hook, 0)
    assert after
    await webhook_queue.postpone(catalog.database, after, 1, 5)
    await webhook_queue.release(catalog.database, after)
    stored: Any = await catalog.database[WEBHOOKS].find_one({})
    clock(datetime.timedelta())
    assert datetime.timedelta() < stored["nextAttemptAt"] - timestamps.now() < datetime.timedelta(seconds=6)
    assert stored["leaseUntil"] <= timestamps.now() + datetime.timedelta(seconds=1)


async def test_webhook_timestamps_follow_the_clock_of_the_database(
    catalog: Catalog, clock: Shift, wrong: datetime.timedelta
) -> None:
    """They refuse messages that seem old."""
    async with receiving() as receiver:
        await deliver(catalog, receiver, lambda: clock(wrong))
        await eventually(lambda: receiver.got)
        clock(datetime.timedelta())
        receiver.verify()
        [logged] = [entry async for entry in catalog.database[WEBHOOK_DELIVERIES].find({})]
        assert logged["deliveredAt"]
        assert abs(logged["deliveredAt"] - timestamps.now()) < datetime.timedelta(minutes=1)


async def deliver(catalog: Catalog, receiver: Receiver, then: Callable[[], None]) -> None:
    catalog.files = verifier.Fetcher(ALLOWED, max_bytes=9, at_once=1, seconds=60)
    made = await catalog.ask(HOOK.replace("webhook { id }", "secret"), url=receiver.url)
    receiver.secret = made["createWebhook"]["secret"]
    release = await catalog.put(await catalog.product("tool"), "1", status="PUBLISHED")
    await happen(catalog, release)
    then()
    [hook], _ = await webhook_queue.take(catalog.database, 9)
    async with sender.WebhookSender(ALLOWED, 1) as poster, asyncio.timeout(30):
        await dispatcher.deliver_batch(catalog.database, poster, hook, dispatcher.Lease(catalog.database, hook))


async def test_a_token_expires_on_time(catalog: Catalog, clock: Shift, wrong: datetime.timedelta) -> None:
    make = """mutation($at: DateTime) { createAccessToken(input: {name: "t", scopes: ["release:read"], expiresAt: $at}) {
      token } }"""
    at = [timestamps.now() + minutes * datetime.timedelta(minutes=1) for minutes in (30, 60 * 24 * 9)]
    texts = [(await catalog.ask(make, at=each.isoformat()))["createAccessToken"]["token"] for each in at]
    # The first has been over for a while.
    past = timestamps.now() - datetime.timedelta(minutes=30)
    await catalog.database[TOKENS].update_one({"expiresAt": {"$lt": at[1]}}, {"$set": {"expiresAt": past}})
    clock(wrong)
    tokens = access_tokens.AccessTokenAuthenticator()
    over, good = [await tokens.caller(catalog.database, text, "127.0.0.1") for text in texts]
    assert over is None
    assert good
    assert good.expires_at
    left = good.expires_at - timestamps.now()
    assert abs(left - 9 * DAY) < datetime.timedelta(minutes=5)
    await tokens.close()


async def test_events_are_kept_for_as_long_as_they_should(
    catalog: Catalog, clock: Shift, wrong: datetime.timedelta
) -> None:
    release = await catalog.put(await catalog.product("tool"), "1", status="PUBLISHED")
    clock(wrong)
    await happen(catalog, release)
    clock(datetime.timedelta())
    event = await catalog.database[EVENTS].find_one({})
    assert event
    assert abs(event["writtenAt"] - timestamps.now()) < datetime.timedelta(minutes=1)
