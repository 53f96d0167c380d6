"""The log of an application in this process, as its server writes it."""

import contextlib
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from release_catalog import logging_config

Entries = Callable[[], list[dict[str, Any]]]


def _none(_: logging.LogRecord) -> bool:
    return False


@contextlib.contextmanager
def captured(level: str = "info", form: str = "json") -> Iterator[io.StringIO]:
    """Log as a server does, to the yielded text."""
    root, log = logging.getLogger(), io.StringIO()
    before = (root.handlers[:], root.level)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stderr", log)
        logging_config.configure(level, form)
    # The client logs, too.
    logging.getLogger("httpx2").addFilter(_none)
    try:
        yield log
    finally:
        logging.getLogger("httpx2").removeFilter(_none)
        root.handlers[:], root.level = before
        structlog.reset_defaults()


def entries(log: io.StringIO, event: str | None = None) -> list[dict[str, Any]]:
    """The entries of a log, or those about an event."""
    found = [json.loads(line) for line in log.getvalue().splitlines()]
    return [entry for entry in found if event in {None, entry["event"]}]
