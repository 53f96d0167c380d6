"""The publication, archiving and withdrawal of releases: inputs, payloads, mutations."""

import strawberry

from release_catalog.graphql_api.fields import field, optional_field
from release_catalog.graphql_api.mutation import WRITING, ConditionalInput, PayloadFields, mutation
from release_catalog.graphql_api.types.release import CHANGED, Release
from release_catalog.storage import release_lifecycle

ID = strawberry.ID


@strawberry.input(description="A draft to publish.")
class PublishReleaseInput(ConditionalInput):
    id: ID = field("Id of the release.")


@strawberry.input(description="A release to archive.")
class ArchiveReleaseInput(ConditionalInput):
    id: ID = field("Id of the release.")


@strawberry.input(description="A published release to withdraw.")
class WithdrawReleaseInput(ConditionalInput):
    id: ID = field("Id of the release.")
    reason: str = field("Reason, for those who depend on the release: 1 to 4096 characters.")
    replacement_id: ID | None = optional_field("Id of the release to use instead. Defaults to null: none.")


_RESULT: PayloadFields = {"release": (Release | None, CHANGED)}


@strawberry.type
class LifecycleMutations:
    publish_release = mutation(
        PublishReleaseInput,
        release_lifecycle.publish,
        _RESULT,
        "Publishes a draft. Its files, images and dependencies no longer change afterwards. A "
        "release with a file whose verification is MISMATCH is refused.",
        **WRITING,
    )
    archive_release = mutation(
        ArchiveReleaseInput,
        release_lifecycle.archive,
        _RESULT,
        "Archives a published or withdrawn release.",
        **WRITING,
    )
    withdraw_release = mutation(
        WithdrawReleaseInput,
        release_lifecycle.withdraw,
        {
            **_RESULT,
            "affected_count": (
                int | None,
                "Number of published releases that depend on this one, directly or not.",
            ),
        },
        "Withdraws a published release. Releases that depend on it still find it, with the reason.",
        **WRITING,
    )
