"""The promotion of releases and its rollback: inputs, payloads, mutations (S3)."""

import strawberry

from release_catalog.domain import caller
from release_catalog.graphql_api.fields import field, optional_field
from release_catalog.graphql_api.mutation import IdempotentInput, mutation
from release_catalog.graphql_api.types.promotion import Promotion
from release_catalog.storage import promotions

ID = strawberry.ID


@strawberry.input(description="A release to bring to an environment.")
class PromoteReleaseInput(IdempotentInput):
    release_id: ID = field("The release, which must be published.")
    environment: str = field("Name of the environment to promote to.")
    included_repository_keys: list[str] | None = optional_field(
        "Promote these repositories alone: where any is given, the excluded ones do not count. At most 1000."
    )
    excluded_repository_keys: list[str] | None = optional_field(
        "Promote all repositories but these. At most 1000."
    )
    overwrite_existing_artifacts: bool = strawberry.field(
        default=False, description="Whether other files that lie at the same paths are replaced."
    )


@strawberry.input(description="A promotion to undo.")
class RollbackPromotionInput(IdempotentInput):
    promotion_id: ID = field("The promotion, which must be completed and not rolled back yet.")
    reason: str = field("Why, for the ledger: 1 to 4096 characters.")


@strawberry.type
class PromotionMutations:
    promote_release = mutation(
        PromoteReleaseInput,
        promotions.promote,
        {
            "promotion": (
                Promotion | None,
                "Record of the attempt, REJECTED if a rule refused it. Null if there is nothing to record.",
            )
        },
        "Brings the files and images of a release to an environment, all or none. The ledger keeps each attempt, "
        "a refused one with every reason.",
        scope=caller.PROMOTE,
    )
    rollback_promotion = mutation(
        RollbackPromotionInput,
        promotions.roll_back,
        {"promotion": (Promotion | None, "Record of the rollback. Null if there is a problem.")},
        "Undoes a promotion: each path that still holds what it brought holds again what was there before. What "
        "later promotions brought stays, and what was rolled back itself does not come back.",
        scope=caller.PROMOTE,
    )
