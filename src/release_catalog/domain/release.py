"""A release, as the document that stands for it everywhere."""

import datetime
from collections.abc import Mapping
from typing import Any

from release_catalog.domain import ids, references, versions

Document = dict[str, Any]


def document(
    tenant: str,
    product: Mapping[str, Any],
    name: str,
    version: str,
    now: datetime.datetime,
    **given: Any,
) -> Document:
    """A release of `product` with `given` fields and the defaults of all others.

    Names are those of the GraphQL type; relations are kept as ids (`catalogId`), metadata as JSON text.
    """
    release: Document = {
        "id": ids.new(),
        "tenantId": tenant,
        "catalogId": product["catalogId"],
        "productId": product["id"],
        "name": name,
        "version": version,
        "revision": "0",
        "branch": None,
        "tag": None,
        "channel": "stable",
        "packagingType": None,
        "platforms": [],
        "trial": False,
        "status": "DRAFT",
        "importedStatus": None,
        "publishedAt": None,
        "private": False,
        "archivedAt": None,
        "withdrawal": None,
        "author": None,
        "notes": None,
        "description": None,
        "metadata": None,
        "createdAt": now,
        "updatedAt": now,
        "releasedAt": None,
        "importedAt": None,
        "endOfLifeAt": None,
        "etag": ids.new(),
        "artifacts": [],
        "registryArtifact": None,
        "dockerImages": [],
        "platformReleaseMetadata": [],
        "customizations": [],
        "baseImageId": None,
        "registryId": None,
        "pipelineId": None,
        "delivery": None,
        "dependencies": [],
        **given,
    }
    release["versionKey"] = versions.sort_key(product["versionScheme"], version)
    release["revisionKey"] = versions.sort_key("ANY", release["revision"])
    release["dependencies"] = [
        references.declared(release["catalogId"], d.get("releaseId"), d["name"], d["version"])
        for d in release["dependencies"]
    ]
    return release


def artifact(now: datetime.datetime, **given: Any) -> Document:
    """A file of a release; until it has been looked at, its verification is SKIPPED."""
    return {
        "id": ids.new(),
        "platform": None,
        "isExecutable": False,
        "arguments": None,
        "metadata": None,
        "downloads": 0,
        "secured": False,
        "repositoryKey": None,
        "path": None,
        "packageType": None,
        "createdAt": now,
        "updatedAt": now,
        "verification": {
            "status": "SKIPPED",
            "actualSha256": None,
            "actualSize": None,
            "message": None,
            "checkedAt": None,
        },
        **given,
    }
