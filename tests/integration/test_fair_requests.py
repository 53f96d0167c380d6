"""Fair shares of connections, sockets, documents and checks of credentials."""

import asyncio
import base64
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets
from argon2 import PasswordHasher
from starlette.applications import Starlette

from release_catalog.auth import access_tokens, passwords, service_accounts
from release_catalog.auth.access_tokens import AccessTokenAuthenticator
from release_catalog.auth.errors import AuthenticationError
from release_catalog.domain import access_tokens as texts
from release_catalog.domain import caller
from release_catalog.graphql_http import documents, endpoint, subscriber_limit
from release_catalog.graphql_http.documents import DocumentStore
from release_catalog.server import routes as application
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage import access_tokens as stored_tokens
from release_catalog.storage import database as db
from support.catalog import Catalog
from support.graphql_client import EVENT_STREAM, JSON, post, refusal_of, stream
from support.subscribers import PROTOCOL, ask, connected, received, send, served, start, subscribe
from support.waiting import eventually

VIEWER = "{ viewer { subject } }"
EVENTS = "subscription { events { id } }"
HERE, THERE = "127.0.0.1", "127.0.0.2"
IDLE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def token(catalog: Catalog, tenant: str = "acme") -> dict[str, str]:
    """The headers of a new caller of a tenant."""
    given = {"name": "a", "scopes": ["admin"]}
    answer = await stored_tokens.create(caller.local(tenant), catalog.database, given)
    assert isinstance(answer, dict)
    return {"authorization": f"Bearer {answer['token']}"}


def app_of(catalog: Catalog, **settings: Any) -> Starlette:
    return create_app(Settings(**{"authentication": "required", **settings}), database=catalog.database)


@contextlib.asynccontextmanager
async def opened(
    host: str, address: str = HERE
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection from an address of this machine."""
    name, port = host.split(":")
    reader, writer = await asyncio.open_connection(name, int(port), local_addr=(address, 0))
    try:
        yield reader, writer
    finally:
        writer.close()


async def livez(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The status of a request over a connection that stays open."""
    writer.write(IDLE)
    head = await asyncio.wait_for(reader.readuntil(b"ok"), 30)
    return head.split(b" ")[1]


# Connections.


async def test_idle_connections_make_room_for_new_ones(empty: Catalog) -> None:
    async with served(app_of(empty), 50) as host, contextlib.AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(opened(host)) for _ in range(55)]
        for reader, writer in idle[-20:]:
            assert await livez(reader, writer) == b"200"
        # Both those that never asked for anything and those that did keep nobody out, however many come.
        for _ in range(100):
            assert await livez(*await stack.enter_async_context(opened(host))) == b"200"


async def test_an_address_that_opens_many_connections_closes_its_own(empty: Catalog) -> None:
    async with served(app_of(empty), 50) as host, contextlib.AsyncExitStack() as stack:
        mine = [await stack.enter_async_context(opened(host, HERE)) for _ in range(5)]
        for reader, writer in mine:
            assert await livez(reader, writer) == b"200"
        for _ in range(200):
            await stack.enter_async_context(opened(host, THERE))
        for reader, writer in mine:
            assert await livez(reader, writer) == b"200"


