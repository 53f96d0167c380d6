"""The answer to a scraper: the metrics in the format it accepts, compressed if it accepts that.

One answer serves all scrapers that come while it is made, and for a moment longer: writing it takes milliseconds.
It is written in a thread, so that requests go on meanwhile.
"""

import asyncio
import concurrent.futures
import gzip
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

_OPEN = "application/openmetrics-text"
_TYPES = {
    False: "text/plain; version=0.0.4; charset=utf-8",
    True: "application/openmetrics-text; version=1.0.0; charset=utf-8",
}
# Scrapers that come so soon after another one get the same numbers.
KEPT_SECONDS = 1.0
_LEVEL = 1


class _Kind(NamedTuple):
    is_open: bool
    is_compressed: bool


class Exposition:
    """The endpoint for scrapers."""

    def __init__(self, registry: CollectorRegistry, refresh: Callable[[], Awaitable[None]]) -> None:
        """Call `refresh` before each answer, for the figures that are not counted in this process."""
        self._collector = WithoutCreated(registry)
        self._refresh = refresh
        # Its own: others may be busy when the metrics are needed most.
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "metrics")
        self._made: dict[_Kind, tuple[float, bytes]] = {}
        self._making: dict[_Kind, asyncio.Task[bytes]] = {}

    async def answer(self, request: Request) -> Response:
        """Return the metrics."""
        if request.method not in {"GET", "HEAD"}:
            return PlainTextResponse("Use GET.\n", 405, {"allow": "GET, HEAD"})
        is_compressed = "gzip" in _names(request.headers.get("accept-encoding", ""))
        kind = _Kind(_OPEN in _names(request.headers.get("accept", "")), is_compressed)
        at, body = self._made.get(kind, (0.0, b""))
        if time.monotonic() - at > KEPT_SECONDS or not body:
            making = self._making.get(kind)
            if making is None:
                making = self._making[kind] = asyncio.create_task(self._make(kind))
                making.add_done_callback(lambda _: self._making.pop(kind))
            body = await asyncio.shield(making)
        headers = {
            "content-type": _TYPES[kind.is_open],
            "cache-control": "no-store",
            "vary": "accept, accept-encoding",
        }
        if is_compressed:
            headers["content-encoding"] = "gzip"
        return Response(body, headers=headers)

    async def _make(self, kind: _Kind) -> bytes:
        await self._refresh()
        body = await asyncio.get_running_loop().run_in_executor(self._thread, self._write, kind)
        self._made[kind] = time.monotonic(), body
        return body

    def _write(self, kind: _Kind) -> bytes:
        if kind.is_open:
            body: bytes = openmetrics_exposition.generate_latest(self._collector)  # type: ignore[no-untyped-call]
        else:
            body = prometheus_client.generate_latest(self._collector)
        return gzip.compress(body, _LEVEL) if kind.is_compressed else body


class WithoutCreated(Collector):
    """The metrics without the times at which their series began: a third of all lines, which nobody asks for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics."""
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


def _names(header: str) -> set[str]:
    """Return what a header accepts: its entries, without those of weight 0."""
    found = set()
    for entry in header.lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        if not any(part.startswith("q=") and not part[2:].strip("0.") for part in parameters):
            found.add(name)
    return found
