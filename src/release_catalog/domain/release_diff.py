"""The differences between two releases."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from release_catalog.domain import timestamps

_FIELDS = (
    "name version revision branch tag channel packagingType platforms trial status importedStatus publishedAt "
    "private archivedAt author notes description metadata releasedAt endOfLifeAt registryArtifact "
    "platformReleaseMetadata customizations baseImageId registryId pipelineId delivery productId catalogId"
).split()
# The content of a file, as opposed to its history in this catalog.
_OF_ARTIFACT = (
    "platform size sha256 downloadUrl isExecutable arguments metadata secured repositoryKey path packageType"
).split()

ReleaseValues = Mapping[str, Any]
Changes = list[dict[str, Any]]


def fields(before: ReleaseValues, after: ReleaseValues) -> Changes:
    """Return the fields that differ; `_items` compares lists of named entries."""
    pairs = ((path, _value(path, before), _value(path, after)) for path in _FIELDS)
    return [
        {"path": path, "before": old, "after": new}
        for path, old, new in pairs
        if _canonical_json(old) != _canonical_json(new)
    ]


def _list(name: str, fields: Sequence[str]) -> Callable[[ReleaseValues, ReleaseValues], Changes]:
    """Return a function that compares the entries of a list by name."""
    return lambda before, after: _items(before[name], after[name], fields)


artifacts = _list("artifacts", _OF_ARTIFACT)
images = _list("dockerImages", ["imageUrl", "platform", "metadata"])
dependencies = _list("dependencies", ["releaseId", "version"])


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
