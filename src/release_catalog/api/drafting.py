"""Creating, patching and replacing releases: inputs, payloads, mutations."""

import datetime
from typing import Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.api.delivering import DeliveryInput
from release_catalog.api.enums import PackagingType
from release_catalog.api.fields import maybe, plain
from release_catalog.api.inputs import CHANGED, PROBLEM, WRITING, Conditional, Repeatable, mutation
from release_catalog.api.problem import Problem
from release_catalog.api.release import Release
from release_catalog.api.scalars import Long
from release_catalog.store import drafting

ID = strawberry.ID


@strawberry.input(description="A file of a release.")
class ArtifactInput:
    name: str = plain("File name, 1 to 256 characters; what a patch knows the file by.")
    size: Long = plain("Size in bytes.")
    sha256: str = plain("SHA-256 digest: 64 hexadecimal digits, with or without the prefix sha256:.")
    download_url: str = plain("Where it can be fetched, beginning with http:// or https://.")
    platform: str | None = maybe("What it runs on, such as win64 or linux/amd64.")
    is_executable: bool | None = maybe("Whether it is meant to be run; false by default.")
    arguments: str | None = maybe("Command line to run it with, at most 4096 characters.")
    metadata: JSON | None = maybe("Free JSON of at most 1 MiB and 100 levels.")
    secured: bool | None = maybe("Whether downloading needs credentials; false by default.")
    repository_key: str | None = maybe("The repository that it is promoted from (S3).")
    path: str | None = maybe("Its path in that repository (S3).")
    package_type: str | None = maybe("The kind of that repository, such as maven (S3).")


@strawberry.input(description="A package in its registry (S5).")
class RegistryArtifactInput:
    name: str = plain("Name of the package.")
    version: str = plain("Version of the package.")
    repository: str | None = maybe("The repository that holds it.")
    url: str | None = maybe("Where it can be had.")
    content_digest: str | None = maybe("Digest of the content.")
    repo_digest: str | None = maybe("Digest of its manifest in the repository.")


@strawberry.input(description="A container image.")
class DockerImageInput:
    name: str = plain("Name of the image; what a patch knows it by.")
    image_url: str = plain("Where it can be pulled, tag or digest included.")
    platform: str | None = maybe("What it runs on, such as linux/amd64.")
    metadata: JSON | None = maybe("Free JSON of at most 1 MiB and 100 levels.")


@strawberry.input(
    description="A release by id, or by name and version in the same catalog; where all are given they must agree."
)
class DependencyInput:
    release_id: ID | None = maybe("Its id.")
    name: str | None = maybe(
        "Its name; may be left out where there is a release with that id. Then it is shown only to callers who "
        "may see that release."
    )
    version: str | None = maybe("Its version; may be left out likewise.")


@strawberry.input(description="A file that tells something about a release (S5).")
class ReleaseMetadataFileInput:
    id: ID = plain("Identifier of the file.")
    mime_type: str | None = maybe("What the file is; any text.")
    url: str | None = maybe("Where it can be fetched.")
    filename: str | None = maybe("Its name.")


@strawberry.input(description="Metadata files of one platform, or of all where there is none (S5).")
class PlatformReleaseMetadataInput:
    release_metadata: list[ReleaseMetadataFileInput] = plain("The files.")
    platform: str | None = maybe("The platform that they speak of.")


@strawberry.input(description="The file of a customization (S5).")
class CustomizationArtifactInput:
    id: ID = plain("Identifier of the file.")
    url: str | None = maybe("Where it can be fetched.")
    filename: str | None = maybe("Its name.")


@strawberry.input(description="A change that an organisation made to a release (S5).")
class CustomizationInput:
    id: ID = plain("Identifier of the customization.")
    version: str | None = maybe("Its version.")
    artifact: CustomizationArtifactInput | None = maybe("Its file.")


