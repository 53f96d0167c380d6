"""The selection and the order of releases."""

import datetime
from collections.abc import Mapping
from typing import Any

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
from release_catalog.query_engine.context import Info
from release_catalog.storage import pagination, releases


def _condition(description: str) -> Any:
    return strawberry.field(default=None, description=description)


@strawberry.input(description="Conditions are combined with and; a list matches any of its values.")
class ReleaseFilter:
    ids: list[strawberry.ID] | None = _condition("Releases with one of these ids, at most 100.")
    catalog_id: strawberry.ID | None = _condition("Releases of this catalog.")
    product_id: strawberry.ID | None = _condition("Releases of this product.")
    product_key: str | None = _condition("Releases of the products with this key, in any catalog.")
    name: str | None = _condition("Releases with exactly this name.")
    name_contains: str | None = _condition("Case-insensitive substring (S4).")
    version: str | None = _condition("Releases with exactly this version.")
    revision: str | None = _condition("Releases with exactly this revision.")
    branch: str | None = _condition("Releases of this branch.")
    tag: str | None = _condition("Releases with this tag.")
    channel: list[str] | None = _condition("Releases in one of these channels.")
    platform: str | None = _condition("Releases for this platform, by name or by operating system.")
    packaging_type: list[PackagingType] | None = _condition("Releases packaged in one of these ways.")
    status: list[ReleaseStatus] | None = _condition("Releases at one of these points of their life.")
    delivery_status: list[DeliveryStatus] | None = _condition("Releases whose delivery stands at one of these.")
    private: bool | None = _condition("Only private releases, or only others.")
    trial: bool | None = _condition("Only trials, or only others.")
    author: str | None = _condition("Releases of exactly this author.")
    created_from: datetime.datetime | None = _condition("Releases created then or later.")
    created_before: datetime.datetime | None = _condition("Releases created earlier.")
    released_from: datetime.datetime | None = _condition("Releases finished then or later.")
    released_before: datetime.datetime | None = _condition("Releases finished earlier.")
    end_of_life_before: datetime.date | None = _condition("Releases whose end of life lies before this day.")
    artifact_sha256: str | None = _condition("Releases that carry a file with this digest.")
    verification: list[VerificationStatus] | None = _condition(
        "Releases with a file that has one of these outcomes."
    )
    depends_on_id: strawberry.ID | None = _condition("Releases that depend directly on this one.")


@strawberry.input(description="How releases follow one another.")
class ReleaseOrder:
    field: ReleaseOrderField = strawberry.field(
        default=ReleaseOrderField.CREATED_AT, description="What they are ordered by."
    )
    direction: OrderDirection = strawberry.field(default=OrderDirection.DESC, description="Which end comes first.")


async def search(
    info: Info,
    filter_: ReleaseFilter | None,
    order_by: ReleaseOrder | None,
    window: pagination.PageArgs,
    within: Mapping[str, Any] | None = None,
) -> Any:
    """Return the query for a list of releases; `within` narrows it to a catalog or a product."""
    conditions = mutation.input_to_dict(filter_) if filter_ else {}
    for name, value in (within or {}).items():
        if conditions.get(name) not in {None, value}:
            conditions["ids"] = []
        conditions[name] = value
    order = order_by or ReleaseOrder()
    return await releases.search(
        info.context.caller,
        info.context.database,
        conditions,
        window,
        order.field.name,
        descending=order.direction is OrderDirection.DESC,
    )
