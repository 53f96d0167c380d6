"""Migrations: order, repetition, interruption, several processes, older writers, and outages."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from conftest import connected
from release_catalog.storage import forms, indexes, leases, migrations
from release_catalog.storage.collection_names import MIGRATION_STATE, PRODUCTS
from release_catalog.storage.database import Database
from release_catalog.storage.migrations import Migration
from support import old_forms, outages
from support.catalog import Catalog
from support.processes import environment

COUNT = 95


@pytest.fixture(autouse=True)
def two_more_forms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(migrations, "BATCH", 10)
    with old_forms.declared():
        yield


class Steps(list[tuple[str, str, int]]):
    """The reports of a run."""

    def __call__(self, step: str, migration: Migration, documents: int) -> None:
        self.append((migration.name, step, documents))


async def fill(database: Database, *numbers: int) -> None:
    await old_forms.raw(database).products.insert_many([old_forms.product(number) for number in numbers])


async def run(database: Database) -> Steps:
    steps = Steps()
    await migrations.run(database, asyncio.Event(), steps)
    return steps


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  nothing else tells
        await asyncio.sleep(0.02)


async def until_current(database: Database) -> None:
    while await migrations.pending(database):  # noqa: ASYNC110  nothing else tells
        await asyncio.sleep(0.02)


async def stored(database: Database) -> dict[int, dict[str, Any]]:
    """All products as the database holds them."""
    return {int(product["id"]): product async for product in old_forms.raw(database).products.find()}


def expected(*numbers: int) -> dict[int, dict[str, Any]]:
    return {number: old_forms.migrated(number) for number in numbers}


async def test_each_form_has_a_migration_and_they_run_in_order(empty: Catalog) -> None:
    declared = [(migration.collection, migration.form) for migration in migrations.MIGRATIONS]
    assert sorted(declared) == sorted(
        (name, form + 1) for name, steps in forms.FORMS.items() for form in range(len(steps))
    )
    assert all(
        declared.index((name, form)) > declared.index((name, form - 1)) for name, form in declared if form > 1
    )

    await fill(empty.database, *range(COUNT))
    names = ["products-1", "products-2", "products-3"]
    assert await migrations.pending(empty.database) == dict.fromkeys(names, COUNT)
    steps = await run(empty.database)
    assert steps == [
        (name, step, count) for name in names for step, count in (("started", 0), ("finished", COUNT))
    ]
    assert await stored(empty.database) == expected(*range(COUNT))
    assert await migrations.pending(empty.database) == {}
    states = empty.database[MIGRATION_STATE].find({"_id": {"$ne": "lease"}}).sort("_id")
    found: list[Any] = [each async for each in states]
    assert [(each["_id"], each["documents"], each["form"]) for each in found] == [
        (name, COUNT, 1) for name in names
    ]
    assert all(each["startedAt"] <= each["endedAt"] for each in found)


async def test_a_repeated_run_changes_nothing(empty: Catalog) -> None:
    await fill(empty.database, *range(COUNT))
    await run(empty.database)
    await old_forms.raw(empty.database).products.update_one({"id": "4"}, {"$set": {"label": "new", "rank": 1}})
    before = await stored(empty.database)
    assert await run(empty.database) == []
    for migration in migrations.MIGRATIONS:
        assert await migrations._migrate_batch(empty.database, migration) == (0, 0, False)
    assert await stored(empty.database) == before


async def test_a_field_that_a_newer_process_has_set_keeps_its_value(empty: Catalog) -> None:
    await fill(empty.database, 2, 4, 6)
    products = old_forms.raw(empty.database).products
    await products.update_one({"id": "2"}, {"$set": {"label": None, "rank": None}})
    await products.update_one({"id": "4"}, {"$set": {"label": "mine"}})
    await run(empty.database)
    found = {number: (each["label"], each["rank"]) for number, each in (await stored(empty.database)).items()}
    assert found == {2: (None, None), 4: ("mine", 4), 6: ("label 6", 7)}


async def test_documents_of_a_newer_form_stay(empty: Catalog) -> None:
    newer = old_forms.product(1, form=4, label="x", rank={"of": 5})
    await old_forms.raw(empty.database).products.insert_one(newer)
    assert await run(empty.database) == []
    assert await stored(empty.database) == {1: newer}


async def test_a_batch_ends_at_its_number_of_documents_or_of_bytes(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(empty.database, *range(25))
    first = migrations.MIGRATIONS[0]
    products = next(each for each in migrations.MIGRATIONS if each.name == "products-1")
    assert await migrations._migrate_batch(empty.database, first) == (0, 0, False)
    assert await migrations._migrate_batch(empty.database, products) == (10, 10, True)
    monkeypatch.setattr(migrations, "MAX_BATCH_BYTES", 1)
    assert await migrations._migrate_batch(empty.database, products) == (1, 1, True)
    assert len(await run(empty.database)) == 6
    assert await stored(empty.database) == expected(*range(25))


def process(database: Database, url: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "support.old_forms", url, database.name, *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
        cwd=Path(__file__).parents[1],
    )  # fmt: skip


async def lapse(database: Database) -> None:
    """End the lease of a process that died."""
    await old_forms.raw(database).migrations.update_one({"_id": "lease"}, [{"$set": {"leaseUntil": "$$NOW"}}])


def batches(running: "subprocess.Popen[str]", name: str, count: int) -> None:
    """Let a process go on until it is about to write a batch of this migration."""
    assert running.stdin
    assert running.stdout
    while count:
        line = running.stdout.readline().strip()
        assert line, "it has ended"
        count -= line == name
        if count:
            running.stdin.write("\n")
            running.stdin.flush()


@pytest.mark.parametrize(("name", "batch"), [("products-1", 3), ("products-2", 1), ("products-3", 9)])
async def test_another_process_resumes_after_a_kill_between_batches(
    empty: Catalog, mongodb_url: str, name: str, batch: int
) -> None:
    await fill(empty.database, *range(COUNT))
    with process(empty.database, mongodb_url, "wait") as running:
        await asyncio.to_thread(batches, running, name, batch)
        running.kill()
    left = (await migrations.pending(empty.database))[name]
    assert left == COUNT - 10 * (batch - 1)
    await lapse(empty.database)
    steps = await run(empty.database)
    assert steps[0] == (name, "started", 0)
    assert steps[1] == (name, "finished", left)
    assert await stored(empty.database) == expected(*range(COUNT))
    progress = await empty.database[MIGRATION_STATE].find_one({"_id": name})
    assert progress
    assert progress["documents"] == COUNT


async def test_a_process_waits_for_the_one_that_migrates(empty: Catalog, mongodb_url: str) -> None:
    await fill(empty.database, *range(COUNT))
    with process(empty.database, mongodb_url, "wait") as running:
        await asyncio.to_thread(batches, running, "products-1", 2)
        with structlog.testing.capture_logs() as logs:
            waiting = asyncio.create_task(run(empty.database))
            await until(lambda: [e for e in logs if e["event"].startswith("another process migrates documents")])
        assert not waiting.done()
        assert (await migrations.pending(empty.database))["products-1"] == COUNT - 10
        assert running.stdin
        running.stdin.close()
        assert await waiting == []
        assert await asyncio.to_thread(running.wait) == 0
    assert await stored(empty.database) == expected(*range(COUNT))


async def test_two_processes_without_a_lease_store_the_same(empty: Catalog, mongodb_url: str) -> None:
    """A frozen process may wake up when another has its lease."""
    await fill(empty.database, *range(COUNT))
    with process(empty.database, mongodb_url, "wait") as frozen:
        await asyncio.to_thread(batches, frozen, "products-2", 3)
        await lapse(empty.database)
        steps = await run(empty.database)
        assert ("products-2", "finished", COUNT - 20) in steps
        assert frozen.stdin
        frozen.stdin.close()
        assert await asyncio.to_thread(frozen.wait) == 0
    assert await stored(empty.database) == expected(*range(COUNT))
    counts = [each["documents"] async for each in empty.database[MIGRATION_STATE].find({"_id": {"$ne": "lease"}})]
    assert counts == [COUNT] * 3


async def test_two_processes_at_once(empty: Catalog, mongodb_url: str) -> None:
    await fill(empty.database, *range(COUNT))
    with process(empty.database, mongodb_url) as one, process(empty.database, mongodb_url) as other:
        told = [await asyncio.to_thread(each.communicate) for each in (one, other)]
        assert (one.returncode, other.returncode) == (0, 0)
    assert any("products-3" in out for out, _ in told)
    assert await stored(empty.database) == expected(*range(COUNT))


async def test_an_older_process_writes_older_documents_meanwhile(empty: Catalog) -> None:
    await fill(empty.database, *range(COUNT))
    products, over, numbers = old_forms.raw(empty.database).products, asyncio.Event(), list(range(COUNT))

    async def write() -> None:
        while not over.is_set():
            number = len(numbers)
            await products.insert_one(old_forms.product(number))
            numbers.append(number)
            await products.replace_one({"id": "3"}, old_forms.product(3))
            found = [product async for product in empty.database[PRODUCTS].find({}, {"rank": 1, "label": 1})]
            assert all(product.keys() == {"_id", "rank", "label"} for product in found)

    writer = asyncio.create_task(write())
    steps = await run(empty.database)
    over.set()
    await writer
    assert [name for name, step, _ in steps if step == "finished"] == ["products-1", "products-2", "products-3"]
    while await migrations.pending(empty.database):
        await run(empty.database)
    assert await stored(empty.database) == expected(*numbers)


async def test_a_run_ends_between_batches_when_it_is_told_to(empty: Catalog) -> None:
    await fill(empty.database, *range(COUNT))
    over, seen = asyncio.Event(), []

    def report(step: str, migration: Migration, documents: int) -> None:
        seen.append((migration.name, step))
        if migration.name == "products-2":
            over.set()

    await migrations.run(empty.database, over, report)
    assert seen[-1] == ("products-2", "started")
    assert (await migrations.pending(empty.database))["products-2"] == COUNT - 10
    lease = await empty.database[MIGRATION_STATE].find_one({"_id": "lease", **leases.is_over("leaseUntil")})
    assert lease, "the next process need not wait"


async def test_an_outage_in_the_middle(tmp_path: Path, driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "_RETRY_SECONDS", 0.05)
    with outages.running(tmp_path) as mongod:
        async with connected(mongod.url, "outage", driver=driver) as database:
            await indexes.ensure(database)
            await fill(database, *range(COUNT))
            with structlog.testing.capture_logs() as logs:
                with mongod.failing("update", mode={"skip": 7}, errorCode=91):
                    async with migrations.run_in_background(database):
                        await until(lambda: [e for e in logs if e["event"] == "migration failed"])
                async with migrations.run_in_background(database):
                    await until_current(database)
                    await fill(database, COUNT)
                    mongod.kill()
                    await asyncio.to_thread(mongod.start)
            assert {
                number: each["form"] for number, each in (await stored(database)).items() if number < COUNT
            } == dict.fromkeys(range(COUNT), 3)
            await lapse(database)
            await run(database)
            assert await stored(database) == expected(*range(COUNT + 1))


async def test_a_migration_that_fails_is_logged_and_does_not_end_the_others_for_good(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(empty.database, *range(COUNT))
    monkeypatch.setattr(migrations, "LOOK_SECONDS", 0.02)
    run_batch, failures = migrations._migrate_batch, iter([True] * 3)

    async def failing(database: Database, migration: Migration) -> Any:
        if migration.name == "products-2" and next(failures, False):
            raise ValueError("This document has a fault.")
        return await run_batch(database, migration)

    monkeypatch.setattr(migrations, "_migrate_batch", failing)
    with structlog.testing.capture_logs() as logs:
        async with migrations.run_in_background(empty.database):
            await until_current(empty.database)
    assert len([entry for entry in logs if entry["log_level"] == "error"]) == 3
    assert await stored(empty.database) == expected(*range(COUNT))
