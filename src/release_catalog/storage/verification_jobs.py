"""Verification results of files, and jobs for the releases whose files are still to be verified.

Such a release has a job, written in the transaction that made it. A worker leases a job, renews the lease while it
works, and ends the job in the transaction that stores the results: a job is done once, whichever process dies.
"""

import dataclasses
import datetime
from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypedDict

from pymongo import DeleteOne, UpdateOne

from release_catalog.domain import caller as callers
from release_catalog.domain import ids, release_parts
from release_catalog.domain.caller import Caller
from release_catalog.domain.events import EventDocument
from release_catalog.domain.platforms import PlatformDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_parts import ArtifactDocument, VerificationDocument
from release_catalog.errors import Problem
from release_catalog.storage import database as db
from release_catalog.storage import forms, leases, unit_of_work, visibility
from release_catalog.storage.collection_names import RELEASES, VERIFICATIONS, VerificationJobDocument
from release_catalog.storage.database import Database, Filter, Stage
from release_catalog.storage.unit_of_work import UnitOfWork

LEASE = datetime.timedelta(seconds=30)
# A verification result holds only for these fields of a file.
_TOLD = (("VERIFIED", "artifact.verified"), ("MISMATCH", "artifact.mismatched"))


def set_verification(made: ReleaseDocument, mode: str, looked: Sequence[VerificationDocument]) -> None:
    """Set the verification of a release's files: the results, or PENDING or SKIPPED depending on the mode.

    A file whose URL can't be fetched is UNREACHABLE in every mode.
    """
    for at, file in enumerate(made["artifacts"]):
        if looked:
            made["artifacts"][at] = {**file, "verification": looked[at]}
        elif unreachable := release_parts.unreachable(file["downloadUrl"]):
            if file["verification"]["status"] != "UNREACHABLE":
                made["artifacts"][at] = {**file, "verification": unreachable}
        elif mode == "BACKGROUND":
            made["artifacts"][at] = {**file, "verification": release_parts.not_verified("PENDING")}
        elif file["verification"]["status"] == "PENDING":
            made["artifacts"][at] = {**file, "verification": release_parts.not_verified()}


class ReleaseWarning(TypedDict):
    """A file that has a mismatch or could not be fetched, or another part of an import (S1)."""

    artifactName: str
    platform: PlatformDocument | None
    message: str | None
    expectedSha256: str
    actualSha256: str | None


def warnings(made: ReleaseDocument) -> list[ReleaseWarning]:
    """Return a warning for each file that has a mismatch or could not be fetched (S1)."""
    return [
        {
            "artifactName": file["name"],
            "platform": file["platform"],
            "message": file["verification"]["message"],
            "expectedSha256": file["sha256"],
            "actualSha256": file["verification"]["actualSha256"],
        }
        for file in made["artifacts"]
        if file["verification"]["status"] in {"MISMATCH", "UNREACHABLE"}
    ]


def general_warning(message: str) -> ReleaseWarning:
    """Return a warning about an import that is about none of its files."""
    return {
        "artifactName": "",
        "platform": None,
        "message": message,
        "expectedSha256": "",
        "actualSha256": None,
    }


def pending(made: ReleaseDocument) -> list[ArtifactDocument]:
    """Return the files of a release whose verification is pending."""
    return [file for file in made["artifacts"] if file["verification"]["status"] == "PENDING"]


async def with_files(caller: Caller, database: Database, products: Sequence[str] | None = None) -> list[str]:
    """Return the ids of all releases that have files, or of those of some products."""
    match: Filter = {**visibility.visible(caller), "artifacts.0": {"$exists": True}}
    if products is not None:
        match["productId"] = {"$in": products}
    return [release["id"] async for release in database[RELEASES].find(match, {"id": 1})]


async def schedule_all(turn: UnitOfWork, made: Iterable[ReleaseDocument]) -> None:
    """Create a job for the pending files of each release, or delete its job without any."""
    changes: list[Any] = []
    for release in made:
        key = {"_id": turn.caller.key(release["id"])}
        if not pending(release):
            changes.append(DeleteOne(key))
            continue
        job = {
            "tenantId": turn.caller.tenant,
            "releaseId": release["id"],
            "owner": None,
            "actor": turn.caller.subject,
            forms.FORM: forms.current(VERIFICATIONS),
        }
        change: list[Stage] = [{"$replaceWith": {"$literal": job}}, {"$set": {"leaseUntil": "$$NOW"}}]
        changes.append(UpdateOne(key, change, upsert=True))
    if changes:
        await turn.database[VERIFICATIONS].bulk_write(changes, session=turn.session)


