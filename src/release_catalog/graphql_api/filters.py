"""The selection and the order of releases."""

import datetime
from collections.abc import Mapping
from typing import Annotated, Any

import strawberry

from release_catalog.graphql_api import mutation
from release_catalog.graphql_api.enums import (
    DeliveryStatus,
    OrderDirection,
    PackagingType,
    ReleaseOrderField,
    ReleaseStatus,
    VerificationStatus,
)
from release_catalog.graphql_api.fields import argument
from release_catalog.query_engine.context import Info
from release_catalog.storage import pagination, releases


def _condition(description: str) -> Any:
    return strawberry.field(default=None, description=description)


@strawberry.input(
    description="Conditions on releases. All conditions must hold; a list matches any of its values. Null "
    "and absent conditions match everything."
)
class ReleaseFilter:
    ids: list[strawberry.ID] | None = _condition("Releases with one of these ids, at most 100.")
    catalog_id: strawberry.ID | None = _condition("Releases of this catalog.")
    product_id: strawberry.ID | None = _condition("Releases of this product.")
    product_key: str | None = _condition(
        "Releases of the products with this key, in any catalog. If more than 100 products have it, give "
        "catalogId with it."
    )
    name: str | None = _condition("Releases with exactly this name.")
    name_contains: str | None = _condition("Releases whose name contains this text, in any letter case (S4).")
    version: str | None = _condition("Releases with exactly this version.")
    revision: str | None = _condition("Releases with exactly this revision.")
    branch: str | None = _condition("Releases of this branch.")
    tag: str | None = _condition("Releases with this tag.")
    channel: list[str] | None = _condition("Releases in one of these channels.")
    platform: str | None = _condition(
        "Releases for this platform, or with a file or image for it: a name such as linux/amd64, or an operating "
        "system or architecture such as linux or amd64, in any letter case."
    )
    packaging_type: list[PackagingType] | None = _condition("Releases in one of these packaging formats.")
    status: list[ReleaseStatus] | None = _condition("Releases with one of these lifecycle statuses.")
    delivery_status: list[DeliveryStatus] | None = _condition("Releases whose delivery has one of these statuses.")
    private: bool | None = _condition("True for private releases only, false for the others only.")
    trial: bool | None = _condition("True for trials only, false for the others only.")
    author: str | None = _condition("Releases with exactly this author.")
    created_from: datetime.datetime | None = _condition("Releases created at this time or later.")
    created_before: datetime.datetime | None = _condition("Releases created before this time.")
    released_from: datetime.datetime | None = _condition("Releases finished at this time or later.")
    released_before: datetime.datetime | None = _condition("Releases finished before this time.")
    end_of_life_before: datetime.date | None = _condition("Releases whose end of life is before this day.")
    artifact_sha256: str | None = _condition("Releases that have a file with this SHA-256 digest.")
    verification: list[VerificationStatus] | None = _condition(
        "Releases that have a file with one of these verification results."
    )
    depends_on_id: strawberry.ID | None = _condition("Releases that depend directly on this one.")
    updated_from: datetime.datetime | None = _condition("Releases last changed at this time or later.")
    updated_before: datetime.datetime | None = _condition("Releases last changed before this time.")
    published_from: datetime.datetime | None = _condition("Releases published at this time or later.")
    published_before: datetime.datetime | None = _condition("Releases published before this time.")
    constraint: str | None = _condition(
        "Releases whose version is in this range, such as `>=1.2,<2`, in the syntax of the product's version "
        "scheme. Needs productId or productKey, in the same filter or around it."
    )
    search: str | None = _condition(
        "Releases that have words beginning with each word of this text, which has at most 256 characters and 20 "
        "words. It looks at the first 1000 different words of the name, the product's name, the description and "
        "the notes, regardless of letter case and accents."
    )
    environment: str | None = _condition("Releases of which the environment with this name holds something now.")
    base_image_id: strawberry.ID | None = _condition("Releases built on this base image.")
    registry_id: strawberry.ID | None = _condition("Releases pushed to this registry.")
    pipeline_id: strawberry.ID | None = _condition("Releases made by this pipeline.")
    created_by: str | None = _condition("Releases created by the caller with this subject.")
    any: list["ReleaseFilter"] | None = _condition(
        "At least one of these filters matches as well. `any` and `none` are nested at most 3 deep, and a filter "
        "has at most 20 conditions with all in it."
    )
    none: list["ReleaseFilter"] | None = _condition("None of these filters matches.")


@strawberry.input(description="Sort order of releases.")
class ReleaseOrder:
    field: ReleaseOrderField = strawberry.field(default=ReleaseOrderField.CREATED_AT, description="Sort key.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.DESC, description="Sort direction.")


FilterArgument = Annotated[ReleaseFilter | None, argument("Conditions on the releases. Null matches all.")]
OrderArgument = Annotated[ReleaseOrder | None, argument("Sort order. Defaults to newest first.")]


async def search(
    info: Info,
    filter_: ReleaseFilter | None,
    order_by: ReleaseOrder | None,
    window: pagination.PageArgs,
    within: Mapping[str, Any] | None = None,
) -> Any:
    """Return the query for a list of releases; `within` narrows it to a catalog or a product."""
    order = order_by or ReleaseOrder()
    return await releases.search(
        info.context.caller,
        info.context.database,
        mutation.input_to_dict(filter_) if filter_ else {},
        window,
        order.field.name,
        descending=order.direction is OrderDirection.DESC,
        within=within,
        look_up=info.context.look_up_for_filter,
    )
