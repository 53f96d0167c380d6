"""Responses that go on: the results of an operation as they come, in the format of a subclass.

A stream that ends without its last part was cut: the client took nothing for 30 seconds, its credentials have
ended, or the server shuts down.
"""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from release_catalog import request_record
from release_catalog.domain import timestamps
from release_catalog.graphql_http.response import Json, Results
from release_catalog.graphql_http.subscriber_limit import (
    Reauthenticate,
    SubscriberLimiter,
    wait_until_unauthorized,
)
from release_catalog.query_engine.context import Context

# The longest time that a client may take to read a message.
PATIENCE_SECONDS = 30.0
# Proxies close a connection that is silent for a minute, some sooner.
SILENCE_SECONDS = 12.0
_HEADERS = {"Cache-Control": "no-cache", "Vary": "Accept", "X-Accel-Buffering": "no"}
_END: Json = {}


def seconds_until(instant: datetime.datetime | None) -> float | None:
    """Return the seconds until `instant`; None means never."""
    return None if instant is None else max(0.0, (instant - timestamps.now()).total_seconds())


class Stream(Response):
    """The streamed results of an operation.

    A subclass says how its parts are written, and what the log calls it.
    """

    transport: str

    def __init__(
        self,
        results: Results,
        subscriber_limit: SubscriberLimiter,
        admit: Reauthenticate,
        context: Context,
    ) -> None:
        """Take `admit`, which authenticates the client again; `context` is the result of the first time."""
        super().__init__(None, headers=_HEADERS, media_type=self.media_type)
        del self.headers["content-length"]
        self.results = results
        self.subscriber_limit = subscriber_limit
        self.admit = admit
        self.context = context

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send results until they end, or until the client is gone or has lost access."""
        if record := request_record.current.get():
            record.transport = self.transport
        with self.subscriber_limit.slot(self.context.caller, self.transport):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            writing = asyncio.create_task(self._write(send))
            lost = wait_until_unauthorized(self.admit, self.context)
            ends: list[Coroutine[Any, Any, Any]] = [_gone(receive), self.subscriber_limit.closing.wait(), lost]
            tasks = [writing, *map(asyncio.create_task, ends)]
            timeout = seconds_until(self.context.caller.expires_at)
            try:
                await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            if isinstance(outcomes[0], Exception) and not isinstance(outcomes[0], TimeoutError | OSError):
                raise outcomes[0]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await send({"type": "http.response.body", "body": b""})

    def beginning(self) -> bytes:
        """Return what is sent before the first result."""
        raise NotImplementedError

    def part(self, result: Json) -> bytes:
        """Return a result as it is sent."""
        raise NotImplementedError

    def heartbeat(self) -> bytes:
        """Return what is sent in a silence, so that no proxy closes the connection."""
        raise NotImplementedError

    def ending(self) -> bytes:
        """Return what is sent after the last result."""
        raise NotImplementedError

    async def _write(self, send: Send) -> None:
        async def write(text: bytes) -> None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await send({"type": "http.response.body", "body": text, "more_body": True})

        await write(self.beginning())
        async with (
            contextlib.aclosing(self.results),
            contextlib.aclosing(_breathing(self.results)) as breathing,
        ):
            async for result in breathing:
                await write(self.heartbeat() if result is None else self.part(result))
        await write(self.ending())


async def _breathing(results: Results) -> AsyncGenerator[Json | None, None]:
    """Yield the results, and None after each silence of SILENCE_SECONDS."""
    while True:
        coming = asyncio.ensure_future(anext(results, _END))
        try:
            while not (await asyncio.wait({coming}, timeout=SILENCE_SECONDS))[0]:
                yield None
        finally:
            if not coming.done():
                coming.cancel()
                await asyncio.wait({coming})
        result = coming.result()
        if result is _END:
            return
        yield result


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
