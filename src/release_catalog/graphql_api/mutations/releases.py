"""The mutations of releases: creation, updates, discarding, publication, archiving and withdrawal."""

import datetime

import strawberry

from release_catalog.domain.declarations import descriptions
from release_catalog.domain.release import FIELDS
from release_catalog.graphql_api.fields import field, optional_field
from release_catalog.graphql_api.mutation import (
    OF_A_BULK,
    WRITING,
    BulkInput,
    ConditionalInput,
    IdempotentInput,
    PayloadFields,
    mutation,
)
from release_catalog.graphql_api.mutations.release_delivery import DeliveryFieldInput
from release_catalog.graphql_api.types.release import CHANGED, Release, ReleaseFieldsInput
from release_catalog.storage import release_lifecycle, release_writes

ID = strawberry.ID

_ABOUT = descriptions(FIELDS)
_ID_OF_RELEASE = "Id of the release."


@strawberry.input(description="A release to create (S2).")
class CreateReleaseInput(ReleaseFieldsInput, DeliveryFieldInput, IdempotentInput):
    product_id: ID = field("Id of the product. It must exist.")
    name: str = field(_ABOUT["name"])
    version: str = field(_ABOUT["version"])
    channel: str = strawberry.field(default="stable", description=_ABOUT["channel"])
    id: ID | None = optional_field(
        "Id of the release in the system of origin, which it keeps, at most 255 characters. An id that was ever "
        "used is a ConflictProblem. Defaults to a new id."
    )
    catalog_id: ID | None = optional_field(
        "Id of the product's catalog. Defaults to it; any other is a violation."
    )
    trial: bool | None = optional_field(_ABOUT["trial"])
    created_at: datetime.datetime | None = optional_field(
        "Time of the creation, for recording old releases. It must not be in the future. Defaults to now."
    )


@strawberry.input(description="Releases to create, at most 100.")
class CreateReleasesInput(BulkInput):
    releases: list[CreateReleaseInput] = field("Releases, in the order in which they are created.")


@strawberry.input(
    description="Fields to add to a release or to change (S4 PATCH). Null and absent fields stay as they are. "
    "Lists are merged: files, images and projects by name, dependencies by name and version."
)
class PatchReleaseInput(ReleaseFieldsInput, DeliveryFieldInput, ConditionalInput):
    id: ID = field(_ID_OF_RELEASE)
    name: str = field(_ABOUT["name"])


@strawberry.input(
    description="All updatable fields of a release (S4 PUT). Null and absent fields are reset to their defaults."
)
class ReplaceReleaseInput(ReleaseFieldsInput, DeliveryFieldInput, ConditionalInput):
    id: ID = field(_ID_OF_RELEASE)
    name: str = field(_ABOUT["name"])


@strawberry.input(description="A draft to discard.")
class DiscardReleaseInput(ConditionalInput):
    id: ID = field(_ID_OF_RELEASE)


@strawberry.input(description="A draft to publish.")
class PublishReleaseInput(ConditionalInput):
    id: ID = field(_ID_OF_RELEASE)


@strawberry.input(description="A release to archive.")
class ArchiveReleaseInput(ConditionalInput):
    id: ID = field(_ID_OF_RELEASE)


@strawberry.input(description="A published release to withdraw.")
class WithdrawReleaseInput(ConditionalInput):
    id: ID = field(_ID_OF_RELEASE)
    reason: str = field("Reason, for those who depend on the release: 1 to 4096 characters.")
    replacement_id: ID | None = optional_field("Id of the release to use instead. Defaults to null: none.")


_RELEASE: PayloadFields = {"release": (Release | None, CHANGED)}
_RELEASE_AND_WARNINGS: PayloadFields = {
    **_RELEASE,
    "warnings": (list[str], "Parts of the input that had no effect, each with the reason."),
}
_MUTABLE = ", ".join(name for name, declared in FIELDS.items() if declared.mutable)
_WHEN_PUBLISHED = f"After publication only these fields may change: {_MUTABLE}."


@strawberry.type
class ReleaseMutations:
    create_release = mutation(
        CreateReleaseInput,
        release_writes.create,
        _RELEASE_AND_WARNINGS,
        "Creates a release as a draft (S2).",
        **WRITING,
    )
    create_releases = mutation(
        CreateReleasesInput,
        release_writes.create_all,
        {},
        f"Creates up to 100 releases, each as createRelease does. {OF_A_BULK}",
        **WRITING,
        each=CreateReleaseInput,
    )
    patch_release = mutation(
        PatchReleaseInput,
        release_writes.patch,
        _RELEASE_AND_WARNINGS,
        f"Adds to a release and updates it, but removes nothing (S4 PATCH). {_WHEN_PUBLISHED}",
        **WRITING,
    )
    replace_release = mutation(
        ReplaceReleaseInput,
        release_writes.replace,
        _RELEASE_AND_WARNINGS,
        f"Replaces all updatable fields of a release (S4 PUT). {_WHEN_PUBLISHED}",
        **WRITING,
    )
    discard_release = mutation(
        DiscardReleaseInput,
        release_lifecycle.discard,
        {"discarded_id": (ID | None, "Id of the discarded release. Null if there is a problem.")},
        "Deletes a draft. Its version may be used again, but its id is never reused. Refused if the ledger has "
        "an attempt to promote the draft.",
        **WRITING,
    )
    publish_release = mutation(
        PublishReleaseInput,
        release_lifecycle.publish,
        _RELEASE,
        "Publishes a draft. From then on, its files, images and dependencies never change. Refused while the "
        "verification of a file is MISMATCH.",
        **WRITING,
    )
    archive_release = mutation(
        ArchiveReleaseInput,
        release_lifecycle.archive,
        _RELEASE,
        "Archives a published or withdrawn release.",
        **WRITING,
    )
    withdraw_release = mutation(
        WithdrawReleaseInput,
        release_lifecycle.withdraw,
        {
            **_RELEASE,
            "affected_count": (
                int | None,
                "Number of published releases that depend on this one, directly or not.",
            ),
        },
        "Withdraws a published release. Its dependants still find it, with the reason.",
        **WRITING,
    )
