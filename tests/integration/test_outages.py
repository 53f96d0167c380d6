"""Responses while the database is unavailable, slow, or does not confirm a write; no client waits for long."""

import asyncio
import contextlib
import dataclasses
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from conftest import LOCAL, connected
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage import database as db
from release_catalog.storage import transactions, unit_of_work
from release_catalog.storage.collection_names import RELEASES
from release_catalog.storage.outages import RETRY_SECONDS
from support import subscribers as following
from support import tenant_walls as walls
from support.catalog import Catalog
from support.graphql_client import EVENT_STREAM, JSON, RESPONSE, client_of, data_of, error_of, post
from support.outages import HELD, Mongod, heartbeat, running
from support.waiting import eventually

SECONDS = 2.0
# On a busy machine an answer may come so much later. Without a deadline, drivers wait for a minute.
LATE = 25.0
QUERY = "{ releases { totalCount } }"
FIND = '{ release(id: "areal-release") { id } }'
CREATE = """mutation($input: CreateReleaseInput!) { createRelease(input: $input) { release { id version } problem { detail } } }"""


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with running(tmp_path_factory.mktemp("mongod")) as server:
        yield server


@contextlib.asynccontextmanager
async def application(mongod: Mongod, driver: Any, **settings: Any) -> AsyncIterator[Starlette]:
    """The application over a new database with something of everything in it; nothing works in the background."""
    async with connected(mongod.url, f"test_{uuid.uuid4().hex}", driver=driver) as database:
        app = create_app(Settings(**{"query_seconds": SECONDS, **settings}), database=database)
        async with app.router.lifespan_context(app):
            await walls.stock(Catalog(app.state.database, LOCAL))
            try:
                yield app
            finally:
                mongod.thaw()


def check(response: httpx2.Response, outcome: str | None = None, code: str = "UNAVAILABLE") -> dict[str, Any]:
    """Check the one error of a response, and return its extensions."""
    error = error_of(response)
    extensions: dict[str, Any] = error["extensions"]
    assert (extensions["code"], extensions.get("outcome")) == (code, outcome), error
    if code == "UNAVAILABLE":
        assert extensions["retryAfter"] == RETRY_SECONDS
        assert "request less at once" not in error["message"]
    return extensions


async def test_while_the_database_is_frozen(mongod: Mongod, driver: Any) -> None:
    async with application(mongod, driver) as app, client_of(app) as http:
        mongod.freeze()
        async with heartbeat() as beat:
            began = time.monotonic()
            asked = [post(http, QUERY, RESPONSE), post(http, QUERY, JSON), http.get("/v1/catalogs/areal-catalog")]
            asked += [http.get("/readyz"), http.get("/livez")]
            query, as_json, hal, ready, alive = await asyncio.gather(*asked)
            assert time.monotonic() - began < SECONDS + LATE
        assert beat.longest < HELD
        check(query)
        check(as_json)
        assert (query.status_code, query.headers["retry-after"]) == (503, "2")
        assert (as_json.status_code, as_json.headers["retry-after"]) == (200, "2")
        assert (hal.status_code, hal.headers["retry-after"]) == (503, "2")
        assert hal.headers["content-type"] == "application/problem+json"
        assert "try again" in hal.json()["detail"]
        assert (ready.status_code, alive.status_code) == (503, 200)
        began = time.monotonic()
        assert (await http.get("/readyz")).status_code == 503
        assert time.monotonic() - began < 2 + LATE
        mongod.thaw()
        assert data_of(await post(http, QUERY, RESPONSE))


async def test_subscribers_who_come_while_the_database_is_frozen(mongod: Mongod, driver: Any) -> None:
    async with (
        application(mongod, driver) as app,
        following.served(app) as host,
        httpx2.AsyncClient(timeout=60) as http,
        following.connected(host) as client,
    ):
        mongod.freeze()
        began = time.monotonic()
        query = 'subscription { events(after: "0") { id } }'
        stream = await post(http, query, EVENT_STREAM, url=f"http://{host}")
        assert "UNAVAILABLE" in stream.text
        await following.start(client, query)
        told = await following.received(client)
        assert (told["type"], "UNAVAILABLE" in str(told)) == ("next", True)
        assert time.monotonic() - began < 2 * SECONDS + LATE
        mongod.thaw()


