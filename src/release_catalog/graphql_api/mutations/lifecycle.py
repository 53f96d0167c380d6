"""The publication, archiving and withdrawal of releases: inputs, payloads, mutations."""

import strawberry

from release_catalog.graphql_api.errors import Problem
from release_catalog.graphql_api.fields import field, optional_field
from release_catalog.graphql_api.mutation import CHANGED, PROBLEM, WRITING, ConditionalInput, mutation
from release_catalog.graphql_api.types.release import Release
from release_catalog.storage import release_lifecycle

ID = strawberry.ID


@strawberry.input(description="A draft to publish.")
class PublishReleaseInput(ConditionalInput):
    id: ID = field("The release.")


@strawberry.input(description="A release to archive.")
class ArchiveReleaseInput(ConditionalInput):
    id: ID = field("The release.")


@strawberry.input(description="A published release to take back.")
class WithdrawReleaseInput(ConditionalInput):
    id: ID = field("The release.")
    reason: str = field("Why, for those who depend on it: 1 to 4096 characters.")
    replacement_id: ID | None = optional_field("What to use instead.")


@strawberry.type(description="What became of publishing a release.")
class PublishReleasePayload:
    release: Release | None = field(CHANGED)
    problem: Problem | None = field(PROBLEM)


@strawberry.type(description="What became of archiving a release.")
class ArchiveReleasePayload:
    release: Release | None = field(CHANGED)
    problem: Problem | None = field(PROBLEM)


@strawberry.type(description="What became of withdrawing a release.")
class WithdrawReleasePayload:
    release: Release | None = field(CHANGED)
    problem: Problem | None = field(PROBLEM)
    affected_count: int | None = field("Published releases that reach this one through dependencies.")


@strawberry.type
class LifecycleMutations:
    publish_release: PublishReleasePayload = mutation(
        PublishReleaseInput,
        release_lifecycle.publish,
        {"release": None},
        "Publishes a draft: from then on its files, images and dependencies stay as they are. Refused while a "
        "file is known to be another than declared.",
        **WRITING,
    )
    archive_release: ArchiveReleasePayload = mutation(
        ArchiveReleaseInput,
        release_lifecycle.archive,
        {"release": None},
        "Archives a published or withdrawn release.",
        **WRITING,
    )
    withdraw_release: WithdrawReleasePayload = mutation(
        WithdrawReleaseInput,
        release_lifecycle.withdraw,
        {"release": None, "affectedCount": None},
        "Takes a published release back. What depends on it still finds it, with the reason.",
        **WRITING,
    )
