"""Bulk writes: each release has the result of a request of its own, and all take few commands and transactions."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.monitoring import CommandListener, CommandStartedEvent

from conftest import connected
from release_catalog.domain.caller import READ, WRITE, Caller, local
from release_catalog.files import address_guard, verifier
from release_catalog.storage import bulk_writes, release_batch, transactions
from release_catalog.storage.collection_names import EVENTS, RELEASES, REQUESTS
from release_catalog.storage.outages import NothingWritten
from support import bulks
from support import file_server as serving
from support.catalog import Catalog, source
from support.graphql_client import error_of, post, served

Json = dict[str, Any]
CREATED = "2026-01-01T00:00:00Z"
_tenants = itertools.count()


def new(version: str = "1.0", product: str = "one", **fields: Any) -> Json:
    """The input of a creation."""
    return {"productId": product, "name": f"name-{product}", "version": version, "createdAt": CREATED, **fields}


def document(project: str = "one", version: str = "1.0", *, id_: str | None = None, **fields: Any) -> Json:
    """The input of an import."""
    control = ("dryRun", "createProduct", "onConflict", "catalogId", "verification", "idempotencyKey")
    own = {name: fields.pop(name) for name in control if name in fields}
    given_id = {"id": id_} if id_ else {}
    release = {**source(project, version), **given_id, **fields}
    return {"projectIdentifier": project, "release": release, "verification": "SKIP", **own}


@pytest.fixture
async def stocked_tenant(empty: Catalog) -> Catalog:
    await bulks.stock(empty)
    return empty


# Each release is created or refused as it would be alone, whatever else is in the bulk.

VERSIONS = st.sampled_from(["1.0", "2.0", "3.0", "not a version", ""])
IDS = st.sampled_from(["a", "b", "c", "..", "one by one"])
NEEDS = st.lists(
    st.one_of(
        st.builds(lambda id_: {"releaseId": id_}, IDS),
        st.builds(lambda id_, v: {"releaseId": id_, "name": "name-one", "version": v}, IDS, VERSIONS),
        st.builds(lambda p, v: {"name": f"name-{p}", "version": v}, st.sampled_from(["one", "two"]), VERSIONS),
    ),
    max_size=3,
)
CREATIONS = st.builds(
    lambda version, product, more: new(version, product, **more),
    VERSIONS,
    st.sampled_from(["one", "two", "three"]),
    st.fixed_dictionaries(
        {},
        optional={
            "id": IDS,
            "dependencies": NEEDS,
            "dryRun": st.booleans(),
            "channel": st.sampled_from(["stable", "beta"]),
            "revision": st.sampled_from(["0", "1"]),
            "catalogId": st.sampled_from(["default", "other"]),
            "createdAt": st.sampled_from([CREATED, "2025-01-01T00:00:00Z", "2126-01-01T00:00:00Z"]),
            "delivery": st.sampled_from(
                [{"pipelineId": "pipe"}, {"pipelineName": "Pipe"}, {"pipelineName": "x"}, {"status": "STARTED"}]
            ),
        },
    ),
)
PROJECTS = st.sampled_from(["one", "two", "new", "name-one"])
IMPORTS = st.builds(
    lambda project, version, id_, more: document(project, version, id_=id_, **more),
    PROJECTS,
    VERSIONS,
    st.none() | IDS,
    st.fixed_dictionaries(
        {},
        optional={
            "dependencies": st.lists(
                st.builds(
                    lambda needed, name, v: {"name": name, "version": v or "1.0", **needed},
                    st.sampled_from([{}, {"catalogId": "a"}, {"catalogId": "b"}, {"catalogId": "c"}]),
                    PROJECTS,
                    VERSIONS,
                ),
                max_size=3,
            ),
            "name": st.sampled_from(["one", "other name"]),
            "dryRun": st.booleans(),
            "createProduct": st.booleans(),
            "onConflict": st.sampled_from(["UPDATE", "FAIL"]),
            "catalogId": st.sampled_from(["default", "other", "unknown"]),
            "channel": st.sampled_from(["stable", "beta"]),
            "tag": st.sampled_from(["v1", "v2"]),
            "verification": st.sampled_from(["SKIP", "BACKGROUND"]),
            "artifacts": st.just(
                [{"name": "f", "size": 1, "sha256": "a" * 64, "downloadUrl": "https://x.example/f"}]
            ),
            "createdAt": st.sampled_from([CREATED, "2025-01-01T00:00:00Z"]),
            "delivery": st.sampled_from([{"pipelineId": "pipe"}, {"status": "STARTED"}]),
        },
    ),
)


async def compare(catalog: Catalog, name: str, inputs: list[Json]) -> None:
    """Check that a bulk gives and stores what the same requests give and store one after another."""
    number = next(_tenants)
    alone, together = catalog.seen_by(local(f"alone-{number}")), catalog.seen_by(local(f"together-{number}"))
    for tenant in (alone, together):
        await bulks.stock(tenant)
    expected = await bulks.one_by_one(alone, name, inputs)
    results = await bulks.at_once(together, name, inputs)
    assert bulks.comparable(results) == bulks.comparable(expected)
    _, kept = bulks.comparable([results, await bulks.stored(together)])
    _, kept_alone = bulks.comparable([expected, await bulks.stored(alone)])
    for collection, documents in kept_alone.items():
        for mine, other in itertools.zip_longest(kept[collection], documents):
            assert mine == other, collection


PROPERTY = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.parametrize("max_bytes", [bulk_writes.MAX_BYTES, 2_000], ids=["one transaction", "several"])
@pytest.mark.parametrize(("name", "inputs"), [("createRelease", CREATIONS), ("importRelease", IMPORTS)])
async def test_a_bulk_gives_the_results_of_one_request_after_another(
    empty: Catalog, name: str, inputs: st.SearchStrategy[Json], max_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_writes, "MAX_BYTES", max_bytes)
    examples: list[list[Json]] = []

    @PROPERTY
    @given(st.lists(inputs, max_size=8))
    def collect(some: list[Json]) -> None:
        examples.append(some)

    collect()
    for some in examples:
        await compare(empty, name, some)


async def test_releases_depend_on_each_other_and_stand_in_each_others_way(empty: Catalog) -> None:
    await compare(
        empty,
        "createRelease",
        [
            new("1.0", dependencies=[{"releaseId": "b", "name": "name-one", "version": "2.0"}]),
            new("2.0", id="b"),
            new("3.0", dependencies=[{"releaseId": "b"}, {"name": "name-one", "version": "1.0"}]),
            new("2.0"),
            new("4.0", id="b"),
            new("4.0", dependencies=[{"releaseId": "b", "version": "9.0", "name": "name-one"}]),
            new("5.0", id="c", dryRun=True),
            new("5.0", dependencies=[{"releaseId": "c"}]),
        ],
    )
    await compare(
        empty,
        "importRelease",
        [
            document("new", "1", dependencies=[{"name": "one", "version": "1.0"}]),
            document("new", "2", createProduct=False, dependencies=[{"name": "new", "version": "1"}]),
            document("new", "1", tag="v2", name="other name"),
            document("three", "1", dependencies=[{"name": "new", "version": "1"}], dryRun=True),
            document("three", "1", createProduct=False),
            document("new", "1", onConflict="FAIL"),
            document("four", "1", dependencies=[{"name": "other name", "version": "1"}], catalogId="default"),
        ],
    )


# Few commands.


class AllCommands(CommandListener):
    """Counts all commands of the client."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.names.append(event.command_name)

    def succeeded(self, _: Any) -> None:
        pass

    def failed(self, _: Any) -> None:
        pass


