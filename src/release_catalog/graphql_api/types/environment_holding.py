"""The environments that hold a release or a product now (S3)."""

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from release_catalog.domain.reference_data import EnvironmentDocument, ProductDocument
from release_catalog.domain.release_internals import HoldingDocument
from release_catalog.graphql_api.fields import batched_field, computed_field, field, reference
from release_catalog.graphql_api.types.promotion import Environment, Promotion
from release_catalog.query_engine.context import Context
from release_catalog.query_engine.field_source import reads
from release_catalog.storage import environment_holdings
from release_catalog.storage.collection_names import PROMOTIONS
from release_catalog.storage.cursors import FieldPaths, subpaths

if TYPE_CHECKING:
    from release_catalog.graphql_api.types.release import Release

_Release = Annotated["Release", strawberry.lazy("release_catalog.graphql_api.types.release")]


async def _environments(
    context: Context, holdings: Sequence[HoldingDocument], paths: FieldPaths
) -> Sequence[EnvironmentDocument | None]:
    return await context.environments.load_many([holding["environment"] for holding in holdings], paths)


def _environment() -> Any:
    return batched_field(_environments, "Environment.", reads("environment"))


@strawberry.type(description="An environment that holds files or images of a release now.")
class ReleaseInEnvironment:
    environment: Environment = _environment()
    since: datetime.datetime = field(
        "Time of the promotion. Of several that brought what the environment holds now, the oldest one counts."
    )
    promotion: Promotion = reference(PROMOTIONS, "promotionId", "Promotion that brought it.")


@strawberry.type(description="An environment that holds files or images of releases of a product now.")
class ProductInEnvironment:
    environment: Environment = _environment()
    releases: list[_Release] = field("The product's releases that it holds, newest first, at most 100.")
    since: datetime.datetime = field("Time of the oldest promotion that brought what it holds of them now.")


async def _of_products(
    context: Context, products: Sequence[ProductDocument], paths: FieldPaths
) -> list[list[dict[str, Any]]]:
    found = await context.in_environments(products, subpaths(paths, "releases"))
    return [[holding._asdict() for holding in holdings] for holdings in found]


def of_release() -> Any:
    """Declare the environments of a release."""
    return computed_field(
        lambda release: environment_holdings.listed(release["environments"]),
        "Environments that hold files or images of it now, ordered by name, at most 100.",
        keys=["environments"],
    )


def of_product() -> Any:
    """Declare the environments of a product."""
    return batched_field(
        _of_products,
        "Environments that hold files or images of its releases now, ordered by name, at most 100. Of its held "
        "releases, the 1000 newest count.",
        reads("id"),
    )
