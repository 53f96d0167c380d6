"""Sending of one message to a receiver: over a guarded connection, without redirects, within 15 seconds."""

import asyncio
import dataclasses
import http.client
import socket
import ssl
from collections.abc import Mapping
from concurrent import futures
from typing import Self

from release_catalog.domain.caller import Owner
from release_catalog.files import address_guard, http_client
from release_catalog.files.dns_resolver import Resolver

SECONDS = 15.0
# The part of an error response that is read, and the part of it that is kept.
READ_BYTES = 4_096
KEPT_CHARACTERS = 200


@dataclasses.dataclass(frozen=True)
class DeliveryResult:
    """The result of sending: `error` is None if the receiver took the message."""

    status: int | None
    error: str | None
    retry_after: str | None = None


def target(url: str, allowed: address_guard.Allowed) -> http_client.Target:
    """Parse a URL; raise Unreachable with the reason if nothing may be sent there."""
    goal = http_client.target(url)
    if goal.scheme == "http" and not allowed.names(goal.host, goal.port):
        raise address_guard.Unreachable(
            "Events are sent by https only: give an https URL, or ask an operator to add "
            f"{goal.host}:{goal.port} to RELEASE_CATALOG_FILES_ALLOW."
        )
    return goal


def url_rejection_reason(url: str | None, allowed: address_guard.Allowed) -> str | None:
    """Return the reason why nothing may be sent to a URL, or None, also without a URL."""
    try:
        target(url or "https://absent.example", allowed)
    except address_guard.Unreachable as error:
        return str(error)
    return None


class WebhookSender:
    """A sender of up to `at_once` messages at a time, each in a thread; created inside the event loop."""

    def __init__(self, allowed: address_guard.Allowed, at_once: int) -> None:
        """Send only to public addresses and to those in `allowed`."""
        self._allowed = allowed
        self._threads = futures.ThreadPoolExecutor(at_once, "post")
        self._resolver = Resolver()
        self._tls = ssl.create_default_context()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False)

    async def post(self, owner: Owner, url: str, headers: Mapping[str, str], body: bytes) -> DeliveryResult:
        """Send `body` on behalf of `owner`; the result contains any error."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._post(owner, target(url, self._allowed), headers, body)
        except TimeoutError:
            return DeliveryResult(
                None, f"The receiver took longer than {SECONDS:g} seconds to answer: check the server."
            )
        except address_guard.Unreachable as error:
            return DeliveryResult(None, str(error))

    async def _post(
        self, owner: Owner, goal: http_client.Target, headers: Mapping[str, str], body: bytes
    ) -> DeliveryResult:
        sock = await address_guard.connect(self._allowed, self._resolver, owner, goal.host, goal.port)
        return await http_client.in_thread(self._threads, sock, _exchange, goal, headers, body, self._tls)


def _exchange(
    sock: socket.socket, goal: http_client.Target, headers: Mapping[str, str], body: bytes, tls: ssl.SSLContext
) -> DeliveryResult:
    try:
        sock.settimeout(SECONDS)
        if goal.scheme == "https":
            sock = tls.wrap_socket(sock, server_hostname=goal.host)
        connection = http_client.connection(sock, goal)
        about = {"Host": goal.authority, "Content-Type": "application/json", "User-Agent": "release-catalog"}
        connection.request("POST", goal.path, body, {**about, **headers, "Connection": "close"})
        with connection.getresponse() as response:
            return _reply(response)
    except ssl.SSLCertVerificationError as error:
        raise address_guard.Unreachable(
            f"The certificate of {goal.host} is not trusted ({error.verify_message}): install a trusted one."
        ) from error
    except http.client.HTTPException as error:
        raise address_guard.Unreachable(
            f"{goal.host} closed the connection or does not answer in HTTP/1.1: check the server."
        ) from error
    except OSError as error:
        raise address_guard.Unreachable(
            f"The connection to {goal.host} broke off before the response: check the server."
        ) from error
    finally:
        sock.close()


def _reply(response: http.client.HTTPResponse) -> DeliveryResult:
    status = response.status
    if http.client.OK <= status < http.client.MULTIPLE_CHOICES:
        return DeliveryResult(status, None)
    if status < http.client.BAD_REQUEST:
        return DeliveryResult(
            status, f"The receiver answered with status {status}, and redirects are not followed: correct the URL."
        )
    try:
        text = response.read(READ_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        text = ""
    printable = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:KEPT_CHARACTERS]
    error = f"The receiver answered with status {status}: {printable or 'check the server.'}"
    return DeliveryResult(status, error, response.getheader("Retry-After"))
