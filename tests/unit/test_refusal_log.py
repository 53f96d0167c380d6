"""The log of refused connections: a flood makes few lines, and none is forgotten."""

import structlog.testing

from release_catalog.server.refusal_log import RefusalLog


def test_a_flood_makes_a_line_a_second_for_each_reason() -> None:
    now = 0.0
    log = RefusalLog(lambda: now)
    with structlog.testing.capture_logs() as entries:
        for number in range(5_000):
            now = number / 1_000
            log.note("slow request", f"198.51.100.{number % 100}")
        log.note("slow reader", None)
        now = 100.0
        log.note("slow request", "203.0.113.1")
    told = [(entry["reason"], entry["client"], entry["count"]) for entry in entries]
    assert told == [
        ("slow request", "198.51.100.0", 1),
        *(("slow request", "198.51.100.0", 1_000) for _ in range(4)),
        ("slow reader", None, 1),
        ("slow request", "203.0.113.1", 1_000),
    ]
    assert log.counts == {"slow request": 5_001, "slow reader": 1}
