"""Work in the background: one tenant fills what it may have of it, and another is served still."""

import asyncio
import contextlib
import datetime
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from conftest import connected
from release_catalog.domain import ids, timestamps
from release_catalog.domain.caller import Caller, Owner, local
from release_catalog.errors import TooBusy
from release_catalog.events import change_stream
from release_catalog.files import address_guard, transfer_rate, verification, verifier
from release_catalog.storage import verification_jobs as stored_jobs
from release_catalog.storage import webhook_queue
from release_catalog.storage import webhooks as stored_webhooks
from release_catalog.storage.collection_names import PRODUCTS, RELEASES, VERIFICATIONS
from release_catalog.webhooks import delivery_slots, dispatcher
from support import file_server as serving
from support.catalog import Catalog, source
from support.waiting import eventually
from support.webhook_receivers import Receiver, receiving

ALLOWED = address_guard.parse("127.0.0.0/8")
HOG, OTHER = local("hog"), local("other")
CONTENT = b"content"


# ---------------------------------------------------------------- webhooks


async def hook(catalog: Catalog, caller: Caller, url: str) -> str:
    given = {"url": url, "events": ["*"]}
    made: Any = await stored_webhooks.create(caller, catalog.database, given, None)
    return str(made["webhook"]["id"])


async def happen(catalog: Catalog, caller: Caller) -> None:
    """Make a release in the caller's tenant, which is an event."""
    seen = catalog.seen_by(caller)
    number = await catalog.database[PRODUCTS].count_documents({})
    product = await seen.product(f"tool {number}", id=f"{caller.tenant} {number}")
    made = await seen.put(product, "1")
    publish = "mutation($id: ID!) { publishRelease(input: {id: $id}) { problem { detail } } }"
    assert (await seen.ask(publish, id=made["id"]))["publishRelease"]["problem"] is None


@contextlib.asynccontextmanager
async def dispatching(catalog: Catalog) -> AsyncIterator[None]:
    async with (
        dispatcher.run_dispatcher(catalog.database, ALLOWED) as look,
        change_stream.watch_changes(catalog.database, look),
    ):
        yield


async def hang(catalog: Catalog, receivers: list[Receiver], count: int) -> None:
    for receiver in receivers:
        receiver.answer = None
    for number in range(count):
        await hook(catalog, HOG, receivers[number % len(receivers)].url)
    await happen(catalog, HOG)


async def test_hanging_receivers_of_one_tenant_do_not_take_the_places_of_another(empty: Catalog) -> None:
    async with contextlib.AsyncExitStack() as stack:
        hanging = [await stack.enter_async_context(receiving(f"127.0.0.{number}")) for number in range(2, 7)]
        good = await stack.enter_async_context(receiving())
        await hang(empty, hanging, 100)
        await hook(empty, OTHER, good.url)
        async with dispatching(empty):
            await eventually(lambda: sum(len(receiver.open) for receiver in hanging) >= delivery_slots.OF_TENANT)
            for number in range(1, 6):
                await happen(empty, OTHER)
                await eventually(lambda: len(good.got) == number)  # noqa: B023  it is waited for
            # All along the hog had its share, and nothing beyond it.
            assert sum(len(receiver.open) for receiver in hanging) <= delivery_slots.OF_TENANT
            assert all(len(receiver.open) <= delivery_slots.OF_TENANT_AT_HOST for receiver in hanging)


async def test_a_webhook_receiver_that_hung_has_few_places_afterwards(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_slots, "SLOW_SECONDS", 0.3)
    monkeypatch.setattr(dispatcher, "SLOW_SECONDS", 0.3)
    monkeypatch.setattr("release_catalog.webhooks.sender.SECONDS", 0.5)
    monkeypatch.setattr("release_catalog.domain.webhooks.DELAYS", (0,) * 10)
    async with contextlib.AsyncExitStack() as stack:
        hanging = [await stack.enter_async_context(receiving(f"127.0.0.{number}")) for number in range(2, 7)]
        await hang(empty, hanging, 20)
        async with dispatching(empty):
            # Each has timed out once, or hangs for the second time.
            await eventually(lambda: sum(len(receiver.got) for receiver in hanging) > 30)
            most = 0
            for _ in range(100):
                most = max(most, sum(len(receiver.open) for receiver in hanging))
                await asyncio.sleep(0.02)
    # Connections close a moment after their places are given back.
    assert most <= 2 * delivery_slots.OF_SLOW_OF_TENANT


