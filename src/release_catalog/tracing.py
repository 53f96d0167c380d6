"""Traces by OpenTelemetry: an observer that makes the spans of a request from its record, once it has ended.

So a request does nothing for its trace while it runs, and without a configured endpoint nothing is imported. The
SDK reads its own variables: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME and so on.
"""

import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from release_catalog.request_record import DatabaseCommand, FileFetch, RequestRecord

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanKind

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
# Commands and files of one request that get spans.
MAX_SPANS = 200
# The longest time that a stopping process waits for the collector.
FLUSH_SECONDS = 5.0
_SERVICE = "release-catalog"
_SERVER_ERROR = 500
_MISSING = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed: install release-catalog[otel], or "
    "unset the variable."
)


class Unavailable(Exception):  # noqa: N818  the operator chooses between installing it and doing without
    """Traces are configured, but OpenTelemetry is not installed."""


def is_configured() -> bool:
    """Return whether the environment names a collector of traces and does not switch them off."""
    off = (
        os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    return not off and any(os.environ.get(name) for name in ENDPOINTS)


def from_environment() -> "TraceWriter | None":
    """Return the observer that sends traces to the collector that the environment names; None without one."""
    if not is_configured():
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise Unavailable(_MISSING) from error
    is_named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    resource = Resource.create({} if is_named else {"service.name": _SERVICE})
    # Its own end would wait for the collector without a bound: see `close`.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return TraceWriter(provider)


class TraceWriter:
    """An observer that makes spans of records, and gives each record the id of its trace for the log."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._provider = provider
        self._tracer = provider.get_tracer("release_catalog")
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()

    def __call__(self, record: RequestRecord) -> None:
        """Make the spans of a record, if its trace is sampled."""
        # Records have durations by another clock, which never jumps.
        zero = time.time_ns() - int(time.perf_counter() * 1e9)
        began = zero + int(record.began * 1e9)
        ended = began + int(record.seconds * 1e9)
        parent = self._propagator.extract({"traceparent": record.traceparent} if record.traceparent else {})
        name, kind, attributes = _root(record, self._trace.SpanKind)
        root = self._tracer.start_span(name, parent, kind, attributes, start_time=began)
        if root.is_recording():
            record.trace_id = self._trace.format_trace_id(root.get_span_context().trace_id)
            self._add_children(record, root, zero, ended)
            if record.status is not None and record.status >= _SERVER_ERROR:
                self._fail(root, str(record.status))
            elif record.transport == "webhook" and record.error_codes:
                self._fail(root, record.error_codes[0])
        root.end(ended)

    def _add_children(self, record: RequestRecord, root: "Span", zero: int, ended: int) -> None:
        within = self._trace.set_span_in_context(root)
        below, begun = within, None
        if record.operation_kind:
            begun = record.operation_began or record.began
            operation = self._tracer.start_span(
                record.operation_kind, within, attributes=_operation(record), start_time=zero + int(begun * 1e9)
            )
            below = self._trace.set_span_in_context(operation)
        for command in record.steps or ():
            is_below = begun is not None and command.ended - command.seconds >= begun
            self._add_command(command, below if is_below else within, zero)
        for fetch in record.files:
            self._add_fetch(fetch, below, zero)
        if begun is not None:
            if record.error_codes and record.operation_kind:
                self._fail(operation, record.error_codes[0])
            operation.end(ended)

    def _add_command(self, command: DatabaseCommand, parent: "Context", zero: int) -> None:
        attributes: dict[str, Any] = {
            "db.system.name": "mongodb",
            "db.namespace": command.database,
            "db.operation.name": command.name,
        }
        if command.collection:
            attributes["db.collection.name"] = command.collection
        if command.documents is not None:
            attributes["db.response.returned_rows"] = command.documents
        name = f"{command.name} {command.collection}".rstrip()
        self._add_client(name, attributes, command.seconds, command.ended, parent, zero, command.documents is None)

    def _add_fetch(self, fetch: FileFetch, parent: "Context", zero: int) -> None:
        attributes = {"http.request.method": "GET", "server.address": fetch.host}
        self._add_client("GET", attributes, fetch.seconds, fetch.ended, parent, zero, not fetch.is_whole)

    def _add_client(
        self,
        name: str,
        attributes: dict[str, Any],
        seconds: float,
        ended: float,
        parent: "Context",
        zero: int,
        is_failed: bool,
    ) -> None:
        start = zero + int((ended - seconds) * 1e9)
        span = self._tracer.start_span(name, parent, self._trace.SpanKind.CLIENT, attributes, start_time=start)
        if is_failed:
            self._fail(span, "_OTHER")
        span.end(zero + int(ended * 1e9))

    def _fail(self, span: "Span", kind: str) -> None:
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.StatusCode.ERROR)

    async def close(self) -> None:
        """Send the last spans, for at most FLUSH_SECONDS."""
        # A thread that waits for a dead collector must not hold up the end of the process.
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        await asyncio.to_thread(thread.join, FLUSH_SECONDS)


def _root(record: RequestRecord, kinds: "type[SpanKind]") -> tuple[str, "SpanKind", dict[str, Any]]:
    """Return the name, kind and attributes of the outermost span."""
    common: dict[str, Any] = {"release_catalog.request.id": record.request_id}
    if record.tenant:
        common["release_catalog.tenant"] = record.tenant
    if record.caller:
        common["enduser.id"] = record.caller
    if record.status is not None:
        common["http.response.status_code"] = record.status
    if record.transport == "verification":
        return "verification", kinds.INTERNAL, common
    if record.transport == "webhook":
        more = {
            "http.request.method": "POST",
            "server.address": record.host or "",
            "http.request.body.size": record.bytes_sent,
            "release_catalog.webhook.id": record.webhook or "",
            "release_catalog.event.id": record.event_id or "",
            "release_catalog.webhook.attempt": record.attempt,
        }
        return "POST", kinds.CLIENT, common | more
    # A WebSocket is opened by GET.
    method = record.method or "GET"
    more = {
        "http.request.method": method,
        "url.path": record.path or "",
        "url.scheme": record.scheme,
        "client.address": record.client or "",
        "http.response.body.size": record.bytes_sent,
        "release_catalog.transport": record.transport,
    }
    # Other paths have ids in them, of which there is no end.
    is_known = record.path == "/graphql"
    if is_known:
        more["http.route"] = "/graphql"
    return f"{method} /graphql" if is_known else method, kinds.SERVER, common | more


def _operation(record: RequestRecord) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "graphql.operation.type": record.operation_kind,
        "release_catalog.cost": record.cost,
    }
    if record.operation_name:
        attributes["graphql.operation.name"] = record.operation_name
    if record.document_hash:
        attributes["release_catalog.document.sha256"] = record.document_hash
    if record.fallback:
        attributes["release_catalog.fallback"] = record.fallback
    if record.error_codes:
        attributes["release_catalog.errors"] = list(record.error_codes)
    return attributes
