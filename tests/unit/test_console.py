"""Nothing that a command or the log shows on a terminal can steer it."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from release_catalog import logging_config
from release_catalog.cli import access_tokens, main, options
from release_catalog.console import printable, printable_json
from release_catalog.domain import timestamps
from release_catalog.domain.access_tokens import AccessTokenDocument
from release_catalog.logging_config import Members
from support import logs

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


def test_the_log_as_json_is_printable() -> None:
    """Identity providers choose the names of callers, and tenants, paths come as they are."""
    evil = EVIL + "\x7f\x85\u2028\U000e0001"
    with logs.captured(form="json") as log:
        logger = structlog.get_logger()
        logger.info("told", reason=evil)
        logger.error("failed", exc_info=OSError(evil))
        logging.getLogger("library").warning(evil)
        logging_config.write("info", "request", {"path": evil}, Members({"caller": evil}))
    lines = log.getvalue().splitlines()
    assert all(line.isprintable() for line in lines)
    told = [json.loads(line) for line in lines]
    assert len(told) == 4
    assert told[0]["reason"] == told[2]["event"] == told[3]["path"] == told[3]["caller"] == evil


def test_json_for_programs_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    options.print_json({"name": EVIL})
    shown = capsys.readouterr().out
    assert shown.removesuffix("\n").isprintable()
    assert json.loads(shown) == {"name": EVIL}


def test_the_name_of_a_revoked_token_is_printable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its tenant chose it, and the operator of the server reads it."""
    fields = AccessTokenDocument.__annotations__
    token: dict[str, Any] = {**dict.fromkeys(fields), "name": EVIL, "scopes": [], "createdAt": timestamps.now()}
    monkeypatch.setattr("release_catalog.runtime.run_with_database", lambda *_: token)
    access_tokens.revoke(EVIL)
    assert capsys.readouterr().out.startswith(f"Revoked {SHOWN} (")


@given(st.text(st.characters(codec="utf-8")))
def test_printable_json_means_the_same(text: str) -> None:
    line = printable_json(orjson.dumps({text: text}))
    assert orjson.loads(line) == {text: text}
    assert line.decode().isprintable()
