"""Sending one message to a receiver: over a guarded connection, without following redirects, within 15 seconds."""

import asyncio
import dataclasses
import http.client
import socket
import ssl
from collections.abc import Mapping
from concurrent import futures
from typing import Self

from release_catalog.domain.caller import Owner
from release_catalog.files import guard, transfer
from release_catalog.files.resolver import Resolver

SECONDS = 15.0
# Of what a receiver answers, so much is read and so much of that is kept where it refuses.
READ_BYTES = 4_096
KEPT_CHARACTERS = 200


@dataclasses.dataclass(frozen=True)
class Reply:
    """What came of sending: `error` is None where the receiver took the message."""

    status: int | None
    error: str | None
    retry_after: str | None = None


def target(url: str, allowed: guard.Allowed) -> transfer.Target:
    """Read a URL; Unreachable tells why nothing may be sent there."""
    goal = transfer.target(url)
    if goal.scheme == "http" and not allowed.names(goal.host, goal.port):
        raise guard.Unreachable(
            "Events are sent by https, so that nobody reads or changes them on their way: give such a URL, or "
            f"have an operator add {goal.host}:{goal.port} to RELEASE_CATALOG_FILES_ALLOW."
        )
    return goal


def unusable(url: str | None, allowed: guard.Allowed) -> str | None:
    """Why nothing may be sent to a URL; None where it may, or where none is given."""
    try:
        target(url or "https://absent.example", allowed)
    except guard.Unreachable as error:
        return str(error)
    return None


class Poster:
    """Sends messages, up to `at_once` at a time, each in a thread; made inside the event loop."""

    def __init__(self, allowed: guard.Allowed, at_once: int) -> None:
        """`allowed` is where messages may be sent besides public addresses."""
        self._allowed = allowed
        self._threads = futures.ThreadPoolExecutor(at_once, "post")
        self._resolver = Resolver()
        self._tls = ssl.create_default_context()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False)

    async def post(self, owner: Owner, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send `body` on behalf of `owner`; the reply tells whatever goes wrong."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._post(owner, target(url, self._allowed), headers, body)
        except TimeoutError:
            return Reply(None, f"It took longer than {SECONDS:g} seconds to answer.")
        except guard.Unreachable as error:
            return Reply(None, str(error))

    async def _post(self, owner: Owner, goal: transfer.Target, headers: Mapping[str, str], body: bytes) -> Reply:
        sock = await guard.connect(self._allowed, self._resolver, owner, goal.host, goal.port)
        return await transfer.in_thread(self._threads, sock, _exchange, goal, headers, body, self._tls)


def _exchange(
    sock: socket.socket, goal: transfer.Target, headers: Mapping[str, str], body: bytes, tls: ssl.SSLContext
) -> Reply:
    try:
        sock.settimeout(SECONDS)
        if goal.scheme == "https":
            sock = tls.wrap_socket(sock, server_hostname=goal.host)
        connection = transfer.connection(sock, goal)
        about = {"Host": goal.authority, "Content-Type": "application/json", "User-Agent": "release-catalog"}
        connection.request("POST", goal.path, body, {**about, **headers, "Connection": "close"})
        with connection.getresponse() as response:
            return _reply(response)
    except ssl.SSLCertVerificationError as error:
        raise guard.Unreachable(
            f"The certificate of {goal.host} is not trusted ({error.verify_message})."
        ) from error
    except http.client.HTTPException as error:
        raise guard.Unreachable(f"{goal.host} closed the connection or does not answer in HTTP/1.1.") from error
    except OSError as error:
        raise guard.Unreachable(f"The connection to {goal.host} broke off before it answered.") from error
    finally:
        sock.close()


def _reply(response: http.client.HTTPResponse) -> Reply:
    status = response.status
    if http.client.OK <= status < http.client.MULTIPLE_CHOICES:
        return Reply(status, None)
    if status < http.client.BAD_REQUEST:
        return Reply(status, f"It answered with status {status}: redirects are not followed, so correct the URL.")
    try:
        text = response.read(READ_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        text = ""
    said = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:KEPT_CHARACTERS]
    error = f"It answered with status {status}" + (f": {said}" if said else ".")
    return Reply(status, error, response.getheader("Retry-After"))
