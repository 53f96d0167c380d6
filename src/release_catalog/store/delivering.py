"""Delivering releases (S4): the status of a delivery, and the runs of its pipeline."""

from typing import Any

from release_catalog import problems
from release_catalog.domain import delivery, ids, instants
from release_catalog.domain.caller import Caller
from release_catalog.domain.checks import Checks
from release_catalog.problems import Problem
from release_catalog.store import cursors, writing
from release_catalog.store import database as db
from release_catalog.store.database import Database, Document
from release_catalog.store.requests import Answer, Given
from release_catalog.store.writing import Turn, verb

RUNNING = "RUNNING"


async def known(caller: Caller, database: Database, wanted: delivery.Wanted, session: Any) -> delivery.Known:
    """The pipelines and projects that the rules of a delivery have to look at."""
    keys = [caller.key(id_) for id_ in wanted.pipelines]
    match = {"tenantId": caller.tenant, "$or": [{"_id": {"$in": keys}}, {"name": {"$in": list(wanted.names)}}]}
    pipelines = database.pipelines.find(match, session=session)
    keys = [caller.key(id_) for id_ in wanted.projects]
    projects = database.projects.find({"_id": {"$in": keys}}, session=session)
    return delivery.Known(
        pipelines={pipeline["id"]: pipeline for pipeline in await cursors.documents(pipelines)},
        projects={project["id"]: project for project in await cursors.documents(projects)},
    )


@verb("setDeliveryStatus")
async def set_delivery_status(turn: Turn, given: Given) -> Answer:
    """Start, suspend, resume or complete the delivery of a release."""
    found = await writing.found(turn, given["releaseId"], given)
    if isinstance(found, Problem):
        return found
    to, before, now = given["status"], found["delivery"], instants.now()
    running = to == "COMPLETED" and await _is_running(turn, found)
    after, violations = delivery.step(before, to, running=running, now=now)
    if violations:
        return problems.Invalid(violations=violations)
    changed = await writing.change(turn, found, {"delivery": after, "updatedAt": now})
    if kind := delivery.event(before, after):
        await writing.happened(turn.caller, turn.database, kind, changed, turn.session)
    return {"release": changed}


@verb("recordPipelineExecution")
async def record_pipeline_execution(turn: Turn, given: Given) -> Answer:
    """Record that a pipeline runs for a release, or how its run has ended."""
    checks = Checks(given, "input")
    id_ = checks.id("id") or ids.new()
    release = await writing.found(turn, given["releaseId"], given)
    if isinstance(release, Problem):
        return release
    if not await turn.one("pipelines", given["pipelineId"]):
        checks.refuse("pipelineId", "UNKNOWN", f"There is no pipeline {given['pipelineId']!r}: save it first.")
    before = await turn.one("executions", id_)
    if before and turn.caller.product and before["releaseId"] != release["id"]:
        # It may be of a release that does not exist for this caller: nothing is told of it.
        return problems.Conflict(detail=f"The id {id_!r} is taken: give another one.", conflicting_id=id_)
    if before:
        checks.fixed("pipelineId", before["pipelineId"])
        checks.fixed("releaseId", before["releaseId"])
    if checks.found:
        return problems.Invalid(violations=checks.found)
    if not before and given["status"] == RUNNING and await _is_over(turn, given, release):
        return problems.Conflict(detail="The delivery is completed: its pipeline runs for it no more.")
    return await _record(turn, id_, before, given)


async def _is_running(turn: Turn, release: Document) -> bool:
    """Whether a run of the delivery's pipeline for the release goes on."""
    if not release["delivery"] or release["delivery"]["pipelineId"] is None:
        return False
    await _take_turns(turn, release)
    match = {"tenantId": turn.caller.tenant, "pipelineId": release["delivery"]["pipelineId"], "status": RUNNING}
    match["releaseId"] = release["id"]
    return bool(await turn.database.executions.find_one(match, session=turn.session))


async def _is_over(turn: Turn, given: Given, release: Document) -> bool:
    """Whether the delivery that the pipeline would run for is completed."""
    await _take_turns(turn, release)
    plan = release["delivery"]
    return bool(plan and plan["status"] == "COMPLETED" and plan["pipelineId"] == given["pipelineId"])


async def _take_turns(turn: Turn, release: Document) -> None:
    """Write what every start of a run and every completion writes.

    Neither changes what the other reads before it is too late (S4 rule 3). Through this, the two collide, and
    MongoDB has the later repeated, which then sees the earlier.
    """
    key = {"_id": turn.caller.key(f"executions/{release['id']}")}
    await turn.database.counters.update_one(key, {"$inc": {"value": 1}}, upsert=True, session=turn.session)


async def _record(turn: Turn, id_: str, before: Document | None, given: Given) -> Answer:
    now, status = instants.now(), given["status"]
    if before and before["status"] == status:
        # Told again: whoever runs pipelines may not know that it was heard.
        return {"execution": before}
    if before and before["status"] != RUNNING:
        detail = f"The run {id_!r} has ended ({before['status']}): that stays."
        return problems.Conflict(detail=detail, conflicting_id=id_)
    new = {field: given[field] for field in ("pipelineId", "releaseId")}
    change = {
        "$set": {"status": status, "endedAt": None if status == RUNNING else now},
        "$setOnInsert": {"id": id_, "tenantId": turn.caller.tenant, **new, "startedAt": now},
    }
    saved = await turn.database.executions.find_one_and_update(
        {"_id": turn.caller.key(id_)}, change, upsert=True, return_document=db.AFTER, session=turn.session
    )
    return {"execution": saved}
