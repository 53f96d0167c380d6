"""Webhooks through the schema: who is told what, in order, signed, again and again until it is taken."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog.testing
from standardwebhooks import Webhook, WebhookVerificationError

from release_catalog.domain import caller, timestamps, webhooks
from release_catalog.domain.caller import Caller, Owner
from release_catalog.events import change_stream
from release_catalog.files import address_guard, verifier
from release_catalog.storage import webhook_queue
from release_catalog.storage.collection_names import EVENTS, PRODUCTS, RELEASES, WEBHOOK_DELIVERIES, WEBHOOKS
from release_catalog.webhooks import dispatcher, sender
from support.catalog import Catalog
from support.waiting import eventually
from support.webhook_receivers import Receiver, receiving, status

READER = Caller("local", "reader", frozenset({"release:read", "webhook:write"}))
CREATE = """mutation($input: CreateWebhookInput!) { createWebhook(input: $input) { secret webhook { id url events active
  createdAt } problem { __typename detail ... on ValidationProblem { violations { field code message } } } } }"""
UPDATE = """mutation($input: UpdateWebhookInput!) { updateWebhook(input: $input) { secret webhook { id url events active }
  problem { __typename ... on ValidationProblem { violations { field code } } } } }"""
DELETE = "mutation($id: ID!) { deleteWebhook(input: {id: $id}) { deletedId problem { __typename } } }"
REPLAY = """mutation($id: ID!, $after: ID!) { replayWebhook(input: {id: $id, after: $after}) { queued
  problem { __typename ... on ValidationProblem { violations { field code message } } } } }"""
LOG = """query($id: ID!) { webhook(id: $id) { active deliveries { nodes { id eventId status attempts responseStatus error
  nextAttemptAt deliveredAt } pageInfo { hasNextPage } } } }"""
ALLOWED = address_guard.parse("127.0.0.0/8")
OWNER = Owner("local")


@pytest.fixture
async def catalog(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Catalog]:
    """A catalog that may send to loopback, and looks for what is to be sent only where something says so."""
    monkeypatch.setattr(webhook_queue, "LOOK", datetime.timedelta(days=1))
    async with verifier.Fetcher(ALLOWED, max_bytes=1, at_once=1) as empty.files:
        yield empty


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@contextlib.asynccontextmanager
async def working(catalog: Catalog, allowed: address_guard.Allowed = ALLOWED) -> AsyncIterator[None]:
    """The work of a process that delivers to webhooks."""
    async with (
        dispatcher.run_dispatcher(catalog.database, allowed) as look,
        change_stream.watch_changes(catalog.database, look),
    ):
        yield


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No retry has to be waited for."""
    monkeypatch.setattr(webhooks, "DELAYS", (0,) * len(webhooks.DELAYS))


async def make(catalog: Catalog, receiver: Receiver, *types: str, as_: Caller | None = None) -> str:
    seen = catalog.seen_by(as_) if as_ else catalog
    seen.files = catalog.files
    answer = (await seen.ask(CREATE, input={"url": receiver.url, "events": list(types) or ["*"]}))["createWebhook"]
    assert answer["problem"] is None
    receiver.secret = answer["secret"]
    return str(answer["webhook"]["id"])


async def happen(catalog: Catalog, count: int = 1, **fields: Any) -> list[str]:
    """Publish so many releases."""
    product = await catalog.product(f"tool {await catalog.database[PRODUCTS].count_documents({})}")
    made = [await catalog.put(product, str(number), **fields) for number in range(count)]
    publish = "mutation($id: ID!) { publishRelease(input: {id: $id}) { problem { detail } } }"
    for release in made:
        assert (await catalog.ask(publish, id=release["id"]))["publishRelease"]["problem"] is None
    return [release["id"] for release in made]


async def withdraw(catalog: Catalog, id_: str, **fields: Any) -> None:
    text = "mutation($input: WithdrawReleaseInput!) { withdrawRelease(input: $input) { problem { detail } } }"
    answer = await catalog.ask(text, input={"id": id_, "reason": "It leaks.", **fields})
    assert answer["withdrawRelease"]["problem"] is None


