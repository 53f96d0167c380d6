"""The memory of failed attempts, and the delay of the next one."""

from release_catalog.auth import failed_attempts
from release_catalog.auth.failed_attempts import Failures


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
    assert failed.delay("a") == failed_attempts.MAX_SECONDS
    assert failed.many("a")
    assert (failed.many("b"), failed.delay("b")) == (False, 0)
    clock.now += failed_attempts.MAX_SECONDS
    assert failed.delay("a") == 0
    clock.now += failed_attempts.FORGET_SECONDS
    assert not failed.many("a")
    failed.add("a")
    assert not failed.many("a")
    failed.forget("a")
    assert len(failed) == 0


def test_the_oldest_failures_are_forgotten_where_there_are_too_many() -> None:
    failed = Failures(Clock())
    for _ in range(3):
        failed.add("kept")
    for number in range(2 * failed_attempts.MAX_KEYS):
        failed.add(number)
        if number % 1_000 == 0:
            failed.add("kept")
    assert len(failed) == failed_attempts.MAX_KEYS
    assert failed.many("kept")
    assert not failed.many(0)
