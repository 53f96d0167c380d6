"""Traces by OpenTelemetry: the spans of requests, and what they never show."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from conftest import connected
from release_catalog import tracing
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage import database as db
from release_catalog.storage import indexes
from release_catalog.storage.command_monitor import CommandMonitor
from release_catalog.tracing import TraceWriter
from support import file_server, logs, subscribers
from support.catalog import Catalog, source
from support.graphql_client import data_of, post, served
from support.waiting import eventually
from support.webhook_receivers import receiving

PAGE = "query Page($name: String) { releases(first: 5, filter: {name: $name}) { nodes { id name } } }"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Where the spans of applications made in the test go."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "from_environment", lambda: TraceWriter(provider))
    yield exporter
    provider.shutdown()


@pytest.fixture
async def database(mongodb_url: str, empty_name: str) -> AsyncIterator[db.Database]:
    async with connected(mongodb_url, empty_name, CommandMonitor(tracing.MAX_SPANS)) as database:
        await indexes.ensure(database)
        yield database


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


async def test_a_request_has_spans_for_itself_its_operation_and_its_commands(
    database: db.Database, exporter: InMemorySpanExporter
) -> None:
    with logs.captured() as log:
        async with served(database) as http:
            headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
            data_of(await post(http, PAGE, variables={"name": "MARKER"}, headers=headers))
    [request], [operation] = named(exporter, "POST /graphql"), named(exporter, "query")
    commands = [span for span in exporter.get_finished_spans() if span not in {request, operation}]
    assert request.context and request.parent and operation.parent and operation.context  # noqa: PT018
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == SPAN
    assert request.kind is SpanKind.SERVER
    assert {
        "http.request.method": "POST", "http.response.status_code": 200, "http.route": "/graphql",
        "url.path": "/graphql", "url.scheme": "http", "client.address": "127.0.0.1", "enduser.id": "local",
    }.items() <= dict(request.attributes or {}).items()  # fmt: skip
    assert operation.parent.span_id == request.context.span_id
    attributes = dict(operation.attributes or {})
    assert (attributes["graphql.operation.name"], attributes["graphql.operation.type"]) == ("Page", "query")
    assert attributes["release_catalog.cost"]
    assert len(str(attributes["release_catalog.document.sha256"])) == 64
    assert commands
    for span in commands:
        assert span.parent
        assert span.parent.span_id == operation.context.span_id
        assert span.kind is SpanKind.CLIENT
        about = dict(span.attributes or {})
        assert (about["db.system.name"], about["db.namespace"]) == ("mongodb", database.name)
        assert span.name == f"{about['db.operation.name']} {about['db.collection.name']}"
        assert span.start_time
        assert request.start_time
        assert request.start_time <= span.start_time < (span.end_time or 0) <= (request.end_time or 0)
    [line] = logs.entries(log, "request")
    assert line["trace_id"] == TRACE
    assert "MARKER" not in str([span.to_json() for span in exporter.get_finished_spans()])


async def test_an_unsampled_trace_has_no_spans(database: db.Database, exporter: InMemorySpanExporter) -> None:
    async with served(database) as http:
        await post(http, PAGE, headers={"traceparent": f"00-{TRACE}-{SPAN}-00"})
        assert exporter.get_finished_spans() == ()
        await post(http, PAGE, headers={"traceparent": "junk"})
        await post(http, PAGE)
    traces = {span.context.trace_id for span in named(exporter, "POST /graphql") if span.context}
    assert len(traces - {int(TRACE, 16)}) == 2


async def test_failures_are_errors_and_refusals_of_clients_are_not(
    database: db.Database, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(database) as http:
        await http.get("/nowhere/MARKER")
        await post(http, "{ nothing }")

        async def fail(*_: Any) -> Any:
            raise RuntimeError("MARKER")

        monkeypatch.setattr("release_catalog.storage.records.by_ids", fail)
        await http.get("/v1/catalogs/default/releases/x")
    missing, failed = named(exporter, "GET")
    assert missing.status.status_code is StatusCode.UNSET
    assert failed.status.status_code is StatusCode.ERROR
    assert (failed.attributes or {})["error.type"] == "500"


async def test_operations_of_a_websocket_are_parts_of_its_trace(
    database: db.Database, exporter: InMemorySpanExporter
) -> None:
    app = create_app(Settings(), database=database)
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    async with subscribers.served(app) as host:
        async with subscribers.connected(host, additional_headers=headers) as client:
            await subscribers.send(client, id="1", type="subscribe", payload={"query": PAGE})
            while (await subscribers.received(client))["type"] == "next":
                pass
        await eventually(lambda: named(exporter, "query"))
    [request], [operation] = named(exporter, "GET /graphql"), named(exporter, "query")
    assert request.context
    assert operation.context
    assert {request.context.trace_id, operation.context.trace_id} == {int(TRACE, 16)}
    assert (request.attributes or {})["release_catalog.transport"] == "websocket"


IMPORT = """mutation Import($i: ImportReleaseInput!) { importRelease(input: $i) { release { id }
  problem { detail } } }"""


async def test_files_and_webhook_attempts_have_spans_without_their_paths(
    empty: Catalog, database: db.Database, exporter: InMemorySpanExporter
) -> None:
    hook = 'mutation($u: String!) { createWebhook(input: {url: $u, events: ["*"]}) { problem { detail } } }'
    async with (
        file_server.serving() as files,
        receiving() as receiver,
        served(database, files_allow="127.0.0.1") as http,
    ):
        data_of(await post(http, hook, variables={"u": receiver.url}))
        url = files.put("MARKER", b"1234")
        file = {"name": "f", "size": 4, "sha256": "0" * 64, "downloadUrl": url}
        for number, mode in enumerate(("WAIT", "BACKGROUND")):
            release = source("tool", f"{number}", artifacts=[file])
            values = {"projectIdentifier": "tool", "release": release, "verification": mode}
            data_of(await post(http, IMPORT, variables={"i": values}))
        await eventually(lambda: len(named(exporter, "POST")) >= 2 and len(named(exporter, "GET")) == 2)
    waited, background = named(exporter, "GET")
    [operation] = [span for span in named(exporter, "mutation") if "Import" in span.to_json()][:1]
    assert waited.parent
    assert operation.context
    assert waited.parent.span_id == operation.context.span_id
    [verification] = [
        span
        for span in named(exporter, "verification")
        if span.context and background.parent and span.context.span_id == background.parent.span_id
    ]
    assert verification.kind is SpanKind.INTERNAL
    attempt = named(exporter, "POST")[0]
    assert attempt.kind is SpanKind.CLIENT
    assert (attempt.attributes or {})["server.address"] == "127.0.0.1"
    everything = str([span.to_json() for span in exporter.get_finished_spans()])
    assert "MARKER" not in everything
    assert "/hook" not in everything
    # Receivers are strangers: they get no trace.
    assert all("traceparent" not in message.headers for message in receiver.got)


def test_without_an_endpoint_nothing_is_imported() -> None:
    code = """import sys; from release_catalog import tracing; from release_catalog.server import app
assert tracing.from_environment() is None
app.create_app()
print([name for name in sys.modules if name.startswith("opentelemetry")])"""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    for env in ({}, {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}):
        done = subprocess.run([sys.executable, "-c", code], env=clean | env, capture_output=True, check=True)
        assert done.stdout.strip() == b"[]"


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(tracing.Unavailable, match=r"install release-catalog\[otel\]"):
        tracing.from_environment()


async def test_the_end_does_not_wait_for_a_dead_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "FLUSH_SECONDS", 0.2)
    stuck = asyncio.Event()

    class Stuck(TracerProvider):
        def shutdown(self) -> None:
            while not stuck.is_set():
                __import__("time").sleep(0.01)

    async with asyncio.timeout(30):
        await TraceWriter(Stuck(shutdown_on_exit=False)).close()
    stuck.set()