@pytest.fixture
async def counted(mongodb_url: str, empty: Catalog) -> AsyncIterator[tuple[Catalog, AllCommands]]:
    commands = AllCommands()
    async with connected(mongodb_url, empty.database.name, commands) as database:
        catalog = Catalog(database, empty.caller)
        await bulks.stock(catalog)
        yield catalog, commands


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("name", ["createRelease", "importRelease"])
async def test_the_number_of_commands_does_not_grow_with_the_number_of_releases(
    counted: tuple[Catalog, AllCommands], name: str, key: str | None
) -> None:
    catalog, commands = counted
    make: Any = (
        new if name == "createRelease" else lambda version, **more: document("two", version, id_=more["id"])
    )
    text = (
        "mutation($input: %ssInput!) { %ss(input: $input) { results { problem { detail } } problem { detail } } }"
    )
    counts = []
    for number, count in enumerate((2, 100)):
        inputs = [make(f"{number}.{at}", id=f"{number}.{at}") for at in range(count)]
        commands.names.clear()
        values = {"releases": inputs, "idempotencyKey": key and f"{key}{number}"}
        type_ = f"{name[0].upper()}{name[1:]}"
        done = (await catalog.ask(text % (type_, name), input=values))[f"{name}s"]
        assert done == {"results": [{"problem": None}] * count, "problem": None}
        counts.append(sorted(commands.names))
    assert counts[0] == counts[1]
    assert len(counts[1]) <= 20
    assert counts[1].count("commitTransaction") == 1


