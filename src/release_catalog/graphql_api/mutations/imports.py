"""The import of releases and the verification of their files: inputs, payloads, mutations (S1)."""

import datetime
import enum

import strawberry
from strawberry import enum_value as _value
from strawberry.scalars import JSON

from release_catalog.domain.declarations import descriptions
from release_catalog.domain.release import FIELDS
from release_catalog.files import verification as verifying
from release_catalog.graphql_api.enums import VersionScheme
from release_catalog.graphql_api.fields import field, optional_field
from release_catalog.graphql_api.mutation import (
    OF_A_BULK,
    WRITING,
    BulkInput,
    IdempotentInput,
    PayloadFields,
    mutation,
)
from release_catalog.graphql_api.mutations.release_delivery import DeliveryFieldInput
from release_catalog.graphql_api.types.artifact import ArtifactInput, DockerImageInput, Platform
from release_catalog.graphql_api.types.release import CHANGED, Release, ReleaseExtraFields

ID = strawberry.ID

_ABOUT = descriptions(FIELDS)


@strawberry.enum(description="Time at which the files of a release are fetched and hashed.")
class VerificationMode(enum.Enum):
    WAIT = _value("WAIT", description="Before the response. The mutation waits for all files.")
    BACKGROUND = _value("BACKGROUND", description="After the response, which shows the files as PENDING.")
    SKIP = _value("SKIP", description="Never. The response shows the files as SKIPPED.")


@strawberry.enum(
    description="Behaviour of an import if a draft with the same identity exists. A release that was ever "
    "published is never replaced."
)
class ImportConflict(enum.Enum):
    UPDATE = _value("UPDATE", description="Replace the draft.")
    FAIL = _value("FAIL", description="Refuse the import with a ConflictProblem.")


@strawberry.input(
    description="A reference to a release that the imported one needs, in the format of S1. Without an id, "
    "name and version identify the release."
)
class DocumentDependencyInput:
    name: str = field("Name of the release.")
    version: str = field("Version of the release.")
    catalog_id: ID | None = optional_field("Id of the release. S1 calls it catalogId.")


@strawberry.input(description="An import document of S1, with all fields that exportRelease writes.")
class ReleaseDocumentInput(ReleaseExtraFields, DeliveryFieldInput):
    version: str = field("Version in the format of the product's version scheme, 1 to 64 characters.")
    created_at: datetime.datetime = field("Time of the creation. It must not be in the future.")
    project: str = field("Id, key or name of the product. It must be the product of projectIdentifier.")
    artifacts: list[ArtifactInput] = field(_ABOUT["artifacts"])
    id: ID | None = optional_field(
        "Id of the release in the system of origin, which it keeps: references by catalogId lead to it. An id "
        "that was ever used by another release is a ConflictProblem. Defaults to a new id."
    )
    name: str | None = optional_field("Display name, 1 to 256 characters. Defaults to the name of the product.")
    author: str | None = optional_field(
        "Email address of the author, at most 320 characters. Required, but null is allowed for a "
        "release without an author."
    )
    tag: str | None = optional_field(_ABOUT["tag"])
    project_identifier: JSON | None = optional_field("Ignored. S1 documents may contain it.")
    status: str | None = optional_field(
        "Status in the system of origin, kept as importedStatus. The release itself starts as DRAFT."
    )
    release_notes: str | None = optional_field("Release notes in Markdown, at most 262,144 characters.")
    metadata: JSON | None = optional_field(_ABOUT["metadata"])
    docker_images: list[DockerImageInput] | None = optional_field(_ABOUT["dockerImages"])
    dependencies: list[DocumentDependencyInput] | None = optional_field(
        "Releases that this one needs, at most 1000."
    )
    channel: str | None = optional_field(_ABOUT["channel"])
    trial: bool | None = optional_field(_ABOUT["trial"])


@strawberry.input(description="A release to import (S1).")
class ImportReleaseInput(IdempotentInput):
    project_identifier: str = field(
        "Id, key or name of the product, found in this order. A name that several products have is a violation."
    )
    release: ReleaseDocumentInput = field("Import document.")
    catalog_id: ID | None = optional_field(
        "Id of the catalog to import into. Defaults to that of the product, and for a new product to the default "
        "catalog."
    )
    verification: VerificationMode = strawberry.field(
        default=VerificationMode.WAIT,
        description="Time at which the files are fetched and hashed.",
    )
    create_product: bool = strawberry.field(
        default=True,
        description="Whether a product that does not exist is created, which is a warning. Otherwise it is a "
        "violation.",
    )
    version_scheme: VersionScheme = strawberry.field(
        default=VersionScheme.ANY, description="Version scheme of a product that the import creates."
    )
    on_conflict: ImportConflict = strawberry.field(
        default=ImportConflict.UPDATE,
        description="Behaviour if a draft with the same identity exists: the same catalog, product, version, "
        "revision and channel.",
    )


@strawberry.input(description="Releases to import (S1), at most 100.")
class ImportReleasesInput(BulkInput):
    releases: list[ImportReleaseInput] = field("Releases, in the order in which they are imported.")


@strawberry.type(
    name="ImportWarning",
    description="A file that differs from its declaration or could not be fetched (S1), a product that the import "
    "created, or a dependency that does not exist yet.",
)
class ReleaseWarning:
    artifact_name: str = field("File name. Empty if the warning is about no file.")
    platform: Platform | None = field("Platform of the file, by which files of one name differ.")
    message: str = field("Error message for people: what is wrong and what to do next.")
    expected_sha256: str = field("Declared SHA-256 digest. Empty if the warning is about no file.")
    actual_sha256: str | None = field("SHA-256 digest of the fetched bytes. Null if the file was not hashed.")


@strawberry.input(description="A release whose files to verify again.")
class VerifyArtifactsInput:
    release_id: ID = field("Id of the release.")
    verification: VerificationMode = strawberry.field(
        default=VerificationMode.WAIT,
        description="Time at which the files are fetched and hashed. SKIP cancels the verification of PENDING "
        "files.",
    )


def _with_warnings(about: str) -> PayloadFields:
    return {"release": (Release | None, CHANGED), "warnings": (list[ReleaseWarning], about)}


_WRONG_FILES = "Files that differ from their declaration or could not be fetched"


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
            **_with_warnings(f"{_WRONG_FILES}, a new product, and dependencies that do not exist yet."),
        },
        "Imports a release as a draft, or replaces a draft with the same identity (S1). Its files "
        "are fetched and hashed. A file that differs or can't be fetched is a warning; the release "
        "is imported anyway.",
        **WRITING,
        fetches=True,
        takes_long=True,
    )
    import_releases = mutation(
        ImportReleasesInput,
        verifying.import_releases,
        {},
        f"Imports up to 100 releases, each as importRelease does. {OF_A_BULK} All files to wait for are fetched "
        "together, within the time for those of one release.",
        **WRITING,
        fetches=True,
        takes_long=True,
        each=ImportReleaseInput,
    )
    verify_artifacts = mutation(
        VerifyArtifactsInput,
        verifying.verify_artifacts,
        _with_warnings(f"{_WRONG_FILES}."),
        "Fetches and hashes the files of a release again.",
        **WRITING,
        fetches=True,
        takes_long=True,
    )
