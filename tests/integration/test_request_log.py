"""The log of requests: who asked for what at which cost, and never a value that a client sent."""

import asyncio
import contextlib
import functools
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets
from pymongo.errors import OperationFailure

from conftest import connected
from release_catalog import request_record
from release_catalog.auth import service_accounts
from release_catalog.query_engine import executor
from release_catalog.request_record import RequestRecord
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage import database as db
from release_catalog.storage import indexes, pagination, records
from release_catalog.storage.command_monitor import CommandMonitor
from support import graphql_client, logs, subscribers
from support.catalog import Catalog
from support.graphql_client import JSON, client_of, data_of, post
from support.logs import entries
from support.waiting import eventually
from support.webhook_receivers import receiving, status

PASSWORD = "long enough for anybody"
READ = "query Read($id: ID!) { release(id: $id) { id name dependencies { nodes { id } } } }"
PAGE = "query Page { releases(first: 5) { nodes { id name } } }"
HASH = re.compile(r"[0-9a-f]{64}")
Json = dict[str, Any]


@pytest.fixture
def log() -> Any:
    with logs.captured() as log:
        yield log


@pytest.fixture
async def database(mongodb_url: str, empty_name: str) -> AsyncIterator[db.Database]:
    """A database whose commands are monitored."""
    async with connected(mongodb_url, empty_name, CommandMonitor()) as database:
        await indexes.ensure(database)
        yield database


@contextlib.asynccontextmanager
async def serving(database: db.Database, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(Settings(**settings), database=database)
    async with app.router.lifespan_context(app), client_of(app) as http:
        yield http


@pytest.fixture
def account(tmp_path: Path) -> Path:
    file = tmp_path / "accounts"
    file.write_text(service_accounts.line("ci", "acme", ["release:read", "release:write"], PASSWORD) + "\n")
    return file


def requests(log: io.StringIO, event: str = "request") -> list[Json]:
    return entries(log, event)


async def test_a_line_says_who_asked_for_what_at_which_cost(
    database: db.Database, log: io.StringIO, account: Path
) -> None:
    async with serving(database, accounts=account) as http:
        response = await post(http, READ, headers={"authorization": _basic()}, variables={"id": "none"})
    [line] = requests(log)
    assert HASH.fullmatch(line.pop("document"))
    assert line.pop("milliseconds") >= line.pop("command_milliseconds") > 0
    assert line.pop("timestamp").endswith("Z")
    assert line.pop("bytes_received") > len(READ)
    assert line == {
        "event": "request", "level": "info", "request_id": response.headers["x-request-id"], "transport": "http",
        "method": "POST", "path": "/graphql", "status": 200, "bytes_sent": len(response.content),
        "client": "127.0.0.1", "tenant": "acme", "caller": "account:ci", "operation": "Read", "kind": "query",
        "cost": response.json()["extensions"]["cost"]["requested"], "commands": 1,
    }  # fmt: skip


def _basic(password: str = PASSWORD) -> str:
    return httpx2.BasicAuth("ci", password)._auth_header


@pytest.mark.parametrize("id_", ["a", "A-b_c.9", "x" * 128])
async def test_a_well_formed_request_id_of_the_client_is_used(
    database: db.Database, log: io.StringIO, id_: str
) -> None:
    async with serving(database) as http:
        response = await post(http, PAGE, headers={"x-request-id": id_})
    assert response.headers["x-request-id"] == id_
    assert [line["request_id"] for line in requests(log)] == [id_]


@pytest.mark.parametrize("id_", ["", " ", "a b", "a\tb", "ü", "a;b", '"', "x" * 129, "x" * 8_000, "a/b"])
async def test_any_other_request_id_is_replaced(database: db.Database, log: io.StringIO, id_: str) -> None:
    async with serving(database) as http:
        response = await post(http, PAGE, headers=[("x-request-id", id_.encode("latin-1"))])
    [line] = requests(log)
    assert line["request_id"] == response.headers["x-request-id"] != id_
    assert re.fullmatch("[0-9a-f]{24}", line["request_id"])


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("traceparent", "trace"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"00-{TRACE}-{SPAN}-00", TRACE),
        (f"01-{TRACE}-{SPAN}-01-more", TRACE),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f"01-{TRACE}-{SPAN}-01-{'x' * 300}", None),
        ("junk", None),
    ],
)
async def test_the_trace_is_that_of_a_valid_traceparent(
    database: db.Database, log: io.StringIO, traceparent: str, trace: str | None
) -> None:
    async with serving(database) as http:
        await post(http, PAGE, headers={"traceparent": traceparent})
    assert [line.get("trace_id") for line in requests(log)] == [trace]


