"""Nothing that a command or the log shows on a terminal can steer it."""

import io
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from release_catalog import logging_config
from release_catalog.cli import main
from release_catalog.console import printable

EVIL = "\x1b[2J\x9b31m\u202ename"
SHOWN = "\\x1b[2J\\x9b31m\\u202ename"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [b]:skull:", "plain [b]:skull:"),
        ("é 🎉", "é 🎉"),
        (EVIL, SHOWN),
        ("a\nb", "a\\nb"),
        ("\udc9b", "\\udc9b"),
    ],
)
def test_control_sequences_of_terminals_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_sentence_at_the_end_keeps_its_lines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "cli", lambda: sys.exit(f"{EVIL}\nsecond"))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == f"{SHOWN}\nsecond"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Return the log as text."""
    root, written = logging.getLogger(), io.StringIO()
    before = (root.handlers[:], root.level)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", written)
        logging_config.configure("info", "text")
    yield written
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def test_the_log_as_text_is_printable(log: io.StringIO) -> None:
    logger = structlog.get_logger()
    logger.info("told", reason=EVIL)
    logger.warning(EVIL)
    logger.error("failed", exc_info=OSError(EVIL))
    logging.getLogger("library").warning(EVIL)
    told = log.getvalue()
    assert f"OSError: {SHOWN}" in told
    assert told.count(SHOWN) == 4
    assert all(line.isprintable() for line in told.splitlines())
