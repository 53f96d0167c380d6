"""Answers are bounded in bytes, while their documents are read and while they are made."""

from collections.abc import Callable
from typing import Any

import httpx2
import orjson
import pytest
from graphql import ExecutionResult, parse
from pymongo.monitoring import CommandListener

from conftest import LOCAL, connected
from release_catalog.domain import release_parts, timestamps
from release_catalog.domain.caller import Owner
from release_catalog.fair_share import Aside
from release_catalog.graphql_api.schema import schema
from release_catalog.graphql_http.response import encode_json, format_result
from release_catalog.query_engine import executor
from release_catalog.query_engine.context import Context
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage.collection_names import COUNTERS, EVENTS, PRODUCTS, RELEASES
from release_catalog.storage.database import ReadOnlyDatabase
from release_catalog.usage import Usage
from support import subscribers as following
from support.catalog import Catalog
from support.graphql_client import JSON, RESPONSE, data_of, error_of, post, results, served, stream

KILOBYTE, MEGABYTE = 1 << 10, 1 << 20
TOO_LARGE = {"code": "LIMIT_EXCEEDED", "limit": "bytes"}
WHERE = pytest.mark.parametrize("planned", [True, False], ids=["planned", "executed"])


def text(size: int) -> str:
    return orjson.dumps({"text": "x" * (size - 11)}).decode()


async def fill(catalog: Catalog, count: int, size: int, **fields: Any) -> list[str]:
    """Releases with so many bytes of metadata each; returns their ids."""
    product = await catalog.product(f"large {size}")
    common: dict[str, Any] = {"status": "PUBLISHED", "metadata": text(size), **fields}
    return [(await catalog.put(product, str(number), **common))["id"] for number in range(count)]


async def run(
    catalog: Catalog, query: str, *, planned: bool = True, limit: int = 16 * MEGABYTE, **variables: Any
) -> tuple[ExecutionResult, Usage]:
    context = Context(catalog.caller, catalog.database, reading=ReadOnlyDatabase(catalog.database))
    context.usage.max_bytes = limit
    document = executor.Document(schema._schema, parse(query))
    result = await executor.answer(document, schema._schema, context, variables, None, planned=planned)
    return result, context.usage


async def refused(catalog: Catalog, query: str, limit: int, *, planned: bool, **variables: Any) -> Usage:
    """Return the usage of a query that must exceed the limit."""
    result, usage = await run(catalog, query, planned=planned, limit=limit, **variables)
    assert result.data is None, query
    [error] = result.errors or []
    assert error.extensions == {**TOO_LARGE, "allowed": limit}
    return usage


PAGE = "{ releases(first: 40) { nodes { metadata } } }"


class Documents(CommandListener):
    """Counts the documents that the database sends, and the cursors that are closed early."""

    def __init__(self) -> None:
        self.sent = 0
        self.closed = 0

    def started(self, event: Any) -> None:
        self.closed += event.command_name == "killCursors"

    def succeeded(self, event: Any) -> None:
        cursor = event.reply.get("cursor", {})
        self.sent += len(cursor.get("firstBatch", cursor.get("nextBatch", ())))

    def failed(self, event: Any) -> None:
        pass


@WHERE
async def test_reading_stops_soon_after_the_limit(mongodb_url: str, empty: Catalog, planned: bool) -> None:
    await fill(empty, 40, MEGABYTE)
    documents = Documents()
    async with connected(mongodb_url, empty.database.name, documents) as database:
        usage = await refused(Catalog(database, LOCAL), PAGE, 5 * MEGABYTE, planned=planned)
        # MongoDB sends at most 16 MiB at a time, of which steps of eight are looked at.
        assert documents.sent <= 16
        assert documents.closed == 1
        assert usage.read < 20 * MEGABYTE
        documents.sent = 0
        await refused(Catalog(database, LOCAL), PAGE, 20 * MEGABYTE, planned=planned)
        assert documents.sent < 40