@strawberry.input
class More:
    """What S1's documents have no names for."""

    revision: str | None = maybe('Distinguishes rebuilds of one version, at most 64 characters; "0" by default.')
    branch: str | None = maybe("The line of versions that it belongs to, at most 32 characters (S5).")
    packaging_type: PackagingType | None = maybe("How it is packaged (S5).")
    platforms: list[str] | None = maybe("What it runs on, such as win64 or linux/amd64.")
    private: bool | None = maybe("Whether only those who may write can see it (S2); false by default.")
    description: str | None = maybe("What it is about, at most 4096 characters.")
    released_at: datetime.datetime | None = maybe("When it was finished (S5).")
    end_of_life_at: datetime.date | None = maybe("The day its support ends, as a date or an instant (S5).")
    registry_artifact: RegistryArtifactInput | None = maybe("The package in its registry (S5).")
    platform_release_metadata: list[PlatformReleaseMetadataInput] | None = maybe(
        "Files about it, by platform (S5)."
    )
    customizations: list[CustomizationInput] | None = maybe("What an organisation changed in it (S5).")
    base_image_id: ID | None = maybe("The image that it is built upon, which exists.")
    registry_id: ID | None = maybe("The registry that it is pushed to, which exists.")
    pipeline_id: ID | None = maybe("The pipeline that made it, which exists (S5).")
    delivery: DeliveryInput | None = maybe("How it is delivered (S4).")


@strawberry.input
class Described(More):
    tag: str | None = maybe("A tag that it carries, at most 256 characters.")
    notes: str | None = maybe("Markdown, at most 4096 characters.")
    author: str | None = maybe("Email address of its author.")
    metadata: JSON | None = maybe("Free JSON of at most 1 MiB and 100 levels, given back as it came.")
    artifacts: list[ArtifactInput] | None = maybe("Its files, at most 1000.")
    docker_images: list[DockerImageInput] | None = maybe("Its container images, at most 1000.")
    dependencies: list[DependencyInput] | None = maybe("The releases that it needs, at most 1000.")


@strawberry.input(description="A release to create (S2).")
class CreateReleaseInput(Described, Repeatable):
    product_id: ID = plain("The product that it is a release of.")
    name: str = plain("Name for people, 1 to 256 characters.")
    version: str = plain("Version, in the form that the product's scheme asks for.")
    channel: str = strawberry.field(default="stable", description="The channel that it is handed out in.")
    catalog_id: ID | None = maybe("The catalog of its product, which is what it is where it is not given.")
    trial: bool | None = maybe("Only in the context of a public catalog (S5); false by default.")
    created_at: datetime.datetime | None = maybe("Only for recording old releases; the future is refused.")


@strawberry.input(
    description="What to add to a release and to change in it (S4 PATCH). Null and absent fields are left as they "
    "are; lists are merged: files, images and projects by name, dependencies by name and version."
)
class PatchReleaseInput(Described, Conditional):
    id: ID = plain("The release.")
    name: str = plain("Its name; renames a draft where it differs.")


@strawberry.input(
    description="All that is to hold of a release (S4 PUT). Null and absent fields are reset to their defaults."
)
class ReplaceReleaseInput(Described, Conditional):
    id: ID = plain("The release.")
    name: str = plain("Its name; renames a draft where it differs.")


_WARNINGS = "What was not done as asked, and why."


@strawberry.type(description="What became of creating a release.")
class CreateReleasePayload:
    release: Release | None = plain("The new draft, or what it would be; null where there is a problem.")
    problem: Problem | None = plain(PROBLEM)
    warnings: list[str] = plain(_WARNINGS)


@strawberry.type(description="What became of patching a release.")
class PatchReleasePayload:
    release: Release | None = plain(CHANGED)
    problem: Problem | None = plain(PROBLEM)
    warnings: list[str] = plain(_WARNINGS)


@strawberry.type(description="What became of replacing a release.")
class ReplaceReleasePayload:
    release: Release | None = plain(CHANGED)
    problem: Problem | None = plain(PROBLEM)
    warnings: list[str] = plain(_WARNINGS)


_EMPTY: dict[str, Any] = {"release": None, "warnings": []}
_FREE = "Of a release that is published, only what says nothing about its contents may change."


@strawberry.type
class Drafting:
    create_release: CreateReleasePayload = mutation(
        CreateReleaseInput, drafting.create, _EMPTY, "Creates a draft of a release (S2).", **WRITING
    )
    patch_release: PatchReleasePayload = mutation(
        PatchReleaseInput,
        drafting.patch,
        _EMPTY,
        f"Adds and updates, never removes (S4 PATCH). {_FREE}",
        **WRITING,
    )
    replace_release: ReplaceReleasePayload = mutation(
        ReplaceReleaseInput,
        drafting.replace,
        _EMPTY,
        f"Replaces all that was said of it (S4 PUT). {_FREE}",
        **WRITING,
    )
