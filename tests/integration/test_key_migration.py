"""The keys that order releases: releases of older forms get today's keys, whatever changes meanwhile."""

import asyncio
from typing import Any

import pytest

from release_catalog.domain import versions
from release_catalog.storage import migration_fills, migrations
from release_catalog.storage.collection_names import PRODUCTS, RELEASES
from release_catalog.storage.database import Database
from support import old_forms
from support.catalog import Catalog

OLD = {"$set": {"versionKey": "old", "revisionKey": "old"}, "$unset": {"form": 1}}
VERSIONS = ["1.0.0-rc.1", "1.0.0", "1.10.0", "v1.9.0"]


@pytest.fixture
async def older(empty: Catalog) -> Catalog:
    """Releases of three products in an older form, with keys that order nothing."""
    for scheme in ("SEMVER", "ANY", "DOTTED"):
        product = await empty.product(scheme.lower(), scheme)
        for version in VERSIONS:
            await empty.put(product, version, revision="2")
    await old_forms.raw(empty.database).releases.update_many({}, OLD)
    return empty


async def run(database: Database) -> None:
    await migrations.run(database, asyncio.Event(), lambda *_: None)


async def is_ordered(database: Database) -> bool:
    """Return whether each release has the keys of its version, its revision and its product's scheme."""
    schemes = {product["id"]: product["versionScheme"] async for product in database[PRODUCTS].find()}
    found = [release async for release in database[RELEASES].find()]
    assert len(found) == 3 * len(VERSIONS)
    return all(
        versions.release_keys(schemes[release["productId"]], release["version"], release["revision"]).items()
        <= release.items()
        for release in found
    )


async def test_older_releases_get_todays_keys(older: Catalog) -> None:
    assert not await is_ordered(older.database)
    await run(older.database)
    assert await is_ordered(older.database)
    assert await migrations.pending(older.database) == {}


async def test_a_release_whose_keys_change_during_its_migration_is_migrated_again(
    older: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    authors, changes = migration_fills._authors, [True]

    async def change(database: Database, found: Any) -> Any:
        """Change a revision and a scheme once, after the releases were read."""
        known = await authors(database, found)
        if changes:
            changes.clear()
            old = old_forms.raw(database)
            await old.releases.update_one({"version": "1.10.0"}, {"$set": {"revision": "3"}})
        return known

    async def written(database: Database, *arguments: Any) -> None:
        """Change a scheme after the first batch was written, before it is checked."""
        if not later:
            later.append(True)
            await old_forms.raw(database).products.update_one(
                {"key": "any"}, {"$set": {"versionScheme": "SEMVER"}}
            )
        await take_back(database, *arguments)

    later: list[bool] = []
    take_back = migrations._take_back
    monkeypatch.setattr(migration_fills, "_authors", change)
    monkeypatch.setattr(migrations, "_take_back", written)
    await run(older.database)
    while await migrations.pending(older.database):
        await run(older.database)
    assert (changes, later) == ([], [True])
    assert await is_ordered(older.database)
    [changed] = [release async for release in older.database[RELEASES].find({"revision": "3"})]
    assert changed["revisionKey"] == versions.sort_key("ANY", "3")


async def test_a_key_that_looks_like_an_expression_is_kept_to_the_letter(empty: Catalog) -> None:
    product = await empty.product("tool", "ANY")
    await empty.put(product, "$version")
    old = old_forms.raw(empty.database)
    await old.releases.update_many({}, OLD)
    await run(empty.database)
    assert (await old.releases.find_one())["versionKey"] == versions.sort_key("ANY", "$version")
