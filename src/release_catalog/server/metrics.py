"""The metrics of the application, and the two places where a scraper reads them.

At /metrics of the server, callers are identified as everywhere, and with authentication they need the scope
`operations:read`, which only the operator grants: the figures are those of all tenants. At the port of its own,
nobody is identified, so only the operator's machines may reach it.
"""

import contextlib
import datetime
import functools
import importlib.metadata
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route

from release_catalog.auth.errors import AuthenticationError
from release_catalog.domain import timestamps
from release_catalog.domain.caller import OPERATIONS
from release_catalog.domain.events import EventDocument
from release_catalog.events.broker import EventBroker
from release_catalog.files.verifier import Fetcher
from release_catalog.graphql_api.request_errors import RequestError
from release_catalog.graphql_http import csrf
from release_catalog.graphql_http.endpoint import GraphQLHTTPEndpoint, refusal_time, wait_until
from release_catalog.graphql_http.subscriber_limit import KINDS
from release_catalog.hal import responses
from release_catalog.metrics.exposition import Exposition
from release_catalog.metrics.instruments import Metrics
from release_catalog.metrics.loop_delay import LoopDelay
from release_catalog.metrics.queues import QueueReader
from release_catalog.request_record import Observer
from release_catalog.server import middleware, uvicorn_server
from release_catalog.server.connection_limit import ConnectionLimit
from release_catalog.server.request_log import METRICS
from release_catalog.settings import HOME_HOSTS, Settings
from release_catalog.storage.database import Database
from release_catalog.storage.driver_statistics import DriverStatistics
from release_catalog.storage.workers import Workers

# Scrapers at a time at the port of their own.
_CONNECTIONS = 20

_log = structlog.get_logger()


class ApplicationMetrics:
    """The metrics of one application, with what they are read from."""

    def __init__(self, settings: Settings) -> None:
        """Count no commands and requests if nobody may read the metrics: that takes time."""
        self._is_read = settings.metrics == "on" or settings.metrics_port is not None
        self.metrics = Metrics(importlib.metadata.version("release-catalog"))
        self.driver, self.workers = DriverStatistics(), Workers()
        self._queues, self._delay = QueueReader(self.metrics.readings), LoopDelay()
        self._database: Database | None = None
        self._broker: EventBroker | None = None
        self._files: Fetcher | None = None
        self.exposition = Exposition(self.metrics.registry, self._refresh)
        self._watch_process()

    @property
    def monitors(self) -> list[DriverStatistics]:
        """Return what the driver tells of its commands."""
        return [self.driver] if self._is_read else []

    @property
    def observers(self) -> list[Observer]:
        """Return what gets the record of each request."""
        return [self.metrics.observe] if self._is_read else []

    @contextlib.asynccontextmanager
    async def running(self, database: Database, broker: EventBroker, files: Fetcher) -> AsyncIterator[None]:
        """Measure queues, subscribers, verified files and the event loop for a while."""
        self._database, self._broker, self._files = database, broker, files
        async with self._delay.measured() if self._is_read else contextlib.nullcontext():
            yield

    async def _refresh(self) -> None:
        if self._database is not None:
            await self._queues.refresh(self._database)

    def event_delivered(self, event: EventDocument) -> None:
        """Measure the lag of an event that a subscriber gets."""
        written = event.get("writtenAt")
        if isinstance(written, datetime.datetime):  # a broken event must not end a subscription
            self.metrics.event_delivered((timestamps.now() - written).total_seconds())

    def watch_connections(self, limit: ConnectionLimit) -> None:
        """Measure the connections of a server."""
        readings = self.metrics.readings
        readings.value("connections", "Open connections of clients.", lambda: limit.count)
        readings.counter(
            "connections_closed", "Connections closed to make room for others.", lambda: {(): limit.closed}
        )

    def watch_graphql(self, endpoint: GraphQLHTTPEndpoint) -> None:
        """Measure the caches, the shares and the subscribers of an endpoint."""
        readings, documents, kinds = self.metrics.readings, endpoint.documents, endpoint.subscriber_limit.kinds
        readings.value(
            "requests_in_progress", "Requests of known callers in progress.", lambda: endpoint.callers.in_progress
        )
        readings.value("cached_documents", "GraphQL documents in the cache.", lambda: len(documents.kept))
        caches = {"documents": documents.uses, "plans": documents.plan_uses}
        readings.counter(
            "cache_lookups",
            "Lookups in the caches of GraphQL documents and of their plans.",
            lambda: {
                (cache, result): getattr(uses, result)
                for cache, uses in caches.items()
                for result in ("hits", "misses")
            },
            *("cache", "result"),
        )
        readings.gauge(
            "subscribers",
            "WebSockets and event streams of known callers.",
            lambda: {(kind,): kinds[kind] for kind in KINDS},
            "transport",
        )

    def _file_results(self) -> dict[tuple[str, ...], float]:
        results = self._files.results.copy() if self._files else {}
        return {(status.lower(),): count for status, count in results.items()}

    def _watch_process(self) -> None:
        readings, driver = self.metrics.readings, self.driver
        readings.gauge(
            "worker_up",
            "Whether a background worker runs: 1 or 0.",
            lambda: {(name,): is_running for name, is_running in self.workers.running().items()},
            "worker",
        )
        readings.value(
            "event_streams",
            "Streams of new events, each for callers who see the same.",
            lambda: self._broker.streams if self._broker else 0,
        )
        readings.value(
            "event_subscriptions",
            "Subscriptions that wait for new events.",
            lambda: self._broker.subscriptions if self._broker else 0,
        )
        readings.counter(
            "file_verifications",
            "Files that were fetched and compared, by outcome.",
            self._file_results,
            "outcome",
        )
        readings.value(
            "event_loop_delay_seconds",
            "Longest delay of the event loop in the last minute.",
            lambda: self._delay.seconds,
        )
        for name, help_, attribute in (
            ("commands", "Commands to the database that ended.", "count"),
            ("command_seconds", "Time that commands to the database took together.", "seconds"),
            ("command_failures", "Commands to the database that failed.", "failed"),
        ):
            read = functools.partial(_of_commands, driver, attribute)
            readings.counter(f"database_{name}", help_, read, "command")
        readings.gauge(
            "database_connections",
            "Connections of the pool, by state.",
            lambda: {("in_use",): driver.in_use, ("idle",): max(0, driver.open - driver.in_use)},
            "state",
        )
        readings.value("database_connection_waiters", "Tasks that wait for a connection.", lambda: driver.waiting)
        readings.counter(
            "database_connections_refused",
            "Requests for a connection that got none in time.",
            lambda: {(): driver.refused},
        )


