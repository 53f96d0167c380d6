"""The figures of a scenario, and the table of all."""

import collections
import dataclasses
import statistics
from collections.abc import Iterable

from faults.journal import Journal, Json, longest_gap


@dataclasses.dataclass(frozen=True)
class Limits:
    """The time limits for writes after the cause of an outage has ended, and for /livez."""

    recovery_seconds: float = 20.0
    live_seconds: float = 2.0


@dataclasses.dataclass
class Fault:
    """Something done to the catalog at a moment, and the moment at which its cause was over."""

    name: str
    began: float
    over: float | None = None
    # Until the first write after `over`, the latest of all processes and tenants.
    recovery: float | None = None


@dataclasses.dataclass(frozen=True)
class Figures:
    """The measurements of a scenario."""

    scenario: str
    faults: int
    outages: list[float]
    recoveries: list[float]
    live: float
    live_waiting: float
    acknowledged: int
    failed: collections.Counter[str]
    longest: float

    @property
    def unknown(self) -> int:
        """The attempts that may have taken effect although they were not acknowledged."""
        return sum(self.failed[word] for word in ("connection", "timeout", "silent", "unknown"))


def figures(scenario: str, faults: list[Fault], journal: Journal, probes: list[Json], *, each: bool) -> Figures:
    """Return the figures; with `each`, an outage is that of the process which was out for longest."""
    successes = journal.acknowledged()
    servers = sorted({attempt["server"] for attempt in successes}) if each else []
    ends = [[a["ended"] for a in successes if a["server"] == server] for server in servers]
    ends = ends or [[attempt["ended"] for attempt in successes]]
    # What was never repaired lasts until now.
    limits = [
        *(fault.began for fault in faults[1:]),
        max((a["ended"] for a in journal.read("attempt")), default=0.0),
    ]
    outages = [
        max(longest_gap(moments, fault.began, limit) for moments in ends)
        for fault, limit in zip(faults, limits, strict=False)
    ]
    attempts = journal.read("attempt")
    slowest = max(probes, key=steady_seconds, default={"seconds": 0.0, "waited": 0.0})
    return Figures(
        scenario=scenario,
        faults=len(faults),
        outages=outages,
        recoveries=[fault.recovery for fault in faults if fault.recovery is not None],
        live=steady_seconds(slowest),
        live_waiting=max((probe["seconds"] for probe in probes), default=0.0),
        acknowledged=len(journal.read("operation")),
        failed=collections.Counter(attempt["outcome"] for attempt in journal.failed()),
        longest=max((attempt["ended"] - attempt["began"] for attempt in attempts), default=0.0),
    )


def steady_seconds(probe: Json) -> float:
    """Return how long a probe took without the time in which other programs had the processors."""
    return float(max(0.0, probe["seconds"] - probe["waited"]))


def table(rows: Iterable[Figures]) -> list[str]:
    """Return the lines of the report."""
    head = (
        *("scenario", "faults", "outage median", "longest", "recovery longest", "/livez", "(with waits)"),
        *("slowest answer", "acknowledged", "retried", "unknown", "retried by outcome"),
    )
    lines = [head, *map(_cells, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]


def _cells(row: Figures) -> tuple[str, ...]:
    median = statistics.median(row.outages) if row.outages else 0.0
    by_outcome = ", ".join(f"{word} {count}" for word, count in sorted(row.failed.items()))
    seconds = (median, max(row.outages, default=0.0), max(row.recoveries, default=0.0), row.live, row.live_waiting)
    return (
        row.scenario,
        str(row.faults),
        *(f"{each:.1f} s" for each in (*seconds, row.longest)),
        str(row.acknowledged),
        str(row.failed.total()),
        str(row.unknown),
        by_outcome,
    )
