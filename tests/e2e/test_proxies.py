"""nginx and Caddy with the settings in deploy/, in front of a real server: each way to talk to it works through them."""

import asyncio
import http.server
import json
import os
import re
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2
import pytest
from selenium import webdriver

from e2e.test_graphiql import execute
from release_catalog.server import graphiql
from support import graphql_client, proxies, subscribers
from support.browser import logged, see, write
from support.processes import Server, eventually, run, serving
from support.proxies import Proxy

FOLLOW = 'subscription { events(types: ["release.created"]) { id type release { version } } }'
KEEP_OUT = ["/metrics", "/readyz"]
MiB = 1 << 20


class Behind(NamedTuple):
    """A server behind proxies, and a token for it: callers of a proxy are never the operator of its machine."""

    server: Server
    authorization: dict[str, str]


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, mongodb_url: str) -> Iterator[Behind]:
    database: dict[str, Any] = {"mongodb_url": mongodb_url, "database": "proxies"}
    created = run("token", "first", "--scope", "admin", **database)
    assert created.returncode == 0, created.stderr
    settings: dict[str, Any] = {**database, "authentication": "required", "trusted_proxies": "127.0.0.1"}
    with serving(tmp_path_factory.mktemp("behind"), "--sample", **settings) as server:
        yield Behind(server, {"Authorization": f"Bearer {created.stdout.split()[-1]}"})


@pytest.fixture(scope="module", params=proxies.PROXIES)
def proxy(
    request: pytest.FixtureRequest, behind: Behind, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    port = urlsplit(behind.server.url).port
    assert port
    with proxies.running(request.param, tmp_path_factory.mktemp(request.param), port) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy, behind: Behind) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=proxy.url, verify=proxy.tls, timeout=60, headers=behind.authorization) as http:
        yield http


def saved(client: httpx2.Client, key: str) -> str:
    """Save a product; its id."""
    mutation = "mutation($key: String!) { saveProduct(input: {key: $key, name: $key}) { product { id key } } }"
    data = graphql_client.data_of(graphql_client.post(client, mutation, variables={"key": key}))
    assert data["saveProduct"]["product"]["key"] == key
    return str(data["saveProduct"]["product"]["id"])


def test_nginx_finds_no_error(tmp_path: Path) -> None:
    proxies.certificate(tmp_path)
    command = proxies.nginx(tmp_path, proxies.Ports(proxies.free_port(), proxies.free_port(), 8000))
    done = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


def test_caddy_finds_no_error(tmp_path: Path) -> None:
    caddy, env = proxies.program("caddy"), os.environ | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    for arguments in (["validate", "--adapter", "caddyfile", "--config"], ["fmt"]):
        done = subprocess.run(
            [caddy, *arguments, proxies.CADDY], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert '"level":"warn"' not in done.stderr
    assert done.stdout == proxies.CADDY.read_text()


def test_queries_and_mutations_pass(client: httpx2.Client, proxy: Proxy) -> None:
    assert saved(client, f"by-{proxy.name}")
    data = graphql_client.data_of(graphql_client.post(client, "{ viewer { subject } }"))
    assert data["viewer"]["subject"].startswith("token:")


def test_links_lead_through_the_proxy(client: httpx2.Client) -> None:
    entry = client.get("/v1", headers={"Accept": "application/hal+json"})
    assert entry.status_code == 200
    links = [
        link["href"]
        for value in entry.json()["_links"].values()
        for link in ([value] if isinstance(value, dict) else value)
    ]
    assert links
    assert [link for link in links if not link.startswith("/") or link.startswith("//")] == []
    assert client.get("/v1/catalogs", headers={"Accept": "application/hal+json"}).status_code == 200
    home = client.get("/", follow_redirects=False)
    assert (home.status_code, home.headers["location"]) == (307, "/graphql")


def test_responses_are_neither_kept_nor_told_by_whom(client: httpx2.Client) -> None:
    answer = graphql_client.post(client, "{ viewer { subject } }")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert not re.search(r"\d", answer.headers.get("server", ""))
    assert "x-cache" not in answer.headers
    assert answer.headers["x-request-id"]


def test_the_log_names_the_request_as_the_proxy_does(client: httpx2.Client, behind: Behind) -> None:
    said = {"X-Forwarded-For": "192.0.2.1", "X-Request-ID": "0" * 32}
    answer = graphql_client.post(client, "{ viewer { subject } }", headers=said)
    number = answer.headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f-]{32,36}", number)
    assert number != said["X-Request-ID"]
    [entry] = eventually(
        lambda: [line for line in behind.server.entries("request") if line["request_id"] == number]
    )
    assert entry["client"] == "127.0.0.1"


def test_pages_for_machines_stay_inside(client: httpx2.Client) -> None:
    assert [client.get(path).status_code for path in KEEP_OUT] == [404] * len(KEEP_OUT)
    assert client.get("/livez").status_code == 200


