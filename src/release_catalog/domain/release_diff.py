"""The differences between two releases."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from release_catalog.domain import release, release_parts, timestamps
from release_catalog.domain.declarations import Field

ReleaseValues = Mapping[str, Any]
Changes = list[dict[str, Any]]


def _compared(fields: Mapping[str, Field]) -> list[str]:
    return [name for name, field in fields.items() if field.compared]


_FIELDS = _compared(release.FIELDS)


def fields(before: ReleaseValues, after: ReleaseValues) -> Changes:
    """Return the fields that differ; `_items` compares lists of named entries."""
    pairs = ((path, _value(path, before), _value(path, after)) for path in _FIELDS)
    return [
        {"path": path, "before": old, "after": new}
        for path, old, new in pairs
        if _canonical_json(old) != _canonical_json(new)
    ]


def _list(name: str, fields: Mapping[str, Field]) -> Callable[[ReleaseValues, ReleaseValues], Changes]:
    """Return a function that compares the entries of a list by name."""
    compared = _compared(fields)
    return lambda before, after: _items(before[name], after[name], compared)


artifacts = _list("artifacts", release_parts.ARTIFACT_FIELDS)
images = _list("dockerImages", release_parts.IMAGE_FIELDS)
dependencies = _list("dependencies", release_parts.DEPENDENCY_FIELDS)


def _items(before: Sequence[ReleaseValues], after: Sequence[ReleaseValues], names: Sequence[str]) -> Changes:
    old, new = _by_name(before, names), _by_name(after, names)
    changes = []
    for key in [*old, *(key for key in new if key not in old)]:
        if _canonical_json(old.get(key)) != _canonical_json(new.get(key)):
            kind = "ADDED" if key not in old else "REMOVED" if key not in new else "CHANGED"
            changes.append({"kind": kind, "key": key, "before": old.get(key), "after": new.get(key)})
    return changes


def _by_name(entries: Sequence[ReleaseValues], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the entries by name, with a number after the second and later one of a name."""
    found: dict[str, dict[str, Any]] = {}
    numbers: dict[str, int] = {}
    for entry in entries:
        # A reference whose name the caller may not see goes by its id.
        key = name = entry["name"] or f"#{entry['releaseId']}"
        while key in found:
            # Counts on where the last entry of this name has stopped: there may be a thousand of them.
            numbers[name] = numbers.get(name, 1) + 1
            key = f"{name} ({numbers[name]})"
        found[key] = {field: _value(field, entry) for field in names}
    return found


def _canonical_json(value: Any) -> bytes:
    # Python treats true as equal to 1.
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _value(field: str, document: ReleaseValues) -> Any:
    value = document[field]
    if field == "metadata" and value is not None:
        return orjson.loads(value)
    if field in {"platform", "platforms"} and value is not None:
        return value["name"] if field == "platform" else sorted(platform["name"] for platform in value)
    return (
        timestamps.format_rfc3339(value) if field.endswith("At") and not isinstance(value, str | None) else value
    )
