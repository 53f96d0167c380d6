"""Documents of older forms, and two more forms of products with their migrations.

As a program it migrates a database in a process of its own: `python -m support.old_forms URL NAME [wait]`. It prints
a line for each batch before it is written; with `wait`, it then reads a line.
"""

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pymongo import AsyncMongoClient

from release_catalog.storage import database as db
from release_catalog.storage import forms, migrations
from release_catalog.storage.collection_names import PRODUCTS
from release_catalog.storage.database import Database
from release_catalog.storage.migrations import Migration

FORMS: list[dict[str, Any]] = [{"label": None}, {"rank": 7, "parts.size": 0}]


async def _labels(_: Database, found: Sequence[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """A label for every product but those with an odd number."""
    return {
        product["_id"]: {"label": f"label {product['id']}"} for product in found if int(product["id"]) % 2 == 0
    }


async def _ranks(_: Database, found: Sequence[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """A rank for every product with a label, which is there only if the migration before has run."""
    return {product["_id"]: {"rank": len(product["label"])} for product in found if product["label"]}


@contextlib.contextmanager
def declared() -> Iterator[None]:
    """The two forms and their migrations, while the context lasts."""
    before, run_before = forms.FORMS[PRODUCTS], migrations.MIGRATIONS
    forms.FORMS[PRODUCTS] = [*before, *FORMS]
    migrations.MIGRATIONS = (
        *run_before,
        Migration(PRODUCTS, 2, _labels, {"id": 1}),
        Migration(PRODUCTS, 3, _ranks, {"label": 1}),
    )
    forms.added.cache_clear()
    try:
        yield
    finally:
        forms.FORMS[PRODUCTS], migrations.MIGRATIONS = before, run_before
        forms.added.cache_clear()


def raw(database: Database) -> Any:
    """The database as the driver has it: what an older process reads and writes."""
    return database.client[database.name]


def product(number: int, **fields: Any) -> dict[str, Any]:
    """A product as an older process stores it."""
    id_ = str(number)
    return {
        "_id": f"local/{id_}", "id": id_, "tenantId": "local", "catalogId": "default", "key": f"key-{id_}",
        "name": f"Product {id_}", "versionScheme": "ANY", "parts": [{"name": "a"}, {"name": "b", "size": 3}], **fields,
    }  # fmt: skip


def migrated(number: int) -> dict[str, Any]:
    """Return the migrated document."""
    label = f"label {number}" if number % 2 == 0 else None
    more = {"label": label, "rank": len(label) if label else 7, "form": 3}
    return {**product(number), **more, "parts": [{"name": "a", "size": 0}, {"name": "b", "size": 3}]}


async def forget(database: Database) -> None:
    """Make all releases and events as they were before forms."""
    old = raw(database)
    await old.releases.update_many({}, {"$unset": {"form": 1, "createdBy": 1, "publishedBy": 1}})
    await old.events.update_many({}, {"$unset": {"form": 1, "actor": 1}})


async def migrate(database: Database) -> None:
    """Run all migrations."""
    await migrations.run(database, asyncio.Event(), lambda *_: None)


async def _migrate(url: str, name: str, *, wait: bool) -> None:
    write = migrations._migrate_batch

    async def slowly(database: Database, migration: Migration) -> Any:
        sys.stdout.write(f"{migration.name}\n")
        sys.stdout.flush()
        if wait:
            await asyncio.to_thread(sys.stdin.readline)
        return await write(database, migration)

    migrations._migrate_batch = slowly
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        await migrations.run(db.configure(client[name]), asyncio.Event(), lambda *_: None)


if __name__ == "__main__":
    migrations.BATCH = 10
    with declared():
        asyncio.run(_migrate(*sys.argv[1:3], wait=sys.argv[3:] == ["wait"]))
