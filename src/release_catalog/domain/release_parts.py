"""The parts of a release in documents and inputs: files, images, references, free JSON."""

import datetime
import math
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from release_catalog.domain import platforms, release, versions
from release_catalog.domain.validation import MAX_LONG_TEXT, FieldParsers, Validator, object_of, text

Document = dict[str, Any]

MAX_ENTRIES = 1000
MAX_METADATA_BYTES = 1 << 20
# JSON readers give up at a few hundred levels, and every client must be able to read the metadata back.
MAX_METADATA_LEVELS = 100
MAX_PLATFORM = 64


def platform(entry: Validator, field: str, *, required: bool = False) -> Document | None:
    """Return a platform by name; a bare name and each part of a pair have at most 64 characters (S5)."""
    name = entry.text(field, 2 * MAX_PLATFORM + 1, required=required)
    if name and any(len(side) > MAX_PLATFORM for side in name.split("/", 1)):
        entry.refuse(
            field, "TOO_LONG", f"At most {MAX_PLATFORM} characters fit on each side of a platform's slash."
        )
    return platforms.parsed(name)


def metadata(doc: Validator, field: str = "metadata") -> str | None:
    """Return free JSON as text, which is kept verbatim and never part of a query."""
    value = doc.fields.get(field)
    return None if value is None else json_text(doc, value)


_ID, _NAME, _SHORT, _URL = text(255, required=True), text(256, required=True), text(256), text(2048)
ARTIFACT: FieldParsers = {
    "name": _NAME,
    "platform": platform,
    "size": Validator.size,
    "sha256": Validator.sha256,
    "downloadUrl": Validator.url,
    "isExecutable": Validator.flag,
    "arguments": text(MAX_LONG_TEXT),
    "metadata": metadata,
    "secured": Validator.flag,
    "repositoryKey": _SHORT,
    "path": text(1024),
    "packageType": text(64),
}
IMAGE: FieldParsers = {
    "name": _NAME,
    "imageUrl": text(2048, required=True),
    "platform": platform,
    "metadata": metadata,
}
# A package in its registry (S5).
REGISTRY_ARTIFACT = object_of(
    {
        "name": _NAME,
        "version": _NAME,
        **dict.fromkeys(("repository", "url", "contentDigest", "repoDigest"), _URL),
    }
)
_TELLING: FieldParsers = {"id": _ID, "mimeType": _SHORT, "url": _URL, "filename": _SHORT}
# Files with information about a release on one platform (S5).
PLATFORM_METADATA: FieldParsers = {
    "platform": platform,
    "releaseMetadata": lambda given, field: [
        file.whole(_TELLING) for file in given.items(field, MAX_ENTRIES, required=True)
    ],
}
# An organisation's change to a release (S5).
CUSTOMIZATION: FieldParsers = {
    "id": _ID,
    "version": _SHORT,
    "artifact": object_of({"id": _ID, "url": _URL, "filename": _SHORT}),
}


def artifact(entry: Validator, now: datetime.datetime) -> Document:
    """Return a file with its checksum."""
    return release.artifact(now, **entry.whole(ARTIFACT))


def dependency(entry: Validator, id_field: str, *, whole: bool) -> Document:
    """Return a reference to a release; it must be `whole` if no other release can supply its name."""
    entry.known({id_field, "name", "version"})
    required = whole or entry.fields.get(id_field) is None
    return {
        "releaseId": entry.id(id_field),
        "name": entry.text("name", 256, required=required),
        "version": entry.text("version", versions.MAX_LENGTH, required=required),
    }


def extension(name: str) -> str | None:
    """Return the part after the last dot of a file name; None if there is none, as in .profile or README."""
    stem, dot, end = name.rpartition(".")
    return end if stem and dot and end else None


def json_text(doc: Validator, value: Any) -> str | None:
    """Return `value` as JSON text if it is valid as the field `metadata` of `doc`."""
    if _is_deep(value):
        doc.refuse("metadata", "TOO_DEEP", f"At most {MAX_METADATA_LEVELS} levels fit here.")
        return None
    try:
        written = orjson.dumps(value)
    except TypeError as error:
        doc.refuse("metadata", "NOT_JSON", f"This can't be kept as JSON: {error}.")
        return None
    if b"null" in written and _is_infinite(value):
        doc.refuse("metadata", "NOT_JSON", "This can't be kept as JSON: a number is too large.")
        return None
    if len(written) > MAX_METADATA_BYTES:
        doc.refuse("metadata", "TOO_LONG", f"At most {MAX_METADATA_BYTES} bytes of JSON fit here.")
        return None
    return written.decode()


def _is_deep(value: Any) -> bool:
    return any(depth > MAX_METADATA_LEVELS for depth, _ in enumerate(_levels(value)))


def _is_infinite(value: Any) -> bool:
    """Return whether `value` contains a number too large for JSON readers, such as 1e400, which becomes null."""
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