@WHERE
async def test_several_pages_in_one_command_stop_there_too(
    mongodb_url: str, empty: Catalog, planned: bool
) -> None:
    for number in range(30):
        product = await empty.product(f"p{number}")
        await empty.put(product, "1", metadata=text(MEGABYTE))
    documents = Documents()
    query = "{ products(first: 30) { nodes { releases(first: 5) { nodes { metadata } } } } }"
    async with connected(mongodb_url, empty.database.name, documents) as database:
        await refused(Catalog(database, LOCAL), query, 4 * MEGABYTE, planned=planned)
        assert documents.sent < 30 + 30


LATEST = "{ releases(first: 50) { nodes { latestRelease { metadata } } } }"


@WHERE
@pytest.mark.parametrize(
    "query",
    [
        # Read once, and answered many times.
        "{ releases(first: 1) { nodes { %s } } }" % " ".join(f"a{n}: metadata" for n in range(30)),
        "{ releases(first: 1) { nodes { artifacts { release { metadata } } } } }",
        "{ releases(first: 1) { nodes { artifacts { release { notes artifacts { id } } } } } }",
        "{ %s: releases(first: 1) { nodes { artifacts { %s: name } } } }" % ("a" * 10, "b" * 20_000),
        "{ releases(first: 1) { nodes { %s } } }" % " ".join(f"a{n}: artifacts {{ sha256 downloadUrl }}" for n in range(30)),
        "query($id: ID!) { compareReleases(fromId: $id, toId: $id) { %s } }"
        % " ".join(f"a{n}: from {{ metadata }}" for n in range(30)),
        "query($id: ID!) { %s }" % " ".join(f"a{n}: exportRelease(id: $id)" for n in range(30)),
    ],
)  # fmt: skip
async def test_repeated_values_count_each_time(empty: Catalog, planned: bool, query: str) -> None:
    now = timestamps.now()
    files = [
        release_parts.artifact(
            now, name=f"f{n}", sha256=f"{n:064x}", size=1, downloadUrl="https://h.example/" + "x" * 80
        )
        for n in range(300)
    ]
    [id_] = await fill(empty, 1, 40 * KILOBYTE, artifacts=files, notes="n" * 4_000)
    variables = {"id": id_} if "$id" in query else {}
    usage = await refused(empty, query, MEGABYTE, planned=planned, **variables)
    # Only what was under way at that moment goes beyond it.
    assert usage.read + usage.sent < 10 * MEGABYTE


@WHERE
async def test_a_document_that_many_refer_to_counts_for_each(empty: Catalog, planned: bool) -> None:
    await fill(empty, 1, 100 * KILOBYTE)
    product = await empty.database[PRODUCTS].find_one({})
    assert product
    for number in range(49):
        await empty.put(product, f"0.{number}", status="DRAFT")
    await refused(empty, LATEST, 2 * MEGABYTE, planned=planned)
    result, usage = await run(empty, LATEST, planned=planned)
    assert result.errors is None
    assert len(encode_json(format_result(result))) > 4 * MEGABYTE
    # The ordinary executor asks for it again and again.
    assert usage.read < MEGABYTE or not planned


