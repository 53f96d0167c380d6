"""The results as tables to print and as a bar chart."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from html import escape

from servers import Load
from workloads import Workload

PROJECT = "this project"
TAIL = 3  # the maximum p99, in medians
COLUMN, LABEL = 16, 36


@dataclasses.dataclass(frozen=True)
class Result:
    """All loads by workload, connections and server, and the memory of each server in MiB."""

    workloads: Sequence[Workload]
    servers: Sequence[str]
    connections: Sequence[int]
    loads: Mapping[tuple[str, int, str], Sequence[Load]]
    memory: Mapping[str, float]

    def median(self, figure: str, workload: Workload, connections: int, server: str) -> float | None:
        """Return the median of a figure over the rounds; None if it was not measured."""
        loads = self.loads.get((workload.name, connections, server))
        return statistics.median(getattr(load, figure) for load in loads) if loads else None


def tables(result: Result) -> str:
    """Return tables of requests a second, ratios with their targets, latencies and memory."""
    rows = [(w, c) for w in result.workloads for c in result.connections]
    parts = [_head("requests/s, median", result.servers)]
    parts += [_row(_label(w, c), [_rate(result, w, c, s) for s in result.servers]) for w, c in rows]
    others = [server for server in result.servers if server != PROJECT]
    parts += ["", _head("this project ÷ other (wanted)", others)]
    parts += [_row(_label(w, c), [_ratio(result, w, c, s) for s in others]) for w, c in rows]
    most = result.connections[-1]
    parts += ["", _head(f"p50 / p99 in ms, {most} connections", result.servers)]
    parts += [_row(w.title, [_latency(result, w, most, s) for s in result.servers]) for w in result.workloads]
    parts += ["", _head("resident memory at the end", result.servers)]
    parts += [_row("MiB", [f"{result.memory[server]:.0f}" for server in result.servers])]
    parts += ["", f"! marks what misses the wanted ratio, and a p99 of more than {TAIL} times the median."]
    return "\n".join([*parts, "Load came from wrk with one thread on the same machine, as did mongod."])


def _head(label: str, names: Sequence[str]) -> str:
    return _row(label, names) + "\n" + "-" * (LABEL + COLUMN * len(names))


def _row(label: str, cells: Sequence[str]) -> str:
    return f"{label:{LABEL}}" + "".join(f"{cell:>{COLUMN}}" for cell in cells)


def _label(workload: Workload, connections: int) -> str:
    return f"{workload.title:{LABEL - 3}}{connections:2} "


def _rate(result: Result, workload: Workload, connections: int, server: str) -> str:
    rate = result.median("rate", workload, connections, server)
    return "-" if rate is None else f"{rate:.0f}"


def _ratio(result: Result, workload: Workload, connections: int, other: str) -> str:
    ours, theirs = (result.median("rate", workload, connections, s) for s in (PROJECT, other))
    if not ours or not theirs:
        return "-"
    wanted = workload.wanted.get(connections, {}).get(other)
    if wanted is None:
        return f"{ours / theirs:.2f}"
    return f"{ours / theirs:.2f} ({wanted:g}){'!' if ours / theirs < wanted else ''}"


def _latency(result: Result, workload: Workload, connections: int, server: str) -> str:
    p50, p99 = (result.median(figure, workload, connections, server) for figure in ("p50", "p99"))
    if p50 is None or p99 is None:
        return "-"
    return f"{_short(p50)} / {_short(p99)}{'!' if p99 > TAIL * p50 else ''}"


def _short(milliseconds: float) -> str:
    return f"{milliseconds:.{0 if milliseconds >= 10 else 1}f}"  # noqa: PLR2004  two digits tell enough


BAR, GAP, LEFT, WIDTH, SCALE = 14, 22, 120, 640, 440
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
rect { fill: #8c959f }
.ours { fill: #2f81f7 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } rect { fill: #6e7681 } .ours { fill: #2f81f7 } }
"""


def chart(result: Result, connections: int) -> str:
    """Return a bar chart in SVG of requests a second, each workload on a scale of its own."""
    title = f"Requests per second at {connections} connections"
    parts, y = [f'<text class="title" x="0" y="14">{title}; longer is faster</text>'], 42
    for workload in result.workloads:
        measured = _measured(result, workload, connections)
        parts.append(f'<text class="title" x="0" y="{y}">{escape(workload.title)}</text>')
        y += 8
        for server, rate in measured.items():
            width = rate / max(measured.values()) * SCALE
            kind = ' class="ours"' if server == PROJECT else ""
            parts.append(f'<text x="{LEFT - 6}" y="{y + 11}" text-anchor="end">{escape(server)}</text>')
            parts.append(f'<rect{kind} x="{LEFT}" y="{y}" width="{width:.0f}" height="{BAR - 2}"/>')
            parts.append(f'<text x="{LEFT + width + 5:.0f}" y="{y + 11}">{rate:,.0f}</text>')
            y += BAR
        y += GAP
    about = "; ".join(
        f"{w.title}: " + ", ".join(f"{s} {_rate(result, w, connections, s)}" for s in result.servers)
        for w in result.workloads
    )
    size = f'width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title about">\n'
        f'<title id="title">{title}</title>\n<desc id="about">{escape(about)}</desc>\n'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _measured(result: Result, workload: Workload, connections: int) -> dict[str, float]:
    rates = {server: result.median("rate", workload, connections, server) for server in result.servers}
    return {server: rate for server, rate in rates.items() if rate}
