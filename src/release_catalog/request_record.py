"""The record of a request: what its log line, the metrics and the traces tell about it.

The record of the current request is in a context variable, so that every layer can add what it knows. It holds no
value of a variable, no token and no secret. Observers get each record once, when the request has ended.
"""

import contextvars
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from release_catalog.usage import Usage

# Codes of one request; further ones are left out.
MAX_CODES = 10
# Commands and fetched files of one request that are described one by one, for the log of slow operations.
MAX_STEPS = 20
# At most this many characters of a name that a client chose.
MAX_NAME = 100
# The same of the names of a caller and its tenant, which an identity provider chose.
MAX_CALLER = 255

_log = structlog.get_logger()


class DatabaseCommand(NamedTuple):
    """One command to the database, with the seconds that it took and its end by `time.perf_counter`."""

    name: str
    database: str
    collection: str
    seconds: float
    ended: float
    # The documents that it returned or changed; None if it failed.
    documents: int | None
    # The command's document, of which only the shape may be shown.
    question: Mapping[str, Any]


class FileFetch(NamedTuple):
    """One file that was fetched from a host, with the seconds that it took and its end by `time.perf_counter`."""

    host: str
    seconds: float
    ended: float
    is_whole: bool


class RequestRecord:
    """Facts about one HTTP request, one WebSocket operation, one attempt to deliver an event, or one verification.

    Defaults are those of the class: most requests set few of the attributes.
    """

    # The trace that the client sent or that this server began; and the parent span, as the client sent it.
    trace_id: str | None = None
    traceparent: str | None = None
    # The address of the client.
    client: str | None = None
    method: str | None = None
    scheme = "http"
    # Without a query string.
    path: str | None = None
    # Of HTTP; of a webhook attempt, the receiver's. None for an operation of a WebSocket.
    status: int | None = None
    # The address as the server knows it, such as /v1/catalogs/{catalog}; None for one that does not exist.
    route: str | None = None
    # The limit that refused the request.
    limit: str | None = None
    # How long the request took, once it has ended.
    seconds = 0.0
    bytes_sent = 0
    bytes_received = 0
    tenant: str | None = None
    caller: str | None = None
    operation_name: str | None = None
    # query, mutation or subscription.
    operation_kind: str | None = None
    # When the operation was known, by `time.perf_counter`.
    operation_began: float | None = None
    # The SHA-256 of the document, in hexadecimal.
    document_hash: str | None = None
    # The points charged.
    cost = 0
    error_codes: Sequence[str] = ()
    # The database commands and the seconds that they took together.
    commands = 0
    command_seconds = 0.0
    # The commands one by one, at most as many as are kept.
    steps: list[DatabaseCommand] | None = None
    files: Sequence[FileFetch] = ()
    # Why the operation, or a root field of it, was left to the ordinary executor.
    fallback: str | None = None
    # The counters of the request.
    usage: Usage | None = None
    # Of an attempt to deliver an event.
    webhook: str | None = None
    event_id: str | None = None
    attempt = 0
    host: str | None = None

    def __init__(self, request_id: str, transport: str = "http") -> None:
        """Begin a record; `transport` is http, sse, multipart, websocket, webhook or verification."""
        self.request_id = request_id
        self.transport = transport
        self.began = time.perf_counter()

    def describe(self, kind: str, name: str | None) -> None:
        """Note the kind of the operation and its name, which its client chose."""
        self.operation_kind = kind
        self.operation_began = time.perf_counter()
        self.operation_name = name and name[:MAX_NAME]

    def add_code(self, code: str) -> None:
        """Note the code of an error or the type of a problem, once."""
        if code in self.error_codes or len(self.error_codes) >= MAX_CODES:
            return
        self.error_codes = [*self.error_codes, code]

    def add_command(self, command: DatabaseCommand, max_steps: int) -> None:
        """Count a command, and keep its description; if there are too many, keep the slowest."""
        self.commands += 1
        self.command_seconds += command.seconds
        steps = self.steps
        if not steps:
            self.steps = [command]
        elif len(steps) < max_steps:
            steps.append(command)
        else:
            fastest = min(range(len(steps)), key=lambda at: steps[at].seconds)
            if steps[fastest].seconds < command.seconds:
                steps[fastest] = command

    def add_file(self, fetch: FileFetch, max_steps: int = MAX_STEPS) -> None:
        """Note that a file was fetched."""
        if len(self.files) < max_steps:
            self.files = [*self.files, fetch]


# An observer gets each finished record, and must neither wait nor change it.
Observer = Callable[[RequestRecord], None]
Observers = Sequence[Observer]

current: contextvars.ContextVar[RequestRecord | None] = contextvars.ContextVar("request_record", default=None)


def finish(record: RequestRecord, observers: Observers) -> None:
    """Tell the observers that a request has ended; a failure of theirs is not one of the request."""
    record.seconds = time.perf_counter() - record.began
    try:
        for observe in observers:
            observe(record)
    except Exception:  # noqa: BLE001  the client has its response
        _log.exception("observer of requests failed")


def note_caller(tenant: str, subject: str) -> None:
    """Note the caller of the current request."""
    if record := current.get():
        record.tenant, record.caller = tenant[:MAX_CALLER], subject[:MAX_CALLER]


def add_code(code: str) -> None:
    """Note the code of an error, or the type of a problem, of the current request."""
    if record := current.get():
        record.add_code(code)


def note_route(route: str) -> None:
    """Note the address of the current request as the server knows it."""
    if record := current.get():
        record.route = route


def note_limit(limit: str | None) -> None:
    """Note the limit that refuses the current request; None if it was none."""
    if limit and (record := current.get()):
        record.limit = limit


def charge(points: int) -> None:
    """Note points that the current request costs."""
    if record := current.get():
        record.cost += points
