"""Webhooks while processes are killed: every event reaches every healthy receiver, in order, and none is invented."""

import asyncio
import contextlib
import os
import random
import uuid
from pathlib import Path
from typing import Any

import httpx2

from conftest import connected
from release_catalog.domain import events
from release_catalog.storage.collection_names import COUNTERS, EVENTS, WEBHOOK_DELIVERIES
from support.graphql_client import data_of, post
from support.processes import Process, Server, environment
from support.webhook_receivers import Receiver, receiving, status

# Longer runs by hand: WRITE_SECONDS=60.
SECONDS = float(os.environ.get("WRITE_SECONDS", "8"))
WRITERS = 50
KILL_EVERY = 2.5
CREATE = """mutation($input: CreateReleaseInput!) { createRelease(input: $input) { release { id } problem { detail } } }"""
HOOK = """mutation($url: String!) { createWebhook(input: {url: $url, events: ["*"]}) { secret webhook { id }
  problem { detail } } }"""


class Fleet:
    """API processes over one database, of which one or another is killed."""

    def __init__(self, folder: Path, url: str, database: str) -> None:
        self.folder = folder
        self.settings = {"mongodb_url": url, "database": database, "files_allow": "127.0.0.1"}
        self.servers: list[Server] = []
        self.kills = 0
        self._started = 0

    def start(self) -> None:
        self._started += 1
        log = self.folder / f"server{self._started}.log"
        process = Process(("serve", "--port", 0), environment(**self.settings), errors=str(log))
        self.servers.append(Server(process, log))

    async def kill(self) -> None:
        server = self.servers.pop(random.randrange(len(self.servers)))
        server.process.kill()
        server.process.wait()
        self.kills += 1
        await asyncio.to_thread(self.start)

    def stop(self) -> None:
        for server in self.servers:
            server.process.kill()
            server.process.wait()

    async def ask(self, client: httpx2.AsyncClient, query: str, **variables: Any) -> Any:
        """The data of a mutation; None where its server was killed meanwhile, or where other writes went first."""
        if not self.servers:
            await asyncio.sleep(0.1)
            return None
        server = random.choice(self.servers)
        with contextlib.suppress(httpx2.TransportError):
            answer = await post(client, query, url=server.url, variables=variables)
            errors = answer.json().get("errors", [])
            if [error["extensions"].get("outcome") for error in errors] == ["UNCHANGED"]:
                return None
            [payload] = data_of(answer).values()
            assert payload["problem"] is None, payload
            return payload
        return None


async def write(fleet: Fleet, client: httpx2.AsyncClient, number: int, product: str, made: list[str]) -> None:
    for at in range(10**6):
        given = {"productId": product, "name": "tool", "version": f"{number}.{at}"}
        if answer := await fleet.ask(client, CREATE, input=given):
            made.append(answer["release"]["id"])
        await asyncio.sleep(random.random() / 2)


async def test_every_event_reaches_every_healthy_receiver(mongodb_url: str, tmp_path: Path) -> None:
    name = f"kills_{uuid.uuid4().hex}"
    fleet = Fleet(tmp_path, mongodb_url, name)
    made: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        database = await stack.enter_async_context(connected(mongodb_url, name))
        receivers = [await stack.enter_async_context(receiving()) for _ in range(5)]
        good, fine, hanging, broken, moved = receivers
        hanging.answer = None
        broken.answer = status("500 Broken")
        moved.answer = status("302 Found", f"Location: {good.url}")
        client = await stack.enter_async_context(httpx2.AsyncClient(timeout=30))
        stack.callback(fleet.stop)
        await asyncio.gather(*(asyncio.to_thread(fleet.start) for _ in range(2)))
        hooks = await subscribed(fleet, client, receivers)
        save = 'mutation { saveProduct(input: {key: "tool", name: "tool"}) { product { id } problem { detail } } }'
        product = (await fleet.ask(client, save))["product"]["id"]
        writers = [asyncio.create_task(write(fleet, client, n, product, made)) for n in range(WRITERS)]
        for _ in range(int(SECONDS / KILL_EVERY)):
            await asyncio.sleep(KILL_EVERY)
            await fleet.kill()
        for writer in writers:
            writer.cancel()
        ended = await asyncio.gather(*writers, return_exceptions=True)
        assert not [error for error in ended if not isinstance(error, asyncio.CancelledError)]
        async with asyncio.timeout(60 + SECONDS * 3):
            # What servers had begun goes on for a while.
            while not await quiet(database, good, fine):
                pass
            # Whoever was killed left the hanging one to another, which waits for it as long.
            while not await database[WEBHOOK_DELIVERIES].find_one({"webhookId": hooks[2]}):  # noqa: ASYNC110  it knows no events
                await asyncio.sleep(0.1)

        told = [event async for event in database[EVENTS].find({}).sort("sequence", 1)]
        assert [event["sequence"] for event in told] == list(range(1, len(told) + 1))
        assert {event["releaseId"] for event in told} >= set(made)
        assert fleet.kills >= 3
        assert len(told) >= len(made) > 10
        for receiver in (good, fine):
            complete(receiver, told)
        for receiver in (hanging, broken, moved):
            assert set(receiver.ids) == {1}
            receiver.verify()
        await logged(database, hooks, len(told))
        print(len(made), "releases,", fleet.kills, "kills,", *(len(it.got) for it in receivers), "messages")  # noqa: T201
        await database.client.drop_database(name)


async def subscribed(fleet: Fleet, client: httpx2.AsyncClient, receivers: list[Receiver]) -> list[str]:
    """The ids of webhooks for these receivers."""
    hooks = []
    for receiver in receivers:
        answer = await fleet.ask(client, HOOK, url=receiver.url)
        receiver.secret = answer["secret"]
        hooks.append(answer["webhook"]["id"])
    return hooks


async def quiet(database: Any, *receivers: Receiver) -> bool:
    """Whether nothing happened for two seconds, and these receivers know all that did."""
    before = await database[COUNTERS].find_one({"_id": "local/events"})
    await asyncio.sleep(2)
    after = await database[COUNTERS].find_one({"_id": "local/events"})
    heads = {it.ids[-1] if it.ids else 0 for it in receivers}
    return bool(before == after and heads == {after["value"]})


def complete(receiver: Receiver, told: list[Any]) -> None:
    """Everything came, in order, signed, and as it was written."""
    assert receiver.ids == sorted(receiver.ids)
    assert set(receiver.ids) == {event["sequence"] for event in told}
    receiver.verify()
    bodies = {event["sequence"]: events.webhook_body(event, all_=True) for event in told}
    assert all(message.body == bodies[int(message.id)] for message in receiver.got)


async def logged(database: Any, hooks: list[str], count: int) -> None:
    """The log tells it all: what was taken, and why the rest was not."""
    for hook in hooks[:2]:
        assert (
            await database[WEBHOOK_DELIVERIES].count_documents({"webhookId": hook, "status": "DELIVERED"}) == count
        )
    for hook, status_, said in (
        (hooks[2], None, "The receiver took longer than 15 seconds to answer: check the server."),
        (hooks[3], 500, "The receiver answered with status 500: check the server."),
        (hooks[4], 302, "redirects are not followed"),
    ):
        [entry] = await database[WEBHOOK_DELIVERIES].find({"webhookId": hook}).to_list(None)
        assert (entry["status"], entry["sequence"], entry["responseStatus"]) == ("PENDING", 1, status_)
        assert said in entry["error"]
        assert entry["attempts"] >= 1
