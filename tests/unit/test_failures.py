"""What is remembered of bad credentials, and how long their senders are kept waiting."""

from hypothesis import given
from hypothesis import strategies as st

from release_catalog.access import failures
from release_catalog.access.failures import Failures, Pace


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_the_delay_grows_with_failures_and_ends() -> None:
    clock = Clock()
    failed = Failures(clock)
    delays = []
    for _ in range(8):
        delays.append(failed.delay("a"))
        clock.now += delays[-1]
        failed.add("a")
    assert delays == [0, 0, 0, 0.25, 0.5, 1, 2, 4]
    for _ in range(50):
        failed.add("a")
    assert failed.delay("a") == failures.MAX_SECONDS
    assert failed.many("a")
    assert (failed.many("b"), failed.delay("b")) == (False, 0)
    clock.now += failures.MAX_SECONDS
    assert failed.delay("a") == 0
    clock.now += failures.FORGET_SECONDS
    assert not failed.many("a")
    failed.add("a")
    assert not failed.many("a")
    failed.forget("a")
    assert len(failed) == 0


def test_the_oldest_failures_are_forgotten_where_there_are_too_many() -> None:
    failed = Failures(Clock())
    for _ in range(3):
        failed.add("kept")
    for number in range(2 * failures.MAX_KEYS):
        failed.add(number)
        if number % 1_000 == 0:
            failed.add("kept")
    assert len(failed) == failures.MAX_KEYS
    assert failed.many("kept")
    assert not failed.many(0)


def test_answers_to_bad_credentials_come_at_a_pace_for_each_network() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert sum(pace.pause("a") for _ in range(failures.BURST)) == 0
    waits = [pace.pause("a") for _ in range(1_000)]
    assert waits[0] > 0
    assert waits == sorted(waits)
    assert waits[-1] == failures.MAX_PACE_SECONDS
    assert pace.pause("b") == 0
    clock.now += failures.MAX_PACE_SECONDS + 10
    assert pace.pause("a") == 0
    for number in range(2 * failures.MAX_KEYS):
        pace.pause(str(number))
    assert len(pace._due) == failures.MAX_KEYS


@given(st.lists(st.floats(0, 3), max_size=200))
def test_no_client_is_kept_waiting_longer_than_the_most(gaps: list[float]) -> None:
    clock = Clock()
    pace = Pace(clock)
    for gap in gaps:
        clock.now += gap
        assert 0 <= pace.pause("a") <= failures.MAX_PACE_SECONDS