async def log(catalog: Catalog, id_: str) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = (await catalog.ask(LOG, id=id_))["webhook"]["deliveries"]["nodes"]
    return nodes


async def logged(catalog: Catalog, id_: str, **wanted: Any) -> dict[str, Any]:
    """The newest entry of a webhook's log, once it says this."""
    async with asyncio.timeout(60):
        while True:
            for entry in (await log(catalog, id_))[:1]:
                if wanted.items() <= entry.items():
                    return entry
            await asyncio.sleep(0.01)


async def passed(catalog: Catalog, sequence: int) -> None:
    """Return when every webhook has been told, or not to be told, of the events up to this one."""
    async with asyncio.timeout(60):
        while await catalog.database[WEBHOOKS].find_one({"cursor": {"$lt": sequence}}):  # noqa: ASYNC110  it knows no events
            await asyncio.sleep(0.01)


async def test_webhooks_name_their_maker_and_the_log_has_each_change(catalog: Catalog) -> None:
    maker = catalog.seen_by(Caller("local", "token:5e1f0c3a9b7d4e2f8a6c0003", READER.scopes))
    maker.files = catalog.files
    show = "{ webhooks { id createdBy scopes createdAt updatedBy updatedAt } }"
    with structlog.testing.capture_logs() as entries:
        url = "https://hooks.example/services/s3cret?key=s3cret"
        made = (await maker.ask(CREATE, input={"url": url, "events": ["release.*"]}))["createWebhook"]
        [shown] = (await catalog.ask(show))["webhooks"]
        id_ = shown.pop("id")
        assert shown.pop("createdAt")
        first = {"createdBy": maker.caller.subject, "scopes": ["release:read", "webhook:write"]}
        assert shown == {**first, "updatedBy": None, "updatedAt": None}
        moved = {"id": id_, "url": "https://elsewhere.example/s3cret", "rotateSecret": True}
        secret = (await catalog.ask(UPDATE, input=moved))["updateWebhook"]["secret"]
        [shown] = (await catalog.ask(show))["webhooks"]
        assert first.items() <= shown.items()
        assert shown["updatedBy"] == "local"
        assert shown["updatedAt"] >= shown["createdAt"]
        assert (await catalog.ask(REPLAY, id=id_, after="0"))["replayWebhook"]["problem"] is None
        assert (await catalog.ask(DELETE, id=id_))["deleteWebhook"]["deletedId"] == id_
        # What changes nothing is not told.
        for text, variables in (
            (DELETE, {"id": id_}),
            (UPDATE, {"input": moved}),
            (REPLAY, {"id": id_, "after": "0"}),
        ):
            await catalog.ask(text, **variables)
        await catalog.ask(CREATE, input={"url": "ftp://hooks.example", "events": ["*"]})
    about = {"webhook": id_, "tenant": "local", "log_level": "info"}
    by, mine = {**about, "by": maker.caller.subject}, {**about, "by": "local"}
    kinds, hosts = {"events": ["release.*"]}, ["hooks.example", "elsewhere.example"]
    assert entries == [
        {**by, **kinds, "event": "webhook created", "scopes": first["scopes"], "host": hosts[0]},
        {**mine, **kinds, "event": "webhook changed", "fields": ["secret", "url"], "host": hosts[1]},
        {**mine, "event": "webhook replayed", "after": "0"},
        {**mine, "event": "webhook deleted"},
    ]
    for hidden in ("s3cret", secret, made["secret"]):
        assert hidden not in str(entries)


async def test_webhooks_from_before_they_named_who_changed_them(catalog: Catalog, receiver: Receiver) -> None:
    id_ = await make(catalog, receiver)
    await catalog.database[WEBHOOKS].update_one({"id": id_}, {"$unset": {"updatedAt": 1, "updatedBy": 1}})
    text = "query($id: ID!) { webhook(id: $id) { createdBy updatedBy updatedAt } }"
    assert (await catalog.ask(text, id=id_))["webhook"] == {
        "createdBy": "local",
        "updatedBy": None,
        "updatedAt": None,
    }


