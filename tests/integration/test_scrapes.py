"""The metrics of a server as Prometheus reads them: each number moves when something happens, and nobody else's do."""

import asyncio
import contextlib
import datetime
import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
import structlog.testing
from starlette.applications import Starlette

from release_catalog.auth import service_accounts
from release_catalog.domain import caller, timestamps
from release_catalog.graphql_http import endpoint
from release_catalog.metrics import exposition, queues
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage import access_tokens, forms, queue_figures
from release_catalog.storage.collection_names import EVENTS, RELEASES, VERIFICATIONS, WEBHOOKS
from support import file_server, subscribers
from support.catalog import Catalog, source
from support.graphql_client import RESPONSE, client_of, data_of, get, post, results, served, stream
from support.metrics import scrape, scrape_until
from support.outages import HELD, Mongod, heartbeat, running
from support.webhook_receivers import receiving, status

QUERY = "query Latest { releases(first: 1) { totalCount nodes { id } } }"
ON: dict[str, Any] = {"metrics": "on"}
LOCKED: dict[str, Any] = {**ON, "authentication": "required"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each scraper gets new figures, and no refusal waits."""
    monkeypatch.setattr(exposition, "KEPT_SECONDS", -1.0)
    monkeypatch.setattr(queues, "KEPT_SECONDS", -1.0)
    monkeypatch.setattr(endpoint, "REFUSAL_DELAY_SECONDS", 0)


@pytest.fixture
async def http(empty: Catalog) -> AsyncIterator[httpx2.AsyncClient]:
    async with served(empty.database, **ON) as http:
        yield http


async def token(catalog: Catalog, *scopes: str, tenant: str = "acme") -> dict[str, str]:
    """The headers of a new caller, to whom the operator grants the scopes."""
    values = {"name": "a", "scopes": [*scopes]}
    made = await access_tokens.create(caller.operator(tenant), catalog.database, values)
    assert isinstance(made, dict), made
    return {"authorization": f"Bearer {made['token']}"}


async def test_requests_of_all_kinds_are_counted(http: httpx2.AsyncClient) -> None:
    for _ in range(3):
        data_of(await post(http, QUERY))
    await post(http, "query Broken { nothing }")
    await http.get("/v1/catalogs/none")
    await http.get("/v1/catalogs/none/releases/secret-id")
    await http.get("/secret/path")
    await http.post("/v3/releases", content=b"{}", headers={"content-type": "application/json"})
    found = await scrape(http)
    latest = {"operation": "Latest", "kind": "query", "transport": "http"}
    assert found.value("graphql_operations_total", **latest, outcome="ok") == 3
    assert found.value("graphql_operation_duration_seconds_count", **latest) == 3
    assert found.value("cost_points_total", operation="Latest") >= 3
    assert found.value("graphql_operations_total", operation="invalid", outcome="error") == 1
    assert found.value("graphql_errors_total", operation="invalid") == 1
    assert found.value("http_requests_total", route="/v1/catalogs/{catalog}", status="4xx") == 1
    assert found.value("http_requests_total", route="/v1/catalogs/{catalog}/releases/{release}", status="4xx") == 1
    assert found.value("http_requests_total", route="/v3/releases", method="POST", status="4xx") == 1
    assert found.value("http_requests_total", route="other", status="4xx") == 1
    assert found.value("cost_points_total", kind="http", operation="/v1/catalogs/{catalog}") == 10
    assert found.value("response_bytes_total", transport="http") > 0
    assert found.value("cache_lookups_total", cache="documents", result="hits") == 2
    assert found.value("cache_lookups_total", cache="documents", result="misses") == 2
    assert found.value("cache_lookups_total", cache="plans", result="hits") == 2
    assert found.value("cached_documents") == 1
    assert "secret" not in found.text
    assert found.value("worker_up") == len(found.samples("worker_up")) >= 6


async def test_errors_and_fallbacks_by_reason(http: httpx2.AsyncClient) -> None:
    await post(http, 'query Wrong { releases(filter: { ids: ["x"], createdFrom: "2024-01-02T00:00:00Z", '
                     'createdBefore: "2024-01-01T00:00:00Z" }) { totalCount } }')  # fmt: skip
    await post(http, 'mutation Save { publishRelease(input: {id: "none"}) { problem { detail } } }')
    found = await scrape(http)
    assert found.value("graphql_fallbacks_total", reason="InvalidArgument") == 1
    assert found.value("graphql_errors_total", operation="Wrong", code="BAD_USER_INPUT") == 1
    assert found.value("graphql_operations_total", operation="Save", outcome="problem") == 1


async def test_refusals_by_limit(empty: Catalog) -> None:
    small = {
        "max_cost": 5,
        "max_depth": 3,
        "max_tokens": 40,
        "max_body_bytes": 2_000,
        "max_aliases": 1,
        "max_list": 2,
    }
    async with served(empty.database, **ON, **small) as http:
        await post(http, "{ releases(first: 50) { nodes { id } } }")
        await post(http, "{ releases(first: 1) { nodes { product { id } } } }")
        await post(http, "{ a: __typename b: __typename }")
        await post(http, "{ " + "__typename " * 50 + "}")
        await post(http, "{ __typename }", variables={"x": "x" * 2_000})
        await http.get("/v1", headers={"host": "elsewhere.example"})
        await http.get("/v1", headers={"x-long": "x" * 9_000})
        await http.get("/v1", headers={"sec-fetch-site": "cross-site"})
        found = await scrape(http)
    limits = {dict(labels)["limit"]: value for labels, value in found.samples("refusals_total").items()}
    assert limits == {"cost": 1, "depth": 1, "aliases": 1, "tokens": 1, "body": 1, "host": 1, "head": 1}


async def test_refusals_of_callers(empty: Catalog) -> None:
    async with served(empty.database, **LOCKED, cost_per_hour=15) as http:
        ann, prometheus = await token(empty, "release:read"), await token(empty, "operations:read")
        for _ in range(3):
            await post(http, QUERY)
        await http.get("/v1", headers={"authorization": "Bearer wrong"})
        await http.get("/v1", headers=ann)
        await http.get("/v1", headers=ann)
        found = await scrape(http, **prometheus)
    limits = {dict(labels)["limit"]: value for labels, value in found.samples("refusals_total").items()}
    assert limits == {"authentication": 4, "rate": 1}
    assert found.value("graphql_operations_total", operation="invalid", outcome="error") == 3


async def test_refused_sockets(empty: Catalog) -> None:
    app = create_app(Settings(**ON, subscribers=1), database=empty.database)
    async with subscribers.served(app) as host, httpx2.AsyncClient(base_url=f"http://{host}") as http:
        async with subscribers.connected(host) as client:
            await subscribers.subscribe(client)
            found = await scrape(http)
            assert found.value("subscribers", transport="websocket") == 1
            assert found.value("event_streams") == found.value("event_subscriptions") == 1
            assert found.value("connections") >= 1
            with pytest.raises(Exception, match="1013"):
                async with subscribers.connected(host):
                    pass
        found = await scrape_until(http, lambda found: found.value("refusals_total", limit="subscribers") == 1)
        found = await scrape_until(http, lambda found: found.value("subscribers") == 0)
        assert found.value("graphql_operations_total", transport="websocket", kind="subscription") == 1


async def test_only_the_operator_grants_the_scope(empty: Catalog) -> None:
    create = 'mutation { createAccessToken(input: {name: "x", scopes: ["operations:read"]}) { token problem { detail } } }'
    async with served(empty.database, **LOCKED) as http:
        granted, admin = await token(empty, "operations:read"), await token(empty, "admin")
        every = await token(empty, *caller.SCOPES)
        assert (await http.get("/metrics")).status_code == 401
        for headers in (admin, every):
            refused = await http.get("/metrics", headers=headers)
            assert refused.status_code == 403
            assert refused.headers["content-type"] == "application/problem+json"
            assert "operations:read" in refused.json()["detail"]
            made = data_of(await post(http, create, headers=headers))["createAccessToken"]
            assert made["token"] is None
        assert (await scrape(http, **granted)).value("database_up") == 1
        # It gives nothing else.
        body = (await post(http, QUERY, headers=granted)).json()
        assert (body["data"], body["errors"][0]["extensions"]["code"]) == (None, "FORBIDDEN")
        assert (await http.get("/v1", headers=granted)).status_code == 403
        # Pages of other sites get nothing, even where a browser knows a password.
        crossed = await http.get(
            "/metrics", headers={**granted, "sec-fetch-site": "cross-site", "authorization": "Basic eA=="}
        )
        assert crossed.status_code in {401, 403}


async def test_an_issuer_and_a_file_of_accounts_grant_the_scope(empty: Catalog, tmp_path: Path) -> None:
    secret = "an issuer's secret of more than 32 bytes"
    accounts = tmp_path / "accounts"
    accounts.write_text(service_accounts.line("prometheus", "acme", ["operations:read"], "password of it") + "\n")
    issuer: dict[str, Any] = {
        "jwt_issuer": "https://issuer.example",
        "jwt_audience": "catalog",
        "jwt_secret": secret,
    }
    claims = {"iss": "https://issuer.example", "aud": "catalog", "sub": "prometheus", "tenant": "acme"}
    claims |= {"iat": int(time.time()), "exp": int(time.time()) + 3_000}  # type: ignore[dict-item]
    async with served(empty.database, **ON, **issuer, accounts=accounts) as http:
        for scope, status_ in (("openid operations:read", 200), ("admin", 403)):
            signed = jwt.encode({**claims, "scope": scope}, secret, "HS256")
            response = await http.get("/metrics", headers={"authorization": f"Bearer {signed}"})
            assert response.status_code == status_
        assert (await http.get("/metrics", auth=("prometheus", "password of it"))).status_code == 200
        assert (await http.get("/metrics", auth=("prometheus", "another"))).status_code == 401


async def test_metrics_are_off_until_they_are_on(empty: Catalog) -> None:
    async with served(empty.database) as http:
        assert (await http.get("/metrics")).status_code == 404
        assert "/metrics" not in (await http.get("/openapi.json")).json()["paths"]
    async with served(empty.database, **ON) as http:
        assert "/metrics" in (await http.get("/openapi.json")).json()["paths"]
        assert (await http.post("/metrics")).status_code == 405
        assert (await http.head("/metrics")).status_code == 200


async def test_scrapes_are_not_in_the_way_of_the_log(http: httpx2.AsyncClient) -> None:
    with structlog.testing.capture_logs() as entries:
        await scrape(http)
        await http.get("/livez")
    levels = {entry["path"]: entry["log_level"] for entry in entries if entry["event"] == "request"}
    assert levels == {"/metrics": "debug", "/livez": "info"}


async def test_an_overloaded_server_answers_a_scraper(empty: Catalog) -> None:
    app = create_app(Settings(**ON, max_concurrency_total=1), database=empty.database)
    async with app.router.lifespan_context(app), client_of(app) as http:
        limiter = next(
            route for route in app.routes if getattr(route, "path", "") == "/graphql"
        ).app.graphql.callers  # type: ignore[attr-defined]
        with limiter.concurrency_slot(caller.local("local")):
            assert (await post(http, QUERY, RESPONSE)).status_code in {429, 503}
            found = await scrape(http)
        assert found.value("requests_in_progress") == 1
        assert found.value("refusals_total", limit="concurrency") == 1


async def test_the_lag_of_events_but_not_of_those_that_are_replayed(empty: Catalog) -> None:
    app = create_app(Settings(**ON), database=empty.database)
    release = await empty.put(await empty.product("tool"), "1.0")
    await subscribers.happen(empty, release, times=3)
    await empty.database[EVENTS].update_many({}, {"$set": {"writtenAt": timestamps.parse("2020-01-01T00:00:00Z")}})
    async with subscribers.served(app) as host, httpx2.AsyncClient(base_url=f"http://{host}") as http:
        async with subscribers.connected(host) as client:
            await subscribers.subscribe(client, after="0")
            for _ in range(3):
                await subscribers.told(client)
            assert (await scrape(http)).value("event_delivery_lag_seconds_count") == 0
            await subscribers.happen(empty, release)
            await subscribers.told(client)
            found = await scrape(http)
        assert found.value("event_delivery_lag_seconds_count") == 1
        assert found.value("event_delivery_lag_seconds_sum") < 3_600
        query = "subscription Follow { events { id } }"
        async with stream(http, query) as answer:
            found = await scrape_until(http, lambda found: found.value("subscribers", transport="sse") == 1)
            await subscribers.happen(empty, release)
            assert await anext(results(answer))
            await scrape_until(http, lambda found: found.value("event_delivery_lag_seconds_count") == 2)
        await scrape_until(
            http, lambda found: found.value("graphql_operations_total", operation="Follow", transport="sse") == 1
        )


async def test_webhooks_that_fail_and_recover(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    create = 'mutation($url: String!) { createWebhook(input: {url: $url, events: ["*"]}) { problem { detail } } }'
    async with receiving() as receiver:
        receiver.answer = status("500 Broken")
        settings = {**ON, "files_allow": receiver.url.split("/")[2]}
        async with served(empty.database, **settings) as http:
            assert data_of(await post(http, create, variables={"url": receiver.url}))["createWebhook"] == {
                "problem": None
            }
            found = await scrape(http)
            assert (found.value("webhooks_active"), found.value("webhooks_pending")) == (1, 0)
            await subscribers.happen(empty, await empty.put(await empty.product("tool"), "1.0"))
            found = await scrape_until(http, lambda found: found.value("webhooks_failing") == 1)
            assert found.value("webhooks_pending") == 1
            assert found.value("webhook_oldest_pending_seconds") > 0
            assert found.value("webhook_attempts_total", outcome="refused") >= 1
            assert found.value("webhook_attempt_duration_seconds_count") >= 1
            receiver.answer = status("204 No Content")
            soon = {"$set": {"nextAttemptAt": timestamps.now() - datetime.timedelta(hours=1), "version": "next"}}
            await empty.database[WEBHOOKS].update_many({}, soon)
            found = await scrape_until(http, lambda found: found.value("webhooks_pending") == 0)
            assert found.value("webhook_oldest_pending_seconds") == 0
            assert found.value("webhook_attempts_total", outcome="delivered") == 1


async def test_the_verification_queue(empty: Catalog) -> None:
    now = timestamps.now()
    at = {"waiting": now - datetime.timedelta(seconds=100), "late": now - datetime.timedelta(hours=1), "held": now + datetime.timedelta(hours=1)}  # fmt: skip
    await empty.database[VERIFICATIONS].insert_many(
        [{"_id": f"acme/{name}", "tenantId": "acme", "releaseId": name, "owner": None, "actor": None, "leaseUntil": until}
         for name, until in at.items()]
    )  # fmt: skip
    figures = await queue_figures.read(empty.database)
    assert (figures.jobs_waiting, figures.jobs_running) == (2, 1)
    assert figures.job_oldest_seconds >= 3_600


async def test_verified_files_are_counted_by_outcome(empty: Catalog) -> None:
    await empty.product("tool")
    async with (
        file_server.serving() as files,
        served(empty.database, **ON, files_allow=files.url[7:]) as http,
    ):
        assert not (await scrape(http)).samples("file_verifications_total")
        urls = [files.put("right", b"right"), files.put("wrong", b"other"), f"{files.url}/missing"]
        names = ["right", "wrong", "missing"]
        artifacts = [
            {"name": name, "size": 5, "sha256": hashlib.sha256(b"right").hexdigest(), "downloadUrl": url}
            for name, url in zip(names, urls, strict=True)
        ]
        imported = "/api/v1/catalog/releases/project/tool/import"
        response = await http.post(imported, json=source("tool", artifacts=artifacts))
        assert response.status_code == 201, response.text
        found = await scrape(http)
        for outcome in ("verified", "mismatch", "unreachable"):
            assert found.value("file_verifications_total", outcome=outcome) == 1


async def test_the_oldest_of_many_pending_events(empty: Catalog) -> None:
    """With more tenants than are looked at one by one."""
    raw: Any = empty.database
    hour = timestamps.now() - datetime.timedelta(hours=1)
    for number in range(queue_figures.MAX_PENDING + 20):
        tenant = f"tenant {number}"
        await raw["counters"].insert_one({"_id": f"tenant%20{number}/events", "value": 3 if number else 9})
        await raw["webhooks"].insert_one(
            {
                "_id": f"w{number}",
                "tenantId": tenant,
                "active": True,
                "cursor": 2,
                "nextAttemptAt": hour,
                "leaseUntil": hour,
            }
        )
    event = {"_id": "e", "tenantId": "tenant 0", "sequence": 3, "writtenAt": hour}
    await raw["events"].insert_one(event)
    figures = await queue_figures.read(empty.database)
    assert figures.webhooks_pending == queue_figures.MAX_PENDING + 20
    assert figures.webhooks_failing == 0
    assert figures.webhook_oldest_seconds >= 3_600


async def test_a_broken_webhook_hides_no_figure(empty: Catalog) -> None:
    raw: Any = empty.database
    await raw["webhooks"].insert_one({"_id": "broken", "active": True})
    assert (await queue_figures.read(empty.database)).webhooks_active == 1


async def test_old_documents_are_pending(empty: Catalog) -> None:
    assert (await queue_figures.read(empty.database)).migrations_pending == 0
    await empty.put(await empty.product("tool"), "1.0")
    await empty.database[RELEASES].update_many({}, {"$unset": {forms.FORM: ""}})
    assert (await queue_figures.read(empty.database)).migrations_pending == 1


async def test_the_figures_are_read_along_indexes(empty: Catalog) -> None:
    raw: Any = empty.database
    release = await empty.put(await empty.product("tool"), "1.0")
    hour = timestamps.now() - datetime.timedelta(hours=1)
    hook = {"tenantId": "local", "active": True, "cursor": 0, "nextAttemptAt": hour, "leaseUntil": hour}
    await subscribers.happen(empty, release, times=2)
    await raw["webhooks"].insert_many([{"_id": f"w{n}", **hook} for n in range(50)])
    empty.commands.clear()
    await queue_figures.read(empty.database)
    assert len(empty.commands.sent) == 7
    explained = 0
    for command in empty.commands.sent:
        if "migrations" in command.values() or "counters" in command.values():
            continue
        plain = {
            name: value
            for name, value in command.items()
            if name not in {"lsid", "$clusterTime", "$db", "readConcern", "maxTimeMS"}
        }
        plan = json.dumps(await empty.database.command("explain", plain, verbosity="queryPlanner"), default=str)
        assert "COLLSCAN" not in plan, plan
        assert "IXSCAN" in plan or "COUNT_SCAN" in plan or "EOF" in plan, plan
        if "webhooks" in command.values():
            assert '"FETCH"' not in plan
        explained += 1
    assert explained == 5


async def test_scrapers_do_not_load_the_database(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(empty.database, **ON) as http:
        monkeypatch.setattr(queues, "KEPT_SECONDS", 1_000.0)
        await scrape(http)
        empty.commands.clear()
        await asyncio.gather(*(scrape(http) for _ in range(30)))
        assert not [
            command for command in empty.commands.sent if "webhooks" in command.values() and "pipeline" in command
        ]


async def test_tenants_and_hostile_names_do_not_show(empty: Catalog) -> None:
    async with served(empty.database, **LOCKED, cost_per_hour=0) as http:
        callers = [await token(empty, "release:read", tenant=f"tenant-{name}") for name in ("one", "two")]
        prometheus = await token(empty, "operations:read", tenant="operator")
        for number in range(150):
            for headers in callers:
                await post(http, f"query Name{number} {{ viewer {{ subject }} }}", headers=headers)
                await http.get(f"/v1/catalogs/c{number}", headers=headers)
                await http.get(f"/path{number}", headers=headers)
            # Unknown callers choose no names.
            await post(http, f"query Unknown{number} {{ viewer {{ subject }} }}")
        before = await scrape(http, **prometheus)
        for number in range(150, 300):
            await post(http, f"query Name{number} {{ viewer {{ subject }} }}", headers=callers[0])
        found = await scrape(http, **prometheus)
    for text in ("tenant-", "Unknown", "/path", "/c1", "token:"):
        assert text not in found.text
    assert "Name149" in before.text
    assert len({dict(labels)["operation"] for labels in found.samples("graphql_operations_total")}) <= 202
    assert found.value("graphql_operations_total", operation="other") == 101
    assert found.value("http_requests_total", route="/v1/catalogs/{catalog}") == 300


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with running(tmp_path_factory.mktemp("mongod")) as server:
        yield server


@contextlib.asynccontextmanager
async def opened(mongod: Mongod, **settings: Any) -> AsyncIterator[Starlette]:
    """An application that has opened its database itself, whose commands it counts."""
    name = "test_" + hashlib.sha256(str(time.monotonic_ns()).encode()).hexdigest()[:16]
    app = create_app(Settings(mongodb_url=mongod.url, database=name, query_seconds=1, **ON, **settings))
    async with app.router.lifespan_context(app):
        try:
            yield app
        finally:
            mongod.thaw()


async def test_database_commands_and_connections(mongod: Mongod) -> None:
    async with opened(mongod) as app, client_of(app) as http:
        before = await scrape(http)
        data_of(await post(http, QUERY))
        with mongod.failing("aggregate", "find", "count", errorCode=96):
            await post(http, QUERY.replace("first: 1", "first: 2"))
        after = await scrape(http)
        # A slow answer of MongoDB clears the pool, which fills again.
        await scrape_until(http, lambda found: found.value("database_connections") >= 1)
    for name in ("database_commands_total", "database_command_seconds_total"):
        assert sum(after.samples(name).values()) > sum(before.samples(name).values()), name
    assert after.value("database_command_failures_total") >= 1
    assert before.value("database_command_failures_total", command="find") == 0
    assert after.value("database_connection_waiters") == 0
    assert after.value("graphql_errors_total", code="INTERNAL_SERVER_ERROR") >= 1


async def test_a_frozen_database_is_down_and_everything_else_is_there(mongod: Mongod) -> None:
    async with opened(mongod) as app, client_of(app) as http:
        up = await scrape(http)
        assert up.value("database_up") == 1
        mongod.freeze()
        async with heartbeat() as beat:
            began = time.monotonic()
            down = await scrape(http)
            assert time.monotonic() - began < 27
        assert beat.longest < HELD
        assert down.samples("database_up") == {(): 0}
        assert not down.samples("webhooks_active")
        assert not down.samples("verification_jobs_waiting")
        assert down.value("worker_up") == up.value("worker_up")
        assert down.families.keys() == up.families.keys()
        mongod.thaw()
        back = await scrape_until(http, lambda found: found.value("database_up") == 1)
        assert back.samples("webhooks_active") == {(): 0}
        assert back.value("database_connection_waiters") == 0


async def test_the_page_for_browsers_is_no_operation(http: httpx2.AsyncClient) -> None:
    page = await get(http, accept="text/html")
    assert page.status_code == 200
    await http.get("/graphql", params={"query": QUERY}, headers={"accept": RESPONSE})
    found = await scrape(http)
    assert found.value("http_requests_total", route="/graphql", method="GET", status="2xx") == 1
    assert found.value("graphql_operations_total", operation="Latest", outcome="ok") == 1
