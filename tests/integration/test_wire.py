"""Limits on requests, protection against pages of other sites, and the private schema of production."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import structlog
from graphql import get_introspection_query, parse
from pymongo.monitoring import CommandStartedEvent

from conftest import LOCAL, connected
from release_catalog.domain import timestamps
from release_catalog.graphql_api.schema import schema
from release_catalog.query_engine import executor
from release_catalog.query_engine.context import Context
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage import database as db
from release_catalog.storage import records
from release_catalog.storage.collection_names import RELEASES
from support import graphql_client
from support.catalog import Catalog, Commands
from support.graphql_client import EVENT_STREAM, JSON, RESPONSE, data_of, error_of, get, post, refusal_of
from support.waiting import eventually

TYPENAME = "{ __typename }"


class Sent(Commands):
    """Every command, not only reads."""

    def started(self, event: CommandStartedEvent) -> None:
        self.sent.append(dict(event.command))


@contextlib.asynccontextmanager
async def served(url: str, name: str, *listeners: Any, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    async with connected(url, name, *listeners) as database, graphql_client.served(database, **settings) as client:
        yield client


@pytest.fixture
async def home(mongodb_url: str, sample_name: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with served(mongodb_url, sample_name) as client:
        yield client


@pytest.fixture
async def production(mongodb_url: str, sample_name: str) -> AsyncIterator[httpx2.AsyncClient]:
    """With the schema kept private, as it is where callers log in."""
    async with served(mongodb_url, sample_name, introspection="off", cost_per_hour=1_000_000) as client:
        yield client


# ---------------------------------------------------------------- the 13 checks of graphql-cop


async def test_alias_overloading(production: httpx2.AsyncClient) -> None:
    found = await post(production, "query cop {" + " ".join(f"alias{n}:__typename" for n in range(101)) + "}")
    assert (found.status_code, refusal_of(found)["extensions"]["limit"]) == (400, "aliases")


@pytest.mark.parametrize("count", [10, 10_000])
async def test_batch_queries(production: httpx2.AsyncClient, count: int) -> None:
    batch = json.dumps([{"query": TYPENAME}] * count)
    found = await production.post("/graphql", content=batch, headers={"content-type": JSON})
    assert found.status_code == 400


async def test_directive_overloading(production: httpx2.AsyncClient) -> None:
    found = await post(production, "query cop { __typename " + "@aa" * 500 + " }")
    assert (found.status_code, refusal_of(found)["extensions"]["limit"]) == (400, "directives")


async def test_circular_introspection(production: httpx2.AsyncClient, home: httpx2.AsyncClient) -> None:
    query = (
        "query cop { __schema { types { fields { type"
        + " { fields { type" * 3
        + " { name }"
        + " } }" * 3
        + " } } } }"
    )
    for http in (production, home):
        assert "data" not in (await post(http, query)).json()


async def test_trace_mode(production: httpx2.AsyncClient) -> None:
    found = await post(production, TYPENAME, headers={"x-apollo-tracing": "1"})
    assert list(found.json()["extensions"]) == ["cost"]


async def test_field_suggestions(production: httpx2.AsyncClient, home: httpx2.AsyncClient) -> None:
    for query, variables in (
        ("query cop { viewe { subject } }", None),
        ("{ release(idd: 1) { id } }", None),
        ("query ($f: ReleaseFilter) { releases(filter: $f) { totalCount } }", {"f": {"chanel": ["x"]}}),
        ("query ($f: ReleaseFilter) { releases(filter: $f) { totalCount } }", {"f": {"status": ["PUBLISHD"]}}),
    ):
        assert "Did you mean" in (await post(home, query, variables=variables)).text
        told = (await post(production, query, variables=variables)).text
        assert "errors" in told
        assert "Did you mean" not in told
    follow = "subscription ($f: ReleaseFilter) { events { release { product { releases(filter: $f) { totalCount } } } } }"
    for http, suggested in ((home, True), (production, False)):
        told = (await post(http, follow, EVENT_STREAM, variables={"f": {"chanel": ["x"]}})).text
        assert ("errors" in told, "Did you mean" in told) == (True, suggested)


async def test_queries_by_get(production: httpx2.AsyncClient) -> None:
    assert (await get(production, TYPENAME)).status_code == 403


@pytest.mark.parametrize("accept", ["*/*", RESPONSE])
async def test_mutations_by_get(production: httpx2.AsyncClient, accept: str) -> None:
    found = await get(production, "mutation { __typename }", accept)
    assert found.status_code in {403, 405}


async def test_forms_by_post(production: httpx2.AsyncClient) -> None:
    assert (await production.post("/graphql", data={"query": TYPENAME})).status_code == 415
    assert (await production.post("/graphql", content=b'{"query":"{__typename}"}')).status_code == 415


async def test_unhandled_errors(production: httpx2.AsyncClient) -> None:
    found = await post(production, "qwerty cop { abc }")
    assert found.status_code == 200
    assert "exception" not in found.text.lower()


@pytest.mark.parametrize(
    "path", ["/", "/graphql", "/graphiql", "/graphiql/graphiql.js", "/playground", "/console"]
)
async def test_no_page_for_queries(production: httpx2.AsyncClient, path: str) -> None:
    found = await production.get(path, headers={"accept": "text/html"}, follow_redirects=True)
    assert found.status_code in {404, 406}
    # A problem repeats the path alone.
    assert "graphiql" not in found.text.lower().replace(path, "")


@pytest.mark.parametrize("field", ["__typename", "viewer { subject }"])
async def test_field_duplication(production: httpx2.AsyncClient, field: str) -> None:
    found = await post(production, "query cop {" + f" {field}" * 300 + " }")
    assert (found.status_code, refusal_of(found)["extensions"]["limit"]) == (400, "repeats")


async def test_introspection(production: httpx2.AsyncClient, home: httpx2.AsyncClient) -> None:
    assert "data" in (await post(home, get_introspection_query())).json()
    for query in (
        get_introspection_query(),
        '{ __type(name: "Query") { name } }',
        "{ ...F } fragment F on Query { __schema { __typename } }",
    ):
        found = await post(production, query)
        assert "introspection has been disabled" in found.text
        assert "data" not in found.json()
    assert data_of(await post(production, TYPENAME)) == {"__typename": "Query"}


# ---------------------------------------------------------------- other sites


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site", "accept": JSON}, 403),
        ({"sec-fetch-site": "cross-site", "apollo-require-preflight": "true"}, 200),
        ({"sec-fetch-site": "cross-site", "x-requested-with": "x"}, 200),
        ({"sec-fetch-site": "cross-site", "authorization": "Bearer x"}, 200),
        ({"sec-fetch-site": "cross-site", "authorization": "basic eDp5"}, 403),
        ({"sec-fetch-site": "cross-site", "content-type": "application/json; charset=utf-8"}, 200),
        ({"sec-fetch-site": "cross-site", "content-type": "text/plain; x=application/json"}, 403),
    ],
)
async def test_a_page_elsewhere_can_not_ask_by_get(
    home: httpx2.AsyncClient, headers: dict[str, str], status: int
) -> None:
    found = await get(home, TYPENAME, headers=headers)
    assert found.status_code == status
    if status == 403:
        assert refusal_of(found)["extensions"] == {"code": "CSRF"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site", "accept": "application/hal+json"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "https://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "https://portal.example"}, 200),
        ({"sec-fetch-site": "cross-site", "apollo-require-preflight": "true"}, 200),
        ({"sec-fetch-site": "cross-site", "authorization": "Bearer x"}, 200),
        ({"sec-fetch-site": "cross-site", "authorization": "basic eDp5"}, 403),
    ],
)
async def test_a_page_elsewhere_can_not_get_hal_documents(
    mongodb_url: str, sample_name: str, headers: dict[str, str], status: int
) -> None:
    commands = Commands()
    async with served(mongodb_url, sample_name, commands, cors_origins="https://portal.example") as http:
        commands.clear()
        for method in ("GET", "HEAD"):
            found = await http.request(method, "/v1/catalogs/default?distro=x", headers=headers)
            assert found.status_code == status
        refused = await http.get("/v1/catalogs/default", headers=headers)
        if status == 403:
            assert refused.headers["content-type"] == "application/problem+json"
            assert (refused.json()["status"], refused.json()["title"]) == (403, "Forbidden")
            # Workers look for work meanwhile.
            assert not {"catalogs", "releases"} & commands.reads.keys(), "nothing is looked up for it"


@pytest.mark.parametrize(("settings", "status"), [({}, 400), ({"authentication": "required"}, 401)])
async def test_at_home_only_names_of_this_machine_are_served_by_any_server(
    mongodb_url: str, sample_name: str, settings: dict[str, Any], status: int
) -> None:
    async with served(mongodb_url, sample_name, **settings) as http:
        for path in ("/graphql?query={__typename}", "/v1/catalogs/default"):
            found = await http.get(path, headers={"host": "rebound.example", "accept": JSON})
            assert found.status_code == status, path
            for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
                found = await http.get(path, headers={"host": host, "accept": JSON})
                assert found.status_code == (401 if settings else 200), host
    for hosts, expected in ((None, "websocket.close"), (["rebound.example"], "websocket.accept")):
        async with connected(mongodb_url, sample_name) as database:
            app = create_app(Settings(), database=database, hosts=hosts)
            assert (await upgraded(app, "rebound.example"))["type"] == expected


async def upgraded(app: Any, host: str) -> Any:
    """The first message to a client that asks for a WebSocket."""
    sent: list[Any] = []
    received = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}]

    async def receive() -> Any:
        return received.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket", "path": "/graphql", "raw_path": b"/graphql", "query_string": b"", "client": ("127.0.0.1", 1),
        "headers": [(b"host", host.encode())], "subprotocols": ["graphql-transport-ws"],
        "extensions": {"websocket.http.response": {}},
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]


async def test_without_sec_fetch_production_wants_a_sign(production: httpx2.AsyncClient) -> None:
    for headers in (
        {"accept": RESPONSE},
        {"accept": JSON},
        {"apollo-require-preflight": "1"},
        {"sec-fetch-site": "none"},
    ):
        found = await get(production, TYPENAME, headers=headers)
        assert found.status_code == 200, headers


async def test_only_pages_of_named_origins_may_read(
    mongodb_url: str, sample_name: str, home: httpx2.AsyncClient
) -> None:
    asked = {
        "origin": "https://portal.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type, authorization",
    }
    assert "access-control-allow-origin" not in (await home.options("/graphql", headers=asked)).headers
    async with served(
        mongodb_url, sample_name, cors_origins="https://portal.example, http://localhost:3000"
    ) as http:
        allowed = await http.options("/graphql", headers=asked)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://portal.example"
        assert "authorization" in allowed.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in allowed.headers
        other = await http.options("/graphql", headers={**asked, "origin": "https://portal.example.evil"})
        assert other.status_code == 400
        assert "access-control-allow-origin" not in other.headers
        answer = await post(http, TYPENAME, headers={"origin": "http://localhost:3000"})
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    with pytest.raises(ValueError, match="is not an origin"):
        Settings(cors_origins="portal.example")


async def test_every_answer_tells_browsers_what_not_to_do(home: httpx2.AsyncClient) -> None:
    for path in ("/graphql?query={__typename}", "/v1/catalogs/default", "/livez", "/nowhere", "/"):
        headers = (await home.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers
    page = await home.get("/graphql", headers={"accept": "text/html"})
    assert page.headers.get_list("content-security-policy")[0].startswith("default-src 'none'; script-src 'self'")
    assert len(page.headers.get_list("content-security-policy")) == 1


# ---------------------------------------------------------------- limits


async def test_an_expensive_operation_is_refused_before_any_read(mongodb_url: str, sample_name: str) -> None:
    commands = Commands()
    async with served(mongodb_url, sample_name, commands) as http:
        commands.clear()
        deep = "{ releases(first: 100) { nodes { dependencies(first: $n) { nodes { dependencies(first: 100) { nodes { id } } } } } } }"
        found = await post(http, "query ($n: Int = 100) " + deep)
        assert found.status_code == 400
        error = refusal_of(found)
        assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": "cost", "allowed": 5000}
        assert "1020201 points" in error["message"]
        less = await post(http, "query ($n: Int = 100) " + deep.replace("100", "5"), variables={"n": 2})
        assert less.json()["extensions"] == {"cost": {"requested": 81, "limit": 5000}}
        graph = "{ release(id: 1) { dependencyGraph(maxNodes: 5000) { nodes { dependencies(first: 20) { nodes { id } } } } } }"
        assert refusal_of(await post(http, graph))["extensions"]["limit"] == "nodes"
    assert not [one for one in commands.sent if one.get("find") == "nothing"]


NESTED = (
    "{ releases(first: 20) { nodes { name dependencies { nodes { name dependencies { nodes { name } } } } } } }"
)


@pytest.mark.parametrize("planned", [True, False])
async def test_lists_that_turn_out_longer_end_the_request(stocked: Catalog, planned: bool) -> None:
    document = executor.Document(schema._schema, parse(NESTED))
    context = Context(LOCAL, stocked.database)
    context.usage.max_nodes = 100
    result = await executor.answer(document, schema._schema, context, None, None, planned=planned)
    assert result.data is None
    [error] = result.errors or []
    assert error.extensions == {"code": "LIMIT_EXCEEDED", "limit": "nodes", "allowed": 100}


async def test_the_rate_limit_is_shown_and_enforced(mongodb_url: str, sample_name: str) -> None:
    query = "{ releases(first: 20) { nodes { id } } }"
    async with served(mongodb_url, sample_name, cost_per_hour=50) as http:
        first = await post(http, query)
        assert [first.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining")] == ["50", "29"]
        assert 3_590 <= int(first.headers["x-ratelimit-reset"]) <= 3_600
        await post(http, "{")
        await post(http, query)
        refused = await post(http, query)
        assert (refused.status_code, refused.headers["x-ratelimit-remaining"]) == (429, "7")
        assert int(refused.headers["retry-after"]) > 3_000
        assert refusal_of(refused)["extensions"]["code"] == "RATE_LIMITED"
        assert (await post(http, TYPENAME)).status_code == 200


async def test_a_query_shows_the_rate_limit(empty: Catalog) -> None:
    query = "{ rateLimit { cost limit remaining resetAt } a: viewer { subject } b: viewer { subject } }"
    async with graphql_client.served(empty.database, cost_per_hour=50) as http:
        before = timestamps.now()
        for left in (47, 44):
            response = await post(http, query)
            shown = data_of(response)["rateLimit"]
            assert (shown["cost"], shown["limit"], shown["remaining"]) == (3, 50, left)
            assert response.headers["x-ratelimit-remaining"] == str(left)
            seconds = (timestamps.parse(shown["resetAt"]) - before).total_seconds()
            assert 3_590 <= seconds <= 3_600 + (timestamps.now() - before).total_seconds()
    async with graphql_client.served(empty.database) as http:
        assert data_of(await post(http, "{ rateLimit { cost } }")) == {"rateLimit": None}
    most = (1 << 31) - 1
    async with graphql_client.served(empty.database, cost_per_hour=most) as http:
        assert data_of(await post(http, "{ rateLimit { limit } }")) == {"rateLimit": {"limit": most}}
    with pytest.raises(ValueError, match="cost_per_hour"):
        Settings(cost_per_hour=most + 1)


async def test_hal_shares_the_rate_limit_and_the_concurrency(mongodb_url: str, sample_name: str) -> None:
    async with served(mongodb_url, sample_name, cost_per_hour=25) as http:
        found = [await http.get("/v1/catalogs/nothing") for _ in range(3)]
        assert [response.status_code for response in found] == [404, 404, 429]
        assert found[2].headers["content-type"] == "application/problem+json"
        assert "only 5 of the 25 points an hour are left" in found[2].json()["detail"]
        assert int(found[2].headers["retry-after"]) > 3_000
        assert (await post(http, TYPENAME)).headers["x-ratelimit-remaining"] == "4"
    async with served(mongodb_url, sample_name, max_concurrency=1) as http:
        found = await asyncio.gather(*[http.get("/v1/catalogs/nothing") for _ in range(2)])
        assert [response.status_code for response in found] == [404, 429]
        assert found[1].headers["retry-after"] == "1"
        assert (await http.get("/v1/catalogs/nothing")).status_code == 404


class Held:
    """Until it is free, products are not found by their keys; `count` are waited for."""

    def __init__(self) -> None:
        self.free, self.count = asyncio.Event(), 0

    async def product_by_key(self, *_: object, **__: object) -> None:
        self.count += 1
        await self.free.wait()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    held = Held()
    monkeypatch.setattr(records, "product_by_key", held.product_by_key)
    return held


async def test_the_rate_limit_refuses_a_caller_above_its_concurrency(
    mongodb_url: str, sample_name: str, held: Held
) -> None:
    async with served(mongodb_url, sample_name, max_concurrency=3) as http:
        waiting = [asyncio.create_task(post(http, '{ product(key: "x") { id } }')) for _ in range(3)]
        await eventually(lambda: held.count == 3)
        refused = await post(http, TYPENAME)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        held.free.set()
        assert {(await one).status_code for one in waiting} == {200}
        assert (await post(http, TYPENAME)).status_code == 200


async def test_the_rate_limit_counts_streams_as_concurrent_requests(
    mongodb_url: str, sample_name: str, held: Held
) -> None:
    async with served(mongodb_url, sample_name, max_concurrency=1) as http:
        asked = '{ product(key: "x") { id } }'
        waiting = [asyncio.create_task(post(http, asked, EVENT_STREAM)) for _ in range(3)]
        await eventually(lambda: held.count == 1)
        assert (await post(http, TYPENAME)).status_code == 429
        held.free.set()
        told = [(await one).text for one in waiting]
    assert ["RATE_LIMITED" in one for one in told].count(True) == 2
    assert ['{"data":{"product":null}' in one for one in told].count(True) == 1


async def test_every_command_has_the_time_that_is_left(mongodb_url: str, sample_name: str, driver: Any) -> None:
    sent = Sent()
    async with connected(mongodb_url, sample_name, sent, driver=driver) as database:
        app = create_app(Settings(query_seconds=7), database=database)
        # Without its lifespan: what works in the background sends commands as well.
        app.state.database, app.state.reading, app.state.files = database, db.ReadOnlyDatabase(database), None
        async with graphql_client.client_of(app) as http:
            asked: list[dict[str, Any]] = []
            for query in (
                NESTED,
                "{ releases { totalCount nodes { dependants(first: 2) { nodes { id } } } } }",
                MUTATION,
            ):
                sent.sent.clear()
                assert data_of(await post(http, query))
                asked += sent.sent
            sent.sent.clear()
            assert (await http.get("/v1/catalogs/default")).status_code == 200
            asked += sent.sent
    # What logs a new connection in is not shown to listeners.
    mine = [one for one in asked if one and "abortTransaction" not in one]
    assert len(mine) > 6
    for command in mine:
        assert 0 < command["maxTimeMS"] <= 7_000, command


MUTATION = 'mutation { saveCatalog(input: {name: "x", id: "default"}) { problem { detail } } }'


async def test_a_slow_database_is_a_timeout(
    mongodb_url: str, sample_name: str, driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(_: object, database: Any, *__: object) -> Any:
        # A join that no index helps: it looks at four million pairs.
        never = {"$expr": {"$eq": ["$$name", "$author"]}}
        join = {"from": "releases", "let": {"name": "$name"}, "pipeline": [{"$match": never}], "as": "x"}
        return await db.aggregate(database[RELEASES], [{"$lookup": join}, {"$count": "n"}])

    monkeypatch.setattr(records, "by_ids", slow)
    # Painting a traceback on a terminal takes seconds.
    with structlog.testing.capture_logs():
        await _timeouts(mongodb_url, sample_name, driver)


async def _timeouts(mongodb_url: str, sample_name: str, driver: Any) -> None:
    async with connected(mongodb_url, sample_name, driver=driver) as database:
        for planned in ("on", "off"):
            app = create_app(Settings(query_seconds=0.3, plans=planned), database=database)
            async with app.router.lifespan_context(app), graphql_client.client_of(app) as http:
                error = error_of(await post(http, '{ catalog(id: "default") { id } }'))
                assert error["extensions"]["code"] == "TIMEOUT"
                hal = await http.get("/v1/catalogs/default")
                assert (hal.status_code, "time limit" in hal.json()["detail"]) == (503, True)
