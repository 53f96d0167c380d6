"""Durability: every write waits for a majority, and every read returns majority data.

The URL and the cluster say otherwise here. Each command that was sent is looked at.
"""

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from conftest import LOCAL
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage import bulk_load, indexes
from release_catalog.storage import database as db
from support import tenant_walls as walls
from support.catalog import Catalog, source
from support.graphql_client import client_of, post
from support.outages import Mongod, running

READS = {"find", "aggregate", "count", "distinct"}
WRITES = {
    "insert", "update", "delete", "findAndModify", "commitTransaction", "abortTransaction", "create", "createIndexes",
    "collMod",
}  # fmt: skip
HARMLESS = {"getMore", "killCursors", "hello", "ping", "endSessions", "dropDatabase"}
WEAK = "w=1&journal=false&readConcernLevel=local&readPreference=secondaryPreferred&retryWrites=true"


class Sent(CommandListener):
    """Every command that was sent."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, dict[str, Any]]] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.commands.append((event.command_name, dict(event.command)))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


def weakness(name: str, command: dict[str, Any]) -> str | None:
    """Why a failover could undo what a command does or reads, or why it may wait without end."""
    concern = command.get("readConcern", {}).get("level")
    if "autocommit" in command and name not in {"commitTransaction", "abortTransaction"}:
        starts = command.get("startTransaction")
        return "a transaction without a snapshot" if starts and concern != "snapshot" else None
    if name in READS:
        return None if concern == "majority" else "a read of what a failover may undo"
    if name in WRITES:
        wanted = command.get("writeConcern", {})
        if wanted.get("w") != "majority" or wanted.get("j") is False:
            return "a write that a failover may undo"
        bound = wanted.get("wtimeout") or command.get("maxTimeMS")
        # An index over many documents takes minutes.
        most = 3_600_000 if name in {"createIndexes", "collMod"} else 60_000
        return None if bound and bound <= most else "a write that may wait for a majority without end"
    return None if name in HARMLESS else "an unknown command"


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with running(tmp_path_factory.mktemp("mongod")) as server:
        with MongoClient[dict[str, Any]](server.url) as client:
            weak = {"defaultWriteConcern": {"w": 1}, "defaultReadConcern": {"level": "local"}}
            client.admin.command({"setDefaultRWConcern": 1, **weak, "writeConcern": {"w": "majority"}})
        yield server


@pytest.fixture
async def sent(mongod: Mongod, driver: Any) -> AsyncIterator[tuple[Sent, Any]]:
    """The commands sent to a database, and the database as an application passes it."""
    listener = Sent()
    client = driver(f"{mongod.url}&{WEAK}", event_listeners=[listener])
    yield listener, client[f"test_{uuid.uuid4().hex}"]
    closing = client.close()
    if closing is not None:
        await closing


def check(listener: Sent, *needed: str) -> None:
    found = {(name, why) for name, command in listener.commands if (why := weakness(name, command))}
    assert not found, [c for c in listener.commands if weakness(*c)][:3]
    assert {name for name, _ in listener.commands} >= set(needed)


async def test_requests_send_majority_commands_only(sent: tuple[Sent, Any]) -> None:
    listener, database = sent
    app = create_app(Settings(), database=database)
    async with app.router.lifespan_context(app), client_of(app) as http:
        catalog = Catalog(app.state.database, LOCAL)
        await walls.stock(catalog)
        for _, text in [*walls.queries(walls.world()), *walls.mutations(walls.world())]:
            answer = await post(http, text)
            assert "INTERNAL_SERVER_ERROR" not in answer.text
        again = walls.world("-draft")
        for _, text in walls.mutations({**again, "used": "areal-used-again"}):
            await post(http, text)
        await walls.hal(catalog, walls.world())
    done = {name for name, command in listener.commands if "autocommit" not in command}
    assert {"insert", "update", "findAndModify"} & done
    check(listener, "createIndexes", "commitTransaction", "abortTransaction", "find", "aggregate", "insert")


async def test_storage_functions_send_majority_commands_only(sent: tuple[Sent, Any]) -> None:
    listener, database = sent
    catalog = Catalog(db.configure(database), LOCAL)
    await indexes.ensure(catalog.database)
    await catalog.load(source("a"), source("b"), publish=True)
    assert [document async for document in bulk_load.export(LOCAL, catalog.database)]
    # Another number of days changes an index.
    await indexes.ensure(catalog.database, 30)
    check(listener, "createIndexes", "collMod", "insert", "update", "find")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("update", {}),
        ("update", {"writeConcern": {"w": 1, "wtimeout": 5}}),
        ("update", {"writeConcern": {"w": "majority"}}),
        ("find", {}),
        ("find", {"readConcern": {"level": "local"}}),
        ("find", {"autocommit": False, "startTransaction": True}),
        ("commitTransaction", {"autocommit": False}),
    ],
)
def test_weak_commands_would_be_found(name: str, command: dict[str, Any]) -> None:
    assert weakness(name, command)
