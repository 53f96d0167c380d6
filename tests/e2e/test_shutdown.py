"""SIGTERM while much is under way that doesn't end by itself: all of it is left, and none of it is lost."""

import asyncio
import contextlib
import json
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets

from conftest import LOCAL, connected
from release_catalog.domain import release_parts, timestamps
from release_catalog.storage.collection_names import RELEASES, VERIFICATIONS
from support import file_server
from support import subscribers as following
from support.catalog import Catalog, source
from support.graphql_client import RESPONSE, data_of, error_of, post, results, stream
from support.processes import Server, serving
from support.subscribers import FOLLOW, happen, start, subscribe, told
from support.waiting import eventually
from support.webhook_receivers import OK, receiving

IMPORT = """mutation($input: ImportReleaseInput!) { importRelease(input: $input) { problem { detail }
  release { artifacts { verification { status } } } } }"""
HOOK = 'mutation { createWebhook(input: {url: %s, events: ["*"]}) { secret problem { detail } } }'


async def test_streams_and_webhooks_end_soon_and_go_on_at_the_next_start(mongodb_url: str, tmp_path: Path) -> None:
    name = f"shutdown_{uuid.uuid4().hex}"
    settings: dict[str, Any] = {"mongodb_url": mongodb_url, "database": name, "files_allow": "127.0.0.1"}
    async with (
        connected(mongodb_url, name) as database,
        receiving() as receiver,
        httpx2.AsyncClient(timeout=30) as http,
    ):
        receiver.answer = None
        with serving(tmp_path / "first", **settings) as server:
            catalog = Catalog(database, LOCAL)
            release = await catalog.put(await catalog.product("a"), "1", status="PUBLISHED")
            receiver.secret = server.ask(HOOK % json.dumps(receiver.url))["createWebhook"]["secret"]
            async with following.connected(host(server)) as client, streamed(http, server, "0") as events:
                await subscribe(client)
                await happen(catalog, release)
                assert (await told(client))["id"] == (await anext(events))["id"] == "0000000000000001"
                await eventually(lambda: receiver.got)
                server.process.send_signal(signal.SIGTERM)
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    await client.recv()
                assert closed.value.rcvd
                assert (closed.value.rcvd.code, [event async for event in events]) == (1012, [])
                assert await asyncio.to_thread(server.process.wait, 30) == 0
            assert {json.loads(line)["level"] for line in server.log.read_text().splitlines()} == {"info"}

        await happen(catalog, release, times=2)
        receiver.answer = OK
        with serving(tmp_path / "second", **settings) as server:
            async with following.connected(host(server)) as client, streamed(http, server, "1") as events:
                await start(client, after="0000000000000001")
                assert [int((await told(client))["id"]) for _ in range(2)] == [2, 3]
                assert [int((await anext(events))["id"]) for _ in range(2)] == [2, 3]
            await eventually(lambda: receiver.ids[-1] == 3)
            assert receiver.ids == sorted(receiver.ids)
            assert {*receiver.ids} == {1, 2, 3}
            receiver.verify()
        await database.client.drop_database(name)


async def test_a_client_that_reads_nothing_does_not_delay_the_shutdown(mongodb_url: str, tmp_path: Path) -> None:
    name = f"shutdown_{uuid.uuid4().hex}"
    async with connected(mongodb_url, name) as database:
        with serving(tmp_path, mongodb_url=mongodb_url, database=name) as server:
            catalog = Catalog(database, LOCAL)
            release = await catalog.put(await catalog.product("a"), "1", status="PUBLISHED", notes="x" * 1_000_000)
            await happen(catalog, release, times=12)
            async with following.connected(host(server), max_size=None, max_queue=1) as client:
                query = 'subscription { events(after: "0") { id data } }'
                await start(client, query)
                # It has read two by then, and the server has more for it than a connection holds.
                await asyncio.sleep(1)
                assert await asyncio.to_thread(server.stop) == 0
                client.transport.abort()
            assert {json.loads(line)["level"] for line in server.log.read_text().splitlines()} == {"info"}
        await database.client.drop_database(name)


