"""The state of a deployment: what it tells, and that it reads little and changes nothing."""

import datetime
import uuid
from typing import Any

import orjson
import pymongo
import pytest
from pymongo import monitoring

from release_catalog.domain import caller
from release_catalog.storage import database as db
from release_catalog.storage import deployment_state, indexes
from release_catalog.storage.collection_names import EVENTS, META, PRODUCTS, RELEASES, VERIFICATIONS, WEBHOOKS
from support.catalog import Catalog, source
from support.processes import run

WRITES = {"insert", "update", "delete", "findAndModify", "createIndexes", "create", "drop", "collMod"}


async def webhook(catalog: Catalog, name: str, **fields: Any) -> None:
    now = datetime.datetime.now(datetime.UTC)
    made: Any = {
        "_id": f"local/{name}",
        "id": name,
        "tenantId": "local",
        "active": True,
        "attempts": 0,
        "cursor": 0,
    }
    times = {"nextAttemptAt": now, "leaseUntil": now, "createdAt": now}
    whole: Any = {**made, **times, **fields}
    await catalog.database[WEBHOOKS].insert_one(whole)


async def test_an_empty_catalog(empty: Catalog) -> None:
    state = await deployment_state.read(empty.database)
    assert state["server"]["replicaSet"]
    assert state["releases"] == 0
    assert state["migrations"] == {"pending": {}, "running": False}
    assert (state["restore"], state["schemeChanges"], state["lastEvents"]) == (None, [], [])
    assert state["webhooks"]
    assert (state["webhooks"]["active"], state["webhooks"]["oldestWaitingAt"]) == (0, None)
    assert state["verifications"] == {"running": 0, "waiting": 0, "oldestWaitingAt": None, "waitingSeconds": None}


async def test_queues_events_and_what_is_unfinished(empty: Catalog) -> None:
    for tenant, count in (("local", 3), ("acme", 1)):
        other = empty.seen_by(caller.local(tenant))
        for number in range(count):
            make = 'mutation($key: ID!) { saveProduct(input: {key: $key, name: "n"}) { product { id } problem { detail } } }'
            product = (await other.ask(make.replace("$key: ID!", "$key: String!"), key=f"p{number}"))[
                "saveProduct"
            ]
            create = """mutation($id: ID!) { createRelease(input: {productId: $id, name: "n", version: "1.0"}) {
              release { id } problem { detail } } }"""
            assert (await other.ask(create, id=product["product"]["id"]))["createRelease"]["problem"] is None
    await webhook(empty, "whole", cursor=3)
    await webhook(empty, "late", cursor=1, attempts=2)
    await webhook(empty, "off", active=False)
    now = await db.now(empty.database)
    minute = datetime.timedelta(minutes=1)
    jobs: Any = empty.database[VERIFICATIONS]
    for name, until in (("one", now - minute), ("two", now - 2 * minute), ("three", now + minute)):
        await jobs.insert_one(
            {"_id": name, "tenantId": "local", "releaseId": name, "owner": None, "leaseUntil": until}
        )
    marker: Any = {"_id": "restore", "tenant": "acme", "startedAt": now}
    await empty.database[META].insert_one(marker)
    await empty.database[RELEASES].update_one({"tenantId": "acme"}, {"$unset": {"form": 1}})
    await empty.database[PRODUCTS].update_one(
        {"tenantId": "acme"}, {"$set": {"schemeChange": {"to": "SEMVER", "step": "COPY", "leaseUntil": now}}}
    )
    state = await deployment_state.read(empty.database)
    assert state["releases"] == 4
    assert state["lastEvents"]
    assert [(it["tenant"], it["number"]) for it in state["lastEvents"]] == [("acme", 1), ("local", 3)]
    found = state["webhooks"]
    assert found
    assert (found["active"], found["inactive"], found["behind"], found["failing"]) == (2, 1, 1, 1)
    assert found["waitingEvents"] == 2
    second = await empty.database[EVENTS].find_one({"tenantId": "local", "sequence": 2})
    assert second
    assert found["oldestWaitingAt"] == second["writtenAt"]
    queue = state["verifications"]
    assert queue
    assert (queue["running"], queue["waiting"]) == (1, 2)
    assert queue["oldestWaitingAt"] == now - 2 * minute
    assert queue["waitingSeconds"]
    assert queue["waitingSeconds"] >= 120
    assert state["restore"] == {"tenant": "acme", "startedAt": now}
    assert state["migrations"]["pending"]["releases-1"] == 1
    assert state["schemeChanges"]
    assert [(it["tenant"], it["to"], it["step"]) for it in state["schemeChanges"]] == [("acme", "SEMVER", "COPY")]


