"""A server that sends its traces to a collector by OTLP over HTTP."""

import http.server
import threading
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.processes import serving


class Collector(http.server.BaseHTTPRequestHandler):
    """Keeps the requests that it gets."""

    got: list[ExportTraceServiceRequest]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert self.path == "/v1/traces"
        self.got.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_sends_its_traces_and_the_last_ones_at_its_end(
    tmp_path: Path, mongodb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = type("Handler", (Collector,), {"got": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{collector.server_port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        with serving(tmp_path, mongodb_url=mongodb_url, database="traces") as server:
            server.ask("query Traced { releases(first: 1) { nodes { id } } }")
            assert server.stop() == 0
            [line] = [entry for entry in server.entries("request") if entry.get("operation") == "Traced"]
        collector.shutdown()
    resources = [spans for sent in handler.got for spans in sent.resource_spans]  # type: ignore[attr-defined]
    names = {value.key: value.value.string_value for spans in resources for value in spans.resource.attributes}
    assert names["service.name"] == "release-catalog"
    spans = [span for each in resources for scope in each.scope_spans for span in scope.spans]
    mine = [span for span in spans if span.trace_id.hex() == line["trace_id"]]
    assert {"POST /graphql", "query"} < {span.name for span in mine}
    assert [span.name for span in mine if span.name.endswith("releases")]
