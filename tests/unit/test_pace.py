"""The pace of refusals."""

from hypothesis import given
from hypothesis import strategies as st

from release_catalog import pace


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_refusals_of_one_sender_come_at_a_pace() -> None:
    clock = Clock()
    refusals = pace.refusal_pace(clock)
    assert sum(refusals.pause("a") for _ in range(pace.REFUSAL_BURST)) == 0
    waits = [refusals.pause("a") for _ in range(1_000)]
    assert waits[0] > 0
    assert waits == sorted(waits)
    assert waits[-1] == pace.MAX_HOLD_SECONDS
    assert refusals.pause("b") == 0
    clock.now += 60
    assert refusals.pause("a") == 0
    for number in range(2 * pace._MAX_SENDERS):
        refusals.pause(number)
    assert len(refusals._due) == pace._MAX_SENDERS


@given(st.lists(st.floats(0, 3), max_size=200))
def test_no_refusal_is_held_back_for_longer_than_the_most(gaps: list[float]) -> None:
    clock = Clock()
    refusals = pace.refusal_pace(clock)
    for gap in gaps:
        clock.now += gap
        assert 0 <= refusals.pause("a") <= pace.MAX_HOLD_SECONDS
