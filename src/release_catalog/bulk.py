"""Loading a file of many releases, and telling whoever waits how far it is."""

import gc
from collections.abc import Iterator
from typing import Any, BinaryIO, Self

import anyio
import anyio.lowlevel
import orjson
import rich.console
import rich.progress

from release_catalog.domain import importing, instants
from release_catalog.domain.caller import Caller
from release_catalog.problems import Violation
from release_catalog.store import loading
from release_catalog.store.database import Database

MAX_LINE_BYTES = 16 << 20
# While the database stores some batches, the next is read and checked.
BATCHES_AT_ONCE = 3
LINES_A_REPORT = 10_000

_Batch = dict[int, dict[str, Any]]


class Report:
    """How far a load is: a bar on a terminal, a line every 10,000 releases elsewhere."""

    def __init__(self, total: int | None) -> None:
        """`total` is the number of bytes to read, where it is known."""
        self.console = rich.console.Console(stderr=True)
        columns = (rich.progress.BarColumn(), rich.progress.TextColumn("{task.description}"))
        self.bar = rich.progress.Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("", total=total)
        self.bytes = self.added = self.present = self.refused = self.told = 0

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        self.say(str(self))

    def __str__(self) -> str:
        return f"{self.added} added, {self.present} already there, {self.refused} refused"

    def say(self, text: str) -> None:
        """A line of its own, whatever else is on the screen."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def batch(self, size: int, outcome: loading.Loaded) -> None:
        """Count a batch that was read from `size` bytes."""
        self.bytes += size
        self.added += outcome.added
        self.present += outcome.present
        self.bar.update(self.task, completed=self.bytes, description=str(self))
        if self.bar.disable and self.added + self.present >= self.told + LINES_A_REPORT:
            self.told = self.added + self.present
            self.say(str(self))

    def refuse(self, number: int, violations: list[Violation]) -> None:
        """Tell that a line was refused, and all that is wrong with it."""
        self.refused += 1
        reasons = (f"{v.field}: {v.message}" if v.field else v.message for v in violations)
        self.say(f"line {number}: {' '.join(reasons)}")


class Loader:
    """Loads the lines of a file in batches. With `stop`, nothing behind a bad line is loaded."""

    def __init__(self, caller: Caller, report: Report, catalog: str, *, publish: bool, stop: bool) -> None:
        self.caller = caller
        self.report = report
        self.catalog = catalog
        self.publish = publish
        self.stop = stop
        self.stopped = False

    async def run(self, database: Database, source: BinaryIO) -> None:
        """Load all of `source`, or up to the first bad line."""
        # What is made for a batch goes with it: looking for cycles in it would take a third of the time.
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        slots = anyio.Semaphore(BATCHES_AT_ONCE)
        async with anyio.create_task_group() as group:
            for size, batch in self._batches(source):
                await slots.acquire()
                group.start_soon(self._store, database, slots, size, batch)
                # Lets the batch go out before the next one is read.
                await anyio.lowlevel.checkpoint()

    async def _store(self, database: Database, slots: anyio.Semaphore, size: int, batch: _Batch) -> None:
        try:
            outcome = await loading.load(
                self.caller, database, batch, catalog_id=self.catalog, publish=self.publish
            )
        finally:
            slots.release()
        for number, violations in outcome.refused.items():
            self._refuse(number, violations)
        self.report.batch(size, outcome)

    def _batches(self, source: BinaryIO) -> Iterator[tuple[int, _Batch]]:
        """What good lines hold, under their numbers, and how many bytes they took."""
        batch: _Batch = {}
        size = 0
        for number, line in enumerate(iter(lambda: source.readline(MAX_LINE_BYTES), b""), start=1):
            size += len(line)
            if not line.isspace():
                fields, violations = self._read(line)
                if violations:
                    self._refuse(number, violations)
                else:
                    batch[number] = fields
            if len(batch) == loading.BATCH or self.stopped:
                yield size, batch
                batch, size = {}, 0
            if self.stopped:
                return
        yield size, batch

    def _read(self, line: bytes) -> tuple[dict[str, Any], list[Violation]]:
        if len(line) == MAX_LINE_BYTES:
            return {}, [Violation("", f"A line has at most {MAX_LINE_BYTES} bytes.", "TOO_LONG")]
        try:
            source = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            return {}, [Violation("", f"This is not JSON: {error}.", "NOT_JSON")]
        return importing.read(source, "", instants.now())

    def _refuse(self, number: int, violations: list[Violation]) -> None:
        self.report.refuse(number, violations)
        self.stopped = self.stop
