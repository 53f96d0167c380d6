"""Promoting releases to environments, and rolling that back (S3).

At each path an environment holds what the last promotion brought there that is not rolled back. A promotion
remembers what its paths held before, so that rolling back finds what comes to light again.
"""

from collections.abc import Iterable
from typing import Any

from pymongo import UpdateOne

from release_catalog import problems
from release_catalog.domain import ids, promotion
from release_catalog.domain.caller import Caller
from release_catalog.domain.checks import Checks
from release_catalog.problems import Problem
from release_catalog.store import ledger, writing
from release_catalog.store.database import Database, Document
from release_catalog.store.requests import Answer, Given

MAX_REASON = 4096

_KEPT = ("checksum", "packageType", "releaseId", "promotionId")
_CONTENT = dict.fromkeys(("path", *_KEPT), 1) | {"_id": 0}
_COPIED = (
    "environment releaseId name version includedRepositoryKeys excludedRepositoryKeys overwriteExistingArtifacts"
).split()


async def promote(caller: Caller, database: Database, given: Given) -> Answer:
    """Bring the chosen files of a release to an environment; a refusal is kept as a record, with all reasons."""

    async def work(session: Any) -> Answer:
        checks = Checks(given, "input")
        keys = [promotion.keys(checks, f"{kind}RepositoryKeys") for kind in ("included", "excluded")]
        if checks.found:
            return problems.Invalid(violations=checks.found)
        previous = await ledger.hold(caller, database, session)
        asked = await _asked(caller, database, given, session)
        if isinstance(asked, Problem):
            return asked
        release, product, environment = asked
        artifacts, wrong = promotion.chosen(release, product, *keys)
        held = await _held(caller, database, environment["name"], artifacts, session)
        reached = await _reached(caller, database, release, environment, session)
        overwrite = bool(given.get("overwriteExistingArtifacts"))
        reasons = promotion.unready(release, environment, reached) + wrong
        reasons += [] if overwrite else promotion.conflicts(artifacts, held)
        record = promotion.record(release, environment, keys, artifacts, reasons, overwrite=overwrite)
        if not reasons:
            record["before"] = list(held.values())
            brought = [{**a, "releaseId": release["id"], "promotionId": record["id"]} for a in artifacts]
            await _lay(caller, database, environment["name"], brought, session)
        answer = await _told(caller, database, previous, record, release, session)
        return {**answer, "problem": promotion.refusal(reasons)}

    return await writing.once(caller, database, "promoteRelease", given, work)


async def _asked(
    caller: Caller, database: Database, given: Given, session: Any
) -> tuple[Document, Document, Document] | Problem:
    """The release, its product and the environment that the input means."""
    release = await writing.found(caller, database, given["releaseId"], given, session)
    if isinstance(release, Problem):
        return release
    match = {"tenantId": caller.tenant, "name": given["environment"]}
    environment = await database.environments.find_one(match, session=session)
    if environment is None:
        return problems.NotFound(detail=f"There is no environment {given['environment']!r}: save it first.")
    product: Any = await database.products.find_one({"_id": caller.key(release["productId"])}, session=session)
    return release, product, environment


async def roll_back(caller: Caller, database: Database, given: Given) -> Answer:
    """Undo a promotion where the environment still holds what it brought; what came there later stays."""

    async def work(session: Any) -> Answer:
        previous = await ledger.hold(caller, database, session)
        checks = Checks(given, "input")
        reason = checks.text("reason", MAX_REASON, required=True, lines=True)
        undone = await database.promotions.find_one({"_id": caller.key(given["promotionId"])}, session=session)
        release = undone and await writing.found(caller, database, undone["releaseId"], given, session)
        if not undone or not release or isinstance(release, Problem):
            return problems.NotFound(detail=f"There is no promotion {given['promotionId']!r}.")
        if undone["status"] != "COMPLETED":
            message = f"It is {undone['status']}: only what is COMPLETED is rolled back."
            checks.refuse("promotionId", "WRONG_STATUS", message)
        if checks.found:
            return problems.Invalid(violations=checks.found)
        if by := (await _undone(caller, database, [undone["id"]], session)).get(undone["id"]):
            return problems.Conflict(detail="It is rolled back already.", conflicting_id=by)
        record = {name: undone[name] for name in _COPIED}
        record |= {"status": "ROLLED_BACK", "messages": [reason], "undoes": undone["id"]}
        record["artifacts"] = await _restore(caller, database, undone, session)
        return await _told(caller, database, previous, record, release, session)

    return await writing.once(caller, database, "rollbackPromotion", given, work)


