"""The differences between two releases."""

import collections
from collections.abc import Callable, Collection, Mapping, Sequence
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
    """Return a function that compares the entries of a list by name, and files and images by platform too."""
    compared = _compared(fields)
    return lambda before, after: _items(before[name], after[name], compared)


artifacts = _list("artifacts", release_parts.ARTIFACT_FIELDS)
images = _list("dockerImages", release_parts.IMAGE_FIELDS)
dependencies = _list("dependencies", release_parts.DEPENDENCY_FIELDS)


def _items(before: Sequence[ReleaseValues], after: Sequence[ReleaseValues], names: Sequence[str]) -> Changes:
    shared = _shared_names([*before, *after])
    old, new = _by_title(before, names, shared), _by_title(after, names, shared)
    changes = []
    for key in [*old, *(key for key in new if key not in old)]:
        if _canonical_json(old.get(key)) != _canonical_json(new.get(key)):
            kind = "ADDED" if key not in old else "REMOVED" if key not in new else "CHANGED"
            changes.append({"kind": kind, "key": key, "before": old.get(key), "after": new.get(key)})
    return changes


def _shared_names(entries: Sequence[ReleaseValues]) -> set[str]:
    """Return the names that files or images for different platforms share."""
    keys = {release_parts.file_key(entry) for entry in entries if "platform" in entry}
    return {name for name, count in collections.Counter(name for name, _ in keys).items() if count > 1}


def _title(entry: ReleaseValues, shared: Collection[str]) -> str:
    """Return the name of an entry, with its platform if other files or images share the name."""
    if entry["name"] not in shared:
        # A reference whose name the caller may not see goes by its id.
        return entry["name"] or f"#{entry['releaseId']}"
    name, platform = release_parts.file_key(entry)
    return f"{name} ({platform})" if platform else name


def _by_title(
    entries: Sequence[ReleaseValues], names: Sequence[str], shared: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Return the entries by title, with a number after the second and later one of a title."""
    found: dict[str, dict[str, Any]] = {}
    numbers: dict[str, int] = {}
    for entry in entries:
        key = title = _title(entry, shared)
        while key in found:
            # Counts on where the last entry of this title has stopped: there may be a thousand of them.
            numbers[title] = numbers.get(title, 1) + 1
            key = f"{title} ({numbers[title]})"
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
