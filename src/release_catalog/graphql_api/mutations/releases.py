"""The creation, patching and replacement of releases: inputs, payloads, mutations."""

import datetime
from typing import Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.graphql_api.enums import PackagingType
from release_catalog.graphql_api.errors import Problem
from release_catalog.graphql_api.fields import field, optional_field
from release_catalog.graphql_api.mutation import (
    CHANGED,
    PROBLEM,
    WRITING,
    ConditionalInput,
    IdempotentInput,
    mutation,
)
from release_catalog.graphql_api.mutations.release_delivery import DeliveryInput
from release_catalog.graphql_api.scalars import Long
from release_catalog.graphql_api.types.release import Release
from release_catalog.storage import release_writes

ID = strawberry.ID


@strawberry.input(description="A file of a release.")
class ArtifactInput:
    name: str = field("File name, 1 to 256 characters; what a patch knows the file by.")
    size: Long = field("Size in bytes.")
    sha256: str = field("SHA-256 digest: 64 hexadecimal digits, with or without the prefix sha256:.")
    download_url: str = field("Where it can be fetched, beginning with http:// or https://.")
    platform: str | None = optional_field("What it runs on, such as win64 or linux/amd64.")
    is_executable: bool | None = optional_field("Whether it is meant to be run; false by default.")
    arguments: str | None = optional_field("Command line to run it with, at most 4096 characters.")
    metadata: JSON | None = optional_field("Free JSON of at most 1 MiB and 100 levels.")
    secured: bool | None = optional_field("Whether downloading needs credentials; false by default.")
    repository_key: str | None = optional_field("The repository that it is promoted from (S3).")
    path: str | None = optional_field("Its path in that repository (S3).")
    package_type: str | None = optional_field("The kind of that repository, such as maven (S3).")


@strawberry.input(description="A package in its registry (S5).")
class RegistryArtifactInput:
    name: str = field("Name of the package.")
    version: str = field("Version of the package.")
    repository: str | None = optional_field("The repository that holds it.")
    url: str | None = optional_field("Where it can be had.")
    content_digest: str | None = optional_field("Digest of the content.")
    repo_digest: str | None = optional_field("Digest of its manifest in the repository.")


@strawberry.input(description="A container image.")
class DockerImageInput:
    name: str = field("Name of the image; what a patch knows it by.")
    image_url: str = field("Where it can be pulled, tag or digest included.")
    platform: str | None = optional_field("What it runs on, such as linux/amd64.")
    metadata: JSON | None = optional_field("Free JSON of at most 1 MiB and 100 levels.")


@strawberry.input(
    description="A release by id, or by name and version in the same catalog; where all are given they must agree."
)
class DependencyInput:
    release_id: ID | None = optional_field("Its id.")
    name: str | None = optional_field(
        "Its name; may be left out where there is a release with that id. Then it is shown only to callers who "
        "may see that release."
    )
    version: str | None = optional_field("Its version; may be left out likewise.")


@strawberry.input(description="A file that tells something about a release (S5).")
class ReleaseMetadataFileInput:
    id: ID = field("Identifier of the file.")
    mime_type: str | None = optional_field("What the file is; any text.")
    url: str | None = optional_field("Where it can be fetched.")
    filename: str | None = optional_field("Its name.")


@strawberry.input(description="Metadata files of one platform, or of all where there is none (S5).")
class PlatformReleaseMetadataInput:
    release_metadata: list[ReleaseMetadataFileInput] = field("The files.")
    platform: str | None = optional_field("The platform that they speak of.")


@strawberry.input(description="The file of a customization (S5).")
class CustomizationArtifactInput:
    id: ID = field("Identifier of the file.")
    url: str | None = optional_field("Where it can be fetched.")
    filename: str | None = optional_field("Its name.")


@strawberry.input(description="A change that an organisation made to a release (S5).")
class CustomizationInput:
    id: ID = field("Identifier of the customization.")
    version: str | None = optional_field("Its version.")
    artifact: CustomizationArtifactInput | None = optional_field("Its file.")


