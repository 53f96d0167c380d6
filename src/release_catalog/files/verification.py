"""Work that waits for files: import of a release, verification of its files, and background jobs."""

import asyncio
import contextlib
import dataclasses
import itertools
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

import structlog

from release_catalog import request_record
from release_catalog.domain import ids
from release_catalog.domain.caller import Caller, Owner
from release_catalog.domain.release_parts import ArtifactDocument, VerificationDocument
from release_catalog.errors import Problem, TooBusy
from release_catalog.fair_share import Busy, FairSlots, end_turn
from release_catalog.files.verifier import RELEASES_OF_CALLER, Fetcher
from release_catalog.request_record import Observers, RequestRecord
from release_catalog.storage import (
    bulk_writes,
    idempotency,
    leases,
    outages,
    release_import,
    releases,
    unit_of_work,
    verification_jobs,
)
from release_catalog.storage import database as db
from release_catalog.storage.bulk_writes import Place
from release_catalog.storage.collection_names import VerificationJobDocument
from release_catalog.storage.database import Database
from release_catalog.storage.idempotency import Answer, MutationInput
from release_catalog.storage.outages import Stopping
from release_catalog.storage.workers import Workers

# The time for the database in each step of a command on a terminal.
SECONDS = 15.0
# Concurrent jobs of a process, and those of one tenant: no more than may fetch all their files at once.
JOBS_AT_ONCE, JOBS_OF_TENANT = 16, RELEASES_OF_CALLER
# The maximum wait of a request until its first file is fetched.
MAX_WAIT_SECONDS = 30.0
_IDLE_SECONDS = 1.0

Result = TypeVar("Result")

_log = structlog.get_logger()


async def import_release(
    caller: Caller, database: Database, files: Fetcher, values: MutationInput, seconds: float = SECONDS
) -> Answer:
    """Import a release (S1), refusing what can be refused before any file is fetched.

    In mode WAIT everything is written at once after the verification: a process that dies before leaves nothing.
    The database has `seconds` before that, and as many after it.
    """
    until = time.monotonic() + seconds
    values = _without_ignored(values)
    if values["verification"] != "WAIT" or values.get("dryRun"):
        with db.deadline(seconds):
            return await release_import.import_release(caller, database, values)
    async with idempotency.idempotency_lock(caller, database, "importRelease", values, seconds) as (claim, answer):
        if answer is not None:
            return answer
        with db.deadline(until - time.monotonic()):
            tried = await release_import.import_release(caller, database, {**values, "dryRun": True}, claim=claim)
        if isinstance(tried, Problem):
            return tried
        looked = await _looked(caller, files, tried["release"]["artifacts"])
        with db.deadline(seconds):
            return await release_import.import_release(caller, database, values, looked, claim)


async def import_releases(
    caller: Caller, database: Database, files: Fetcher, values: MutationInput, seconds: float = SECONDS
) -> Answer:
    """Import releases (S1), each as `import_release` does.

    The files of all releases in mode WAIT are fetched together, within the time for those of one release.
    """
    until = time.monotonic() + seconds
    values = {**values, "releases": [_without_ignored(one) for one in values["releases"]]}
    bulk = bulk_writes.Bulk(caller, database, "importReleases", values)
    if refused := bulk.refused():
        return refused
    async with bulk.locked(seconds) as done:
        if isinstance(done, Problem):
            return done
        places = bulk.places
        if any(_waits(place) for place in places[len(done) :]):
            with db.deadline(until - time.monotonic()):
                tried = await bulk.try_all(places[len(done) :], release_import.start_imports)
            places = [*places[: len(done)], *await _all_looked(caller, files, places[len(done) :], tried)]
        with db.deadline(seconds):
            return await bulk.run(done, places, release_import.start_imports)


def _without_ignored(values: MutationInput) -> MutationInput:
    """Return the input of an import without an ignored field (S1), which is no difference between two requests."""
    release = {name: value for name, value in values["release"].items() if name != "projectIdentifier"}
    return {**values, "release": release}


