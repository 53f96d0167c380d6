"""The projects of a release delivery: selection, priority and contents (S4 rules 6 to 10)."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

from release_catalog.domain.reference_data import ProjectDocument
from release_catalog.domain.validation import FieldParsers, Validator, text

MAX_PRIORITY = 2**31 - 1


class DeliveryProjectDocument(TypedDict):
    """A project's part in a release delivery."""

    projectId: str
    projectStreamId: str | None
    buildEnvironmentId: str | None
    priority: int
    packageName: str | None
    requestAllFiles: bool
    projectGroups: str | None


_NEW: dict[str, Any] = {
    "projectStreamId": None,
    "buildEnvironmentId": None,
    "priority": 1,
    "packageName": None,
    "requestAllFiles": False,
    "projectGroups": None,
}


def read(entry: Validator) -> dict[str, Any]:
    """Return the fields that an input gives for one project; null and an empty package name count as not given."""
    return entry.parse_given(_READERS)


def key(checks: Validator, field: str, *, required: bool = False) -> str | None:
    """Return an id to look up, or None if it was refused, so that the failed lookup adds no second violation."""
    before = len(checks.found)
    value = checks.text(field, 255, required=required)
    if value == "":
        checks.refuse(field, "NOT_AN_ID", "The id is empty: give one of 1 to 255 characters.")
    return value if len(checks.found) == before else None


def _priority(entry: Validator, field: str) -> int | None:
    value = entry.fields.get(field)
    if value is None or (isinstance(value, int) and value is not True and 1 <= value <= MAX_PRIORITY):
        return value
    entry.refuse(field, "NOT_A_PRIORITY", f"This is not a priority: give a whole number from 1 to {MAX_PRIORITY}.")
    return None


_READERS: FieldParsers = {
    "projectId": functools.partial(key, required=True),
    "projectStreamId": key,
    "buildEnvironmentId": key,
    "priority": _priority,
    "packageName": lambda entry, field: entry.name(field, required=False) or None,
    "requestAllFiles": Validator.maybe,
    "projectGroups": text(1024),
}


def merged(
    before: Sequence[DeliveryProjectDocument],
    values: Sequence[dict[str, Any]],
    projects: Mapping[str, ProjectDocument],
    checks: Validator,
) -> list[DeliveryProjectDocument]:
    """Add each of `values` to `before`, or merge it into the entry that it means.

    Entries that `values` does not touch stay as they are, even if their project has changed since.
    """
    after = list(before)
    touched: set[Any] = set()
    for index, (entry, target) in enumerate(zip(values, _targets(before, values), strict=True)):
        rules = Validator(entry, f"{checks.path}.projects[{index}]", checks.found)
        if target == _SEVERAL:
            rules.refuse(
                "packageName",
                "AMBIGUOUS",
                "The delivery has this project with several packages: give the package to update.",
            )
            continue
        meant = _key(entry) if target is None else target
        if meant in touched:
            checks.refuse(
                f"projects[{index}]",
                "REPEATED",
                "An earlier entry has the same project and package: give each once.",
            )
            continue
        if "projectId" in entry:
            touched.add(meant)
        target_ = cast("DeliveryProjectDocument", {**(_NEW if target is None else before[target]), **entry})
        project = projects.get(entry.get("projectId", ""))
        if project:
            _complete(target_, project)
            _check(rules, target_, project)
        elif "projectId" in entry:
            rules.refuse(
                "projectId", "UNKNOWN", f"The project {entry['projectId']!r} does not exist: save it first."
            )
        if target is None:
            after.append(target_)
        else:
            after[target] = target_
    return after


_SEVERAL = -1


def _targets(before: Sequence[DeliveryProjectDocument], values: Sequence[dict[str, Any]]) -> list[int | None]:
    """Return the index in `before` of the entry that each of `values` updates, None for a new entry.

    The key is project and package. S4's own example updates `Package 1` without naming it, so an entry that could
    not stand alone means the project's only entry, and an entry with a package may complete one without.
    """
    places = {_key(entry): place for place, entry in enumerate(before)}
    found = [places.get(_key(entry)) for entry in values]
    for index, entry in enumerate(values):
        lacking = places.get((entry.get("projectId"), None))
        if found[index] is None and "packageName" in entry and lacking is not None and lacking not in found:
            found[index] = None if before[lacking]["requestAllFiles"] else lacking
    added = {entry.get("projectId") for entry, place in zip(values, found, strict=True)
             if place is None and "packageName" in entry}  # fmt: skip
    for index, entry in enumerate(values):
        if found[index] is None and "packageName" not in entry and not entry.get("requestAllFiles"):
            own = [place for (project, _), place in places.items() if project == entry.get("projectId")]
            several = len(own) > 1 or (own and entry.get("projectId") in added)
            found[index] = _SEVERAL if several else next(iter(own), None)
    return found


def _key(entry: Mapping[str, Any]) -> tuple[str | None, str | None]:
    return entry.get("projectId"), entry.get("packageName")


def _complete(entry: DeliveryProjectDocument, project: ProjectDocument) -> None:
    # S4 rules 6 and 7
    if entry["projectStreamId"] is None and len(project["streams"]) == 1:
        entry["projectStreamId"] = project["streams"][0]["id"]
    if entry["buildEnvironmentId"] is None and len(project["buildEnvironments"]) == 1:
        entry["buildEnvironmentId"] = project["buildEnvironments"][0]["id"]


def _check(checks: Validator, entry: DeliveryProjectDocument, project: ProjectDocument) -> None:
    """Check a whole entry, but its stream and build environment only if this input gives them."""
    name = project["name"]
    if entry["projectStreamId"] is None:
        checks.refuse(
            "projectStreamId",
            "REQUIRED",
            f"The stream is missing: {name} has {len(project['streams'])}, so give one of them.",
        )
    # S4 rules 6 and 8
    for field, choices, known in (
        ("projectStreamId", "streams", project["streams"]),
        ("buildEnvironmentId", "buildEnvironments", project["buildEnvironments"]),
    ):
        value = checks.fields.get(field)
        if value is not None and value not in {choice["id"] for choice in known}:
            checks.refuse(field, "UNKNOWN", f"{value!r} is not among the {choices} of {name}: give one of these.")
    package, all_files = entry["packageName"], entry["requestAllFiles"]
    if project["deploymentType"] == "FULL":
        # S4 rule 9. S4's own answers contain requestAllFiles=false for FULL projects, so an input may repeat it.
        for field, value in (("packageName", package), ("requestAllFiles", all_files)):
            if value:
                checks.refuse(field, "FORBIDDEN", f"{name} has the deployment type FULL: leave this field out.")
    elif package and all_files:  # S4 rule 10
        checks.refuse(
            "packageName",
            "FORBIDDEN",
            "A package and all files exclude each other: leave out packageName, or set requestAllFiles to false.",
        )
    elif not package and not all_files:
        checks.refuse(
            "packageName",
            "REQUIRED",
            f"The package is missing: give one of {name}, or set requestAllFiles to true.",
        )
