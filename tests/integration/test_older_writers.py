"""Older processes that change releases after a newer one has migrated them."""

import asyncio
from typing import Any

from release_catalog.domain import events, ids, timestamps
from release_catalog.storage import forms, migrations
from release_catalog.storage.collection_names import EVENTS, MIGRATION_STATE, RELEASES
from support import old_forms
from support.catalog import Catalog

CREATE = (
    "mutation($i: CreateReleaseInput!) { done: createRelease(input: $i) { release { id } problem { detail } } }"
)
PUBLISH = "mutation($id: ID!) { done: publishRelease(input: {id: $id}) { problem { detail } } }"
TARGET = "query($id: ID!) { release(id: $id) { dependencies { nodes { id } } } }"
NAMED = {"name": "lib", "version": "1.0"}


async def create(catalog: Catalog, product: str, **fields: Any) -> str:
    return str((await catalog.ask(CREATE, i={"productId": product, **NAMED, **fields}))["done"]["release"]["id"])


async def target(catalog: Catalog, id_: str) -> list[str]:
    nodes = (await catalog.ask(TARGET, id=id_))["release"]["dependencies"]["nodes"]
    return [node["id"] for node in nodes]


async def older_change(catalog: Catalog, id_: str, kind: str, terms: list[str], **changed: Any) -> None:
    """Change a release as a process does that knows form 1 of releases and of events."""
    old = old_forms.raw(catalog.database)
    release: Any = await old.releases.find_one_and_update(
        {"id": id_}, {"$set": {**changed, "etag": ids.new()}, "$addToSet": {"terms": {"$each": terms}}}
    )
    counter: Any = await old.counters.find_one_and_update({"_id": "local/events"}, {"$inc": {"value": 1}})
    last: Any = await old.events.find_one({"sequence": counter["value"]})
    event = {**last, "sequence": last["sequence"] + 1, "type": kind, "releaseId": id_, "actor": "old", "form": 1}
    await old.events.insert_one(
        {**event, "_id": f"local/{events.id_of(event['sequence'])}", "productId": release["productId"]}
    )


async def older_publication(catalog: Catalog, id_: str) -> None:
    published = {"status": "PUBLISHED", "publishedAt": timestamps.now()}
    await older_change(catalog, id_, "release.published", ["is:default/lib@1.0"], **published)


async def migrate(catalog: Catalog) -> None:
    await old_forms.migrate(catalog.database)
    assert await migrations.pending(catalog.database) == {}, "one run is enough"


async def test_a_release_that_an_older_process_published_gets_its_publisher_and_takes_no_edge(
    empty: Catalog,
) -> None:
    lib, other, app = [(await empty.product(key))["id"] for key in ("lib", "other", "app")]
    draft = await create(empty, other)
    first = await create(empty, lib)
    maker = await create(empty, app, name="app", dependencies=[NAMED])
    await empty.ask(PUBLISH, id=first)
    await older_publication(empty, draft)
    await migrate(empty)
    stored: Any = await empty.database[RELEASES].find_one({"id": draft})
    assert (stored["publishedBy"], stored["resolvesName"]) == ("old", False)
    assert "is:default/lib@1.0" not in stored["terms"]
    assert await target(empty, maker) == [first]
    before = await old_forms.raw(empty.database).releases.find().to_list()
    await old_forms.raw(empty.database).events.update_many({}, {"$set": {"form": 1}})
    await migrate(empty)
    assert [one["id"] for one in before if one["resolvesName"]] == [
        one["id"] async for one in empty.database[RELEASES].find({"resolvesName": True})
    ], "a repetition changes nothing"
    assert await target(empty, maker) == [first]


async def test_a_higher_revision_that_an_older_process_published_takes_the_edges(empty: Catalog) -> None:
    lib, other, app = [(await empty.product(key))["id"] for key in ("lib", "other", "app")]
    higher = await create(empty, lib, revision="2")
    first = await create(empty, lib)
    later = await create(empty, other)
    maker = await create(empty, app, name="app", dependencies=[NAMED])
    await empty.ask(PUBLISH, id=first)
    await older_publication(empty, higher)
    await migrate(empty)
    assert await target(empty, maker) == [higher]
    found = [one["id"] async for one in empty.database[RELEASES].find({"terms": "is:default/lib@1.0"})]
    assert sorted(found) == sorted([higher, later])
    await empty.ask(PUBLISH, id=later)
    assert await target(empty, maker) == [higher]


async def test_what_follows_from_the_change_of_an_older_process_is_filled_in(empty: Catalog) -> None:
    lib, app = [(await empty.product(key))["id"] for key in ("lib", "app")]
    draft = await create(empty, lib)
    platform = {"name": "windows", "osFamily": "windows", "architecture": None}
    needed = {"releaseId": "nobody", **NAMED, "reference": "#nobody"}
    changed = {"platforms": [platform], "dependencies": [{**needed, "name": "app"}]}
    await older_change(empty, draft, "release.updated", ["needs:#nobody"], **changed)
    maker = await create(empty, app, name="app")
    await migrate(empty)
    found = await empty.ask('{ releases(filter: {platform: "windows"}) { nodes { id } } }')
    assert found["releases"]["nodes"] == [{"id": draft}]
    assert await target(empty, draft) == [maker]


async def test_an_upgrade_migrates_each_release_once(empty: Catalog) -> None:
    lib = (await empty.product("lib"))["id"]
    for revision in range(3):
        await empty.ask(PUBLISH, id=await create(empty, lib, revision=str(revision)))
    old = old_forms.raw(empty.database)
    await old.releases.update_many({}, {"$set": {"form": 1}})
    await old.events.update_many({}, {"$set": {"form": 1}})
    await migrations.run(empty.database, asyncio.Event(), lambda *_: None)
    states = {
        state["_id"]: state["documents"]
        async for state in empty.database[MIGRATION_STATE].find()
        if "documents" in state
    }
    assert states == {"events-2": 6, "releases-2": 3, "releases-3": 3, "releases-4": 3}
    assert await empty.database[EVENTS].count_documents({"form": forms.current(EVENTS)}) == 6
