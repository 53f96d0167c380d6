"""Counts of downloads, which a process collects and adds to the files of releases in batches.

The counts are in the files themselves, so that reading them costs no command. Adding to them is one atomic step
of the database for each release: it changes neither `etag` nor `updatedAt`, and a concurrent change of the release
is repeated with the new counts. A batch that failed is added later; if only its answer was lost, it counts twice.
"""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Mapping

import structlog
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from release_catalog.domain.caller import Caller
from release_catalog.storage import database as db
from release_catalog.storage import outages
from release_catalog.storage.collection_names import RELEASES
from release_catalog.storage.database import Database
from release_catalog.storage.workers import Workers

# The interval between two batches, and the number of different files at which a download waits for the next batch.
FLUSH_SECONDS = 1.0
MAX_FILES = 10_000
# The number of releases that a command changes, and the time for all of them at the end of the process.
_RELEASES_A_COMMAND = 500
_END_SECONDS = 5.0

_log = structlog.get_logger()


class DownloadCounter:
    """Collects the downloads of a process."""

    def __init__(self, database: Database) -> None:
        """Count downloads of files in `database`."""
        self._database = database
        # By the `_id` of a release and the id of its file.
        self._counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self._flushing = asyncio.Lock()

    @property
    def pending(self) -> int:
        """Return the number of downloads that are not stored yet."""
        return self._counts.total()

    async def add(self, caller: Caller, release_id: str, artifact_id: str) -> None:
        """Count a download; if too many files are pending, store them first."""
        if len(self._counts) >= MAX_FILES:
            await self.flush()
        self._counts[caller.key(release_id), artifact_id] += 1

    async def flush(self) -> None:
        """Store all pending downloads; those of a command that fails stay pending."""
        async with self._flushing:
            by_release: dict[str, dict[str, int]] = {}
            for (key, artifact_id), count in self._counts.items():
                by_release.setdefault(key, {})[artifact_id] = count
            keys = list(by_release)
            for start in range(0, len(keys), _RELEASES_A_COMMAND):
                batch = {key: by_release[key] for key in keys[start : start + _RELEASES_A_COMMAND]}
                await self._store(batch)
                for key, counts in batch.items():
                    for artifact_id, count in counts.items():
                        self._counts[key, artifact_id] -= count
                        if not self._counts[key, artifact_id]:
                            del self._counts[key, artifact_id]

    async def _store(self, batch: Mapping[str, Mapping[str, int]]) -> None:
        changes = [_addition(key, counts) for key, counts in batch.items()]
        try:
            await self._database[RELEASES].bulk_write(changes, ordered=False)
        except BulkWriteError as error:
            # The database has tried each change, and would refuse the same ones again.
            lost = [[*batch.values()][failure["index"]] for failure in error.details["writeErrors"]]
            _log.error(
                "downloads lost", downloads=sum(sum(c.values()) for c in lost), reason=outages.reason(error)
            )


def _addition(key: str, counts: Mapping[str, int]) -> UpdateOne:
    """Return the change that adds downloads to the files of a release, as far as it still has them."""
    numbered = list(enumerate(counts.items()))
    return UpdateOne(
        {"_id": key, "artifacts.id": {"$in": [*counts]}},
        {"$inc": {f"artifacts.$[file{number}].downloads": count for number, (_, count) in numbered}},
        array_filters=[{f"file{number}.id": artifact_id} for number, (artifact_id, _) in numbered],
    )


@contextlib.asynccontextmanager
async def run_counter(database: Database, workers: Workers | None = None) -> AsyncIterator[DownloadCounter]:
    """Store downloads every second while the context lasts, and the last ones at its end."""
    counter, over = DownloadCounter(database), asyncio.Event()
    worker = (workers or Workers()).start("download_counts", _flush_regularly(counter, over))
    try:
        yield counter
    finally:
        over.set()
        await db.end(worker)
        with db.deadline(_END_SECONDS):
            try:
                await counter.flush()
            except db.Failure as error:
                _log.error("downloads lost", downloads=counter.pending, reason=outages.reason(error))


async def _flush_regularly(counter: DownloadCounter, over: asyncio.Event) -> None:
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), FLUSH_SECONDS)
        if counter.pending and not over.is_set():
            try:
                with db.deadline(db.BACKGROUND_SECONDS):
                    await counter.flush()
            except db.Failure as error:
                _log.warning("storing downloads failed", downloads=counter.pending, reason=outages.reason(error))
            except Exception:  # noqa: BLE001  whatever it is, the next attempt may succeed
                _log.exception("storing downloads failed")
