"""The contents of a release: files, images, packages and their verification."""

import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.domain import release_parts
from release_catalog.graphql_api.enums import VerificationStatus
from release_catalog.graphql_api.fields import computed_field, field, json_text
from release_catalog.graphql_api.scalars import Long
from release_catalog.query_engine.projection import FieldPaths, prefixed, subpaths, union, without

if TYPE_CHECKING:
    from release_catalog.graphql_api.types.release import Release


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
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("File name.")
    platform: Platform | None = field("What the file runs on; null where it is for all.")
    size: Long = field("Declared size in bytes.")
    sha256: str = field("Declared SHA-256 digest: 64 lowercase hexadecimal digits.")
    download_url: str = field("Where the file can be fetched. S2 calls it url.")
    is_executable: bool = field("Whether the file is meant to be run.")
    arguments: str | None = field("Command line to run it with.")
    metadata: JSON | None = json_text("Free JSON, given back as it came.")
    extension: str | None = computed_field(
        lambda artifact: release_parts.extension(artifact["name"]),
        "The end of the file name after its last dot, without the dot.",
        keys=["name"],
    )
    downloads: Long = field("How many times the download was recorded.")
    secured: bool = field("Whether downloading needs credentials (S2).")
    published: bool = computed_field(
        lambda artifact: artifact["release"]["status"] == "PUBLISHED",
        "Whether the file's release is published.",
        keys=["release.status"],
    )
    repository_key: str | None = field("The repository it is promoted from (S3).")
    path: str | None = field("Its path in that repository (S3).")
    package_type: str | None = field("The kind of that repository, such as maven (S3).")
    created_at: datetime.datetime = field("When the file was added.")
    updated_at: datetime.datetime = field("When what is known of it last changed.")
    verification: ArtifactVerification = computed_field(
        lambda artifact: {**artifact["verification"], "expectedSha256": artifact["sha256"]},
        "What was found when the file was fetched and hashed.",
        keys=lambda asked: union(
            prefixed(without(asked, "expectedSha256"), "verification"), frozenset({"sha256"})
        ),
    )
    release: Annotated["Release", strawberry.lazy("release_catalog.graphql_api.types.release")] = field(
        "The release that the file belongs to."
    )


@strawberry.type(description="A container image of a release.")
class DockerImage:
    name: str = field("Name of the image.")
    image_url: str = field("Where it can be pulled, tag or digest included.")
    platform: Platform | None = field("What the image runs on.")
    metadata: JSON | None = json_text("Free JSON, given back as it came.")


@strawberry.type(description="The package in its registry (S5 artifact).")
class RegistryArtifact:
    name: str = field("Name of the package.")
    version: str = field("Version of the package, which may differ from the release's.")
    repository: str | None = field("The repository that holds it.")
    url: str | None = field("Where it can be had.")
    content_digest: str | None = field("Digest of the content, such as sha256:….")
    repo_digest: str | None = field("Digest of its manifest in the repository.")


@strawberry.type(description="A file that tells something about a release: an SBOM, a scan, a trigger (S5).")
class ReleaseMetadataFile:
    id: strawberry.ID = field("Identifier of the file.")
    mime_type: str | None = field("What the file is; any text.")
    url: str | None = field("Where it can be fetched.")
    filename: str | None = field("Its name.")


@strawberry.type(description="Metadata files of one platform, or of all where there is none (S5).")
class PlatformReleaseMetadata:
    platform: Platform | None = field("The platform that the files speak of.")
    release_metadata: list[ReleaseMetadataFile] = field("The files.")


@strawberry.type(description="The file of a customization (S5).")
class CustomizationArtifact:
    id: strawberry.ID = field("Identifier of the file.")
    url: str | None = field("Where it can be fetched.")
    filename: str | None = field("Its name.")


@strawberry.type(description="A change that an organisation made to a release (S5).")
class Customization:
    id: strawberry.ID = field("Identifier of the customization.")
    version: str | None = field("Its version.")
    artifact: CustomizationArtifact | None = field("Its file.")


def of(release: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a release's files, each with its release."""
    return [{**artifact, "release": release} for artifact in release["artifacts"]]


def keys(paths: FieldPaths) -> FieldPaths:
    """Return the paths of a release that `of` reads, for the paths requested of its files with their release."""
    return union(subpaths(paths, "release"), prefixed(without(paths, "release"), "artifacts"))