async def test_the_reads_of_a_bulk_use_indexes(stocked_tenant: Catalog) -> None:
    catalog = stocked_tenant
    await bulks.at_once(catalog, "createRelease", [new(f"1.{at}") for at in range(50)], "k")
    place = bulk_writes._key
    identities = [("default", "one", f"1.{at}", "0", "stable") for at in range(50)]
    match = release_batch.with_identities("local", identities)
    plan: Any = await catalog.database[RELEASES].find(match).explain()
    assert plan["executionStats"]["totalDocsExamined"] == 50
    keys = [catalog.caller.key(place("k", at)) for at in range(50)]
    plan = await catalog.database[REQUESTS].find({"_id": {"$in": keys}}).explain()
    assert plan["executionStats"]["totalDocsExamined"] == 50


async def test_events_are_numbered_without_gaps_in_the_order_of_the_releases(stocked_tenant: Catalog) -> None:
    catalog = stocked_tenant
    inputs = [new(f"1.{at}", id=f"r{at}") for at in range(10)]
    inputs[3]["version"] = "not a version"
    await bulks.at_once(catalog, "createRelease", inputs)
    await bulks.at_once(catalog, "createRelease", [new("2.0", id="last")])
    events = [event async for event in catalog.database[EVENTS].find({}).sort("sequence", 1)]
    assert [event["sequence"] for event in events] == list(range(1, 11))
    assert [event["releaseId"] for event in events] == [f"r{at}" for at in range(10) if at != 3] + ["last"]


# Keys.


async def test_a_replay_gives_the_same_results_problems_included(stocked_tenant: Catalog) -> None:
    catalog = stocked_tenant
    inputs = [new("1.0"), new("x"), new("2.0", "three"), new("3.0", dryRun=True), new("1.0")]
    first = await bulks.at_once(catalog, "createRelease", inputs, "k")
    assert [bool(one["problem"]) for one in first] == [False, True, True, False, True]
    await catalog.product("three", id="three", _id=catalog.caller.key("three"))
    stored = await bulks.stored(catalog)
    assert await bulks.at_once(catalog, "createRelease", inputs, "k") == first
    assert await bulks.stored(catalog) == stored


async def test_a_bulk_that_was_refused_in_all_places_can_be_repeated(stocked_tenant: Catalog) -> None:
    catalog, inputs = stocked_tenant, [new("1.0", "three"), new("2.0", "three")]
    first = await bulks.at_once(catalog, "createRelease", inputs, "k")
    assert all(one["problem"] for one in first)
    assert await catalog.database[REQUESTS].find_one({}) is None
    await catalog.product("three", id="three", _id=catalog.caller.key("three"))
    assert not any(one["problem"] for one in await bulks.at_once(catalog, "createRelease", inputs, "k"))


