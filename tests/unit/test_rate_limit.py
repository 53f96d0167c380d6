"""The requests and points of a caller, and the turns of those who crowd others."""

import asyncio
import contextlib
from random import Random

import pytest

from release_catalog import fair_share
from release_catalog.domain.caller import SCOPES, Caller
from release_catalog.graphql_api.request_errors import RequestError
from release_catalog.request_limits import Limits
from release_catalog.server import rate_limit as callers_
from release_catalog.server.rate_limit import HOUR, RateLimiter

WHO, OTHER = Caller("acme", "ci", SCOPES), Caller("other", "ci", SCOPES)


def test_rate_limit_bounds_the_concurrent_requests_of_a_caller() -> None:
    callers = RateLimiter(Limits(max_concurrency=2))
    with callers.concurrency_slot(WHO), callers.concurrency_slot(WHO):
        with pytest.raises(RequestError, match="limit concurrency") as refusal, callers.concurrency_slot(WHO):
            pass
        assert (refusal.value.status, refusal.value.headers) == (429, {"Retry-After": "1"})
        with callers.concurrency_slot(OTHER):
            pass
    with callers.concurrency_slot(WHO):
        pass


def test_tenants_and_callers_have_shares_of_all_requests() -> None:
    callers = RateLimiter(Limits(max_concurrency=2, max_concurrency_per_tenant=3, max_concurrency_total=4))
    other = Caller("acme", "other", SCOPES)
    with contextlib.ExitStack() as stack:
        for who in (WHO, WHO, other):
            stack.enter_context(callers.concurrency_slot(who))
        for who in (WHO, other, Caller("acme", "third", SCOPES)):
            with pytest.raises(RequestError) as refusal, callers.concurrency_slot(who):
                pass
            assert (refusal.value.status, refusal.value.headers) == (429, {"Retry-After": "1"})
            assert refusal.value.extensions == {"code": "RATE_LIMITED", "limit": "concurrency", "allowed": 2}
        with callers.concurrency_slot(OTHER):
            with pytest.raises(RequestError) as refusal, callers.concurrency_slot(Caller("third", "ci", SCOPES)):
                pass
            assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "1"})
            assert refusal.value.extensions == {"code": "UNAVAILABLE", "retryAfter": 1, "outcome": "UNCHANGED"}
    with callers.concurrency_slot(WHO):
        pass


class Requests:
    """Requests under way, each of which ends when its event is set."""

    def __init__(self, callers: RateLimiter) -> None:
        self.callers = callers
        self.begun: list[Caller] = []
        self.go_on = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self, who: Caller, count: int, points: int = 100) -> int:
        """Begin `count` requests; how many of all are executed then."""

        async def one() -> None:
            with self.callers.concurrency_slot(who):
                await asyncio.sleep(0)  # the others come meanwhile
                async with self.callers.turn(who, points):
                    self.begun.append(who)
                    await self.go_on.wait()

        self.tasks += [asyncio.create_task(one()) for _ in range(count)]
        for _ in range(10):
            await asyncio.sleep(0)
        return len(self.begun)

    async def end(self) -> None:
        self.go_on.set()
        await asyncio.gather(*self.tasks)


@pytest.mark.parametrize(("points", "at_once"), [(100, callers_.LARGE_AT_ONCE), (1, callers_.SMALL_AT_ONCE)])
async def test_a_crowding_caller_waits_for_turns(
    points: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers_, "TURN_SECONDS", 1_000)
    requests = Requests(RateLimiter(Limits()))
    assert await requests.begin(OTHER, 1) == 1
    assert await requests.begin(WHO, 50, points) == 1 + at_once
    # The other one does not wait, and one of the same tenant has turns of its own.
    assert await requests.begin(OTHER, 2) == 3 + at_once
    await requests.end()
    assert len(requests.begun) == 53


async def test_among_equals_and_alone_nobody_waits_for_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers_, "QUERIES_AT_ONCE", 200)
    requests = Requests(RateLimiter(Limits()))
    assert await requests.begin(WHO, 50) == 50
    same = Caller("acme", "same", SCOPES)
    assert await requests.begin(same, 50) == 100
    assert await requests.begin(OTHER, 60) == 160
    await requests.end()


async def test_under_a_lasting_overload_requests_are_refused_and_keep_their_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fair_share, "BURST_SECONDS", -1)
    monkeypatch.setattr(callers_, "MAX_DELAY_SECONDS", -1)
    monkeypatch.setattr(callers_, "QUERIES_AT_ONCE", 5)
    callers = RateLimiter(Limits(cost_per_hour=1_000))
    requests = Requests(callers)
    assert await requests.begin(WHO, 6, 10) == 5
    callers.consume(WHO, 10)
    with pytest.raises(RequestError) as refusal:
        async with callers.turn(WHO, 10):
            pass
    assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "1"})
    assert callers.points_left(WHO)[:2] == (1_000, 1_000)  # type: ignore[index]
    async with callers.turn(WHO, 10, writes=True):
        pass  # mutations have turns of their own
    await requests.end()
    async with callers.turn(WHO, 10):
        pass


async def test_fewer_requests_are_executed_at_a_time_while_they_are_slow_and_others_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callers_, "QUERIES_AT_ONCE", 6)
    callers = RateLimiter(Limits())
    slots = callers._queries
    for _ in range(10):
        callers.note_execution(slots, 1)
    assert slots.capacity == 6, "nobody waits"
    requests = Requests(callers)
    assert await requests.begin(WHO, 20) == 6
    for _ in range(10):
        callers.note_execution(slots, 1)
    assert slots.capacity == callers_.FEWEST
    await requests.end()
    assert len(requests.begun) == 20
    assert slots.used == slots.waiting == 0
    assert slots.capacity == 6, "fast ones bring the others back"


