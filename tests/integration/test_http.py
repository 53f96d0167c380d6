"""GraphQL over HTTP: what a request may look like, and what nobody should ever see in an answer."""

import collections
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from graphql import build_schema
from pymongo import AsyncMongoClient
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Route
from starlette.types import Message

from conftest import LOCAL, connected
from release_catalog.graphql_http import documents
from release_catalog.graphql_http import endpoint as view
from release_catalog.query_engine import executor
from release_catalog.query_engine.context import Context
from release_catalog.request_limits import Limits
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage import database as db
from release_catalog.storage import records
from support import logs
from support.catalog import Catalog
from support.graphql_client import JSON, RESPONSE, client_of, data_of, error_of, get, post, refusal_of
from support.logs import Entries

VIEWER = "{ viewer { subject } }"
ANSWER = {"viewer": {"subject": "local"}}


@pytest.fixture
async def app(mongodb_url: str, sample_name: str) -> AsyncIterator[Starlette]:
    """The application over the sample, for reading only."""
    async with connected(mongodb_url, sample_name) as database:
        app = create_app(Settings(), database=database)
        async with app.router.lifespan_context(app):
            yield app


@pytest.fixture
async def http(app: Starlette) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(app) as client:
        yield client


@pytest.fixture
def logged() -> Iterator[Entries]:
    """Return the log of a server."""
    with logs.captured() as log:
        yield lambda: logs.entries(log)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/html, */*;q=0.1", JSON),
        (RESPONSE, RESPONSE),
        (f"{RESPONSE}, {JSON}", RESPONSE),
        (f"{JSON}, {RESPONSE}", JSON),
        (f"*/*, {RESPONSE}", RESPONSE),
        (f"{JSON};q=0.5, {RESPONSE};q=0.6", RESPONSE),
        (f"{JSON};q=0.5, {RESPONSE};q=0.4", JSON),
        (f"{JSON};q=0, */*", RESPONSE),
        (f"{JSON}; charset=utf-8; q=1.000, {RESPONSE};q=0.999", JSON),
        ("APPLICATION/JSON;Q=0.1", JSON),
        # What is no weight, is none.
        (f"{JSON};q=abc", JSON),
        (f"{RESPONSE};q=nan", RESPONSE),
        (f"{JSON};q=, ,;,", JSON),
    ],
)
async def test_the_client_chooses_the_media_type(http: httpx2.AsyncClient, accept: str, media_type: str) -> None:
    response = await post(http, VIEWER, accept)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert response.headers["vary"] == "Accept"
    assert data_of(response) == ANSWER


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "*/*;q=0.0", f"{RESPONSE};q=0, {JSON};q=0"]
)
async def test_an_unaccepted_media_type_is_refused_with_the_offered_ones(
    http: httpx2.AsyncClient, accept: str
) -> None:
    response = await post(http, VIEWER, accept)
    assert response.status_code == 406
    assert JSON in refusal_of(response)["message"]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json;", 200),
        ("Application/JSON; Charset=UTF-8", 200),
        ('application/json; charset="utf-8"; profile=x', 200),
        ("application/json; profile=x; charset=utf-16", 415),
        ("text/plain", 415),
        ("application/graphql", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
    ],
)
async def test_requests_are_json_in_utf_8(http: httpx2.AsyncClient, content_type: str, status: int) -> None:
    body = json.dumps({"query": VIEWER}).encode()
    response = await http.post("/graphql", content=body, headers={"content-type": content_type})
    assert response.status_code == status
    if status == 415:
        assert response.headers["accept-post"] == JSON
        assert ": send " in refusal_of(response)["message"]