def test_http_leads_to_https(proxy: Proxy) -> None:
    answer = httpx2.get(f"http://localhost:{proxy.plain_port}/graphql?query=x", follow_redirects=False)
    assert answer.status_code == 308
    assert re.fullmatch(r"https://localhost(:\d+)?/graphql\?query=x", answer.headers["location"])


def test_http_2_is_offered(proxy: Proxy) -> None:
    proxy.tls.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as plain,
        proxy.tls.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.selected_alpn_protocol() == "h2"


def test_a_large_body_is_refused_and_one_within_the_limit_is_not(client: httpx2.Client) -> None:
    refused = client.post("/graphql", content=b" " * (2 * MiB), headers={"Content-Type": "application/json"})
    assert refused.status_code == 413
    body = json.dumps({"query": "{ viewer { subject } }"}).encode()
    answer = client.post("/graphql", content=body.ljust(MiB), headers={"Content-Type": "application/json"})
    assert (answer.status_code, list(answer.json()["data"])) == (200, ["viewer"])


def following(proxy: Proxy, behind: Behind) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=proxy.url, verify=proxy.tls, timeout=60, headers=behind.authorization)


async def next_event(results: AsyncIterator[Any]) -> tuple[str, str]:
    """The id of an event, and the version of its release."""
    async with asyncio.timeout(60):
        event = (await anext(results))["data"]["events"]
    return event["id"], event["release"]["version"]


async def test_events_arrive_one_by_one_and_none_is_missed(
    client: httpx2.Client, proxy: Proxy, behind: Behind
) -> None:
    product = saved(client, f"followed-by-{proxy.name}")
    async with following(proxy, behind) as http:
        async with graphql_client.stream(http, FOLLOW) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            results = graphql_client.results(answer)
            for version in ("1.0", "2.0"):
                # The next one happens only after this one has arrived.
                await created(http, product, version)
                last, seen = await next_event(results)
                assert seen == version
        await created(http, product, "3.0")
        async with graphql_client.stream(http, FOLLOW, headers={"Last-Event-ID": last}) as answer:
            assert await next_event(graphql_client.results(answer)) == (f"{int(last) + 1:016d}", "3.0")


async def test_web_sockets_pass(client: httpx2.Client, proxy: Proxy, behind: Behind) -> None:
    product = saved(client, f"watched-by-{proxy.name}")
    async with (
        subscribers.connected(
            proxy.host, scheme="wss", ssl=proxy.tls, additional_headers=behind.authorization
        ) as socket_,
        following(proxy, behind) as http,
    ):
        await subscribers.subscribe(socket_)
        for version in ("1.0", "2.0"):
            await created(http, product, version)
            event = await subscribers.told(socket_)
            assert event["type"] == "release.created"


async def created(http: httpx2.AsyncClient, product: str, version: str) -> None:
    mutation = "mutation($input: CreateReleaseInput!) { createRelease(input: $input) { release { version } problem { detail ... on ValidationProblem { violations { message } } } } }"
    variables = {"input": {"productId": product, "name": "agent", "version": version}}
    data = graphql_client.data_of(await graphql_client.post(http, mutation, variables=variables))
    assert data["createRelease"] == {"release": {"version": version}, "problem": None}


class Echo(http.server.BaseHTTPRequestHandler):
    """An API that answers with the headers that reach it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps([[name.lower(), value] for name, value in self.headers.items()]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("name", proxies.PROXIES)
def test_a_client_can_tell_the_api_neither_its_address_nor_the_id_of_its_request(
    name: str, tmp_path: Path
) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as echo:
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        with proxies.running(name, tmp_path, echo.server_port) as proxy:
            said = {"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1", "X-Request-ID": "mine"}
            said |= {"Authorization": "Bearer token", "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}
            arrived = httpx2.get(f"{proxy.url}/livez", headers=said, verify=proxy.tls).json()
        echo.shutdown()
    headers = dict(arrived)
    assert len([key for key, _ in arrived if key == "x-forwarded-for"]) == 1
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"
    assert "forwarded" not in headers
    assert re.fullmatch(r"[0-9a-f-]{32,36}", headers["x-request-id"])
    assert headers["host"] == proxy.host
    assert headers["authorization"] == "Bearer token"
    assert headers["traceparent"] == said["traceparent"]


@pytest.mark.skipif(not graphiql.TEMPLATE.is_file(), reason="GraphiQL is not built: make web")
def test_graphiql_works_in_a_browser_over_tls(proxy: Proxy, behind: Behind, chromium: webdriver.Chrome) -> None:
    chromium.get("about:blank")
    chromium.execute_cdp_cmd("Network.enable", {})
    chromium.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": behind.authorization})
    logged(chromium, "browser")
    chromium.get(f"{proxy.url}/graphql")
    see(chromium, ".graphiql-query-editor .view-line")
    query = "{ releases(first: 3) { nodes { name version } } }"
    write(chromium, query)
    see(chromium, ".graphiql-query-editor", query)
    response = execute(chromium, '"nodes"')
    assert response.text.count('"version"') == 3
    assert logged(chromium, "browser") == []