async def test_a_shutdown_stores_the_downloads_that_it_has_counted(mongodb_url: str, tmp_path: Path) -> None:
    name = f"shutdown_{uuid.uuid4().hex}"
    async with connected(mongodb_url, name) as database, httpx2.AsyncClient() as http:
        with serving(tmp_path, mongodb_url=mongodb_url, database=name) as server:
            catalog, now = Catalog(database, LOCAL), timestamps.now()
            file = release_parts.artifact(now, name="a", size=1, sha256="ab" * 32, downloadUrl="http://h/a")
            release = await catalog.put(await catalog.product("a"), "1", status="PUBLISHED", artifacts=[file])
            of = f"{server.url}/v1/catalogs/default/releases/{release['id']}/files/{file['id']}"
            answers = await asyncio.gather(*(http.get(of) for _ in range(50)))
            assert {answer.status_code for answer in answers} == {302}
            assert await asyncio.to_thread(server.stop) == 0
        stored = await database[RELEASES].find_one({"id": release["id"]})
        assert stored
        assert [each["downloads"] for each in stored["artifacts"]] == [50]
        await database.client.drop_database(name)


def host(server: Server) -> str:
    """Return the address of a server, without the scheme."""
    return str(httpx2.URL(server.url).netloc, "ascii")


@contextlib.asynccontextmanager
async def streamed(http: httpx2.AsyncClient, server: Server, after: str) -> AsyncIterator[AsyncIterator[Any]]:
    """Events over Server-Sent Events, until the response is complete."""
    async with stream(http, FOLLOW, url=server.url, variables={"after": after}) as answer:
        yield (result["data"]["events"] async for result in results(answer))


async def test_a_shutdown_answers_waiting_imports_and_hands_over_background_jobs(
    mongodb_url: str, tmp_path: Path
) -> None:
    name, key = f"shutdown_{uuid.uuid4().hex}", {"idempotencyKey": "k"}
    settings: dict[str, Any] = {"mongodb_url": mongodb_url, "database": name, "files_allow": "127.0.0.1"}
    http = httpx2.AsyncClient(timeout=60)
    async with connected(mongodb_url, name) as database, file_server.serving() as files, http:
        files.free.clear()
        file = {"name": "a", "size": 1, "sha256": "ab" * 32, "downloadUrl": files.put("a", b"x")}

        async def take(server: Server, product: str, mode: str) -> httpx2.Response:
            document = source(product, artifacts=[file])
            given = {"projectIdentifier": product, "release": document, "verification": mode}
            given |= key if mode == "WAIT" else {}
            return await post(http, IMPORT, RESPONSE, url=server.url, variables={"input": given})

        with serving(tmp_path / "first", **settings) as server:
            assert (await take(server, "later", "BACKGROUND")).status_code == 200
            await files.arrived.get()
            waiting = asyncio.create_task(take(server, "now", "WAIT"))
            await files.arrived.get()
            held = await database[VERIFICATIONS].find_one({})
            assert held
            assert held["owner"]
            server.process.send_signal(signal.SIGTERM)
            # While the import is still waited for, another process may go on with the job.
            for _ in range(100):
                job: Any = await database[VERIFICATIONS].find_one({})
                if job["owner"] is None:
                    break
                await asyncio.sleep(0.05)
            assert job["owner"] is None
            assert job["leaseUntil"] < held["leaseUntil"]
            assert not waiting.done()
            answer = await waiting
            error = error_of(answer)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            told = {name: error["extensions"][name] for name in ("code", "outcome", "retryAfter")}
            assert told == {"code": "UNAVAILABLE", "outcome": "UNCHANGED", "retryAfter": 2}
            assert "The server stopped" in error["message"]
            assert await asyncio.to_thread(server.process.wait, 30) == 0
        assert await database[RELEASES].count_documents({"name": "now"}) == 0
        files.free.set()
        with serving(tmp_path / "second", **settings) as server:
            again = data_of(await take(server, "now", "WAIT"))["importRelease"]
            assert again["problem"] is None
            assert again["release"]["artifacts"][0]["verification"]["status"] == "MISMATCH"
        await database.client.drop_database(name)