def _waits(place: Place) -> bool:
    return place.values["verification"] == "WAIT" and not place.dry


async def _all_looked(
    caller: Caller, files: Fetcher, places: Sequence[Place], tried: Sequence[Answer]
) -> list[Place]:
    """Return places with the verification of their files, or with the problem that they were refused for."""
    artifacts = [
        answer["release"]["artifacts"] if _waits(place) and not isinstance(answer, Problem) else []
        for place, answer in zip(places, tried, strict=True)
    ]
    looked = iter(await _looked(caller, files, [file for some in artifacts for file in some]))
    return [
        dataclasses.replace(
            place,
            looked=list(itertools.islice(looked, len(some))),
            problem=answer if _waits(place) and isinstance(answer, Problem) else None,
        )
        for place, some, answer in zip(places, artifacts, tried, strict=True)
    ]


async def verify_artifacts(
    caller: Caller, database: Database, files: Fetcher, values: MutationInput, seconds: float = SECONDS
) -> Any:
    """Verify the files of a release again: now, later, or (SKIP) not even the pending ones.

    The database has `seconds` before the files are fetched, and as many after it.
    """
    id_, mode = values["releaseId"], values["verification"]
    with db.deadline(seconds):
        found = await unit_of_work.load_for_update(unit_of_work.UnitOfWork(caller, database), id_, values)
        if isinstance(found, Problem):
            return found
        if mode != "WAIT":
            return await verification_jobs.schedule_again(caller, database, id_, mode)
    looked = await _looked(caller, files, found["artifacts"])
    with db.deadline(seconds):
        return await verification_jobs.save_results(caller, database, id_, found["artifacts"], looked)


async def _looked(
    caller: Caller, files: Fetcher, artifacts: Sequence[ArtifactDocument]
) -> list[VerificationDocument]:
    owner = caller.owner
    end_turn()
    fetch = asyncio.ensure_future(files.check_all(owner, artifacts, max_wait=MAX_WAIT_SECONDS))
    stop = asyncio.ensure_future(files.stopping.wait())
    try:
        await asyncio.wait([fetch, stop], return_when=asyncio.FIRST_COMPLETED)
        if not fetch.done():
            raise Stopping("The server stopped before all files were fetched.")
        return await fetch
    except Busy as busy:
        message = (
            f"Too many files are being fetched: these had to wait for more than {MAX_WAIT_SECONDS:g} "
            "seconds. Repeat the request later, or give verification BACKGROUND."
        )
        raise TooBusy("files", files.of_caller, message) from busy
    finally:
        stop.cancel()
        fetch.cancel()
        await asyncio.wait([fetch])


@contextlib.asynccontextmanager
async def run_workers(
    database: Database,
    files: Fetcher,
    over: asyncio.Event | None = None,
    observers: Observers = (),
    workers: Workers | None = None,
) -> AsyncIterator[None]:
    """Run background jobs, in turns between tenants, while the context lasts and until `over` is set.

    The `observers` get a record of each.
    """
    shift = WorkerShutdown()
    dispatcher = (workers or Workers()).start("verification", _dispatch(database, files, shift, observers))
    try:
        with db.when(over, shift.end):
            yield
    finally:
        shift.end()
        await db.end(dispatcher)


