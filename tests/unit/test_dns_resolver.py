"""Name lookups: one tenant's slow names hold up nobody else's, nor the loop's own threads."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from release_catalog.domain.caller import Owner
from release_catalog.files import address_guard, dns_resolver
from release_catalog.files.address_guard import Allowed, Unreachable
from release_catalog.files.dns_resolver import Resolver
from support.waiting import eventually

A, B = Owner("a"), Owner("b")
FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 443))]


class Names:
    """The system's resolver: names of slow.example take until they are let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = threading.Event()

    def getaddrinfo(self, host: str, port: int, *about: Any, flags: int = 0, **more: Any) -> Any:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        self.asked.append(host)
        if host.endswith("slow.example"):
            self.go.wait(60)
        if host == "absent.example":
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return FOUND


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    yield names
    names.go.set()


async def test_slow_names_of_one_tenant_leave_threads_to_another_and_to_the_loop(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_resolver, "SECONDS", 5.0)
    lookups = Resolver()
    slow = [asyncio.create_task(lookups.addresses(A, f"{number}.slow.example", 443)) for number in range(100)]
    while lookups._slots.waiting < 100 - dns_resolver.PER_TENANT:  # noqa: ASYNC110  nothing tells when all have begun
        await asyncio.sleep(0)
    monkeypatch.setattr(dns_resolver, "SECONDS", 30)
    assert await lookups.addresses(B, "files.example", 443) == FOUND
    assert await asyncio.wait_for(asyncio.to_thread(int), 30) == 0
    results = await asyncio.gather(*slow, return_exceptions=True)
    assert all(isinstance(result, TimeoutError) for result in results)
    assert len([name for name in names.asked if name.endswith("slow.example")]) == dns_resolver.PER_TENANT
    # Their threads run on, and count as long as they do.
    monkeypatch.setattr(dns_resolver, "SECONDS", 0.5)
    with pytest.raises(TimeoutError):
        await lookups.addresses(A, "files.example", 443)
    monkeypatch.setattr(dns_resolver, "SECONDS", 30)
    assert await lookups.addresses(B, "files.example", 443) == FOUND
    names.go.set()
    assert await lookups.addresses(A, "files.example", 443) == FOUND
    async with asyncio.timeout(30):
        while lookups._slots.used:  # noqa: ASYNC110  the threads end one after the other
            await asyncio.sleep(0.01)
    assert lookups._slots.waiting == 0


async def test_a_failed_lookup_has_a_message(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    lookups = Resolver()
    with pytest.raises(Unreachable, match=r"absent\.example has no address"):
        await address_guard.connect(Allowed(), lookups, A, "absent.example", 443)
    monkeypatch.setattr(dns_resolver, "SECONDS", 0.1)
    with pytest.raises(Unreachable, match=r"lookup of slow\.example timed out"):
        await address_guard.connect(Allowed(), lookups, A, "slow.example", 443)


async def test_a_caller_that_goes_leaves_its_lookup_to_end_by_itself(names: Names) -> None:
    lookups = Resolver()
    slow = asyncio.create_task(lookups.addresses(A, "slow.example", 443))
    await eventually(lambda: names.asked)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert lookups._slots.used == 1
    names.go.set()
    await eventually(lambda: not lookups._slots.used)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f.1", "::1"])
async def test_an_address_takes_no_thread(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", None)
    assert (await Resolver().addresses(A, host, 443))[0][4][0] in {"127.0.0.1", "::1"}
