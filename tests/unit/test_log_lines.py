"""The lines of the log, as they are written to a stream."""

import asyncio
import io
import logging
from collections.abc import Iterator

import orjson
import pytest
import structlog

from release_catalog import logging_config

MEMBERS = logging_config.Members({"transport": "http"})


class Sink(io.BytesIO):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: object, /) -> int:
        self.writes.append(bytes(data))  # type: ignore[call-overload]
        return len(self.writes[-1])


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def test_lines_of_one_turn_are_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink()
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(sink))
    logging_config.configure("info", "json")

    async def turn(lines: int) -> None:
        for number in range(lines):
            logging_config.write("info", "request", {"number": number}, MEMBERS)
        await asyncio.sleep(0)

    asyncio.run(turn(3))
    assert len(sink.writes) == 1
    assert [orjson.loads(line)["number"] for line in sink.writes[0].splitlines()] == [0, 1, 2]
    sink.writes.clear()
    asyncio.run(turn(250))
    assert [number.count(b"\n") for number in sink.writes] == [100, 100, 50]
    sink.writes.clear()
    logging_config.write("info", "request", {"number": 0}, MEMBERS)
    assert len(sink.writes) == 1, "without an event loop, at once"


def test_lines_go_where_the_program_logs_now(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink()
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(sink))
    logging_config.configure("info", "json")
    structlog.reset_defaults()
    with structlog.testing.capture_logs() as entries:
        logging_config.write("info", "request", {"number": 0}, MEMBERS)
    assert [entry["number"] for entry in entries] == [0]
    assert not sink.writes
