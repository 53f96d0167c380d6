"""How a change management system follows a delivery: what an input says of it, and how that is merged (S4)."""

from typing import Any

from release_catalog.domain import properties
from release_catalog.domain.checks import Checks
from release_catalog.domain.saving import MAX_ENTRIES

Document = dict[str, Any]

ENVIRONMENTS = "overriddenEnvironmentConfigurations"
_NEW: Document = {
    "cmsInstanceId": None,
    "overrideSettings": False,
    "overriddenDefaultConfigurations": None,
    ENVIRONMENTS: None,
}


def read(given: Checks, field: str) -> Document:
    """The fields of an input that were given; null counts as not given."""
    inner = Checks(given.fields[field], f"{given.path}.{field}", given.found)
    environments = inner.items(ENVIRONMENTS, MAX_ENTRIES)
    properties.unique(environments, "environmentId")
    said = {
        "cmsInstanceId": inner.text("cmsInstanceId", 255),
        "overrideSettings": None
        if inner.fields.get("overrideSettings") is None
        else inner.flag("overrideSettings"),
        "overriddenDefaultConfigurations": inner.fields.get("overriddenDefaultConfigurations"),
        ENVIRONMENTS: None
        if inner.fields.get(ENVIRONMENTS) is None
        else [
            {
                "environmentId": entry.text("environmentId", 255, required=True),
                "requireChangeTicketForDeployment": entry.flag("requireChangeTicketForDeployment"),
            }
            for entry in environments
        ],
    }
    return {name: value for name, value in said.items() if value is not None}


def merged(before: Document | None, said: Document | None) -> Document | None:
    """`before` with what was said: field by field, and environment by environment."""
    if said is None:
        return before
    base = before or _NEW
    after = {**base, **said}
    if base[ENVIRONMENTS] and ENVIRONMENTS in said:
        after[ENVIRONMENTS] = properties.put(base[ENVIRONMENTS], said[ENVIRONMENTS], "environmentId")
    return after
