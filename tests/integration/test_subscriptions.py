"""Following events: from any of them on, none left out, whatever breaks in between, and over both protocols."""

import asyncio
import base64
import contextlib
import datetime
import socket
import urllib.parse
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
import websockets
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Route, WebSocketRoute

from release_catalog.auth import access_tokens, service_accounts
from release_catalog.domain import timestamps
from release_catalog.domain.caller import Caller
from release_catalog.domain.release import ReleaseDocument
from release_catalog.events import broker, change_stream
from release_catalog.graphql_api.request_errors import RequestError
from release_catalog.graphql_api.schema import schema
from release_catalog.graphql_http import endpoint as view
from release_catalog.graphql_http import stream as endless
from release_catalog.graphql_http import subscriber_limit, websocket
from release_catalog.graphql_http.subscriber_limit import SubscriberLimiter
from release_catalog.pace import Pace
from release_catalog.query_engine.context import Context
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage import access_tokens as stored_tokens
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import CATALOGS, EVENTS
from support.catalog import Catalog
from support.graphql_client import EVENT_STREAM, data_of, error_of, get, post, refusal_of, stream
from support.subscribers import (
    FOLLOW,
    PROTOCOL,
    ask,
    connected,
    happen,
    received,
    send,
    served,
    start,
    subscribe,
    told,
)

Ids = list[str]
FOLLOW_ALL = "subscription { events { id } }"


@pytest.fixture
async def host(empty: Catalog) -> AsyncIterator[str]:
    async with served(create_app(Settings(), database=empty.database)) as host:
        yield host


@contextlib.asynccontextmanager
async def feeding(catalog: Catalog) -> AsyncIterator[broker.EventBroker]:
    """The work of a process with subscribers."""
    async with (
        broker.run_broker(catalog.database) as feeds,
        change_stream.watch_changes(catalog.database, feeds.ring),
    ):
        yield feeds


async def made(catalog: Catalog, name: str = "a", **fields: Any) -> ReleaseDocument:
    return await catalog.put(await catalog.product(name), "1", **{"status": "PUBLISHED", **fields})


def ids(count: int, first: int = 1) -> Ids:
    return [f"{number:016d}" for number in range(first, first + count)]


@pytest.mark.parametrize("driver", [AsyncMongoClient, AsyncIOMotorClient])
async def test_a_subscription_sends_missed_events_then_new_ones(empty: Catalog, host: str) -> None:
    release = await made(empty)
    await happen(empty, release, times=2)
    async with connected(host) as client:
        await subscribe(client)
        await happen(empty, release, "release.archived")
        assert await told(client) == {"id": ids(1, 3)[0], "type": "release.archived", "release": {"name": "a"}}
        await send(client, type="complete", id="1")
        await subscribe(client, after="1")
    async with connected(host) as client:
        await start(client, after="1")
        assert [(await told(client))["id"] for _ in range(2)] == ids(2, 2)
        await happen(empty, release)
        assert (await told(client))["id"] == ids(1, 4)[0]


async def test_a_subscriber_gets_what_it_asks_for_alone(empty: Catalog, host: str) -> None:
    a, b = await made(empty, "a"), await made(empty, "b")
    async with connected(host) as client:
        for after in (None, "0"):
            await subscribe(client, id_=f"type{after}", types=["promotion.*"], after=after)
            if after is None:
                await subscribe(client, id_="release", release=a["id"])
                await subscribe(client, id_="product", product=b["productId"])
                await happen(empty, a)
                await happen(empty, b)
                await happen(empty, b, "promotion.completed")
                got = [await received(client) for _ in range(4)]
                found = sorted((one["id"], one["payload"]["data"]["events"]["id"][-1]) for one in got)
                assert found == [("product", "2"), ("product", "3"), ("release", "1"), ("typeNone", "3")]
                break
    for variables, numbers in (
        ({"types": ["promotion.*"]}, [3]),
        ({"release": a["id"]}, [1]),
        ({"product": b["productId"]}, [2, 3]),
    ):
        async with connected(host) as client:
            asked: dict[str, Any] = {"after": "0", **variables}
            await start(client, **asked)
            assert [int((await told(client))["id"]) for _ in numbers] == numbers


