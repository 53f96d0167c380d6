"""The contents of a release: files, images, packages and their verification."""

import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.domain import release_parts
from release_catalog.domain.declarations import descriptions
from release_catalog.graphql_api.enums import VerificationStatus
from release_catalog.graphql_api.fields import computed_field, field, json_text, optional_field
from release_catalog.graphql_api.scalars import Long
from release_catalog.query_engine.projection import FieldPaths, prefixed, subpaths, union, without

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
    description="Either a bare name such as windows or win64 (S1, S2), or an os/architecture pair (S5)."
)
class Platform:
    name: str = field("The platform as it was given, such as win64 or linux/amd64.")
    os_family: str | None = field("The operating system of a pair, such as linux.")
    architecture: str | None = field("The architecture of a pair, such as amd64.")


@strawberry.type(description="What was found when a file was fetched and hashed.")
class ArtifactVerification:
    status: VerificationStatus = field("The outcome.")
    expected_sha256: str = field("The digest that was declared: 64 lowercase hexadecimal digits.")
    actual_sha256: str | None = field("The digest of the bytes; null where the file could not be hashed.")
    actual_size: Long | None = field("How many bytes came; null where none were hashed.")
    message: str | None = field("What went wrong, for people.")
    checked_at: datetime.datetime | None = field("When the file was last looked at.")


@strawberry.type(description="A file of a release.")
class Artifact:
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
        "The end of the file name after its last dot, without the dot.",
        keys=["name"],
    )
    downloads: Long = field(_FILE["downloads"])
    secured: bool = field(_FILE["secured"])
    published: bool = computed_field(
        lambda artifact: artifact["release"]["status"] == "PUBLISHED",
        "Whether the file's release is published.",
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
        "The release that the file belongs to."
    )


@strawberry.type(description="A container image of a release.")
class DockerImage:
    name: str = field(_IMAGE["name"])
    image_url: str = field(_IMAGE["imageUrl"])
    platform: Platform | None = field(_IMAGE["platform"])
    metadata: JSON | None = json_text(_IMAGE["metadata"])


@strawberry.type(description="The package in its registry (S5 artifact).")
class RegistryArtifact:
    name: str = field(_PACKAGE["name"])
    version: str = field(_PACKAGE["version"])
    repository: str | None = field(_PACKAGE["repository"])
    url: str | None = field(_PACKAGE["url"])
    content_digest: str | None = field(_PACKAGE["contentDigest"])
    repo_digest: str | None = field(_PACKAGE["repoDigest"])


@strawberry.type(description="A file that tells something about a release: an SBOM, a scan, a trigger (S5).")
class ReleaseMetadataFile:
    id: strawberry.ID = field(_METADATA_FILE["id"])
    mime_type: str | None = field(_METADATA_FILE["mimeType"])
    url: str | None = field(_METADATA_FILE["url"])
    filename: str | None = field(_METADATA_FILE["filename"])


@strawberry.type(description="Metadata files of one platform, or of all where there is none (S5).")
class PlatformReleaseMetadata:
    platform: Platform | None = field(_PLATFORM_METADATA["platform"])
    release_metadata: list[ReleaseMetadataFile] = field(_PLATFORM_METADATA["releaseMetadata"])


@strawberry.type(description="The file of a customization (S5).")
class CustomizationArtifact:
    id: strawberry.ID = field(_CUSTOMIZATION_FILE["id"])
    url: str | None = field(_CUSTOMIZATION_FILE["url"])
    filename: str | None = field(_CUSTOMIZATION_FILE["filename"])


@strawberry.type(description="A change that an organisation made to a release (S5).")
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


@strawberry.input(description="A file that tells something about a release (S5).")
class ReleaseMetadataFileInput:
    id: strawberry.ID = field(_METADATA_FILE["id"])
    mime_type: str | None = optional_field(_METADATA_FILE["mimeType"])
    url: str | None = optional_field(_METADATA_FILE["url"])
    filename: str | None = optional_field(_METADATA_FILE["filename"])


@strawberry.input(description="Metadata files of one platform, or of all where there is none (S5).")
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


def of(release: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a release's files, each with its release."""
    return [{**artifact, "release": release} for artifact in release["artifacts"]]


def keys(paths: FieldPaths) -> FieldPaths:
    """Return the paths of a release that `of` reads, for the paths requested of its files with their release."""
    return union(subpaths(paths, "release"), prefixed(without(paths, "release"), "artifacts"))
