"""`release-catalog migrate` and the migrations of a server, as operators have them."""

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pymongo
import pytest
from pymongo.database import Database

from release_catalog.storage.collection_names import COUNTERS, RELEASES
from release_catalog.storage.migrations import MIGRATIONS
from support.catalog import source
from support.processes import eventually, run, serving

COUNT = 20_000
# Of one release, which is of no form, and so needs each of them.
OF_RELEASES = [migration.name for migration in MIGRATIONS if migration.collection == RELEASES]


@pytest.fixture
def settings(mongodb_url: str) -> Iterator[dict[str, Any]]:
    """The settings of a catalog with one release."""
    found: dict[str, Any] = {"mongodb_url": mongodb_url, "database": f"test_{uuid.uuid4().hex}"}
    assert run("load", "-", source=orjson.dumps(source("tool")), **found).returncode == 0
    yield found
    with pymongo.MongoClient[dict[str, Any]](mongodb_url) as client:
        client.drop_database(found["database"])


@pytest.fixture
def database(settings: dict[str, Any]) -> Iterator[Database[dict[str, Any]]]:
    """The same catalog with many documents of before."""
    with pymongo.MongoClient[dict[str, Any]](settings["mongodb_url"]) as client:
        database = client[settings["database"]]
        database[RELEASES].update_many({}, {"$unset": {"form": 1, "createdBy": 1}})
        database[COUNTERS].insert_many({"_id": f"local/executions/{n}", "value": 1} for n in range(COUNT))
        yield database


def left(database: Database[dict[str, Any]]) -> int:
    return sum(database[name].count_documents({"form": None}) for name in database.list_collection_names())


def lapse(database: Database[dict[str, Any]]) -> None:
    """End the lease of a process that was killed."""
    database.migrations.update_one({"_id": "lease"}, [{"$set": {"leaseUntil": "$$NOW"}}])


def test_the_command_lists_what_is_pending_and_migrates_it(
    settings: dict[str, Any], database: Database[dict[str, Any]]
) -> None:
    checked = run("migrate", "--check", **settings)
    assert (checked.returncode, checked.stderr) == (3, "")
    assert checked.stdout.splitlines() == [
        f"counters-1 is pending: {COUNT} documents",
        *(f"{name} is pending: 1 documents" for name in OF_RELEASES),
    ]
    assert left(database) == COUNT + 1, "a check changes nothing"
    done = run("migrate", **settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "counters-1 started: 0 documents",
        "counters-1 in progress: 10000 documents",
        "counters-1 in progress: 20000 documents",
        "counters-1 finished: 20000 documents",
        *(f"{name} {told}" for name in OF_RELEASES for told in ("started: 0 documents", "finished: 1 documents")),
    ]
    assert left(database) == 0
    for arguments in (("migrate", "--check"), ("migrate",)):
        again = run(*arguments, **settings)
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_the_help_tells_the_exit_codes() -> None:
    told = " ".join(run("migrate", "--help").stdout.replace("│", " ").split())
    assert "With --check, the exit code is 0 if nothing is pending, 3 if migrations are pending, and 1" in told


def test_a_check_that_fails_has_another_exit_code_than_pending_migrations(mongodb_url: str) -> None:
    failed = run("migrate", "--check", mongodb_url=mongodb_url, database=f"test_{uuid.uuid4().hex}")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "has no catalog" in failed.stderr


def test_a_server_migrates_once_it_is_ready(
    settings: dict[str, Any], database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    hour = {"$dateAdd": {"startDate": "$$NOW", "unit": "hour", "amount": 1}}
    lease = {"owner": "another", "leaseUntil": hour, "form": 1}
    database.migrations.update_one({"_id": "lease"}, [{"$set": lease}], upsert=True)
    with serving(tmp_path, **settings) as server:
        text = "{ releases { nodes { name createdBy } } }"
        assert server.ask(text) == {"releases": {"nodes": [{"name": "tool", "createdBy": None}]}}
        assert left(database) == COUNT + 1, "another process has the lease"
        lapse(database)
        assert eventually(lambda: len(server.entries("migration finished")) > len(OF_RELEASES))
        assert left(database) == 0
        found = [(entry["migration"], entry["documents"]) for entry in server.entries("migration finished")]
        assert found == [("counters-1", COUNT), *((name, 1) for name in OF_RELEASES)]
        assert len(server.entries("migration started")) == 1 + len(OF_RELEASES)
        assert server.ask(text) == {"releases": {"nodes": [{"name": "tool", "createdBy": None}]}}
        assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_documents_left_by_one_server_are_migrated_by_another(
    settings: dict[str, Any], database: Database[dict[str, Any]], tmp_path: Path, number: signal.Signals
) -> None:
    with serving(tmp_path / "one", **settings) as server:
        assert eventually(lambda: database[COUNTERS].find_one({"form": 1, "value": 1}))
        assert server.stop(number) == (0 if number == signal.SIGTERM else -number)
    held = database.migrations.find_one({"_id": "lease", "$expr": {"$gt": ["$leaseUntil", "$$NOW"]}})
    if number == signal.SIGTERM:
        assert held is None, "it has given back the lease"
    lapse(database)
    with serving(tmp_path / "other", **settings) as server:
        assert eventually(lambda: left(database) == 0, 60)
    progress = database.migrations.find_one({"_id": "counters-1"})
    assert progress
    assert COUNT - 500 <= progress["documents"] <= COUNT, "the last batch of a killed process may be uncounted"
