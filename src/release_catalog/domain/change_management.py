"""The change management settings of a release delivery: reading them from an input and merging them (S4)."""

from typing import Any

from release_catalog.domain import delivery_properties
from release_catalog.domain.reference_data import MAX_ENTRIES
from release_catalog.domain.validation import FieldParsers, Validator, object_of, text

Document = dict[str, Any]

ENVIRONMENTS = "overriddenEnvironmentConfigurations"
_NEW: Document = {
    "cmsInstanceId": None,
    "overrideSettings": False,
    "overriddenDefaultConfigurations": None,
    ENVIRONMENTS: None,
}


def _needed(entry: Validator, field: str) -> bool:
    if entry.fields.get(field) is None:
        entry.refuse(field, "REQUIRED", "Say true or false.")
    return entry.flag(field)


_DEFAULT: FieldParsers = {"requireChangeTicketForDeployment": _needed}
_ENVIRONMENT: FieldParsers = {"environmentId": text(255, required=True), **_DEFAULT}


def _environments(checks: Validator, field: str) -> list[Document] | None:
    entries = checks.items(field, MAX_ENTRIES)
    delivery_properties.unique(entries, "environmentId")
    read_ = [entry.whole(_ENVIRONMENT) for entry in entries]
    return None if checks.fields.get(field) is None else read_


_READERS: FieldParsers = {
    "cmsInstanceId": text(255),
    "overrideSettings": Validator.maybe,
    "overriddenDefaultConfigurations": object_of(_DEFAULT),
    ENVIRONMENTS: _environments,
}


def read(checks: Validator, field: str) -> Document:
    """Return the fields given in an input; null counts as not given."""
    inner = checks.inner(field)
    return inner.parse_given(_READERS) if inner else {}


def merged(before: Document | None, values: Document | None) -> Document | None:
    """Merge `values` into `before`, field by field and environment by environment."""
    if values is None:
        return before
    base = before or _NEW
    after = {**base, **values}
    if base[ENVIRONMENTS] and ENVIRONMENTS in values:
        after[ENVIRONMENTS] = delivery_properties.put(base[ENVIRONMENTS], values[ENVIRONMENTS], "environmentId")
    return after
