"""What waits for files: importing a release, verifying its files again, and the jobs that were put off."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import structlog

from release_catalog import problems
from release_catalog.domain.caller import Caller
from release_catalog.files.hashing import Fetcher
from release_catalog.problems import Problem
from release_catalog.store import database as db
from release_catalog.store import importing, releases, verifying, writing
from release_catalog.store.database import Database, Document
from release_catalog.store.writing import Answer, Given

JOBS_AT_ONCE = 4
_IDLE_SECONDS = 1.0

_log = structlog.get_logger()


async def import_release(caller: Caller, database: Database, files: Fetcher, given: Given) -> Answer:
    """Import a release (S1). What can be refused is refused before any file is fetched.

    In mode WAIT everything is written at once when the files have been looked at: who dies before leaves nothing.
    """
    if given["verification"] != "WAIT" or given.get("dryRun"):
        return await importing.take(caller, database, given)
    async with writing.claimed(caller, database, "importRelease", given) as (claim, answer):
        if answer is not None:
            return answer
        tried = await importing.take(caller, database, {**given, "dryRun": True})
        if isinstance(tried, Problem):
            return tried
        looked = await files.check_all(tried["release"]["artifacts"])
        return await importing.take(caller, database, given, looked, claim)


async def verify_artifacts(caller: Caller, database: Database, files: Fetcher, given: Given) -> Any:
    """Look at the files of a release again: now, later, or (SKIP) not at those that still wait for it."""
    id_, mode = given["releaseId"], given["verification"]
    found = (await releases.by_ids(caller, database, [id_])).get(id_)
    if found is None:
        return problems.NotFound(detail=f"There is no release {id_!r}.")
    if refused := writing.beyond(caller, found["productId"]):
        return refused
    if mode != "WAIT":
        return await verifying.put_off(caller, database, id_, mode)
    looked = await files.check_all(found["artifacts"])
    return await verifying.keep(caller, database, id_, found["artifacts"], looked)


@contextlib.asynccontextmanager
async def working(database: Database, files: Fetcher) -> Any:
    """Do the jobs that were put off, of all tenants, for as long as the context lasts."""
    workers = [asyncio.create_task(_work(database, files)) for _ in range(JOBS_AT_ONCE)]
    try:
        yield
    finally:
        pending = set(workers)
        while pending:
            for worker in pending:
                worker.cancel()
            # The driver swallows a cancellation that comes at a bad time; the worker would go on for ever.
            _, pending = await asyncio.wait(pending, timeout=_IDLE_SECONDS)
        await asyncio.gather(*workers, return_exceptions=True)


async def _work(database: Database, files: Fetcher) -> None:
    while True:
        try:
            done = await next_job(database, files)
        except db.Failure as error:
            _log.warning("can't look for files to verify", reason=str(error))
            done = False
        if not done:
            await asyncio.sleep(_IDLE_SECONDS)


async def next_job(database: Database, files: Fetcher) -> bool:
    """Do the job that has waited longest; False where there is none."""
    job = await verifying.take(database)
    if job is None:
        return False
    renewing = asyncio.create_task(_renew(database, job))
    try:
        waiting = await _waiting(database, job)
        looked = await files.check_all(waiting)
        await verifying.keep(verifying.owner(job), database, job["releaseId"], waiting, looked, job)
    finally:
        renewing.cancel()
    return True


async def _waiting(database: Database, job: Document) -> Sequence[Document]:
    found = await releases.by_ids(verifying.owner(job), database, [job["releaseId"]])
    return [file for release in found.values() for file in verifying.pending(release)]


async def _renew(database: Database, job: Document) -> None:
    while True:
        await asyncio.sleep(verifying.LEASE.total_seconds() / 3)
        await verifying.renew(database, job)
