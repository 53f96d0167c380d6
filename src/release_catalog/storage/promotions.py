"""Promotion of releases to environments, and its rollback (S3).

Each path of an environment holds the artifact of the last promotion that is not rolled back. A promotion stores
what its paths held before, so that a rollback can restore it.
"""

import datetime
from collections.abc import Iterable

from pymongo import UpdateOne

from release_catalog import errors, usage
from release_catalog.domain import ids, promotion
from release_catalog.domain.ledger import LedgerHead
from release_catalog.domain.promotion import (
    ContentDocument,
    PromotedArtifactDocument,
    PromotionAttempt,
    PromotionDocument,
)
from release_catalog.domain.reference_data import EnvironmentDocument, ProductDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.validation import MAX_LONG_TEXT, Validator
from release_catalog.errors import Problem
from release_catalog.storage import cursors, environment_holdings, forms, ledger, unit_of_work
from release_catalog.storage.collection_names import CONTENTS, ENVIRONMENTS, PRODUCTS, PROMOTIONS
from release_catalog.storage.idempotency import Answer, MutationInput, Payload
from release_catalog.storage.unit_of_work import UnitOfWork, command

_CONTENT = dict.fromkeys(ContentDocument.__annotations__, 1) | {"_id": 0}


@command("promoteRelease")
async def promote(turn: UnitOfWork, values: MutationInput) -> Answer:
    """Promote the chosen files of a release to an environment; a refusal becomes a record with all reasons."""
    checks = Validator(values, "input")
    keys = [promotion.keys(checks, f"{kind}RepositoryKeys") for kind in ("included", "excluded")]
    if checks.found:
        return errors.ValidationProblem(violations=checks.found)
    previous = await ledger.hold(turn)
    subjects = await _load_subjects(turn, values)
    if isinstance(subjects, Problem):
        return subjects
    release, product, environment = subjects
    artifacts, wrong = promotion.chosen(release, product, *keys)
    held = await _contents_at(turn, environment["name"], artifacts)
    reached = await _reached(turn, release, environment)
    overwrite = bool(values.get("overwriteExistingArtifacts"))
    reasons = promotion.unready(release, environment, reached) + wrong
    reasons += [] if overwrite else promotion.conflicts(artifacts, held)
    record = promotion.record(release, environment, keys, artifacts, reasons, overwrite=overwrite)
    if reasons:
        answer = await _record(turn, previous, record, release)
        return {**answer, "problem": promotion.refusal(reasons)}
    record["before"] = list(held.values())
    answer = await _record(turn, previous, record, release)
    brought: list[ContentDocument] = [
        {
            "path": artifact["path"],
            "checksum": artifact["checksum"],
            "packageType": artifact["packageType"],
            "releaseId": release["id"],
            "promotionId": record["id"],
        }
        for artifact in artifacts
    ]
    await _write_contents(turn, environment["name"], brought)
    overwritten = {content["releaseId"] for content in held.values()}
    await environment_holdings.record(turn, environment["name"], overwritten | {release["id"]})
    return {**answer, "problem": None}


async def _load_subjects(
    turn: UnitOfWork, values: MutationInput
) -> tuple[ReleaseDocument, ProductDocument, EnvironmentDocument] | Problem:
    """Return the release of the input, its product and its environment."""
    release = await unit_of_work.load_for_update(turn, values["releaseId"], values)
    if isinstance(release, Problem):
        return release
    match = {"tenantId": turn.caller.tenant, "name": values["environment"]}
    environment = await turn.database[ENVIRONMENTS].find_one(match, session=turn.session)
    if environment is None:
        return errors.NotFound(detail=f"The environment {values['environment']!r} does not exist: save it first.")
    product = await turn.one(PRODUCTS, release["productId"])
    if product is None:
        return errors.NotFound(detail=f"The product {release['productId']!r} does not exist: save it first.")
    return release, product, environment


@command("rollbackPromotion")
async def roll_back(turn: UnitOfWork, values: MutationInput) -> Answer:
    """Undo a promotion at the paths that still hold its artifacts; later artifacts stay."""
    previous = await ledger.hold(turn)
    checks = Validator(values, "input")
    reason = checks.text("reason", MAX_LONG_TEXT, required=True) or ""
    undone = await turn.one(PROMOTIONS, values["promotionId"])
    release = undone and await unit_of_work.load_for_update(turn, undone["releaseId"], values)
    if not undone or not release or isinstance(release, Problem):
        return errors.NotFound(detail=f"The promotion {values['promotionId']!r} does not exist: check its id.")
    if undone["status"] != "COMPLETED":
        message = f"The promotion is {undone['status']}: only a COMPLETED one can be rolled back."
        checks.refuse("promotionId", "WRONG_STATUS", message)
    if checks.found:
        return errors.ValidationProblem(violations=checks.found)
    if by := (await _rolled_back(turn, [undone["id"]])).get(undone["id"]):
        return errors.Conflict(
            detail="The promotion is rolled back already: its contents are restored.", conflicting_id=by
        )
    record: PromotionAttempt = {
        "id": ids.new(),
        "environment": undone["environment"],
        "releaseId": undone["releaseId"],
        "name": undone["name"],
        "version": undone["version"],
        "status": "ROLLED_BACK",
        "messages": [reason],
        "artifacts": await _restore(turn, undone),
        "includedRepositoryKeys": undone["includedRepositoryKeys"],
        "excludedRepositoryKeys": undone["excludedRepositoryKeys"],
        "overwriteExistingArtifacts": undone["overwriteExistingArtifacts"],
        "undoes": undone["id"],
    }
    return await _record(turn, previous, record, release)


