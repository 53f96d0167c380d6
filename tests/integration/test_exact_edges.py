"""Exact edges: what is saved or published later moves no edge of a published release (model.md, References)."""

import asyncio
import dataclasses
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from release_catalog.domain.caller import READ, WRITE, Caller, local
from release_catalog.storage import migrations
from release_catalog.storage.collection_names import EVENTS, PRODUCTS, RELEASES
from support import old_forms
from support.catalog import Catalog, source

CREATE = """mutation($i: CreateReleaseInput!) { createRelease(input: $i) {
  release { id } problem { detail ... on ValidationProblem { violations { field code } } } } }"""
PUBLISH = "mutation($id: ID!) { publishRelease(input: {id: $id}) { release { id } problem { detail } } }"
WITHDRAW = """mutation($id: ID!) { withdrawRelease(input: {id: $id, reason: "It leaks."}) {
  affectedCount problem { detail } } }"""
NEEDS = """query($id: ID!) { release(id: $id) {
  dependencies { edges { reference { releaseId name version } node { id } } nodes { id } }
  dependencyGraph { nodes { id } unresolved { name } } _links { dependencies { href } } } }"""
NEEDED_BY = """query($id: ID!) { release(id: $id) { dependants { nodes { id } totalCount }
  dependencyGraph(direction: DEPENDANTS) { nodes { id } } _links { dependants { href } } } }"""
NAMED = {"name": "libssl2", "version": "1.0"}


async def create(catalog: Catalog, product: str, **fields: Any) -> str:
    answer = (await catalog.ask(CREATE, i={"productId": product, **NAMED, **fields}))["createRelease"]
    assert answer["problem"] is None, answer
    return str(answer["release"]["id"])


async def publish(catalog: Catalog, id_: str) -> None:
    assert (await catalog.ask(PUBLISH, id=id_))["publishRelease"]["problem"] is None


async def published(catalog: Catalog, product: str, **fields: Any) -> str:
    id_ = await create(catalog, product, **fields)
    await publish(catalog, id_)
    return id_


async def target(catalog: Catalog, id_: str) -> str | None:
    """The id of the release to which the only reference leads, which all views show alike."""
    shown = (await catalog.ask(NEEDS, id=id_))["release"]
    [edge] = shown["dependencies"]["edges"]
    led: str | None = edge["node"] and edge["node"]["id"]
    ids = [led] if led else []
    assert [node["id"] for node in shown["dependencies"]["nodes"]] == ids
    assert [node["id"] for node in shown["dependencyGraph"]["nodes"]] == ids
    assert [link["href"].rpartition("/")[2] for link in shown["_links"]["dependencies"]] == ids
    assert len(shown["dependencyGraph"]["unresolved"]) == 1 - len(ids)
    return led


async def dependants(catalog: Catalog, id_: str) -> list[str]:
    """The ids of the releases that need a release, which all views show alike."""
    shown = (await catalog.ask(NEEDED_BY, id=id_))["release"]
    ids = sorted(node["id"] for node in shown["dependants"]["nodes"])
    assert shown["dependants"]["totalCount"] == len(ids)
    assert sorted(node["id"] for node in shown["dependencyGraph"]["nodes"]) == ids
    assert sorted(link["href"].rpartition("/")[2] for link in shown["_links"]["dependants"]) == ids
    found = await catalog.ask("query($id: ID!) { releases(filter: {dependsOnId: $id}) { nodes { id } } }", id=id_)
    assert sorted(node["id"] for node in found["releases"]["nodes"]) == ids
    return ids


@pytest.fixture
async def products(empty: Catalog) -> dict[str, str]:
    return {key: (await empty.product(key))["id"] for key in ("lib", "app", "other")}


