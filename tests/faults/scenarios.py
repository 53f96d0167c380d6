"""The long fault scenarios, which `make faults` runs: a quarter of an hour.

pytest does not collect this file by its name, so that `make test` runs only test_outage.py. A scenario fails with all
that is wrong at once, and the table at the end has the figures of those that passed.
"""

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.clocks import clock
from faults.disk import fill, small_disk
from faults.leases import LeaseCheck
from faults.report import Figures
from faults.stage import Stage, stage

WRITERS = 20
KILLS = 10
API_KILLS = 40
FREEZE_SECONDS = 20
# Longer than a request may take.
LONG_SECONDS = 25
# Without streams, a frozen member has no more of its primary's log in its socket than one batch.
_NO_STREAMS = ("--setParameter", "oplogFetcherUsesExhaust=false")
_DISK_MEGABYTES = 700


def test_primary_killed(tmp_path: Path, report: list[Figures]) -> None:
    with stage("primary killed", tmp_path) as running:
        with running.load(tmp_path, WRITERS):
            for _ in range(KILLS):
                running.kill_primary()
                running.replica_set.restore()
                time.sleep(1 + random.random())
        report.append(running.result())


def test_primary_frozen(tmp_path: Path, report: list[Figures]) -> None:
    with stage("primary frozen", tmp_path) as running:
        with running.load(tmp_path, WRITERS):
            running.freeze_primary(FREEZE_SECONDS)
            running.replica_set.restore()
            time.sleep(5)
        report.append(running.result())


def test_majority_gone(tmp_path: Path, report: list[Figures]) -> None:
    """Without a primary for longer than a request may take: all frozen, then a majority killed."""
    with stage("majority gone", tmp_path) as running:
        with running.load(tmp_path, WRITERS):
            fault = running.fault("all frozen")
            for member in running.replica_set.members:
                member.freeze()
            time.sleep(LONG_SECONDS)
            fault.over = time.monotonic()
            running.replica_set.restore()
            fault.recovery = running.settle(fault.over, "after all were frozen")
            fault = running.fault("majority killed")
            primary, other = running.replica_set.primary, running.replica_set.secondaries[0]
            primary.kill()
            other.kill()
            time.sleep(LONG_SECONDS)
            running.replica_set.restore()
            running.elected(fault)
        report.append(running.result())


@pytest.mark.parametrize("says", ["url", "cluster"])
def test_writes_that_only_the_primary_has(tmp_path: Path, report: list[Figures], says: str) -> None:
    options = "&w=1" if says == "url" else ""
    with stage(f"w=1 by {says}", tmp_path, url_options=options, mongod_options=_NO_STREAMS) as running:
        if says == "cluster":
            with running.replica_set.client() as client:
                concern = {"w": 1, "wtimeout": 0}
                client.admin.command("setDefaultRWConcern", defaultWriteConcern=concern)
        with running.load(tmp_path, WRITERS):
            for seconds in (1.0, 1.5, 5.0):
                _lose_unreplicated(running, seconds)
                time.sleep(2)
        report.append(running.result())


def _lose_unreplicated(running: Stage, seconds: float) -> None:
    """Freeze both secondaries for a while, kill the primary, and have them elect another one."""
    primary, secondaries = running.replica_set.primary, running.replica_set.secondaries
    fault = running.fault("secondaries frozen")
    for member in secondaries:
        member.freeze()
    time.sleep(seconds)
    primary.kill()
    for member in secondaries:
        member.resume()
    running.elected(fault)
    running.replica_set.restore()


def test_api_killed(tmp_path: Path, report: list[Figures]) -> None:
    with stage("API killed", tmp_path) as running:
        with running.load(tmp_path, WRITERS):
            for number in range(API_KILLS):
                time.sleep(random.random())
                running.kill_api(running.apis[number % 2])
                running.settle(time.monotonic(), "after API killed")
        report.append(running.result(each=False))
        broken = running.journal.failed()
        assert len([a for a in broken if a["outcome"] == "connection"]) >= API_KILLS, "no writer was interrupted"


def test_disk_full(tmp_path: Path, report: list[Figures]) -> None:
    with contextlib.ExitStack() as stack:
        # One disk for each member, so that one of them can be full alone.
        data = [stack.enter_context(small_disk(tmp_path / f"disk{at}", _DISK_MEGABYTES)) for at in range(3)]
        running = stack.enter_context(stage("disk full", tmp_path, data=data, mongod_options=("--syncdelay", "5")))
        with running.load(tmp_path, WRITERS):
            primary = running.replica_set.primary
            fault = running.fault("the primary's disk full")
            ballast = fill(primary.folder)
            running.elected(fault)
            ballast.unlink()
            running.replica_set.restore()
            time.sleep(2)
            fault = running.fault("all disks full")
            full = [fill(member.folder) for member in running.replica_set.members]
            running.replica_set.gone()
            time.sleep(LONG_SECONDS)
            for ballast in full:
                ballast.unlink()
            running.replica_set.restore()
            running.elected(fault)
        report.append(running.result())


def test_clocks(tmp_path: Path, report: list[Figures]) -> None:
    with _wrong_clocks(tmp_path) as running:
        with running.load(tmp_path, 8), LeaseCheck(running) as check:
            check.claims_are_kept()
            check.jobs_are_done_once()
            check.events_are_delivered_once()
            running.kill_primary()
            running.replica_set.restore()
            check.leases_of_the_dead_are_taken()
        running.complaints += check.complaints
        report.append(running.result())


@contextlib.contextmanager
def _wrong_clocks(folder: Path) -> Iterator[Stage]:
    """Have an API process whose clock is an hour ahead, and one whose clock is an hour behind."""
    with stage("clocks", folder, apis=(clock(1), clock(-1))) as running:
        yield running
