"""S2: what an event tells of a release, in the seed's own field names; S3: and of its promotion."""

from collections.abc import Mapping
from typing import Any

from release_catalog.domain import artifacts, instants


def of(release: Mapping[str, Any]) -> dict[str, Any]:
    """The `data` of an event about `release`."""
    return {
        "id": release["id"],
        "createdAt": instants.written(release["createdAt"]),
        "updatedAt": instants.written(release["updatedAt"]),
        "name": release["name"],
        "channel": release["channel"],
        "version": release["version"],
        "platforms": [platform["name"] for platform in release["platforms"]],
        "notes": release["notes"],
        "totalFiles": len(release["artifacts"]),
        "publishedAt": release["publishedAt"] and instants.written(release["publishedAt"]),
        "files": [_file(release, file) for file in release["artifacts"]],
        "published": release["status"] == "PUBLISHED",
        "private": release["private"],
        "archived": release["status"] == "ARCHIVED",
        "productId": release["productId"],
        "tenantId": release["tenantId"],
    }


def promoted(record: Mapping[str, Any]) -> dict[str, Any]:
    """What an event about a promotion says besides, under `promotion`: all that clients can read of its record."""
    hidden = {"_id", "tenantId", "before"}
    said = {name: value for name, value in record.items() if name not in hidden}
    return {**said, "created": instants.written(record["created"])}


def _file(release: Mapping[str, Any], file: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": file["id"],
        "createdAt": instants.written(file["createdAt"]),
        "updatedAt": instants.written(file["updatedAt"]),
        "name": file["name"],
        "url": file["downloadUrl"],
        "size": file["size"],
        "downloads": file["downloads"],
        "extension": artifacts.extension(file["name"]),
        "checksum": file["sha256"],
        "secured": file["secured"],
        "published": release["status"] == "PUBLISHED",
        "releaseId": release["id"],
        "releaseName": release["name"],
    }