async def test_nothing_is_kept_of_refusals_in_several_transactions(stocked_tenant: Catalog) -> None:
    """Without a catalog, the second one is decided after the first."""
    catalog = stocked_tenant
    inputs = [
        document("one", "1", catalogId="missing", createProduct=False),
        document("one", "x" * 65),
        document("fresh", "1", catalogId="missing"),
        document("fresh", "2", createProduct=False),
    ]
    first = await bulks.at_once(catalog, "importRelease", inputs, "k")
    assert all(one["problem"] for one in first)
    assert await catalog.database[REQUESTS].find_one({}) is None
    await catalog.ask('mutation { saveCatalog(input: {id: "missing", name: "Missing"}) { problem { detail } } }')
    second = await bulks.at_once(catalog, "importRelease", inputs, "k")
    assert [one["problem"] is None for one in second] == [False, False, True, True]
    assert await bulks.at_once(catalog, "importRelease", inputs, "k") == second


async def test_places_of_two_bulks_never_share_a_key(stocked_tenant: Catalog) -> None:
    """Whatever the keys of the bulks end with."""
    for number, key in enumerate(("k", "k\0", "k\0\0000", "0/k", "k0", "k" * 255)):
        [done] = await bulks.at_once(stocked_tenant, "createRelease", [new(f"{number}.0")], key)
        assert done["problem"] is None, key


@pytest.mark.parametrize("name", ["createRelease", "importRelease"])
async def test_other_input_with_the_same_key_is_a_conflict(stocked_tenant: Catalog, name: str) -> None:
    catalog = stocked_tenant
    make: Any = new if name == "createRelease" else lambda version: document(version=version)
    await bulks.at_once(catalog, name, [make("1.0")], "k")
    before = await bulks.stored(catalog)
    for inputs in ([make("2.0")], [make("1.0"), make("2.0")], []):
        done = (await catalog.ask(bulks.bulk_text(name), input={"releases": inputs, "idempotencyKey": "k"}))[
            "done"
        ]
        assert (done["results"], done["problem"]["__typename"]) == ([], "ConflictProblem")
    alone = await catalog.ask(bulks.text(name), input={**make("2.0"), "idempotencyKey": "k"})
    assert alone["done"]["problem"]["__typename"] == "ConflictProblem"
    assert await bulks.stored(catalog) == before


