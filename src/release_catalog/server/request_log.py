"""The log of requests: a line for each, and a second one for each slow operation.

No line has a value of a variable, a query string, a header or a text of an error: these may be secrets.
"""

import functools
import http
import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from release_catalog import logging_config, request_record
from release_catalog.domain import ids
from release_catalog.logging_config import Members
from release_catalog.request_record import DatabaseCommand, Observers, RequestRecord
from release_catalog.server.client_address import TrustedProxies
from release_catalog.storage.command_monitor import query_shape

# The conventional status of requests whose client was gone before the response.
CLIENT_GONE = 499
METRICS = "/metrics"
_REFUSED, _FAILED = 400, 500

_MAX_PATH, _MAX_METHOD = 1_024, 16
_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_MAX_TRACEPARENT = 200
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16


class RequestLog:
    """A middleware that keeps the record of each request, and hands it to observers at the end."""

    def __init__(self, app: ASGIApp, observers: Observers, proxies: TrustedProxies) -> None:
        self.app = app
        self._observers = observers
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; the response gets the header `x-request-id`."""
        kind = scope["type"]
        if kind not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        record = _begin(scope, self._proxies)
        before = request_record.current.set(record)
        try:
            if kind == "websocket":  # its operations have records of their own
                await self.app(scope, receive, send)
                if record.limit:  # a refused one has none
                    record.transport = "websocket"
                    request_record.finish(record, self._observers)
            else:
                await self._pass_on(record, scope, receive, send)
        finally:
            request_record.current.reset(before)

    async def _pass_on(self, record: RequestRecord, scope: Scope, receive: Receive, send: Send) -> None:
        header = b"x-request-id", record.request_id.encode()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message["headers"], header]
            else:
                record.bytes_sent += len(message.get("body", b""))
            await send(message)

        async def take() -> Message:
            message = await receive()
            record.bytes_received += len(message.get("body", b""))
            return message

        try:
            await self.app(scope, take, answer)
        except ClientDisconnect:
            record.status = CLIENT_GONE
        finally:
            record.status = record.status or _FAILED
            if record.route is None and (route := scope.get("route")):
                record.route = route.path
            if record.status >= _REFUSED and not record.error_codes:
                record.add_code(_code(record.status))
            request_record.finish(record, self._observers)


def _code(status: int) -> str:
    return "CLIENT_GONE" if status == CLIENT_GONE else http.HTTPStatus(status).name


def _begin(scope: Scope, proxies: TrustedProxies) -> RequestRecord:
    """Return the record of a request or WebSocket that begins."""
    sent_id = traceparent = None
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            sent_id = value
        elif name == b"traceparent":
            traceparent = value
    record = RequestRecord(sent_id.decode() if sent_id and _ID.fullmatch(sent_id) else ids.new())
    if traceparent:
        read_traceparent(record, traceparent)
    record.client = proxies.find_client(scope)
    method: str | None = scope.get("method")
    record.method, record.scheme = method and method[:_MAX_METHOD], scope.get("scheme", "http")
    path = scope.get("raw_path")
    record.path = (path[:_MAX_PATH].decode("latin-1")) if path else scope["path"][:_MAX_PATH]
    return record


def read_traceparent(record: RequestRecord, value: bytes) -> None:
    """Take the trace of a valid traceparent (W3C Trace Context)."""
    found = _TRACEPARENT.fullmatch(value) if len(value) <= _MAX_TRACEPARENT else None
    if not found or value.startswith(b"ff") or found[1] == _NO_TRACE or found[2] == _NO_SPAN:
        return
    # Version 00 has four parts.
    if value.startswith(b"00") and len(value) != len(found[1]) + len(found[2]) + 7:
        return
    record.trace_id, record.traceparent = found[1].decode(), value.decode("latin-1")


class LogWriter:
    """An observer that writes the lines of the log."""

    def __init__(self, slow_seconds: float) -> None:
        """Describe operations that take at least `slow_seconds`; 0 describes none."""
        self._slow_seconds = slow_seconds

    def __call__(self, record: RequestRecord) -> None:
        """Write the line of a request, and a second one if it was slow."""
        transport = record.transport
        if transport == "verification":
            return
        event = "webhook attempt" if transport == "webhook" else "request"
        # Prometheus comes several times a minute.
        is_scraper = record.route == METRICS and record.status == http.HTTPStatus.OK
        level = "debug" if is_scraper else "info"
        if logging_config.is_logged(level):
            logging_config.write(level, event, _figures(record), _facts(record))
        is_slow = 0 < self._slow_seconds <= record.seconds
        # A subscription takes as long as its client wants.
        if is_slow and transport != "webhook" and record.operation_kind != "subscription":
            logging_config.write("warning", "slow operation", _figures(record) | _describe(record), _facts(record))


def _figures(record: RequestRecord) -> dict[str, Any]:
    """Return what differs between the requests of a client; what is unknown or zero is left out."""
    figures: dict[str, Any] = {"request_id": record.request_id}
    if path := record.path:
        figures["path"] = path
    if (status := record.status) is not None:
        figures["status"] = status
    figures["milliseconds"] = _milliseconds(record.seconds)
    figures["bytes_sent"] = record.bytes_sent
    if received := record.bytes_received:
        figures["bytes_received"] = received
    if cost := record.cost:
        figures["cost"] = cost
    if codes := record.error_codes:
        figures["errors"] = codes
    if commands := record.commands:
        figures["commands"] = commands
        figures["command_milliseconds"] = _milliseconds(record.command_seconds)
    if trace_id := record.trace_id:
        figures["trace_id"] = trace_id
    if event_id := record.event_id:
        figures["event_id"] = event_id
        figures["attempt"] = record.attempt
    return figures


def _facts(record: RequestRecord) -> Members:
    """Return what the requests of a client have in common."""
    return _members(
        record.transport, record.method, record.client, record.tenant, record.caller, record.operation_name,
        record.operation_kind, record.document_hash, record.fallback, record.webhook, record.host,
    )  # fmt: skip


_NAMES = "transport method client tenant caller operation kind document fallback webhook host".split()


@functools.lru_cache(2_000)
def _members(*values: str | None) -> Members:
    return Members({name: value for name, value in zip(_NAMES, values, strict=True) if value})


def _describe(record: RequestRecord) -> dict[str, Any]:
    """Return the description of a slow operation: who sent it, its plan, its counts and its database commands."""
    usage = record.usage
    counts: Mapping[str, int] = (
        {}
        if usage is None
        else {
            name: count
            for name in ("nodes", "read", "walked", "references", "counted", "written")
            if (count := getattr(usage, name))
        }
    )
    plan = {} if record.operation_kind != "query" else {"plan": "executor" if record.fallback else "compiled"}
    return {
        **plan,
        "counts": counts,
        "database": [_command(command) for command in _slowest(record.steps or ())],
    }


def _slowest(steps: Sequence[DatabaseCommand]) -> Sequence[DatabaseCommand]:
    """Return the slowest commands, in their order."""
    if len(steps) <= request_record.MAX_STEPS:
        return steps
    slowest = sorted(steps, key=lambda step: step.seconds)[-request_record.MAX_STEPS :]
    return sorted(slowest, key=lambda step: step.ended)


def _command(command: DatabaseCommand) -> dict[str, Any]:
    described: dict[str, Any] = {
        "command": command.name,
        "collection": command.collection,
        "milliseconds": _milliseconds(command.seconds),
        "documents": command.documents,
    }
    if shape := query_shape(command):
        described["query"] = shape
    return described


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1_000, 2)
