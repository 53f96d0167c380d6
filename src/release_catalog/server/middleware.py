"""The limits on the head of each request, and the security headers of each response."""

import functools
import re
from collections.abc import Iterable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from release_catalog.hal import responses

SECURITY = {
    # For responses other than pages; pages have a policy of their own.
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

_MAX_HOST = 255
# Of a path that is too long, this many characters are returned.
_MAX_INSTANCE = 1_024
_HOST = re.compile(rb"([A-Za-z0-9._-]++|\[[0-9A-Fa-f:.]++\])(?::[0-9]{1,5})?")

# Of a request's head: the bytes of its path and of a header, the bytes and the number of all headers, and the
# number of parameters in the address. No code reads a larger head.
MAX_PATH, MAX_HEADER, MAX_HEADERS_BYTES = 1 << 14, 1 << 13, 1 << 16
MAX_HEADERS = MAX_PARAMETERS = 100
# Measured by their readers: credentials that are too long are wrong ones, and cookies are ignored.
_MEASURED_ELSEWHERE = {b"authorization", b"x-project-token", b"cookie"}

_NO_HOST = 400, "The Host header is missing, repeated or invalid: send one with a host name."


class Head:
    """Refuses requests with an oversized head or for another host, and adds headers that protect browsers.

    It does so before anything else reads a request, under any ASGI server. Addresses are made from Host, and of
    two Host headers a proxy may read another one than this server (RFC 9112, 3.2).
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        """Serve only `hosts`: names, `*.example.com` for all names below one, or `*` for all."""
        for host in hosts:
            if "*" in host.removeprefix("*.") and host != "*":
                raise ValueError(f"{host} is not a pattern for hosts: give *.example.com, or * for all.")
        self.app = app
        self._hosts = [host.lower() for host in hosts]
        self._serves_all = "*" in self._hosts
        # The refusal of a Host; each is looked at once.
        self._host_refusal = functools.lru_cache(1_000)(self._match)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 414, 431 or 400; a WebSocket is not accepted."""
        kind = scope["type"]
        refusal = self._refusal(scope) if kind in {"http", "websocket"} else None
        if kind != "http":
            if refusal:
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self.app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = [name for name, _ in message["headers"]]
                if _NAMES.isdisjoint(present):
                    message["headers"] = [*message["headers"], *_ENCODED]
                else:  # pages have some of their own
                    absent = [pair for pair in _ENCODED if pair[0] not in present]
                    message["headers"] = [*message["headers"], *absent]
            await send(message)

        await (_refused(scope, *refusal) if refusal else self.app)(scope, receive, answer)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if len(scope.get("raw_path") or scope["path"]) > MAX_PATH:
            return 414, f"The path is too long: send at most {MAX_PATH} bytes."
        query, headers = scope.get("query_string", b""), scope["headers"]
        if len(query) > MAX_HEADERS_BYTES:
            return 414, f"The query string is too long: send at most {MAX_HEADERS_BYTES} bytes."
        if query.count(b"&") >= MAX_PARAMETERS:
            return 400, f"The query string has too many parameters: send at most {MAX_PARAMETERS}."
        hosts, size = [], 0
        for name, value in headers:
            size += len(name) + len(value)
            if name == b"host":
                hosts.append(value)
        if len(headers) > MAX_HEADERS or (size > MAX_HEADER and _are_too_large(headers)):
            sizes = f"{MAX_HEADERS} headers, of {MAX_HEADER} bytes each and {MAX_HEADERS_BYTES} bytes in all"
            return 431, f"The headers are too large: send at most {sizes}."
        if len(hosts) != 1 and (hosts or scope.get("http_version") != "1.0"):
            return _NO_HOST
        return self._host_refusal(hosts[0][: _MAX_HOST + 1] if hosts else None)

    def _match(self, sent: bytes | None) -> tuple[int, str] | None:
        """Return the refusal of a Host; it is None if a client of HTTP/1.0 sends none."""
        found = _HOST.fullmatch(sent) if sent and len(sent) <= _MAX_HOST else None
        if sent is not None and not found:
            return _NO_HOST
        name = found[1].decode().lower() if found else ""
        if self._serves_all or any(
            name == host or (host.startswith("*") and name.endswith(host[1:])) for host in self._hosts
        ):
            return None
        return 400, "This server does not serve that host: use another one, such as localhost."


def _are_too_large(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    lengths = [len(name) + len(value) for name, value in headers if name not in _MEASURED_ELSEWHERE]
    return max(lengths, default=0) > MAX_HEADER or sum(lengths) > MAX_HEADERS_BYTES


def _refused(scope: Scope, status: int, detail: str) -> Response:
    return responses.problem(Request(scope), status, detail, instance=responses.sent_path(scope)[:_MAX_INSTANCE])


_ENCODED = [(name.encode(), value.encode()) for name, value in SECURITY.items()]
_NAMES = {name for name, _ in _ENCODED}