async def test_a_body_is_refused_as_soon_as_it_is_too_large(http: httpx2.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 << 20:
            sent += 1 << 16
            yield b" " * (1 << 16)

    response = await http.post("/graphql", content=endless(), headers={"content-type": JSON})
    assert response.status_code == 413
    assert "1048576 bytes" in refusal_of(response)["message"]
    assert response.headers["connection"] == "close"
    assert sent <= Limits().max_body_bytes + (2 << 16)


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/v1/" + "x" * 17_000, {}, 414),
        ("/graphql?" + "&" * 100, {}, 400),
        ("/graphql", {"accept": "," * 17_000}, 431),
        ("/livez", {f"x-{number}": "1" for number in range(100)}, 431),
        ("/v1/x", {f"x-{number}": "1" * 10_000 for number in range(7)}, 431),
    ],
)
async def test_a_head_that_is_too_large_is_refused_before_it_is_read(
    http: httpx2.AsyncClient, path: str, sent: dict[str, str], status: int
) -> None:
    response = await http.get(path, headers=sent)
    assert (response.status_code, response.json()["status"]) == (status, status)
    assert "at most" in response.json()["detail"]


@pytest.mark.parametrize(
    "parameters", [{"operationName": "x" * 1_025}, {"documentId": "x" * 1_025, "query": None}]
)
async def test_a_long_name_is_refused(http: httpx2.AsyncClient, parameters: dict[str, Any]) -> None:
    response = await post(http, **{"query": VIEWER, **parameters})
    assert refusal_of(response)["extensions"] == {
        "code": "LIMIT_EXCEEDED", "limit": "texts", "allowed": 1_024,
    }  # fmt: skip
    assert len(response.content) < 300


async def test_refusals_are_delayed(http: httpx2.AsyncClient) -> None:
    for status, body in (
        (400, b'{"query": "{' + b" a: __typename" * 51 + b'}"}'),
        (413, b" " * (2 << 20)),
        (400, b"[" * 100_000),
        (400, b"["),
        (400, b'{"query": "{ unknown }"}'),
    ):
        began = time.monotonic()
        response = await http.post("/graphql", content=body, headers={"content-type": JSON, "accept": RESPONSE})
        assert time.monotonic() - began >= view.REFUSAL_DELAY_SECONDS
        assert response.status_code == status


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"NaN", "not JSON"),
        (b"\xff\xfe{\x00}\x00", "not JSON"),
        (b'{"query": "\xed\xa0\x80"}', "not JSON"),
        (b'{"query": "{ viewer { subject } }", "variables": {"a": "\\ud800"}}', "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b"[" * 100_000, "values"),
        (b'{"query": "{ viewer { subject } }", "variables": {"a": [' + b"[]," * 300_000, "values"),
        (b"null", "must be a JSON object"),
        (b'[{"query": "{ viewer { subject } }"}]', "must be a JSON object"),
        (b"{}", "give it as text in query"),
        (b'{"query": ""}', "give it as text in query"),
        (b'{"query": 1}', "give it as text in query"),
        (b'{"query": "{ viewer { subject } }", "variables": "{}"}', "variables must be"),
        (b'{"query": "{ viewer { subject } }", "variables": []}', "variables must be"),
        (b'{"query": "{ viewer { subject } }", "extensions": 1}', "extensions must be"),
        (b'{"query": "{ viewer { subject } }", "operationName": {}}', "operationName must be"),
    ],
)
async def test_invalid_requests_are_refused_with_a_reason(
    http: httpx2.AsyncClient, body: bytes, reason: str
) -> None:
    response = await http.post("/graphql", content=body, headers={"content-type": JSON})
    assert response.status_code == 400
    assert reason in refusal_of(response)["message"]


@pytest.mark.parametrize(
    ("query", "more", "reason"),
    [
        ("{", {}, "Syntax Error"),
        ("\x00", {}, "Syntax Error"),
        ('{ release(id: "\\ud800") { id } }', {}, "Invalid Unicode escape sequence"),
        ("{ nothing }", {}, "Cannot query field"),
        (f"{{ releases(first: {'9' * 5_000}) {{ totalCount }} }}", {}, "4300 digits"),
        ("{ releases(first: 2147483648) { totalCount } }", {}, "32-bit"),
        ("query A { viewer { subject } } query B { viewer { subject } }", {}, "Must provide operation name"),
        ("query A { viewer { subject } }", {"operationName": "B"}, "Unknown operation named 'B'"),
        ("fragment F on Query { viewer { subject } } ", {}, "Fragment 'F' is never used"),
        ("mutation { publish }", {}, "Cannot query field 'publish'"),
        ("subscription { published }", {}, "Cannot query field"),
    ],
)
@pytest.mark.parametrize(("accept", "status"), [(JSON, 200), (RESPONSE, 400)])
async def test_a_document_that_can_not_be_executed_is_answered_without_data(
    http: httpx2.AsyncClient, query: str, more: dict[str, Any], reason: str, accept: str, status: int
) -> None:
    response = await post(http, query, accept, **more)
    assert response.status_code == status
    assert reason in refusal_of(response)["message"]
    assert "Error 6" not in response.text, "there is nothing in the log to look for"


