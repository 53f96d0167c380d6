"""Publishing, archiving and withdrawing releases: inputs, payloads, mutations."""

import strawberry

from release_catalog.api.fields import maybe, plain
from release_catalog.api.inputs import CHANGED, PROBLEM, WRITING, Conditional, mutation
from release_catalog.api.problem import Problem
from release_catalog.api.release import Release
from release_catalog.store import life

ID = strawberry.ID


@strawberry.input(description="A draft to publish.")
class PublishReleaseInput(Conditional):
    id: ID = plain("The release.")


@strawberry.input(description="A release to archive.")
class ArchiveReleaseInput(Conditional):
    id: ID = plain("The release.")


@strawberry.input(description="A published release to take back.")
class WithdrawReleaseInput(Conditional):
    id: ID = plain("The release.")
    reason: str = plain("Why, for those who depend on it: 1 to 4096 characters.")
    replacement_id: ID | None = maybe("What to use instead.")


@strawberry.type(description="What became of publishing a release.")
class PublishReleasePayload:
    release: Release | None = plain(CHANGED)
    problem: Problem | None = plain(PROBLEM)


@strawberry.type(description="What became of archiving a release.")
class ArchiveReleasePayload:
    release: Release | None = plain(CHANGED)
    problem: Problem | None = plain(PROBLEM)


@strawberry.type(description="What became of withdrawing a release.")
class WithdrawReleasePayload:
    release: Release | None = plain(CHANGED)
    problem: Problem | None = plain(PROBLEM)
    affected_count: int | None = plain("Published releases that reach this one through dependencies.")


@strawberry.type
class Life:
    publish_release: PublishReleasePayload = mutation(
        PublishReleaseInput,
        life.publish,
        {"release": None},
        "Publishes a draft: from then on its files, images and dependencies stay as they are. Refused while a "
        "file is known to be another than declared.",
        **WRITING,
    )
    archive_release: ArchiveReleasePayload = mutation(
        ArchiveReleaseInput,
        life.archive,
        {"release": None},
        "Archives a published or withdrawn release.",
        **WRITING,
    )
    withdraw_release: WithdrawReleasePayload = mutation(
        WithdrawReleaseInput,
        life.withdraw,
        {"release": None, "affectedCount": None},
        "Takes a published release back. What depends on it still finds it, with the reason.",
        **WRITING,
    )