async def test_every_mutation_while_the_database_is_frozen(mongod: Mongod, driver: Any) -> None:
    async with application(mongod, driver) as app, client_of(app) as http:
        mongod.freeze()
        began = time.monotonic()
        texts = dict(walls.mutations(walls.world()))
        answers = await asyncio.gather(*(post(http, text, RESPONSE) for text in texts.values()))
        assert time.monotonic() - began < SECONDS + LATE
        met = {name: answer for name, answer in zip(texts, answers, strict=True) if "errors" in answer.json()}
        # The others are refused before anything is read.
        assert texts.keys() - met.keys() <= {
            "createWebhook",
            "updateWebhook",
            "replayWebhook",
            "createAccessToken",
        }
        for answer in met.values():
            # A few are executed at a time, and the others do not wait for them.
            message = error_of(answer)["message"]
            assert "Nothing was changed" in message or "no free slot" in message
            assert error_of(answer)["extensions"]["outcome"] == "UNCHANGED"
            assert answer.status_code == 503
            assert answer.headers["retry-after"] in {"1", "2"}


async def test_every_mutation_whose_commit_is_not_confirmed(mongod: Mongod, driver: Any) -> None:
    """Its outcome is unknown, and the client is told how to learn it."""
    async with application(mongod, driver, query_seconds=1) as app, client_of(app) as http:
        for name, text in dict(walls.mutations(walls.world())).items():
            with mongod.failing("commitTransaction", closeConnection=True):
                answer = await post(http, text, RESPONSE)
            body = answer.json()
            if "errors" not in body:  # a problem, or nothing to change
                assert name in PROBLEMS, (name, body)
                continue
            check(answer, "UNKNOWN")
            assert "idempotencyKey" in error_of(answer)["message"]
            assert "Without a key" in error_of(answer)["message"]
            assert answer.status_code == 503
            # It is brought to an end, and keeps no other write from its own.
            await db.background_ended(30)


# Of the stock, these are refused, or change nothing.
PROBLEMS = {
    "createRelease", "importRelease", "publishRelease", "withdrawRelease", "archiveRelease", "replaceRelease", "patchRelease",
    "discardRelease", "setDeliveryStatus", "recordPipelineExecution", "rollbackPromotion", "verifyArtifacts", "createWebhook",
    "updateWebhook", "replayWebhook", "createAccessToken", "createReleases", "importReleases",
}  # fmt: skip


async def test_a_repeat_with_the_same_idempotency_key_returns_the_outcome(mongod: Mongod, driver: Any) -> None:
    given = {"productId": "areal-product", "name": "n", "version": "7", "idempotencyKey": "k"}
    async with application(mongod, driver) as app, client_of(app) as http:
        with mongod.failing("commitTransaction", mode={"times": 1}, blockConnection=True, blockTimeMS=3_500):
            check(await post(http, CREATE, RESPONSE, variables={"input": given}), "UNKNOWN")
        deadline = time.monotonic() + 60
        while (
            "errors" in (await post(http, CREATE, RESPONSE, variables={"input": given})).json()
        ):  # the commit is still under way
            assert time.monotonic() < deadline
        answers = [
            data_of(await post(http, CREATE, RESPONSE, variables={"input": given}))["createRelease"]
            for _ in range(2)
        ]
        assert answers[0]["release"]["version"] == "7"
        assert answers[0] == answers[1]
        assert await app.state.database[RELEASES].count_documents({"version": "7"}) == 1


async def test_a_change_that_took_effect_is_told_even_if_it_can_not_be_read(mongod: Mongod, driver: Any) -> None:
    text = """mutation { a: createRelease(input: {productId: "areal-product", name: "n", version: "8"}) {
      release { id product { id catalog { id } } } problem { detail } } }"""
    async with application(mongod, driver) as app, client_of(app) as http:
        with pytest.MonkeyPatch.context() as patch:
            commit = transactions._commit

            async def committed(*arguments: Any) -> None:
                await commit(*arguments)
                mongod.freeze()

            patch.setattr(transactions, "_commit", committed)
            answer = await post(http, text, RESPONSE)
        mongod.thaw()
        assert check(answer, "CHANGED")["changed"] == ["a"]
        # A client that repeats what is answered so would make it twice.
        assert (answer.status_code, "retry-after" in answer.headers) == (200, False)
        assert await app.state.database[RELEASES].count_documents({"version": "8"}) == 1


