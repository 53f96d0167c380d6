"""The delivery of releases (S4): its status, and the runs of its pipeline."""

from typing import Any

from release_catalog import errors
from release_catalog.domain import ids, release_delivery, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import ExecutionDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.validation import Validator
from release_catalog.errors import Problem
from release_catalog.storage import cursors, unit_of_work
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import COUNTERS, EXECUTIONS, PIPELINES, PROJECTS
from release_catalog.storage.database import Database, Filter
from release_catalog.storage.idempotency import Answer, MutationInput
from release_catalog.storage.unit_of_work import UnitOfWork, command

RUNNING = "RUNNING"


async def known(
    caller: Caller, database: Database, references: release_delivery.References, session: Any
) -> release_delivery.Known:
    """Return the pipelines and projects that the rules of a release delivery need."""
    keys = [caller.key(id_) for id_ in references.pipelines]
    match: Filter = {
        "tenantId": caller.tenant,
        "$or": [{"_id": {"$in": keys}}, {"name": {"$in": list(references.names)}}],
    }
    pipelines = database[PIPELINES].find(match, session=session)
    keys = [caller.key(id_) for id_ in references.projects]
    projects = database[PROJECTS].find({"_id": {"$in": keys}}, session=session)
    return release_delivery.Known(
        pipelines={pipeline["id"]: pipeline for pipeline in await cursors.documents(pipelines)},
        projects={project["id"]: project for project in await cursors.documents(projects)},
    )


@command("setDeliveryStatus")
async def set_delivery_status(turn: UnitOfWork, values: MutationInput) -> Answer:
    """Start, suspend, resume or complete the delivery of a release."""
    found = await unit_of_work.load_for_update(turn, values["releaseId"], values)
    if isinstance(found, Problem):
        return found
    to, before, now = values["status"], found["delivery"], timestamps.now()
    running = to == "COMPLETED" and await _is_running(turn, found)
    after, violations = release_delivery.step(before, to, running=running, now=now)
    if violations:
        return errors.ValidationProblem(violations=violations)
    changed = await unit_of_work.update_release(turn, found, {"delivery": after, "updatedAt": now})
    if kind := release_delivery.event(before, after):
        await unit_of_work.append_event(turn.caller, turn.database, kind, changed, turn.session)
    return {"release": changed}


@command("recordPipelineExecution")
async def record_pipeline_execution(turn: UnitOfWork, values: MutationInput) -> Answer:
    """Record the start or the end of a pipeline's run for a release."""
    checks = Validator(values, "input")
    id_ = checks.id("id") or ids.new()
    release = await unit_of_work.load_for_update(turn, values["releaseId"], values)
    if isinstance(release, Problem):
        return release
    if not await turn.one(PIPELINES, values["pipelineId"]):
        checks.refuse(
            "pipelineId", "UNKNOWN", f"The pipeline {values['pipelineId']!r} does not exist: save it first."
        )
    before = await turn.one(EXECUTIONS, id_)
    if before and turn.caller.product and before["releaseId"] != release["id"]:
        # The run may belong to a release hidden from this caller, so the answer says nothing about it.
        return errors.Conflict(detail=f"Another run has the id {id_!r}: give another id.", conflicting_id=id_)
    if before:
        checks.fixed("pipelineId", before["pipelineId"])
        checks.fixed("releaseId", before["releaseId"])
    if checks.found:
        return errors.ValidationProblem(violations=checks.found)
    if not before:
        await _take_turns(turn, release)
    if not before and values["status"] == RUNNING and _is_over(values, release):
        return errors.Conflict(
            detail="The delivery is COMPLETED, so its pipeline can't run again: use another release."
        )
    return await _record(turn, id_, before, values)


async def delete_executions(turn: UnitOfWork, release: ReleaseDocument) -> None:
    """Delete the runs of all pipelines for a release that is deleted."""
    await _take_turns(turn, release)
    match = {"tenantId": turn.caller.tenant, "releaseId": release["id"]}
    await turn.database[EXECUTIONS].delete_many(match, session=turn.session)


async def _is_running(turn: UnitOfWork, release: ReleaseDocument) -> bool:
    """Return whether a run of the delivery's pipeline for the release is in progress."""
    if not release["delivery"] or release["delivery"]["pipelineId"] is None:
        return False
    await _take_turns(turn, release)
    match = {"tenantId": turn.caller.tenant, "pipelineId": release["delivery"]["pipelineId"], "status": RUNNING}
    match["releaseId"] = release["id"]
    return bool(await turn.database[EXECUTIONS].find_one(match, session=turn.session))


def _is_over(values: MutationInput, release: ReleaseDocument) -> bool:
    """Return whether the delivery that the pipeline would run for is completed."""
    plan = release["delivery"]
    return bool(plan and plan["status"] == "COMPLETED" and plan["pipelineId"] == values["pipelineId"])


async def _take_turns(turn: UnitOfWork, release: ReleaseDocument) -> None:
    """Write a counter that every new run, every completion and every discarding writes.

    None of them changes what the others read before it is too late (S4 rule 3). Through this counter they collide,
    and MongoDB has the later one repeated, which then sees the earlier.
    """
    key = {"_id": turn.caller.key(f"executions/{release['id']}")}
    await turn.database[COUNTERS].update_one(key, {"$inc": {"value": 1}}, upsert=True, session=turn.session)


async def _record(turn: UnitOfWork, id_: str, before: ExecutionDocument | None, values: MutationInput) -> Answer:
    now, status = timestamps.now(), values["status"]
    if before and before["status"] == status:
        # A retry: the client may not know that the first request arrived.
        return {"execution": before}
    if before and before["status"] != RUNNING:
        detail = f"The run {id_!r} has ended ({before['status']}) and can't change: record a new run."
        return errors.Conflict(detail=detail, conflicting_id=id_)
    new = {field: values[field] for field in ("pipelineId", "releaseId")}
    change = {
        "$set": {"status": status, "endedAt": None if status == RUNNING else now},
        "$setOnInsert": {"id": id_, "tenantId": turn.caller.tenant, **new, "startedAt": now},
    }
    key = {"_id": turn.caller.key(id_)}
    return {"execution": await db.upsert(turn.database[EXECUTIONS], key, change, turn.session)}
