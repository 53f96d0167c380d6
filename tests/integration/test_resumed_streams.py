"""Server-sent events that a plain EventSource resumes, and the multipart responses that Apollo Client reads."""

import asyncio
import contextlib
import urllib.parse
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest

from release_catalog.domain.release import ReleaseDocument
from release_catalog.graphql_http import stream as endless
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage.collection_names import EVENTS
from support.catalog import Catalog
from support.graphql_client import EVENT_STREAM, post, refusal_of, stream
from support.subscribers import happen, served

FOLLOW = "subscription { events { id } }"
# As Apollo Client 3 and 4 send it.
APOLLO_3 = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json"
APOLLO_4 = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0",application/graphql-response+json,application/json;q=0.9'
DEFER = "multipart/mixed;deferSpec=20220824,application/json"


@pytest.fixture
async def release(empty: Catalog) -> ReleaseDocument:
    return await empty.put(await empty.product("a"), "1", status="PUBLISHED")


@pytest.fixture
async def host(empty: Catalog) -> AsyncIterator[str]:
    async with served(create_app(Settings(), database=empty.database)) as host:
        yield host


class EventSource:
    """What the HTML standard says of a browser's EventSource: it keeps the last id, with or without data."""

    def __init__(self, http: httpx2.AsyncClient, host: str, query: str = FOLLOW) -> None:
        self.url = f"http://{host}/graphql?{urllib.parse.urlencode({'query': query})}"
        self.http = http
        self.last_id = ""

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
        """Yield the blocks of a connection, after the first one."""
        headers = {"accept": EVENT_STREAM, **({"last-event-id": self.last_id} if self.last_id else {})}
        async with self.http.stream("GET", self.url, headers=headers) as response:
            assert response.status_code == 200
            async with contextlib.aclosing(self._blocks(response)) as blocks:
                await asyncio.wait_for(anext(blocks), 60)
                yield blocks

    async def _blocks(self, response: httpx2.Response) -> Any:
        block: dict[str, str] = {}
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if line:
                block[name] = value
                continue
            self.last_id = block.get("id", self.last_id)
            yield block
            block = {}


async def next_event(blocks: AsyncIterator[dict[str, str]]) -> Any:
    async with asyncio.timeout(60):
        async for block in blocks:
            if "data" in block:
                return orjson.loads(block["data"])
    raise AssertionError("the stream has ended")


async def test_an_event_source_that_is_cut_before_its_first_event_misses_nothing(
    empty: Catalog, host: str, release: ReleaseDocument
) -> None:
    await happen(empty, release, times=3)
    async with httpx2.AsyncClient() as http:
        source = EventSource(http, host)
        async with source.connected():
            pass
        assert source.last_id == "0000000000000003"
        await happen(empty, release, times=2)
        for number in (4, 5):
            async with source.connected() as blocks:
                assert await next_event(blocks) == {"data": {"events": {"id": f"{number:016d}"}}}
            assert source.last_id == f"{number:016d}"