async def test_a_webhook_with_much_to_be_told_gives_its_place_back_between_times(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_slots, "AT_ONCE", 1)
    monkeypatch.setattr(dispatcher, "TURN_SECONDS", 0.2)
    async with receiving() as busy, receiving() as good:
        await hook(empty, HOG, busy.url)
        for _ in range(60):
            await happen(empty, HOG)

        busy.pause = 0.05
        await hook(empty, OTHER, good.url)
        await happen(empty, OTHER)
        async with dispatching(empty):
            await eventually(lambda: good.got)
            assert len(busy.got) < 30
            await eventually(lambda: len(busy.got) == 60)


async def test_to_find_webhooks_that_are_due_stays_one_covered_walk(empty: Catalog) -> None:
    """Nothing is read for a webhook that is not leased, for any shares."""
    async with receiving() as receiver:
        for _ in range(20):
            await hook(empty, HOG, receiver.url)
        await happen(empty, HOG)
        empty.commands.clear()
        chosen = delivery_slots.Places()
        leased, _ = await webhook_queue.take(empty.database, delivery_slots.AT_ONCE, chosen.choose)
        assert len(leased) == delivery_slots.OF_TENANT
        [find] = [command for command in empty.commands.sent if command.get("find") == "webhooks"]
        plain = {name: it for name, it in find.items() if name not in {"lsid", "$db", "$clusterTime"}}
        answer = await empty.database.command("explain", plain, verbosity="executionStats")
        assert answer["executionStats"]["totalDocsExamined"] == 0


# ------------------------------------------------------------ verification


@pytest.fixture
async def fetching(empty: Catalog) -> AsyncIterator[verifier.Fetcher]:
    async with verifier.Fetcher(ALLOWED, max_bytes=1 << 30, at_once=4, seconds=300) as empty.files:
        yield empty.files


def artifacts(files: serving.Files, count: int) -> list[Any]:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    names = [f"{ids.new()}" for _ in range(count)]
    return [
        {"name": name, "size": len(CONTENT), "sha256": sha256, "downloadUrl": files.put(name, CONTENT)}
        for name in names
    ]


IMPORT = "mutation($input: ImportReleaseInput!) { importRelease(input: $input) { release { artifacts { verification { status } } } problem { detail } } }"
VERIFY = "mutation($id: ID!) { verifyArtifacts(input: {releaseId: $id, verification: WAIT}) { release { id } } }"


async def take(catalog: Catalog, caller: Caller, files: serving.Files, mode: str, count: int = 5) -> list[str]:
    """Import a release with so many files; the statuses of these."""
    seen = catalog.seen_by(caller)
    seen.files = catalog.files
    document = source(f"tool {ids.new()}", artifacts=artifacts(files, count))
    given = {"projectIdentifier": document["project"], "release": document, "verification": mode}
    answer = (await seen.ask(IMPORT, input=given))["importRelease"]
    assert answer["problem"] is None
    return [artifact["verification"]["status"] for artifact in answer["release"]["artifacts"]]


async def statuses(catalog: Catalog, caller: Caller) -> set[str]:
    found = catalog.database[RELEASES].find({"tenantId": caller.tenant})
    return {artifact["verification"]["status"] async for release in found for artifact in release["artifacts"]}


async def test_files_of_one_tenant_that_do_not_come_do_not_keep_those_of_another_from_being_verified(
    empty: Catalog, fetching: verifier.Fetcher
) -> None:
    async with serving.serving() as stuck, serving.serving() as good:
        stuck.free.clear()
        for _ in range(20):
            await take(empty, HOG, stuck, "BACKGROUND")
        async with verification.run_workers(empty.database, fetching):
            await eventually(lambda: len(stuck.asked) >= 4 * verification.JOBS_OF_TENANT)
            for _ in range(3):
                await take(empty, OTHER, good, "BACKGROUND")
            async with asyncio.timeout(60):
                while await statuses(empty, OTHER) != {"VERIFIED"}:  # noqa: ASYNC110  it waits for the database
                    await asyncio.sleep(0.05)
            assert len(stuck.asked) == 4 * verification.JOBS_OF_TENANT


