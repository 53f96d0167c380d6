"""The delivery of a release (S4): the rules for its fields, and its status machine."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from release_catalog.domain import change_management, cron, delivery_projects, delivery_properties
from release_catalog.domain.change_management import CmsDetailsDocument
from release_catalog.domain.delivery_projects import DeliveryProjectDocument
from release_catalog.domain.delivery_properties import PropertyValueDocument
from release_catalog.domain.reference_data import MAX_ENTRIES, PipelineDocument, ProjectDocument
from release_catalog.domain.validation import MAX_LONG_TEXT, FieldParsers, Validator, name, text
from release_catalog.errors import Violation

MAX_SCHEDULE = 1024
MAX_EXPRESSIONS = 50
STEPS = {
    "NOT_STARTED": frozenset({"STARTED"}),
    "STARTED": frozenset({"SUSPENDED", "COMPLETED"}),
    "SUSPENDED": frozenset({"STARTED", "COMPLETED"}),
    "COMPLETED": frozenset[str](),
}


class DeliveryDocument(TypedDict):
    """The delivery of a release; its dates are ISO dates."""

    status: str
    description: str | None
    startDate: str | None
    endDate: str | None
    scheduleBuildExpression: str | None
    pipelineId: str | None
    projects: list[DeliveryProjectDocument]
    properties: list[PropertyValueDocument]
    cmsDetails: CmsDetailsDocument | None


NEW: DeliveryDocument = {
    "status": "NOT_STARTED",
    "description": None,
    "startDate": None,
    "endDate": None,
    "scheduleBuildExpression": None,
    "pipelineId": None,
    "projects": [],
    "properties": [],
    "cmsDetails": None,
}
STARTED_OR_LATER = frozenset(STEPS) - {"NOT_STARTED"}
UNDER_WAY = frozenset({"STARTED", "SUSPENDED"})
_BEARING_ON_PROPERTIES = frozenset({"status", "pipelineId", "pipelineName", "projects", "properties"})


@dataclasses.dataclass(frozen=True)
class References:
    """The references of a release delivery: pipelines by id or by name, projects by id."""

    pipelines: frozenset[str]
    names: frozenset[str]
    projects: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Known:
    """The documents behind these references, by id: pipelines (all with a given name among them) and projects."""

    pipelines: Mapping[str, PipelineDocument]
    projects: Mapping[str, ProjectDocument]


def read(validator: Validator) -> dict[str, Any]:
    """Return the given fields of a DeliveryInput, null kept as None; `validator` collects violations.

    Property values become text.
    """
    readers: FieldParsers = {
        "status": lambda checks, field: checks.choice(field, *STEPS),
        "description": text(MAX_LONG_TEXT),
        "scheduleBuildExpression": _schedule,
        "pipelineId": delivery_projects.key,
        "pipelineName": name(required=False),
        "projects": lambda checks, field: [delivery_projects.read(e) for e in checks.items(field, MAX_ENTRIES)],
        "properties": delivery_properties.read,
        "cmsDetails": change_management.read,
    }
    validator.known(readers.keys())
    return {
        field: None if validator.fields[field] is None else reader(validator, field)
        for field, reader in readers.items()
        if field in validator.fields
    }


def _schedule(checks: Validator, field: str) -> str | None:
    # S4 rule 11
    schedule = checks.text(field, MAX_SCHEDULE, tabs=True)
    if schedule is None:
        return None
    pieces = schedule.split(";")
    if len(pieces) > MAX_EXPRESSIONS:
        checks.refuse(
            field, "TOO_MANY", f"The schedule has {len(pieces)} expressions: give at most {MAX_EXPRESSIONS}."
        )
        return schedule
    for piece in pieces if len(schedule) <= MAX_SCHEDULE else ():
        try:
            cron.check(piece)
        except ValueError as error:
            checks.refuse(field, "NOT_CRON", f"{piece.strip()!r} is not a cron expression: {error}")
    return schedule


def references(before: DeliveryDocument | None, values: Mapping[str, Any]) -> References:
    """Return the references that `apply` needs; `values` are as `read` returns them."""
    pipelines = [before["pipelineId"] if before else None, values.get("pipelineId")]
    entries = [*(before["projects"] if before else ()), *(values.get("projects") or ())]
    return References(
        pipelines=frozenset(id_ for id_ in pipelines if id_),
        names=frozenset(name for name in [values.get("pipelineName")] if name),
        projects=frozenset(id_ for entry in entries if (id_ := entry.get("projectId"))),
    )


def apply(
    before: DeliveryDocument | None,
    values: Mapping[str, Any],
    known: Known,
    checks: Validator,
    now: datetime.datetime,
    *,
    replace: bool,
) -> tuple[DeliveryDocument, list[str]]:
    """Return the delivery after `values`, with warnings; violations go to `checks`.

    Without `replace`, `values` are added to `before` or update it, and nothing is removed. With it, everything but
    the status and its dates takes the given value or its default.
    """
    base = NEW if replace or before is None else before
    present = {field: value for field, value in values.items() if value is not None}
    kept = before or NEW
    after: DeliveryDocument = {
        "status": kept["status"],
        "description": present.get("description", base["description"]),
        "startDate": kept["startDate"],
        "endDate": kept["endDate"],
        "scheduleBuildExpression": present.get("scheduleBuildExpression", base["scheduleBuildExpression"]),
        "pipelineId": _pipeline(base["pipelineId"], present, known, checks),
        "projects": delivery_projects.merged(
            base["projects"], present.get("projects", ()), known.projects, checks
        ),
        "properties": delivery_properties.put(base["properties"], present.get("properties", ()), "propertyName"),
        "cmsDetails": change_management.merged(base["cmsDetails"], present.get("cmsDetails")),
    }
    warnings = _steer(after, present.get("status"), checks, now)
    # S4 rule 1
    if not after["projects"] and (
        present.get("status") == "STARTED" or (replace and after["status"] in UNDER_WAY)
    ):
        field = "status" if present.get("status") == "STARTED" else "projects"
        checks.refuse(field, "NO_PROJECT", "The delivery has no project: give at least one to start it.")
    _check_sizes(after, checks)
    if replace or present.keys() & _BEARING_ON_PROPERTIES:
        warnings += _check_properties(after, present, known, checks)
    return after, warnings


def kept(before: DeliveryDocument) -> str:
    """Return the warning that a replacement without a delivery keeps this one."""
    return f"The delivery is {before['status']} and stays as it is: give a delivery to replace it."


def _check_sizes(after: DeliveryDocument, checks: Validator) -> None:
    cms = after["cmsDetails"]
    lists: dict[str, Sequence[Mapping[str, Any]]] = {
        "projects": after["projects"],
        "properties": after["properties"],
        f"cmsDetails.{change_management.ENVIRONMENTS}": (cms and cms["overriddenEnvironmentConfigurations"]) or (),
    }
    for field, entries in lists.items():
        if len(entries) > MAX_ENTRIES:
            message = f"The list would have {len(entries)} entries: give at most {MAX_ENTRIES} in all."
            checks.refuse(field, "TOO_MANY", message)


def _pipeline(before: str | None, values: Mapping[str, Any], known: Known, checks: Validator) -> str | None:
    # S4 rule 4
    id_, name = values.get("pipelineId"), values.get("pipelineName")
    if id_ is not None:
        pipeline = known.pipelines.get(id_)
        if pipeline is None:
            checks.refuse("pipelineId", "UNKNOWN", f"The pipeline {id_!r} does not exist: save it first.")
        elif name is not None and pipeline["name"] != name:
            message = (
                f"The pipeline {id_!r} has the name {pipeline['name']!r}: correct the id or the name, or "
                "give only one of them."
            )
            checks.refuse("pipelineName", "ANOTHER_PIPELINE", message)
        return str(id_)
    if name is None:
        return before
    found = [pipeline["id"] for pipeline in known.pipelines.values() if pipeline["name"] == name]
    if not found:
        checks.refuse("pipelineName", "UNKNOWN", f"The pipeline named {name!r} does not exist: save it first.")
    elif len(found) > 1:
        checks.refuse(
            "pipelineName", "AMBIGUOUS", f"{len(found)} pipelines have the name {name!r}: give the pipelineId."
        )
    return found[0] if found else before


def _check_properties(
    after: DeliveryDocument, values: Mapping[str, Any], known: Known, checks: Validator
) -> list[str]:
    """Refuse missing properties; return warnings of those that nothing defines."""
    pipeline = known.pipelines.get(after["pipelineId"] or "")
    # S4 rule 5
    if after["properties"] and not after["pipelineId"] and not values.keys() & {"pipelineId", "pipelineName"}:
        checks.refuse("properties", "NO_PIPELINE", "Properties need a pipeline: give pipelineId or pipelineName.")
    # S4 rule 2: without a project no property is required yet
    used = {entry.get("projectId"): None for entry in after["projects"]}
    owners: list[tuple[str, ProjectDocument | PipelineDocument]] = [
        ("project", project) for id_ in used if (project := known.projects.get(id_ or ""))
    ]
    if pipeline:
        owners.append(("pipeline", pipeline))
    for kind, owner in owners if used else ():
        for property_ in delivery_properties.missing(after["properties"], owner["properties"]):
            message = f"The {kind} {owner['name']} requires the property {property_!r}: give it a value."
            checks.refuse("properties", "PROPERTY_REQUIRED", message)
    defined = {definition["name"] for _, owner in owners for definition in owner["properties"]}
    return [
        f"Neither the pipeline nor a project defines the property {entry['propertyName']!r}: check its name."
        for entry in after["properties"]
        if entry["propertyName"] not in defined
    ]


def _steer(
    delivery: DeliveryDocument, new_status: str | None, checks: Validator, now: datetime.datetime
) -> list[str]:
    """Give `delivery` the requested status where S4 rule 12 allows it; return warnings if it stays."""
    status = delivery["status"]
    if new_status in {"SUSPENDED", "COMPLETED"} or (
        new_status == "STARTED" and status in {"SUSPENDED", "COMPLETED"}
    ):
        message = f"An update can't change {status} to {new_status}: use setDeliveryStatus."
        checks.refuse("status", "WRONG_STATUS", message)
    elif new_status == "STARTED" and status == "NOT_STARTED":
        _enter(delivery, new_status, now)
    elif new_status == "NOT_STARTED" and status != "NOT_STARTED":
        return [f"The delivery stays {status}: a started delivery can't become NOT_STARTED."]
    return []


def _enter(delivery: DeliveryDocument, status: str, now: datetime.datetime) -> None:
    if delivery["status"] == "NOT_STARTED":
        delivery["startDate"] = now.date().isoformat()
    if status == "COMPLETED":
        delivery["endDate"] = now.date().isoformat()
    delivery["status"] = status


def step(
    delivery: DeliveryDocument | None, to: str, *, running: bool, now: datetime.datetime
) -> tuple[DeliveryDocument | None, list[Violation]]:
    """Return the delivery after setDeliveryStatus, and the violations that prevent the step to `to`.

    `running`: whether a run of its pipeline for this release is in progress.
    """
    if delivery is None:
        message = "The release has no delivery: add one first."
        return None, [Violation("input.releaseId", message, "NO_DELIVERY")]
    found = []
    if to not in STEPS[delivery["status"]]:
        message = f"A delivery that is {delivery['status']} can't become {to}: give a status that follows."
        found.append(Violation("input.status", message, "WRONG_STATUS"))
    if to == "STARTED" and not delivery["projects"]:  # S4 rule 1
        message = "The delivery has no project: add one before the start."
        found.append(Violation("input.status", message, "NO_PROJECT"))
    if to == "COMPLETED" and running:  # S4 rule 3
        message = "The pipeline still runs for this release: wait until its runs have ended."
        found.append(Violation("input.status", message, "RUNNING"))
    after = delivery.copy()
    if not found:
        _enter(after, to, now)
    return after, found


def event(before: DeliveryDocument | None, after: DeliveryDocument | None) -> str | None:
    """Return the event type for the step between two states of a release delivery, or None without a step."""
    left = before["status"] if before else "NOT_STARTED"
    status = after["status"] if after else left
    if left == status:
        return None
    return "delivery.resumed" if left == "SUSPENDED" and status == "STARTED" else f"delivery.{status.lower()}"
