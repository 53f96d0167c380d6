"""A change stream that a server really loses: what it has not read yet is gone from the oplog when it comes back."""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import LOCAL, connected
from release_catalog.domain.release import ReleaseDocument
from release_catalog.embedded_mongodb import supervisor
from release_catalog.storage.collection_names import CollectionName
from release_catalog.storage.database import Database
from support import processes
from support import subscribers as following
from support.catalog import Catalog
from support.processes import Server, serving
from support.subscribers import happen, subscribe, told
from support.waiting import eventually
from support.webhook_receivers import receiving

# More than waits for a subscriber, and than is read at a time.
MISSED = 130
LOST = "change stream unavailable; polling for events"
HOOK = 'mutation { createWebhook(input: {url: %s, events: ["*"]}) { secret problem { detail } } }'


@pytest.fixture
def forgetful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A MongoDB whose oplog holds 1 MB, and no more than that to recover from."""
    small = ["1" if option == "1024" else option for option in supervisor._OPTIONS]
    monkeypatch.setattr(supervisor, "_OPTIONS", (*small, "--syncdelay", "1"))
    with supervisor.start(tmp_path / "mongodb") as mongod:
        yield mongod.url


async def test_subscribers_miss_no_event_while_the_oplog_rolls_over(forgetful: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"mongodb_url": forgetful, "database": "lost", "files_allow": "127.0.0.1"}
    async with connected(forgetful, "lost") as database, receiving() as receiver:
        with serving(tmp_path, **settings) as server:
            catalog = Catalog(database, LOCAL)
            release = await catalog.put(await catalog.product("a"), "1", status="PUBLISHED")
            receiver.secret = server.ask(HOOK % json.dumps(receiver.url))["createWebhook"]["secret"]
            async with following.connected(server.url.removeprefix("http://"), ping_interval=None) as client:
                await subscribe(client)
                for at, killed in enumerate((False, True)):
                    await watched(database)
                    await happen(catalog, release)
                    # Whoever is told of this was woken by the stream: it is open for the server too.
                    numbers = [int((await told(client))["id"])]
                    await miss(server, catalog, release, killed=killed)
                    numbers += [int((await told(client))["id"]) for _ in range(MISSED)]
                    assert numbers == [*range(at * (MISSED + 1) + 1, (at + 1) * (MISSED + 1) + 1)]
                await eventually(lambda: receiver.ids[-1:] == numbers[-1:])
                assert receiver.ids == sorted(receiver.ids)
                assert {*receiver.ids} == {*range(1, numbers[-1] + 1)}
                receiver.verify()
            assert server.stop() == 0


async def miss(server: Server, catalog: Catalog, release: ReleaseDocument, *, killed: bool) -> None:
    """Have things happen that the server can't read from its change stream any more.

    The stream's cursor stands where nothing is left; or it is gone too, as after a failover.
    """
    processes.freeze(server.process)
    # What was on its way to the server ends with the first of these.
    await happen(catalog, release, times=MISSED)
    await roll_over(catalog.database)
    if killed:
        await catalog.database.client.admin.command("killAllSessions", [])
    server.process.send_signal(signal.SIGCONT)
    said = "Resume of change stream was not possible" if killed else "failure to restore tailable cursor position"
    await eventually(lambda: server.entries(LOST)[int(killed) :])
    assert said in server.entries(LOST)[-1]["reason"]


async def watched(database: Database) -> None:
    """Return when somebody has a change stream."""
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"idleCursors": True}},
        {"$match": {"cursor.originatingCommand.pipeline.$changeStream": {"$exists": True}}},
    ]
    async with asyncio.timeout(30):
        while not await (await database.client.admin.aggregate(stages)).to_list():  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.02)


async def roll_over(database: Database) -> None:
    """Write until the oplog has forgotten all that was written before."""
    written = (await entry(database, -1))["ts"]
    async with asyncio.timeout(30):
        while (await entry(database, 1))["ts"] <= written:
            await database[CollectionName[dict[str, Any]]("filler")].insert_one({"text": "x" * 100_000})


async def entry(database: Database, direction: int) -> Any:
    """The oplog's oldest entry, or its newest."""
    return await database.client.local["oplog.rs"].find_one(sort=[("$natural", direction)])
