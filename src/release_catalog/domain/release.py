"""The release document: its fields and their defaults."""

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
    """Return a release of `product` with the `given` fields and the defaults of all others.

    Names are those of the GraphQL type; relations are kept as ids (`catalogId`), metadata as JSON text.
    """
    release: Document = {
        "id": ids.new(),
        "tenantId": tenant,
        "catalogId": product["catalogId"],
        "productId": product["id"],
        "name": name,
        "version": version,
        "channel": "stable",
        "trial": False,
        "status": "DRAFT",
        "importedStatus": None,
        "publishedAt": None,
        "createdBy": None,
        "publishedBy": None,
        "archivedAt": None,
        "withdrawal": None,
        "createdAt": now,
        "updatedAt": now,
        "importedAt": None,
        "etag": ids.new(),
        **default_fields(),
        **given,
    }
    release["versionKey"] = versions.sort_key(product["versionScheme"], version)
    return release | derived_fields(release)


def default_fields() -> Document:
    """Return the updatable fields of a release with their defaults."""
    nothing = (
        "branch tag packagingType author notes description metadata releasedAt endOfLifeAt registryArtifact "
        "baseImageId registryId pipelineId delivery"
    )
    none = "platforms artifacts dockerImages platformReleaseMetadata customizations dependencies"
    lists: Document = {field: [] for field in none.split()}
    return {"revision": "0", "private": False, **dict.fromkeys(nothing.split()), **lists}


def derived_fields(release: Mapping[str, Any]) -> Document:
    """Return the fields that follow from the revision and the references of a release."""
    return {
        "revisionKey": versions.sort_key("ANY", release["revision"]),
        "dependencies": [
            references.dependency_document(
                release["catalogId"], d.get("releaseId"), d["name"], d["version"], d.get("completed")
            )
            for d in release["dependencies"]
        ],
    }


def artifact(now: datetime.datetime, **given: Any) -> Document:
    """Return a file of a release; until it is verified, its verification is SKIPPED."""
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
        "verification": not_verified(),
        **given,
    }


def not_verified(status: str = "SKIPPED") -> Document:
    """Return the verification of a file that was not checked yet, or is PENDING."""
    return {"status": status, "actualSha256": None, "actualSize": None, "message": None, "checkedAt": None}