@strawberry.input
class ReleaseExtraFields:
    """The fields of a release that S1's documents have no names for."""

    revision: str | None = optional_field(
        'Distinguishes rebuilds of one version, at most 64 characters; "0" by default.'
    )
    branch: str | None = optional_field("The line of versions that it belongs to, at most 32 characters (S5).")
    packaging_type: PackagingType | None = optional_field("How it is packaged (S5).")
    platforms: list[str] | None = optional_field("What it runs on, such as win64 or linux/amd64.")
    private: bool | None = optional_field("Whether only those who may write can see it (S2); false by default.")
    description: str | None = optional_field("What it is about, at most 4096 characters.")
    released_at: datetime.datetime | None = optional_field("When it was finished (S5).")
    end_of_life_at: datetime.date | None = optional_field(
        "The day its support ends, as a date or an instant (S5)."
    )
    registry_artifact: RegistryArtifactInput | None = optional_field("The package in its registry (S5).")
    platform_release_metadata: list[PlatformReleaseMetadataInput] | None = optional_field(
        "Files about it, by platform (S5)."
    )
    customizations: list[CustomizationInput] | None = optional_field("What an organisation changed in it (S5).")
    base_image_id: ID | None = optional_field("The image that it is built upon, which exists.")
    registry_id: ID | None = optional_field("The registry that it is pushed to, which exists.")
    pipeline_id: ID | None = optional_field("The pipeline that made it, which exists (S5).")
    delivery: DeliveryInput | None = optional_field("How it is delivered (S4).")


@strawberry.input
class ReleaseFieldsInput(ReleaseExtraFields):
    tag: str | None = optional_field("A tag that it carries, at most 256 characters.")
    notes: str | None = optional_field("Markdown, at most 4096 characters.")
    author: str | None = optional_field("Email address of its author.")
    metadata: JSON | None = optional_field("Free JSON of at most 1 MiB and 100 levels, given back as it came.")
    artifacts: list[ArtifactInput] | None = optional_field("Its files, at most 1000.")
    docker_images: list[DockerImageInput] | None = optional_field("Its container images, at most 1000.")
    dependencies: list[DependencyInput] | None = optional_field("The releases that it needs, at most 1000.")


@strawberry.input(description="A release to create (S2).")
class CreateReleaseInput(ReleaseFieldsInput, IdempotentInput):
    product_id: ID = field("The product that it is a release of.")
    name: str = field("Name for people, 1 to 256 characters.")
    version: str = field("Version, in the form that the product's scheme asks for.")
    channel: str = strawberry.field(default="stable", description="The channel that it is handed out in.")
    catalog_id: ID | None = optional_field(
        "The catalog of its product, which is what it is where it is not given."
    )
    trial: bool | None = optional_field("Only in the context of a public catalog (S5); false by default.")
    created_at: datetime.datetime | None = optional_field(
        "Only for recording old releases; the future is refused."
    )


@strawberry.input(
    description="What to add to a release and to change in it (S4 PATCH). Null and absent fields are left as they "
    "are; lists are merged: files, images and projects by name, dependencies by name and version."
)
class PatchReleaseInput(ReleaseFieldsInput, ConditionalInput):
    id: ID = field("The release.")
    name: str = field("Its name; renames a draft where it differs.")


@strawberry.input(
    description="All that is to hold of a release (S4 PUT). Null and absent fields are reset to their defaults."
)
class ReplaceReleaseInput(ReleaseFieldsInput, ConditionalInput):
    id: ID = field("The release.")
    name: str = field("Its name; renames a draft where it differs.")


_WARNINGS = "What was not done as asked, and why."


@strawberry.type(description="What became of creating a release.")
class CreateReleasePayload:
    release: Release | None = field("The new draft, or what it would be; null where there is a problem.")
    problem: Problem | None = field(PROBLEM)
    warnings: list[str] = field(_WARNINGS)


@strawberry.type(description="What became of patching a release.")
class PatchReleasePayload:
    release: Release | None = field(CHANGED)
    problem: Problem | None = field(PROBLEM)
    warnings: list[str] = field(_WARNINGS)


@strawberry.type(description="What became of replacing a release.")
class ReplaceReleasePayload:
    release: Release | None = field(CHANGED)
    problem: Problem | None = field(PROBLEM)
    warnings: list[str] = field(_WARNINGS)


_EMPTY: dict[str, Any] = {"release": None, "warnings": []}
_FREE = "Of a release that is published, only what says nothing about its contents may change."


@strawberry.type
class ReleaseMutations:
    create_release: CreateReleasePayload = mutation(
        CreateReleaseInput, release_writes.create, _EMPTY, "Creates a draft of a release (S2).", **WRITING
    )
    patch_release: PatchReleasePayload = mutation(
        PatchReleaseInput,
        release_writes.patch,
        _EMPTY,
        f"Adds and updates, never removes (S4 PATCH). {_FREE}",
        **WRITING,
    )
    replace_release: ReplaceReleasePayload = mutation(
        ReplaceReleaseInput,
        release_writes.replace,
        _EMPTY,
        f"Replaces all that was said of it (S4 PUT). {_FREE}",
        **WRITING,
    )
