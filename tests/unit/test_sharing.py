"""Look-ups of concurrent requests go together, and nothing of one request touches another."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import pytest

from release_catalog.plans.sharing import MAX_KEYS, Shared


class Store:
    """Answers each key with itself; fails for some."""

    def __init__(self, *bad: str) -> None:
        self.bad = set(bad)
        self.reads: list[set[str]] = []

    async def read(self, keys: Collection[str]) -> Mapping[str, Any]:
        self.reads.append(set(keys))
        await asyncio.sleep(0.001)
        if self.bad & set(keys):
            raise ValueError(self.bad)
        return {key: key for key in keys}


async def test_what_is_asked_for_during_a_read_goes_in_the_next_together() -> None:
    store, shared = Store(), Shared()
    found = await asyncio.gather(*(shared.look_up("kind", [str(n)], store.read) for n in range(20)))
    assert [one[str(n)] for n, one in enumerate(found)] == [str(n) for n in range(20)]
    assert [len(read) for read in store.reads] == [1, 19]
    assert not shared._lines


async def test_kinds_never_go_together_and_large_look_ups_go_alone() -> None:
    store, shared = Store(), Shared()
    many = [str(n) for n in range(MAX_KEYS + 1)]
    await asyncio.gather(
        *(shared.look_up(("tenant", kind), ["a"], store.read) for kind in "xyz"),
        shared.look_up(("tenant", "x"), many, store.read),
    )
    assert sorted(map(len, store.reads)) == [1, 1, 1, MAX_KEYS + 1]


async def test_nobody_fails_for_what_another_asked() -> None:
    store, shared = Store("bad"), Shared()
    asked = [shared.look_up("kind", [key], store.read) for key in ("first", "good", "bad", "fine")]
    first, good, bad, fine = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(bad, ValueError)
    assert [found["good"] for found in (good,) if isinstance(found, Mapping)] == ["good"]
    assert not isinstance(first, BaseException)
    assert not isinstance(fine, BaseException)


@pytest.mark.parametrize("gone", [0, 1, 2])
async def test_who_gives_up_takes_nothing_from_the_others(gone: int) -> None:
    store, shared = Store(), Shared()
    tasks = [asyncio.ensure_future(shared.look_up("kind", [str(n)], store.read)) for n in range(3)]
    await asyncio.sleep(0)
    tasks[gone].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[gone], asyncio.CancelledError)
    assert [isinstance(one, Mapping) for n, one in enumerate(found) if n != gone] == [True, True]


async def test_nobody_waits_long_for_a_read_that_hangs() -> None:
    shared, hangs = Shared(), asyncio.Event()

    async def hang(_: Collection[str]) -> Mapping[str, Any]:
        await hangs.wait()
        return {}

    stuck = asyncio.ensure_future(shared.look_up("kind", ["a"], hang))
    await asyncio.sleep(0)
    assert await asyncio.wait_for(shared.look_up("kind", ["b"], Store().read), 5) == {"b": "b"}
    hangs.set()
    await stuck
