"""Property values of a release delivery, and the definitions that require them (S4 rules 2 and 5)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar

from release_catalog.domain.json_values import InexactNumber
from release_catalog.domain.reference_data import MAX_ENTRIES, PropertyDefinitionDocument
from release_catalog.domain.validation import MAX_LONG_TEXT, FieldParsers, Validator

_Entry = TypeVar("_Entry", bound=Mapping[str, Any])


class PropertyValueDocument(TypedDict):
    """The value of a property in a release delivery."""

    propertyName: str
    propertyValue: str


def read(checks: Validator, field: str) -> list[dict[str, Any]]:
    """Return the property values of an input, each as text."""
    entries = checks.items(field, MAX_ENTRIES)
    unique(entries, "propertyName")
    return [entry.whole(_VALUE) for entry in entries]


def _value(entry: Validator, field: str) -> str | None:
    """Return a value as text: integers keep their digits, and other numbers have their shortest form."""
    value = entry.fields.get(field)
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, InexactNumber):
        value = value.text
    elif isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        value = str(value)
    if not isinstance(value, str):
        entry.refuse(field, "NOT_A_VALUE", "This is not a property value: give a text, a number, true or false.")
        return None
    return Validator({field: value}, entry.path, entry.found).text(field, MAX_LONG_TEXT)


_VALUE: FieldParsers = {"propertyName": Validator.name, "propertyValue": _value}


def unique(entries: Iterable[Validator], key: str) -> None:
    """Refuse each entry that repeats the `key`, a text, of an earlier one."""
    seen = set()
    for entry in entries:
        value = entry.fields.get(key)
        if not isinstance(value, str):
            continue
        if value in seen:
            entry.refuse(key, "REPEATED", f"{value!r} is repeated: give it once.")
        seen.add(value)


def put(before: Iterable[_Entry], values: Iterable[_Entry], key: str) -> list[_Entry]:
    """Add `values` to `before`, replacing entries with the same `key`."""
    return list({entry[key]: entry for entries in (before, values) for entry in entries}.values())


def missing(
    values: Iterable[PropertyValueDocument], definitions: Sequence[PropertyDefinitionDocument]
) -> list[str]:
    """Return the names of required properties that have neither a value nor a default."""
    names = {value["propertyName"] for value in values if value["propertyValue"]}
    return [
        definition["name"]
        for definition in definitions
        if definition["required"] and not definition["defaultValue"] and definition["name"] not in names
    ]