async def test_refused_requests_have_their_codes(database: db.Database, log: io.StringIO, account: Path) -> None:
    async with serving(database, accounts=account, cost_per_hour=200) as http:
        own = {"authorization": _basic()}
        for send in (
            post(http, PAGE),
            post(http, PAGE, headers={"authorization": _basic("wrong")}),
            post(http, PAGE, "text/css", headers=own),
            post(http, "{ nothing }", headers=own),
            post(http, "{", headers=own),
            post(http, "{ releases(first: 1000000000) { nodes { id } } }", headers=own),
            post(http, 'mutation M { publishRelease(input: {id: "x"}) { problem { detail } } }', headers=own),
            http.get("/nowhere", headers=own),
            http.get("/v1/catalogs/default/releases/none", headers=own),
            http.get("/v1/catalogs/default/releases/none", headers={"host": "evil.example:x"}),
            *(post(http, PAGE, headers=own) for _ in range(20)),
        ):
            await send
    found = [(line["status"], line.get("errors")) for line in requests(log)]
    assert found[:10] == [
        (401, ["UNAUTHORIZED"]),
        (401, ["UNAUTHORIZED"]),
        (406, ["NOT_ACCEPTABLE"]),
        (200, ["BAD_REQUEST"]),
        (200, ["BAD_REQUEST"]),
        (200, ["BAD_USER_INPUT"]),
        (200, ["NotFoundProblem"]),
        (404, ["NOT_FOUND"]),
        (404, ["NOT_FOUND"]),
        (400, ["BAD_REQUEST"]),
    ]
    assert found[-1] == (429, ["RATE_LIMITED"])


async def test_lines_of_other_addresses_have_the_caller_and_the_commands(
    database: db.Database, log: io.StringIO, account: Path
) -> None:
    own = {"authorization": _basic()}
    async with serving(database, accounts=account) as http:
        assert (await http.get("/v1/catalogs/default/releases/none?token=MARKER", headers=own)).status_code == 404
        sent = {"projectIdentifier": "tool", "release": {"name": "tool", "version": "1"}}
        await http.post(
            "/api/v1/catalog/releases/project/tool/import",
            headers={**own, "content-type": JSON},
            content=json.dumps(sent),
        )
        await http.get("/livez")
    read, write, alive = requests(log)
    for line in (read, write):
        assert (line["tenant"], line["caller"], line["cost"] > 0) == ("acme", "account:ci", True), line
    assert read["path"] == "/v1/catalogs/default/releases/none"
    assert read["commands"] >= 1
    assert {"caller", "cost", "commands"}.isdisjoint(alive)
    assert "MARKER" not in log.getvalue()


