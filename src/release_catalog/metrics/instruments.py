"""The metrics of one application: what each is called and means, and how requests are counted.

Clients choose the names of operations, so their number is bounded, as that of every other label's values. No label
holds the name of a tenant or a caller. Names and units follow Prometheus' conventions.
"""

import platform
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.process_collector import ProcessCollector

from release_catalog.domain.webhooks import DELAYS
from release_catalog.metrics.readings import Readings
from release_catalog.request_record import RequestRecord

PREFIX = "release_catalog"
# Operations with series of their own: combinations of a name, a kind and a transport. The rest shares `other`.
MAX_OPERATIONS = 200
# Likewise for codes of errors by operation, for addresses, and for names that only the program chooses.
MAX_ERRORS, MAX_ROUTES, MAX_VALUES = 1_000, 200, 50
OTHER, UNNAMED, INVALID = "other", "unnamed", "invalid"
GRAPHQL = "/graphql"
_SECONDS = 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10
_LAG_SECONDS = 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60
_SENT_SECONDS = 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30
_FAILED = 400
_STREAMS = frozenset({"sse", "multipart", "websocket"})
_ELSEWHERE = frozenset({"webhook", "verification"})

Value = TypeVar("Value")


class Series(Generic[Value]):
    """The series of a metric that exist, by the values of their labels; beyond a number, new ones share one.

    Finding a series through the library takes as long as everything else that a request costs here.
    """

    def __init__(self, make: Callable[..., Value], limit: int) -> None:
        self._make = make
        self._limit = limit
        self._found: dict[tuple[str, ...], Value] = {}

    def get(self, *values: str, instead: tuple[str, ...]) -> Value:
        """Return the series of `values`, or that of `instead` if it is new and there are too many."""
        found = self._found.get(values)
        if found is None:
            if len(self._found) >= self._limit and values != instead:
                return self.get(*instead, instead=instead)
            found = self._found[values] = self._make(*values)
        return found


class _Operation:
    """The series of one operation."""

    __slots__ = ("bytes", "cost", "name", "outcomes", "seconds")

    def __init__(self, metrics: "Metrics", name: str, kind: str, transport: str) -> None:
        self.name = name
        self.seconds = metrics.operation_seconds.labels(name, kind, transport)
        self.cost = metrics.cost_points.labels(name, kind)
        self.bytes = metrics.response_bytes.labels(transport)
        self.outcomes = {
            outcome: metrics.operations.labels(name, kind, transport, outcome)
            for outcome in ("ok", "problem", "error")
        }


class Metrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        counter, histogram = self._counter, self._histogram
        operation = ("operation", "kind", "transport")
        self.operations = counter("graphql_operations", "GraphQL operations that ended.", *operation, "outcome")
        self.operation_seconds = histogram(
            "graphql_operation_duration_seconds",
            "Duration of GraphQL operations, without subscriptions.",
            _SECONDS,
            *operation,
        )
        self.errors = counter("graphql_errors", "GraphQL errors and problems, by code.", "operation", "code")
        self.cost_points = counter(
            "cost_points",
            "Points that requests cost their callers, by operation or by address.",
            *("operation", "kind"),
        )
        self.fallbacks = counter(
            "graphql_fallbacks", "Queries left to the ordinary executor, by reason.", "reason"
        )
        self.requests = counter(
            "http_requests", "HTTP requests outside GraphQL that ended.", "route", "method", "status"
        )
        self.request_seconds = histogram(
            "http_request_duration_seconds", "Duration of HTTP requests outside GraphQL.", _SECONDS, "route"
        )
        self.response_bytes = counter("response_bytes", "Bytes of responses to clients.", "transport")
        self.refusals = counter("refusals", "Requests that were refused, by the limit they met.", "limit")
        self.event_lag = histogram(
            "event_delivery_lag_seconds",
            "Time from an event to its delivery to a subscriber, by the clocks of the database and this machine.",
            _LAG_SECONDS,
        )
        self.webhook_attempts = counter(
            "webhook_attempts", "Attempts to deliver an event to a webhook, by outcome.", "outcome"
        )
        self.webhook_seconds = histogram(
            "webhook_attempt_duration_seconds", "Duration of attempts to deliver an event.", _SENT_SECONDS
        )
        self._operations = Series(lambda *values: _Operation(self, *values), MAX_OPERATIONS)
        self._errors = Series[Counter](self.errors.labels, MAX_ERRORS)
        self._requests = Series[Counter](self.requests.labels, MAX_ROUTES * 10)
        self._seconds = Series[Histogram](self.request_seconds.labels, MAX_ROUTES)
        self._bytes = Series[Counter](self.response_bytes.labels, MAX_VALUES)
        self._costs = Series[Counter](self.cost_points.labels, MAX_ROUTES)
        self._refusals = Series[Counter](self.refusals.labels, MAX_VALUES)
        self._fallbacks = Series[Counter](self.fallbacks.labels, MAX_VALUES)
        self._attempts = Series[Counter](self.webhook_attempts.labels, MAX_VALUES)
        self.readings = Readings(PREFIX)
        self.readings.gauge(
            "build_info",
            "Always 1: the versions of the program and of Python.",
            lambda: {(version, platform.python_version()): 1},
            *("version", "python"),
        )
        self.registry.register(self.readings)
        ProcessCollector(registry=self.registry)

    def observe(self, record: RequestRecord) -> None:
        """Count a finished request."""
        if record.transport == "webhook":
            self._observe_attempt(record)
        if record.transport in _ELSEWHERE:
            return
        if record.limit:
            self._refusals.get(record.limit, instead=(OTHER,)).inc()
        if _is_operation(record):
            self._observe_operation(record)
        elif record.transport == "http":
            self._observe_request(record)

    def _observe_operation(self, record: RequestRecord) -> None:
        kind, transport = record.operation_kind or INVALID, record.transport
        name = INVALID
        if record.operation_kind:
            name = (record.operation_name or UNNAMED) if record.caller else OTHER
        series = self._operations.get(name, kind, transport, instead=(OTHER, kind, transport))
        if kind != "subscription":  # it takes as long as its client wants
            series.seconds.observe(record.seconds)
        series.bytes.inc(record.bytes_sent)
        if record.cost:
            series.cost.inc(record.cost)
        outcome = "ok"
        if record.error_codes or (record.status or 0) >= _FAILED:
            others = [code for code in record.error_codes if not code.endswith("Problem")]
            outcome = "error" if others or not record.error_codes else "problem"
            for code in record.error_codes:
                self._errors.get(series.name, code, instead=(OTHER, OTHER)).inc()
        series.outcomes[outcome].inc()
        if record.fallback:
            # What follows is the name of a field or of a directive.
            reason = record.fallback.partition(":")[0]
            self._fallbacks.get(reason, instead=(OTHER,)).inc()

    def _observe_request(self, record: RequestRecord) -> None:
        route = record.route or OTHER
        method = record.method if record.method in _METHODS else OTHER
        status = f"{(record.status or 500) // 100}xx"
        self._requests.get(route, method or OTHER, status, instead=(OTHER, OTHER, status)).inc()
        self._seconds.get(route, instead=(OTHER,)).observe(record.seconds)
        self._bytes.get(record.transport, instead=(OTHER,)).inc(record.bytes_sent)
        if record.cost:
            self._costs.get(route, "http", instead=(OTHER, "http")).inc(record.cost)

    def _observe_attempt(self, record: RequestRecord) -> None:
        outcome = "delivered"
        if record.error_codes:
            is_last = record.attempt >= len(DELAYS)
            outcome = "given_up" if is_last else record.error_codes[0].lower()
        self._attempts.get(outcome, instead=(OTHER,)).inc()
        self.webhook_seconds.observe(record.seconds)

    def event_delivered(self, seconds: float) -> None:
        """Count an event that a subscriber got so long after it happened."""
        self.event_lag.observe(max(0.0, seconds))

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", help_, labels, registry=self.registry)

    def _histogram(self, name: str, help_: str, buckets: Iterable[float], *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", help_, labels, buckets=[*buckets], registry=self.registry)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _is_operation(record: RequestRecord) -> bool:
    """Return whether a request was for GraphQL, and not for the page at the same address."""
    if record.transport in _STREAMS:
        # The record of a WebSocket itself is there only if it was refused.
        return record.method is not None or record.document_hash is not None or bool(record.error_codes)
    return record.route == GRAPHQL and bool(record.operation_kind or record.method == "POST" or record.error_codes)
