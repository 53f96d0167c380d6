"""One HTTP exchange over an existing connection, with the body hashed as it arrives.

Blocking, for a thread of its own: the standard library's client reads straight into one buffer that is hashed in
place, which is twice as fast as passing pieces through an event loop. Threads wait for the network and hash
without holding the interpreter lock.
"""

import asyncio
import contextlib
import dataclasses
import functools
import hashlib
import http.client
import io
import socket
import ssl
import urllib.parse
from collections.abc import Callable
from concurrent import futures
from typing import Any, TypeVar

from release_catalog.files.address_guard import Unreachable
from release_catalog.files.transfer_rate import Counted, TransferRate

READ_SECONDS = 30.0
MAX_URL = 2_048
# The maximum length of a whole name in the DNS. Encoding takes quadratic time for some scripts.
MAX_HOST = 253
# Smaller buffers cost a tenth and more of the rate; larger ones gain nothing.
BUFFER = 2 * 1024 * 1024
_SMALL_BUFFER = 64 * 1024
_REDIRECTS = {301, 302, 303, 307, 308}
_PORTS = {"http": 80, "https": 443}
Progress = Callable[[int], None]
Result = TypeVar("Result")
_PRINTABLE = "".join(map(chr, range(33, 127)))


@dataclasses.dataclass(frozen=True)
class Target:
    """The destination of a request."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Return the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclasses.dataclass(frozen=True)
class Body:
    """The received body, as it was transferred; not hashed if it was not read to its end.

    `size` is None if the body was cut.
    """

    size: int | None
    sha256: str | None
    encoding: str | None
    host: str


@dataclasses.dataclass
class Expected:
    """The file to receive: its declared size, and the `limit` up to which another one is read.

    `other` is the body as soon as it has another size than declared, in case that reading it fails.
    """

    size: int
    limit: int
    other: Body | None = None


def target(url: str) -> Target:
    """Parse a URL of at most 2,048 characters; raise Unreachable with the reason if it can't be fetched."""
    check_length(url)
    try:
        parts = urllib.parse.urlsplit(url)
        if len(parts.hostname or "") > MAX_HOST:
            raise Unreachable(f"The URL's host has more than {MAX_HOST} characters: correct it.")
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
        path = parts.path or "/"
        path = urllib.parse.quote(f"{path}?{parts.query}" if parts.query else path, safe=_PRINTABLE)
    except ValueError as error:
        raise Unreachable("The URL is invalid: correct it.") from error
    if parts.scheme not in _PORTS:
        raise Unreachable("The URL has another scheme than http or https: give one of these.")
    if "@" in parts.netloc:
        raise Unreachable("The URL has a user name or password: give one without.")
    if not host:
        raise Unreachable("The URL has no host: give a complete URL.")
    return Target(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, path)


def check_length(url: str) -> None:
    """Raise Unreachable if a URL is too long."""
    if len(url) > MAX_URL:
        raise Unreachable(f"The URL has {len(url)} characters: give one of at most {MAX_URL}.")


async def in_thread(
    threads: futures.Executor, sock: socket.socket, work: Callable[..., Result], *about: Any
) -> Result:
    """Return the result of `work`, which uses a connection in a thread; cancellation ends the connection."""
    # TLS takes the socket's descriptor away; a duplicate for the same connection still ends it.
    lever = sock.dup()
    job = threads.submit(work, sock, *about)
    try:
        return await asyncio.wrap_future(job)
    finally:
        if job.cancelled():
            sock.close()
        with contextlib.suppress(OSError):
            lever.shutdown(socket.SHUT_RDWR)
        lever.close()


def connection(sock: socket.socket, goal: Target) -> http.client.HTTPConnection:
    """Return an HTTP client for an existing connection, which never opens another one."""
    there = http.client.HTTPConnection(goal.host, goal.port)
    there.sock, there.auto_open = sock, 0
    return there