async def test_callers_who_can_not_be_identified(mongod: Mongod, driver: Any) -> None:
    async with application(mongod, driver, authentication="required") as app, following.served(app) as host:
        catalog = Catalog(app.state.database, LOCAL)
        made = await catalog.ask('mutation { createAccessToken(input: {name: "t", scopes: ["admin"]}) { token } }')
        headers = {"authorization": f"Bearer {made['createAccessToken']['token']}"}
        async with httpx2.AsyncClient(timeout=60, headers=headers) as http:
            mongod.freeze()
            began = time.monotonic()
            asked = [post(http, QUERY, RESPONSE, url=f"http://{host}")]
            asked += [http.get(f"http://{host}/v1/catalogs/areal-catalog")]
            graphql, hal = await asyncio.gather(*asked)
            assert time.monotonic() - began < SECONDS + LATE
            mongod.thaw()
        assert (graphql.status_code, hal.status_code) == (503, 503)
        assert (graphql.headers["retry-after"], hal.headers["retry-after"]) == ("2", "2")
        check(graphql)


async def test_only_what_the_database_was_too_slow_for_is_to_be_less(mongod: Mongod, driver: Any) -> None:
    async with application(mongod, driver, query_seconds=1) as app, client_of(app) as http:
        slow = {"blockConnection": True, "blockTimeMS": 3_000}
        for query, path in ((QUERY, "/v1/catalogs/areal-catalog"), (FIND, "/v1/base-images/areal-image")):
            # The driver gives up first. Others are answered, so it was this one.
            with mongod.failing("find", "aggregate", **slow):
                answer = await post(http, query, RESPONSE)
                check(answer, code="TIMEOUT")
                assert "request less at once" in error_of(answer)["message"]
                hal = await http.get(path)
                assert (hal.status_code, "time limit" in hal.json()["detail"]) == (503, True)
            # The database gives up first.
            with mongod.failing("find", "aggregate", errorCode=50):
                check(await post(http, query, RESPONSE), code="TIMEOUT")
            for code in (14031, 246, 365):
                with mongod.failing("find", "aggregate", errorCode=code, errorLabels=[]):
                    check(await post(http, query, RESPONSE))


async def test_the_rate_limit_of_writes_that_wait_leaves_room_for_reads(mongod: Mongod, driver: Any) -> None:
    async with application(mongod, driver, max_concurrency=10, query_seconds=10) as app, client_of(app) as http:
        # The first write holds up the others.
        with mongod.failing("insert", mode={"times": 1}, blockConnection=True, blockTimeMS=2_000):
            given = [{"productId": "areal-product", "name": "n", "version": f"9.{n}"} for n in range(10)]
            writes = [
                asyncio.create_task(post(http, CREATE, RESPONSE, variables={"input": each})) for each in given
            ]
            await eventually(lambda: sum(write.done() for write in writes) == 2)
            reads = await asyncio.gather(*(post(http, QUERY, RESPONSE) for _ in range(2)))
            assert not [read for read in reads if "errors" in read.json()]
            answers = [await write for write in writes]
        refused = [answer for answer in answers if "errors" in answer.json()]
        assert len(refused) == 2
        for answer in refused:
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
            error = error_of(answer)
            assert error["extensions"] == {"code": "RATE_LIMITED", "limit": "writes", "allowed": 8}
            assert "repeat" in error["message"]


async def test_a_write_whose_turn_does_not_come_is_refused(mongod: Mongod, driver: Any) -> None:
    async with application(mongod, driver, query_seconds=3) as app, client_of(app) as http:
        held, free = asyncio.Event(), asyncio.Event()

        async def hold(_: Any) -> None:
            held.set()
            await free.wait()

        holding = asyncio.create_task(unit_of_work.serialized_transaction(LOCAL, app.state.database, hold))
        await held.wait()
        given = {"productId": "areal-product", "name": "n", "version": "10"}
        began = time.monotonic()
        answer = await post(http, CREATE, RESPONSE, variables={"input": given})
        assert time.monotonic() - began < 3 + LATE
        check(answer, "UNCHANGED")
        assert "Other writes went first" in error_of(answer)["message"]
        free.set()
        await holding
        assert data_of(await post(http, CREATE, RESPONSE, variables={"input": given}))["createRelease"]["release"]


async def test_callers_of_a_tenant_write_in_turns(mongod: Mongod, driver: Any) -> None:
    async with connected(mongod.url, f"test_{uuid.uuid4().hex}", driver=driver) as database:
        done: list[str] = []

        async def write(name: str) -> None:
            async def work(_: Any) -> None:
                await asyncio.sleep(0.01)
                done.append(name)

            caller = dataclasses.replace(LOCAL, subject=name)
            await unit_of_work.serialized_transaction(caller, database, work)

        many = [asyncio.create_task(write("many")) for _ in range(20)]
        await asyncio.sleep(0)
        await write("one")
        assert done.index("one") <= 3
        await asyncio.gather(*many)
