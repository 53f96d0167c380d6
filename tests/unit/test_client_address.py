"""The client behind trusted proxies, and what a proxy must never make of it."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.server import client_address
from release_catalog.server.client_address import MAX_CHARACTERS, TrustedProxies
from release_catalog.settings import Settings

TRUSTED = "10.0.0.0/8, 127.0.0.1, fd00::/8"


def scope(peer: str | None, *forwarded: str | bytes, name: bytes = b"x-forwarded-for") -> dict[str, Any]:
    values = [value if isinstance(value, bytes) else value.encode("latin-1") for value in forwarded]
    return {"client": peer and (peer, 1), "headers": [(name, value) for value in values]}


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # Only a trusted proxy is believed.
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        # The last entry of a proxy that is not trusted: whatever stands before it, its client may have written.
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1", "10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["127.0.0.1"], "127.0.0.1"),
        # Ports, spaces and zones.
        ("10.0.0.1", ["  198.51.100.1:4711 "], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        # Junk ends the list.
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, ' OR 1=1, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [b"\xff\xfe"], "10.0.0.1"),
        ("10.0.0.1", ["1" * 100_000], "10.0.0.1"),
        (None, ["198.51.100.1"], None),
        ("unix", ["198.51.100.1"], "unix"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_trusted_proxy(
    peer: str | None, forwarded: list[str | bytes], client: str | None
) -> None:
    request = scope(peer, *forwarded)
    assert TrustedProxies(TRUSTED).find_client(request) == client
    assert client_address.find(request) == client


def test_without_trusted_proxies_the_client_is_the_connection() -> None:
    request = scope("127.0.0.1", "198.51.100.1")
    assert TrustedProxies().find_client(request) == "127.0.0.1"
    assert client_address.find(request) == "127.0.0.1"


@pytest.mark.parametrize(
    "name",
    b"x-forwarded-for forwarded x-real-ip x-forwarded-host x-forwarded-proto x-client-ip via".split(),
    ids=str,
)
@pytest.mark.parametrize("value", ["127.0.0.1", "", "junk"])
def test_a_forwarded_request_comes_from_no_machine_of_ours(name: bytes, value: str) -> None:
    request = scope("127.0.0.1", value, name=name)
    TrustedProxies(TRUSTED).find_client(request)
    assert client_address.own(request) is None
    assert client_address.own(scope("127.0.0.1")) == "127.0.0.1"


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_a_trusted_proxy_without_a_header_is_no_user_of_this_machine(peer: str) -> None:
    request = scope(peer)
    TrustedProxies("127.0.0.1, ::1").find_client(request)
    assert client_address.own(request) is None
    assert client_address.find(request) == peer
    request = scope(peer)
    TrustedProxies("10.0.0.1").find_client(request)
    assert client_address.own(request) == peer


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=40), max_size=40))
def test_any_header_gives_an_address(entries: list[str]) -> None:
    found = TrustedProxies(TRUSTED).find_client(scope("10.0.0.1", ",".join(entries)))
    assert str(ipaddress.ip_address(found or "")) == found


def test_a_long_header_is_read_from_its_end() -> None:
    header = f"{'1.1.1.1,' * MAX_CHARACTERS}198.51.100.1"
    assert TrustedProxies(TRUSTED).find_client(scope("10.0.0.1", header)) == "198.51.100.1"
    # However many trusted proxies are named, few are looked at.
    assert TrustedProxies(TRUSTED).find_client(scope("10.0.0.1", "10.0.0.2," * 10_000)) == "10.0.0.1"


@pytest.mark.parametrize("value", ["nowhere", "10.0.0.1/8", "10.0.0.0/40", "10.0.0.0/8;"])
def test_the_setting_takes_addresses_and_networks_only(value: str) -> None:
    with pytest.raises(ValueError, match="give addresses and networks"):
        Settings(trusted_proxies=value)
