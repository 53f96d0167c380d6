"""Slots that owners share: limits, turns, bounded waiting."""

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from release_catalog import fair_share
from release_catalog.domain.caller import Owner
from release_catalog.fair_share import Busy, FairSlots, client_network

A, A2, B = Owner("a", "one"), Owner("a", "two"), Owner("b", "one")


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_owner_floods_the_queue_and_another_waits_for_one_turn_only() -> None:
    slots, served = FairSlots(1), []

    async def work(owner: Owner) -> None:
        async with slots.slot(owner):
            await asyncio.sleep(0)
            served.append(owner)

    flood = [asyncio.create_task(work(A)) for _ in range(50)]
    await asyncio.sleep(0)
    late = asyncio.create_task(work(B))
    await asyncio.gather(*flood, late)
    assert served.index(B) <= 3
    assert slots.used == slots.waiting == 0


async def test_callers_of_one_tenant_take_turns_and_do_not_outnumber_another_tenant() -> None:
    slots, served = FairSlots(1), []

    async def work(owner: Owner) -> None:
        async with slots.slot(owner):
            await asyncio.sleep(0)
            served.append(owner)

    tasks = [asyncio.create_task(work(owner)) for owner in [A] * 10 + [A2] * 10 + [B] * 10]
    await asyncio.gather(*tasks)
    half = served[:20]
    assert half.count(B) in range(8, 11)
    assert served[:30].count(A) == served[:30].count(A2) == 10


async def test_shares_of_a_tenant_and_a_caller_leave_room_for_others() -> None:
    slots = FairSlots(4, per_tenant=3, per_caller=2)
    with slots.slot_now(A), slots.slot_now(A):
        with pytest.raises(Busy) as busy, slots.slot_now(A):
            pass
        assert busy.value.own
        with slots.slot_now(A2):
            with pytest.raises(Busy), slots.slot_now(Owner("a", "three")):
                pass
            with slots.slot_now(B):
                assert slots.free == 0
                with pytest.raises(Busy) as busy, slots.slot_now(Owner("c")):
                    pass
                assert not busy.value.own
    assert slots.free == 4


async def test_waiting_is_bounded_in_number_and_time() -> None:
    slots = FairSlots(1, max_waiting=3, max_waiting_per_caller=2)
    async with slots.slot(A):

        async def wait(owner: Owner, seconds: float | None = None) -> None:
            async with slots.slot(owner, max_seconds=seconds):
                pass

        waiting = [asyncio.create_task(wait(A)) for _ in range(2)]
        await settle()
        with pytest.raises(Busy) as busy:
            await wait(A)
        assert busy.value.own
        waiting.append(asyncio.create_task(wait(B)))
        await settle()
        with pytest.raises(Busy) as busy:
            await wait(Owner("c"))
        assert not busy.value.own
        waiting.pop().cancel()
        await settle()
        with pytest.raises(Busy):
            await wait(B, 0.01)
        assert slots.waiting == 2
    await asyncio.gather(*waiting)
    assert slots.used == slots.waiting == 0


async def test_a_waiter_over_its_share_does_not_block_those_behind_it() -> None:
    slots = FairSlots(2, per_caller=1)
    async with slots.slot(A):

        async def wait(owner: Owner) -> None:
            async with slots.slot(owner):
                pass

        own = asyncio.create_task(wait(A))
        await settle()
        await asyncio.wait_for(wait(B), 60)
        assert not own.done()
    await own


async def test_a_crowd_over_its_share_keeps_nobody_out() -> None:
    slots = FairSlots(2, per_tenant=1, max_waiting=3)
    async with slots.slot(A):

        async def wait(owner: Owner) -> None:
            async with slots.slot(owner):
                pass

        crowd = [asyncio.create_task(wait(A)) for _ in range(3)]
        await settle()
        assert slots.waiting == 3
        await asyncio.wait_for(wait(B), 60)
    await asyncio.gather(*crowd)
    assert slots.used == slots.waiting == 0