class WorkerShutdown:
    """The jobs of a process, shared between tenants, and their end.

    A wait for jobs or files ends at once, a database command only when it is done: a cancelled command may lose
    its connection, and a driver may swallow the cancellation.
    """

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self._fetches: set[asyncio.Future[Any]] = set()
        self._jobs = FairSlots(JOBS_AT_ONCE, per_tenant=JOBS_OF_TENANT, leave_free=True)
        self._tenant = ""
        self._bell = asyncio.Event()

    def end(self) -> None:
        """Start nothing more, and cancel the current fetches."""
        self.over.set()
        self._bell.set()
        for fetch in self._fetches:
            fetch.cancel()

    async def fetch(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return the result of `work`; raise CancelledError if the shutdown comes first."""
        fetch = asyncio.ensure_future(work)
        self._fetches.add(fetch)
        try:
            return await fetch
        finally:
            self._fetches.discard(fetch)

    async def take(self, database: Database) -> tuple[VerificationJobDocument, contextlib.ExitStack] | None:
        """Lease the next job, and hold its slot until the stack is closed; None if no tenant may have one."""
        if not self._jobs.free:
            return None
        job = await verification_jobs.claim_job(database, self._tenant, self._jobs.full_tenants())
        if job is None:
            return None
        self._tenant = job["tenantId"]
        slot = contextlib.ExitStack()
        slot.callback(self._bell.set)
        slot.enter_context(self._jobs.slot_now(Owner(self._tenant)))
        return job, slot

    async def rest(self) -> None:
        """Wait a moment for new jobs, or for a slot to become free."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._bell.wait(), _IDLE_SECONDS)
        self._bell.clear()


async def _dispatch(database: Database, files: Fetcher, shift: WorkerShutdown, observers: Observers) -> None:
    jobs: set[asyncio.Task[None]] = set()
    while not shift.over.is_set():
        taken = None
        try:
            taken = await shift.take(database)
        except db.Failure as error:
            _log.warning("search for files to verify failed", reason=outages.reason(error))
        except Exception:  # noqa: BLE001  whatever it is, the next look may succeed
            _log.exception("search for files to verify failed")
        if taken is None:
            await shift.rest()
            continue
        job = asyncio.create_task(_record(_work(database, files, shift, *taken), taken[0]["tenantId"], observers))
        jobs.add(job)
        job.add_done_callback(jobs.discard)
    await asyncio.gather(*jobs, return_exceptions=True)


async def _record(work: Coroutine[Any, Any, None], tenant: str, observers: Observers) -> None:
    """Do the work of a job with a record of its own, in the task of the job."""
    record = RequestRecord(ids.new(), "verification")
    record.tenant = tenant
    request_record.current.set(record)
    try:
        await work
    finally:
        request_record.finish(record, observers)


async def _work(
    database: Database,
    files: Fetcher,
    shift: WorkerShutdown,
    job: VerificationJobDocument,
    slot: contextlib.ExitStack,
) -> None:
    try:
        await _verify(database, files, shift, job, slot)
    except asyncio.CancelledError:
        if not shift.over.is_set():
            raise
    except db.Failure as error:
        _log.warning("verification of a release's files failed", reason=outages.reason(error))
    except Exception:  # noqa: BLE001  one failing job must not prevent the others
        _log.exception("verification of a release's files failed")
    if shift.over.is_set():
        # Another process continues the job at once. A finished job is already deleted.
        with contextlib.suppress(db.Failure):
            await verification_jobs.release_job(database, job)


async def process_next_job(database: Database, files: Fetcher, shift: WorkerShutdown) -> bool:
    """Run the next job; return False without one."""
    if (taken := await shift.take(database)) is None:
        return False
    await _verify(database, files, shift, *taken)
    return True


async def _verify(
    database: Database,
    files: Fetcher,
    shift: WorkerShutdown,
    job: VerificationJobDocument,
    slot: contextlib.ExitStack,
) -> None:
    with slot:
        async with leases.renewed(lambda: verification_jobs.renew(database, job), verification_jobs.LEASE):
            waiting = await _waiting(database, job)
            if not shift.over.is_set():
                looked = await shift.fetch(files.check_all(Owner(job["tenantId"]), waiting))
                await verification_jobs.save_results(
                    verification_jobs.owner(job), database, job["releaseId"], waiting, looked, job
                )


async def _waiting(database: Database, job: VerificationJobDocument) -> Sequence[ArtifactDocument]:
    with db.deadline(db.BACKGROUND_SECONDS):
        found = await releases.by_ids(verification_jobs.owner(job), database, [job["releaseId"]])
    return [file for release in found.values() for file in verification_jobs.pending(release)]
