"""Subscribers over real sockets, and a server in this very process for them."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import orjson
import websockets
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection

from release_catalog.domain.release import ReleaseDocument
from release_catalog.server import uvicorn_server
from release_catalog.storage import unit_of_work
from support.catalog import Catalog

PROTOCOL = "graphql-transport-ws"
FOLLOW = """subscription($after: ID, $types: [String!], $release: ID, $product: ID) {
  events(after: $after, types: $types, releaseId: $release, productId: $product) { id type release { name } } }"""


@contextlib.asynccontextmanager
async def served(app: Starlette, connections: int = 2_000, grace_seconds: int = 5) -> AsyncIterator[str]:
    """The host and port where the application is served."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn_server.server(app, grace_seconds, 10, connections)
        async with app.router.lifespan_context(app):
            running = asyncio.create_task(server.serve([listener]))
            while not server.started:  # noqa: ASYNC110  it has no event for that
                await asyncio.sleep(0.01)
            try:
                yield f"127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                await running


@contextlib.asynccontextmanager
async def connected(
    host: str, payload: Any = None, scheme: str = "ws", **options: Any
) -> AsyncIterator[ClientConnection]:
    """A socket that is acknowledged."""
    # With a bounded queue, a client that leaves without reading it would wait for long to be let go.
    options = {"max_queue": None, **options}
    async with websockets.connect(f"{scheme}://{host}/graphql", subprotocols=[PROTOCOL], **options) as client:  # type: ignore[list-item]
        await send(client, type="connection_init", payload=payload)
        assert await received(client) == {"type": "connection_ack"}
        yield client


async def send(client: ClientConnection, **message: Any) -> None:
    await client.send(orjson.dumps(message).decode())


async def received(client: ClientConnection) -> Any:
    return orjson.loads(await asyncio.wait_for(client.recv(), 30))


async def start(client: ClientConnection, query: str = FOLLOW, id_: str = "1", **variables: Any) -> None:
    """Send an operation."""
    await send(client, type="subscribe", id=id_, payload={"query": query, "variables": variables})


async def subscribe(client: ClientConnection, query: str = FOLLOW, id_: str = "1", **variables: Any) -> None:
    """Subscribe, and wait until that is done: what happens from now on is told."""
    await start(client, query, id_, **variables)
    # The server takes messages in order, but starts operations beside each other.
    await ask(client, f"after-{id_}", "{ viewer { subject } }")


async def ask(client: ClientConnection, id_: str, query: str) -> Any:
    """The data of a query over the socket."""
    await start(client, query, id_)
    answer = await received(client)
    assert answer["type"] == "next", answer
    assert (await received(client)) == {"type": "complete", "id": id_}
    return answer["payload"]["data"]


async def told(client: ClientConnection) -> Any:
    """The next event."""
    message = await received(client)
    assert message["type"] == "next", message
    return message["payload"]["data"]["events"]


async def happen(
    catalog: Catalog, release: ReleaseDocument, kind: str = "release.updated", times: int = 1
) -> None:
    """Write events about a release, each in a transaction of its own."""
    for _ in range(times):

        async def work(session: Any) -> None:
            await unit_of_work.append_event(catalog.caller, catalog.database, kind, release, session)

        await unit_of_work.serialized_transaction(catalog.caller, catalog.database, work)