async def test_tenants_that_leave_as_much_free_as_they_hold_never_take_it_all() -> None:
    slots = FairSlots(32, leave_free=True)
    with contextlib.ExitStack() as held:
        shares = []
        for tenant in "abcde":
            while slots.fits(Owner(tenant)):
                held.enter_context(slots.slot_now(Owner(tenant)))
            shares.append(slots.held_by(Owner(tenant)))
        assert shares == [16, 8, 4, 2, 1]
        assert slots.full_tenants() == list("abcde")
        with slots.slot_now(Owner("f")):
            assert slots.free == 0
    assert slots.full_tenants() == []
    assert slots.free == 32


async def test_a_share_that_grows_lets_waiters_in() -> None:
    slots, served = FairSlots(4, leave_free=True), asyncio.Event()

    async def wait() -> None:
        async with slots.slot(A):
            served.set()

    with contextlib.ExitStack() as held:
        for owner in (B, B, A):
            held.enter_context(slots.slot_now(owner))
        waiting = asyncio.create_task(wait())
        await settle()
        assert not served.is_set()
        held.close()
        await asyncio.wait_for(waiting, 60)
    assert slots.used == 0


async def test_work_that_cant_be_stopped_keeps_its_slot_when_its_caller_goes() -> None:
    slots, go = FairSlots(1), asyncio.Event()

    async def work() -> int:
        await go.wait()
        return 1

    async def fail() -> None:
        raise ValueError("no")

    gone, late = (asyncio.create_task(slots.run_to_end(owner, work)) for owner in (A, B))
    await settle()
    gone.cancel()
    await settle()
    assert gone.cancelled()
    assert (slots.used, slots.waiting) == (1, 1)
    never = asyncio.create_task(slots.run_to_end(A2, work))
    await settle()
    never.cancel()
    go.set()
    assert await asyncio.wait_for(late, 60) == 1
    with pytest.raises(ValueError, match="no"):
        await slots.run_to_end(A, fail)
    assert slots.used == slots.waiting == 0


async def test_a_turn_costs_the_same_however_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    slots, looks = FairSlots(4, per_tenant=2, per_caller=1, max_waiting=10_000), 0
    fits = slots._fits_tenant

    def counted(tenant: str) -> bool:
        nonlocal looks
        looks += 1
        return fits(tenant)

    monkeypatch.setattr(slots, "_fits_tenant", counted)

    async def work(owner: Owner) -> None:
        async with slots.slot(owner):
            await asyncio.sleep(0)

    owners = [Owner(f"tenant {number % 3}", f"caller {number}") for number in range(3_000)]
    await asyncio.gather(*(work(owner) for owner in owners))
    assert looks < 20 * len(owners)


async def test_a_turn_that_comes_when_its_waiter_has_just_been_cancelled_goes_to_the_next() -> None:
    slots = FairSlots(1)

    async def wait(owner: Owner) -> None:
        async with slots.slot(owner):
            pass

    async with slots.slot(A):
        gone, late = asyncio.create_task(wait(A)), asyncio.create_task(wait(B))
        await settle()
        # The slot is given back before the waiter hears of it.
        gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await asyncio.wait_for(late, 60)
    assert slots.used == slots.waiting == 0
    assert slots._queues == {}


OWNERS = [Owner(tenant, caller) for tenant in "ab" for caller in "xy"]
# Those after which nothing settles happen in one turn of the loop.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "leave", "cancel"]), st.integers(0, 9), st.sampled_from(OWNERS), st.booleans()
    )
)


