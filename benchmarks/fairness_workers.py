"""Measure the wait of one tenant for background work while another one floods it.

    .venv/bin/python benchmarks/fairness_workers.py

Measures, over a MongoDB of its own and servers on loopback, the time until a webhook has an event, until the files
of a release are verified in the background and while a request waits for them, and until a subscriber has an
event: first alone, then while another tenant's receivers hang, its files drip, and its subscribers replay. Takes
about a minute.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from graphql import parse

from release_catalog import logging_config
from release_catalog.domain import ids, release, timestamps
from release_catalog.domain.caller import Caller, local
from release_catalog.embedded_mongodb import supervisor
from release_catalog.errors import Problem
from release_catalog.events import broker, change_stream
from release_catalog.files import address_guard, verification, verifier
from release_catalog.graphql_api.schema import schema
from release_catalog.query_engine import executor, subscriptions
from release_catalog.query_engine.context import Context, subscription_slots
from release_catalog.storage import bulk_load, indexes, unit_of_work, webhooks
from release_catalog.storage import database as db
from release_catalog.webhooks import dispatcher

USUAL, HOG = local("usual"), local("hog")
ALLOWED = address_guard.parse("127.0.0.0/8")
ROUNDS = 15
# The flood of one tenant: webhooks, releases in the background, requests that wait, subscribers.
HOOKS, RELEASES, REQUESTS, SUBSCRIBERS = 200, 40, 60, 400
TARGET = 3.0
CONTENT = b"content" * 100

Attack = Callable[[], contextlib.AbstractAsyncContextManager[None]]


@dataclasses.dataclass
class Servers:
    """Servers on loopback: a receiver, and files that come at once; others that hang, and files that drip."""

    got: asyncio.Event
    receiver: str = ""
    files: str = ""
    hanging: str = ""
    dripping: str = ""

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a message."""
        await reader.readuntil(b"\r\n\r\n")
        self.got.set()
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async def send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send a file."""
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT) + CONTENT)
        writer.close()

    async def hang(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer nothing."""
        await reader.read()
        writer.close()

    async def drip(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send a file at 2 KiB a second."""
        with contextlib.suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while True:
                writer.write(b"x" * 512)
                await writer.drain()
                await asyncio.sleep(0.25)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve for as long as the context lasts."""
        started = []
        for name, serve, host in (
            ("receiver", self.receive, "127.0.0.1"),
            ("files", self.send, "127.0.0.1"),
            ("hanging", self.hang, "0.0.0.0"),  # noqa: S104  each address of loopback stands for a host
            ("dripping", self.drip, "127.0.0.1"),
        ):
            server = await asyncio.start_server(serve, host, 0)
            started.append(server)
            setattr(self, name, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        yield
        for server in started:
            server.close()


@dataclasses.dataclass
class Bench:
    """The measured operations, on one database."""

    database: db.Database
    servers: Servers

    async def happen(self, caller: Caller, document: db.Document) -> None:
        """Write an event."""

        async def work(session: Any) -> None:
            await unit_of_work.append_event(caller, self.database, "release.updated", document, session)

        await unit_of_work.serialized_transaction(caller, self.database, work)

    async def made(self, caller: Caller) -> db.Document:
        """Store a release to write events about."""
        await bulk_load.catalog(caller, self.database, "default")
        product = bulk_load.product(caller, "default", "tool")
        await self.database.products.insert_one(product)
        document = release.document(caller.tenant, product, "tool", "1", timestamps.now(), status="PUBLISHED")
        await bulk_load.put(caller, self.database, "releases", [document])
        return document

    async def hook(self, caller: Caller, url: str) -> None:
        """Send all events of a tenant to a URL."""
        await webhooks.create(caller, self.database, {"url": url, "events": ["*"]}, None)

    async def take(self, caller: Caller, files: verifier.Fetcher, url: str, count: int, mode: str) -> Any:
        """Import a release with `count` files."""
        sha256, name = hashlib.sha256(CONTENT).hexdigest(), ids.new()
        size = len(CONTENT) if url == self.servers.files else 1_000_000
        artifacts = [
            {"name": f"{number}", "size": size, "sha256": sha256, "downloadUrl": f"{url}{number}"}
            for number in range(count)
        ]
        document = {
            "name": name, "version": "1", "createdAt": "2026-01-01T00:00:00Z", "project": name,
            "author": "builds@acme.example", "artifacts": artifacts, "dependencies": [],
        }  # fmt: skip
        given = {"projectIdentifier": name, "release": document, "verification": mode, "onConflict": "FAIL"}
        answer = await verification.import_release(caller, self.database, files, given)
        if isinstance(answer, Problem):
            raise TypeError(answer)
        return answer


async def compare(name: str, once: Callable[[], Awaitable[float]], attack: Attack) -> float:
    """Print the time alone and under attack, and return the ratio of the medians."""
    await once()
    usual = [await once() for _ in range(ROUNDS)]
    async with attack():
        under = [await once() for _ in range(ROUNDS)]
    ratio = statistics.median(under) / statistics.median(usual)
    figures = [statistics.median(usual), max(usual), statistics.median(under), max(under)]
    print(f"{name:<28}" + "".join(f"{figure * 1000:>10.0f}" for figure in figures) + f"{ratio:>9.2f}", flush=True)
    return ratio


async def for_webhooks(bench: Bench) -> float:
    """Measure the time from an event to its receiver while those of another tenant hang."""
    usual, hog = await bench.made(USUAL), await bench.made(HOG)
    await bench.hook(USUAL, bench.servers.receiver)

    async def once() -> float:
        bench.servers.got.clear()
        began = time.perf_counter()
        await bench.happen(USUAL, usual)
        await bench.servers.got.wait()
        elapsed = time.perf_counter() - began
        await asyncio.sleep(0.3)
        return elapsed

    @contextlib.asynccontextmanager
    async def attack() -> AsyncIterator[None]:
        for number in range(HOOKS):
            await bench.hook(HOG, bench.servers.hanging.replace("127.0.0.1", f"127.0.0.{2 + number % 50}"))
        await bench.happen(HOG, hog)
        await asyncio.sleep(1)
        yield

    async with (
        dispatcher.run_dispatcher(bench.database, ALLOWED) as look,
        change_stream.watch_changes(bench.database, look),
    ):
        return await compare("webhook delivery", once, attack)


async def for_jobs(bench: Bench, files: verifier.Fetcher) -> float:
    """Measure the time until the files of a release are verified in the background while those of others drip."""

    async def once() -> float:
        made = await bench.take(USUAL, files, bench.servers.files, 5, "BACKGROUND")
        began = time.perf_counter()
        job = {"_id": USUAL.key(made["catalogId"])}
        while await bench.database.verifications.find_one(job):  # noqa: ASYNC110  the database knows no events
            await asyncio.sleep(0.01)
        return time.perf_counter() - began

    @contextlib.asynccontextmanager
    async def attack() -> AsyncIterator[None]:
        for _ in range(RELEASES):
            await bench.take(HOG, files, bench.servers.dripping, 20, "BACKGROUND")
        await asyncio.sleep(1)
        yield

    async with verification.run_workers(bench.database, files):
        return await compare("verification, BACKGROUND", once, attack)


async def for_requests(bench: Bench, files: verifier.Fetcher) -> float:
    """Measure the time of an import that waits for its files while those of another tenant drip."""

    async def once() -> float:
        began = time.perf_counter()
        await bench.take(USUAL, files, bench.servers.files, 5, "WAIT")
        return time.perf_counter() - began

    @contextlib.asynccontextmanager
    async def attack() -> AsyncIterator[None]:
        callers = [Caller("hog", f"caller {number}", HOG.scopes) for number in range(10)]
        flood = [
            asyncio.create_task(bench.take(callers[number % 10], files, bench.servers.dripping, 20, "WAIT"))
            for number in range(REQUESTS)
        ]
        await asyncio.sleep(1)
        yield
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)

    return await compare("verification, WAIT", once, attack)


async def for_subscribers(bench: Bench) -> float:
    """Measure the time from an event to a subscriber while many of another tenant replay with own queries."""
    usual, hog = await bench.made(USUAL), await bench.made(HOG)
    for _ in range(100):
        await bench.happen(HOG, hog)
    answering = subscription_slots()

    async def follow(caller: Caller, number: int, after: str, feeds: broker.EventBroker) -> Any:
        query = (
            f"subscription {{ events(after: {after}) {{ n{number}: id release {{ name product {{ key }} }} }} }}"
        )
        document = executor.Document(schema._schema, parse(query))
        context = Context(caller, bench.database, follow=feeds.follow, answering=answering)
        return await subscriptions.subscribe(document, schema._schema, context, {}, None)

    async with broker.run_broker(bench.database) as feeds, change_stream.watch_changes(bench.database, feeds.ring):
        answers = await follow(USUAL, 0, "null", feeds)

        async def once() -> float:
            coming = asyncio.ensure_future(anext(answers))
            await asyncio.sleep(0.2)
            began = time.perf_counter()
            await bench.happen(USUAL, usual)
            await coming
            return time.perf_counter() - began

        async def replay(number: int) -> None:
            caller = Caller("hog", f"caller {number % 50}", HOG.scopes)
            while True:
                replayed = await follow(caller, number, '"0"', feeds)
                for _ in range(100):
                    await anext(replayed)
                await replayed.aclose()

        @contextlib.asynccontextmanager
        async def attack() -> AsyncIterator[None]:
            flood = [asyncio.create_task(replay(number)) for number in range(SUBSCRIBERS)]
            await asyncio.sleep(1)
            yield
            for task in flood:
                task.cancel()
            await asyncio.gather(*flood, return_exceptions=True)

        ratio = await compare("event to a subscriber", once, attack)
        await answers.aclose()
        return ratio


async def measure(url: str) -> bool:
    """Measure all scenarios, and return whether every ratio is within the target."""
    servers, client = Servers(asyncio.Event()), db.connect(url)
    ratios = []
    print(
        f"{'milliseconds':<28}"
        + "".join(f"{head:>10}" for head in ("usual", "max", "attacked", "max"))
        + "    ratio"
    )
    try:
        async with servers.running(), verifier.Fetcher(ALLOWED, max_bytes=1 << 30, at_once=4) as files:
            for name, scenario in (
                ("webhooks", for_webhooks),
                ("jobs", lambda bench: for_jobs(bench, files)),
                ("requests", lambda bench: for_requests(bench, files)),
                ("subscribers", for_subscribers),
            ):
                database = db.configure(client[name])
                await indexes.ensure(database)
                ratios.append(await scenario(Bench(database, servers)))
    finally:
        await client.close()
    return max(ratios) <= TARGET


def main() -> None:
    """Print the table, and exit with 1 if a ratio is above the target."""
    logging_config.configure("error", "text")
    with tempfile.TemporaryDirectory() as folder, supervisor.start(Path(folder)) as mongod:
        good = asyncio.run(measure(mongod.url))
    if not good:
        sys.exit(f"A ratio is above {TARGET:g}: one tenant delays another.")


if __name__ == "__main__":
    main()
