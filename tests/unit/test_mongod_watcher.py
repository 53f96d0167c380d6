"""Restarts of the embedded mongod, their pauses, and warnings about its disk."""

import collections
import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from release_catalog.embedded_mongodb import data_folder
from release_catalog.embedded_mongodb import watcher as mongod_watcher
from release_catalog.embedded_mongodb.binary import Unavailable
from release_catalog.embedded_mongodb.watcher import Watcher
from support.processes import eventually

ENDED = "embedded MongoDB stopped"
Entries = list[Any]


class Process:
    """A mongod that runs or not; each start fails, or leaves one that runs, or one that has ended again."""

    def __init__(self, *outcomes: Exception | bool) -> None:
        self.runs = False
        self.outcomes = collections.deque(outcomes)
        self.done = threading.Event()

    def is_running(self) -> bool:
        return self.runs

    def restart(self, is_over: Callable[[], bool]) -> None:
        assert not is_over()
        outcome = self.outcomes.popleft() if self.outcomes else True
        if not self.outcomes:
            self.done.set()
        if isinstance(outcome, Exception):
            raise outcome
        self.runs = outcome


@pytest.fixture(autouse=True)
def entries(monkeypatch: pytest.MonkeyPatch) -> Iterator[Entries]:
    """Capture the log; all pauses take a thousandth of their time."""
    for name in ("_LOOK_SECONDS", "_FIRST_PAUSE_SECONDS", "_MAX_PAUSE_SECONDS"):
        monkeypatch.setattr(mongod_watcher, name, getattr(mongod_watcher, name) / 1000)
    with structlog.testing.capture_logs() as captured:
        yield captured


def pauses(entries: Entries) -> list[float]:
    return [round(entry["restart_in"] * 1000, 6) for entry in entries if entry["event"] == ENDED]


# Whether each start fails, or succeeds and mongod is gone at the next look.
@pytest.mark.parametrize("outcome", [Unavailable("no room"), OSError("no room"), False])
def test_pauses_grow_while_mongod_does_not_stay(
    tmp_path: Path, entries: Entries, outcome: Exception | bool
) -> None:
    process = Process(*[outcome] * 9, True)
    watcher = Watcher(tmp_path, process.is_running, process.restart, lambda: "It said why")
    assert process.done.wait(60)
    watcher.close(60)
    assert pauses(entries) == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert {entry["reason"] for entry in entries if entry["event"] == ENDED} == {"It said why."}


def test_pauses_restart_after_a_long_run(
    tmp_path: Path, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongod_watcher, "_LONG_SECONDS", 0.0)
    process = Process(OSError("x"), True)
    looks = [0]

    def is_running() -> bool:
        looks[0] += process.runs
        return process.runs

    watcher = Watcher(tmp_path, is_running, process.restart, lambda: "")
    for _ in range(2):
        assert eventually(lambda: looks[0] > 2)
        process.runs, looks[0] = False, 0
    assert eventually(lambda: process.runs)
    watcher.close(60)
    assert pauses(entries)[:3] == [0, 1, 0]


def test_a_closed_watcher_starts_nothing(tmp_path: Path) -> None:
    process = Process()
    process.runs = True
    watcher = Watcher(tmp_path, process.is_running, process.restart, lambda: "")
    watcher.close(60)
    process.runs = False
    assert not process.done.wait(0.05)


def test_a_look_that_fails_is_followed_by_others(tmp_path: Path) -> None:
    looks = [0]

    def is_running() -> bool:
        looks[0] += 1
        raise OSError(24, "Too many open files")

    watcher = Watcher(tmp_path, is_running, lambda _: None, lambda: "")
    assert eventually(lambda: looks[0] > 3)
    watcher.close(60)


def test_a_full_disk_is_logged_once(tmp_path: Path, entries: Entries, monkeypatch: pytest.MonkeyPatch) -> None:
    left, looks = [7], list[bool]()

    def is_running() -> bool:
        looks.append(True)
        return True

    def is_looked_at(times: int) -> bool:
        return len(looks) > times

    monkeypatch.setattr(data_folder, "_megabytes_left", lambda _: left[0])
    watcher = Watcher(tmp_path, is_running, lambda _: None, lambda: "")
    for megabytes in (7, 5_000, 7, 5_000):
        left[0] = megabytes
        assert eventually(functools.partial(is_looked_at, len(looks) + 3))
    watcher.close(60)
    assert [entry["reason"] for entry in entries] == ["The disk has only 7 MB left: free some space."] * 2
