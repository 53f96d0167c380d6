"""Promoting releases and rolling that back: inputs, payloads, mutations (S3)."""

import strawberry

from release_catalog.api.fields import maybe, plain
from release_catalog.api.inputs import Repeatable, mutation
from release_catalog.api.problem import Problem
from release_catalog.api.promotion import Promotion
from release_catalog.domain import caller
from release_catalog.store import promoting

ID = strawberry.ID

_PROBLEM = "Why the environment is as it was; null where the promotion took effect, or would have."


@strawberry.input(description="A release to bring to an environment.")
class PromoteReleaseInput(Repeatable):
    release_id: ID = plain("The release, which must be published.")
    environment: str = plain("Name of the environment to promote to.")
    included_repository_keys: list[str] | None = maybe(
        "Promote these repositories alone: where any is given, the excluded ones do not count. At most 1000."
    )
    excluded_repository_keys: list[str] | None = maybe("Promote all repositories but these. At most 1000.")
    overwrite_existing_artifacts: bool = strawberry.field(
        default=False, description="Whether other files that lie at the same paths are replaced."
    )


@strawberry.input(description="A promotion to undo.")
class RollbackPromotionInput(Repeatable):
    promotion_id: ID = plain("The promotion, which must be completed and not rolled back yet.")
    reason: str = plain("Why, for the ledger: 1 to 4096 characters.")


@strawberry.type(description="What became of promoting a release.")
class PromoteReleasePayload:
    promotion: Promotion | None = plain(
        "The record of the attempt, REJECTED where a rule refused it; null where there is nothing to record."
    )
    problem: Problem | None = plain(_PROBLEM)


@strawberry.type(description="What became of rolling a promotion back.")
class RollbackPromotionPayload:
    promotion: Promotion | None = plain("The record that it was undone; null where there is a problem.")
    problem: Problem | None = plain("Why nothing was undone; null where it was.")


@strawberry.type
class Promoting:
    promote_release: PromoteReleasePayload = mutation(
        PromoteReleaseInput,
        promoting.promote,
        {"promotion": None},
        "Brings the files and images of a release to an environment, all or none. The ledger keeps each attempt, "
        "a refused one with every reason.",
        scope=caller.PROMOTE,
    )
    rollback_promotion: RollbackPromotionPayload = mutation(
        RollbackPromotionInput,
        promoting.roll_back,
        {"promotion": None},
        "Undoes a promotion: each path that still holds what it brought holds again what was there before. What "
        "later promotions brought stays, and what was rolled back itself does not come back.",
        scope=caller.PROMOTE,
    )
