"""Releases that get an id to which very many others refer."""

from typing import Any

import pytest

from release_catalog.storage import database as db
from release_catalog.storage import migrations, reference_lookup
from release_catalog.storage.collection_names import RELEASES
from support import old_forms
from support.catalog import Catalog, source

COUNT = 30
CREATE = "mutation($i: CreateReleaseInput!) { done: createRelease(input: $i) { problem { detail } } }"
DEPENDANTS = "query($id: ID!) { release(id: $id) { dependants { totalCount } } }"


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_lookup, "MAX_REDIRECTED", 20)
    monkeypatch.setattr(reference_lookup, "MAKERS_AT_ONCE", 10)


async def makers(catalog: Catalog) -> str:
    """Load releases that want the id `hub`, and return a product."""
    needed = [{"catalogId": "hub", "name": "hub", "version": "1.0"}]
    await catalog.load(*(source(f"app{number}", dependencies=needed) for number in range(COUNT)), check=True)
    return str((await catalog.product("hub"))["id"])


async def by_id(catalog: Catalog) -> int:
    return await catalog.database[RELEASES].count_documents({"terms": "needs:#hub"})


async def dependants(catalog: Catalog) -> int:
    return int((await catalog.ask(DEPENDANTS, id="hub"))["release"]["dependants"]["totalCount"])


@pytest.mark.parametrize("is_killed", [False, True])
async def test_references_are_redirected_after_the_commit_by_this_process_or_another(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch, is_killed: bool
) -> None:
    product = await makers(empty)
    steps: list[Any] = []
    monkeypatch.setattr(db, "in_background", steps.append)
    created = {"productId": product, "id": "hub", "name": "hub", "version": "1.0"}
    assert (await empty.ask(CREATE, i=created))["done"]["problem"] is None
    # The transaction has redirected none, and the edges are right already.
    assert (await by_id(empty), await dependants(empty)) == (0, COUNT)
    if is_killed:
        for step in steps:
            step.close()
        assert await migrations.pending(empty.database) == {"releases-2": 1, "releases-3": 1}
        await old_forms.migrate(empty.database)
    else:
        for step in steps:
            await step
    assert (await by_id(empty), await dependants(empty)) == (COUNT, COUNT)
    assert await empty.database[RELEASES].count_documents({"terms": "wants:#hub"}) == 0
    assert await migrations.pending(empty.database) == {}