@pytest.mark.parametrize(
    ("site", "status"), [("https://portal.example", 200), ("https://portal.example.evil", 403)]
)
async def test_an_event_source_of_a_page_of_a_named_origin_is_served(
    empty: Catalog, site: str, status: int
) -> None:
    """A browser sends no other header for it, and nothing by POST."""
    app = create_app(Settings(cors_origins="https://portal.example"), database=empty.database)
    headers = {"accept": EVENT_STREAM, "origin": site, "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}
    async with served(app) as host, httpx2.AsyncClient() as http:
        url = EventSource(http, host).url
        async with http.stream("GET", url, headers=headers) as response:
            assert response.status_code == status
            assert response.headers.get("access-control-allow-origin") == (site if status == 200 else None)


async def test_an_event_source_that_is_cut_after_each_event_sees_each_once(
    empty: Catalog, host: str, release: ReleaseDocument
) -> None:
    writing = asyncio.create_task(happen(empty, release, times=60))
    async with httpx2.AsyncClient() as http:
        source = EventSource(http, host, 'subscription { events(after: "0") { id } }')
        seen: list[str] = []
        while len(seen) < 60:
            async with source.connected() as blocks:
                seen += [(await next_event(blocks))["data"]["events"]["id"] for _ in range(1 + len(seen) % 3)]
    await writing
    assert seen == [f"{number:016d}" for number in range(1, 61)]


async def test_heartbeats_move_past_what_a_filter_excludes(
    empty: Catalog, host: str, release: ReleaseDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endless, "SILENCE_SECONDS", 0.1)
    async with httpx2.AsyncClient() as http:
        source = EventSource(http, host, 'subscription { events(types: ["release.archived"]) { id } }')
        async with source.connected() as blocks, asyncio.timeout(60):
            await happen(empty, release, times=3)
            async for _ in blocks:
                if source.last_id == "0000000000000003":
                    break
        await happen(empty, release, "release.archived")
        # Events of its past are no longer kept, but it needs none of them.
        await empty.database[EVENTS].delete_many({"sequence": {"$lte": 3}})
        async with source.connected() as blocks:
            assert await next_event(blocks) == {"data": {"events": {"id": "0000000000000004"}}}


async def test_an_invalid_last_event_id_is_named(empty: Catalog, host: str, release: ReleaseDocument) -> None:
    await happen(empty, release, times=3)
    async with httpx2.AsyncClient() as http:
        for id_, said in (
            ("x", "is not the id of an event"),
            ("9", "does not exist yet"),
            ("\xe4", "is not the id"),
        ):
            headers = {"last-event-id": id_.encode("latin-1")}
            text = (await post(http, FOLLOW, EVENT_STREAM, url=f"http://{host}", headers=headers)).text
            [data] = [line for line in text.splitlines() if line.startswith("data: {")]
            [error] = orjson.loads(data[6:])["errors"]
            assert error["message"].startswith("Last-Event-ID: ")
            assert said in error["message"]
            assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": "Last-Event-ID"}
            assert text.endswith("event: complete\ndata:\n\n")
        await empty.database[EVENTS].delete_many({"sequence": {"$lte": 2}})
        headers = {"last-event-id": b"1"}
        text = (await post(http, FOLLOW, EVENT_STREAM, url=f"http://{host}", headers=headers)).text
        assert "no longer kept" in text
        headers = {"last-event-id": b"1" * 2_000}
        answer = await post(http, FOLLOW, EVENT_STREAM, url=f"http://{host}", headers=headers)
        assert refusal_of(answer)["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_a_refused_event_comes_again(empty: Catalog, release: ReleaseDocument) -> None:
    await happen(empty, release, times=20)
    app = create_app(Settings(cost_per_hour=12), database=empty.database)
    async with served(app) as host, httpx2.AsyncClient(timeout=30) as http:
        source = EventSource(http, host, 'subscription { events(after: "0") { id release { name } } }')
        async with source.connected() as blocks:
            told = [block async for block in blocks]
    events = [orjson.loads(block["data"]) for block in told if block.get("event") == "next"]
    assert events[-1]["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert source.last_id == events[-2]["data"]["events"]["id"]


async def test_an_operation_without_events_has_no_ids(host: str) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await post(
            http, "{ __typename }", EVENT_STREAM, url=f"http://{host}", headers={"last-event-id": "x"}
        )
    assert "id:" not in answer.text
    assert '{"__typename":"Query"}' in answer.text


async def parts(response: httpx2.Response) -> AsyncIterator[Any]:
    """Read parts as Apollo Client does: each when the boundary after it has come."""
    text = ""
    async for more in response.aiter_text():
        text += more
        while "\r\n--graphql" in text:
            part, text = text.split("\r\n--graphql", 1)
            head, _, body = part.partition("\r\n\r\n")
            if body:
                assert head.strip() == "content-type: application/json"
                yield orjson.loads(body)
    assert text == "--\r\n"


@pytest.mark.parametrize("accept", [APOLLO_3, APOLLO_4, 'Multipart/Mixed; SubscriptionSpec="1.0"'])
async def test_a_subscription_comes_in_parts(
    accept: str, empty: Catalog, host: str, release: ReleaseDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endless, "SILENCE_SECONDS", 0.1)
    await happen(empty, release, times=2)
    query = 'subscription { events(after: "0") { id release { name } } }'
    async with (
        httpx2.AsyncClient() as http,
        stream(http, query, accept, url=f"http://{host}") as response,
        asyncio.timeout(60),
    ):
        assert response.headers["content-type"] == 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"'
        got: list[Any] = []
        async for part in parts(response):
            got.append(part)
            if len(got) > 2 and part == {}:
                break
    assert got[0] == {}
    assert [part["payload"] for part in got if part] == [
        {"data": {"events": {"id": f"{number:016d}", "release": {"name": "a"}}}} for number in (1, 2)
    ]


async def test_a_subscription_in_parts_that_is_refused_ends(host: str) -> None:
    query = 'subscription { events(after: "x") { id } }'
    async with httpx2.AsyncClient() as http:
        answer = await post(http, query, APOLLO_4, url=f"http://{host}")
        assert answer.status_code == 200
        assert answer.text.endswith("\r\n--graphql--\r\n")
        found = [part async for part in parts(answer)]
    assert found[1]["payload"]["errors"][0]["extensions"]["argument"] == "after"


@pytest.mark.parametrize(
    ("accept", "query", "content_type"),
    [
        (APOLLO_3, "{ __typename }", "application/json; charset=utf-8"),
        (APOLLO_4, "{ __typename }", "application/graphql-response+json; charset=utf-8"),
        (APOLLO_4, "{ nothing }", "application/graphql-response+json; charset=utf-8"),
        (DEFER, "{ __typename }", "application/json; charset=utf-8"),
        ("multipart/mixed;subscriptionSpec=2.0,application/json", FOLLOW, "application/json; charset=utf-8"),
    ],
)
async def test_only_subscriptions_come_in_parts(accept: str, query: str, content_type: str, host: str) -> None:
    async with httpx2.AsyncClient() as http:
        assert (await post(http, query, accept, url=f"http://{host}")).headers["content-type"] == content_type


async def test_a_query_is_not_acceptable_in_parts_alone(host: str) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await post(http, "{ __typename }", "multipart/mixed;subscriptionSpec=1.0", url=f"http://{host}")
    assert answer.status_code == 406
    assert "application/json" in refusal_of(answer)["message"]
