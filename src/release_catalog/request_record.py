"""The record of a request: what its log line, the metrics and the traces tell about it.

The record of the current request is in a context variable, so that every layer can add what it knows. It holds no
value of a variable, no token and no secret.
"""

import contextvars


class RequestRecord:
    """Facts about one HTTP request, one WebSocket operation, or one attempt to deliver an event."""

    __slots__ = (
        "caller", "client", "command_seconds", "commands", "cost", "document_hash", "error_codes",
        "operation_kind", "operation_name", "request_id", "tenant", "trace_id",
    )  # fmt: skip

    def __init__(self, request_id: str, trace_id: str | None = None, client: str | None = None) -> None:
        self.request_id = request_id
        # The trace that the client sent or that this server began.
        self.trace_id = trace_id
        # The address of the client.
        self.client = client
        self.tenant: str | None = None
        self.caller: str | None = None
        self.operation_name: str | None = None
        # query, mutation or subscription.
        self.operation_kind: str | None = None
        # The SHA-256 of the document, in hexadecimal.
        self.document_hash: str | None = None
        # In points.
        self.cost = 0
        self.error_codes: list[str] = []
        # The database commands and the seconds that they took together.
        self.commands = 0
        self.command_seconds = 0.0


current: contextvars.ContextVar[RequestRecord | None] = contextvars.ContextVar("request_record", default=None)