async def _restore(caller: Caller, database: Database, undone: Document, session: Any) -> list[Document]:
    """Let the paths that still hold what `undone` brought hold what comes to light there; what was taken away."""
    environment = undone["environment"]
    held = await _held(caller, database, environment, undone["artifacts"], session)
    taken = [a for a in undone["artifacts"] if held.get(a["path"], {}).get("promotionId") == undone["id"]]
    paths = {artifact["path"] for artifact in taken}
    below = [content for content in undone.get("before", []) if content["path"] in paths]
    restored = await _standing(caller, database, below, session)
    await _lay(caller, database, environment, restored, session)
    gone = paths - {content["path"] for content in restored}
    match = {"tenantId": caller.tenant, "environment": environment, "path": {"$in": list(gone)}}
    await database.contents.delete_many(match, session=session)
    return taken


async def _standing(caller: Caller, database: Database, contents: list[Document], session: Any) -> list[Document]:
    """`contents`, where a promotion rolled back since brought one, what lay below it instead, if anything."""
    standing = []
    while contents:
        undone = await _undone(caller, database, {c["promotionId"] for c in contents}, session)
        standing += [content for content in contents if content["promotionId"] not in undone]
        wanted = {(content["promotionId"], content["path"]) for content in contents}
        keys = {"_id": {"$in": [caller.key(id_) for id_ in undone]}}
        found = database.promotions.find(keys, {"id": 1, "before": 1}, session=session)
        below = [(record["id"], content) async for record in found for content in record.get("before", [])]
        contents = [content for id_, content in below if (id_, content["path"]) in wanted]
    return standing


async def _undone(caller: Caller, database: Database, ids_: Iterable[str], session: Any) -> dict[str, str]:
    """Which of these promotions are rolled back, and the ids of the records that did so."""
    match = {"tenantId": caller.tenant, "undoes": {"$in": list(ids_)}}
    found = database.promotions.find(match, {"id": 1, "undoes": 1}, hint="undoes", session=session)
    return {record["undoes"]: record["id"] async for record in found}


async def _reached(
    caller: Caller, database: Database, release: Document, environment: Document, session: Any
) -> set[str]:
    """The required environments with a completed promotion of the release that is not rolled back."""
    match = {
        "tenantId": caller.tenant,
        "releaseId": release["id"],
        "environment": {"$in": environment["requires"]},
        "status": {"$in": ["COMPLETED", "ROLLED_BACK"]},
    }
    fields = {"id": 1, "environment": 1, "undoes": 1}
    records = [r async for r in database.promotions.find(match, fields, hint="reached", session=session)]
    undone = {record.get("undoes") for record in records}
    return {r["environment"] for r in records if "undoes" not in r and r["id"] not in undone}


async def _held(
    caller: Caller, database: Database, environment: str, artifacts: Iterable[Given], session: Any
) -> dict[str, Document]:
    """What the environment holds at the paths of `artifacts`, by path."""
    paths = {artifact["path"] for artifact in artifacts}
    match = {"tenantId": caller.tenant, "environment": environment, "path": {"$in": list(paths)}}
    found = database.contents.find(match, _CONTENT, session=session)
    return {content["path"]: content async for content in found}


async def _lay(
    caller: Caller, database: Database, environment: str, contents: Iterable[Given], session: Any
) -> None:
    """Let each path hold its content, whatever it held before."""
    changes = []
    for content in contents:
        at = {"tenantId": caller.tenant, "environment": environment, "path": content["path"]}
        fields = {name: content[name] for name in _KEPT}
        new = {"$set": fields, "$setOnInsert": {"_id": caller.key(ids.new())}}
        changes.append(UpdateOne(at, new, upsert=True))
    if changes:
        await database.contents.bulk_write(changes, ordered=False, session=session)


async def _told(
    caller: Caller,
    database: Database,
    previous: Document | None,
    record: Document,
    release: Document,
    session: Any,
) -> Document:
    """Add the record to the ledger and write its event."""
    added = await ledger.append(caller, database, previous, record, session)
    await writing.happened(
        caller, database, f"promotion.{added['status'].lower()}", release, session, promotion=added
    )
    return {"promotion": added}
