"""The parts of a release as documents and inputs give them: files, images, references, free JSON."""

import datetime
import math
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from release_catalog.domain import platforms, release, versions
from release_catalog.domain.checks import Checks

Document = dict[str, Any]

MAX_ENTRIES = 1000
MAX_METADATA_BYTES = 1 << 20
# JSON readers give up at a few hundred levels, and everybody must be able to read it back.
MAX_METADATA_LEVELS = 100
MAX_PLATFORM = 64

_ARTIFACT_FIELDS = frozenset(
    "name platform size sha256 downloadUrl isExecutable arguments metadata secured repositoryKey path "
    "packageType".split()
)
_IMAGE_FIELDS = frozenset(("name", "imageUrl", "platform", "metadata"))
_PACKAGE_FIELDS = "name version repository url contentDigest repoDigest".split()
_FILE_FIELDS = frozenset(("id", "url", "filename"))


def artifact(entry: Checks, now: datetime.datetime) -> Document:
    """A file with its checksum."""
    entry.known(_ARTIFACT_FIELDS)
    return release.artifact(
        now,
        name=entry.text("name", 256, required=True),
        platform=platform(entry),
        size=entry.size("size"),
        sha256=entry.sha256("sha256"),
        downloadUrl=entry.url("downloadUrl"),
        isExecutable=entry.flag("isExecutable"),
        arguments=entry.text("arguments", 4096, lines=True),
        metadata=metadata(entry),
        secured=entry.flag("secured"),
        repositoryKey=entry.text("repositoryKey", 256),
        path=entry.text("path", 1024),
        packageType=entry.text("packageType", 64),
    )


def image(entry: Checks) -> Document:
    """A container image."""
    entry.known(_IMAGE_FIELDS)
    return {
        "name": entry.text("name", 256, required=True),
        "imageUrl": entry.text("imageUrl", 2048, required=True),
        "platform": platform(entry),
        "metadata": metadata(entry),
    }


def dependency(entry: Checks, id_field: str, *, whole: bool) -> Document:
    """A reference to another release; it must be `whole` where no other release can be asked for its name."""
    entry.known(frozenset((id_field, "name", "version")))
    required = whole or entry.fields.get(id_field) is None
    return {
        "releaseId": entry.id(id_field),
        "name": entry.text("name", 256, required=required),
        "version": entry.text("version", versions.MAX_LENGTH, required=required),
    }


def platform(entry: Checks, field: str = "platform", *, required: bool = False) -> Document | None:
    """A platform by its name: each part of a pair, like a bare name, has at most 64 characters (S5)."""
    name = entry.text(field, 2 * MAX_PLATFORM + 1, required=required)
    if name and any(len(side) > MAX_PLATFORM for side in name.split("/", 1)):
        entry.refuse(
            field, "TOO_LONG", f"At most {MAX_PLATFORM} characters fit on each side of a platform's slash."
        )
    return platforms.parsed(name)


def registry_artifact(entry: Checks) -> Document:
    """A package in its registry (S5)."""
    entry.known(frozenset(_PACKAGE_FIELDS))
    texts = {field: entry.text(field, 2048) for field in _PACKAGE_FIELDS[2:]}
    return {
        "name": entry.text("name", 256, required=True),
        "version": entry.text("version", 256, required=True),
        **texts,
    }


def platform_metadata(entry: Checks) -> Document:
    """Files that tell something of a release on one platform (S5)."""
    entry.known(frozenset(("platform", "releaseMetadata")))
    return {
        "platform": platform(entry),
        "releaseMetadata": [
            _file(file, "mimeType") for file in entry.items("releaseMetadata", MAX_ENTRIES, required=True)
        ],
    }


def _file(entry: Checks, *more: str) -> Document:
    entry.known(_FILE_FIELDS | {*more})
    texts = {field: entry.text(field, limit) for field, limit in (("url", 2048), ("filename", 256))}
    return {
        "id": entry.text("id", 255, required=True),
        **{field: entry.text(field, 256) for field in more},
        **texts,
    }


def customization(entry: Checks) -> Document:
    """What an organisation changed in a release (S5)."""
    entry.known(frozenset(("id", "version", "artifact")))
    file = entry.inner("artifact")
    return {
        "id": entry.text("id", 255, required=True),
        "version": entry.text("version", 256),
        "artifact": file and _file(file),
    }


def metadata(doc: Checks) -> str | None:
    """The field `metadata` as JSON text: kept to the letter, and never part of a query."""
    value = doc.fields.get("metadata")
    return None if value is None else json_text(doc, value)


def json_text(doc: Checks, value: Any) -> str | None:
    """`value` as JSON text, where it can be the field `metadata` of `doc`."""
    if _is_deep(value):
        doc.refuse("metadata", "TOO_DEEP", f"At most {MAX_METADATA_LEVELS} levels fit here.")
        return None
    try:
        text = orjson.dumps(value)
    except TypeError as error:
        doc.refuse("metadata", "NOT_JSON", f"This can't be kept as JSON: {error}.")
        return None
    if b"null" in text and _is_infinite(value):
        doc.refuse("metadata", "NOT_JSON", "This can't be kept as JSON: a number is too large.")
        return None
    if len(text) > MAX_METADATA_BYTES:
        doc.refuse("metadata", "TOO_LONG", f"At most {MAX_METADATA_BYTES} bytes of JSON fit here.")
        return None
    return text.decode()


def _is_deep(value: Any) -> bool:
    return any(depth > MAX_METADATA_LEVELS for depth, _ in enumerate(_levels(value)))


def _is_infinite(value: Any) -> bool:
    """Whether a number in it is past what JSON's readers know, such as 1e400: it would be written as null."""
    return any(isinstance(each, float) and not math.isfinite(each) for level in _levels(value) for each in level)


def _levels(value: Any) -> Iterator[list[Any]]:
    level = [value]
    while level:
        yield level
        level = [inner for outer in level for inner in _inside(outer)]


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
