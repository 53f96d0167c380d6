"""The import of releases and the verification of their files: inputs, payloads, mutations (S1)."""

import datetime
import enum

import strawberry
from strawberry import enum_value as _value
from strawberry.scalars import JSON

from release_catalog.domain.declarations import descriptions
from release_catalog.domain.release import FIELDS
from release_catalog.files import verification as verifying
from release_catalog.graphql_api.fields import field, optional_field
from release_catalog.graphql_api.mutation import WRITING, IdempotentInput, PayloadFields, mutation
from release_catalog.graphql_api.mutations.release_delivery import DeliveryFieldInput
from release_catalog.graphql_api.types.artifact import ArtifactInput, DockerImageInput
from release_catalog.graphql_api.types.release import CHANGED, Release, ReleaseExtraFields

ID = strawberry.ID

_ABOUT = descriptions(FIELDS)


@strawberry.enum(description="When the files of a release are fetched and hashed.")
class VerificationMode(enum.Enum):
    WAIT = _value("WAIT", description="Before the answer.")
    BACKGROUND = _value("BACKGROUND", description="After the answer, in which they are PENDING.")
    SKIP = _value("SKIP", description="Not at all.")


@strawberry.enum(description="What an import does where there is a draft of the same identity.")
class ImportConflict(enum.Enum):
    UPDATE = _value("UPDATE", description="Replace it; a release that was published is never overwritten.")
    FAIL = _value("FAIL", description="Refuse.")


@strawberry.input(
    description="A release depended on, in S1's form. Without an id, name and version are looked up."
)
class DocumentDependencyInput:
    name: str = field("Its name.")
    version: str = field("Its version.")
    catalog_id: ID | None = optional_field("The id of that release, under S1's name for it.")


@strawberry.input(
    description="The file that S1 imports. It may also hold what S1 has no names for, as exportRelease writes it."
)
class ReleaseDocumentInput(ReleaseExtraFields, DeliveryFieldInput):
    name: str = field(_ABOUT["name"])
    version: str = field("Its version: any text of 1 to 64 characters.")
    created_at: datetime.datetime = field("When it was created.")
    project: str = field("Id, key or name of the product that is imported into.")
    artifacts: list[ArtifactInput] = field(_ABOUT["artifacts"])
    author: str | None = optional_field(
        "Email address of its author. Required; null where it is known to have none."
    )
    tag: str | None = optional_field(_ABOUT["tag"])
    project_identifier: JSON | None = optional_field("Accepted and ignored.")
    status: str | None = optional_field("The status that it had; it is imported as a draft.")
    release_notes: str | None = optional_field("Markdown, at most 4096 characters.")
    metadata: JSON | None = optional_field(_ABOUT["metadata"])
    docker_images: list[DockerImageInput] | None = optional_field(_ABOUT["dockerImages"])
    dependencies: list[DocumentDependencyInput] | None = optional_field(
        "The releases that it needs, at most 1000."
    )
    channel: str | None = optional_field(_ABOUT["channel"])
    trial: bool | None = optional_field(_ABOUT["trial"])


@strawberry.input(description="A release to import (S1).")
class ImportReleaseInput(IdempotentInput):
    project_identifier: str = field("The product's id or key; it is made where there is none.")
    release: ReleaseDocumentInput = field("The document.")
    catalog_id: ID | None = optional_field(
        "The catalog to import into; the default catalog where it is not given."
    )
    verification: VerificationMode = strawberry.field(
        default=VerificationMode.WAIT,
        description="When they are; with WAIT, before the answer.",
    )
    on_conflict: ImportConflict = strawberry.field(
        default=ImportConflict.UPDATE, description="What to do where there is a draft of the same identity."
    )


@strawberry.type(
    name="ImportWarning", description="A file that is not what the document says, or that could not be had (S1)."
)
class FileWarning:
    artifact_name: str = field("The file.")
    message: str = field("What is wrong with it, and what to do.")
    expected_sha256: str = field("The digest that was declared.")
    actual_sha256: str | None = field("The digest of what came; null where nothing could be hashed.")


@strawberry.input(description="A release whose files to look at again.")
class VerifyArtifactsInput:
    release_id: ID = field("The release.")
    verification: VerificationMode = strawberry.field(
        default=VerificationMode.WAIT,
        description="When; SKIP takes back what still waits to be looked at.",
    )


_VERIFIED: PayloadFields = {
    "release": (Release | None, CHANGED),
    "warnings": (list[FileWarning], "Files that differ from what was declared, or could not be fetched."),
}


@strawberry.type
class ImportMutations:
    import_release = mutation(
        ImportReleaseInput,
        verifying.import_release,
        {
            "catalog_id": (ID | None, "Id of the created or updated release, under S1's name for it."),
            "name": (str | None, "Name of the release."),
            "version": (str | None, "Version of the release."),
            "status": (str | None, "Status of the release."),
            "message": (str, "Outcome in one sentence, for people."),
            **_VERIFIED,
        },
        "Imports a release as a draft, or replaces a draft of the same identity (S1). Its files are fetched and "
        "hashed; one that differs is a warning, and the release is imported still.",
        **WRITING,
        fetches=True,
        takes_long=True,
    )
    verify_artifacts = mutation(
        VerifyArtifactsInput,
        verifying.verify_artifacts,
        _VERIFIED,
        "Fetches and hashes the files of a release again.",
        **WRITING,
        fetches=True,
        takes_long=True,
    )