async def test_the_capacity_recovers_though_all_requests_stay_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise one overload would leave a server with a distant database at its fewest for ever."""
    monkeypatch.setattr(callers_, "QUERIES_AT_ONCE", 6)
    callers = RateLimiter(Limits())
    slots = callers._queries
    requests = Requests(callers)
    await requests.begin(WHO, 20)
    for _ in range(10):
        callers.note_execution(slots, 1)
    assert slots.capacity == callers_.FEWEST
    monkeypatch.setattr(callers_, "SLOW_SECONDS", -1.0)
    await requests.end()
    assert slots.waiting == 0
    for _ in range(2):
        callers.note_execution(slots, 1)
    assert slots.capacity == 6


@pytest.mark.parametrize("seed", range(10))
def test_no_slot_is_lost_when_requests_fail_wait_elsewhere_or_are_cancelled(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens to requests, afterwards all slots are free, and nobody waits."""
    random = Random(seed)
    callers = RateLimiter(Limits(max_concurrency=30, max_concurrency_total=40, query_seconds=0.05))
    owners = [Caller(f"tenant{number % 3}", f"caller{number}", SCOPES) for number in range(5)]
    monkeypatch.setattr(callers_, "TURN_SECONDS", 0.002)
    monkeypatch.setattr(callers_, "QUERY_SECONDS", 0.004)

    async def request() -> None:
        who, points, steps = random.choice(owners), random.choice([1, 100]), random.randrange(4)
        with contextlib.suppress(RequestError, LookupError), callers.concurrency_slot(who):
            async with callers.turn(who, points, writes=random.random() < 0.5):
                for _ in range(steps):
                    await asyncio.sleep(random.choice([0, 0, 0.001, 0.006]))
                    if random.random() < 0.2:
                        fair_share.end_turn()
                if random.random() < 0.2:
                    raise LookupError

    async def main() -> None:
        tasks = []
        for _ in range(120):
            tasks.append(asyncio.create_task(request()))
            if random.random() < 0.3:
                random.choice(tasks).cancel()
            if random.random() < 0.2:
                await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    for slots in (callers._requests, callers._small, callers._large, callers._queries, callers._mutations):
        assert (slots.used, slots.waiting) == (0, 0)
        assert not any(slots.held_by(who.owner) or slots.held_by_tenant(who.tenant) for who in owners)
    assert callers._queries.capacity > 0
    assert callers._mutations.capacity > 0


async def test_tenants_crowd_each_other_by_all_their_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers_, "TURN_SECONDS", 1_000)
    requests = Requests(RateLimiter(Limits()))
    await requests.begin(OTHER, 1)
    # Each request before the last few was let go on while its tenant had little under way.
    for number in range(40):
        await requests.begin(Caller("acme", f"{number}", SCOPES), 1)
    begun = len([who for who in requests.begun if who.tenant == "acme"])
    assert callers_.LARGE_AT_ONCE <= begun <= 3 * callers_.LARGE_AT_ONCE
    assert await requests.begin(OTHER, 1) == begun + 2
    await requests.end()


async def test_slow_requests_do_not_delay_the_start_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers_, "TURN_SECONDS", 0.001)
    requests = Requests(RateLimiter(Limits()))
    await requests.begin(OTHER, 1)
    await requests.begin(WHO, 20)
    async with asyncio.timeout(30):
        while len(requests.begun) < 21:  # noqa: ASYNC110  each begins when the one before has had its turn
            await asyncio.sleep(0.001)
    await requests.end()


def test_rate_limit_bounds_the_points_of_a_caller_in_an_hour() -> None:
    now = 1_000.0
    callers = RateLimiter(Limits(cost_per_hour=100), lambda: now)
    callers.consume(WHO, 60)
    now += 600
    assert callers.headers(WHO) == {
        "x-ratelimit-limit": "100", "x-ratelimit-remaining": "40", "x-ratelimit-reset": "3000",
    }  # fmt: skip
    with pytest.raises(RequestError, match="only 40 of the 100 points an hour are left") as refusal:
        callers.consume(WHO, 41)
    assert refusal.value.headers == {"Retry-After": "3000"}
    callers.consume(OTHER, 100)
    callers.consume(WHO, 40)
    now += HOUR
    callers.consume(WHO, 100)
    now += 2 * HOUR
    callers.consume(WHO, 1)
    assert len(callers._used) == 1


def test_done_work_is_charged_beyond_the_remaining_points() -> None:
    now = 1_000.0
    callers = RateLimiter(Limits(cost_per_hour=100), lambda: now)
    callers.consume(WHO, 1)
    callers.settle(WHO, 250)
    callers.settle(WHO, -5)
    assert callers.headers(WHO)["x-ratelimit-remaining"] == "0"
    with pytest.raises(RequestError, match="only 0 of the 100 points an hour are left"):
        callers.consume(WHO, 1)
    now += HOUR
    callers.consume(WHO, 100)
    callers.settle(OTHER, 40)
    assert callers.headers(OTHER)["x-ratelimit-remaining"] == "60"
    callers = RateLimiter(Limits())
    callers.settle(WHO, 10)
    assert RateLimiter(Limits()).headers(WHO) == {}


def test_rate_limit_leaves_a_fifth_of_a_callers_requests_to_reads() -> None:
    callers = RateLimiter(Limits(max_concurrency=10))
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(callers.write_slot(WHO))
        with pytest.raises(RequestError, match="the maximum that the limit writes allows") as refusal:
            callers.write_slot(WHO)
        assert (refusal.value.status, refusal.value.headers) == (429, {"Retry-After": "1"})
        with callers.write_slot(OTHER):
            pass
    with callers.write_slot(WHO):
        pass
