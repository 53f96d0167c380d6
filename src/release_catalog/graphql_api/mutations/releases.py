"""The creation, patching and replacement of releases: inputs, payloads, mutations."""

import datetime

import strawberry
from strawberry.scalars import JSON

from release_catalog.domain import release_parts
from release_catalog.domain.declarations import descriptions
from release_catalog.domain.release import FIELDS
from release_catalog.graphql_api.enums import PackagingType
from release_catalog.graphql_api.fields import field, optional_field
from release_catalog.graphql_api.mutation import (
    WRITING,
    ConditionalInput,
    IdempotentInput,
    PayloadFields,
    mutation,
)
from release_catalog.graphql_api.mutations.release_delivery import DeliveryInput
from release_catalog.graphql_api.scalars import Long
from release_catalog.graphql_api.types.release import CHANGED, Release
from release_catalog.storage import release_writes

ID = strawberry.ID

_ABOUT = descriptions(FIELDS)
_FILE = descriptions(release_parts.ARTIFACT_FIELDS)
_IMAGE = descriptions(release_parts.IMAGE_FIELDS)
_PACKAGE = descriptions(release_parts.REGISTRY_ARTIFACT_FIELDS)
_METADATA_FILE = descriptions(release_parts.METADATA_FILE_FIELDS)
_PLATFORM_METADATA = descriptions(release_parts.PLATFORM_METADATA_FIELDS)
_CUSTOMIZATION = descriptions(release_parts.CUSTOMIZATION_FIELDS)
_CUSTOMIZATION_FILE = descriptions(release_parts.CUSTOMIZATION_ARTIFACT_FIELDS)


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


@strawberry.input(
    description="A reference to a release, by id or by name and version in the same catalog. If all are "
    "given, they must agree."
)
class DependencyInput:
    release_id: ID | None = optional_field("Id of the release.")
    name: str | None = optional_field(
        "Name of the release. Optional if a release with that id exists; it is then shown only to "
        "callers who may see that release."
    )
    version: str | None = optional_field("Version of the release. Optional under the same rule as the name.")


@strawberry.input(description="A file with information about a release, such as an SBOM or a scan (S5).")
class ReleaseMetadataFileInput:
    id: ID = field(_METADATA_FILE["id"])
    mime_type: str | None = optional_field(_METADATA_FILE["mimeType"])
    url: str | None = optional_field(_METADATA_FILE["url"])
    filename: str | None = optional_field(_METADATA_FILE["filename"])


@strawberry.input(description="Metadata files of a release for one platform, or for all platforms (S5).")
class PlatformReleaseMetadataInput:
    release_metadata: list[ReleaseMetadataFileInput] = field(_PLATFORM_METADATA["releaseMetadata"])
    platform: str | None = optional_field(_PLATFORM_METADATA["platform"])


@strawberry.input(description="The file of a customization (S5).")
class CustomizationArtifactInput:
    id: ID = field(_CUSTOMIZATION_FILE["id"])
    url: str | None = optional_field(_CUSTOMIZATION_FILE["url"])
    filename: str | None = optional_field(_CUSTOMIZATION_FILE["filename"])


@strawberry.input(description="A change that an organisation made to a release (S5).")
class CustomizationInput:
    id: ID = field(_CUSTOMIZATION["id"])
    version: str | None = optional_field(_CUSTOMIZATION["version"])
    artifact: CustomizationArtifactInput | None = optional_field(_CUSTOMIZATION["artifact"])


@strawberry.input
class ReleaseExtraFields:
    """The fields of a release that S1's documents have no names for."""

    revision: str | None = optional_field(_ABOUT["revision"])
    branch: str | None = optional_field(_ABOUT["branch"])
    packaging_type: PackagingType | None = optional_field(_ABOUT["packagingType"])
    platforms: list[str] | None = optional_field(_ABOUT["platforms"])
    private: bool | None = optional_field(_ABOUT["private"])
    description: str | None = optional_field(_ABOUT["description"])
    released_at: datetime.datetime | None = optional_field(_ABOUT["releasedAt"])
    end_of_life_at: datetime.date | None = optional_field(_ABOUT["endOfLifeAt"])
    registry_artifact: RegistryArtifactInput | None = optional_field(_ABOUT["registryArtifact"])
    platform_release_metadata: list[PlatformReleaseMetadataInput] | None = optional_field(
        _ABOUT["platformReleaseMetadata"]
    )
    customizations: list[CustomizationInput] | None = optional_field(_ABOUT["customizations"])
    base_image_id: ID | None = optional_field(_ABOUT["baseImageId"])
    registry_id: ID | None = optional_field(_ABOUT["registryId"])
    pipeline_id: ID | None = optional_field(_ABOUT["pipelineId"])
    delivery: DeliveryInput | None = optional_field(_ABOUT["delivery"])


@strawberry.input
class ReleaseFieldsInput(ReleaseExtraFields):
    tag: str | None = optional_field(_ABOUT["tag"])
    notes: str | None = optional_field(_ABOUT["notes"])
    author: str | None = optional_field(_ABOUT["author"])
    metadata: JSON | None = optional_field(_ABOUT["metadata"])
    artifacts: list[ArtifactInput] | None = optional_field(_ABOUT["artifacts"])
    docker_images: list[DockerImageInput] | None = optional_field(_ABOUT["dockerImages"])
    dependencies: list[DependencyInput] | None = optional_field(_ABOUT["dependencies"])


@strawberry.input(description="A release to create (S2).")
class CreateReleaseInput(ReleaseFieldsInput, IdempotentInput):
    product_id: ID = field("Id of the product.")
    name: str = field(_ABOUT["name"])
    version: str = field(_ABOUT["version"])
    channel: str = strawberry.field(default="stable", description=_ABOUT["channel"])
    catalog_id: ID | None = optional_field(
        "Id of the product's catalog, which is the default. Another catalog is a violation."
    )
    trial: bool | None = optional_field(_ABOUT["trial"])
    created_at: datetime.datetime | None = optional_field(
        "Time of the creation, for recording old releases. A time in the future is a violation. Defaults to now."
    )


@strawberry.input(
    description="A patch of a release (S4 PATCH). Null and absent fields stay as they are. Lists are merged: "
    "files and images by name, dependencies by name and version."
)
class PatchReleaseInput(ReleaseFieldsInput, ConditionalInput):
    id: ID = field("Id of the release.")
    name: str = field(_ABOUT["name"])


@strawberry.input(
    description="The new contents of a release (S4 PUT). Null and absent fields are reset to their defaults."
)
class ReplaceReleaseInput(ReleaseFieldsInput, ConditionalInput):
    id: ID = field("Id of the release.")
    name: str = field(_ABOUT["name"])


_RESULT: PayloadFields = {
    "release": (Release | None, CHANGED),
    "warnings": (list[str], "Parts of the input that had no effect, each with the reason."),
}
_MUTABLE = ", ".join(name for name, declared in FIELDS.items() if declared.mutable)
_FREE = f"After publication only these fields may change: {_MUTABLE}."


@strawberry.type
class ReleaseMutations:
    create_release = mutation(
        CreateReleaseInput, release_writes.create, _RESULT, "Creates a release as a draft (S2).", **WRITING
    )
    patch_release = mutation(
        PatchReleaseInput,
        release_writes.patch,
        _RESULT,
        f"Adds to a release and updates it, but removes nothing (S4 PATCH). {_FREE}",
        **WRITING,
    )
    replace_release = mutation(
        ReplaceReleaseInput,
        release_writes.replace,
        _RESULT,
        f"Replaces the contents of a release (S4 PUT). {_FREE}",
        **WRITING,
    )