async def _restore(turn: UnitOfWork, undone: PromotionDocument) -> list[PromotedArtifactDocument]:
    """Restore the earlier contents at the paths that still hold what `undone` brought; return what was removed."""
    environment = undone["environment"]
    held = await _contents_at(turn, environment, undone["artifacts"])
    own = {path for path, content in held.items() if content["promotionId"] == undone["id"]}
    taken = [artifact for artifact in undone["artifacts"] if artifact["path"] in own]
    paths = {artifact["path"] for artifact in taken}
    below = [content for content in undone.get("before", []) if content["path"] in paths]
    restored = await _effective_contents(turn, below)
    await _write_contents(turn, environment, restored)
    gone = paths - {content["path"] for content in restored}
    match = {"tenantId": turn.caller.tenant, "environment": environment, "path": {"$in": list(gone)}}
    await turn.database[CONTENTS].delete_many(match, session=turn.session)
    releases = {content["releaseId"] for content in restored} | {undone["releaseId"]}
    await environment_holdings.record(turn, environment, releases)
    return taken


async def _effective_contents(turn: UnitOfWork, contents: list[ContentDocument]) -> list[ContentDocument]:
    """Replace contents whose promotion was rolled back since by what was below them, if anything."""
    standing = []
    while contents:
        undone = await _rolled_back(turn, {c["promotionId"] for c in contents})
        standing += [content for content in contents if content["promotionId"] not in undone]
        content_keys = {(content["promotionId"], content["path"]) for content in contents}
        keys = {"_id": {"$in": [turn.caller.key(id_) for id_ in undone]}}
        found = turn.database[PROMOTIONS].find(keys, {"id": 1, "before": 1}, session=turn.session)
        records = await cursors.documents(found)
        below = [(record["id"], content) for record in records for content in record.get("before", [])]
        contents = [content for id_, content in below if (id_, content["path"]) in content_keys]
    return standing


async def _rolled_back(turn: UnitOfWork, ids_: Iterable[str]) -> dict[str, str]:
    """Return those of these promotions that are rolled back, each with the id of the rollback's record."""
    match, shown = {"tenantId": turn.caller.tenant, "undoes": {"$in": list(ids_)}}, {"id": 1, "undoes": 1}
    found = turn.database[PROMOTIONS].find(match, shown, hint="undoes", session=turn.session)
    return {record["undoes"]: record["id"] for record in await cursors.documents(found)}


async def _reached(turn: UnitOfWork, release: ReleaseDocument, environment: EnvironmentDocument) -> set[str]:
    """Return the required environments with a completed promotion of the release that is not rolled back."""
    match = {
        "tenantId": turn.caller.tenant,
        "releaseId": release["id"],
        "environment": {"$in": environment["requires"]},
        "status": {"$in": ["COMPLETED", "ROLLED_BACK"]},
    }
    fields = {"id": 1, "environment": 1, "undoes": 1}
    found = turn.database[PROMOTIONS].find(match, fields, hint="reached", session=turn.session)
    records = await cursors.documents(found)
    undone = {record.get("undoes") for record in records}
    return {r["environment"] for r in records if "undoes" not in r and r["id"] not in undone}


async def _contents_at(
    turn: UnitOfWork, environment: str, artifacts: Iterable[PromotedArtifactDocument]
) -> dict[str, ContentDocument]:
    """Return the environment's contents at the paths of `artifacts`, by path."""
    paths = {artifact["path"] for artifact in artifacts}
    match = {"tenantId": turn.caller.tenant, "environment": environment, "path": {"$in": list(paths)}}
    found = turn.database[CONTENTS].find(match, _CONTENT, session=turn.session)
    return {content["path"]: content for content in await cursors.documents(found)}


async def _write_contents(turn: UnitOfWork, environment: str, contents: Iterable[ContentDocument]) -> None:
    """Set the content of each path, replacing any earlier one."""
    contents, changes = list(contents), []
    times = await _creation_times(turn, {content["promotionId"] for content in contents})
    for content in contents:
        at = {"tenantId": turn.caller.tenant, "environment": environment, "path": content["path"]}
        key = {"_id": turn.caller.key(ids.new()), forms.FORM: forms.current(CONTENTS)}
        new = {"$set": {**content, "since": times[content["promotionId"]]}, "$setOnInsert": key}
        changes.append(UpdateOne(at, new, upsert=True))
    usage.walk(len(changes))
    if changes:
        await turn.database[CONTENTS].bulk_write(changes, ordered=False, session=turn.session)


async def _creation_times(turn: UnitOfWork, ids_: Iterable[str]) -> dict[str, datetime.datetime]:
    """Return the times of promotions, by id."""
    keys = {"_id": {"$in": [turn.caller.key(id_) for id_ in ids_]}}
    found = turn.database[PROMOTIONS].find(keys, {"id": 1, "created": 1}, session=turn.session)
    return {record["id"]: record["created"] for record in await cursors.documents(found)}


async def _record(
    turn: UnitOfWork, previous: LedgerHead | None, attempt: PromotionAttempt, release: ReleaseDocument
) -> Payload:
    """Add the record to the ledger and write its event."""
    added = await ledger.append(turn, previous, attempt)
    kind = f"promotion.{added['status'].lower()}"
    await unit_of_work.append_event(turn.caller, turn.database, kind, release, turn.session, promotion=added)
    return {"promotion": added}