@pytest.mark.parametrize(
    ("type_", "value", "reason"),
    [
        ("Int", 10**30, "32-bit"),
        ("Int", 1e300, "32-bit"),
        ("Int", "1", "Int cannot represent"),
        ("Int", True, "Int cannot represent"),
        ("Int", {"$gt": 0}, "Int cannot represent"),
        ("Int!", None, "non-null type"),
    ],
)
async def test_a_variable_of_the_wrong_kind_is_a_request_error(
    http: httpx2.AsyncClient, type_: str, value: Any, reason: str
) -> None:
    query = f"query ($n: {type_}) {{ releases(first: $n) {{ totalCount }} }}"
    response = await post(http, query, RESPONSE, variables={"n": value})
    assert response.status_code == 400
    assert reason in refusal_of(response)["message"]


async def test_deep_variables_are_refused_or_passed_over(http: httpx2.AsyncClient) -> None:
    body = json.dumps(
        {"query": "query ($n: Int, $f: ReleaseFilter) { releases(first: $n, filter: $f) { totalCount } }"}
    )
    for path, status in (('{"f": {"ids": %s}}', 400), ('{"n": %s}', 400), ('{"unused": %s}', 200)):
        content = body.removesuffix("}") + f', "variables": {path % ("[" * 900 + "]" * 900)}}}'
        headers = {"content-type": JSON, "accept": RESPONSE}
        response = await http.post("/graphql", content=content, headers=headers)
        assert response.status_code == status
        assert data_of(response) if status == 200 else refusal_of(response)


@pytest.mark.parametrize("text", ["\x00", "\x00$where", "\U0001f4a9", "'\"\\\n\x1b[2J", "$gt", "a" * 1_024])
async def test_any_text_is_just_text(http: httpx2.AsyncClient, text: str) -> None:
    query = """query ($t: String!, $id: ID!) {
        release(id: $id) { id } product(key: $t) { id } environment(name: $t) { name }
        releases(filter: {name: $t, version: $t, branch: $t, tag: $t, author: $t}) { totalCount }
    }"""
    response = await post(http, query, variables={"t": text, "id": text})
    nothing = {"release": None, "product": None, "environment": None, "releases": {"totalCount": 0}}
    assert data_of(response) == nothing


async def test_a_query_may_come_by_get(http: httpx2.AsyncClient) -> None:
    query = "query A($n: Int) { releases(first: $n) { nodes { __typename } } } query B { viewer { subject } }"
    one = await get(http, query, JSON, operationName="A", variables='{"n": 1}')
    assert data_of(one) == {"releases": {"nodes": [{"__typename": "Release"}]}}
    assert data_of(await get(http, VIEWER, JSON, variables="")) == ANSWER
    # A shared cache knows nothing of X-Project-Token, by which callers may differ.
    assert one.headers["cache-control"] == "private, no-cache"
    for asked, variables, reason in (
        (VIEWER, "{", "variables is not JSON"),
        (VIEWER, "[1]", "variables must be"),
        (None, "{}", "give it as text in query"),
    ):
        response = await get(http, asked, JSON, variables=variables)
        assert response.status_code == 400
        assert reason in refusal_of(response)["message"]


def arriving(database: Any) -> Callable[[HTTPConnection], Coroutine[Any, Any, Context]]:
    async def arrive(_: HTTPConnection) -> Context:
        return Context(LOCAL, database)

    return arrive