async def test_a_fallback_is_told_with_its_reason(
    database: db.Database, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(database, slow_seconds=0.000001) as http:
        by_ids, broken = records.by_ids, [True]

        async def fail_once(*arguments: Any, **named: Any) -> Any:
            if broken:
                broken.pop()
                raise LookupError("once")
            return await by_ids(*arguments, **named)

        monkeypatch.setattr(records, "by_ids", fail_once)
        assert data_of(await post(http, READ, variables={"id": "none"})) == {"release": None}
    assert executor.fallbacks["LookupError"]
    [line] = requests(log)
    assert line["fallback"] == "LookupError"
    assert [line["plan"] for line in requests(log, "slow operation")] == ["executor"]


async def test_a_slow_operation_is_described_without_values(database: db.Database, log: io.StringIO) -> None:
    query = "query Slow($name: String) { releases(first: 5, filter: {name: $name}) { totalCount nodes { id } } }"
    async with serving(database, slow_seconds=0.000001) as http:
        data_of(await post(http, query, variables={"name": "MARKER"}))
    [line], [slow] = requests(log), requests(log, "slow operation")
    assert slow["level"] == "warning"
    facts = {
        "request_id",
        "tenant",
        "caller",
        "client",
        "operation",
        "kind",
        "document",
        "cost",
        "milliseconds",
        "commands",
    }
    assert {name: slow[name] for name in facts} == {name: line[name] for name in facts}
    assert slow["plan"] == "compiled"
    commands = slow["database"]
    assert len(commands) == line["commands"] >= 2
    for command in commands:
        assert (command["command"], command["collection"], command["documents"]) in {
            ("find", "releases", 0), ("aggregate", "releases", 0), ("aggregate", "releases", 1)
        }  # fmt: skip
        assert command["milliseconds"] > 0
        assert "tenantId" in str(command["query"]) or "terms" in str(command["query"])
    assert "MARKER" not in log.getvalue()


@pytest.mark.parametrize("seconds", [0, 3_600])
async def test_no_operation_is_slow_before_its_time(
    database: db.Database, log: io.StringIO, seconds: float
) -> None:
    async with serving(database, slow_seconds=seconds) as http:
        await post(http, PAGE)
    assert requests(log, "slow operation") == []


async def test_the_level_decides_about_lines(database: db.Database) -> None:
    with logs.captured("warning") as log:
        async with serving(database, slow_seconds=0.000001) as http:
            await post(http, PAGE)
    assert [entry["event"] for entry in entries(log)] == ["slow operation"]


async def test_text_has_the_same_facts(database: db.Database) -> None:
    with logs.captured(form="text") as log:
        async with serving(database) as http:
            await post(http, PAGE, headers={"x-request-id": "mine"})
    for fact in ("mine", "Page", "/graphql", "local"):
        assert fact in log.getvalue()


async def test_each_operation_of_a_websocket_has_its_own_line(database: db.Database, log: io.StringIO) -> None:
    app = create_app(Settings(slow_seconds=0.000001), database=database)
    headers = {"x-request-id": "socket", "traceparent": f"00-{TRACE}-{SPAN}-01"}
    connected_ = functools.partial(subscribers.connected, additional_headers=headers)
    async with subscribers.served(app) as host, connected_(host) as client:
        for id_, query in (("1", PAGE), ("2", "query Wrong { nothing }")):
            await subscribers.send(client, id=id_, type="subscribe", payload={"query": query})
            while (await subscribers.received(client))["type"] == "next":
                pass
        follow = "subscription Follow { events { id } }"
        await subscribers.send(client, id="3", type="subscribe", payload={"query": follow})
        await asyncio.sleep(0.3)
        await subscribers.send(client, id="3", type="complete")
        await eventually(lambda: len(requests(log)) == 3)
    page, wrong, follow_line = requests(log)
    assert len({line["request_id"] for line in requests(log)} - {"socket"}) == 3
    for line in (page, wrong, follow_line):
        assert (line["transport"], line["client"], line["caller"], line["path"], line["trace_id"]) == (
            "websocket", "127.0.0.1", "local", "/graphql", TRACE
        )  # fmt: skip
    assert (page["operation"], page["kind"], page["commands"] > 0, page["cost"] > 1) == (
        "Page",
        "query",
        True,
        True,
    )
    assert page["bytes_sent"] > 50
    assert wrong["errors"] == ["BAD_REQUEST"]
    # A subscription is as long as its client wants.
    assert [line.get("operation") for line in requests(log, "slow operation")] == ["Page", None]


async def test_a_stream_has_a_line_at_its_end(database: db.Database, log: io.StringIO) -> None:
    app = create_app(Settings(slow_seconds=0.000001), database=database)
    async with subscribers.served(app) as host, httpx2.AsyncClient(base_url=f"http://{host}") as http:
        async with graphql_client.stream(http, "subscription Follow { events { id } }") as stream:
            await anext(stream.aiter_bytes())
            assert requests(log) == []
        await eventually(lambda: requests(log))
    [line] = requests(log)
    assert (line["transport"], line["operation"], line["kind"]) == ("sse", "Follow", "subscription")
    assert requests(log, "slow operation") == []


HOOK = 'mutation($u: String!) { createWebhook(input: {url: $u, events: ["*"]}) { webhook { id } secret problem { detail } } }'
PUBLISH = "mutation($id: ID!) { publishRelease(input: {id: $id}) { problem { detail } } }"


async def test_each_webhook_attempt_has_a_line_without_the_path(
    empty: Catalog, database: db.Database, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = await empty.put(await empty.product("tool"), "1")
    async with receiving() as receiver, serving(database, files_allow="127.0.0.1") as http:
        receiver.answer = status("503 MARKER", body=b"MARKER")
        made = data_of(await post(http, HOOK, variables={"u": receiver.url}))["createWebhook"]
        data_of(await post(http, PUBLISH, variables={"id": release["id"]}))
        await eventually(lambda: requests(log, "webhook attempt"))
    line = requests(log, "webhook attempt")[0]
    assert line.pop("milliseconds") > 0
    assert line.pop("bytes_sent") > 50
    assert line.pop("event_id").isdecimal()
    assert line.pop("timestamp")
    assert line.pop("request_id")
    assert line == {
        "event": "webhook attempt", "level": "info", "transport": "webhook", "tenant": "local", "status": 503,
        "webhook": made["webhook"]["id"], "attempt": 1, "host": "127.0.0.1", "errors": ["REFUSED"],
    }  # fmt: skip
    for secret in ("MARKER", "/hook", made["secret"]):
        assert secret not in log.getvalue()


async def test_a_forwarded_request_is_not_of_this_machine(database: db.Database, log: io.StringIO) -> None:
    for proxies, direct in (("", 200), ("127.0.0.1", 401)):
        async with serving(database, trusted_proxies=proxies) as http:
            assert (await post(http, PAGE)).status_code == direct
            for name in ("x-forwarded-for", "forwarded", "x-real-ip", "via"):
                assert (await post(http, PAGE, headers={name: "127.0.0.1"})).status_code == 401


async def test_the_client_behind_a_trusted_proxy_is_logged(
    database: db.Database, log: io.StringIO, account: Path
) -> None:
    async with serving(database, accounts=account, trusted_proxies="127.0.0.0/8") as http:
        headers = {"authorization": _basic(), "x-forwarded-for": "1.1.1.1, 198.51.100.7"}
        assert (await post(http, PAGE, headers=headers)).status_code == 200
    assert [line["client"] for line in requests(log)] == ["198.51.100.7"]


# Whatever a client sends as a value, or keeps as a secret, is in no line.

M = "MARKER"


def _hostile(http: httpx2.AsyncClient) -> list[Callable[[], Any]]:
    """Requests with a marker in every place of a value or of a secret."""
    headers = {
        "cookie": f"session={M}", "user-agent": M, "referer": f"http://x.example/{M}", "x-custom": M, "origin": "null",
        "x-forwarded-for": M, "tracestate": M, "baggage": M, "accept-language": M, "idempotency-key": M,
    }  # fmt: skip
    own = {**headers, "authorization": _basic()}

    def graphql(query: str, sent: Any = None, **variables: Any) -> Callable[[], Any]:
        return lambda: post(http, query, headers=own if sent is None else sent, variables=variables)

    credentials = f"https://user:{M}@host.example/{M}?{M}"
    release = {"productId": M, "name": M, "version": M, "tag": M, "properties": {M: M}, "idempotencyKey": M}
    return [
        graphql("query($id: ID!) { release(id: $id) { id } }", id=M),
        graphql(f'{{ release(id: "{M}") {{ id }} }}'),
        graphql(f'{{ releases(filter: {{name: "{M}", search: "{M}"}}) {{ nodes {{ id }} totalCount }} }}'),
        graphql(f'{{ releases(after: "{M}") {{ nodes {{ id }} }} }}'),
        graphql(f'{{ node(id: "{M}") {{ id }} }}'),
        graphql("query($n: Int) { releases(first: $n) { nodes { id } } }", n=M),
        graphql("query($id: ID!) { release(id: $id) { id } }", id={M: M}),
        graphql(f"# {M}\n{{ viewer {{ subject }} }}"),
        graphql(f'{{ release(id: """{M}'),
        graphql(
            "mutation($i: CreateReleaseInput!) { createRelease(input: $i) { problem { detail } } }", i=release
        ),
        graphql("mutation($i: CreateReleaseInput!) { createRelease(input: $i) { problem { detail } } }", i={M: M}),
        graphql(HOOK, u=credentials),
        graphql(HOOK, u=f"https://hooks.example/{M}?token={M}"),
        graphql("{ viewer { subject } }", {**headers, "authorization": f"Bearer {M}"}),
        graphql("{ viewer { subject } }", {**headers, "authorization": f"Bearer rc_{M}"}),
        graphql("{ viewer { subject } }", {**headers, "authorization": f"Bearer {M}.{M}.{M}"}),
        graphql("{ viewer { subject } }", {**headers, "x-project-token": M}),
        graphql("{ viewer { subject } }", {**headers, "authorization": f"{M} {M}"}),
        graphql("{ viewer { subject } }", {**headers, "authorization": _basic(M)}),
        graphql("{ viewer { subject } }", {**headers, "authorization": httpx2.BasicAuth(M, M)._auth_header}),
        graphql("{ viewer { subject } }", {**own, "x-request-id": f"{M} {M}"}),
        graphql("{ viewer { subject } }", {**own, "traceparent": f"00-{M}-{M}-01"}),
        lambda: http.get(f"/graphql?query={M}&variables={M}", headers=own),
        lambda: http.get(f"/v1/catalogs/default/releases?name={M}", headers=own),
        lambda: http.post("/graphql", headers={**own, "content-type": JSON}, content=f'{{"query": "{M}'),
        lambda: http.post(f"/graphql?{M}", headers={**own, "content-type": M}, content=M),
        lambda: http.post(
            "/api/v1/catalog/releases/project/tool/import",
            headers={**own, "content-type": JSON},
            content=json.dumps({M: M}),
        ),
    ]


async def _fail(*arguments: Any, **named: Any) -> None:
    document = {"keyValue": {"_id": str(arguments)}, "errmsg": str(arguments)}
    raise OperationFailure(f"dup key: {arguments}", 11_000, document)


@pytest.mark.parametrize("failing", [False, True], ids=["", "with a failing database"])
async def test_no_line_has_a_value_or_a_secret(
    database: db.Database, account: Path, monkeypatch: pytest.MonkeyPatch, *, failing: bool
) -> None:
    count = 0
    with logs.captured("debug") as log:
        jwt = {"jwt_issuer": "https://x.example", "jwt_audience": "x", "jwt_secret": M * 8}
        async with serving(database, accounts=account, slow_seconds=0.000001, **jwt) as http:
            if failing:
                # The message of each error holds what the command was about.
                monkeypatch.setattr(records, "by_ids", _fail)
                monkeypatch.setattr(pagination, "fetch_pages", _fail)
            for send in _hostile(http):
                await send()
                count += 1
    assert len(requests(log)) == count
    for line in log.getvalue().splitlines():
        assert M not in line, line


async def test_the_name_of_an_operation_is_bounded(database: db.Database, log: io.StringIO) -> None:
    name = "N" * 500
    async with serving(database) as http:
        await post(http, f"query {name} {{ viewer {{ subject }} }}")
        await post(http, "{ viewer { subject } }", operationName="\x1b[31mé\n")
    named, unnamed = requests(log)
    assert named["operation"] == "N" * 100
    assert "operation" not in unnamed


async def test_concurrent_requests_count_their_own_commands(database: db.Database, log: io.StringIO) -> None:
    async with serving(database) as http:
        await asyncio.gather(
            *(post(http, PAGE, headers={"x-request-id": f"p{n}"}) for n in range(10)),
            post(http, "{ viewer { subject } }"),
        )
    counts = {line["request_id"]: line.get("commands", 0) for line in requests(log)}
    assert all(counts.pop(f"p{n}") in {1, 2} for n in range(10))
    assert [*counts.values()] == [0]


@pytest.fixture
def _quiet_clients() -> Iterator[None]:
    """The clients of the test log nothing: they are in the same process."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith(("websockets", "http"))]
    levels = {name: logging.getLogger(name).level for name in {*names, "websockets.client"}}
    for name in levels:
        logging.getLogger(name).setLevel(logging.WARNING)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("_quiet_clients")
async def test_no_line_of_a_library_has_what_a_socket_sends(database: db.Database) -> None:
    with logs.captured("debug") as log:
        app = create_app(Settings(slow_seconds=0.000001), database=database)
        async with subscribers.served(app) as host:
            uri = f"ws://{host}/graphql?token=MARKER"
            async with websockets.connect(
                uri, subprotocols=[websockets.Subprotocol(subscribers.PROTOCOL)]
            ) as client:
                await subscribers.send(client, type="connection_init", payload={"authorization": "Bearer MARKER"})
                await subscribers.received(client)
                payload = {"query": READ, "variables": {"id": "MARKER"}}
                await subscribers.send(client, id="1", type="subscribe", payload=payload)
                await subscribers.received(client)
                await subscribers.send(client, type="MARKER")
                with contextlib.suppress(websockets.ConnectionClosed):
                    while True:
                        await subscribers.received(client)
            async with httpx2.AsyncClient(base_url=f"http://{host}") as http:
                await http.get("/graphql?query=MARKER", headers={"authorization": "Bearer MARKER"})
        await eventually(lambda: len(requests(log)) == 2)
    assert "MARKER" not in log.getvalue()


async def test_refused_connections_are_logged_but_not_what_they_sent(database: db.Database) -> None:
    with logs.captured("debug") as log:
        app = create_app(Settings(), database=database)
        async with subscribers.served(app) as host:
            address, _, port = host.partition(":")
            for _ in range(20):
                reader, writer = await asyncio.open_connection(address, int(port))
                writer.write(b"MARKER MARKER\r\nMARKER\r\n\r\n")
                assert b"400" in await reader.read()
                writer.close()
    refused = requests(log, "connection refused")
    assert (refused[0]["reason"], refused[0]["client"], refused[0]["count"]) == ("invalid request", "127.0.0.1", 1)
    assert len(refused) < 20
    assert "MARKER" not in log.getvalue()


async def test_the_server_itself_believes_no_proxy(database: db.Database, log: io.StringIO, account: Path) -> None:
    app = create_app(Settings(accounts=account), database=database)
    async with subscribers.served(app) as host, httpx2.AsyncClient(base_url=f"http://{host}") as http:
        await http.get("/livez", headers={"x-forwarded-for": "MARKER"})
    assert [line["client"] for line in requests(log)] == ["127.0.0.1"]


def test_the_names_of_a_caller_are_bounded() -> None:
    record = RequestRecord("1")
    token = request_record.current.set(record)
    try:
        request_record.note_caller("t" * 9_000, "s" * 9_000)
    finally:
        request_record.current.reset(token)
    assert (record.tenant, record.caller) == ("t" * 255, "s" * 255)


def test_a_failing_observer_is_no_failure_of_the_request() -> None:
    def fail(_: RequestRecord) -> None:
        raise RuntimeError("MARKER")

    with logs.captured() as log:
        request_record.finish(RequestRecord("1"), [fail])
    assert [entry["event"] for entry in entries(log)] == ["observer of requests failed"]