class _Response(http.client.HTTPResponse):
    """A response that counts its bytes, also those of a piece that has not arrived completely."""

    def __init__(self, sock: socket.socket, rate: TransferRate, **options: Any) -> None:
        super().__init__(sock, **options)
        self.fp.close()
        self.fp = io.BufferedReader(Counted(sock.makefile("rb", buffering=0), rate))


def exchange(
    sock: socket.socket,
    goal: Target,
    expected: Expected,
    tls: ssl.SSLContext,
    progress: Progress,
    rate: TransferRate,
) -> Body | str:
    """Return the body at `goal`, or the URL that it redirects to.

    Takes over `sock` and closes it. Raise Unreachable with the reason of a failure. Shutting the connection down
    from another thread ends it at once.
    """
    host = goal.host
    try:
        sock.settimeout(READ_SECONDS)
        if goal.scheme == "https":
            sock = tls.wrap_socket(sock, server_hostname=host)
        return _exchange(sock, goal, expected, progress, rate)
    except TimeoutError as error:
        raise Unreachable(f"{host} sent nothing for {READ_SECONDS:g} seconds: check the server.") from error
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(
            f"The certificate of {host} is not trusted ({error.verify_message}): install a trusted one."
        ) from error
    except (http.client.IncompleteRead, http.client.RemoteDisconnected) as error:
        raise Unreachable(_broken(host)) from error
    except http.client.HTTPException as error:
        raise Unreachable(
            f"{host} does not answer in HTTP/1.1, or with too large headers: correct the server."
        ) from error
    except ssl.SSLError as error:
        raise Unreachable(
            f"The TLS connection to {host} failed: check that it serves https at this port."
        ) from error
    except OSError as error:
        raise Unreachable(_broken(host)) from error
    finally:
        sock.close()


def _exchange(
    sock: socket.socket, goal: Target, expected: Expected, progress: Progress, rate: TransferRate
) -> Body | str:
    there = connection(sock, goal)
    there.response_class = functools.partial(_Response, rate=rate)  # type: ignore[assignment]  # it is only called
    headers = {"Host": goal.authority, "Accept-Encoding": "identity", "User-Agent": "release-catalog"}
    there.request("GET", goal.path, headers=headers | {"Connection": "close"})
    with there.getresponse() as response:
        rate.answered()
        location = response.getheader("Location")
        if response.status in _REDIRECTS and location:
            return location
        if response.status != http.client.OK:
            raise Unreachable(
                f"{goal.host} answered with status {response.status} instead of the file: correct the URL, "
                "or allow the download without credentials."
            )
        if response.getheader("Transfer-Encoding", "chunked").lower() != "chunked":
            raise Unreachable(
                f"{goal.host} transfers the file in an unknown encoding: configure it to send plain bytes."
            )
        encoding = response.getheader("Content-Encoding", "identity").lower()
        return _hashed(response, expected, goal.host, None if encoding == "identity" else encoding[:40], progress)


def _hashed(
    response: http.client.HTTPResponse, expected: Expected, host: str, encoding: str | None, progress: Progress
) -> Body:
    size = expected.size
    if response.length is not None and response.length != size:
        expected.other = Body(response.length, None, encoding, host)
        if response.length > expected.limit:
            return expected.other
    digest, total = hashlib.sha256(), 0
    # The number of bytes is not known beforehand if it is neither declared rightly nor sent.
    largest = size + 1 if response.length == size else max(size + 1, _SMALL_BUFFER)
    buffer = memoryview(bytearray(min(largest, BUFFER)))
    # A read fills its buffer: the first byte too many must not wait for others.
    while read := response.readinto(buffer if total > size else buffer[: size + 1 - total]):
        total += read
        if total > size:
            expected.other = expected.other or Body(None, None, encoding, host)
            if total > expected.limit:
                return expected.other
        digest.update(buffer[:read])
        progress(read)
    # Truncated headers look like complete ones with no body.
    if response.length or (not total and size and response.length is None and not response.chunked):
        raise Unreachable(_broken(host))
    return Body(total, digest.hexdigest(), encoding, host)


def _broken(host: str) -> str:
    return f"The connection to {host} broke off before the end of the file: check the server and try again."