@pytest.fixture
def foreign_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the fallbacks of a schema that no plan can answer apart from the others."""
    monkeypatch.setattr(executor, "fallbacks", collections.Counter[str]())


async def test_only_queries_may_come_by_get(foreign_schema: None) -> None:
    schema = build_schema("type Query { read: Int } type Mutation { write: Int }")
    unused: Any = None
    endpoint = view.GraphQLHTTPEndpoint(schema, arriving(unused))
    app = Starlette(routes=[Route("/graphql", endpoint.__call__, methods=["GET", "POST"])])
    async with client_of(app) as http:
        both = "query Q { read } mutation M { write }"
        response = await get(http, both, JSON, operationName="M")
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
        assert "by POST" in refusal_of(response)["message"]
        assert data_of(await get(http, both, JSON, operationName="Q")) == {"read": None}
        assert data_of(await post(http, both, operationName="M")) == {"write": None}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_other_methods_are_refused(http: httpx2.AsyncClient, method: str) -> None:
    response = await http.request(method, "/graphql", content=json.dumps({"query": VIEWER}))
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"


async def test_unexpected_errors_are_shown_in_the_log_only(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, logged: Entries
) -> None:
    async def fail(*_: object) -> None:
        password = "hunter2"  # noqa: F841  a local variable of a frame in the traceback
        raise RuntimeError("the secret reason")

    monkeypatch.setattr(records, "by_ids", fail)
    response = await post(http, '{ a: release(id: "1") { id } b: release(id: "2") { id } }')
    assert response.status_code == 200
    assert "secret" not in response.text
    errors = response.json()["errors"]
    assert [error["path"] for error in errors] == [["a"], ["b"]]
    [id_] = {error["extensions"]["errorId"] for error in errors}
    assert all(id_ in error["message"] for error in errors)
    assert errors[0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"

    entries = logged()
    [told] = [entry for entry in entries if entry["level"] == "error"]
    assert told["error_id"] == id_
    assert told["request_id"] == response.headers["x-request-id"]
    [trace] = told["exception"]
    assert (trace["exc_type"], trace["exc_value"]) == ("RuntimeError", "the secret reason")
    assert trace["frames"][-1]["name"] == "fail"
    assert "hunter2" not in json.dumps(entries)


async def test_each_request_has_its_line_in_the_log(http: httpx2.AsyncClient, logged: Entries) -> None:
    responses = [
        await post(http, VIEWER),
        await http.get("/nowhere%0Aat%20all"),
        await post(http, "{", "text/css"),
    ]
    entries = logged()
    assert [entry["request_id"] for entry in entries] == [each.headers["x-request-id"] for each in responses]
    assert [(entry["method"], entry["path"], entry["status"]) for entry in entries] == [
        ("POST", "/graphql", 200),
        ("GET", "/nowhere%0Aat%20all", 404),
        ("POST", "/graphql", 406),
    ]


async def test_a_client_that_goes_away_is_no_error(app: Starlette, logged: Entries) -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "query_string": b"",
    }
    scope["client"] = ("127.0.0.1", 1)

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError(message)

    headers = [(b"host", b"localhost"), (b"content-type", JSON.encode())]
    await app({**scope, "headers": headers}, receive, send)
    assert [(entry["level"], entry["status"]) for entry in logged()] == [("info", 499)]


async def test_without_a_database_the_server_is_alive_but_not_ready(logged: Entries) -> None:
    # Not a closed port: the driver leaks the socket of an attempt that its end interrupts.
    url = "mongodb://%2Fnowhere%2Fmongodb.sock"
    nobody: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(url, serverSelectionTimeoutMS=100)
    app = create_app(Settings(query_seconds=0.5))
    database = db.configure(nobody["nothing"])
    app.state.database, app.state.reading, app.state.files = database, db.ReadOnlyDatabase(database), None
    async with client_of(app) as http:
        assert (await http.get("/livez")).status_code == 200
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        responses = [
            await post(http, query, accept)
            for query in (
                "{ viewer { subject } catalogs { totalCount } }",
                '{ viewer { subject } release(id: "x") { id } }',
            )
            for accept in (RESPONSE, JSON)
        ]
    await nobody.close()
    # Where some of it could be answered, it is an answer.
    told = [(response.status_code, response.headers.get("retry-after")) for response in responses]
    assert told == [(503, "2"), (200, "2"), (200, None), (200, None)]
    for response in responses:
        error = error_of(response)
        assert (error["extensions"]["code"], error["extensions"]["retryAfter"]) == ("UNAVAILABLE", 2)
        assert "outcome" not in error["extensions"]
        assert "try again" in error["message"]
        assert "nowhere" not in response.text
    entries = {entry["error_id"] for entry in logged() if entry["level"] == "error"}
    assert entries == {error_of(response)["extensions"]["errorId"] for response in responses}


async def test_documents_are_parsed_once_but_huge_ones_are_not_kept(app: Starlette, foreign_schema: None) -> None:
    schema = build_schema("type Query { read: Int }")
    endpoint = view.GraphQLHTTPEndpoint(schema, arriving(app.state.database))
    async with client_of(Starlette(routes=[Route("/graphql", endpoint.__call__, methods=["POST"])])) as http:
        for query in ("{ read }", "{ read }", "{ read } #" + "x" * documents.MAX_CACHED_CHARACTERS):
            assert data_of(await post(http, query)) == {"read": None}
    assert len(endpoint.documents.kept) == 1
    assert await endpoint.documents.meant({"query": "{ read }"}) is endpoint.documents.kept.get("{ read }")


def hashed(query: str) -> dict[str, Any]:
    digest = hashlib.sha256(query.encode()).hexdigest()
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest}}}


async def test_a_document_is_known_by_its_hash_once_it_was_sent(http: httpx2.AsyncClient) -> None:
    query = "{ viewer { tenantId } }"
    unknown = refusal_of(await post(http, **hashed(query)))
    assert unknown["message"] == "PersistedQueryNotFound"
    assert unknown["extensions"] == {"code": "PERSISTED_QUERY_NOT_FOUND"}
    first = await post(http, query, **hashed(query))
    sent = first.json()
    assert data_of(first) == {"viewer": {"tenantId": "local"}}
    assert (await post(http, **hashed(query))).json() == sent
    digest = hashed(query)["extensions"]["persistedQuery"]["sha256Hash"]
    assert (await post(http, documentId=f"sha256:{digest}")).json() == sent
    extensions = json.dumps(hashed(query)["extensions"])
    assert (await get(http, None, JSON, extensions=extensions)).json() == sent
    other = refusal_of(await post(http, "{ __typename }", **hashed(query)))
    assert "does not match the query" in other["message"]
    assert refusal_of(await post(http, documentId="x"))["extensions"] == {"code": "DOCUMENT_NOT_FOUND"}
    assert (await post(http, query, documentId="x")).status_code == 400


async def test_untrusted_documents_are_refused(stocked: Catalog, tmp_path: Path) -> None:
    file = tmp_path / "documents.json"
    file.write_text(json.dumps({"who": "{ viewer { subject } }"}))
    app = create_app(Settings(documents=file), database=stocked.database)
    async with app.router.lifespan_context(app), client_of(app) as http:
        assert data_of(await post(http, documentId="who")) == ANSWER
        assert data_of(await post(http, VIEWER)) == ANSWER
        for more in ({}, hashed("{ __typename }")):
            refused = refusal_of(await post(http, "{ __typename }", **more))
            assert refused["extensions"] == {"code": "DOCUMENT_NOT_TRUSTED"}
        assert refusal_of(await post(http, **hashed("{ __typename }")))


def test_kept_documents_weigh_no_more_than_they_may() -> None:
    kept: documents.WeightedLRUCache[int] = documents.WeightedLRUCache(3, 10)
    for number, weight in enumerate((2, 2, 2, 2, 9)):
        kept.add(str(number), number, weight)
        assert kept.get(str(number)) == number
    assert len(kept) == 1
    kept.add("large", 1, 11)
    assert len(kept) == 0
