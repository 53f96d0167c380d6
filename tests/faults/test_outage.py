"""The short form of the fault harness: the primary is killed twice and frozen once under six writers."""

import time
from pathlib import Path

from faults.report import Figures, Limits
from faults.stage import stage

# Other tests run at the same time: what is measured here is that outages end.
_LIMITS = Limits(recovery_seconds=45, live_seconds=5)


def test_nothing_acknowledged_is_lost_or_doubled_while_primaries_fail(
    tmp_path: Path, report: list[Figures]
) -> None:
    with stage("short", tmp_path, limits=_LIMITS) as running:
        with running.load(tmp_path, writers=6):
            for _ in range(2):
                running.kill_primary()
                running.replica_set.restore()
                time.sleep(1)
            running.freeze_primary(5)
            running.replica_set.restore()
        report.append(running.result())
