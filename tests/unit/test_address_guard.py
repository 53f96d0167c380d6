"""The permitted addresses, and those that an operator can add."""

import ipaddress

import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from release_catalog import settings
from release_catalog.files import address_guard, http_client

FORBIDDEN = [
    ipaddress.ip_network(text)
    for text in """
        0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
        192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
        ::/96 ::1/128 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/32 2001:db8::/32 2002::/16 3fff::/20 5f00::/16
        fc00::/7 fe80::/10 fec0::/10 ff00::/8
    """.split()
]
V4 = [network for network in FORBIDDEN if network.version == 4]
NOTHING = address_guard.Allowed()


def inside(networks: list[address_guard.Network]) -> st.SearchStrategy[address_guard.Address]:
    return st.sampled_from(networks).flatmap(
        lambda network: st.integers(0, network.num_addresses - 1).map(lambda offset: network[offset])
    )


@given(inside(FORBIDDEN))
def test_no_forbidden_address_is_public(address: address_guard.Address) -> None:
    assert not address_guard.public(address)
    assert not NOTHING.permits("files.example", address, 443)


@given(inside(V4))  # type: ignore[arg-type]  # a list of one of both
@example(ipaddress.ip_address("169.254.169.254"))
@example(ipaddress.ip_address("127.0.0.1"))
def test_no_form_carries_a_forbidden_address(address: address_guard.Address) -> None:
    number = int(address)
    forms = [number, 0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x64FF9B0001 << 80 | number]
    forms += [0x2002 << 112 | number << 80 | 1, 0x20010000 << 96 | number ^ 0xFFFFFFFF]
    for form in forms:
        assert not address_guard.public(ipaddress.IPv6Address(form))


@pytest.mark.parametrize(
    "text",
    "1.1.1.1 93.184.215.14 185.199.108.133 2606:4700::1111 2a00:1450:4001:81b::200e ::ffff:1.1.1.1".split(),
)
def test_hosts_of_the_internet_are_public(text: str) -> None:
    assert address_guard.public(ipaddress.ip_address(text))


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
PORTS = st.integers(1, 65535)


@given(st.lists(st.tuples(ADDRESSES, st.none() | PORTS), min_size=1, max_size=5))
def test_listed_destinations_are_permitted(entries: list[tuple[address_guard.Address, int | None]]) -> None:
    def written(address: address_guard.Address, port: int | None) -> str:
        host = f"[{address}]" if address.version == 6 and port else str(address)
        return f"{host}:{port}" if port else host

    allowed = address_guard.parse(" , ".join(written(*entry) for entry in entries))
    for address, port in entries:
        assert allowed.permits("any.example", address, port or 1234)


@given(inside(FORBIDDEN), PORTS, PORTS)
def test_an_address_with_a_port_permits_no_other_port(
    address: address_guard.Address, listed: int, port: int
) -> None:
    host = f"[{address}]" if address.version == 6 else address
    permitted = address_guard.parse(f"{host}:{listed}").permits("any.example", address, port)
    assert permitted is (listed == port)


@given(inside(FORBIDDEN))
def test_a_name_with_a_port_permits_that_name_alone(address: address_guard.Address) -> None:
    allowed = address_guard.parse("Files.example.:8080,")
    assert allowed.permits("files.EXAMPLE", address, 8080)
    assert not allowed.permits("files.example", address, 80)
    assert not allowed.permits("other.example", address, 8080)


def test_a_network_permits_its_addresses() -> None:
    allowed = address_guard.parse("10.1.0.0/16, fd00::/8")
    for text, permitted in {
        "10.1.255.1": True,
        "::ffff:10.1.2.3": True,
        "10.2.0.1": False,
        "fd12::1": True,
    }.items():
        assert allowed.permits("any.example", ipaddress.ip_address(text), 80) is permitted


@pytest.mark.parametrize(
    "entry",
    ["files.example", "10.0.0.1/8", "10.0.0.0/33", "files.example:0", "files.example:65536", "files.example:http",
     "[files.example]:80", ":80", "a b:80", "http://files.example:80", "fd00::1:80000", "[fd00::1", "*.example:80"],
)  # fmt: skip
def test_an_invalid_entry_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="is invalid: give an address") as caught:
        address_guard.parse(f"10.0.0.0/8, {entry}")
    assert repr(entry) in str(caught.value)
    with pytest.raises(pydantic.ValidationError, match="is invalid: give"):
        settings.Settings(files_allow=entry)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/passwd", "another scheme than http or https"),
        ("ftp://files.example/a", "another scheme than http or https"),
        ("//files.example/a", "another scheme than http or https"),
        ("http:///a", "has no host"),
        ("http://user@files.example/a", "user name or password"),
        ("https://user:secret@files.example/a", "user name or password"),
        ("http://@files.example/a", "user name or password"),
        ("http://files.example:99999/a", "is invalid: correct"),
        ("http://[::1/a", "is invalid: correct"),
        ("http://a..b/", "is invalid: correct"),
        ("http://files.example/\ud800", "is invalid: correct"),
    ],
)
def test_urls_that_are_not_fetched(url: str, said: str) -> None:
    with pytest.raises(address_guard.Unreachable, match=said) as caught:
        http_client.target(url)
    assert "secret" not in str(caught.value)


def test_urls_are_sent_as_http_has_them() -> None:
    goal = http_client.target("HTTPS://Bücher.example:8443/ä b?q=%20é#part")
    assert (goal.scheme, goal.host, goal.port) == ("https", "xn--bcher-kva.example", 8443)
    assert goal.path == "/%C3%A4%20b?q=%20%C3%A9"
    assert goal.authority == "xn--bcher-kva.example:8443"
    assert http_client.target("http://[::1]").authority == "[::1]"


@pytest.mark.parametrize(
    "url", ["https://" + "\u0301" * 90_000, "https://" + "a" * 20_000, "https://" + "\u0301" * 1_000 + "/"]
)
def test_a_url_is_measured_before_its_host_is_encoded(url: str) -> None:
    with pytest.raises(address_guard.Unreachable, match=r"has (at most|more than|\d+) "):
        http_client.target(url)
