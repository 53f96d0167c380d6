"""What changed from one release to another."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from release_catalog.domain import instants

_FIELDS = (
    "name version revision branch tag channel packagingType platforms trial status importedStatus publishedAt "
    "private archivedAt author notes description metadata releasedAt endOfLifeAt registryArtifact "
    "baseImageId registryId pipelineId productId catalogId"
).split()
# What a file is, as opposed to what happened to it here.
_OF_ARTIFACT = (
    "platform size sha256 downloadUrl isExecutable arguments metadata secured repositoryKey path packageType"
).split()
_OF_IMAGE = ["imageUrl", "platform", "metadata"]
_OF_DEPENDENCY = ["releaseId", "version"]


def fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fields that differ; lists of things with names are compared by `items`."""
    pairs = ((path, _value(path, before), _value(path, after)) for path in _FIELDS)
    return [{"path": path, "before": old, "after": new} for path, old, new in pairs if old != new]


def artifacts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Files by name and platform."""
    return _items(before["artifacts"], after["artifacts"], _OF_ARTIFACT)


def images(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Container images by name."""
    return _items(before["dockerImages"], after["dockerImages"], _OF_IMAGE)


def dependencies(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """References by name."""
    return _items(before["dependencies"], after["dependencies"], _OF_DEPENDENCY)


def _items(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> list[dict[str, Any]]:
    old, new = _by_name(before, names), _by_name(after, names)
    changes = []
    for key in [*old, *(key for key in new if key not in old)]:
        if old.get(key) != new.get(key):
            kind = "ADDED" if key not in old else "REMOVED" if key not in new else "CHANGED"
            changes.append({"kind": kind, "key": key, "before": old.get(key), "after": new.get(key)})
    return changes


def _by_name(entries: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Entries by their name, with a number behind the second and later of one name."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        name, number = entry["name"], 1
        while name in found:
            number += 1
            name = f"{entry['name']} ({number})"
        found[name] = {field: _value(field, entry) for field in names}
    return found


def _value(field: str, document: Mapping[str, Any]) -> Any:
    value = document[field]
    if field == "metadata" and value is not None:
        return orjson.loads(value)
    if field in {"platform", "platforms"} and value is not None:
        return value["name"] if field == "platform" else [platform["name"] for platform in value]
    return instants.written(value) if field.endswith("At") and not isinstance(value, str | None) else value