async def schedule_again(caller: Caller, database: Database, id_: str, mode: str) -> Any:
    """Schedule verification of all files of a release, or in mode SKIP cancel it for the pending ones."""

    async def work(session: Any) -> Any:
        turn = UnitOfWork(caller, database, session)
        before = await unit_of_work.load_for_update(turn, id_, {})
        if isinstance(before, Problem):
            return before
        made = before.copy()
        made["artifacts"] = list(before["artifacts"])
        set_verification(made, mode, ())
        await schedule_all(turn, [made])
        if made == before:
            return {"release": before, "warnings": []}
        after = await unit_of_work.update_release(turn, before, {"artifacts": made["artifacts"]})
        await unit_of_work.append_event(caller, database, "release.updated", after, session)
        return {"release": after, "warnings": []}

    return await unit_of_work.serialized_transaction(caller, database, work)


async def save_results(
    caller: Caller,
    database: Database,
    id_: str,
    files: Sequence[ArtifactDocument],
    looked: Sequence[VerificationDocument],
    job: VerificationJobDocument | None = None,
) -> Any:
    """Store the results of `files` as far as the release still has them, and end their job."""
    found = {_content(file): it for file, it in zip(files, looked, strict=True)}

    async def work(session: Any) -> Any:
        if job and not (await database[VERIFICATIONS].delete_one(_held(job), session=session)).deleted_count:
            return None
        turn = UnitOfWork(caller, database, session)
        before = await unit_of_work.load_for_update(turn, id_, {})
        if isinstance(before, Problem):
            return before
        known = [found.get(_content(file)) for file in before["artifacts"]]
        if not any(known):
            return {"release": before, "warnings": warnings(before)}
        after = [
            {**file, "verification": it or file["verification"]}
            for file, it in zip(before["artifacts"], known, strict=True)
        ]
        made = await unit_of_work.update_release(turn, before, {"artifacts": after})
        if not await append_events(turn, made, [it for it in known if it]):
            await unit_of_work.append_event(caller, database, "release.updated", made, session)
        return {"release": made, "warnings": warnings(made)}

    return await unit_of_work.serialized_transaction(caller, database, work)


def _content(file: ArtifactDocument) -> tuple[str, str, int, str]:
    """Return the fields that a verification result is for."""
    return file["id"], file["sha256"], file["size"], file["downloadUrl"]


async def append_events(turn: UnitOfWork, made: ReleaseDocument, looked: Sequence[VerificationDocument]) -> bool:
    """Write the events of verification results; return False if no result has an event."""
    new = new_events(turn.caller, made, looked)
    await unit_of_work.append_events(turn.caller, turn.database, new, turn.session)
    return bool(new)


def new_events(
    caller: Caller, made: ReleaseDocument, looked: Sequence[VerificationDocument]
) -> list[EventDocument]:
    """Return the events of verification results."""
    statuses = {it["status"] for it in looked}
    kinds = [kind for status, kind in _TOLD if status in statuses]
    return [unit_of_work.new_event(caller, kind, made) for kind in kinds]


@db.bounded
async def claim_job(
    database: Database, after: str = "", without: Collection[str] = ()
) -> VerificationJobDocument | None:
    """Lease the oldest job of the next tenant that has one; return None without one.

    Tenants take turns by name, beginning after `after` and skipping those of `without`. It costs a seek in the
    index for each skipped tenant, however many jobs that tenant has.
    """
    lease = [{"$set": {"owner": ids.new(), "leaseUntil": leases.after(LEASE)}}]
    job: VerificationJobDocument | None = None
    for tenants in ({"$gt": after}, {"$lte": after}):
        job = job or await database[VERIFICATIONS].find_one_and_update(
            {"tenantId": {**tenants, "$nin": [*without]}, **leases.is_over("leaseUntil")},
            lease,
            sort=[("tenantId", 1), ("leaseUntil", 1)],
            hint="turn",
            return_document=db.AFTER,
        )
    return job


async def renew(database: Database, job: VerificationJobDocument) -> bool:
    """Renew the lease of a job; return False if another worker has it, or it is done."""
    until = [{"$set": {"leaseUntil": leases.after(LEASE)}}]
    return bool((await database[VERIFICATIONS].update_one(_held(job), until)).matched_count)


@db.bounded
async def release_job(database: Database, job: VerificationJobDocument) -> None:
    """Release the lease of an unfinished job."""
    await database[VERIFICATIONS].update_one(_held(job), [{"$set": {"owner": None, "leaseUntil": "$$NOW"}}])


def owner(job: VerificationJobDocument) -> Caller:
    """Return the caller on whose behalf a job runs; its subject is empty if nobody knows who asked for the job."""
    return dataclasses.replace(callers.local(job["tenantId"]), subject=job["actor"] or "")


def _held(job: VerificationJobDocument) -> Filter:
    return {"_id": job["_id"], "owner": job["owner"]}