@WHERE
async def test_small_answers_are_not_refused(empty: Catalog, planned: bool) -> None:
    await fill(empty, 30, 200)
    query = "{ releases(first: 30) { nodes { id name metadata product { key } platforms { name } } } }"
    whole, _ = await run(empty, query, planned=planned)
    size = len(encode_json(whole.data or {}))
    # The ordinary executor reads whole documents.
    result, _ = await run(empty, query, planned=planned, limit=(3 if planned else 30) * size)
    assert result.errors is None
    result, _ = await run(empty, query, planned=planned, limit=size // 3)
    assert result.errors


async def test_the_limit_names_what_to_do(empty: Catalog) -> None:
    await fill(empty, 40, 100 * KILOBYTE)
    async with served(empty.database, max_response_bytes=MEGABYTE) as http:
        answer = await post(http, PAGE, JSON)
        assert answer.status_code == 200
        error = error_of(answer)
        assert error["extensions"] == {**TOO_LARGE, "allowed": MEGABYTE}
        assert "smaller pages" in error["message"]
        assert (await post(http, PAGE, RESPONSE)).status_code == 400
        assert data_of(await post(http, PAGE.replace("40", "5")))


@pytest.mark.parametrize("limit", [2_000, 4_000, 8_000, 16_000, 32_000])
async def test_no_answer_is_larger_than_the_limit(empty: Catalog, limit: int) -> None:
    # Control characters and others outside ASCII take up to six bytes each.
    await fill(empty, 20, 100, notes="\x01" * 300, description="\U0001f600" * 100)
    async with served(empty.database, max_response_bytes=limit) as http:
        for first in (1, 2, 5, 10, 20):
            query = "{ releases(first: %d) { nodes { notes description name } } }" % first
            answer = await post(http, query, RESPONSE)
            body = answer.json()
            assert ("data" in body) != ("errors" in body)
            assert answer.status_code == (200 if "data" in body else 400)
            if "data" in body:
                assert len(orjson.dumps(body["data"])) <= limit
            else:
                # One release more is read than is shown.
                assert first > 1 or limit < 5_000
                assert body["errors"][0]["extensions"]["limit"] == "bytes"


async def test_the_rate_limit_counts_bytes_once_the_answer_is_there(empty: Catalog) -> None:
    await fill(empty, 3, 100 * KILOBYTE)
    query = "{ releases(first: 3) { nodes { metadata } } }"
    async with served(empty.database, cost_per_hour=1_000) as http:
        answer = await post(http, query)
        # 300 KiB in parts of 16, and a little more around them.
        assert answer.json()["extensions"]["cost"] == {"requested": 4, "limit": 5000, "additional": 15}
        assert answer.headers["x-ratelimit-remaining"] == "981"
        small = await post(http, "{ releases(first: 3) { nodes { id } } }")
        assert small.json()["extensions"]["cost"] == {"requested": 4, "limit": 5000}
        assert small.headers["x-ratelimit-remaining"] == "977"
    async with served(empty.database, cost_per_hour=10) as http:
        # What is done is paid, even where it was more than was left.
        assert (await post(http, query)).headers["x-ratelimit-remaining"] == "0"
        assert (await post(http, "{ __typename }")).status_code == 429
    async with served(empty.database, cost_per_hour=1_000, max_response_bytes=100 * KILOBYTE) as http:
        gone = await post(http, query)
        assert error_of(gone)["extensions"]["limit"] == "bytes"
        assert int(gone.headers["x-ratelimit-remaining"]) < 990


async def test_a_too_large_response_tells_that_the_mutation_may_have_taken_effect(empty: Catalog) -> None:
    product = await empty.product("tool")
    create = """mutation($input: CreateReleaseInput!) { %s: createRelease(input: $input) { release { metadata } }
        second: createRelease(input: {productId: "%s", name: "b", version: "1"}) { release { id } } }"""
    fields = {"productId": product["id"], "name": "a", "version": "1", "metadata": {"text": "x" * 20_000}}
    async with served(empty.database, max_response_bytes=10_000) as http:
        answer = await post(
            http, create % ("first", product["id"]), variables={"input": {**fields, "dryRun": True}}
        )
        assert error_of(answer)["extensions"]["limit"] == "bytes"
        assert await empty.database[RELEASES].count_documents({}) == 0
        answer = await post(http, create % ("first", product["id"]), variables={"input": fields})
        assert "Changes made by this request remain" in error_of(answer)["message"]
    # It ended there: what came next in the request was not done.
    assert [one["name"] async for one in empty.database[RELEASES].find()] == ["a"]


async def test_events_are_bounded(empty: Catalog) -> None:
    await fill(empty, 1, 100)
    found = await empty.database[RELEASES].find_one({})
    assert found
    event: Any = {
        "tenantId": "local", "type": "release.created", "triggeredAt": timestamps.now(), "releaseId": found["id"],
        "productId": found["productId"], "open": True, "data": text(50 * KILOBYTE),
    }  # fmt: skip
    for number in range(1, 41):
        event |= {"_id": LOCAL.key(str(number)), "sequence": number}
        await empty.database[EVENTS].insert_one(event)
    counter = {"_id": LOCAL.key("events")}
    await empty.database[COUNTERS].update_one(counter, {"$set": {"value": 40}}, upsert=True)
    query = "{ events(first: 40) { nodes { data } } }"
    for planned in (True, False):
        await refused(empty, query, MEGABYTE, planned=planned)
        assert (await run(empty, query, planned=planned))[0].errors is None
    app = create_app(Settings(max_response_bytes=20 * KILOBYTE), database=empty.database)
    follow = 'subscription { events(after: "0") { id data } }'
    async with (
        following.served(app) as host,
        httpx2.AsyncClient(timeout=30) as http,
        stream(http, follow, url=f"http://{host}") as answer,
    ):
        told = await anext(results(answer))
        assert told["errors"][0]["extensions"] == {**TOO_LARGE, "allowed": 20 * KILOBYTE}


async def test_hal_documents_are_bounded(empty: Catalog) -> None:
    files = [
        {"id": f"f{n}", "mimeType": None, "url": "https://h.example/" + "x" * 500, "filename": None}
        for n in range(100)
    ]
    [id_] = await fill(empty, 1, 100, platformReleaseMetadata=[{"platform": None, "releaseMetadata": files}])
    path = f"/v1/catalogs/default/releases/{id_}"
    async with served(empty.database) as http:
        assert (await http.get(path)).status_code == 200
    async with served(empty.database, max_response_bytes=20 * KILOBYTE) as http:
        answer = await http.get(path)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert {name: answer.json()[name] for name in ("code", "limit", "allowed")} == {
            **TOO_LARGE, "allowed": 20 * KILOBYTE,
        }  # fmt: skip


async def test_the_rate_limit_counts_embedded_hal_documents(empty: Catalog) -> None:
    product = await empty.product("app")
    hub = await empty.put(await empty.product("hub"), "1", status="PUBLISHED")
    needs = [{"name": "hub", "version": "1"}]
    for number in range(90):
        await empty.put(product, str(number), status="PUBLISHED", dependencies=needs, metadata=text(20 * KILOBYTE))
    path = f"/v1/catalogs/default/releases/{hub['id']}"

    async def used(address: str) -> int:
        async with served(empty.database, cost_per_hour=10_000) as http:
            assert (await http.get(address)).status_code == 200
            left = (await post(http, "{ __typename }")).headers["x-ratelimit-remaining"]
            return 10_000 - 1 - int(left)

    # Ninety links, and ninety releases with what belongs to each.
    assert 90 <= await used(path) <= 120
    assert 450 <= await used(f"{path}?expand_relationships=true") <= 2_000
    async with served(empty.database, cost_per_hour=50) as http:
        assert (await http.get(f"{path}?expand_relationships=true")).status_code == 429
    # What is only linked to is not read whole, and neither is what no HAL document shows.
    async with served(empty.database, max_response_bytes=MEGABYTE) as http:
        assert (await http.get(path)).status_code == 200
        assert (await http.get(f"{path}?expand_relationships=true")).status_code == 200


async def test_the_rate_limit_counts_what_a_count_counts(empty: Catalog) -> None:
    await fill(empty, 30, 100)
    _, usage = await run(empty, "{ releases { totalCount } }")
    assert usage.counted == 30


async def test_introspection_leaves_the_loop_to_others(empty: Catalog) -> None:
    aside = []

    class CountingAside(Aside):
        async def run(self, owner: Owner, work: Callable[[], Any]) -> Any:
            aside.append(1)
            return await super().run(owner, work)

    for query, times in (
        ("{ viewer { subject } __schema { types { name fields { name } } } }", 1),
        ("{ ...F } fragment F on Query { __schema { types { name } } }", 1),
        ("{ viewer { subject } catalogs { totalCount } }", 0),
    ):
        aside.clear()
        context = Context(
            empty.caller, empty.database, reading=ReadOnlyDatabase(empty.database), aside=CountingAside()
        )
        document = executor.Document(schema._schema, parse(query))
        result = await executor.answer(document, schema._schema, context, None, None)
        assert result.errors is None
        assert len(aside) == times