async def test_the_response_to_an_event_has_a_time_limit(empty: Catalog, host: str) -> None:
    release = await made(empty)
    async with connected(host) as client:
        await subscribe(client)
        empty.commands.clear()
        await happen(empty, release)
        assert (await told(client))["release"] == {"name": "a"}
    [asked] = [command for command in empty.commands.sent if command.get("find") == "releases"]
    assert 0 < asked["maxTimeMS"] <= 15_000


async def test_visibility_gives_a_reader_events_of_visible_releases(empty: Catalog) -> None:
    open_, private = await made(empty, "a"), await made(empty, "b", private=True)
    reader = Caller("local", "reader", frozenset({"release:read"}))
    async with feeding(empty) as feeds:
        late = [await feeds.follow(caller, None) for caller in (reader, empty.caller)]
        waiting = [asyncio.ensure_future(anext(each)) for each in late]
        await happen(empty, private)
        await happen(empty, open_)
        assert [(await asyncio.wait_for(one, 60))["sequence"] for one in waiting] == [2, 1]
        assert (await anext(await feeds.follow(reader, "0")))["sequence"] == 2
        assert len(feeds._feeds) == 2
        for each in late:
            await each.aclose()


async def test_a_subscriber_that_drops_and_resumes_a_hundred_times_has_seen_each_event(
    empty: Catalog, host: str
) -> None:
    release = await made(empty)
    writing = asyncio.create_task(happen(empty, release, times=300))
    seen: Ids = []
    for _ in range(100):
        async with connected(host) as client:
            await start(client, after=seen[-1] if seen else "0")
            seen += [(await told(client))["id"] for _ in range(3)]
    await writing
    assert seen == ids(300)


