"""The contents of a release: files, images, packages and their verification."""

import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.domain import release_parts
from release_catalog.domain.declarations import descriptions
from release_catalog.domain.release import ReleaseDocument
from release_catalog.graphql_api.enums import VerificationStatus
from release_catalog.graphql_api.fields import computed_field, field, json_text, optional_field
from release_catalog.graphql_api.scalars import Long
from release_catalog.graphql_api.types.node import Node, node_id_in_release
from release_catalog.storage.cursors import FieldPaths, prefixed, subpaths, union, without

if TYPE_CHECKING:
    from release_catalog.graphql_api.types.release import Release


_FILE = descriptions(release_parts.ARTIFACT_FIELDS)
_IMAGE = descriptions(release_parts.IMAGE_FIELDS)
_PACKAGE = descriptions(release_parts.REGISTRY_ARTIFACT_FIELDS)
_METADATA_FILE = descriptions(release_parts.METADATA_FILE_FIELDS)
_PLATFORM_METADATA = descriptions(release_parts.PLATFORM_METADATA_FIELDS)
_CUSTOMIZATION = descriptions(release_parts.CUSTOMIZATION_FIELDS)
_CUSTOMIZATION_FILE = descriptions(release_parts.CUSTOMIZATION_ARTIFACT_FIELDS)


@strawberry.type(
    description="Platform: a bare name such as win64 (S1, S2), or a pair of operating system and "
    "architecture such as linux/amd64 (S5)."
)
class Platform:
    name: str = field("Platform as it was given, such as win64 or linux/amd64.")
    os_family: str | None = field("Operating system of a pair, such as linux. Null for a bare name.")
    architecture: str | None = field("Architecture of a pair, such as amd64. Null for a bare name.")


@strawberry.type(description="Result of fetching and hashing a file.")
class ArtifactVerification:
    status: VerificationStatus = field("Status of the verification.")
    expected_sha256: str = field("Declared SHA-256 digest: 64 lowercase hexadecimal digits.")
    actual_sha256: str | None = field("SHA-256 digest of the fetched bytes. Null if the file was not hashed.")
    actual_size: Long | None = field("Number of fetched bytes. Null if the file was not hashed.")
    message: str | None = field("Error message for people. Null without an error.")
    checked_at: datetime.datetime | None = field("Time of the last verification. Null before the first one.")


@strawberry.type(description="A file of a release.")
class Artifact(Node):
    node_id: strawberry.ID = node_id_in_release("Artifact")
    id: strawberry.ID = field(_FILE["id"])
    name: str = field(_FILE["name"])
    platform: Platform | None = field(_FILE["platform"])
    size: Long = field(_FILE["size"])
    sha256: str = field(_FILE["sha256"])
    download_url: str = field(_FILE["downloadUrl"])
    is_executable: bool = field(_FILE["isExecutable"])
    arguments: str | None = field(_FILE["arguments"])
    metadata: JSON | None = json_text(_FILE["metadata"])
    extension: str | None = computed_field(
        lambda artifact: release_parts.extension(artifact["name"]),
        "File extension: the part of the name after its last dot. Null if the name has none.",
        keys=["name"],
    )
    downloads: Long = field(_FILE["downloads"])
    secured: bool = field(_FILE["secured"])
    published: bool = computed_field(
        lambda artifact: artifact["release"]["status"] == "PUBLISHED",
        "Whether the release of the file is published.",
        keys=["release.status"],
    )
    repository_key: str | None = field(_FILE["repositoryKey"])
    path: str | None = field(_FILE["path"])
    package_type: str | None = field(_FILE["packageType"])
    created_at: datetime.datetime = field(_FILE["createdAt"])
    updated_at: datetime.datetime = field(_FILE["updatedAt"])
    verification: ArtifactVerification = computed_field(
        lambda artifact: {**artifact["verification"], "expectedSha256": artifact["sha256"]},
        _FILE["verification"],
        keys=lambda asked: union(
            prefixed(without(asked, "expectedSha256"), "verification"), frozenset({"sha256"})
        ),
    )
    release: Annotated["Release", strawberry.lazy("release_catalog.graphql_api.types.release")] = field(
        "Release of the file."
    )


@strawberry.type(description="A container image of a release.")
class DockerImage:
    name: str = field(_IMAGE["name"])
    image_url: str = field(_IMAGE["imageUrl"])
    platform: Platform | None = field(_IMAGE["platform"])
    metadata: JSON | None = json_text(_IMAGE["metadata"])


@strawberry.type(description="A package in its registry (S5 artifact).")
class RegistryArtifact:
    name: str = field(_PACKAGE["name"])
    version: str = field(_PACKAGE["version"])
    repository: str | None = field(_PACKAGE["repository"])
    url: str | None = field(_PACKAGE["url"])
    content_digest: str | None = field(_PACKAGE["contentDigest"])
    repo_digest: str | None = field(_PACKAGE["repoDigest"])


