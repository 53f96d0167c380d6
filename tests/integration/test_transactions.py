"""Transactions while the database fails: they are repeated, within bounds, and the event loop goes on."""

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from conftest import connected
from release_catalog.storage import database as db
from release_catalog.storage import transactions
from release_catalog.storage.collection_names import CollectionName
from release_catalog.storage.database import Database
from release_catalog.storage.outages import OutcomeUnknown
from support.outages import HELD, Mongod, heartbeat, running

UNKNOWN, TRANSIENT = "UnknownTransactionCommitResult", "TransientTransactionError"
# The event loop may be held for so long on a busy machine; each fault below would hold it for the whole deadline.
# Without a deadline, drivers wait for a minute or two.
SOON = 30


# A collection of its own.
THINGS = CollectionName[dict[str, Any]]("things")


class Sent(CommandListener):
    """The commands that were sent, and when."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, float]] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.commands.append((event.command_name, time.monotonic()))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass

    def times(self, name: str) -> list[float]:
        """Return the time at which this command was sent."""
        return [at for command, at in self.commands if command == name]


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with running(tmp_path_factory.mktemp("mongod")) as server:
        yield server


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
async def database(mongod: Mongod, driver: Any, sent: Sent) -> AsyncIterator[Database]:
    async with connected(mongod.url, f"test_{uuid.uuid4().hex}", sent, driver=driver) as database:
        await database[THINGS].insert_one({"_id": "counter", "value": 0})
        yield database
        mongod.thaw()


async def count(database: Database, session: Any) -> int:
    found: Any = await database[THINGS].find_one_and_update(
        {"_id": "counter"}, {"$inc": {"value": 1}}, return_document=db.AFTER, session=session
    )
    return int(found["value"])


async def value(database: Database) -> int:
    found: Any = await database[THINGS].find_one({"_id": "counter"})
    return int(found["value"])


@pytest.mark.parametrize("moment", ["before", "between", "commit"])
async def test_a_frozen_database_does_not_hold_the_event_loop(
    database: Database, mongod: Mongod, moment: str
) -> None:
    async def work(session: Any) -> None:
        if moment == "before":
            mongod.freeze()
        await count(database, session)
        if moment == "between":
            mongod.freeze()
            await count(database, session)
        mongod.freeze()

    began = time.monotonic()
    async with heartbeat() as beat:
        with db.deadline(2), pytest.raises(PyMongoError) as error:
            await transactions.run(database, work)
    assert isinstance(error.value, OutcomeUnknown) == (moment == "commit")
    assert time.monotonic() - began < SOON
    assert beat.longest < HELD
    mongod.thaw()
    expected = {1, 2} if moment == "commit" else {1}
    # What was sent to the frozen database holds the document until its transaction expires.
    with db.deadline(60):
        assert await transactions.run(database, lambda session: count(database, session)) in expected


async def test_a_commit_that_fails_for_long_ends_at_the_deadline(
    database: Database, mongod: Mongod, sent: Sent
) -> None:
    async with heartbeat() as beat:
        with mongod.failing("commitTransaction", errorCode=64, errorLabels=[UNKNOWN]):
            began = time.monotonic()
            with db.deadline(3), pytest.raises(OutcomeUnknown):
                await transactions.run(database, lambda session: count(database, session))
    assert 1 < time.monotonic() - began < SOON
    assert beat.longest < HELD
    times = sent.times("commitTransaction")
    # It waits longer each time, up to half a second.
    assert 2 <= len(times) <= 40
    assert max(after - before for before, after in itertools.pairwise(times)) > 0.2


async def test_without_a_deadline_there_is_one(
    database: Database, mongod: Mongod, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert transactions.MAX_SECONDS < 30
    monkeypatch.setattr(transactions, "MAX_SECONDS", 1.5)

    async def work(session: Any) -> None:
        await count(database, session)
        mongod.freeze()

    began = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        await transactions.run(database, work)
    assert time.monotonic() - began < SOON


@pytest.mark.parametrize(
    "fault",
    [
        {"errorCode": 64, "errorLabels": [UNKNOWN]},
        {"errorCode": 6, "errorLabels": []},
        {"closeConnection": True},
        {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out", "errInfo": {"wtimeout": True}}},
        {"writeConcernError": {"code": 50, "errmsg": "operation exceeded time limit"}},
    ],
    ids=["wtimeout", "unreachable", "connection", "committed-late", "committed-too-late"],
)  # fmt: skip
async def test_a_commit_that_fails_at_first_is_repeated_and_takes_effect_once(
    database: Database, mongod: Mongod, sent: Sent, fault: Any
) -> None:
    ran = 0

    async def work(session: Any) -> int:
        nonlocal ran
        ran += 1
        return await count(database, session)

    with mongod.failing("commitTransaction", mode={"times": 3}, **fault):
        assert await transactions.run(database, work) == 1
    assert await value(database) == 1
    assert ran == 1
    assert len(sent.times("commitTransaction")) >= 3


@pytest.mark.parametrize("command", ["commitTransaction", "findAndModify"])
async def test_a_transaction_that_left_no_trace_is_repeated_as_a_whole(
    database: Database, mongod: Mongod, sent: Sent, command: str
) -> None:
    ran = 0

    async def work(session: Any) -> int:
        nonlocal ran
        ran += 1
        return await count(database, session)

    with mongod.failing(command, mode={"times": 3}, errorCode=251, errorLabels=[TRANSIENT]):
        assert await transactions.run(database, work) == 1
    assert (ran, await value(database)) == (4, 1)
    times = sent.times(command)
    assert all(after - before > 0.004 for before, after in itertools.pairwise(times))


async def test_permanent_errors_are_not_retried(database: Database, sent: Sent) -> None:
    async def work(session: Any) -> None:
        await count(database, session)
        await database[THINGS].insert_one({"_id": "counter"}, session=session)

    with pytest.raises(OperationFailure):
        await transactions.run(database, work)
    assert len(sent.times("insert")) == 2  # the fixture's, and this
    assert await value(database) == 0


async def test_a_transaction_out_of_time_is_not_committed_and_leaves_no_lock(
    database: Database, sent: Sent
) -> None:
    async def work(session: Any) -> None:
        await count(database, session)
        await asyncio.sleep(0.6)

    with db.deadline(0.5), pytest.raises(PyMongoError) as error:
        await transactions.run(database, work)
    assert not isinstance(error.value, OutcomeUnknown)
    assert sent.times("commitTransaction") == []
    # MongoDB ends a transaction that nobody aborts after a minute.
    with db.deadline(20):
        await database[THINGS].update_one({"_id": "counter"}, {"$inc": {"value": 1}})
    assert await value(database) == 1


async def test_a_transaction_whose_caller_is_cancelled_leaves_no_lock(database: Database) -> None:
    counted = asyncio.Event()

    async def work(session: Any) -> None:
        await count(database, session)
        counted.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(transactions.run(database, work))
    await counted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with db.deadline(20):
        await database[THINGS].update_one({"_id": "counter"}, {"$inc": {"value": 1}})
    assert await value(database) == 1


async def test_a_database_that_fails_in_the_middle_holds_no_loop(database: Database, mongod: Mongod) -> None:
    async with heartbeat() as beat:
        for command in ("findAndModify", "commitTransaction"):
            with mongod.failing(command, closeConnection=True):
                began = time.monotonic()
                with db.deadline(1.5), pytest.raises(PyMongoError):
                    await transactions.run(database, lambda session: count(database, session))
                assert time.monotonic() - began < SOON
    assert beat.longest < HELD


async def test_writers_that_collide_all_take_effect(database: Database) -> None:
    async with heartbeat() as beat:
        runs = (transactions.run(database, lambda session: count(database, session)) for _ in range(20))
        assert sorted(await asyncio.gather(*runs)) == [*range(1, 21)]
    assert beat.longest < HELD