async def test_s2_the_body_is_the_seeds_and_the_signature_the_schemes(
    catalog: Catalog, receiver: Receiver
) -> None:
    id_ = await make(catalog, receiver, "release.*")
    product = await catalog.product("editor", "DOTTED")
    create = "mutation($input: CreateReleaseInput!) { createRelease(input: $input) { release { id createdAt } } }"
    given = {
        "productId": product["id"],
        "name": "Editor",
        "version": "1.0",
        "platforms": ["linux"],
        "private": True,
    }
    made = (await catalog.ask(create, input=given))["createRelease"]["release"]
    async with working(catalog):
        await eventually(lambda: receiver.got)
    [message] = receiver.got
    receiver.verify()
    assert message.id == "0000000000000001"
    assert message.headers["content-type"] == "application/json"
    assert message.headers["webhook-signature"].count("v1,") == 1
    assert list(message.event) == ["event", "data", "triggeredAt"]
    assert message.event["event"] == "release.created"
    assert message.event["triggeredAt"] == made["createdAt"]
    assert list(message.event["data"]) == (
        "id createdAt updatedAt name channel version platforms notes totalFiles publishedAt files published private "
        "archived productId tenantId".split()
    )
    assert (message.event["data"]["id"], message.event["data"]["private"]) == (made["id"], True)
    entry = await logged(catalog, id_, status="DELIVERED")
    assert entry.pop("deliveredAt")
    assert entry == {
        "id": f"{id_}-0000000000000001", "eventId": message.id, "status": "DELIVERED", "attempts": 1,
        "responseStatus": 204, "error": None, "nextAttemptAt": None,
    }  # fmt: skip


async def test_only_what_was_asked_for_is_told_and_only_what_came_later(
    catalog: Catalog, receiver: Receiver
) -> None:
    await happen(catalog)
    await make(catalog, receiver, "release.withdrawn", "promotion.*")
    [id_, _] = await happen(catalog, 2)
    await withdraw(catalog, id_)
    async with working(catalog):
        await passed(catalog, 4)
    assert receiver.types == ["release.withdrawn"]
    hook = await catalog.database[WEBHOOKS].find_one({})
    assert hook
    assert (hook["cursor"], hook["owner"]) == (4, None)


async def test_a_receiver_that_refuses_gets_every_event_later_and_in_order(
    catalog: Catalog, receiver: Receiver, at_once: None
) -> None:
    id_ = await make(catalog, receiver)
    receiver.answer = status("503 Busy", body=b"try\x1b[31m later\n" + b"x" * 10_000)
    await happen(catalog, 3)
    async with receiving() as other, working(catalog):
        await make(catalog, other)
        await happen(catalog)
        await eventually(lambda: len(receiver.got) >= 3)
        await eventually(lambda: other.got)
        entry = await logged(catalog, id_, status="PENDING")
        assert entry["responseStatus"] == 503
        assert entry["error"].startswith("The receiver answered with status 503: try [31m later xxx")
        assert len(entry["error"]) < 250
        assert entry["nextAttemptAt"]
        receiver.answer = status("200 OK")
        await eventually(lambda: receiver.ids[-1] == 4)
    assert receiver.ids == sorted(receiver.ids)
    assert set(receiver.ids) == {1, 2, 3, 4}
    receiver.verify()
    first = (await log(catalog, id_))[-1]
    assert first["attempts"] == receiver.ids.count(1) >= 3
    assert (first["status"], first["error"]) == ("DELIVERED", None)


