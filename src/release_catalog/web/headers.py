"""Limits on the head of each request, and the headers that tell browsers what not to do with any answer."""

import json
import re

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY = {
    # For what is no page; pages bring a policy of their own.
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

_MAX_HOST = 255
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]++|\[[0-9A-Fa-f:.]++\])(?::[0-9]{1,5})?")


def _has_one_host(scope: Scope) -> bool:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if not hosts:
        return bool(scope.get("http_version") == "1.0")
    return len(hosts) == 1 and len(hosts[0]) <= _MAX_HOST and bool(_HOST.fullmatch(hosts[0]))


# Of a request's head: the bytes of its path and of a header, the bytes and the number of all headers, and the
# number of parameters in the address. Nothing reads a head that is larger.
MAX_PATH, MAX_HEADER, MAX_HEADERS_BYTES = 1 << 14, 1 << 13, 1 << 16
MAX_HEADERS = MAX_PARAMETERS = 100
# Measured by who reads them: credentials that are too long are wrong ones, and cookies nobody reads.
_MEASURED_ELSEWHERE = {b"authorization", b"x-project-token", b"cookie"}


class HeadLimits:
    """Refuses a request with an oversized head, or without one valid Host, before anything else reads it.

    It does so under any ASGI server. Addresses are made from Host, and a proxy may read another of two than this
    server (RFC 9112, 3.2).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 414, 431 or 400; a WebSocket is not accepted."""
        refusal = _refusal(scope) if scope["type"] in {"http", "websocket"} else None
        if refusal is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _refused(*refusal)(scope, receive, send)


def _refusal(scope: Scope) -> tuple[int, str, str] | None:
    if len(scope.get("raw_path") or scope["path"]) > MAX_PATH:
        return 414, "URI Too Long", f"The path of a request has at most {MAX_PATH} bytes."
    query, headers = scope.get("query_string", b""), scope["headers"]
    if len(query) > MAX_HEADERS_BYTES:
        return 414, "URI Too Long", f"The parameters of a request have at most {MAX_HEADERS_BYTES} bytes."
    if query.count(b"&") >= MAX_PARAMETERS:
        return 400, "Bad Request", f"A request has at most {MAX_PARAMETERS} parameters in its address."
    lengths = [len(name) + len(value) for name, value in headers if name not in _MEASURED_ELSEWHERE]
    if len(headers) > MAX_HEADERS or max(lengths, default=0) > MAX_HEADER or sum(lengths) > MAX_HEADERS_BYTES:
        sizes = f"{MAX_HEADERS} headers, of {MAX_HEADER} bytes each and {MAX_HEADERS_BYTES} bytes in all"
        return 431, "Request Header Fields Too Large", f"A request has at most {sizes}."
    if not _has_one_host(scope):
        return 400, "Bad Request", "Send one Host header with the name of a host."
    return None


def _refused(status: int, title: str, detail: str) -> Response:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(json.dumps(body), status, media_type="application/problem+json")


class Secured:
    """Adds the headers that an answer does not have yet."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                missing = [pair for pair in _ENCODED if pair[0] not in present]
                message["headers"] = [*message["headers"], *missing]
            await send(message)

        await self.app(scope, receive, answer)


_ENCODED = [(name.encode(), value.encode()) for name, value in SECURITY.items()]