@strawberry.type(
    description="A file with information about a release, such as an SBOM or a scan (S5). Caches must not keep it "
    "by its id, which is unique only among the files of one platform of its release."
)
class ReleaseMetadataFile:
    id: strawberry.ID = field(_METADATA_FILE["id"])
    mime_type: str | None = field(_METADATA_FILE["mimeType"])
    url: str | None = field(_METADATA_FILE["url"])
    filename: str | None = field(_METADATA_FILE["filename"])


@strawberry.type(description="Metadata files of a release for one platform, or for all platforms (S5).")
class PlatformReleaseMetadata:
    platform: Platform | None = field(_PLATFORM_METADATA["platform"])
    release_metadata: list[ReleaseMetadataFile] = field(_PLATFORM_METADATA["releaseMetadata"])


@strawberry.type(
    description="The file of a customization (S5). Caches must not keep it by its id, which is unique only within "
    "its customization."
)
class CustomizationArtifact:
    id: strawberry.ID = field(_CUSTOMIZATION_FILE["id"])
    url: str | None = field(_CUSTOMIZATION_FILE["url"])
    filename: str | None = field(_CUSTOMIZATION_FILE["filename"])


@strawberry.type(
    description="A change that an organisation made to a release (S5). Caches must not keep it by its id, which "
    "is unique only within its release."
)
class Customization:
    id: strawberry.ID = field(_CUSTOMIZATION["id"])
    version: str | None = field(_CUSTOMIZATION["version"])
    artifact: CustomizationArtifact | None = field(_CUSTOMIZATION["artifact"])


@strawberry.input(description="A file of a release.")
class ArtifactInput:
    name: str = field(_FILE["name"])
    size: Long = field(_FILE["size"])
    sha256: str = field(_FILE["sha256"])
    download_url: str = field(_FILE["downloadUrl"])
    platform: str | None = optional_field(_FILE["platform"])
    is_executable: bool | None = optional_field(_FILE["isExecutable"])
    arguments: str | None = optional_field(_FILE["arguments"])
    metadata: JSON | None = optional_field(_FILE["metadata"])
    secured: bool | None = optional_field(_FILE["secured"])
    repository_key: str | None = optional_field(_FILE["repositoryKey"])
    path: str | None = optional_field(_FILE["path"])
    package_type: str | None = optional_field(_FILE["packageType"])


@strawberry.input(description="A package in its registry (S5).")
class RegistryArtifactInput:
    name: str = field(_PACKAGE["name"])
    version: str = field(_PACKAGE["version"])
    repository: str | None = optional_field(_PACKAGE["repository"])
    url: str | None = optional_field(_PACKAGE["url"])
    content_digest: str | None = optional_field(_PACKAGE["contentDigest"])
    repo_digest: str | None = optional_field(_PACKAGE["repoDigest"])


@strawberry.input(description="A container image.")
class DockerImageInput:
    name: str = field(_IMAGE["name"])
    image_url: str = field(_IMAGE["imageUrl"])
    platform: str | None = optional_field(_IMAGE["platform"])
    metadata: JSON | None = optional_field(_IMAGE["metadata"])


@strawberry.input(description="A file with information about a release, such as an SBOM or a scan (S5).")
class ReleaseMetadataFileInput:
    id: strawberry.ID = field(_METADATA_FILE["id"])
    mime_type: str | None = optional_field(_METADATA_FILE["mimeType"])
    url: str | None = optional_field(_METADATA_FILE["url"])
    filename: str | None = optional_field(_METADATA_FILE["filename"])


@strawberry.input(description="Metadata files of a release for one platform, or for all platforms (S5).")
class PlatformReleaseMetadataInput:
    release_metadata: list[ReleaseMetadataFileInput] = field(_PLATFORM_METADATA["releaseMetadata"])
    platform: str | None = optional_field(_PLATFORM_METADATA["platform"])


@strawberry.input(description="The file of a customization (S5).")
class CustomizationArtifactInput:
    id: strawberry.ID = field(_CUSTOMIZATION_FILE["id"])
    url: str | None = optional_field(_CUSTOMIZATION_FILE["url"])
    filename: str | None = optional_field(_CUSTOMIZATION_FILE["filename"])


@strawberry.input(description="A change that an organisation made to a release (S5).")
class CustomizationInput:
    id: strawberry.ID = field(_CUSTOMIZATION["id"])
    version: str | None = optional_field(_CUSTOMIZATION["version"])
    artifact: CustomizationArtifactInput | None = optional_field(_CUSTOMIZATION["artifact"])


def of(release: ReleaseDocument) -> list[dict[str, Any]]:
    """Return a release's files, each with its release."""
    return [{**artifact, "release": release} for artifact in release["artifacts"]]


def keys(paths: FieldPaths) -> FieldPaths:
    """Return the paths of a release that `of` reads, for the paths requested of its files with their release."""
    return union(subpaths(paths, "release"), prefixed(without(paths, "release"), "artifacts"))
