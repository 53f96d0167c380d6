"""What waits for files: importing a release, verifying its files again, and the jobs that were put off."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

import structlog

from release_catalog.domain.caller import Caller
from release_catalog.files.hashing import Fetcher
from release_catalog.problems import Problem
from release_catalog.store import database as db
from release_catalog.store import importing, releases, requests, verifying, writing
from release_catalog.store.database import Database, Document
from release_catalog.store.requests import Answer, Given

JOBS_AT_ONCE = 4
# What the database has of a command on a terminal, each time.
SECONDS = 15.0
_IDLE_SECONDS = 1.0

Result = TypeVar("Result")

_log = structlog.get_logger()


async def import_release(
    caller: Caller, database: Database, files: Fetcher, given: Given, seconds: float = SECONDS
) -> Answer:
    """Import a release (S1). What can be refused is refused before any file is fetched.

    In mode WAIT everything is written at once when the files have been looked at: who dies before leaves nothing.
    The database has `seconds` before that, and as many after it.
    """
    until = time.monotonic() + seconds
    # What is ignored (S1), however deep it is, makes no other request of it.
    release = {name: value for name, value in given["release"].items() if name != "projectIdentifier"}
    given = {**given, "release": release}
    if given["verification"] != "WAIT" or given.get("dryRun"):
        with db.within(seconds):
            return await importing.take(caller, database, given)
    async with requests.claimed(caller, database, "importRelease", given, seconds) as (claim, answer):
        if answer is not None:
            return answer
        with db.within(until - time.monotonic()):
            tried = await importing.take(caller, database, {**given, "dryRun": True})
        if isinstance(tried, Problem):
            return tried
        looked = await files.check_all(tried["release"]["artifacts"])
        with db.within(seconds):
            return await importing.take(caller, database, given, looked, claim)


async def verify_artifacts(
    caller: Caller, database: Database, files: Fetcher, given: Given, seconds: float = SECONDS
) -> Any:
    """Look at the files of a release again: now, later, or (SKIP) not at those that still wait for it.

    The database has `seconds` before the files are fetched, and as many after it.
    """
    id_, mode = given["releaseId"], given["verification"]
    with db.within(seconds):
        found = await writing.found(writing.Turn(caller, database), id_, given)
        if isinstance(found, Problem):
            return found
        if mode != "WAIT":
            return await verifying.put_off(caller, database, id_, mode)
    looked = await files.check_all(found["artifacts"])
    with db.within(seconds):
        return await verifying.keep(caller, database, id_, found["artifacts"], looked)


@contextlib.asynccontextmanager
async def working(database: Database, files: Fetcher) -> AsyncIterator[None]:
    """Do the jobs that were put off, of all tenants, for as long as the context lasts."""
    shift = Shift()
    workers = [asyncio.create_task(_work(database, files, shift)) for _ in range(JOBS_AT_ONCE)]
    try:
        yield
    finally:
        shift.end()
        await asyncio.gather(*workers, return_exceptions=True)


class Shift:
    """Lets workers go home: at once where they wait or fetch, and after a command where the database works on it.

    Who cancels a command may lose its connection, and a driver may swallow the cancellation.
    """

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self._fetches: set[asyncio.Future[Any]] = set()

    def end(self) -> None:
        """Begin no more, and break off what is being fetched."""
        self.over.set()
        for fetch in self._fetches:
            fetch.cancel()

    async def fetch(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What `work` gives; CancelledError where the shift ends before."""
        fetch = asyncio.ensure_future(work)
        self._fetches.add(fetch)
        try:
            return await fetch
        finally:
            self._fetches.discard(fetch)

    async def rest(self) -> None:
        """Wait a moment for work to come."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), _IDLE_SECONDS)


async def _work(database: Database, files: Fetcher, shift: Shift) -> None:
    while not shift.over.is_set():
        try:
            done = await next_job(database, files, shift)
        except db.Failure as error:
            _log.warning("can't look for files to verify", reason=str(error))
            done = False
        except Exception:  # noqa: BLE001  one job that can't be done must not keep the others from being done
            _log.exception("could not verify the files of a release")
            done = False
        if not done:
            await shift.rest()


async def next_job(database: Database, files: Fetcher, shift: Shift) -> bool:
    """Do the job that has waited longest; False where there is none."""
    job = await verifying.take(database)
    if job is None:
        return False
    renewing = asyncio.create_task(_renew(database, job))
    try:
        waiting = await _waiting(database, job)
        if not shift.over.is_set():
            looked = await shift.fetch(files.check_all(waiting))
            await verifying.keep(verifying.owner(job), database, job["releaseId"], waiting, looked, job)
    finally:
        renewing.cancel()
    return True


async def _waiting(database: Database, job: Document) -> Sequence[Document]:
    found = await releases.by_ids(verifying.owner(job), database, [job["releaseId"]])
    return [file for release in found.values() for file in verifying.pending(release)]


async def _renew(database: Database, job: Document) -> None:
    held = True
    while held:
        await asyncio.sleep(verifying.LEASE.total_seconds() / 3)
        held = await verifying.renew(database, job)
