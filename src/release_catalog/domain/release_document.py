"""S1: the document from which a release is imported, and to which it is exported.

A release has fields that S1 does not know, so a document may also hold the fields of createRelease: `revision`,
`channel`, `delivery` and so on. The lifecycle status of a release is not part of its document.
"""

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from release_catalog.domain import metadata, platforms, release, release_parts, release_update, timestamps
from release_catalog.domain.declarations import SetBy, defaults
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.validation import MAX_IMPORTED_NOTES, Validator
from release_catalog.domain.version_schemes.scheme import MAX_VERSION
from release_catalog.errors import Violation

MAX_ENTRIES = release_parts.MAX_ENTRIES

_FIELDS = frozenset(
    "id name version tag createdAt project projectIdentifier status releaseNotes author metadata artifacts "
    "dockerImages dependencies".split()
)
# The fields for which S1 has no name and no rule of its own.
_MORE = release.INPUT_FIELDS - _FIELDS - {"notes"}
_ALL = _FIELDS | _MORE
# Without the status of a delivery and its dates, which belong to the lifecycle of the release.
_DELIVERY = "description scheduleBuildExpression pipelineId projects properties cmsDetails".split()


def read(source: Any, path: str, now: datetime.datetime) -> tuple[dict[str, Any], list[Violation]]:
    """Return the fields for `release.document` with the `project`, and all violations of the import document.

    `path` precedes field names in violations; the fields are usable only without violations. They have an `id`
    only if the document has one, and a `name` of None if the release is to have that of its product.
    """
    if not isinstance(source, dict):
        return {}, [Violation(path, "This is not an import document: give an object.", "NOT_AN_OBJECT")]
    doc = Validator(source, path)
    doc.known(_ALL)
    fields: dict[str, Any] = {
        "project": doc.name("project"),
        "name": None if source.get("name") is None else doc.name("name"),
        "version": doc.name("version", MAX_VERSION) or "",
        "tag": doc.name("tag", required=False),
        "createdAt": _created(doc, now),
        "importedStatus": doc.text("status", 256),
        "notes": doc.text("releaseNotes", MAX_IMPORTED_NOTES),
        "author": _author(doc),
        "metadata": metadata.read(doc),
        "importedAt": now,
        "artifacts": [
            release_parts.artifact(now, **entry.whole(release_parts.ARTIFACT))
            for entry in doc.items("artifacts", MAX_ENTRIES, required=True)
        ],
        "dockerImages": [entry.whole(release_parts.IMAGE) for entry in doc.items("dockerImages", MAX_ENTRIES)],
    }
    release_update.unique(doc, {field: fields[field] for field in release_update.FILES})
    if source.get("id") is not None:
        fields["id"] = doc.new_id("id")
    needed = doc.items("dependencies", MAX_ENTRIES)
    fields["dependencies"] = [release_parts.dependency(entry, "catalogId", whole=True) for entry in needed]
    fields["platforms"] = platforms.united(fields["artifacts"], fields["dockerImages"])
    if source.keys() <= _FIELDS:
        return fields, doc.found
    more = Validator({name: value for name, value in source.items() if name in _MORE}, path, doc.found)
    fields |= release_update.read(more, now)
    if source.get("delivery") is not None:
        # Kept as given: it can be checked only after its references are loaded.
        fields["delivery"] = source["delivery"]
    return fields, doc.found


def _created(doc: Validator, now: datetime.datetime) -> datetime.datetime | None:
    created = doc.instant("createdAt")
    if created:
        check_past(doc, "createdAt", created, now)
    return created


def check_past(checks: Validator, field: str, time: datetime.datetime, now: datetime.datetime) -> None:
    """Refuse a time of creation in the future."""
    if time > now:
        checks.refuse(field, "IN_FUTURE", "The time is in the future: give one in the past.")


def _author(doc: Validator) -> str | None:
    """Return the author, which S1 requires; null stands for a release that was created here without one."""
    return None if doc.fields.get("author", "") is None else doc.email("author")


def written(source: ReleaseDocument, project: str) -> dict[str, Any]:
    """Return the import document of a release whose product has the key `project`; importing it restores it."""
    return {
        "id": source["id"],
        "name": source["name"],
        "version": source["version"],
        **_present(tag=source["tag"]),
        "createdAt": timestamps.format_rfc3339(source["createdAt"]),
        "project": project,
        **_present(status=source["importedStatus"], releaseNotes=source["notes"]),
        "author": source["author"],
        **_present(metadata=_json(source["metadata"])),
        "artifacts": [_written_part(artifact, release_parts.ARTIFACT) for artifact in source["artifacts"]],
        **_present(
            dockerImages=[_written_part(image, release_parts.IMAGE) for image in source["dockerImages"]] or None
        ),
        "dependencies": [
            _present(catalogId=d["releaseId"], name=d["name"], version=d["version"])
            for d in source["dependencies"]
        ],
        **_written_more(source),
    }


def _written_more(source: ReleaseDocument) -> dict[str, Any]:
    """Return the fields that S1 does not know and that differ from their defaults."""
    unsaid = defaults(release.FIELDS, *SetBy)
    unsaid["platforms"] = platforms.united(source["artifacts"], source["dockerImages"])
    fields: Mapping[str, Any] = source
    found = {name: fields[name] for name in sorted(_MORE - {"delivery"}) if fields[name] != unsaid[name]}
    if fields["delivery"]:
        found["delivery"] = {name: fields["delivery"][name] for name in _DELIVERY}
    more: dict[str, Any] = _plain(found)
    return more


def _plain(value: Any) -> Any:
    """Return JSON as an input has it: platforms by name, no keys without a value."""
    if isinstance(value, dict):
        if "osFamily" in value:
            return value["name"]
        return {name: _plain(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return timestamps.format_rfc3339(value) if isinstance(value, datetime.datetime) else value


def _written_part(part: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Return the document's entry for a file or an image."""
    platform, secured = part["platform"] or {}, part.get("secured") or None
    fields_ = {**part, "platform": platform.get("name"), "metadata": _json(part["metadata"]), "secured": secured}
    return _present(**{field: fields_[field] for field in fields})


def _json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
