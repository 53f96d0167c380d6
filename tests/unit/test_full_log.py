"""A log that can't be written, because its disk is full or its reader is gone, fails no request and takes no memory."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import TextIO

import pytest
import structlog

from release_catalog import logging_config
from release_catalog.logging_config import Members

LINES = 5_000


@contextlib.contextmanager
def full_disk() -> Iterator[TextIO]:
    stream = open("/dev/full", "w", encoding="utf-8")  # noqa: PTH123, SIM115  its end fails, too
    yield stream
    with contextlib.suppress(OSError):
        stream.close()


@contextlib.contextmanager
def closed_pipe() -> Iterator[TextIO]:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", encoding="utf-8")
    yield stream
    with contextlib.suppress(OSError):
        stream.close()


@pytest.mark.parametrize("broken", [full_disk, closed_pipe])
@pytest.mark.parametrize("form", ["json", "text"])
def test_lines_that_cant_be_written_are_lost(
    form: str, broken: type[contextlib.AbstractContextManager[TextIO]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        for number in range(LINES):
            structlog.get_logger().info("token refused", number=number)
            logging_config.write("info", "request", {"number": number}, Members({"client": "::1"}))
            if number % 100 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0)

    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    with broken() as stream:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", stream)
            logging_config.configure("info", form)
        try:
            asyncio.run(main())
            writer = logging_config._json_lines
            assert (writer is None) == (form == "text")
            assert writer is None or not writer._pending
        finally:
            root.handlers[:], root.level = before
            structlog.reset_defaults()
