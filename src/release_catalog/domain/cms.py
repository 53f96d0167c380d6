"""How a change management system follows a delivery: what an input says of it, and how that is merged (S4)."""

from typing import Any

from release_catalog.domain import properties
from release_catalog.domain.checks import Checks
from release_catalog.domain.saving import MAX_ENTRIES

Document = dict[str, Any]

ENVIRONMENTS = "overriddenEnvironmentConfigurations"
_TICKET = "requireChangeTicketForDeployment"
_NEW: Document = {
    "cmsInstanceId": None,
    "overrideSettings": False,
    "overriddenDefaultConfigurations": None,
    ENVIRONMENTS: None,
}


def read(given: Checks, field: str) -> Document:
    """The fields of an input that were given; null counts as not given."""
    inner = given.inner(field)
    if inner is None:
        return {}
    inner.known(frozenset(_NEW))
    environments, default = inner.items(ENVIRONMENTS, MAX_ENTRIES), inner.inner("overriddenDefaultConfigurations")
    properties.unique(environments, "environmentId")
    said = {
        "cmsInstanceId": inner.text("cmsInstanceId", 255),
        "overrideSettings": None
        if inner.fields.get("overrideSettings") is None
        else inner.flag("overrideSettings"),
        "overriddenDefaultConfigurations": default and _ticket(default),
        ENVIRONMENTS: None
        if inner.fields.get(ENVIRONMENTS) is None
        else [
            {"environmentId": entry.text("environmentId", 255, required=True), **_ticket(entry, "environmentId")}
            for entry in environments
        ],
    }
    return {name: value for name, value in said.items() if value is not None}


def _ticket(entry: Checks, *more: str) -> Document:
    entry.known(frozenset((_TICKET, *more)))
    if entry.fields.get(_TICKET) is None:
        entry.refuse(_TICKET, "REQUIRED", "Say true or false.")
    return {_TICKET: entry.flag(_TICKET)}


def merged(before: Document | None, said: Document | None) -> Document | None:
    """`before` with what was said: field by field, and environment by environment."""
    if said is None:
        return before
    base = before or _NEW
    after = {**base, **said}
    if base[ENVIRONMENTS] and ENVIRONMENTS in said:
        after[ENVIRONMENTS] = properties.put(base[ENVIRONMENTS], said[ENVIRONMENTS], "environmentId")
    return after