async def test_no_event_is_missed_while_the_change_stream_is_lost(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = await made(empty)
    monkeypatch.setattr(change_stream, "POLL_SECONDS", 0.1)
    opened, real = [], db.watch

    class Lost:
        alive = True

        def __init__(self, stream: Any) -> None:
            self.stream, self.left = stream, 3

        async def try_next(self) -> Any:
            self.left -= 1
            if not self.left:
                raise OperationFailure("Resume of change stream was not possible, as the oplog is gone", 286)
            return await self.stream.try_next()

    @contextlib.asynccontextmanager
    async def changes(*arguments: Any) -> AsyncIterator[Lost]:
        opened.append(arguments)
        async with real(*arguments) as stream:
            yield Lost(stream)

    monkeypatch.setattr(db, "watch", changes)
    async with feeding(empty) as feeds:
        follow = await feeds.follow(empty.caller, None)
        writing = asyncio.create_task(happen(empty, release, times=40))
        assert [(await asyncio.wait_for(anext(follow), 60))["sequence"] for _ in range(40)] == [*range(1, 41)]
        await writing
        assert len(opened) > 1


async def test_without_change_streams_the_log_is_polled(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    release = await made(empty)

    def refused(*_: Any) -> Any:
        raise OperationFailure("The $changeStream stage is only supported on replica sets", 40573)

    monkeypatch.setattr(db, "watch", refused)
    async with feeding(empty) as feeds:
        follow = await feeds.follow(empty.caller, None)
        coming = asyncio.ensure_future(anext(follow))
        await asyncio.sleep(0.1)
        await happen(empty, release)
        assert (await asyncio.wait_for(coming, 60))["sequence"] == 1


async def test_a_slow_subscriber_continues_from_its_last_event(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "QUEUED", 5)
    release = await made(empty)
    async with feeding(empty) as feeds:
        slow, quick = await feeds.follow(empty.caller, None), await feeds.follow(empty.caller, None)
        first = asyncio.ensure_future(anext(slow))
        seen = asyncio.create_task(_take(quick, 60))
        await asyncio.sleep(0.1)
        await happen(empty, release, times=60)
        numbers = [(await first)["sequence"], *await _take(slow, 59)]
        assert numbers == await asyncio.wait_for(seen, 60) == [*range(1, 61)]


async def _take(follow: Any, count: int) -> list[int]:
    return [(await asyncio.wait_for(anext(follow), 60))["sequence"] for _ in range(count)]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"after": "x"}, "after: this is not the id of an event"),
        ({"after": "9"}, "after: the event does not exist yet"),
        ({"types": ["x"]}, "types: the event type 'x' does not exist"),
    ],
)
async def test_invalid_subscriptions_are_errors(host: str, variables: Any, said: str) -> None:
    async with connected(host) as client:
        await start(client, **variables)
        answer = await received(client)
        assert (answer["type"], answer["id"]) == ("next", "1") or answer["type"] == "error"
        errors = answer["payload"] if answer["type"] == "error" else answer["payload"]["errors"]
        assert errors[0]["message"].startswith(said)
        assert errors[0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_cursor_whose_successors_are_forgotten_is_an_error(empty: Catalog, host: str) -> None:
    await happen(empty, await made(empty), times=3)
    await empty.database[EVENTS].delete_many({"sequence": {"$lte": 2}})
    async with httpx2.AsyncClient() as http:
        text = (await post(http, FOLLOW, EVENT_STREAM, url=f"http://{host}", variables={"after": "0"})).text
    assert "no longer kept" in text
    assert text.endswith("event: complete\ndata:\n\n")


async def closing(client: Any) -> tuple[int, str]:
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await asyncio.wait_for(_read_all(client), 30)
    assert closed.value.rcvd
    return closed.value.rcvd.code, closed.value.rcvd.reason


async def _read_all(client: Any) -> None:
    while True:
        await client.recv()


INIT = {"type": "connection_init"}
SUBSCRIBE = {"type": "subscribe", "id": "1", "payload": {"query": FOLLOW_ALL}}


@pytest.mark.parametrize(
    ("messages", "code", "said"),
    [
        ([{"type": "x"}], 4400, "not a message of"),
        ([[]], 4400, "not a message of"),
        (["{"], 4400, "not JSON"),
        ([b"{}"], 4400, "text"),
        ([INIT, {**SUBSCRIBE, "id": ""}], 4400, "not a message of"),
        ([INIT, {**SUBSCRIBE, "payload": {}}], 4400, "give it as text in query"),
        ([{**INIT, "payload": 1}], 4400, "must be an object"),
        ([SUBSCRIBE], 4401, "Unauthorized"),
        ([INIT, SUBSCRIBE, SUBSCRIBE], 4409, "Subscriber for 1 already exists"),
        ([INIT, INIT], 4429, "Too many initialisation requests"),
        ([], 4408, "Connection initialisation timeout"),
        (["[" * (1 << 20) + "]"], 1009, ""),
        (["[]," * 2_000], 1009, "values"),
        ([INIT, "[]," * 300_000], 1009, "values"),
    ],
)
async def test_protocol_violations_close_the_socket_with_a_code(
    host: str, messages: list[Any], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not messages:
        monkeypatch.setattr(websocket, "INIT_SECONDS", 0.1)
    async with websockets.connect(f"ws://{host}/graphql", subprotocols=[PROTOCOL]) as client:  # type: ignore[list-item]
        for number, message in enumerate(messages):
            await client.send(message if isinstance(message, str | bytes) else orjson.dumps(message).decode())
            if message == INIT and not number:
                assert await received(client) == {"type": "connection_ack"}
        found, reason = await closing(client)
        assert found == code
        assert said in reason


@pytest.mark.parametrize(
    ("messages", "code"),
    [(['{"type": "ping"}'] * 11, 1008), (['{"type": "pong"}'] * 11, 1008), (['"' + "x" * 20_000 + '"'], 1009)],
)
async def test_a_client_that_has_not_introduced_itself_sends_little(
    host: str, messages: list[str], code: int
) -> None:
    async with websockets.connect(f"ws://{host}/graphql", subprotocols=[PROTOCOL]) as client:  # type: ignore[list-item]
        for message in messages:
            await client.send(message)
        assert (await closing(client))[0] == code


async def test_a_client_that_sends_without_a_pause_waits_and_others_do_not(host: str) -> None:
    count = websocket.MESSAGE_BURST + 10 * websocket.MESSAGES_A_SECOND
    async with connected(host) as flooding, httpx2.AsyncClient() as other:
        for _ in range(count):
            await send(flooding, type="ping")
        for _ in range(5):
            assert data_of(await post(other, "{ viewer { subject } }", url=f"http://{host}"))
        # It takes ten seconds until all of them are answered.
        answered = 0
        with contextlib.suppress(TimeoutError):
            while answered < count:
                await asyncio.wait_for(flooding.recv(), 0.003)
                answered += 1
        assert answered < count


def test_the_pace_of_messages_is_kept_in_the_long_run() -> None:
    now = 0.0
    pace = Pace(10, 5, clock=lambda: now)
    assert [pace.pause() for _ in range(12)] == [0.0] * 10 + [0.2, 0.4]
    now = 100.0
    assert [pace.pause() for _ in range(11)] == [0.0] * 10 + [0.2]


async def test_other_protocols_and_pages_of_others_are_refused(host: str) -> None:
    async with websockets.connect(f"ws://{host}/graphql", subprotocols=["graphql-ws"]) as client:  # type: ignore[list-item]
        assert await closing(client) == (4406, "Subprotocol not acceptable")
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with connected(host, origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403
    async with connected(host, origin=f"http://{host}") as client:
        await send(client, type="ping")
        assert await received(client) == {"type": "pong"}


async def test_queries_and_mutations_are_answered_too_and_errors_told(empty: Catalog, host: str) -> None:
    async with connected(host) as client:
        assert await ask(client, "q", "{ viewer { subject } }") == {"viewer": {"subject": "local"}}
        mutation = 'mutation { saveCatalog(input: {id: "c", name: "C"}) { catalog { id } } }'
        assert await ask(client, "m", mutation) == {"saveCatalog": {"catalog": {"id": "c"}}}
        await start(client, "{ nothing }")
        answer = await received(client)
        assert (answer["type"], answer["id"]) == ("error", "1")
        assert "nothing" in answer["payload"][0]["message"]
        for number in range(websocket.MAX_OPERATIONS):
            await start(client, FOLLOW_ALL, str(number))
        await start(client, FOLLOW_ALL, "more")
        assert (await received(client))["payload"][0]["message"].startswith("The socket has 50 operations")
        await send(client, type="complete", id="7")
        assert await ask(client, "7", "{ viewer { subject } }")


@pytest.fixture
def arriving(empty: Catalog) -> Callable[..., Starlette]:
    """An application whose callers are who their Authorization says."""

    def app(left: SubscriberLimiter | None = None, seconds: float = 0.5) -> Starlette:
        async def arrive(connection: HTTPConnection) -> Context:
            name = connection.headers.get("authorization")
            if name != "Bearer good":
                raise RequestError(401, "Log in.")
            end = timestamps.now() + datetime.timedelta(seconds=seconds)
            follow = connection.app.state.follow
            return Context(
                Caller("local", "me", frozenset({"admin"}), expires_at=end), empty.database, follow=follow
            )

        graphql = view.GraphQLHTTPEndpoint(schema._schema, arrive, subscriber_limit=left)
        full = create_app(Settings(), database=empty.database)
        endpoint = websocket.Endpoint(graphql.results, arrive, graphql.subscriber_limit)
        full.state.subscriber_limit = graphql.subscriber_limit
        full.user_middleware.pop()  # it passes what is posted to /graphql past the router
        full.router.routes[:0] = [
            Route("/graphql", graphql.__call__, methods=["GET", "POST"]),
            WebSocketRoute("/graphql", endpoint.serve),
        ]
        return full

    return app


async def test_a_socket_is_closed_without_credentials_and_when_they_expire(
    arriving: Callable[..., Starlette],
) -> None:
    async with served(arriving()) as host:
        for payload in (None, {"Authorization": "Bearer bad"}):
            async with websockets.connect(f"ws://{host}/graphql", subprotocols=[PROTOCOL]) as client:  # type: ignore[list-item]
                await send(client, type="connection_init", payload=payload)
                assert await closing(client) == (4403, "Forbidden: Log in.")
        async with connected(host, {"authorization": "Bearer good"}) as client:
            # On a slow machine, they have expired by then.
            with contextlib.suppress(websockets.ConnectionClosed):
                await start(client, FOLLOW_ALL)
            assert await closing(client) == (4403, "Credentials expired")
        async with httpx2.AsyncClient() as http:
            answer = await post(http, FOLLOW_ALL, EVENT_STREAM, url=f"http://{host}")
            assert (answer.status_code, refusal_of(answer)) == (401, {"message": "Log in."})
            known = {"Authorization": "Bearer good"}
            answer = await post(http, FOLLOW_ALL, EVENT_STREAM, url=f"http://{host}", headers=known)
            assert (answer.status_code, answer.text) == (200, ":\nid: 0000000000000000\n\n")


async def test_credentials_in_the_payload_are_as_in_a_header(arriving: Callable[..., Starlette]) -> None:
    async with served(arriving()) as host:
        for value in (
            "Bearer good\r\nX-Project-Token: x", "Bearer good\n", "\nBearer good", "Bearer\r good", "Bearer g\0", " Bearer good",
            "Bearer g\u00f6\u00f6d", "Bearer \U0001f600", "Bearer \u2028", "Bearer " + "x" * websocket.MAX_AUTHORIZATION,
            "x" * 16_000, " " * 16_000, "a " * 8_000, 7, True, ["Bearer good"], {"Bearer": "good"}, [], {},
        ):  # fmt: skip
            async with websockets.connect(f"ws://{host}/graphql", subprotocols=[PROTOCOL]) as client:  # type: ignore[list-item]
                await send(client, type="connection_init", payload={"Authorization": value})
                assert (await closing(client))[0] == 4400, value
        several = {"Authorization": "Bearer good", "authorization": "Bearer good"}
        async with websockets.connect(f"ws://{host}/graphql", subprotocols=[PROTOCOL]) as client:  # type: ignore[list-item]
            await send(client, type="connection_init", payload=several)
            assert (await closing(client))[0] == 4400
        for payload in ({"AUTHORIZATION": "Bearer good"}, {"Authorization": "Bearer good", "authorization": None}):
            async with connected(host, payload):
                pass
        header = {"Authorization": "Bearer good"}
        for absent in (None, {}, {"Authorization": None}, {"Authorization": ""}, {"host": "evil", "x": 1}):
            async with connected(host, absent, additional_headers=header):
                pass


async def test_a_token_that_anybody_revokes_is_followed_with_no_longer(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber_limit, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(access_tokens, "KNOWN_SECONDS", 0)
    release = await made(empty)
    good, bad = [await token(empty) for _ in range(2)]
    keeps, loses = ({"authorization": f"Bearer {one['token']}"} for one in (good, bad))
    app = create_app(Settings(authentication="required"), database=empty.database)
    async with (
        served(app) as host,
        connected(host, keeps) as kept,
        connected(host, loses) as cut,
        httpx2.AsyncClient(timeout=30, headers=loses) as http,
        stream(http, FOLLOW_ALL, url=f"http://{host}") as streamed,
    ):
        for client in (kept, cut):
            await subscribe(client)
        # While nobody can tell, all of it goes on.
        with monkeypatch.context() as outage:
            outage.setattr(stored_tokens, "known", unreachable)
            await asyncio.sleep(0.5)
        await happen(empty, release)
        assert (await told(kept))["id"] == (await told(cut))["id"] == ids(1)[0]
        # As another process does it: in the database alone.
        await stored_tokens.revoke(empty.caller, empty.database, {"id": bad["accessToken"]["id"]})
        assert await closing(cut) == (4403, "Credentials expired")
        text = (await streamed.aread()).decode()
        assert ids(1)[0] in text
        assert "complete" not in text
        await happen(empty, release)
        assert (await told(kept))["id"] == ids(1, 2)[0]


async def test_a_subscription_ends_when_permissions_change(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(subscriber_limit, "LOOK_SECONDS", 0.1)
    file, line = (
        tmp_path / "accounts",
        service_accounts.line("ci", "local", ["release:write"], "correct horse battery"),
    )
    file.write_text(line)
    known = {"authorization": "Basic " + base64.b64encode(b"ci:correct horse battery").decode()}
    async with (
        served(create_app(Settings(accounts=file), database=empty.database)) as host,
        connected(host, known) as client,
        httpx2.AsyncClient(timeout=30, headers=known) as http,
        stream(http, FOLLOW_ALL, url=f"http://{host}") as streamed,
    ):
        await subscribe(client)
        await asyncio.sleep(0.3)
        # From now on, drafts do not exist for it.
        file.write_text(line.replace("release:write", "release:read"))
        assert await closing(client) == (4403, "Credentials expired")
        assert "complete" not in (await asyncio.wait_for(streamed.aread(), 60)).decode()


async def test_a_token_that_is_revoked_asks_no_more_over_a_socket_that_is_open(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "KNOWN_SECONDS", 0)
    bad = await token(empty)
    app = create_app(Settings(authentication="required"), database=empty.database)
    async with served(app) as host, connected(host, {"authorization": f"Bearer {bad['token']}"}) as client:
        with monkeypatch.context() as outage:
            outage.setattr(stored_tokens, "known", unreachable)
            assert await ask(client, "1", "{ __typename }")
        await stored_tokens.revoke(empty.caller, empty.database, {"id": bad["accessToken"]["id"]})
        mutation = 'mutation { saveCatalog(input: {id: "c", name: "C"}) { catalog { id } } }'
        await start(client, mutation, "2")
        assert await closing(client) == (4403, "Credentials expired")
    assert await empty.database[CATALOGS].find_one() is None


async def token(catalog: Catalog) -> dict[str, Any]:
    given = {"name": "a", "scopes": ["admin"]}
    answer = await stored_tokens.create(catalog.caller, catalog.database, given)
    assert isinstance(answer, dict)
    return answer


async def unreachable(*_: Any) -> Any:
    raise db.Unavailable("no primary")


async def test_there_are_as_many_seats_as_are_set(arriving: Callable[..., Starlette]) -> None:
    async with served(arriving(SubscriberLimiter(1), seconds=60)) as host, httpx2.AsyncClient() as http:
        known = {"Authorization": "Bearer good"}
        async with connected(host, additional_headers=known):
            options: dict[str, Any] = {"subprotocols": [PROTOCOL], "additional_headers": known}
            async with websockets.connect(f"ws://{host}/graphql", **options) as client:
                await send(client, **INIT)
                code, reason = await closing(client)
                assert (code, "slot for subscribers" in reason) == (1013, True)
            answer = await post(http, FOLLOW_ALL, EVENT_STREAM, url=f"http://{host}", headers=known)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        await asyncio.sleep(0.1)
        async with connected(host, additional_headers=known):
            pass


async def test_streams_that_begin_at_once_take_no_more_seats(arriving: Callable[..., Starlette]) -> None:
    known = {"Authorization": "Bearer good"}
    async with (
        served(arriving(SubscriberLimiter(1), seconds=1)) as host,
        httpx2.AsyncClient(headers=known) as http,
    ):
        asked = [post(http, FOLLOW_ALL, EVENT_STREAM, url=f"http://{host}") for _ in range(3)]
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answers) == [200, 503, 503]


async def test_a_client_that_reads_nothing_is_closed_with_a_code(
    empty: Catalog, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "PATIENCE_SECONDS", 3)
    cut = asyncio.Event()

    class Closed(websocket.Closed):
        def __init__(self, code: int, reason: str) -> None:
            super().__init__(code, reason)
            cut.set()

    monkeypatch.setattr(websocket, "Closed", Closed)
    await happen(empty, await made(empty, notes="x" * 1_000_000), times=12)
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    name, port = host.split(":")
    small.connect((name, int(port)))
    async with connected(host, sock=small, max_size=None, max_queue=1) as client:
        query = 'subscription { events(after: "0") { id data } }'
        await start(client, query)
        await asyncio.wait_for(cut.wait(), 30)
        code, reason = await closing(client)
        assert code == 4420
        assert "after" in reason


async def test_the_rate_limit_counts_each_event_as_a_query(empty: Catalog) -> None:
    await happen(empty, await made(empty), times=20)
    query = 'subscription { events(after: "0") { id release { name } } }'
    app = create_app(Settings(cost_per_hour=12), database=empty.database)
    async with served(app) as host, httpx2.AsyncClient(timeout=30) as http:
        answer = await post(http, query, EVENT_STREAM, url=f"http://{host}")
    told = [orjson.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert [one["data"]["events"]["id"] for one in told[:-1]] == ids(len(told) - 1)
    assert 1 < len(told) < 13
    assert told[-1]["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert answer.text.endswith("event: complete\ndata:\n\n")


async def test_events_come_as_a_stream_of_their_own(
    empty: Catalog, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endless, "SILENCE_SECONDS", 0.2)
    release = await made(empty)
    await happen(empty, release)
    async with httpx2.AsyncClient() as http:
        query = 'subscription { events(after: "0") { id release { name } } }'
        url = f"http://{host}/graphql?" + urllib.parse.urlencode({"query": query})
        async with http.stream("GET", url, headers={"accept": EVENT_STREAM}) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.aiter_lines()
            got = [line async for line in _until(lines, 9)]
            assert got[:5] == [":", "id: 0000000000000000", "", f"id: {ids(1)[0]}", "event: next"]
            told = {"data": {"events": {"id": ids(1)[0], "release": {"name": "a"}}}}
            assert orjson.loads(got[5].removeprefix("data: ")) == told
            assert got[6:] == ["", ":", f"id: {ids(1)[0]}"]
        answer = await post(http, "{ viewer { subject } }", EVENT_STREAM, url=f"http://{host}")
        text = '{"data":{"viewer":{"subject":"local"}},"extensions":{"cost":{"requested":1,"limit":5000}}}'
        assert answer.text == f":\n\nevent: next\ndata: {text}\n\nevent: complete\ndata:\n\n"
        answer = await post(http, "{ nothing }", EVENT_STREAM, url=f"http://{host}")
        assert "Cannot query field" in answer.text
        answer = await get(http, "mutation { __typename }", EVENT_STREAM, url=f"http://{host}")
        assert answer.status_code == 405
        answer = await post(http, FOLLOW_ALL, url=f"http://{host}")
        assert EVENT_STREAM in error_of(answer)["message"]


async def _until(lines: AsyncIterator[str], count: int) -> AsyncIterator[str]:
    for _ in range(count):
        yield await asyncio.wait_for(anext(lines), 60)


async def test_a_server_that_ends_does_not_wait_for_streams(empty: Catalog) -> None:
    app = create_app(Settings(), database=empty.database)
    async with httpx2.AsyncClient() as http, contextlib.AsyncExitStack() as stack, asyncio.timeout(120):
        async with served(app, grace_seconds=3_600) as host:
            answer = await stack.enter_async_context(stream(http, FOLLOW_ALL, url=f"http://{host}"))
            client = await websockets.connect(f"ws://{host}/graphql", subprotocols=[PROTOCOL])  # type: ignore[list-item]
            await send(client, type="connection_init")
            await received(client)
        assert (await answer.aread()) == b":\nid: 0000000000000000\n\n"
        assert (await closing(client))[0] == 1012