async def test_a_missing_index_hides_only_what_needs_it(mongodb_url: str, empty: Catalog) -> None:
    async with pymongo.AsyncMongoClient[dict[str, Any]](mongodb_url) as client:
        name = f"test_{uuid.uuid4().hex}"
        database = db.configure(client[name])
        await indexes.ensure(database)
        await client[name]["webhooks"].drop_index("due")
        state = await deployment_state.read(database)
        assert state["webhooks"] is None
        assert state["verifications"] is not None
        await client.drop_database(name)


class Sent(monitoring.CommandListener):
    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.commands.append({**event.command, "name": event.command_name})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


async def test_it_writes_nothing_and_each_read_has_a_bound(mongodb_url: str, sample_name: str) -> None:
    sent = Sent()
    async with pymongo.AsyncMongoClient[dict[str, Any]](mongodb_url, event_listeners=[sent]) as client:
        await deployment_state.read(db.configure(client[sample_name]))
        assert not WRITES & {command["name"] for command in sent.commands}
        assert len(sent.commands) < 60
        for command in sent.commands:
            assert command.get("maxTimeMS") or command["name"] in {"hello", "saslStart", "saslContinue"}, command
        # The newest event of each tenant is one step in the index, however many events there are.
        [newest] = [it for it in sent.commands if it.get("aggregate") == "events" and "$sort" in it["pipeline"][0]]
        explained = await client[sample_name].command(
            "explain", {"aggregate": "events", "pipeline": newest["pipeline"], "hint": "sequence", "cursor": {}}
        )
        assert "DISTINCT_SCAN" in str(explained)


@pytest.mark.parametrize("json", [True, False])
def test_the_command(json: bool, mongodb_url: str) -> None:
    settings: dict[str, Any] = {"mongodb_url": mongodb_url, "database": f"test_{uuid.uuid4().hex}"}
    assert run("load", "-", "--publish", source=orjson.dumps(source("tool")), **settings).returncode == 0
    done = run("status", *(["--json"] if json else []), **settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.database
    if json:
        state = orjson.loads(done.stdout)
        assert (state["database"], state["reachable"], state["releases"]) == (done.database, True, 1)
    else:
        rows = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if " " in line)
        assert rows["database"] == done.database
        assert rows["releases"] == "1, in form 4"
        assert rows["migrations"] == "none pending"
    with pymongo.MongoClient[dict[str, Any]](mongodb_url) as client:
        marker = {"_id": "restore", "tenant": None, "startedAt": datetime.datetime(2026, 3, 1)}
        client[settings["database"]]["meta"].insert_one(marker)
        told = run("status", **settings)
        assert told.returncode == 0
        assert "restore         unfinished, of the whole database, since 2026-03-01T00:00:00Z\n" in told.stdout
        found = run("doctor", "--json", **settings)
        assert found.returncode == 1
        assert "A restore of this database is unfinished" in found.stdout
        client.drop_database(settings["database"])


def test_a_database_that_can_not_be_reached_is_told_to_programs() -> None:
    done = run("status", "--json", mongodb_url="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100")
    assert done.returncode == 1
    told = orjson.loads(done.stdout)
    assert (told["database"], told["reachable"]) == ("release_catalog of MongoDB at 127.0.0.1:1", False)
    assert "127.0.0.1:1" in told["reason"]
    assert done.stderr.startswith("The database can't be used: ")