@given(STEPS, st.booleans())
@example([("enter", 0, A, True), ("enter", 0, A, True), ("leave", 0, A, False), ("cancel", 1, A, False)], True)
def test_any_order_of_steps_keeps_the_limits_and_loses_no_slot(
    steps: list[tuple[str, int, Owner, bool]], leave_free: bool
) -> None:
    async def run() -> None:
        slots = FairSlots(3, per_tenant=2, per_caller=1, leave_free=leave_free)
        held: dict[Owner, int] = {}
        tasks: list[tuple[asyncio.Task[Any], asyncio.Event]] = []

        async def work(owner: Owner, leave: asyncio.Event) -> None:
            async with slots.slot(owner):
                held[owner] = held.get(owner, 0) + 1
                try:
                    await leave.wait()
                finally:
                    held[owner] -= 1

        for step, number, owner, settles in steps:
            if step == "enter":
                leave = asyncio.Event()
                tasks.append((asyncio.create_task(work(owner, leave)), leave))
            elif tasks and step == "leave":
                tasks[number % len(tasks)][1].set()
            elif tasks:
                tasks[number % len(tasks)][0].cancel()
            if not settles:
                continue
            await settle()
            assert sum(held.values()) == slots.used <= 3
            assert all(count <= 1 for count in held.values())
            assert not any(slots.fits(waiting) for callers in slots._queues.values() for waiting in callers)
            assert all(sum(c for o, c in held.items() if o.tenant == tenant) <= 2 for tenant in "ab")
        for _, leave in tasks:
            leave.set()
        for task, _ in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert slots.used == slots.waiting == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_an_address_stands_for_its_network(address: str | None, network: str) -> None:
    assert client_network(address) == network


async def test_a_long_turn_makes_room_for_the_next_owner() -> None:
    slots = FairSlots(1)
    async with slots.turn(A, 0.01):
        assert slots.used == 1
        async with slots.turn(B, 30):
            assert slots.used == 1
        async with slots.turn(B, 30, max_seconds=30):
            pass
    assert slots.used == slots.waiting == 0
    async with slots.turn(A, 30):
        assert slots.held_by(A) == slots.held_by_tenant(A.tenant) == 1
        with pytest.raises(Busy):
            async with slots.turn(B, 30, max_seconds=0.01):
                pass
    assert slots.used == slots.waiting == 0


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def waiter(slots: FairSlots, owner: Owner) -> asyncio.Task[None]:
    """A waiter for a slot, which it gives back at once."""

    async def wait() -> None:
        async with slots.slot(owner):
            pass

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    return task


async def test_a_queue_absorbs_a_burst_and_stays_short_under_a_lasting_overload() -> None:
    clock = Clock()
    slots = FairSlots(1, max_delay=0.25, clock=clock)
    async with slots.slot(A):
        burst = [await waiter(slots, A) for _ in range(20)]
        assert slots.waiting == 20, "a burst waits"
        clock.now += fair_share.BURST_SECONDS + 0.01
        # Nobody got a slot for too long: an owner with a waiter gets no second one, but another does.
        refused = await waiter(slots, A)
        with pytest.raises(Busy) as busy:
            await refused
        assert not busy.value.own
        other = await waiter(slots, B)
        assert slots.waiting == 21
    await asyncio.gather(*burst, other)
    assert slots.used == slots.waiting == 0
    async with slots.slot(A):
        assert not (await waiter(slots, A)).done(), "the next burst waits again"


async def test_waiters_go_on_coming_while_each_waits_for_a_short_time() -> None:
    clock = Clock()
    slots = FairSlots(1, max_delay=0.25, clock=clock)
    held = await slots.take_turn(A, 60)
    for _ in range(100):
        tasks = [await waiter(slots, A) for _ in range(2)]
        clock.now += 0.2
        held.end()
        held = await slots.take_turn(A, 60)
        assert not [task for task in tasks if task.done() and task.exception()]
    held.end()


async def test_after_a_burst_a_waiter_gives_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_share, "MAX_WAIT_SECONDS", 0.01)
    clock = Clock()
    slots = FairSlots(1, max_delay=0.25, clock=clock)
    async with slots.slot(A):
        first = await waiter(slots, A)
        clock.now += fair_share.BURST_SECONDS + 0.01
        with pytest.raises(Busy):
            await (await waiter(slots, B))
        assert not first.done()
    await first


async def test_work_that_begins_to_wait_for_another_server_ends_its_turn() -> None:
    slots = FairSlots(1)
    turn = await slots.take_turn(A, 60)
    fair_share.end_turn()
    assert slots.used == 1, "it has no turn"
    before = fair_share.current_turn.set(turn.end)
    try:
        for _ in range(2):
            fair_share.end_turn()
            assert slots.used == 0
        turn.end()
        assert slots.used == 0
    finally:
        fair_share.current_turn.reset(before)
