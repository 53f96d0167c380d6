"""Look-ups of concurrent requests go together, and nothing of one request touches another."""

import asyncio
import contextvars
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from pymongo.errors import NetworkTimeout

from release_catalog.query_engine.dataloader import MAX_DELAY_SECONDS, MAX_KEYS, LookupCoalescer


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


async def test_lookups_of_a_busy_process_share_one_read() -> None:
    store, shared = Store(), LookupCoalescer()

    async def look_up(number: int) -> Mapping[str, Any]:
        for _ in range(number // 4):  # a few come in each turn of the event loop
            await asyncio.sleep(0)
        return await shared.look_up("kind", [str(number)], store.read)

    found = await asyncio.gather(*(look_up(number) for number in range(20)))
    assert [one[str(n)] for n, one in enumerate(found)] == [str(n) for n in range(20)]
    assert [len(read) for read in store.reads] == [20]
    assert not shared._waiting
    assert not shared._reads


async def test_a_process_that_is_always_busy_reads_all_the_same() -> None:
    store, shared = Store(), LookupCoalescer()
    tasks: list[asyncio.Future[Mapping[str, Any]]] = []
    async with asyncio.timeout(1_000 * MAX_DELAY_SECONDS):
        while len(store.reads) < 2:
            tasks.append(asyncio.ensure_future(shared.look_up("kind", [str(len(tasks))], store.read)))
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)


async def test_kinds_never_go_together_and_large_look_ups_go_alone() -> None:
    store, shared = Store(), LookupCoalescer()
    many = [str(n) for n in range(MAX_KEYS + 1)]
    await asyncio.gather(
        *(shared.look_up(("tenant", kind), ["a"], store.read) for kind in "xyz"),
        shared.look_up(("tenant", "x"), many, store.read),
    )
    assert sorted(map(len, store.reads)) == [1, 1, 1, MAX_KEYS + 1]


async def test_a_failing_lookup_fails_no_other() -> None:
    store, shared = Store("bad"), LookupCoalescer()
    asked = [shared.look_up("kind", [key], store.read) for key in ("first", "good", "bad", "fine")]
    first, good, bad, fine = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(bad, ValueError)
    assert [found["good"] for found in (good,) if isinstance(found, Mapping)] == ["good"]
    assert not isinstance(first, BaseException)
    assert not isinstance(fine, BaseException)


async def test_lookups_keep_their_own_deadlines() -> None:
    left, shared = contextvars.ContextVar("left", default=0), LookupCoalescer()

    async def read(keys: Collection[str]) -> Mapping[str, Any]:
        await asyncio.sleep(0)
        if not left.get():
            raise NetworkTimeout("too late")
        return {key: key for key in keys}

    async def look_up(key: str, seconds: int) -> Mapping[str, Any]:
        left.set(seconds)
        return await shared.look_up("kind", [key], read)

    asked = [look_up("late", 0), look_up("early", 9)]
    late, early = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(late, NetworkTimeout)
    assert early == {"early": "early"}


@pytest.mark.parametrize("turns", [1, 5], ids=["before the read", "during the read"])
@pytest.mark.parametrize("gone", [0, 1, 2])
async def test_a_cancelled_lookup_takes_nothing_from_the_others(gone: int, turns: int) -> None:
    store, shared = Store(), LookupCoalescer()
    tasks = [asyncio.ensure_future(shared.look_up("kind", [str(n)], store.read)) for n in range(3)]
    for _ in range(turns):
        await asyncio.sleep(0)
    assert bool(store.reads) == (turns > 1)
    tasks[gone].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[gone], asyncio.CancelledError)
    assert [isinstance(one, Mapping) for n, one in enumerate(found) if n != gone] == [True, True]


async def test_lookups_do_not_wait_for_a_hanging_read() -> None:
    shared, began, hangs = LookupCoalescer(), asyncio.Event(), asyncio.Event()

    async def hang(_: Collection[str]) -> Mapping[str, Any]:
        began.set()
        await hangs.wait()
        return {}

    stuck = asyncio.ensure_future(shared.look_up("kind", ["a"], hang))
    await began.wait()
    assert await asyncio.wait_for(shared.look_up("kind", ["b"], Store().read), 5) == {"b": "b"}
    hangs.set()
    await stuck