def _of_commands(driver: DriverStatistics, attribute: str) -> dict[tuple[str, ...], float]:
    """Return an attribute of the counts of commands, by their names."""
    return {(command,): getattr(counted, attribute) for command, counted in driver.commands.items()}


def scraped(
    measured: ApplicationMetrics, settings: Settings, identify: Callable[[HTTPConnection], Awaitable[None]]
) -> Route:
    """Return the route of a scraper among those of the server.

    It takes no slot for requests: its answer is needed most when all of them are taken.
    """

    async def answer(request: Request) -> Response:
        until = refusal_time()
        try:
            await identify(request)
            csrf.check_hal_csrf(request.headers, ())
        except (AuthenticationError, RequestError) as refused:
            await wait_until(until)
            return responses.problem(request, refused.status, str(refused), refused.headers)
        # Without authentication, each user of this machine is its operator.
        if settings.authenticated and not request.state.caller.may(OPERATIONS):
            detail = f"Your credentials lack the scope {OPERATIONS}, which only the operator grants: use others."
            return responses.problem(request, 403, detail)
        return await measured.exposition.answer(request)

    return Route(METRICS, answer)


@contextlib.asynccontextmanager
async def serving(
    measured: ApplicationMetrics, settings: Settings, listener: socket.socket
) -> AsyncIterator[None]:
    """Serve scrapers at a port of their own while the context lasts."""
    host, port = settings.metrics_host, listener.getsockname()[1]
    async with uvicorn_server.beside(_application(measured, settings), listener, _CONNECTIONS):
        _log.info("serving metrics", url=f"http://{f'[{host}]' if ':' in host else host}:{port}{METRICS}")
        yield


def _application(measured: ApplicationMetrics, settings: Settings) -> Starlette:
    """Return the application of the port for scrapers, which answers them alone."""
    host = settings.metrics_host
    # Pages may lead a name of their own to this machine: see Settings.hosts.
    hosts = (*HOME_HOSTS, host) if host in HOME_HOSTS else ("*",)
    return Starlette(
        routes=[Route(METRICS, measured.exposition.answer)], middleware=[Middleware(middleware.Head, hosts)]
    )