async def test_after_the_last_attempt_an_event_is_given_up_and_may_be_replayed(
    catalog: Catalog, receiver: Receiver, at_once: None
) -> None:
    id_ = await make(catalog, receiver)
    receiver.answer = status("500 Broken")
    await happen(catalog)
    async with working(catalog):
        entry = await logged(catalog, id_, status="FAILED")
        assert (entry["attempts"], len(receiver.got), entry["nextAttemptAt"]) == (10, 10, None)
        receiver.answer = status("202 Taken")
        await happen(catalog)
        await eventually(lambda: receiver.ids[-1] == 2)
        assert (await catalog.ask(REPLAY, id=id_, after="0"))["replayWebhook"] == {"queued": 2, "problem": None}
        await eventually(lambda: receiver.ids[10:] == [2, 1, 2])
        entry = await logged(catalog, id_, eventId="0000000000000002", attempts=2)
    assert [entry["status"] for entry in await log(catalog, id_)] == ["DELIVERED", "DELIVERED"]
    text = "query($id: ID!) { webhook(id: $id) { deliveries { nodes { nodeId id status } } } }"
    deliveries = (await catalog.ask(text, id=id_))["webhook"]["deliveries"]["nodes"]
    text = "query($ids: [ID!]!) { nodes(nodeIds: $ids) { nodeId ... on WebhookDelivery { id status } } }"
    ids = [delivery["nodeId"] for delivery in deliveries]
    assert (await catalog.ask(text, ids=ids))["nodes"] == deliveries
    await catalog.ask(DELETE, id=id_)
    assert (await catalog.ask(text, ids=ids))["nodes"] == [None, None]


async def test_retry_after_and_the_schedule_say_when_it_is_tried_again(
    catalog: Catalog, receiver: Receiver
) -> None:
    id_ = await make(catalog, receiver)
    await happen(catalog)
    for tried, header, least, most in (
        (0, "X-Nothing: 1", 5, 6),
        (0, "Retry-After: 3000", 3000, 3000),
        (1, "Retry-After: 3", 300, 360),
        (4, "Retry-After: soon", 7200 * 2.5, 7200 * 3),
    ):
        receiver.answer = status("429 Slowly", header)
        again = {"nextAttemptAt": timestamps.now(), "attempts": tried}
        await catalog.database[WEBHOOKS].update_one({}, {"$set": again})
        await catalog.database[WEBHOOK_DELIVERIES].delete_many({})
        before = timestamps.now()
        async with working(catalog):
            entry = await logged(catalog, id_, status="PENDING")
        waits = (timestamps.parse(entry["nextAttemptAt"]) - before).total_seconds()
        assert least <= waits <= most + 5
    assert receiver.ids == [1, 1, 1, 1]


async def test_410_switches_off_and_what_waits_is_sent_once_it_is_on_again(
    catalog: Catalog, receiver: Receiver
) -> None:
    id_ = await make(catalog, receiver)
    receiver.answer = status("410 Gone")
    await happen(catalog, 2)
    async with working(catalog):
        entry = await logged(catalog, id_, status="PENDING")
        assert (entry["responseStatus"], entry["nextAttemptAt"]) == (410, None)
        async with receiving() as other:
            await make(catalog, other)
            await happen(catalog)
            await eventually(lambda: other.got)
        assert receiver.ids == [1]
        assert (await catalog.ask(LOG, id=id_))["webhook"]["active"] is False
        receiver.answer = status("200 OK")
        on = (await catalog.ask(UPDATE, input={"id": id_, "active": True}))["updateWebhook"]
        assert (on["webhook"]["active"], on["secret"]) == (True, None)
        await eventually(lambda: receiver.ids == [1, 1, 2, 3])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (status("302 Found", "Location: http://127.0.0.1:1/"), "redirects are not followed"),
        (status("304 Not Modified"), "redirects are not followed"),
        (b"SSH-2.0-x\r\n", "does not answer in HTTP/1.1"),
        (b"", "closed the connection"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: " + b"b" * 70_000, "does not answer in HTTP/1.1"),
    ],
)
async def test_responses_other_than_2xx_are_failures(
    catalog: Catalog, receiver: Receiver, answer: bytes, said: str
) -> None:
    receiver.answer = answer
    async with sender.WebhookSender(ALLOWED, 1) as poster:
        reply = await poster.post(OWNER, receiver.url, {}, b"{}")
    assert reply.error
    assert said in reply.error


