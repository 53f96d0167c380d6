"""Plans answer as the ordinary executor does, byte for byte; it is asked about whatever they do not expect."""

import gc
import re
import time
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
from graphql import parse, validate
from hypothesis import strategies as st
from pymongo import AsyncMongoClient
from pymongo.errors import WriteError

from asking import queries
from catalog import Catalog, source
from release_catalog.graphql_api.schema import schema
from release_catalog.graphql_http import response
from release_catalog.query_engine import executor

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
@pytest.mark.parametrize("driver", [AsyncMongoClient])
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


@pytest.mark.parametrize("driver", [AsyncMongoClient])
async def test_whatever_documents_hold_is_answered_as_the_executor_answers_it(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Thousands of tracebacks.
    monkeypatch.setattr(response, "_log", SimpleNamespace(error=lambda *_, **__: None))
    await empty.load(source("lib"), source("app", needs=["lib"], artifacts=[FILE]), publish=True)
    app = await empty.database.releases.find_one({"name": "app"})
    assert app
    await empty.database.releases.delete_one({"_id": app["_id"]})
    right = 0
    # Catalogs are taken to be there where nothing but their id is asked for.
    for key in app.keys() - {"_id", "id", "tenantId", "status", "private", "terms", "catalogId"}:
        # MongoDB shows the documents of a list alone where a part of them is asked for.
        for junk in JUNK if key not in LISTS else [j for j in JUNK if j not in ([None], ["x"])]:
            try:
                await empty.database.releases.insert_one({**app, key: junk})
            except WriteError:  # no index can hold it
                continue
            body = await both(empty, EVERYTHING, id=app["id"])
            right += b'"errors"' not in body
            await empty.database.releases.delete_one({"_id": app["_id"]})
    assert right > len(JUNK)
    gc.collect()


async def test_what_is_asked_rightly_needs_no_executor(stocked: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "Executor", None)
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
async def test_what_goes_wrong_is_told_as_the_executor_tells_it(stocked: Catalog, query: str) -> None:
    await both(stocked, query)


def nested(depth: int) -> str:
    """Fragments that ask for 2^depth fields."""
    parts = [f"fragment F{n} on Release {{ id a: latestRelease {{ ...F{n + 1} }} b: latestRelease {{ ...F{n + 1} }} }}"
             for n in range(depth)]  # fmt: skip
    return f'{{ release(id: "x") {{ ...F0 }} }} {" ".join(parts)} fragment F{depth} on Release {{ id name }}'


async def test_a_hostile_document_compiles_in_the_time_of_its_length(stocked: Catalog) -> None:
    document = executor.Document(schema._schema, parse(nested(60)))
    operation = document.operation(None)
    assert operation
    began = time.process_time()
    plan = document.plan(operation, {})
    assert time.process_time() - began < 1
    assert plan.fields["release"]


async def test_more_fields_than_a_plan_may_have_are_left_to_the_executor() -> None:
    wide = " ".join(f"...F{n}" for n in range(400))
    fragments = " ".join(f"fragment F{n} on Release {{ a{n}: latestRelease {{ {wide} }} }}" for n in range(1))
    fragments += " ".join(f"fragment F{n} on Release {{ a{n}: latestRelease {{ ...F0 }} }}" for n in range(1, 400))
    document = executor.Document(schema._schema, parse(f'{{ release(id: "x") {{ {wide} }} }} {fragments}'))
    operation = document.operation(None)
    assert operation
    began = time.process_time()
    assert document.plan(operation, {}).fields == {"release": None}
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("query", "reads"),
    [
        ("{ releases { nodes { catalog { id } product { id catalog { __typename } } } } }", {"releases": 1, "products": 1}),
        ("{ releases { nodes { catalog { id } product { id } } } }", {"releases": 1}),
        ("{ releases { nodes { name } pageInfo { endCursor } edges { cursor } } }", {"releases": 1}),
        ("{ releases(first: 50) { nodes { product { name } _links { product { href } } } } }", {"releases": 1, "products": 1}),
        ("{ release(id: \"13607\") { latestRelease { name } _links { latestRelease { href } } } }", {"releases": 2}),
    ],
)  # fmt: skip
async def test_there_are_no_more_commands_than_levels(stocked: Catalog, query: str, reads: dict[str, int]) -> None:
    await stocked.ask(query)
    assert stocked.commands.reads == reads