async def test_requests_of_one_tenant_that_wait_for_files_leave_threads_to_another(
    empty: Catalog, fetching: verifier.Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    callers = [Caller("hog", f"caller {number}", HOG.scopes) for number in range(3)]
    async with serving.serving() as stuck, serving.serving() as good:
        stuck.free.clear()
        flood = [asyncio.create_task(take(empty, callers[number % 3], stuck, "WAIT")) for number in range(30)]
        await eventually(lambda: len(stuck.asked) == 16)
        for mode in ("WAIT", "WAIT"):
            assert await asyncio.wait_for(take(empty, OTHER, good, mode), 60) == ["VERIFIED"] * 5
        assert len(stuck.asked) == 16
        stuck.free.set()
        assert await asyncio.gather(*flood) == [["VERIFIED"] * 5] * 30


async def test_a_request_whose_turn_does_not_come_is_refused_by_name(
    empty: Catalog, fetching: verifier.Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "MAX_WAIT_SECONDS", 0.2)
    async with serving.serving() as stuck:
        await take(empty, HOG, stuck, "SKIP")
        release: Any = await empty.database[RELEASES].find_one({})
        stuck.free.clear()
        checks = [
            asyncio.create_task(fetching.check_all(Owner("hog", f"caller {number}"), artifacts(stuck, 4)))
            for number in range(4)
        ]
        await eventually(lambda: len(stuck.asked) == 16)
        seen = empty.seen_by(HOG)
        seen.files = fetching
        body = await seen.respond(VERIFY, id=release["id"])
        [error] = body["errors"]
        assert error["extensions"] == {"code": "RATE_LIMITED", "limit": "files", "allowed": 12}
        assert "Repeat the request later, or give verification BACKGROUND" in str(error["message"])
        given = {"releaseId": release["id"], "verification": "WAIT"}
        with pytest.raises(TooBusy):
            await verification.verify_artifacts(HOG, empty.database, fetching, given)
        stuck.free.set()
        assert {it["status"] for results in await asyncio.gather(*checks) for it in results} == {"VERIFIED"}


async def test_the_time_of_a_release_begins_with_its_turn(empty: Catalog) -> None:
    """A file that waits for others is not UNREACHABLE."""
    async with serving.serving() as stuck, verifier.Fetcher(ALLOWED, max_bytes=9, at_once=1, seconds=3) as fetcher:
        stuck.free.clear()
        owner = Owner("hog", "one")
        held = [asyncio.create_task(fetcher.check_all(owner, artifacts(stuck, 1), 60)) for _ in range(3)]
        await eventually(lambda: len(stuck.asked) == 3)
        waiting = asyncio.create_task(fetcher.check_all(owner, artifacts(stuck, 2)))
        await asyncio.sleep(3.5)
        assert not waiting.done()
        stuck.free.set()
        assert [it["status"] for it in await waiting] == ["VERIFIED"] * 2
        await asyncio.gather(*held)


async def scheduled(catalog: Catalog, tenant: str, count: int) -> None:
    """Jobs of a tenant, the first the oldest."""
    past = timestamps.now() - datetime.timedelta(days=1)
    await catalog.database[VERIFICATIONS].insert_many(
        {
            "_id": f"{tenant}/{number}",
            "tenantId": tenant,
            "releaseId": str(number),
            "actor": None,
            "owner": None,
            "leaseUntil": past + datetime.timedelta(seconds=number),
        }
        for number in range(count)
    )


async def test_jobs_are_taken_in_turns_between_tenants_and_the_oldest_first(empty: Catalog) -> None:
    for tenant, count in (("a", 5), ("c", 1), ("b", 2)):
        await scheduled(empty, tenant, count)
    taken, after = [], ""
    while job := await stored_jobs.claim_job(empty.database, after):
        taken.append(job["_id"])
        after = job["tenantId"]
    assert taken == ["a/0", "b/0", "c/0", "a/1", "b/1", "a/2", "a/3", "a/4"]
    await empty.database[VERIFICATIONS].update_many({}, {"$set": {"leaseUntil": timestamps.now()}})
    job = await stored_jobs.claim_job(empty.database, "", ["a", "c"])
    assert job
    assert job["tenantId"] == "b"
    assert await stored_jobs.claim_job(empty.database, "b", ["a", "b", "c"]) is None


class Taking(CommandListener):
    """The commands by which jobs are taken."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "findAndModify":
            self.sent.append({**event.command})

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


async def test_the_jobs_of_tenants_that_are_passed_over_are_not_looked_through(
    empty: Catalog, mongodb_url: str
) -> None:
    await scheduled(empty, "a", 2_000)
    await scheduled(empty, "c", 1)
    await scheduled(empty, "b", 2_000)
    leased = timestamps.now() + datetime.timedelta(days=1)
    await empty.database[VERIFICATIONS].update_many({"tenantId": "b"}, {"$set": {"leaseUntil": leased}})
    taking = Taking()
    async with connected(mongodb_url, empty.database.name, taking) as database:
        job = await stored_jobs.claim_job(database, "", ["a"])
        assert await stored_jobs.claim_job(database, "c", ["a"]) is None
    assert job
    assert job["tenantId"] == "c"
    await empty.database[VERIFICATIONS].update_many({"tenantId": "c"}, {"$set": {"leaseUntil": job["leaseUntil"]}})
    fields = ("findAndModify", "query", "update", "sort", "hint", "new")
    for command in taking.sent:
        plain = {name: command[name] for name in fields}
        found = (await empty.database.command("explain", plain, verbosity="executionStats"))["executionStats"]
        assert found["totalKeysExamined"] <= 6
        assert found["totalDocsExamined"] <= 1
    assert len(taking.sent) == 3


# ------------------------------------------------------------------- pace


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@contextlib.asynccontextmanager
async def dripping(before: bytes, piece: bytes, after: bytes = b"", count: int = 10**9) -> AsyncIterator[str]:
    """A server that sends a piece each hundredth of a second, and what comes before and after; its URL."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(before)
            for _number in range(count):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            writer.write(after)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield "127.0.0.1:%d/file" % server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.sleep(0.1)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_rate, "GRACE_SECONDS", 1.0)
    monkeypatch.setattr(transfer_rate, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(transfer_rate, "_LOOK_SECONDS", 0.05)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("scheme", "before", "piece", "said"),
    [
        ("http", HEAD, b"x", "127.0.0.1 sends less than 50000 bytes a second"),
        ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", "sends less than 50000"),
        ("http", b"HTTP/1.1 200 OK\r\n", b"X: x\r\n", "took longer than 1 seconds to answer"),
        ("http", b"", b"H", "took longer than 1 seconds to answer"),
        ("http", b"", b"HTTP/1.1 100 Continue\r\n\r\n", "took longer than 1 seconds to answer"),
        ("https", b"\x16\x03\x03\x40\x00", b"\x00", "took longer than 1 seconds to answer"),
    ],
    ids=["body", "chunks", "headers", "status", "continue", "handshake"],
)
async def test_a_server_that_drips_is_left_long_before_the_deadline(
    scheme: str, before: bytes, piece: bytes, said: str
) -> None:
    async with (
        dripping(before, piece) as url,
        verifier.Fetcher(ALLOWED, max_bytes=1 << 30, at_once=1, min_rate=50_000) as fetcher,
    ):
        async with asyncio.timeout(60):
            result = await fetcher.check(f"{scheme}://{url}", 100_000, "a" * 64, 300)
    assert result["status"] == "UNREACHABLE"
    assert said in str(result["message"])


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("min_rate", [100, 0])
async def test_a_slow_server_that_keeps_the_rate_is_waited_for(min_rate: int) -> None:
    content = b"x" * 150
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 150\r\n\r\n"
    async with (
        dripping(head, b"x", count=150) as url,
        verifier.Fetcher(ALLOWED, max_bytes=1 << 30, at_once=1, min_rate=min_rate) as fetcher,
    ):
        result = await fetcher.check(f"http://{url}", 150, hashlib.sha256(content).hexdigest(), 300)
    assert result["status"] == "VERIFIED"
