"""The change management settings of a release delivery: reading them from an input and merging them (S4)."""

from typing import Any, TypedDict, cast

from release_catalog.domain import delivery_properties
from release_catalog.domain.reference_data import MAX_ENTRIES
from release_catalog.domain.validation import FieldParsers, Validator, object_of, text

ENVIRONMENTS = "overriddenEnvironmentConfigurations"


class DefaultOverrideDocument(TypedDict):
    """The change ticket rule for all environments without one of their own."""

    requireChangeTicketForDeployment: bool


class EnvironmentOverrideDocument(DefaultOverrideDocument):
    """The change ticket rule for one environment."""

    environmentId: str


class CmsDetailsDocument(TypedDict):
    """The change management settings of a release delivery."""

    cmsInstanceId: str | None
    overrideSettings: bool
    overriddenDefaultConfigurations: DefaultOverrideDocument | None
    overriddenEnvironmentConfigurations: list[EnvironmentOverrideDocument] | None


_NEW: CmsDetailsDocument = {
    "cmsInstanceId": None,
    "overrideSettings": False,
    "overriddenDefaultConfigurations": None,
    "overriddenEnvironmentConfigurations": None,
}


def _needed(entry: Validator, field: str) -> bool:
    if entry.fields.get(field) is None:
        entry.refuse(field, "REQUIRED", "The value is missing: give true or false.")
    return entry.flag(field)


_DEFAULT: FieldParsers = {"requireChangeTicketForDeployment": _needed}
_ENVIRONMENT: FieldParsers = {"environmentId": text(255, required=True), **_DEFAULT}


def _environments(checks: Validator, field: str) -> list[dict[str, Any]] | None:
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


def read(checks: Validator, field: str) -> dict[str, Any]:
    """Return the fields given in an input; null counts as not given."""
    inner = checks.inner(field)
    return inner.parse_given(_READERS) if inner else {}


def merged(before: CmsDetailsDocument | None, values: dict[str, Any] | None) -> CmsDetailsDocument | None:
    """Merge `values` into `before`, field by field and environment by environment."""
    if values is None:
        return before
    base = before or _NEW
    after = cast("CmsDetailsDocument", {**base, **values})
    environments = base["overriddenEnvironmentConfigurations"]
    if environments and ENVIRONMENTS in values:
        after["overriddenEnvironmentConfigurations"] = delivery_properties.put(
            environments, values[ENVIRONMENTS], "environmentId"
        )
    return after
