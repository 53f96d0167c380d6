"""Releases that get or lose an id to which very many others refer."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from release_catalog.storage import bulk_load, forms, migrations, reference_lookup, unit_of_work
from release_catalog.storage.collection_names import RELEASES
from support import old_forms
from support.catalog import Catalog, source

COUNT = 30
AT_ONCE = 10
CREATE = "mutation($i: CreateReleaseInput!) { done: createRelease(input: $i) { problem { detail } } }"
DISCARD = "mutation($i: DiscardReleaseInput!) { done: discardRelease(input: $i) { problem { detail } } }"
PATCH = "mutation($i: PatchReleaseInput!) { done: patchRelease(input: $i) { problem { detail } } }"
DEPENDANTS = "query($id: ID!) { release(id: $id) { dependants { totalCount } } }"
NEEDED = {"catalogId": "hub", "name": "hub", "version": "1.0"}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_lookup, "MAX_REDIRECTED", 20)
    monkeypatch.setattr(reference_lookup, "MAKERS_AT_ONCE", AT_ONCE)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The steps that follow a commit, which tests run or close themselves."""
    found: list[Any] = []
    monkeypatch.setattr(unit_of_work, "start_later", lambda steps: found.extend(step() for step in steps))
    return found


async def done(catalog: Catalog, text: str, **fields: Any) -> None:
    assert (await catalog.ask(text, i=fields))["done"]["problem"] is None


async def makers(catalog: Catalog, count: int = COUNT) -> None:
    """Load releases that refer to the id `hub`."""
    await catalog.load(*(source(f"app{number}", dependencies=[NEEDED]) for number in range(count)), check=True)


async def create(catalog: Catalog, id_: str = "hub", channel: str = "stable") -> None:
    product = (await catalog.ask('{ product(key: "hub") { id } }'))["product"] or await catalog.product("hub")
    fields = {"productId": product["id"], "name": "hub", "version": "1.0"}
    await done(catalog, CREATE, id=id_, channel=channel, **fields)


async def hub(catalog: Catalog) -> None:
    """Create the release `hub`, load releases that need it, and another release of its name that is newer."""
    await create(catalog)
    await makers(catalog)
    await create(catalog, "rival", "beta")
    assert (await by_id(catalog), await dependants(catalog)) == (COUNT, COUNT)


async def by_id(catalog: Catalog) -> int:
    return await catalog.database[RELEASES].count_documents(
        {"tenantId": catalog.caller.tenant, "terms": "needs:#hub"}
    )


async def dependants(catalog: Catalog, id_: str = "hub") -> int:
    return int((await catalog.ask(DEPENDANTS, id=id_))["release"]["dependants"]["totalCount"])


async def finish(catalog: Catalog, steps: list[Any], *, is_killed: bool) -> None:
    """Run the steps after the commit, or let a migration do their work."""
    if is_killed:
        for step in steps:
            step.close()
        assert "releases-2" in await migrations.pending(catalog.database)
        await old_forms.migrate(catalog.database)
    else:
        for step in steps:
            await step


def meanwhile(monkeypatch: pytest.MonkeyPatch, step: Callable[[], Any]) -> None:
    """Let something happen once, between the reading of referrers and their redirection."""
    redirect = reference_lookup._redirect
    happened: list[int] = []

    async def disturbed(*arguments: Any) -> bool:
        if not happened:
            happened.append(1)
            await step()
        return await redirect(*arguments)

    monkeypatch.setattr(reference_lookup, "_redirect", disturbed)


@pytest.mark.parametrize("is_killed", [False, True])
async def test_references_are_redirected_after_the_commit_by_this_process_or_another(
    empty: Catalog, steps: list[Any], is_killed: bool
) -> None:
    await makers(empty)
    await create(empty)
    # The transaction has redirected none, and the edges are right already.
    assert (await by_id(empty), await dependants(empty)) == (0, COUNT)
    await finish(empty, steps, is_killed=is_killed)
    assert (await by_id(empty), await dependants(empty)) == (COUNT, COUNT)
    assert await empty.database[RELEASES].count_documents({"terms": "wants:#hub"}) == 0
    assert await migrations.pending(empty.database) == {}