async def test_livez_answers_while_every_connection_answers_somebody(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, answer, under_way = asyncio.Event(), endpoint.GraphQLHTTPEndpoint._answer, 0

    async def slow(self: Any, *arguments: Any) -> Any:
        nonlocal under_way
        under_way += 1
        await go_on.wait()
        return await answer(self, *arguments)

    monkeypatch.setattr(endpoint.GraphQLHTTPEndpoint, "_answer", slow)
    limits = httpx2.Limits(max_connections=None)
    headers = await token(empty)
    async with (
        served(app_of(empty), 20) as host,
        httpx2.AsyncClient(limits=limits, timeout=60, headers=headers) as http,
        contextlib.AsyncExitStack() as stack,
    ):
        busy = [asyncio.create_task(post(http, VIEWER, url=f"http://{host}")) for _ in range(20)]
        await eventually(lambda: under_way == 20)
        for _ in range(100):
            assert await livez(*await stack.enter_async_context(opened(host))) == b"200"
        go_on.set()
        assert {(await one).status_code for one in busy} == {200}


# Sockets.


@contextlib.asynccontextmanager
async def silent(host: str, address: str = HERE) -> AsyncIterator[Any]:
    """A socket without connection_init."""
    options: dict[str, Any] = {"subprotocols": [PROTOCOL], "local_addr": (address, 0)}
    async with websockets.connect(f"ws://{host}/graphql", **options) as client:
        yield client


async def test_sockets_of_unknown_clients_take_no_seat_and_the_oldest_makes_room(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber_limit, "MAX_UNKNOWN", 5)
    app = app_of(empty, subscribers=2, subscribers_per_tenant=2, subscribers_per_caller=2)
    mine = await token(empty)
    async with served(app) as host, contextlib.AsyncExitStack() as stack:
        others = [await stack.enter_async_context(silent(host, THERE)) for _ in range(20)]
        waiting = await stack.enter_async_context(silent(host, HERE))
        others += [await stack.enter_async_context(silent(host, THERE)) for _ in range(20)]
        assert app.state.subscriber_limit.used == 0
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(others[0].recv(), 30)
        assert closed.value.rcvd
        assert (closed.value.rcvd.code, "connection_init" in closed.value.rcvd.reason) == (1013, True)
        async with connected(host, mine) as client:
            assert await ask(client, "1", "{ viewer { subject } }")
            # Whoever waits from another address was not pushed out.
            await send(waiting, type="connection_init", payload=mine)
            assert await received(waiting) == {"type": "connection_ack"}
            assert app.state.subscriber_limit.used == 2
            assert app.state.subscriber_limit.unknown.count <= 5
        await eventually(lambda: app.state.subscriber_limit.used == 1)


async def test_sockets_that_are_not_known_make_room_for_connections(empty: Catalog) -> None:
    async with served(app_of(empty), 20) as host, contextlib.AsyncExitStack() as stack:
        for _ in range(60):
            await stack.enter_async_context(silent(host))
        for _ in range(40):
            assert await livez(*await stack.enter_async_context(opened(host))) == b"200"


async def test_the_rate_limit_of_subscribers_is_a_share_for_callers_and_tenants(empty: Catalog) -> None:
    app = app_of(empty, subscribers=4, subscribers_per_tenant=3, subscribers_per_caller=2)
    first, second, other = await token(empty), await token(empty), await token(empty, "other")
    async with served(app) as host, contextlib.AsyncExitStack() as stack, httpx2.AsyncClient() as http:

        async def streamed(headers: dict[str, str]) -> httpx2.Response:
            return await stack.enter_async_context(stream(http, EVENTS, url=f"http://{host}", headers=headers))

        for headers in (first, first, second):
            await stack.enter_async_context(connected(host, headers))
        for headers in (first, second):
            client = await stack.enter_async_context(silent(host))
            await send(client, type="connection_init", payload=headers)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await asyncio.wait_for(client.recv(), 30)
            assert closed.value.rcvd
            assert closed.value.rcvd.code == 1013
            refused = await streamed(headers)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
            await refused.aread()
            assert refusal_of(refused)["extensions"] == {
                "code": "RATE_LIMITED",
                "limit": "subscribers",
                "allowed": 2,
            }
        assert (await streamed(other)).status_code == 200
        assert app.state.subscriber_limit.used == 4
        assert (await streamed(other)).status_code == 503


async def test_a_tenant_leaves_as_many_seats_as_it_takes(empty: Catalog) -> None:
    app = app_of(empty, subscribers=6, subscribers_per_caller=6)
    first, other = await token(empty), await token(empty, "other")
    async with served(app) as host, contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(connected(host, first))
        client = await stack.enter_async_context(silent(host))
        await send(client, type="connection_init", payload=first)
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(client.recv(), 30)
        await stack.enter_async_context(connected(host, other))


def test_shares_follow_from_the_settings() -> None:
    home, others = Settings(subscribers=100), Settings(subscribers=100, authentication="required")
    assert (home.caller_subscribers, home.tenants_share) == (100, False)
    assert (others.caller_subscribers, others.tenants_share) == (10, True)
    assert Settings(subscribers=3, authentication="required").caller_subscribers == 1
    assert Settings(subscribers_per_caller=7).caller_subscribers == 7


# Documents.


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The documents that have arrived."""
    arrived, meant = list[Any](), DocumentStore.meant

    async def noted(self: DocumentStore, parameters: Any, *arguments: Any) -> Any:
        arrived.append(parameters.get("query"))
        return await meant(self, parameters, *arguments)

    monkeypatch.setattr(DocumentStore, "meant", noted)
    return arrived


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], threading.Event]]:
    """The large documents that are read, in their order, and what lets reading go on."""
    read, held, judged = list[str](), threading.Event(), documents.DocumentStore._judged

    def reading(self: DocumentStore, text: str, tokens_: list[str]) -> Any:
        if len(text) > 1_000:
            read.append(text.split()[1])
            assert held.wait(60)
        return judged(self, text, tokens_)

    monkeypatch.setattr(DocumentStore, "_judged", reading)
    yield read, held
    held.set()


def large(name: str) -> str:
    return f"query {name} {{" + "...on Query { __typename } " * 60 + "}"


@pytest.mark.parametrize("way", ["http", "stream", "socket"])
async def test_large_documents_of_one_tenant_delay_another_by_a_turn(
    empty: Catalog, arrived: list[Any], reader: tuple[list[str], threading.Event], way: str
) -> None:
    read, held = reader
    many, mine = await token(empty), await token(empty, "other")
    limits = httpx2.Limits(max_connections=None)
    async with (
        served(app_of(empty)) as host,
        httpx2.AsyncClient(limits=limits, timeout=60) as http,
        connected(host, many) as client,
    ):
        url, accept = f"http://{host}", EVENT_STREAM if way == "stream" else JSON
        flood: list[Any] = []
        for number in range(20):
            query = large(f"Flood{number}")
            if way == "socket":
                await start(client, query, str(number))
            else:
                flood.append(asyncio.create_task(post(http, query, accept, url=url, headers=many)))
        await eventually(lambda: read)
        late = asyncio.create_task(post(http, large("Mine"), url=url, headers=mine))
        await eventually(lambda: len(arrived) == 21)
        await asyncio.sleep(0.2)
        held.set()
        assert (await late).status_code == 200
        for one in flood:
            assert (await one).status_code == 200
        await eventually(lambda: len(read) == 21)
    assert read.index("Mine") <= 2


async def test_documents_are_read_within_the_concurrency_of_their_caller_over_sockets_too(
    empty: Catalog, reader: tuple[list[str], threading.Event]
) -> None:
    read, held = reader
    many, mine = await token(empty), await token(empty)
    app = app_of(empty, max_concurrency=2, cost_per_hour=1_200)
    async with served(app) as host, connected(host, many) as client, connected(host, mine) as other:
        for number in range(3):
            await start(client, large(f"Q{number}"), str(number))
        answer = await received(client)
        assert answer["type"] == "error"
        assert answer["payload"][0]["extensions"]["limit"] == "concurrency"
        assert await ask(other, "1", "{ viewer { subject } }")
        held.set()
        done = {(await received(client))["type"] for _ in range(4)}
        assert done == {"next", "complete"}
        # Each costs its size before it is read.
        await start(client, large("More"), "more")
        answer = await received(client)
        assert (answer["type"], answer["payload"][0]["extensions"]["limit"]) == ("error", "rate")
    assert len(read) == 2


# Credentials.


async def test_readiness_is_asked_for_once_for_all_who_want_to_know(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, asked, ping = asyncio.Event(), 0, db.ping
    requests, answer = 0, application._Readiness.answer

    async def counted(*arguments: Any) -> Any:
        nonlocal requests
        requests += 1
        return await answer(*arguments)

    async def slow(*arguments: Any) -> None:
        nonlocal asked
        asked += 1
        await held.wait()
        await ping(*arguments)

    monkeypatch.setattr(db, "ping", slow)
    monkeypatch.setattr(application._Readiness, "answer", counted)
    async with served(app_of(empty)) as host, httpx2.AsyncClient(timeout=60) as http:
        looks = [asyncio.create_task(http.get(f"http://{host}/readyz")) for _ in range(50)]
        await eventually(lambda: requests == 50)
        held.set()
        assert {(await look).status_code for look in looks} == {200}
        assert (await http.get(f"http://{host}/readyz")).status_code == 200
    assert asked == 2


async def test_unknown_tokens_delay_no_token_that_was_good(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "KNOWN_SECONDS", 0)
    good, late = [(await token(empty))["authorization"].removeprefix("Bearer ") for _ in range(2)]
    known, held, looked_up = stored_tokens.known, asyncio.Event(), list[str]()

    async def slow(database: Any, text: str) -> Any:
        looked_up.append(text)
        if text not in {good, late}:
            await held.wait()
        return await known(database, text)

    monkeypatch.setattr(stored_tokens, "known", slow)
    checked = AccessTokenAuthenticator()
    assert await checked.caller(empty.database, good, THERE)
    flood = [asyncio.create_task(checked.caller(empty.database, texts.new(), THERE)) for _ in range(300)]
    await eventually(lambda: any(task.done() for task in flood))
    refused = [task.exception() for task in flood if task.done()]
    assert {error.status for error in refused if isinstance(error, AuthenticationError)} == {429}
    assert len(looked_up) <= 1 + access_tokens._UNKNOWN // 2, "the database has other things to do"
    # Neither who was known waits, even at the same address, nor who is new at another one.
    assert await checked.caller(empty.database, good, THERE)
    assert await checked.caller(empty.database, late, HERE)
    held.set()
    assert not any(task.result() for task in (await asyncio.wait(flood))[0] if not task.exception())
    assert await checked.caller(empty.database, late, THERE)


async def test_tokens_are_looked_up_once_for_all_who_ask(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    good, known, looked_up = (await token(empty))["authorization"][7:], stored_tokens.known, list[str]()

    async def counting(database: Any, text: str) -> Any:
        looked_up.append(text)
        await asyncio.sleep(0.05)
        return await known(database, text)

    monkeypatch.setattr(stored_tokens, "known", counting)
    checked = AccessTokenAuthenticator()
    assert all(await asyncio.gather(*(checked.caller(empty.database, good, HERE) for _ in range(5))))
    assert len(looked_up) == 1


def basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


async def test_wrong_passwords_lock_nobody_out(
    empty: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, password = tmp_path / "accounts", "correct horse battery"
    lines = [
        service_accounts.line(name, "acme", ["release:read"], password) for name in ("ci", "deploy", "nightly")
    ]
    file.write_text("\n".join(lines))
    matches, held = passwords.matches, threading.Event()

    def slow(known: str, given: str) -> bool:
        if given != password:
            assert held.wait(60)
        return matches(known, given)

    monkeypatch.setattr(passwords, "matches", slow)
    monkeypatch.setattr(passwords, "WAIT_SECONDS", 300)
    limits = httpx2.Limits(max_connections=None)
    async with (
        served(app_of(empty, accounts=file)) as host,
        httpx2.AsyncClient(limits=limits, timeout=60) as http,
    ):

        async def viewer(name: str, given: str = password) -> int:
            return (await post(http, VIEWER, url=f"http://{host}", headers=basic(name, given))).status_code

        try:
            assert await viewer("ci") == 200
            flood = [asyncio.create_task(viewer("ci", f"guess {n}")) for n in range(30)]
            flood += [asyncio.create_task(viewer(f"nobody {n}", "guess")) for n in range(30)]
            await eventually(lambda: any(task.done() for task in flood))
            # Who was known is let in at once, even when other accounts have changed; and who is new, too.
            assert await viewer("ci") == 200
            file.write_text("\n".join(lines[:2]))
            assert await viewer("ci") == 200
            assert await viewer("deploy") == 200
        finally:
            held.set()
        statuses = {await task for task in flood}
        assert statuses == {401, 429}


async def test_a_socket_whose_credentials_can_not_be_checked_now_may_try_again(
    empty: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "accounts"
    file.write_text(service_accounts.line("ci", "acme", ["release:read"], "correct horse battery"))
    held = threading.Event()
    monkeypatch.setattr(passwords, "matches", lambda *_: held.wait(60))
    async with served(app_of(empty, accounts=file)) as host, contextlib.AsyncExitStack() as stack:
        try:
            clients = [await stack.enter_async_context(silent(host)) for _ in range(passwords.MAX_WAITING + 2)]
            for client in clients:
                await send(client, type="connection_init", payload=basic("ci", "guess"))
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await asyncio.wait_for(clients[-1].recv(), 30)
            assert closed.value.rcvd
            assert closed.value.rcvd.code == 1013
        finally:
            held.set()
        assert await received(clients[0]) == {"type": "connection_ack"}
        await subscribe(clients[0])


async def test_other_work_in_threads_keeps_nobody_from_signing_in() -> None:
    known, held = PasswordHasher(time_cost=1, memory_cost=64).hash("good"), threading.Event()
    others = [asyncio.create_task(asyncio.to_thread(held.wait)) for _ in range(64)]
    try:
        verified = passwords.Passwords().verify("ci", "192.0.2.1", known, "good", exists=True)
        assert await asyncio.wait_for(verified, 60)
    finally:
        held.set()
        await asyncio.gather(*others)
