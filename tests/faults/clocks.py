"""Clocks that are wrong."""

from pathlib import Path

import pytest

_LIBRARY = "faketime/libfaketimeMT.so.1"


def clock(hours: int) -> dict[str, str]:
    """Return what makes the clock of a process so many hours fast; the test is skipped without libfaketime."""
    found = sorted(Path("/usr/lib").glob(f"*/{_LIBRARY}")) + sorted(Path("/usr/lib").glob(_LIBRARY))
    if not found:
        pytest.skip("there is no libfaketime: on Debian, apt-get install faketime")
    # Only the time of day is wrong: no clock that measures durations is.
    monotonic = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": f"{hours:+d}h", **monotonic}
