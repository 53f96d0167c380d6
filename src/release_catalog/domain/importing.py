"""S1: the document that a release is imported from, and the one that it is exported as."""

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from release_catalog.domain import instants, platforms, release, versions
from release_catalog.domain.checks import Checks
from release_catalog.problems import Violation

MAX_ENTRIES = 1000
MAX_METADATA_BYTES = 1 << 20
# JSON readers give up at a few hundred levels, and everybody must be able to read it back.
MAX_METADATA_LEVELS = 100

_FIELDS = frozenset(
    "name version tag createdAt project projectIdentifier status releaseNotes author metadata artifacts "
    "dockerImages dependencies".split()
)
_ARTIFACT_FIELDS = frozenset(
    "name platform size sha256 downloadUrl isExecutable arguments metadata secured repositoryKey path "
    "packageType".split()
)
_IMAGE_FIELDS = frozenset(("name", "imageUrl", "platform", "metadata"))
_DEPENDENCY_FIELDS = frozenset(("catalogId", "name", "version"))


def read(source: Any, path: str, now: datetime.datetime) -> tuple[dict[str, Any], list[Violation]]:
    """Fields for `release.document` with the `project`, and all that is wrong with the import document.

    `path` goes before the names of fields in violations; the fields are only of use where there are none.
    """
    if not isinstance(source, dict):
        return {}, [Violation(path, "Give an object: an import document.", "NOT_AN_OBJECT")]
    doc = Checks(source, path)
    doc.known(_FIELDS)
    version = doc.text("version", versions.MAX_LENGTH, required=True) or ""
    artifacts = [_artifact(entry, now) for entry in doc.items("artifacts", MAX_ENTRIES, required=True)]
    images = [_image(entry) for entry in doc.items("dockerImages", MAX_ENTRIES)]
    dependencies = [_dependency(entry) for entry in doc.items("dependencies", MAX_ENTRIES)]
    for index, dependency in enumerate(dependencies):
        if (dependency["name"], dependency["version"]) == (source.get("name"), version):
            message = "A release may not depend on itself: remove this dependency."
            doc.refuse(f"dependencies[{index}]", "DEPENDS_ON_ITSELF", message)
    fields = {
        "project": doc.text("project", 256, required=True),
        "name": doc.text("name", 256, required=True),
        "version": version,
        "tag": doc.text("tag", 256),
        "createdAt": doc.instant("createdAt"),
        "importedStatus": doc.text("status", 256),
        "notes": doc.text("releaseNotes", 4096, lines=True),
        "author": doc.email("author"),
        "metadata": metadata(doc),
        "importedAt": now,
        "artifacts": artifacts,
        "dockerImages": images,
        "platforms": platforms.united(artifacts, images),
        "dependencies": dependencies,
    }
    return fields, doc.found


def metadata(doc: Checks) -> str | None:
    """The field `metadata` as JSON text: kept to the letter, and never part of a query."""
    value = doc.fields.get("metadata")
    if value is None:
        return None
    try:
        text = orjson.dumps(value)
    except TypeError as error:
        doc.refuse("metadata", "NOT_JSON", f"This can't be kept as JSON: {error}.")
        return None
    if len(text) > MAX_METADATA_BYTES:
        doc.refuse("metadata", "TOO_LONG", f"At most {MAX_METADATA_BYTES} bytes of JSON fit here.")
        return None
    if _is_deep(value):
        doc.refuse("metadata", "TOO_DEEP", f"At most {MAX_METADATA_LEVELS} levels fit here.")
        return None
    return text.decode()


def _is_deep(value: Any) -> bool:
    level, depth = [value], 0
    while level := [inner for outer in level for inner in _inside(outer)]:
        depth += 1
        if depth > MAX_METADATA_LEVELS:
            return True
    return False


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _artifact(entry: Checks, now: datetime.datetime) -> release.Document:
    entry.known(_ARTIFACT_FIELDS)
    return release.artifact(
        now,
        name=entry.text("name", 256, required=True),
        platform=platforms.parsed(entry.text("platform", 128)),
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


def _image(entry: Checks) -> dict[str, Any]:
    entry.known(_IMAGE_FIELDS)
    return {
        "name": entry.text("name", 256, required=True),
        "imageUrl": entry.text("imageUrl", 2048, required=True),
        "platform": platforms.parsed(entry.text("platform", 128)),
        "metadata": metadata(entry),
    }


def _dependency(entry: Checks) -> dict[str, Any]:
    entry.known(_DEPENDENCY_FIELDS)
    return {
        "releaseId": entry.text("catalogId", 255),
        "name": entry.text("name", 256, required=True) or "",
        "version": entry.text("version", versions.MAX_LENGTH, required=True) or "",
    }


def written(source: Mapping[str, Any], project: str) -> dict[str, Any]:
    """The import document of a release whose product has the key `project`; importing it gives it back."""
    return {
        "name": source["name"],
        "version": source["version"],
        **_present(tag=source["tag"]),
        "createdAt": instants.written(source["createdAt"]),
        "project": project,
        **_present(status=source["importedStatus"], releaseNotes=source["notes"]),
        "author": source["author"],
        **_present(metadata=_json(source["metadata"])),
        "artifacts": [_written_artifact(artifact) for artifact in source["artifacts"]],
        **_present(dockerImages=[_written_image(image) for image in source["dockerImages"]] or None),
        "dependencies": [
            {**_present(catalogId=d["releaseId"]), "name": d["name"], "version": d["version"]}
            for d in source["dependencies"]
        ],
    }


def _written_artifact(artifact: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": artifact["name"],
        **_present(platform=(artifact["platform"] or {}).get("name")),
        "size": artifact["size"],
        "sha256": artifact["sha256"],
        "downloadUrl": artifact["downloadUrl"],
        "isExecutable": artifact["isExecutable"],
        **_present(
            arguments=artifact["arguments"],
            metadata=_json(artifact["metadata"]),
            secured=artifact["secured"] or None,
            repositoryKey=artifact["repositoryKey"],
            path=artifact["path"],
            packageType=artifact["packageType"],
        ),
    }


def _written_image(image: Mapping[str, Any]) -> dict[str, Any]:
    platform = (image["platform"] or {}).get("name")
    return {
        "name": image["name"],
        "imageUrl": image["imageUrl"],
        **_present(platform=platform, metadata=_json(image["metadata"])),
    }


def _json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
