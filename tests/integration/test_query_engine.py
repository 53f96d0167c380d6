"""Plans answer as the ordinary executor does, byte for byte; it is asked about whatever they do not expect."""

import asyncio
import gc
import re
from types import SimpleNamespace
from typing import Any

import hypothesis
import orjson
import pytest
from graphql import parse, validate
from hypothesis import strategies as st
from pymongo.errors import WriteError

from release_catalog import usage
from release_catalog.domain import release_parts
from release_catalog.graphql_api.schema import schema
from release_catalog.graphql_http import response
from release_catalog.query_engine import executor
from release_catalog.query_engine.context import Context
from release_catalog.storage.collection_names import RELEASES
from release_catalog.storage.database import ReadOnlyDatabase
from release_catalog.usage import Usage
from support.catalog import Catalog, source
from support.effort import bounded
from support.queries import queries

# The executor leaves coroutines behind where a field fails beside others that it has not awaited yet.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ANY_EXAMPLE = [hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow,
               hypothesis.HealthCheck.filter_too_much]  # fmt: skip
_ERROR_ID = re.compile(rb"(Unexpected error |\"errorId\":\")[0-9a-f]{24}")


def _masked(body: bytes) -> bytes:
    return _ERROR_ID.sub(b"", body)


FILE = {"name": "a.deb", "size": 1, "sha256": "a" * 64, "downloadUrl": "https://downloads.example/a.deb"}


async def both(catalog: Catalog, query: str, **variables: Any) -> bytes:
    """The response, which must be the same without plans."""
    planned = await catalog.body(query, variables)
    executed = await catalog.body(query, variables, planned=False)
    # Errors that nobody foresaw carry an id of their own.
    assert _masked(planned) == _masked(executed), query
    return planned


# Motor draws random numbers in threads, where hypothesis takes them for its own.
@hypothesis.settings(max_examples=200, suppress_health_check=ANY_EXAMPLE)
@hypothesis.given(query=queries(), yes=st.sampled_from([True, False, None]))
async def test_any_query_is_answered_as_the_executor_answers_it(
    stocked: Catalog, query: str, yes: bool | None
) -> None:
    hypothesis.assume(not validate(schema._schema, parse(query)))
    await both(stocked, query, **({} if yes is None else {"yes": yes}))


EVERYTHING = """fragment Place on PageInfo { hasNextPage endCursor }
query($id: ID!) { release(id: $id) {
  id tenantId name version revision branch tag channel packagingType trial status importedStatus published publishedAt
  private archived archivedAt author notes description metadata createdAt updatedAt releasedAt importedAt endOfLifeAt
  etag artifactCount platforms { name osFamily } withdrawal { reason replacement { id } }
  artifacts { id name platform { name } size sha256 metadata extension published createdAt release { name }
    verification { status expectedSha256 actualSize } }
  registryArtifact { name url } dockerImages { name platform { name } metadata }
  platformReleaseMetadata { releaseMetadata { id } } customizations { artifact { id } }
  catalog { id } product { key catalog { id name } } baseImage { name } registry { url } pipeline { name }
  delivery { status startDate projects { project { name } stream { name } } properties { propertyValue } }
  dependencies { totalCount edges { cursor reference { name } node { id } } nodes { name } pageInfo { ...Place } }
  dependants { totalCount nodes { name } edges { cursor node { name } } pageInfo { ...Place } }
  latestRelease { id } promotions { totalCount }
  _links { self { href } product { href } baseImage { href } latestRelease { href } dependencies { href } }
} }"""
LISTS = {"dependencies", "platforms", "artifacts", "platformReleaseMetadata", "dockerImages", "customizations"}
JUNK: list[Any] = [None, 7, 1.5, True, "x", "", [], [None], [[]], ["x"], {}, {"name": None}, 2**40, b"x"]