async def test_a_receiver_that_hangs_or_drips_is_left_in_time(
    catalog: Catalog, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "SECONDS", 0.3)

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            for _number in range(100):
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()

    receiver.answer = None
    dripping = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = "http://127.0.0.1:%d/hook" % dripping.sockets[0].getsockname()[1]
    async with sender.WebhookSender(ALLOWED, 2) as poster:
        for bad in (receiver.url, url):
            reply = await poster.post(OWNER, bad, {}, b"{}")
            assert reply == sender.DeliveryResult(
                None, "The receiver took longer than 0.3 seconds to answer: check the server."
            )
    dripping.close()
    # Its connections notice that they are gone.
    await asyncio.sleep(0.2)


async def test_forbidden_addresses_get_no_messages(
    catalog: Catalog, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The destination is checked at each attempt, not only when a webhook is created."""
    monkeypatch.setattr(sender, "SECONDS", 0.5)
    monkeypatch.setattr(address_guard, "REFUSAL_SECONDS", 0.05)
    id_ = await make(catalog, receiver)
    await happen(catalog)
    port = int(receiver.url.split(":")[2].split("/")[0])
    for allowed, said in (
        (address_guard.Allowed(), "by https"),
        (address_guard.parse(f"127.0.0.1:{port + 1}"), "by https"),
    ):
        async with working(catalog, allowed):
            assert said in (await logged(catalog, id_, status="PENDING"))["error"]
        await catalog.database[WEBHOOK_DELIVERIES].delete_many({})
        await catalog.ask(UPDATE, input={"id": id_, "active": True})
    assert not receiver.got
    async with sender.WebhookSender(address_guard.Allowed(), 1) as poster:
        reply = await poster.post(OWNER, f"https://127.0.0.1:{port}/hook", {}, b"{}")
        assert reply.error
        assert "or a forbidden one" in reply.error
    async with sender.WebhookSender(ALLOWED, 1) as poster:
        reply = await poster.post(OWNER, f"https://127.0.0.1:{port}/hook", {}, b"{}")
        assert reply.error
    assert not receiver.got
    assert ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED


async def test_invalid_webhooks_are_refused(catalog: Catalog) -> None:
    for url, code in (
        ("ftp://h/", "NOT_A_URL"),
        ("http://hooks.example/x", "UNUSABLE"),
        ("http://10.0.0.1/x", "UNUSABLE"),
        ("https://me:secret@hooks.example/x", "UNUSABLE"),
        ("https://hooks.example:x/", "UNUSABLE"),
    ):
        answer = (await catalog.ask(CREATE, input={"url": url, "events": ["release.*", "x.*", "release.exploded"]}))["createWebhook"]  # fmt: skip
        assert (answer["webhook"], answer["secret"]) == (None, None)
        found = [(violation["field"], violation["code"]) for violation in answer["problem"]["violations"]]
        assert found == [("input.url", code), ("input.events[1]", "UNKNOWN"), ("input.events[2]", "UNKNOWN")]
        assert "secret" not in str(answer["problem"])
    for events in ([], ["release.created"] * 3 + [f"x{number}" for number in range(100)]):
        answer = (await catalog.ask(CREATE, input={"url": "https://h.example", "events": events}))["createWebhook"]
        assert [v["code"] for v in answer["problem"]["violations"]] == ["WRONG_LENGTH"]
    for text, fields in (
        (UPDATE, {"input": {"id": "x"}}),
        (DELETE, {"id": "x"}),
        (REPLAY, {"id": "x", "after": "0"}),
    ):
        [answer] = (await catalog.ask(text, **fields)).values()
        assert answer["problem"]["__typename"] == "NotFoundProblem"
    assert await catalog.database[WEBHOOKS].count_documents({}) == 0


async def test_a_secret_is_shown_once_and_rotates_with_an_overlap(catalog: Catalog, receiver: Receiver) -> None:
    id_ = await make(catalog, receiver)
    first = receiver.secret
    assert first.startswith("whsec_")
    rotated = (await catalog.ask(UPDATE, input={"id": id_, "rotateSecret": True, "events": ["release.*"]}))["updateWebhook"]  # fmt: skip
    assert rotated["webhook"]["events"] == ["release.*"]
    second = rotated["secret"]
    assert second != first
    await happen(catalog, 1)
    async with working(catalog):
        await eventually(lambda: receiver.got)
    [message] = receiver.got
    assert len(message.headers["webhook-signature"].split()) == 2
    for secret in (first, second):
        Webhook(secret).verify(message.body, message.headers)
    past = timestamps.now() - datetime.timedelta(seconds=1)
    await catalog.database[WEBHOOKS].update_one({}, {"$set": {"formerUntil": past}})
    await happen(catalog, 1)
    async with working(catalog):
        await eventually(lambda: len(receiver.got) == 2)
    Webhook(second).verify(receiver.got[1].body, receiver.got[1].headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(first).verify(receiver.got[1].body, receiver.got[1].headers)
    shown = await catalog.ask("{ webhooks { id url events active createdAt deliveries { nodes { id } } } }")
    assert "whsec" not in str(shown)


async def test_visibility_of_events_for_a_webhook_is_that_of_its_creator(
    catalog: Catalog, receiver: Receiver
) -> None:
    await make(catalog, receiver, as_=READER)
    async with receiving() as other:
        await make(catalog, other)
        [open_] = await happen(catalog)
        await happen(catalog, private=True)
        [turned] = await happen(catalog)
        await catalog.database[RELEASES].update_one({"id": turned}, {"$set": {"private": True}})
        await withdraw(catalog, open_)
        async with working(catalog):
            await passed(catalog, 4)
    assert [(message.event["event"], message.event["data"]["id"]) for message in receiver.got] == [
        ("release.published", open_),
        ("release.withdrawn", open_),
    ]


async def test_a_webhook_without_release_read_gets_no_events(catalog: Catalog, receiver: Receiver) -> None:
    blind = catalog.seen_by(Caller("local", "hooks", frozenset({"webhook:write"})))
    blind.files = catalog.files
    await happen(catalog)
    mine = await make(catalog, receiver, as_=blind.caller)
    async with receiving() as other:
        theirs = await make(catalog, other, as_=READER)
        assert await blind.ask("{ webhooks { id } }") == {"webhooks": [{"id": mine}]}
        answer = await blind.ask(UPDATE, input={"id": theirs, "url": receiver.url, "rotateSecret": True})
        assert answer["updateWebhook"]["problem"]["__typename"] == "NotFoundProblem"
        assert (await blind.ask(REPLAY, id=mine, after="0"))["replayWebhook"] == {"queued": 0, "problem": None}
        await happen(catalog)
        async with working(catalog):
            await passed(catalog, 2)
    assert not receiver.got


async def test_webhooks_with_wider_visibility_are_hidden(catalog: Catalog, receiver: Receiver) -> None:
    mine = await make(catalog, receiver, as_=READER)
    ours = await make(catalog, receiver)
    reader, stranger = catalog.seen_by(READER), catalog.seen_by(caller.local("another"))
    reader.files = stranger.files = catalog.files
    listing = "{ webhooks { id } }"
    assert await catalog.ask(listing) == {"webhooks": [{"id": mine}, {"id": ours}]}
    assert await reader.ask(listing) == {"webhooks": [{"id": mine}]}
    assert await stranger.ask(listing) == {"webhooks": []}
    for who, whose in ((reader, ours), (stranger, ours), (stranger, mine)):
        assert (await who.ask(LOG, id=whose))["webhook"] is None
        for text, fields in (
            (UPDATE, {"input": {"id": whose, "url": receiver.url, "rotateSecret": True}}),
            (DELETE, {"id": whose}),
            (REPLAY, {"id": whose, "after": "0"}),
        ):
            [answer] = (await who.ask(text, **fields)).values()
            assert answer["problem"]["__typename"] == "NotFoundProblem"
    assert (await reader.ask(DELETE, id=mine))["deleteWebhook"] == {"deletedId": mine, "problem": None}
    assert await catalog.ask(listing) == {"webhooks": [{"id": ours}]}


async def test_a_replay_goes_back_and_never_ahead(catalog: Catalog, receiver: Receiver) -> None:
    id_ = await make(catalog, receiver, "release.published")
    await happen(catalog, 5)
    ahead = (await catalog.ask(REPLAY, id=id_, after="0000000000000003"))["replayWebhook"]
    assert ahead["queued"] == 5
    async with working(catalog):
        await eventually(lambda: len(receiver.got) == 5)
        assert (await catalog.ask(REPLAY, id=id_, after=receiver.got[2].id))["replayWebhook"]["queued"] == 2
        await eventually(lambda: receiver.ids == [1, 2, 3, 4, 5, 4, 5])
    await catalog.database[EVENTS].delete_many({"sequence": {"$lte": 2}})
    for after, code in (("7", "NOT_KEPT"), ("1", "NOT_KEPT"), ("x", "NOT_AN_EVENT"), ("-1", "NOT_AN_EVENT")):
        refused = (await catalog.ask(REPLAY, id=id_, after=after))["replayWebhook"]
        assert refused["queued"] == 0
        assert [v["code"] for v in refused["problem"]["violations"]] == [code]
    assert (await catalog.ask(REPLAY, id=id_, after="2"))["replayWebhook"]["queued"] == 3


async def test_expired_events_are_logged_as_failed_deliveries(
    catalog: Catalog, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await make(catalog, receiver, "release.withdrawn", "release.published")
    receiver.answer = status("500 Broken")
    [first, *_] = await happen(catalog)
    archive = "mutation($id: ID!) { archiveRelease(input: {id: $id}) { problem { detail } } }"
    await catalog.ask(archive, id=first)
    await catalog.ask(UPDATE, input={"id": id_, "events": ["release.*"]})
    async with working(catalog):
        await logged(catalog, id_, status="PENDING")
    await happen(catalog, 2)
    await catalog.database[EVENTS].delete_many({"sequence": {"$lte": 2}})
    receiver.answer = status("200 OK")
    await catalog.ask(UPDATE, input={"id": id_, "active": True})
    async with working(catalog):
        await eventually(lambda: receiver.ids == [1, 3, 4])
    lost = (await log(catalog, id_))[-1]
    assert (lost["eventId"], lost["status"], lost["attempts"]) == ("0000000000000001", "FAILED", 1)
    assert lost["error"] == "Events up to 0000000000000002 were no longer kept when the webhook was due."
    # Where nothing at all is left, it is not looked for all the time.
    await happen(catalog)
    await catalog.database[EVENTS].delete_many({})
    [hook], _ = await webhook_queue.take(catalog.database, 9)
    lease = dispatcher.Lease(catalog.database, hook)
    async with sender.WebhookSender(ALLOWED, 1) as poster:
        await dispatcher.deliver_batch(catalog.database, poster, hook, lease)
    assert (await webhook_queue.take(catalog.database, 9))[0] == []


async def test_deselected_events_do_not_stay_pending_in_the_log(catalog: Catalog, receiver: Receiver) -> None:
    id_ = await make(catalog, receiver)
    receiver.answer = status("500 Broken")
    await happen(catalog)
    async with working(catalog):
        await logged(catalog, id_, status="PENDING")
        await catalog.ask(UPDATE, input={"id": id_, "events": ["release.withdrawn"]})
        entry = await logged(catalog, id_, status="FAILED")
    assert (entry["error"], entry["nextAttemptAt"]) == (
        "The event was not sent again: it is no longer kept, its type is no longer selected, or the webhook can't see it any more.",
        None,
    )


async def test_a_webhook_has_one_worker_at_a_time_and_another_where_that_dies(
    catalog: Catalog, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(catalog, receiver)
    await happen(catalog)
    taken = await asyncio.gather(*(webhook_queue.take(catalog.database, 9) for _ in range(10)))
    [dead] = [hook for hooks, _ in taken for hook in hooks]
    assert await webhook_queue.renew(catalog.database, dead)
    await catalog.database[WEBHOOKS].update_one({}, {"$set": {"leaseUntil": timestamps.now()}})
    async with working(catalog):
        await eventually(lambda: receiver.got)
    # Who comes back from the dead holds nothing any more.
    assert not await webhook_queue.renew(catalog.database, dead)
    assert await webhook_queue.advance(catalog.database, dead, 9) is None
    await webhook_queue.postpone(catalog.database, dead, 3, 0)
    hook = await catalog.database[WEBHOOKS].find_one({})
    assert hook
    assert (hook["cursor"], hook["attempts"]) == (1, 0)


async def test_a_lost_lease_breaks_off_what_is_being_sent(
    catalog: Catalog, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_queue, "LEASE", datetime.timedelta(seconds=3))
    await make(catalog, receiver)
    await happen(catalog)
    receiver.answer = None
    [hook], _ = await webhook_queue.take(catalog.database, 9)
    async with sender.WebhookSender(ALLOWED, 1) as poster, asyncio.timeout(60):
        lease = dispatcher.Lease(catalog.database, hook)
        turn = asyncio.create_task(dispatcher.deliver_batch(catalog.database, poster, hook, lease))
        await eventually(lambda: receiver.got)
        # It is renewed while something is being sent.
        later = {"leaseUntil": {"$gt": hook["leaseUntil"]}}
        while not await catalog.database[WEBHOOKS].find_one(later):  # noqa: ASYNC110  it knows no events
            await asyncio.sleep(0.01)
        assert not turn.done()
        assert (await webhook_queue.take(catalog.database, 9))[0] == []
        await catalog.database[WEBHOOKS].update_one({}, {"$set": {"owner": "somebody else"}})
        await turn
    assert await catalog.database[WEBHOOK_DELIVERIES].count_documents({}) == 0


async def test_the_workers_leave_at_once_and_what_was_being_sent_is_sent_again(
    catalog: Catalog, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(catalog, receiver)
    await happen(catalog)
    receiver.answer = None
    monkeypatch.setattr(sender, "SECONDS", 3_600)
    async with asyncio.timeout(60):
        async with working(catalog):
            await eventually(lambda: receiver.got)
        receiver.answer = status("200 OK")
        async with working(catalog):
            await eventually(lambda: receiver.ids == [1, 1])


async def test_to_see_who_is_due_no_webhook_is_read(catalog: Catalog, receiver: Receiver) -> None:
    await make(catalog, receiver)
    catalog.commands.clear()
    await webhook_queue.take(catalog.database, 9)
    [command] = [dict(command) for command in catalog.commands.sent if command.get("find") == "webhooks"]
    plain = {name: it for name, it in command.items() if name not in {"lsid", "$db", "$clusterTime"}}
    answer = await catalog.database.command("explain", plain, verbosity="executionStats")
    assert answer["executionStats"]["totalDocsExamined"] == 0
    assert answer["executionStats"]["totalKeysExamined"] == 1


async def test_events_are_delivered_at_once_without_polling_idle_webhooks(
    catalog: Catalog, receiver: Receiver
) -> None:
    await make(catalog, receiver)
    async with working(catalog):
        for number in range(1, 6):
            await happen(catalog)
            # No look is due for a day.
            await eventually(lambda: len(receiver.got) == number)  # noqa: B023  it is waited for
        async with asyncio.timeout(60):
            while True:
                catalog.commands.clear()
                await asyncio.sleep(3)
                if not catalog.commands.sent:
                    break


async def test_deliveries_of_a_dead_process_continue_after_its_lease(
    catalog: Catalog, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_queue, "LEASE", datetime.timedelta(seconds=2))
    await make(catalog, receiver)
    await happen(catalog)
    [_], _ = await webhook_queue.take(catalog.database, 9)
    async with working(catalog):
        await eventually(lambda: receiver.got)