async def test_a_draft_of_another_product_takes_no_edge(empty: Catalog, products: dict[str, str]) -> None:
    lib = await published(empty, products["lib"])
    app = await published(empty, products["app"], name="app", dependencies=[NAMED])
    token = Caller("local", "ci", frozenset({READ, WRITE}), product=products["other"])
    reader = Caller("local", "reader", frozenset({READ}))
    draft = await create(empty.seen_by(token), products["other"])
    for catalog in (empty, empty.seen_by(token), empty.seen_by(reader)):
        assert await target(catalog, app) == lib
        assert await dependants(catalog, lib) == [app]
    assert await dependants(empty, draft) == []
    withdrawn = (await empty.ask(WITHDRAW, id=lib))["withdrawRelease"]
    assert withdrawn == {"affectedCount": 1, "problem": None}
    event: Any = await empty.database[EVENTS].find_one({"type": "release.withdrawn"})
    assert '"affectedCount":1' in event["data"]
    # Withdrawn releases keep their edges, too.
    assert await target(empty, app) == lib


async def test_only_a_higher_revision_of_the_same_product_and_channel_takes_an_edge(
    empty: Catalog, products: dict[str, str]
) -> None:
    app = await published(empty, products["app"], name="app", dependencies=[NAMED])
    assert await target(empty, app) is None
    first = await published(empty, products["lib"], revision="2")
    for fields in ({"channel": "beta", "revision": "9"}, {"revision": "1"}, {"revision": "3", "private": True}):
        await create(empty, products["lib"], **fields)
        assert await target(empty, app) == first
    await published(empty, products["lib"], channel="edge", revision="9")
    await published(empty, products["other"], revision="9")
    await published(empty, products["lib"], revision="0")
    assert await target(empty, app) == first
    higher = await published(empty, products["lib"], revision="10")
    assert await target(empty, app) == higher
    assert (await dependants(empty, first), await dependants(empty, higher)) == ([], [app])
    # However many have the name, a reference is decided among few.
    found = [one async for one in empty.database[RELEASES].find({"terms": "is:default/libssl2@1.0"})]
    assert sorted(one["status"] for one in found) == ["DRAFT", "DRAFT", "DRAFT", "PUBLISHED"]


async def test_a_hidden_release_is_nobody_for_a_reader_and_no_other_takes_its_place(
    empty: Catalog, products: dict[str, str]
) -> None:
    reader = empty.seen_by(Caller("local", "reader", frozenset({READ})))
    hidden = await published(empty, products["lib"], private=True)
    other = await published(empty, products["other"])
    app = await published(empty, products["app"], name="app", dependencies=[NAMED])
    assert await target(empty, app) == hidden
    assert await target(reader, app) is None
    assert await dependants(reader, other) == []


async def test_of_drafts_the_oldest_answers_and_only_for_those_who_see_drafts(
    empty: Catalog, products: dict[str, str]
) -> None:
    app = await published(empty, products["app"], name="app", dependencies=[NAMED])
    first = await create(empty, products["lib"])
    # It is newer here, however old it says it is.
    await create(empty, products["other"], createdAt="2001-01-01T00:00:00Z")
    assert await target(empty, app) == first
    bound = Caller("local", "ci", frozenset({READ, WRITE}), product=products["other"])
    for caller in (bound, Caller("local", "reader", frozenset({READ}))):
        assert await target(empty.seen_by(caller), app) is None
    patch = "mutation($i: PatchReleaseInput!) { patchRelease(input: $i) { problem { detail } } }"
    assert (await empty.ask(patch, i={"id": first, "name": "renamed"}))["patchRelease"]["problem"] is None
    second = await target(empty, app)
    assert second not in {None, first}
    # A draft that gets the name counts from then on.
    assert (await empty.ask(patch, i={"id": first, "name": "libssl2"}))["patchRelease"]["problem"] is None
    assert await target(empty, app) == second


