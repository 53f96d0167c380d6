"""Load a file of many releases, and report the progress."""

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Self

import anyio
import anyio.lowlevel
import orjson
import rich.progress

from release_catalog.cli.options import print_json, violations_json
from release_catalog.console import errors, printable
from release_catalog.domain import json_values, release_document, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import ProductDocument
from release_catalog.errors import Violation
from release_catalog.storage import bulk_load, unit_of_work
from release_catalog.storage.database import Database

# MongoDB keeps documents of 16 MiB, of which the catalog's own fields take some.
MAX_LINE_BYTES = 12 << 20
MAX_BATCH_BYTES = 8 << 20
# Short JSON takes up to seven times as much in the database, where each field has its name and a value.
MAX_UNWEIGHED_BYTES = 1 << 20
# While the database stores some batches, the next is read and checked.
BATCHES_AT_ONCE = 4
LINES_A_REPORT = 10_000

_Batch = dict[int, dict[str, Any]]


class Report:
    """The progress of a load: a bar on a terminal, a line every 10,000 releases elsewhere."""

    def __init__(self, total: int, *, json: bool = False) -> None:
        """Count `total` bytes to read, 0 if unknown; with `json`, print documents on standard output."""
        self.json = json
        self.console = errors()
        columns = (rich.progress.BarColumn(), rich.progress.TextColumn("{task.description}"))
        self.bar = rich.progress.Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("", total=total or None)
        self.bytes = self.added = self.present = self.refused = self.products = self.told = 0

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        if self.json:
            counts = {"added": self.added, "existing": self.present, "refused": self.refused}
            print_json({**counts, "newProducts": self.products})
            return
        if self.products:
            self.say(f"new products: {self.products}")
        self.say(str(self))

    def __str__(self) -> str:
        return f"{self.added} added, {self.present} existing, {self.refused} refused"

    def say(self, text: str) -> None:
        """Write a line above the progress bar."""
        self.console.print(printable(text), soft_wrap=True)

    def batch(self, size: int, outcome: bulk_load.Loaded) -> None:
        """Count a batch that was read from `size` bytes."""
        self.bytes += size
        self.added += outcome.added
        self.present += outcome.present
        self.products += outcome.products
        self.bar.update(self.task, completed=self.bytes, description=str(self))
        if self.bar.disable and not self.json and self.added + self.present >= self.told + LINES_A_REPORT:
            self.told = self.added + self.present
            self.say(str(self))

    def refuse(self, number: int, violations: list[Violation]) -> None:
        """Print that a line was refused, and all its faults."""
        self.refused += 1
        if self.json:
            print_json({"line": number, "violations": violations_json(violations)})
            return
        problem_text = (f"{v.field}: {v.message}" if v.field else v.message for v in violations)
        self.say(f"line {number}: {' '.join(problem_text)}")


class Loader:
    """Loads the lines of a file in batches. With `stop`, nothing after a bad line is loaded."""

    def __init__(
        self,
        caller: Caller,
        report: Report,
        catalog: str,
        *,
        publish: bool,
        stop: bool,
        new: bulk_load.NewProducts = bulk_load.CREATED,
    ) -> None:
        self.caller = caller
        self.report = report
        self.catalog = catalog
        self.publish = publish
        self.stop = stop
        self.new = new
        self.stopped = False

    async def run(self, database: Database, source: BinaryIO) -> None:
        """Load all of `source`, or up to the first bad line."""
        with self.report:
            try:
                await self._run(database, source)
            except BaseExceptionGroup as failures:
                # Batches on their way at once fail for the same reason.
                raise failures.exceptions[0] from None

    async def _run(self, database: Database, source: BinaryIO) -> None:
        # A pipe may keep us waiting for its next line, and every batch on its way would wait with us.
        slots = anyio.Semaphore(BATCHES_AT_ONCE if source.seekable() else 1)
        batches = self._batches(source)
        async with anyio.create_task_group() as group:
            while not self.stopped:
                await slots.acquire()
                size, batch = next(batches, (0, None))
                if batch is None:
                    return
                checked = await bulk_load.check(
                    self.caller, database, batch, catalog_id=self.catalog, new=self.new
                )
                batch = self._without(checked.refused, batch)
                group.start_soon(self._store, database, slots, size, batch, checked.products)
                # Lets the batch go out before the next one is read.
                await anyio.lowlevel.checkpoint()

    def _without(self, refused: Mapping[int, list[Violation]], batch: _Batch) -> _Batch:
        """Return the lines that are not refused; with `stop`, those before the first one that is."""
        kept: _Batch = {}
        for number, fields in batch.items():
            if number not in refused:
                kept[number] = fields
                continue
            self._refuse(number, refused[number])
            if self.stop:
                break
        return kept

    async def _store(
        self,
        database: Database,
        slots: anyio.Semaphore,
        size: int,
        batch: _Batch,
        products: Mapping[str, ProductDocument],
    ) -> None:
        try:
            outcome = await bulk_load.load(
                self.caller,
                database,
                batch.values(),
                catalog_id=self.catalog,
                publish=self.publish,
                new=self.new,
                known=products,
            )
        finally:
            slots.release()
        self.report.batch(size, outcome)
        numbers = list(batch)
        for at, violation in sorted(outcome.refused.items()):
            self._refuse(numbers[at], [violation])

    def _batches(self, source: BinaryIO) -> Iterator[tuple[int, _Batch]]:
        """Yield the fields of valid lines by line number, and the bytes they took."""
        batch: _Batch = {}
        size = 0
        for number, (line, length) in enumerate(_lines(source), start=1):
            size += length
            if not line.isspace():
                fields, violations = self._read(line)
                if violations:
                    self._refuse(number, violations)
                else:
                    batch[number] = fields
            if self.stopped:
                break
            if len(batch) == bulk_load.BATCH or size >= MAX_BATCH_BYTES:
                yield size, batch
                batch, size = {}, 0
        yield size, batch

    def _read(self, line: bytes) -> tuple[dict[str, Any], list[Violation]]:
        if len(line) > MAX_LINE_BYTES:
            return {}, [Violation("", f"The line is too long: give at most {MAX_LINE_BYTES} bytes.", "TOO_LONG")]
        try:
            source = json_values.loads(line)
        except orjson.JSONDecodeError as error:
            return {}, [Violation("", f"This is not JSON: correct it ({error}).", "NOT_JSON")]
        fields, violations = release_document.read(source, "", timestamps.now())
        if len(line) > MAX_UNWEIGHED_BYTES and not violations:
            violations = unit_of_work.too_large(fields, "")
        return fields, violations

    def _refuse(self, number: int, violations: list[Violation]) -> None:
        self.report.refuse(number, violations)
        self.stopped = self.stop


def _lines(source: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield each line and its length; of a line that is too long, only the beginning."""
    while line := source.readline(MAX_LINE_BYTES + 1):
        length, part = len(line), line
        while len(part) > MAX_LINE_BYTES and not part.endswith(b"\n"):
            part = source.readline(MAX_LINE_BYTES + 1)
            length += len(part)
        yield line, length
