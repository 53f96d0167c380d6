"""The event log: without gaps or duplicates under any writers, read in pages, forgotten after a while."""

import asyncio
import contextlib
import functools
import json
import random
from typing import Any

import anyio.to_thread
import pytest

from conftest import connected
from release_catalog.domain.caller import Caller, local
from release_catalog.storage import event_log, indexes, pagination, transactions, unit_of_work
from release_catalog.storage.collection_names import COUNTERS, EVENTS, PRODUCTS, RELEASES, CollectionName
from support.catalog import Catalog, source
from support.processes import run

READER = Caller("local", "reader", frozenset({"release:read"}))
LOG = """query($after: ID, $types: [String!], $release: ID, $first: Int) { events(after: $after, types: $types,
  releaseId: $release, first: $first) { edges { cursor } nodes { id type triggeredAt data release { id status } }
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
VERB = "mutation($input: %sReleaseInput!) { %sRelease(input: $input) { release { id } problem { detail } } }"


async def do(catalog: Catalog, verb: str, id_: str, **fields: Any) -> None:
    text = VERB % (verb.capitalize(), verb)
    answer = (await catalog.ask(text, input={"id": id_, **fields}))[f"{verb}Release"]
    assert answer["problem"] is None


async def released(catalog: Catalog, name: str, *needs: str, **fields: Any) -> str:
    """A published release, its event with it."""
    product = await catalog.product(name)
    dependencies = [{"name": need, "version": "1"} for need in needs]
    made = await catalog.put(product, "1", dependencies=dependencies, **fields)
    await do(catalog, "publish", made["id"])
    return str(made["id"])


async def log(catalog: Catalog, **arguments: Any) -> Any:
    return (await catalog.ask(LOG, **arguments))["events"]


async def test_events_are_read_in_pages_from_any_event(empty: Catalog) -> None:
    first, second = await released(empty, "a"), await released(empty, "b")
    await do(empty, "archive", first)
    page = await log(empty, first=2)
    assert [node["type"] for node in page["nodes"]] == ["release.published"] * 2
    assert [edge["cursor"] for edge in page["edges"]] == [node["id"] for node in page["nodes"]]
    assert [node["release"] for node in page["nodes"]] == [
        {"id": first, "status": "ARCHIVED"},
        {"id": second, "status": "PUBLISHED"},
    ]
    assert page["nodes"][0]["data"]["published"] is True
    assert page["pageInfo"] == {
        "hasNextPage": True, "hasPreviousPage": False, "startCursor": "0000000000000001", "endCursor": "0000000000000002",
    }  # fmt: skip
    rest = await log(empty, after=page["pageInfo"]["endCursor"])
    assert [(node["id"], node["type"]) for node in rest["nodes"]] == [("0000000000000003", "release.archived")]
    assert rest["pageInfo"]["hasNextPage"] is False
    assert (await log(empty, after="3"))["nodes"] == []
    assert [node["id"][-1] for node in (await log(empty, release=first))["nodes"]] == ["1", "3"]
    assert [node["id"][-1] for node in (await log(empty, types=["release.archived", "promotion.*"]))["nodes"]] == [
        "3"
    ]
    assert len((await log(empty, types=["release.*"], after="1"))["nodes"]) == 2
    assert (await log(empty.seen_by(local("another"))))["nodes"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"after": "x"}, "after: this is not the id of an event"),
        ({"after": "-1"}, "after: this is not the id of an event"),
        ({"after": "9"}, "after: the event does not exist yet: the last one is 0000000000000003"),
        ({"types": ["release.created", "release"]}, "types: the event type 'release' does not exist"),
        ({"first": 101}, "first: 101 is not a page size"),
        ({"after": "1"}, "after: events from 0000000000000002 to 0000000000000002 are no longer kept"),
        ({"after": "0"}, "RELEASE_CATALOG_EVENTS_DAYS"),
    ],
)
async def test_invalid_arguments_of_events_are_errors(
    empty: Catalog, arguments: dict[str, Any], said: str
) -> None:
    for name in "abc":
        await released(empty, name)
    await empty.database[EVENTS].delete_many({"sequence": {"$lte": 2}})
    error = await empty.error(LOG, **arguments)
    assert said in error["message"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert [node["id"][-1] for node in (await log(empty, after="2"))["nodes"]] == ["3"]
    assert [node["id"][-1] for node in (await log(empty))["nodes"]] == ["3"]
    await empty.database[EVENTS].delete_many({})
    assert (await log(empty, after="3"))["nodes"] == []
    assert "no longer kept" in (await empty.error(LOG, after="2"))["message"]


async def test_visibility_shows_a_reader_events_of_releases_that_were_and_are_visible(empty: Catalog) -> None:
    open_ = await released(empty, "open")
    await released(empty, "closed", private=True)
    turned = await released(empty, "turned")
    await empty.database[RELEASES].update_one({"id": turned}, {"$set": {"private": True}})
    opened = await released(empty, "opened", private=True)
    await empty.database[RELEASES].update_one({"id": opened}, {"$set": {"private": False}})
    await do(empty, "archive", open_)
    await do(empty, "archive", opened)
    assert len((await log(empty))["nodes"]) == 6
    reader = empty.seen_by(READER)
    seen = [(node["type"], node["release"]["id"]) for node in (await log(reader))["nodes"]]
    assert seen == [("release.published", open_), ("release.archived", open_), ("release.archived", opened)]
    assert (await log(reader, release=turned))["nodes"] == []
    assert [node["id"][-1] for node in (await log(reader, types=["release.archived"], first=1))["nodes"]] == ["5"]


async def test_a_withdrawal_event_names_affected_releases_within_visibility(empty: Catalog) -> None:
    base, spare = await released(empty, "base"), await released(empty, "spare", private=True)
    direct = await released(empty, "direct", "base")
    await released(empty, "closed", "direct", private=True)
    await released(empty, "behind", "closed")
    draft = await empty.put(await empty.product("draft"), "1", dependencies=[{"name": "base", "version": "1"}])
    await do(empty, "withdraw", base, reason="It leaks.", replacementId=spare)
    types = ["release.withdrawn"]
    [event] = (await log(empty, types=types))["nodes"]
    told = event["data"].pop("withdrawal")
    assert (told["reason"], told["withdrawnBy"], told["replacementId"]) == ("It leaks.", "local", spare)
    assert (told["affectedCount"], [release["name"] for release in told["affected"]]) == (
        3,
        ["direct", "closed", "behind"],
    )
    [less] = (await log(empty.seen_by(READER), types=types))["nodes"]
    withdrawal = less["data"].pop("withdrawal")
    assert less["data"] == event["data"]
    assert withdrawal["affected"] == [{"id": direct, "name": "direct", "version": "1"}]
    assert (withdrawal["affectedCount"], withdrawal["replacementId"]) == (1, None)
    assert (withdrawal["reason"], withdrawal["withdrawnAt"]) == ("It leaks.", told["withdrawnAt"])
    assert draft["id"] not in json.dumps([event, told])


async def test_visibility_does_not_bound_the_releases_that_a_withdrawal_names(
    empty: Catalog,
) -> None:
    base = await released(empty, "base")
    await released(empty, "closed", "base", private=True)
    await released(empty, "behind", "closed")
    await released(empty, "direct", "base")
    product = await empty.database[PRODUCTS].find_one({"key": "base"})
    assert product
    bound = empty.seen_by(Caller("local", "builds", frozenset({"release:write"}), product["id"]))
    text = 'mutation($id: ID!) { withdrawRelease(input: {id: $id, reason: "r"}) { affectedCount } }'
    assert (await bound.ask(text, id=base))["withdrawRelease"] == {"affectedCount": 1}
    counts = []
    for seen in (empty, bound, empty.seen_by(READER)):
        [event] = (await log(seen, types=["release.withdrawn"]))["nodes"]
        counts.append(event["data"]["withdrawal"]["affectedCount"])
    assert counts == [3, 1, 1]


async def test_a_withdrawal_names_some_and_counts_all(empty: Catalog) -> None:
    base = await released(empty, "base")
    product = await empty.product("user")
    for number in range(103):
        needs: list[dict[str, Any]] = [{"name": "base", "version": "1"}]
        await empty.put(product, str(number), status="PUBLISHED", dependencies=needs)
    await do(empty, "withdraw", base, reason="It leaks.")
    [event] = (await log(empty.seen_by(READER), types=["release.withdrawn"]))["nodes"]
    assert (event["data"]["withdrawal"]["affectedCount"], len(event["data"]["withdrawal"]["affected"])) == (
        103,
        100,
    )


async def test_a_later_event_is_not_seen_before_an_earlier_one(empty: Catalog) -> None:
    """The hole that numbers have where they are taken in one order and committed in another."""
    product = await empty.product("tool")
    made = await empty.put(product, "1", status="PUBLISHED")
    taken, may_commit = asyncio.Event(), asyncio.Event()

    async def slow(session: Any) -> None:
        await unit_of_work.append_event(empty.caller, empty.database, "release.updated", made, session)
        taken.set()
        await may_commit.wait()

    async def quick(session: Any) -> None:
        await unit_of_work.append_event(empty.caller, empty.database, "release.archived", made, session)

    first = asyncio.create_task(transactions.run(empty.database, slow))
    await taken.wait()
    # Past the turns that writers of one process take: as another process would.
    second = asyncio.create_task(transactions.run(empty.database, quick))
    await asyncio.sleep(0.3)
    assert not second.done()
    assert await event_log.following(empty.database, "local", 0) == []
    assert await event_log.head(empty.caller, empty.database) == 0
    may_commit.set()
    await asyncio.gather(first, second)
    rows = await event_log.following(empty.database, "local", 0)
    assert [(row["sequence"], row["type"]) for row in rows] == [(1, "release.updated"), (2, "release.archived")]


async def test_readers_beside_many_writers_never_miss_one(empty: Catalog, mongodb_url: str) -> None:
    product = await empty.product("tool")
    made = await empty.put(product, "1", status="PUBLISHED")
    seen: list[int] = []
    dice = random.Random(7)

    async def write(number: int) -> None:
        # Each a process of its own, as it were: no turns, and commits that take their time.
        async def work(session: Any) -> None:
            await unit_of_work.append_event(empty.caller, empty.database, "release.updated", made, session)
            await asyncio.sleep(dice.random() / 100)
            if number % 5 == 0:
                raise ZeroDivisionError

        with contextlib.suppress(ZeroDivisionError):
            await transactions.run(empty.database, work)

    async def read() -> None:
        while len(seen) < 32:
            async with asyncio.timeout(60):
                found = await event_log.following(empty.database, "local", seen[-1] if seen else 0)
            seen.extend(row["sequence"] for row in found)

    await asyncio.gather(read(), *(write(number) for number in range(40)))
    assert seen == list(range(1, 33))
    stored = [event async for event in empty.database[EVENTS].find({}).sort("sequence", 1)]
    written = [event["writtenAt"] for event in stored]
    assert written == sorted(written)


async def test_events_are_read_from_a_majority(empty: Catalog) -> None:
    await released(empty, "a")
    commands = empty.commands
    await log(empty)
    read = [command for command in commands.sent if command.get("find") == "events"]
    assert [command["readConcern"]["level"] for command in read] == ["majority"]
    await log(empty.seen_by(READER))
    read = [command for command in commands.sent if command.get("aggregate") == "events"]
    assert [command["readConcern"]["level"] for command in read] == ["majority"]


async def test_events_are_kept_for_as_long_as_the_server_that_started_last_said(
    mongodb_url: str, driver: Any
) -> None:
    async with connected(mongodb_url, f"kept_{driver.__name__}", driver=driver) as database:
        for days in (90, 90, 7):
            await indexes.ensure(database, days)
            for collection, field in (("events", "writtenAt"), ("webhookDeliveries", "createdAt")):
                kept = (await database[CollectionName[Any](collection)].index_information())["kept"]
                assert (kept["key"], kept["expireAfterSeconds"]) == ([(field, 1)], days * 86_400)
        await database.client.drop_database(database.name)


async def test_a_command_without_the_settings_of_the_server_lets_no_events_go(mongodb_url: str) -> None:
    name = "kept_beside_a_command"
    async with connected(mongodb_url, name) as database:
        await indexes.ensure(database, 365)
        command = functools.partial(run, "ledger", "verify", mongodb_url=mongodb_url, database=name)
        assert (await anyio.to_thread.run_sync(command)).returncode == 0
        assert (await database[EVENTS].index_information())["kept"]["expireAfterSeconds"] == 365 * 86_400
        await database.client.drop_database(name)


async def test_the_log_is_read_along_its_indexes(empty: Catalog) -> None:
    product = await empty.product("tool")
    made = [await empty.put(product, str(number), status="PUBLISHED") for number in range(5)]
    kinds = ["release.updated"] * 9 + ["release.archived"]

    async def work(session: Any) -> None:
        for number in range(300):
            kind = kinds[number % 10]
            await unit_of_work.append_event(empty.caller, empty.database, kind, made[number % 5], session)

    await transactions.run(empty.database, work)
    for caller in (empty.caller, READER):
        for types, release, after in ((None, None, "100"), (["release.archived"], None, "100"), (["release.*"], None, "9"), (None, made[0]["id"], "200")):  # fmt: skip
            window = pagination.PageArgs(10, after)
            question = await event_log.log(caller, empty.database, window, types, release)
            empty.commands.clear()
            rows = (await pagination.read(empty.database, question)).rows
            assert len(rows) == 10
            [command] = [dict(command) for command in empty.commands.sent]
            plain = {
                name: it
                for name, it in command.items()
                if name not in {"lsid", "$db", "$clusterTime", "readConcern"}
            }
            answer = json.dumps(
                await empty.database.command("explain", plain, verbosity="executionStats"), default=str
            )
            assert "COLLSCAN" not in answer
            assert '"stage": "SORT"' not in answer


async def test_the_log_of_a_tenant_that_was_only_loaded_is_empty(empty: Catalog) -> None:
    await empty.load(source("tool"), publish=True)
    assert await event_log.heads(empty.database, ["local"]) == {"local": 0}
    assert (await empty.ask('{ events(after: "0") { nodes { id } } }'))["events"]["nodes"] == []
    # As a load left it that did not set the number.
    await empty.database[COUNTERS].update_one({"_id": "local/events"}, {"$unset": {"value": 1}})
    assert await event_log.heads(empty.database, ["local"]) == {"local": 0}


async def test_the_first_event_is_not_taken_for_one_that_is_no_longer_kept(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be written while the log is looked at."""
    await empty.load(source("tool"))
    id_ = (await empty.ask("{ releases { nodes { id } } }"))["releases"]["nodes"][0]["id"]
    head, heads = event_log.head, list[int]()

    async def late(*arguments: Any) -> int:
        if heads:
            await do(empty, "publish", id_)
        heads.append(await head(*arguments))
        return heads[-1]

    monkeypatch.setattr(event_log, "head", late)
    assert await event_log.unkept(empty.caller, empty.database, 0) is None
    assert await event_log.unkept(empty.caller, empty.database, 0) is None
    assert heads == [0, 1]
