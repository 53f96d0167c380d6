"""The records of the load and of the prober."""

import collections
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_INDENT = 120


class Journal:
    """The lines of a file that another process still writes, by their kind."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._path = path
        self._read = 0
        self._lines: dict[str, list[Json]] = collections.defaultdict(list)

    def read(self, kind: str) -> list[Json]:
        """Return all lines of a kind that are there by now."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            # The last line may still be written.
            text = file.read().rpartition(b"\n")
        self._read += len(text[0]) + len(text[1])
        for line in text[0].splitlines():
            found = json.loads(line)
            self._lines[found["kind"]].append(found)
        return self._lines[kind]

    def acknowledged(self) -> list[Json]:
        """Return the attempts that succeeded, in the order of their ends."""
        return [attempt for attempt in self.read("attempt") if attempt["outcome"] == "acknowledged"]

    def failed(self) -> list[Json]:
        """Return the other attempts."""
        return [attempt for attempt in self.read("attempt") if attempt["outcome"] != "acknowledged"]

    def unresolved(self) -> list[str]:
        """Return the keys of operations that were never answered."""
        answered = {operation["key"] for operation in self.read("operation")}
        return sorted({attempt["key"] for attempt in self.read("attempt")} - answered)


def longest_gap(moments: Iterable[float], start: float, end: float) -> float:
    """Return the longest time from `start` to `end` in which none of `moments` lies."""
    inside = [start, *sorted(moment for moment in moments if start < moment < end), end]
    return max(after - before for before, after in itertools.pairwise(inside))


def sample(lines: Iterable[Any], count: int = 3) -> str:
    """Return how many lines there are, and some of them, for a complaint."""
    known = list(lines)
    return f"{len(known)}, such as " + " | ".join(str(line)[: _INDENT * 5] for line in known[:count])
