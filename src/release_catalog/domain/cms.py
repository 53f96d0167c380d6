"""How a change management system follows a delivery: what an input says of it, and how that is merged (S4)."""

from typing import Any

from release_catalog.domain import properties
from release_catalog.domain.checks import Checks, Readers, one, text
from release_catalog.domain.saving import MAX_ENTRIES

Document = dict[str, Any]

ENVIRONMENTS = "overriddenEnvironmentConfigurations"
_NEW: Document = {
    "cmsInstanceId": None,
    "overrideSettings": False,
    "overriddenDefaultConfigurations": None,
    ENVIRONMENTS: None,
}


def _needed(entry: Checks, field: str) -> bool:
    if entry.fields.get(field) is None:
        entry.refuse(field, "REQUIRED", "Say true or false.")
    return entry.flag(field)


_DEFAULT: Readers = {"requireChangeTicketForDeployment": _needed}
_ENVIRONMENT: Readers = {"environmentId": text(255, required=True), **_DEFAULT}


def _environments(given: Checks, field: str) -> list[Document] | None:
    entries = given.items(field, MAX_ENTRIES)
    properties.unique(entries, "environmentId")
    read_ = [entry.whole(_ENVIRONMENT) for entry in entries]
    return None if given.fields.get(field) is None else read_


_READERS: Readers = {
    "cmsInstanceId": text(255),
    "overrideSettings": Checks.maybe,
    "overriddenDefaultConfigurations": one(_DEFAULT),
    ENVIRONMENTS: _environments,
}


def read(given: Checks, field: str) -> Document:
    """The fields of an input that were given; null counts as not given."""
    inner = given.inner(field)
    return inner.said(_READERS) if inner else {}


def merged(before: Document | None, said: Document | None) -> Document | None:
    """`before` with what was said: field by field, and environment by environment."""
    if said is None:
        return before
    base = before or _NEW
    after = {**base, **said}
    if base[ENVIRONMENTS] and ENVIRONMENTS in said:
        after[ENVIRONMENTS] = properties.put(base[ENVIRONMENTS], said[ENVIRONMENTS], "environmentId")
    return after
