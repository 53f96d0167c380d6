"""JSON Schemas of the bodies of responses."""

from collections.abc import Mapping

from release_catalog.domain import declarations, release, release_parts
from release_catalog.graphql_api.json_schema import (
    BOOLEAN,
    COUNT,
    INSTANT,
    SIZE,
    TEXT,
    Schema,
    described,
    list_of,
    nullable,
    object_of,
    reference,
)

LINK = object_of(
    "A link of the Hypertext Application Language.",
    {
        "href": described(TEXT, "Path on this server, or a URI template (RFC 6570)."),
        "title": described(TEXT, "Name of what the link leads to."),
        "templated": described(BOOLEAN, "Whether href is a URI template."),
    },
    "title",
    "templated",
)


def links(*one: str, optional: str = "", lists: str = "") -> Schema:
    """Return the schema of `_links`: relations with one link, those that may be missing, and those with a list."""
    properties = dict.fromkeys([*one, *optional.split()], reference("Link"))
    properties |= dict.fromkeys(lists.split(), list_of(reference("Link"), maxItems=100))
    return object_of("Links, all of which this server answers.", properties, *optional.split())


def _fields(fields: Mapping[str, declarations.Field], kinds: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return the schemas of declared fields under their snake_case names, with the declared descriptions."""
    return {name: described(kind, fields[_camel(name)].description) for name, kind in kinds.items()}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


_TEXTS = "name key description long_display_name disclaimer category"
_PRODUCT: dict[str, Schema] = dict.fromkeys(_TEXTS.split(), TEXT) | {
    "based_on_scratch": BOOLEAN,
    "latest_free": BOOLEAN,
}
_PRODUCT_OPTIONAL = tuple(name for name in _PRODUCT if name not in {"name", "key"})
_SUMMARY = reference("ReleaseSummary")
_LATEST = described(_SUMMARY, "Latest published release of the same product, channel and branch.")


def _release() -> Schema:
    """Return the schema of S5's release; of what a release refers to, its document is shown."""
    of = {field.hal: field.description for field in release.FIELDS.values() if field.hal}
    declared: dict[str, Schema] = {
        "id": TEXT,
        "branch": TEXT,
        "end_of_life_at": INSTANT,
        "version": TEXT,
        "revision": TEXT,
        "released_at": nullable(INSTANT),
        "packaging_type": {"type": "string", "enum": list(release.PACKAGING)},
        "artifact": nullable(reference("Package")),
        "platforms": list_of(reference("Platform")),
        "platform_release_metadata": list_of(reference("PlatformReleaseMetadata")),
        "catalog_id": TEXT,
        "application_id": TEXT,
        "customizations": list_of(reference("Customization")),
        "pipeline_id": TEXT,
        "trial": BOOLEAN,
    }
    properties = {name: described(kind, of[name]) for name, kind in declared.items()} | {
        "latest_release": _LATEST,
        "product": reference("Product"),
        "base_image": reference("BaseImage"),
        "registry": reference("Registry"),
        "status": described(
            {"type": "string", "enum": ["DRAFT", "WITHDRAWN", "ARCHIVED"]},
            "Status of a release that is not published.",
        ),
        "withdrawal": reference("Withdrawal"),
        "dependencies": described(list_of(reference("Release")), "Only with expand_relationships=true."),
        "dependants": described(list_of(reference("Release")), "Only with expand_relationships=true."),
        "_links": links(
            "self",
            "catalog",
            "application",
            optional="product base_image registry pipeline latest_release replacement next",
            lists="dependencies dependants",
        ),
    }
    optional = (
        "branch end_of_life_at packaging_type pipeline_id latest_release product base_image registry status "
        "withdrawal dependencies dependants"
    )
    return object_of("A release (S5).", properties, *optional.split())


_PROMOTED = object_of(
    "A promoted file or image.", {"path": TEXT, "checksum": TEXT, "package_type": nullable(TEXT)}, "package_type"
)
_FILE: dict[str, Schema] = {
    "id": TEXT,
    "createdAt": INSTANT,
    "updatedAt": INSTANT,
    "name": TEXT,
    "url": TEXT,
    "size": SIZE,
    "downloads": COUNT,
    "extension": nullable(TEXT),
    "checksum": TEXT,
    "secured": BOOLEAN,
    "published": BOOLEAN,
    "releaseId": TEXT,
    "releaseName": TEXT,
}
_CREATED: dict[str, Schema] = {
    "id": TEXT,
    "createdAt": INSTANT,
    "updatedAt": INSTANT,
    "name": TEXT,
    "channel": TEXT,
    "version": TEXT,
    "platforms": list_of(TEXT),
    "notes": nullable(TEXT),
    "totalFiles": COUNT,
    "publishedAt": nullable(INSTANT),
    "files": list_of(reference("File")),
    "published": BOOLEAN,
    "private": BOOLEAN,
    "archived": BOOLEAN,
    "productId": TEXT,
    "tenantId": TEXT,
}
_CHECKED = {"healthy": BOOLEAN, "last_checked_at": INSTANT}


def outputs() -> dict[str, Schema]:
    """Return the schemas of responses by name."""
    violation = object_of("A rule that the request violates.", {"field": TEXT, "message": TEXT, "code": TEXT})
    return {
        "Link": LINK,
        "EntryPoint": object_of(
            "Entry point.",
            {"_links": links("self", "catalogs", "release", "promotion", "service-desc", optional="schema")},
        ),
        "Catalogs": object_of("Catalogs, by name.", {"_links": links("self", optional="next", lists="catalogs")}),
        "Releases": object_of(
            "Releases of a catalog, the newest first.",
            {"_links": links("self", "catalog", "applications", optional="next", lists="releases")},
        ),
        "Applications": object_of(
            "Products of a catalog, by key.",
            {"_links": links("self", "catalog", "releases", optional="next", lists="applications")},
        ),
        "Catalog": object_of(
            "A catalog with links to its products.",
            {
                "id": TEXT, "name": TEXT, "description": TEXT, "public": BOOLEAN, "created_at": INSTANT,
                "_links": links("self", "releases", optional="next", lists="applications"),
            },
            "description",
        ),
        "Release": _release(),
        "ReleaseSummary": object_of(
            "A release in brief.",
            {"id": TEXT, "revision": TEXT, "released_at": nullable(INSTANT), "version": TEXT},
        ),
        "Withdrawal": object_of(
            "Withdrawal of a release.",
            {"reason": TEXT, "withdrawn_at": INSTANT, "withdrawn_by": TEXT},
            "withdrawn_by",
        ),
        "Package": object_of(
            "Package in its registry; without one, the first image or file of the release.",
            _fields(
                release_parts.REGISTRY_ARTIFACT_FIELDS,
                dict.fromkeys("content_digest repo_digest name version repository url".split(), TEXT),
            ),
            *"content_digest repo_digest repository url".split(),
        ),
        "Product": object_of("A product.", _PRODUCT, *_PRODUCT_OPTIONAL),
        "Application": object_of(
            "A product of a catalog with links to its releases, the newest first.",
            {
                "id": TEXT, "catalog_id": TEXT, **_PRODUCT, "latest_release": _SUMMARY,
                "_links": links("self", "catalog", optional="latest_release next", lists="releases"),
            },
            *_PRODUCT_OPTIONAL, "latest_release",
        ),
        "Branch": object_of(
            "A product on one of its branches.",
            {
                **_PRODUCT, "branch": TEXT, "latest_release": _SUMMARY,
                "_links": links("self", "catalog", "application", optional="latest_release"),
            },
            *_PRODUCT_OPTIONAL, "latest_release",
        ),
        "Platform": object_of("A platform.", {"os_family": TEXT, "architecture": TEXT}, "architecture"),
        "PlatformReleaseMetadata": object_of(
            "Files with information about a release on one platform, or on all.",
            {"platform": reference("Platform"), "release_metadata": list_of(reference("MetadataFile"))},
            "platform",
        ),
        "MetadataFile": object_of(
            "A file with information about a release.",
            dict.fromkeys("id mime_type url filename".split(), TEXT),
            *"mime_type url filename".split(),
        ),
        "Customization": object_of(
            "An organisation's change to a release.",
            {
                "id": TEXT, "version": TEXT,
                "artifact": object_of(
                    "File of the customization.", {"id": TEXT, "url": TEXT, "filename": TEXT}, "url", "filename"
                ),
            },
            "version", "artifact",
        ),
        "BaseImage": object_of(
            "A base image.",
            {
                "id": TEXT, "name": TEXT, "description": TEXT, "container_image": TEXT,
                "operating_system": reference("OperatingSystem"), **_CHECKED, "_links": links("self"),
            },
            *"description container_image operating_system healthy last_checked_at _links".split(),
        ),
        "OperatingSystem": object_of(
            "An operating system.",
            dict.fromkeys("id name distro version".split(), TEXT),
            "distro", "version",
        ),
        "Registry": object_of(
            "A registry.",
            {"id": TEXT, "name": TEXT, "url": TEXT, **_CHECKED, "_links": links("self")},
            *"healthy last_checked_at _links".split(),
        ),
        "Pipeline": object_of(
            "A pipeline, seen from a catalog.",
            {
                "id": TEXT, "name": TEXT,
                "properties": list_of(
                    object_of(
                        "A property that a delivery gives.",
                        {"name": TEXT, "required": BOOLEAN, "default_value": TEXT},
                        "default_value",
                    )
                ),
                "_links": links("self", "catalog"),
            },
        ),
        "Promotion": object_of(
            "A promotion record (S3).",
            {
                "schema_version": TEXT, "service_id": TEXT, "environment": TEXT, "created_by": TEXT,
                "created": INSTANT, "created_millis": {"type": "integer", "format": "int64"},
                "artifacts": list_of(_PROMOTED), "checked_webhooks": list_of(TEXT),
                "included_repository_keys": list_of(TEXT), "excluded_repository_keys": list_of(TEXT),
                "overwrite_existing_artifacts": BOOLEAN,
                "status": described(
                    {"type": "string", "enum": ["ROLLED_BACK"]}, "Only if the promotion was rolled back."
                ),
            },
            "created_by", "status",
        ),
        "CreatedRelease": object_of("A created release (S2).", _CREATED),
        "File": object_of("A file of a release (S2).", _FILE),
        "ImportedRelease": object_of(
            "An imported release (S1).",
            {
                "catalogId": described(TEXT, "Id of the release."), "name": TEXT, "version": TEXT, "status": TEXT,
                "warnings": list_of(reference("ImportWarning")), "message": TEXT,
            },
        ),
        "ImportWarning": object_of(
            "A file that differs from its declaration or could not be fetched.",
            {
                "artifactName": described(TEXT, "File name. Empty if the warning is about no file."),
                "message": TEXT, "expectedSha256": TEXT, "actualSha256": nullable(TEXT),
            },
        ),
        "Readiness": object_of("State of the server.", {"ready": BOOLEAN, "reason": TEXT}, "reason"),
        "Problem": object_of(
            "A refusal or a failure (RFC 9457).",
            {
                "type": described(TEXT, "Always about:blank: the status says it all."),
                "title": described(TEXT, "Phrase of the status."),
                "status": {"type": "integer"},
                "detail": described(TEXT, "Explanation of this problem and what to do next."),
                "instance": described(TEXT, "Path of the request."),
                "violations": described(list_of(violation), "All violations. Only with status 400."),
                "code": described(TEXT, "Error code for programs, such as UNAVAILABLE or LIMIT_EXCEEDED."),
                "limit": described(TEXT, "Limit that the request exceeds."),
                "allowed": described({"type": "integer"}, "Maximum that the limit allows."),
                "retryAfter": described({"type": "integer"}, "Seconds after which to repeat the request."),
                "outcome": described(
                    {"type": "string", "enum": ["UNCHANGED", "UNKNOWN", "CHANGED"]},
                    "Whether a request that writes took effect before the database failed.",
                ),
                "error_id": described(TEXT, "Id of the failure in the server's log."),
                "document_id": described(TEXT, "Id of a stored document that can't be read."),
            },
            *"violations code limit allowed retryAfter outcome error_id document_id".split(),
        ),
    }  # fmt: skip
