"""The promotion of releases and its rollback: inputs, payloads, mutations (S3)."""

import strawberry

from release_catalog.domain import caller
from release_catalog.graphql_api.fields import field, optional_field
from release_catalog.graphql_api.mutation import IdempotentInput, mutation
from release_catalog.graphql_api.types.promotion import Promotion
from release_catalog.storage import promotions

ID = strawberry.ID


@strawberry.input(description="A release to promote to an environment.")
class PromoteReleaseInput(IdempotentInput):
    release_id: ID = field("Id of the release. It must be published.")
    environment: str = field("Name of the environment.")
    included_repository_keys: list[str] | None = optional_field(
        "Keys of the repositories to promote, at most 1000. If any is given, excludedRepositoryKeys has no effect."
    )
    excluded_repository_keys: list[str] | None = optional_field(
        "Keys of the repositories to leave out, at most 1000."
    )
    overwrite_existing_artifacts: bool = strawberry.field(
        default=False,
        description="Whether to replace other files at the same paths. Otherwise such a file is a conflict, and "
        "the attempt is rejected.",
    )


@strawberry.input(description="A promotion to roll back.")
class RollbackPromotionInput(IdempotentInput):
    promotion_id: ID = field("Id of the promotion. It must be COMPLETED and not rolled back yet.")
    reason: str = field("Reason, for the ledger: 1 to 4096 characters.")


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
        "Promotes the files and images of a release to an environment, all or none (S3). The ledger "
        "records each attempt, a rejected one with all reasons.",
        scope=caller.PROMOTE,
    )
    rollback_promotion = mutation(
        RollbackPromotionInput,
        promotions.roll_back,
        {"promotion": (Promotion | None, "Record of the rollback. Null if there is a problem.")},
        "Rolls back a promotion (S3). Each path that still holds a file of the promotion gets its "
        "previous file again. Files of later promotions stay. A previous file whose own promotion "
        "was rolled back does not return.",
        scope=caller.PROMOTE,
    )
