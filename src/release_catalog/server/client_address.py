"""The address of a client behind trusted proxies, for the log and for limits by address.

A proxy adds the address that it got a request from to X-Forwarded-For, so the entries are read from the end: the
last one that no trusted proxy wrote about another trusted proxy is the client's. A client may write anything in
front of it. Nothing else uses this address: a forwarded request is never one of this machine's operator.
"""

import functools
import ipaddress
from collections.abc import Iterable
from typing import Any

from starlette.types import Scope

from release_catalog.settings import networks

_KEY = "release_catalog.client"
# Nobody has more proxies than this, and a longer header is not read to its beginning.
MAX_PROXIES, MAX_CHARACTERS = 20, 1_000
# Headers by which proxies tell that they forward a request.
_FORWARDED = frozenset(
    b"x-forwarded-for forwarded x-real-ip x-forwarded-host x-forwarded-proto x-client-ip via".split()
)


class TrustedProxies:
    """The proxies whose X-Forwarded-For is believed."""

    def __init__(self, trusted: str = "") -> None:
        self._networks = networks(trusted)
        self._trusts = functools.lru_cache(1_000)(self._is_in_networks)

    def find_client(self, scope: Scope) -> str | None:
        """Return the address of the client, and remember it in `scope`."""
        client = scope.get("client")
        address: str | None = client[0] if client else None
        if self._networks and address and self._trusts(address):
            address = self._forwarded(scope["headers"]) or address
            scope[_KEY] = address
        return address

    def _forwarded(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Return the last address that is no trusted proxy's, or the one before an invalid entry."""
        value = b",".join([value[-MAX_CHARACTERS:] for name, value in headers if name == b"x-forwarded-for"])
        found = None
        for entry in reversed(value[-MAX_CHARACTERS:].split(b",")[-MAX_PROXIES:]):
            address = _read(entry.decode("latin-1").strip())
            if address is None:
                return found
            found = address
            if not self._trusts(address):
                return found
        return found

    def _is_in_networks(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        found = (isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped) or found
        return any(found in network for network in self._networks)


def _read(entry: str) -> str | None:
    """Return the address in an entry, which may have a port; None if it is invalid."""
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    try:
        return str(ipaddress.ip_address(entry.partition("%")[0]))
    except ValueError:
        return None


def find(scope: Any) -> str | None:
    """Return the address for limits: that of the client behind trusted proxies, or else of the connection."""
    if found := scope.get(_KEY):
        return str(found)
    client = scope.get("client")
    return client[0] if client else None


def own(scope: Any) -> str | None:
    """Return the address of the connection; None if a proxy forwards the request for somebody else.

    A trusted proxy does that with all requests, even with those whose header somebody has left out.
    """
    if _KEY in scope or any(name in _FORWARDED for name, _ in scope["headers"]):
        return None
    client = scope.get("client")
    return client[0] if client else None
