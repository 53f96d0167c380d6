"""The signing keys that an identity provider publishes (RFC 7517)."""

import asyncio
import concurrent.futures
import http.client
import json
import time
import urllib.parse
from typing import Any

import jwt
import structlog

from release_catalog.auth import errors
from release_catalog.domain.caller import Owner
from release_catalog.fair_share import FairSlots

# Keys are used this long without a new fetch; a withdrawn key stays valid for as long.
FRESH_SECONDS = 600.0
# Tokens may name keys that do not exist: at least this much time lies between two fetches.
PAUSE_SECONDS = 60.0
# Before the keys have come once, nobody gets in: they are fetched more often.
FIRST_PAUSE_SECONDS = 5.0
TIMEOUT_SECONDS = 5.0
MAX_BYTES = 256 * 1024
MIN_RSA_BITS = 2048
_BUSY = "Too many clients wait for the signing keys of tokens: try again soon."
_ALGORITHMS = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}

Key = tuple[str, Any]
_log = structlog.get_logger()


class Keys:
    """The public keys behind a URL, fetched when they are needed and kept while it can't be reached."""

    def __init__(self, url: str) -> None:
        self._url = url
        # Clients that wait for keys that are being fetched, in turns between the networks of clients.
        self._waiting = FairSlots(64, per_tenant=32)
        self._keys: dict[str | None, Key] | None = None
        self._asked = self._came = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "jwks")

    async def key(self, algorithm: str, id_: str | None, network: str) -> Any | None:
        """Return the key for signatures of `algorithm` with this id; None if it does not exist.

        Refuse with status 503 if no keys could be fetched yet, or if too many clients wait for them.
        """
        if self._keys is None or id_ not in self._keys:
            async with errors.slot(self._waiting, Owner(network), 2 * TIMEOUT_SECONDS, _BUSY):
                await self._renewed()
        elif time.monotonic() - self._came > FRESH_SECONDS:
            self._renew()
        if self._keys is None:
            raise errors.temporarily_unavailable("The signing keys of tokens can't be fetched: try again soon.")
        known, key = self._keys.get(id_, ("", None))
        return key if known == algorithm else None

    async def close(self) -> None:
        """Wait for the current fetch."""
        if self._fetching:
            await asyncio.wait([self._fetching])

    async def _renewed(self) -> None:
        if fetching := self._renew():
            # The first client to wait may go away; the others still wait.
            await asyncio.shield(fetching)

    def _renew(self) -> asyncio.Task[None] | None:
        """Return the task that fetches the keys, for all that wait; None if a fetch was tried a moment ago."""
        pause = PAUSE_SECONDS if self._keys is not None else FIRST_PAUSE_SECONDS
        if self._fetching is None and time.monotonic() - self._asked > pause:
            self._asked = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            self._keys = parse_jwks(
                json.loads(await asyncio.get_running_loop().run_in_executor(self._thread, read, self._url))
            )
            self._came = time.monotonic()
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            _log.warning("fetch of the signing keys failed", url=self._url, reason=repr(error))
        finally:
            self._fetching = None


def read(url: str) -> bytes:
    """Return the document at `url` itself: follow no redirect, and use no proxy."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    try:
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("GET", target, headers={"Accept": "application/json", "User-Agent": "release-catalog"})
        response = connection.getresponse()
        body = response.read(MAX_BYTES + 1)
    finally:
        connection.close()
    if response.status != http.client.OK or len(body) > MAX_BYTES:
        raise ValueError(f"status {response.status}, {len(body)} bytes")
    return body


def parse_jwks(document: Any) -> dict[str | None, Key]:
    """Return the keys of a set that can verify signatures, by id; a key that is the only one is also at None."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a set of keys")  # noqa: TRY004  it is about what came
    keys: dict[str | None, Key] = {}
    for jwk in listed:
        if isinstance(jwk, dict) and (key := _usable(jwk)):
            id_ = jwk.get("kid")
            keys[id_ if isinstance(id_, str) else ""] = key
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))
    return keys


def _usable(jwk: dict[str, Any]) -> Key | None:
    algorithm = _ALGORITHMS.get(str(jwk.get("kty")))
    if not algorithm or jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm:
        return None
    try:
        # By the key's own kind, never by the algorithm that it claims: a public key is no secret to sign with.
        key = jwt.PyJWK(jwk, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if getattr(key, "key_size", MIN_RSA_BITS) < MIN_RSA_BITS and algorithm == "RS256":
        return None
    if algorithm == "ES256" and jwk.get("crv") != "P-256":
        return None
    return algorithm, key.public_key() if hasattr(key, "public_key") else key
