"""The addresses from which files may be fetched, and connections to those alone."""

import asyncio
import contextlib
import dataclasses
import ipaddress
import re
import socket
from typing import Any, NoReturn

import structlog

from release_catalog.domain.caller import Owner
from release_catalog.fair_share import Busy
from release_catalog.files.dns_resolver import Resolver

CONNECT_SECONDS = 10.0
# A name is refused at a multiple of this time, because the time of the lookup shows whether the name exists.
REFUSAL_SECONDS = 0.5
_TRIES = 4

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# All addresses of hosts on the internet lie in here. Outside are, besides local addresses, the forms that carry an
# IPv4 address: ::a.b.c.d, 64:ff9b::/96 and 64:ff9b:1::/48.
_UNICAST = ipaddress.IPv6Network("2000::/3")
# Networks that `is_global` of some Python versions lets through: protocol assignments, tunnels that carry an IPv4
# address (Teredo in the first, 6to4 and its relays), documentation.
_RESERVED = tuple(
    ipaddress.ip_network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "192.0.0.0/24", "192.88.99.0/24")
)
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")


_log = structlog.get_logger()


class Unreachable(Exception):  # noqa: N818  it is not an error of this program
    """The reason why a file can't be fetched, with a message that tells people what to do."""


@dataclasses.dataclass(frozen=True)
class Allowed:
    """The permitted destinations besides public addresses: networks, and hosts with a port."""

    networks: tuple[Network, ...] = ()
    ends: frozenset[tuple[str, int]] = frozenset()

    def permits(self, host: str, address: Address, port: int) -> bool:
        """Return whether a connection to `address`, which `host` resolves to, is permitted at `port`."""
        return public(address) or self.names(host, port) or self.names(str(address), port)

    def names(self, host: str, port: int) -> bool:
        """Return whether `host` itself is in the list, whatever it resolves to."""
        try:
            address = _inner(ipaddress.ip_address(host))
        except ValueError:
            return (host.lower().removesuffix("."), port) in self.ends
        return (str(address), port) in self.ends or any(address in network for network in self.networks)


def public(address: Address) -> bool:
    """Return whether `address` belongs to a host on the internet."""
    address = _inner(address)
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _RESERVED)


def parse(text: str) -> Allowed:
    """Parse addresses, networks, and hosts or addresses with a port, separated by commas.

    Raise ValueError with the entry that is invalid.
    """
    networks: list[Network] = []
    ends: set[tuple[str, int]] = set()
    for entry in filter(None, (part.strip().lower() for part in text.split(","))):
        try:
            networks.append(_network(entry))
        except ValueError:
            ends.add(_end(entry))
    return Allowed(tuple(networks), frozenset(ends))


def _network(entry: str) -> Network:
    if entry.startswith("[") and entry.endswith("]"):
        entry = entry[1:-1]
    if "/" in entry:
        return ipaddress.ip_network(entry)
    return ipaddress.ip_network(_inner(ipaddress.ip_address(entry)))


def _end(entry: str) -> tuple[str, int]:
    host, _, port = entry.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        bare = str(_inner(ipaddress.ip_address(bare)))
        known = (":" in bare) <= (bare != host)
    except ValueError:
        bare = bare.removesuffix(".")
        known = bare == host.removesuffix(".") and bool(_NAME.fullmatch(bare))
    if not known or not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:  # noqa: PLR2004
        raise ValueError(
            f"{entry!r} is invalid: give an address (10.1.2.3), a network without host bits "
            "(10.1.0.0/16), or a name or an address with a port (files.example:8080, [fd00::1]:8080)."
        )
    return bare, int(port)


def _inner(address: Address) -> Address:
    """Return the IPv4 address to which a mapped one (::ffff:a.b.c.d) connects."""
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address


async def connect(allowed: Allowed, resolver: Resolver, owner: Owner, host: str, port: int) -> socket.socket:
    """Return a TCP connection to one of the addresses that `host` has now, if all of them are permitted.

    The name is resolved once, in the share of `owner`, and the checked address is the one that is dialled: an
    answer that changes in between changes nothing. Raise Unreachable with the reason; only the log tells whether a
    name that is not permitted exists.
    """
    began = asyncio.get_running_loop().time()
    try:
        answers = await resolver.addresses(owner, host, port)
    except (TimeoutError, Busy) as error:
        raise Unreachable(f"The DNS lookup of {host} timed out: check its DNS servers.") from error
    except (OSError, ValueError) as error:
        if allowed.names(host, port):
            raise Unreachable(f"{host} has no address: correct the name, or check its DNS records.") from error
        await _refuse(host, port, began, f"no address: {error}")
    addresses = [ipaddress.ip_address(answer[4][0]) for answer in answers]
    if not all(allowed.permits(host, address, port) for address in addresses):
        await _refuse(host, port, began, f"forbidden address: {', '.join(map(str, addresses[:_TRIES]))}")
    for answer in answers[:_TRIES]:
        with contextlib.suppress(OSError):
            return await _dial(answer, CONNECT_SECONDS / min(len(answers), _TRIES))
    raise Unreachable(
        f"{host} refused the connection at port {port}: check that the server runs and can be reached."
    )


async def _refuse(host: str, port: int, began: float, reason: str) -> NoReturn:
    """Refuse a missing address and a forbidden one with the same message at the same pace."""
    _log.info("host refused", host=host, port=port, reason=reason)
    elapsed = asyncio.get_running_loop().time() - began
    await asyncio.sleep(REFUSAL_SECONDS - elapsed % REFUSAL_SECONDS)
    raise Unreachable(
        f"{host} has no address, or a forbidden one: correct the name, use a public address, or ask "
        f"an operator to add {host}:{port} to RELEASE_CATALOG_FILES_ALLOW."
    )


async def _dial(answer: tuple[Any, ...], seconds: float) -> socket.socket:
    family, kind, protocol, _, address = answer
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