async def test_the_first_by_the_time_of_recording_wins_whatever_the_clocks_say(
    empty: Catalog, products: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await published(empty, products["app"], name="app", dependencies=[NAMED])
    first = await published(empty, products["lib"])
    stored: Any = await empty.database[RELEASES].find_one({"id": app})
    later = {"nameSince": stored["nameSince"].replace(year=2999)}
    await empty.database[RELEASES].update_one({"id": first}, {"$set": later})
    await published(empty, products["other"])
    assert await target(empty, app) == first


async def test_a_reference_to_an_id_that_does_not_exist_counts_by_name_and_version(
    empty: Catalog, products: dict[str, str]
) -> None:
    lib = await published(empty, products["lib"])
    needed = {"releaseId": "nobody", **NAMED}
    app = await published(empty, products["app"], name="app", dependencies=[needed])
    assert await target(empty, app) == lib
    assert await dependants(empty, lib) == [app]
    shown = (await empty.ask(NEEDS, id=app))["release"]["dependencies"]["edges"][0]["reference"]
    assert shown == needed
    # For who does not see a release, it does not exist.
    hidden = await published(empty, products["other"], private=True, revision="7")
    token = empty.seen_by(Caller("local", "ci", frozenset({READ, WRITE}), product=products["app"]))
    needed = {"releaseId": hidden, **NAMED}
    assert (
        await target(
            token, await create(token, products["app"], name="second", version="2.0", dependencies=[needed])
        )
        == lib
    )


async def test_giving_a_reference_again_lets_its_id_lead(empty: Catalog, products: dict[str, str]) -> None:
    await published(empty, products["lib"])
    token = empty.seen_by(Caller("local", "ci", frozenset({READ, WRITE}), product=products["app"]))
    hidden = await published(empty, products["other"], private=True)
    needed = [{"releaseId": hidden, **NAMED}]
    app = await create(token, products["app"], name="app", dependencies=needed)
    for verb, kind in (("patchRelease", "Patch"), ("replaceRelease", "Replace")):
        text = f"mutation($i: {kind}ReleaseInput!) {{ {verb}(input: $i) {{ problem {{ detail }} }} }}"
        given_again = await empty.ask(text, i={"id": app, "name": "app", "dependencies": needed})
        assert given_again[verb]["problem"] is None
        assert await target(empty, app) == hidden
        given_again = await token.ask(text, i={"id": app, "name": "app", "dependencies": needed})
        assert await target(empty, app) != hidden
    await publish(empty, app)
    before = await target(empty, app)
    # A published edge stays where it is.
    given_again = await empty.ask(text, i={"id": app, "name": "app", "dependencies": needed})
    assert given_again["replaceRelease"]["problem"] is None
    assert await target(empty, app) == before


async def test_commands_of_references_by_name(empty: Catalog, products: dict[str, str]) -> None:
    apps = []
    for name in ("a", "b"):
        await published(empty, products["lib"], name=name, channel=name)
        apps.append(
            await published(
                empty,
                products["app"],
                name=f"app-{name}",
                channel=name,
                dependencies=[{"name": name, "version": "1.0"}],
            )
        )
    text = "query($ids: [ID!]) { releases(filter: {ids: $ids}) { nodes { dependencies { nodes { id } } } } }"
    await empty.ask(text, ids=apps)
    assert empty.commands.reads[RELEASES] == 2
    # Drafts of the same name cost none.
    for name in ("a", "b"):
        await create(empty, products["other"], name=name, channel=name)
    await empty.ask(text, ids=apps)
    assert empty.commands.reads[RELEASES] == 2


async def test_bulk_loads_settle_names_too(empty: Catalog) -> None:
    app = source("app", needs=["lib"])
    await empty.load(source("lib", project="first"), publish=True)
    await empty.load(source("lib", project="second"), app, publish=True)
    found = [one async for one in empty.database[RELEASES].find({"terms": "is:default/lib@1.0"})]
    assert len(found) == 1
    stored: Any = await empty.database[RELEASES].find_one({"name": "app"})
    assert await target(empty, stored["id"]) == found[0]["id"]
    first: Any = await empty.database[PRODUCTS].find_one({"key": "first"})
    assert found[0]["productId"] == first["id"]


async def test_older_releases_keep_their_edges_through_the_migration(
    empty: Catalog, products: dict[str, str]
) -> None:
    missing = {"releaseId": "nobody", **NAMED}
    app = await published(empty, products["app"], name="app", dependencies=[missing])
    first = await published(empty, products["lib"])
    loser = await published(empty, products["other"])
    draft = await create(empty, products["other"], revision="2")
    old = old_forms.raw(empty.database).releases
    by_id = {"reference": "#nobody", "releaseId": "nobody", **NAMED}
    await old.update_one(
        {"id": app}, {"$set": {"dependencies": [by_id]}, "$pull": {"terms": "needs:default/libssl2@1.0"}}
    )
    await old.update_one({"id": app}, {"$push": {"terms": "needs:#nobody"}})
    await old.update_one({"id": loser}, {"$push": {"terms": "is:default/libssl2@1.0"}})
    await old.update_many({}, {"$set": {"form": 1}, "$unset": {"resolvesName": "", "nameSince": ""}})
    assert await dependants(empty, first) == []
    await migrations.run(empty.database, asyncio.Event(), lambda *_: None)
    assert await migrations.pending(empty.database) == {}
    assert await target(empty, app) == first
    assert [await dependants(empty, id_) for id_ in (first, loser, draft)] == [[app], [], []]
    stored: Any = await empty.database[RELEASES].find_one({"id": loser})
    assert "is:default/libssl2@1.0" not in stored["terms"]


# ---------------------------------------------------------------- any order


@dataclasses.dataclass
class Saved:
    """A release of the model, with the place of its publication in the order of all."""

    id: str
    product: str
    channel: str
    revision: int
    published: int | None = None


def expected(saved: list[Saved]) -> str | None:
    """The release to which the rule of model.md leads; `saved` is in the order of saving."""
    out = [one for one in saved if one.published is not None]
    if not out:
        return saved[0].id if saved else None
    first = min(out, key=lambda one: one.published or 0)
    same = [one for one in out if (one.product, one.channel) == (first.product, first.channel)]
    return max(same, key=lambda one: one.revision).id


steps = st.one_of(
    st.tuples(
        st.just("save"),
        st.sampled_from(["lib", "other"]),
        st.sampled_from(["stable", "beta"]),
        st.integers(0, 11),
        st.booleans(),
    ),
    st.tuples(st.sampled_from(["publish", "withdraw"]), st.integers(0, 20)),
)


@given(st.lists(steps, min_size=3, max_size=14))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_edges_hold_in_whatever_order_releases_are_saved_and_published(
    empty: Catalog, done: list[tuple[Any, ...]]
) -> None:
    catalog = empty.seen_by(local(uuid.uuid4().hex))
    products = {key: (await catalog.product(key))["id"] for key in ("lib", "app", "other")}
    app = await published(catalog, products["app"], name="app", dependencies=[NAMED])
    saved: list[Saved] = []
    led: Saved | None = None
    for number, (verb, *rest) in enumerate(done):
        if verb == "save":
            product, channel, revision, private = rest
            if any((one.product, one.channel, one.revision) == (product, channel, revision) for one in saved):
                continue
            fields = {"channel": channel, "revision": str(revision), "private": private}
            id_ = await create(catalog, products[product], **fields)
            saved.append(Saved(id_, product, channel, revision))
        elif saved:
            one = saved[rest[0] % len(saved)]
            if verb == "publish" and one.published is None:
                await publish(catalog, one.id)
                one.published = number
            elif verb == "withdraw" and one.published is not None:
                await catalog.ask(WITHDRAW, id=one.id)
        now = await target(catalog, app)
        assert now == expected(saved)
        if led and now != led.id:
            moved = next(one for one in saved if one.id == now)
            assert (moved.product, moved.channel) == (led.product, led.channel)
            assert moved.revision > led.revision
        led = next((one for one in saved if one.id == now and one.published is not None), None)
        for one in saved:
            assert await dependants(catalog, one.id) == ([app] if one.id == now else [])
