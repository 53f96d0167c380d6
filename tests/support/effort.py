"""Bounds of work that hold on any machine: what breaks a rule takes a thousand times as long, or for ever."""

import contextlib
import time
from collections.abc import Iterator

# What is bounded takes at most a second of this on a slow machine.
MAX_CPU_SECONDS = 30.0


@contextlib.contextmanager
def bounded(name: str = "") -> Iterator[None]:
    """Fail if the context takes CPU time out of all proportion."""
    began = time.process_time()
    yield
    assert time.process_time() - began < MAX_CPU_SECONDS, name