async def test_an_interrupted_bulk_continues_after_what_it_has_stored(
    stocked_tenant: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = stocked_tenant
    monkeypatch.setattr(bulk_writes, "MAX_BYTES", 1)
    inputs = [new(f"1.{at}") for at in range(6)]
    run, left = transactions.run, 3

    async def interrupted(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise NothingWritten("The process dies.")
        return await run(*arguments)

    monkeypatch.setattr(transactions, "run", interrupted)
    values = {"releases": inputs, "idempotencyKey": "k"}
    response = await catalog.respond(bulks.bulk_text("createRelease"), input=values)
    [error] = response["errors"]
    assert error["extensions"]["outcome"] == "UNKNOWN", "what was stored before the failure remains"
    before = await bulks.stored(catalog)
    assert len(before["releases"]) == 3
    monkeypatch.setattr(transactions, "run", run)
    other = {"releases": [new("9.0")], "idempotencyKey": "k"}
    done = (await catalog.ask(bulks.bulk_text("createRelease"), input=other))["done"]
    assert done["problem"]["__typename"] == "ConflictProblem"
    results = await bulks.at_once(catalog, "createRelease", inputs, "k")
    assert [one["problem"] for one in results] == [None] * 6
    assert [one["release"]["version"] for one in results] == [one["version"] for one in inputs]
    after = await bulks.stored(catalog)
    assert len(after["releases"]) == len(after["events"]) == 6
    assert await bulks.at_once(catalog, "createRelease", inputs, "k") == results


async def test_concurrent_bulks_with_one_key_store_once(stocked_tenant: Catalog) -> None:
    catalog = stocked_tenant
    values = {"releases": [new(f"1.{at}") for at in range(5)], "idempotencyKey": "k"}
    text = bulks.bulk_text("createRelease")
    answers = [
        answer["done"] for answer in await asyncio.gather(*(catalog.ask(text, input=values) for _ in range(5)))
    ]
    done = [answer["results"] for answer in answers if answer["problem"] is None]
    assert done
    assert all(one == done[0] for one in done)
    assert {answer["problem"]["__typename"] for answer in answers if answer["problem"]} <= {"ConflictProblem"}
    assert len((await bulks.stored(catalog))["releases"]) == 5


@pytest.mark.usefixtures("many_processes")
async def test_concurrent_bulks_create_each_version_once(stocked_tenant: Catalog) -> None:
    catalog = stocked_tenant
    inputs = [new(f"1.{at}") for at in range(20)]
    answers = await asyncio.gather(
        *(bulks.at_once(catalog, "createRelease", inputs[turn:] + inputs[:turn]) for turn in (0, 5, 10))
    )
    made = [one["release"]["version"] for answer in answers for one in answer if one["release"]]
    assert sorted(made) == sorted(one["version"] for one in inputs)
    problems = {one["problem"]["__typename"] for answer in answers for one in answer if one["problem"]}
    assert problems == {"ConflictProblem"}


@pytest.mark.usefixtures("many_processes")
async def test_short_writes_of_other_processes_do_not_keep_a_bulk_from_its_end(stocked_tenant: Catalog) -> None:
    catalog, over, made = stocked_tenant, asyncio.Event(), itertools.count()

    async def write() -> None:
        while not over.is_set():
            [result] = await bulks.one_by_one(catalog, "createRelease", [new(f"2.{next(made)}")])
            assert result["problem"] is None

    writers = [asyncio.ensure_future(write()) for _ in range(4)]
    try:
        results = await bulks.at_once(catalog, "createRelease", [new(f"1.{at}") for at in range(100)])
    finally:
        over.set()
        await asyncio.gather(*writers)
    assert [one["problem"] for one in results] == [None] * 100


async def test_an_input_that_is_too_deep_is_refused_alone_and_told_apart(stocked_tenant: Catalog) -> None:
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    inputs = [new("1.0", metadata={"deep": deep}), new("2.0")]
    first = await bulks.at_once(stocked_tenant, "createRelease", inputs, "k")
    assert [bool(one["problem"]) for one in first] == [True, False]
    values = {"releases": [inputs[0], new("3.0")], "idempotencyKey": "k"}
    done = (await stocked_tenant.ask(bulks.bulk_text("createRelease"), input=values))["done"]
    assert done["problem"]["__typename"] == "ConflictProblem"


async def test_a_key_inside_is_a_violation_of_its_place(stocked_tenant: Catalog) -> None:
    catalog = stocked_tenant
    inputs = [new("1.0"), new("2.0", idempotencyKey="own")]
    first, second = await bulks.at_once(catalog, "createRelease", inputs)
    assert first["problem"] is None
    [violation] = second["problem"]["violations"]
    assert (violation["field"], violation["code"]) == ("input.releases[1].idempotencyKey", "KEY_OF_BULK")
    for key in ("", "x" * 256):
        values = {"releases": [new("3.0")], "idempotencyKey": key}
        problem = (await catalog.ask(bulks.bulk_text("createRelease"), input=values))["done"]["problem"]
        assert [one["field"] for one in problem["violations"]] == ["input.idempotencyKey"]


# Dry runs, limits and permissions.


async def everything(catalog: Catalog) -> dict[str, list[Any]]:
    database = catalog.database.client[catalog.database.name]
    return {
        name: await database[name].find().to_list(None) for name in sorted(await database.list_collection_names())
    }


async def test_a_bulk_of_dry_runs_stores_nothing(stocked_tenant: Catalog) -> None:
    catalog = stocked_tenant
    before = await everything(catalog)
    inputs = [new("1.0", dryRun=True), new("1.0", dryRun=True), new("x", dryRun=True)]
    results = await bulks.at_once(catalog, "createRelease", inputs, "k")
    assert [(one["dryRun"], bool(one["problem"])) for one in results] == [
        (True, False),
        (True, False),
        (True, True),
    ]
    imports = [document("new", "1", dryRun=True, dependencies=[{"name": "one", "version": "1.0"}])]
    [tried] = await bulks.at_once(catalog, "importRelease", imports, "k")
    assert tried["release"]["product"]["key"] == "new"
    await bulks.at_once(catalog, "createRelease", [new("x"), new("1.0", "three")])
    assert await everything(catalog) == before


async def test_a_replayed_dry_run_keeps_the_product_that_it_would_create(stocked_tenant: Catalog) -> None:
    inputs = [document("one", "1.0"), document("new", "1", dryRun=True)]
    first = await bulks.at_once(stocked_tenant, "importRelease", inputs, "k")
    assert first[1]["release"]["product"]["key"] == "new"
    assert await bulks.at_once(stocked_tenant, "importRelease", inputs, "k") == first


@pytest.mark.parametrize("name", ["createRelease", "importRelease"])
async def test_at_most_100_releases_at_a_time(stocked_tenant: Catalog, name: str) -> None:
    catalog = stocked_tenant
    one = new("1.0") if name == "createRelease" else document()
    done = (await catalog.ask(bulks.bulk_text(name), input={"releases": [one] * 101}))["done"]
    assert done["results"] == []
    [violation] = done["problem"]["violations"]
    assert (violation["field"], violation["code"]) == ("input.releases", "TOO_MANY")
    assert "at most 100" in violation["message"]
    assert await bulks.at_once(catalog, name, []) == []


async def test_requests_that_are_too_large_name_their_limit(stocked_tenant: Catalog) -> None:
    text = "mutation($input: CreateReleasesInput!) { createReleases(input: $input) { results { dryRun } } }"
    async with served(stocked_tenant.database, max_body_bytes=100_000, max_cost=500) as http:
        many = {"input": {"releases": [new("1.0")] * 60}}
        assert error_of(await post(http, text, variables=many))["extensions"]["limit"] == "cost"
        long = {"input": {"releases": [new("1.0", notes="x" * 99_999)]}}
        assert error_of(await post(http, text, variables=long))["extensions"]["limit"] == "body"
        files = [{"name": "f", "size": 1, "sha256": "a", "downloadUrl": "u"}] * 1_001
        listed = {"input": {"releases": [{**new("1.0"), "artifacts": files}]}}
        assert error_of(await post(http, text, variables=listed))["extensions"]["limit"] == "lists"


async def test_callers_without_the_scope_get_one_problem_for_the_whole(stocked_tenant: Catalog) -> None:
    reader = stocked_tenant.seen_by(Caller("local", "x", frozenset({READ})))
    values = {"releases": [new("1.0")], "idempotencyKey": "k"}
    done = (await reader.ask(bulks.bulk_text("createRelease"), input=values))["done"]
    assert (done["results"], done["problem"]["__typename"]) == ([], "ForbiddenProblem")
    assert (await bulks.stored(stocked_tenant))["releases"] == []


@pytest.mark.parametrize("name", ["createRelease", "importRelease"])
async def test_a_token_of_one_product_writes_only_the_places_of_its_product(
    stocked_tenant: Catalog, name: str
) -> None:
    bound = stocked_tenant.seen_by(Caller("local", "ci", frozenset({WRITE}), product="one"))
    make: Any = (lambda product: new("1.0", product)) if name == "createRelease" else document
    inputs = [make("two"), make("one"), make("two")]
    results = await bulks.at_once(bound, name, inputs)
    kinds = [one["problem"] and one["problem"]["__typename"] for one in results]
    assert kinds == ["ForbiddenProblem", None, "ForbiddenProblem"]
    assert results[0]["problem"]["scope"] == WRITE


# Files.


@pytest.fixture
async def files(stocked_tenant: Catalog) -> AsyncIterator[serving.Files]:
    """Files that the catalog may fetch."""
    allowed = address_guard.parse("127.0.0.0/8")
    async with (
        serving.serving() as server,
        verifier.Fetcher(allowed, max_bytes=1 << 30, at_once=4, seconds=20) as fetcher,
    ):
        stocked_tenant.files = fetcher
        yield server


def file(files: serving.Files, name: str, content: bytes, declared: bytes | None = None) -> Json:
    digest = hashlib.sha256(content if declared is None else declared).hexdigest()
    return {"name": name, "size": len(content), "sha256": digest, "downloadUrl": files.put(name, content)}


async def test_the_files_of_a_bulk_are_fetched_together_before_anything_is_stored(
    stocked_tenant: Catalog, files: serving.Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = stocked_tenant
    assert catalog.files
    calls: list[list[str]] = []
    check_all = catalog.files.check_all

    async def noted(owner: Any, artifacts: Any, *arguments: Any, **named: Any) -> Any:
        assert (await bulks.stored(catalog))["releases"] == []
        calls.append([artifact["name"] for artifact in artifacts])
        return await check_all(owner, artifacts, *arguments, **named)

    monkeypatch.setattr(catalog.files, "check_all", noted)
    wrong = file(files, "wrong", b"wrong", b"right")
    inputs = [
        document("new", "1", artifacts=[file(files, "a", b"a"), wrong], verification="WAIT"),
        document("new", "x" * 65, artifacts=[file(files, "refused", b"r")], verification="WAIT"),
        document("new", "2", artifacts=[file(files, "later", b"l")], verification="BACKGROUND"),
        document("new", "3", artifacts=[file(files, "tried", b"t")], verification="WAIT", dryRun=True),
        document("new", "4", artifacts=[file(files, "b", b"b")], verification="WAIT", createProduct=False),
    ]
    results = await bulks.at_once(catalog, "importRelease", inputs, "k")
    assert calls == [["a", "wrong", "b"]]
    statuses = [
        one["release"] and [artifact["verification"]["status"] for artifact in one["release"]["artifacts"]]
        for one in results
    ]
    assert statuses == [["VERIFIED", "MISMATCH"], None, ["PENDING"], ["SKIPPED"], ["VERIFIED"]]
    assert results[1]["problem"]["violations"][0]["field"] == "input.releases[1].release.version"
    assert [warning["artifactName"] for warning in results[0]["warnings"]] == ["wrong", ""]
    events = [event["type"] for event in (await bulks.stored(catalog))["events"]]
    imported = "release.imported"
    assert events == [
        imported,
        "artifact.verified",
        "artifact.mismatched",
        imported,
        imported,
        "artifact.verified",
    ]
    assert await bulks.at_once(catalog, "importRelease", inputs, "k") == results
    assert len(calls) == 1, "a replay fetches nothing"


async def test_releases_that_wait_for_files_find_products_that_earlier_ones_create_in_other_catalogs(
    stocked_tenant: Catalog, files: serving.Files
) -> None:
    """Before any file is fetched, each is tried on what those before it would store."""
    catalog = stocked_tenant
    inputs = [
        document("fresh", "1", artifacts=[file(files, "a", b"a")], verification="WAIT", catalogId="other"),
        document("fresh", "2", artifacts=[file(files, "b", b"b")], verification="WAIT", createProduct=False),
        document("later", "1", artifacts=[file(files, "c", b"c")], verification="WAIT", catalogId="other"),
        document("later", "2", artifacts=[file(files, "d", b"d")], verification="WAIT", createProduct=False),
        document("never", "1", artifacts=[file(files, "e", b"e")], verification="WAIT", createProduct=False),
    ]
    *results, refused = await bulks.at_once(catalog, "importRelease", inputs)
    for one in results:
        assert one["problem"] is None
        assert one["release"]["catalog"]["id"] == "other"
        assert [artifact["verification"]["status"] for artifact in one["release"]["artifacts"]] == ["VERIFIED"]
    assert refused["problem"]["violations"][0]["code"] == "UNKNOWN"


async def test_a_bulk_gives_up_its_files_at_the_deadline_of_one_release(
    stocked_tenant: Catalog, files: serving.Files
) -> None:
    assert stocked_tenant.files
    stocked_tenant.files._seconds = 0.0
    inputs = [
        document("one", f"1.{at}", artifacts=[file(files, "a", b"a")], verification="WAIT") for at in range(3)
    ]
    results = await bulks.at_once(stocked_tenant, "importRelease", inputs)
    assert [one["release"]["artifacts"][0]["verification"]["status"] for one in results] == ["UNREACHABLE"] * 3