@pytest.mark.parametrize("is_killed", [False, True])
async def test_a_discarding_redirects_the_rest_after_the_commit(
    empty: Catalog, steps: list[Any], is_killed: bool
) -> None:
    await hub(empty)
    await done(empty, DISCARD, id="hub", dryRun=True)
    assert (await by_id(empty), steps) == (COUNT, [])
    await done(empty, DISCARD, id="hub")
    assert (await by_id(empty), await dependants(empty, "rival")) == (COUNT - 20, 20)
    await finish(empty, steps, is_killed=is_killed)
    assert (await by_id(empty), await dependants(empty, "rival")) == (0, COUNT)
    assert await empty.database[RELEASES].count_documents({"terms": "wants:#hub"}) == COUNT
    assert await migrations.pending(empty.database) == {}
    remains = await old_forms.raw(empty.database).releases.find_one({"_id": empty.caller.key("hub")})
    assert remains == {"_id": empty.caller.key("hub"), "version": empty.caller.key("hub"), "form": forms.REMAINS}


async def test_few_references_are_redirected_in_the_transaction(empty: Catalog, steps: list[Any]) -> None:
    await create(empty)
    await makers(empty, 20)
    await done(empty, DISCARD, id="hub")
    assert (await by_id(empty), steps) == (0, [])
    assert await migrations.pending(empty.database) == {}


async def test_the_remains_of_one_tenant_do_not_touch_another(empty: Catalog, steps: list[Any]) -> None:
    odd = empty.seen_by(dataclasses.replace(empty.caller, tenant="a/b c%"))
    for catalog in (empty, odd):
        await hub(catalog)
    await done(odd, DISCARD, id="hub")
    await finish(empty, steps, is_killed=True)
    assert await by_id(empty) == COUNT
    assert (await dependants(empty), await dependants(odd, "rival")) == (COUNT, COUNT)


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_referrer_that_changes_meanwhile_is_redirected_too(
    empty: Catalog, steps: list[Any], monkeypatch: pytest.MonkeyPatch, is_new: bool
) -> None:
    """Its etag is another then, and only what the mutation names is looked up again."""
    if is_new:
        await makers(empty)
        await create(empty)
    else:
        await hub(empty)
        await done(empty, DISCARD, id="hub")
    left = "wants:#hub" if is_new else "needs:#hub"
    changed: Any = await empty.database[RELEASES].find_one({"terms": left}, hint="terms")
    meanwhile(monkeypatch, lambda: done(empty, PATCH, id=changed["id"], name=changed["name"], notes="changed"))
    await finish(empty, steps, is_killed=False)
    assert await empty.database[RELEASES].count_documents({"terms": left}) == 0
    after: Any = await empty.database[RELEASES].find_one({"id": changed["id"]})
    assert after["notes"] == "changed"


@pytest.mark.parametrize("is_killed", [False, True])
async def test_a_new_release_that_is_discarded_meanwhile_keeps_no_references(
    empty: Catalog, steps: list[Any], monkeypatch: pytest.MonkeyPatch, is_killed: bool
) -> None:
    await makers(empty)
    await create(empty)
    meanwhile(monkeypatch, lambda: done(empty, DISCARD, id="hub"))
    await finish(empty, steps, is_killed=is_killed)
    assert await by_id(empty) == 0
    assert await migrations.pending(empty.database) == {}


async def test_a_load_of_references_to_a_draft_that_is_discarded_meanwhile(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(empty)
    await create(empty, "rival", "beta")
    load = bulk_load.load

    async def late(*arguments: Any, **options: Any) -> Any:
        await done(empty, DISCARD, id="hub")
        return await load(*arguments, **options)

    monkeypatch.setattr(bulk_load, "load", late)
    await empty.load(source("app", dependencies=[NEEDED]), check=True, publish=True)
    assert (await by_id(empty), await dependants(empty, "rival")) == (0, 1)