async def test_any_document_gets_the_response_of_the_executor(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Thousands of tracebacks.
    monkeypatch.setattr(response, "_log", SimpleNamespace(error=lambda *_, **__: None))
    await empty.load(source("lib"), source("app", needs=["lib"], artifacts=[FILE]), publish=True)
    app: Any = await empty.database[RELEASES].find_one({"name": "app"})
    assert app
    await empty.database[RELEASES].delete_one({"_id": app["_id"]})
    right = 0
    # Catalogs are taken to be there where nothing but their id is asked for.
    for key in app.keys() - {"_id", "id", "tenantId", "status", "private", "terms", "catalogId"}:
        # MongoDB shows the documents of a list alone where a part of them is asked for; in their absence, nothing.
        for junk in JUNK if key not in LISTS else [j for j in JUNK if isinstance(j, dict) or j in ([], [[]])]:
            try:
                await empty.database[RELEASES].insert_one(app | {key: junk})
            except WriteError:  # no index can hold it
                continue
            body = await both(empty, EVERYTHING, id=app["id"])
            right += b'"errors"' not in body
            await empty.database[RELEASES].delete_one({"_id": app["_id"]})
    assert right > len(JUNK)
    gc.collect()


async def test_valid_queries_need_no_fallback(stocked: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "CountingExecutor", SimpleNamespace(build=None))
    for id_ in ("64455e6bd3c480fd58546c75", "13607"):
        assert (await stocked.ask(EVERYTHING, id=id_))["release"]["id"] == id_


@pytest.mark.parametrize(
    "query",
    [
        '{ a: release(id: "13607") { id } b: release(id: "13607") { dependencies(first: 0) { totalCount } } }',
        "{ releases(first: 0) { totalCount } viewer { subject } }",
        '{ viewer { subject } __schema { queryType { name } } release(id: "13607") { name __typename } }',
        "query($no: Boolean!) { viewer { subject } release(id: 7) { name @skip(if: $no) } }",
        '{ release(id: "13607") { latestRelease { dependants(after: "?") { totalCount } } name } catalogs { totalCount } }',
    ],
)
async def test_errors_equal_those_of_the_executor(stocked: Catalog, query: str) -> None:
    await both(stocked, query)


def nested(depth: int) -> str:
    """Fragments that ask for 2^depth fields."""
    parts = [f"fragment F{n} on Release {{ id a: latestRelease {{ ...F{n + 1} }} b: latestRelease {{ ...F{n + 1} }} }}"
             for n in range(depth)]  # fmt: skip
    return f'{{ release(id: "x") {{ ...F0 }} }} {" ".join(parts)} fragment F{depth} on Release {{ id name }}'


async def test_a_hostile_document_compiles_in_linear_time(stocked: Catalog) -> None:
    document = executor.Document(schema._schema, parse(nested(60)))
    operation = document.operation(None)
    assert operation
    with bounded():
        plan = document.plan(operation, {})
    assert plan.fields["release"]


async def test_more_fields_than_a_plan_may_have_are_left_to_the_executor() -> None:
    wide = " ".join(f"...F{n}" for n in range(400))
    fragments = " ".join(f"fragment F{n} on Release {{ a{n}: latestRelease {{ {wide} }} }}" for n in range(1))
    fragments += " ".join(f"fragment F{n} on Release {{ a{n}: latestRelease {{ ...F0 }} }}" for n in range(1, 400))
    document = executor.Document(schema._schema, parse(f'{{ release(id: "x") {{ {wide} }} }} {fragments}'))
    operation = document.operation(None)
    assert operation
    with bounded():
        assert document.plan(operation, {}).fields == {"release": None}


@pytest.mark.parametrize(
    ("query", "reads"),
    [
        ("{ releases { nodes { catalog { id } product { id catalog { __typename } } } } }", {"releases": 1, "products": 1}),
        ("{ releases { nodes { catalog { id } product { id } } } }", {"releases": 1}),
        ("{ releases { nodes { name } pageInfo { endCursor } edges { cursor } } }", {"releases": 1}),
        ("{ releases(first: 50) { nodes { product { name } _links { product { href } } } } }", {"releases": 1, "products": 1}),
        ("{ release(id: \"13607\") { latestRelease { name } _links { latestRelease { href } } } }", {"releases": 2, "counters": 1}),
    ],
)  # fmt: skip
async def test_there_are_no_more_commands_than_levels(stocked: Catalog, query: str, reads: dict[str, int]) -> None:
    await stocked.ask(query)
    assert stocked.commands.reads == reads


FREE = '{"é":[-0.0,1.0,1e-7,18446744073709551615,1e+300,"\\u0000\\"\\\\ 😀",null,true],"":{}}'


async def test_free_json_is_answered_as_it_is_stored_and_never_read(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert orjson.dumps(orjson.loads(FREE)).decode() == FREE
    files = [{**FILE, "metadata": orjson.loads(FREE)}, {**FILE, "name": "other"}]
    await empty.load(source("app", metadata=orjson.loads(FREE), artifacts=files), publish=True)

    def read(_: Any) -> Any:
        raise AssertionError("it was read")

    monkeypatch.setattr(orjson, "loads", read)
    body = await both(empty, "{ releases { nodes { metadata artifacts { metadata } } } }")
    node = f'{{"metadata":{FREE},"artifacts":[{{"metadata":{FREE}}},{{"metadata":null}}]}}'
    assert body.decode() == f'{{"data":{{"releases":{{"nodes":[{node}]}}}}}}'


STEP = 400


class Turns:
    """Counts how many files are made in each turn of the event loop, by a field that is asked of each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = [0]
        self.steps = 0
        extension, begin_step = release_parts.extension, Usage.begin_step

        def counted(name: str) -> str | None:
            self.made[-1] += 1
            return extension(name)

        def begun(counters: Usage) -> None:
            self.steps += 1
            begin_step(counters)

        monkeypatch.setattr(release_parts, "extension", counted)
        monkeypatch.setattr(Usage, "begin_step", begun)

    async def run(self, catalog: Catalog, query: str) -> tuple[bytes, Usage]:
        async def turn() -> None:
            while True:
                await asyncio.sleep(0)
                self.made.append(0)

        context = Context(catalog.caller, catalog.database, reading=ReadOnlyDatabase(catalog.database))
        document = executor.Document(schema._schema, parse(query))
        turning = asyncio.ensure_future(turn())
        try:
            result = await executor.answer(document, schema._schema, context, None, None)
        finally:
            turning.cancel()
        return response.encode_json(response.format_result(result)), context.usage


@pytest.fixture
async def large(empty: Catalog) -> Catalog:
    files = [{**FILE, "name": f"{number}.deb", "platform": "linux/arm64"} for number in range(100)]
    await empty.load(*(source(f"app{n}", artifacts=files) for n in range(4)), publish=True)
    return empty


FILES = "artifacts { extension name platform { name osFamily } verification { status } }"
LARGE = {
    "lists": f'{{ releases(first: 1) {{ nodes {{ {" ".join(f"x{n}: {FILES}" for n in range(20))} }} }} }}',
    "documents": f"{{ releases(first: 4) {{ nodes {{ {FILES} name }} }} }}",
    "below objects": "{ releases(first: 4) { nodes { artifacts { release { artifacts { extension } } } } } }",
    "columns": f"{{ releases(first: 4) {{ nodes {{ {FILES} latestRelease {{ {FILES} product {{ name }} }} }} }} }}",
    "side by side": f'{{ {" ".join(f"x{n}: releases(first: 1) {{ nodes {{ {FILES} }} }}" for n in range(12))} }}',
}  # fmt: skip


@pytest.mark.parametrize("query", LARGE.values(), ids=LARGE.keys())
async def test_a_large_answer_is_made_in_steps_between_which_others_have_their_turn(
    large: Catalog, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    expected, whole = await Turns(monkeypatch).run(large, query)
    executed = await large.body(query, {}, planned=False)
    monkeypatch.setattr(usage, "STEP_VALUES", STEP)
    turns = Turns(monkeypatch)
    body, counted = await turns.run(large, query)
    assert body == expected == executed
    assert (counted.sent, counted.bounds_sent) == (whole.sent, whole.bounds_sent)
    # A step begins with a list, and goes on until its values are used up.
    assert turns.steps > 3
    assert 0 < max(turns.made) <= STEP + 100


async def test_a_large_answer_is_counted_while_it_is_made(large: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "STEP_VALUES", STEP)
    monkeypatch.setattr(Usage, "take_documents", lambda *_: None)
    monkeypatch.setattr(Usage.__init__, "__defaults__", (usage.MAX_NODES, 30_000))
    turns = Turns(monkeypatch)
    _, counted = await turns.run(large, LARGE["lists"])
    assert counted.exceeded
    assert 0 < sum(turns.made) < 1_000


async def test_a_small_answer_is_made_at_once(large: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(monkeypatch)
    await turns.run(large, LARGE["documents"])
    assert turns.steps == 0
    assert sum(turns.made) == 400
