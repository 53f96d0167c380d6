"""The queries of the catalog."""

from collections.abc import Awaitable, Callable
from typing import Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.domain import caller, release_document, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.errors import InvalidArgument
from release_catalog.graphql_api import filters, permissions
from release_catalog.graphql_api.connection import Connection, ConnectionWithoutCount
from release_catalog.graphql_api.enums import PromotionStatus
from release_catalog.graphql_api.fields import field, projects
from release_catalog.graphql_api.filters import ReleaseFilter, ReleaseOrder
from release_catalog.graphql_api.types import catalog, event
from release_catalog.graphql_api.types import webhook as webhooks
from release_catalog.graphql_api.types.access_token import AccessToken
from release_catalog.graphql_api.types.catalog import Catalog, Product
from release_catalog.graphql_api.types.event import Event
from release_catalog.graphql_api.types.promotion import Environment, Promotion
from release_catalog.graphql_api.types.registry import BaseImage, Registry
from release_catalog.graphql_api.types.release import Release
from release_catalog.graphql_api.types.release_delivery import Pipeline, Project
from release_catalog.graphql_api.types.release_diff import ReleaseComparison
from release_catalog.graphql_api.types.webhook import Webhook
from release_catalog.query_engine.context import Info
from release_catalog.query_engine.leaf_values import json_fragment
from release_catalog.storage import access_tokens as tokens
from release_catalog.storage import pagination, records
from release_catalog.storage import webhooks as stored
from release_catalog.storage.database import Database, Document


@strawberry.type(description="Who is asking.")
class Viewer:
    subject: str = field("The user or service account.")
    tenant_id: strawberry.ID = field("The organisation it belongs to.")
    scopes: list[str] = field("What it may do, such as release:read.")


def _viewer(info: Info) -> Any:
    asking = info.context.caller
    return {"subject": asking.subject, "tenantId": asking.tenant, "scopes": sorted(asking.scopes)}


def _one(collection: str, description: str) -> Any:
    async def resolve(info: Info, id: strawberry.ID) -> Any:  # noqa: A002  the contract's name
        return await info.context.one(collection, id)

    return strawberry.field(resolver=resolve, description=description, metadata=projects(collection))


def _all(read: Callable[[Caller, Database], Awaitable[list[Document]]]) -> Any:
    async def resolve(info: Info) -> Any:
        return await read(info.context.caller, info.context.database)

    return resolve


def _catalogs(info: Info, first: int | None = 20, after: str | None = None) -> Any:
    return records.catalogs(info.context.caller, pagination.window(first, after))


async def _product(
    info: Info,
    id: strawberry.ID | None = None,  # noqa: A002  the contract's name
    catalog_id: strawberry.ID | None = None,
    key: str | None = None,
) -> Any:
    if (id is None) == (key is None):
        raise InvalidArgument("id", "give either the id of a product or its key.")
    context = info.context
    if key is not None:
        return await records.product_by_key(context.caller, context.database, key, catalog_id)
    found = await context.one("products", id)
    return found if found and catalog_id in {None, found["catalogId"]} else None


def _products(
    info: Info,
    catalog_id: strawberry.ID | None = None,
    name_contains: str | None = None,
    first: int | None = 20,
    after: str | None = None,
) -> Any:
    return records.products(info.context.caller, pagination.window(first, after), catalog_id, name_contains)


async def _release(
    info: Info,
    id: strawberry.ID,  # noqa: A002  the contract's name
    catalog_id: strawberry.ID | None = None,
) -> Any:
    found = await info.context.one("releases", id)
    return found if found and catalog_id in {None, found["catalogId"]} else None


async def _releases(
    info: Info,
    filter: ReleaseFilter | None = None,  # noqa: A002  the contract's name
    order_by: ReleaseOrder | None = None,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> Any:
    return await filters.search(info, filter, order_by, pagination.window(first, after, last, before))


async def _latest_release(
    info: Info,
    product_id: strawberry.ID,
    channel: str | None = "stable",
    platform: str | None = None,
    branch: str | None = None,
    constraint: str | None = None,
) -> Any:
    product = await info.context.one("products", product_id)
    return await catalog.latest(product, info, channel, platform, branch, constraint) if product else None


async def _compare_releases(info: Info, from_id: strawberry.ID, to_id: strawberry.ID) -> Any:
    before, after = await info.context.one("releases", from_id), await info.context.one("releases", to_id)
    if not before or not after:
        return None
    disclose = info.context.with_disclosed
    pair = {"from": await disclose(before), "to": await disclose(after)}
    # However often a request asks for a pair, it is compared once.
    return info.context.comparisons.setdefault((from_id, to_id), pair)


async def _export_release(info: Info, id: strawberry.ID) -> Any:  # noqa: A002  the contract's name
    release = await info.context.one("releases", id)
    product = await info.context.one("products", release["productId"]) if release else None
    if not release or not product:
        return None
    disclosed, key = await info.context.with_disclosed(release), product["key"]
    # Aside: a release may hold 12 MB of free JSON.
    disclosed = await info.context.with_disclosed(release)
    return await info.context.run_aside(lambda: json_fragment(release_document.written(disclosed, key)))


async def _environment(info: Info, name: str) -> Any:
    return await records.named(info.context.caller, info.context.database, "environments", name)


async def _promotion(info: Info, name: str, version: str, created: str) -> Any:
    try:
        instant = timestamps.parse_rfc3339_or_millis(created)
    except ValueError as error:
        raise InvalidArgument("created", str(error)) from error
    return await records.promotion(info.context.caller, info.context.database, name, version, instant)


def _promotions(
    info: Info,
    environment: str | None = None,
    name: str | None = None,
    version: str | None = None,
    status: PromotionStatus | None = None,
    first: int | None = 20,
    after: str | None = None,
) -> Any:
    return records.promotions(
        info.context.caller,
        pagination.window(first, after),
        environment=environment,
        name=name,
        version=version,
        status=status.name if status else None,
    )


async def _pipeline(
    info: Info,
    id: strawberry.ID | None = None,  # noqa: A002  the contract's name
    name: str | None = None,
) -> Any:
    if (id is None) == (name is None):
        raise InvalidArgument("id", "give either the id of a pipeline or its name.")
    if name is not None:
        return await records.named(info.context.caller, info.context.database, "pipelines", name)
    return await info.context.one("pipelines", id)


@permissions.needed(viewer=None, access_tokens=caller.ADMIN, webhook=caller.WEBHOOK, webhooks=caller.WEBHOOK)
@strawberry.type(description="What can be asked of the catalog. What does not exist for the caller is null.")
class Query:
    viewer: Viewer = strawberry.field(resolver=_viewer, description="Who is asking, and what they may do.")
    catalog: Catalog | None = _one("catalogs", "A catalog by its id.")
    catalogs: Connection[Catalog] = strawberry.field(resolver=_catalogs, description="All catalogs, by name.")
    product: Product | None = strawberry.field(
        resolver=_product,
        metadata=projects("products", "catalogId"),
        description="A product by its id, or by its key in a catalog.",
    )
    products: Connection[Product] = strawberry.field(resolver=_products, description="Products, by key.")
    release: Release | None = strawberry.field(
        resolver=_release,
        metadata=projects("releases", "catalogId"),
        description="A release by its id; with a catalog, only if it stands in that one.",
    )
    releases: Connection[Release] = strawberry.field(
        resolver=_releases,
        description="At most 100 a page; without first or last, 20. Newest first unless ordered otherwise.",
    )
    latest_release: Release | None = strawberry.field(
        resolver=_latest_release,
        metadata=projects("releases"),
        description="A product's highest published version, then the highest revision, then the newest. "
        "`constraint` is a range such as `>=1.2,<2`; a null channel means any.",
    )
    compare_releases: ReleaseComparison | None = strawberry.field(
        resolver=_compare_releases, description="What changed from one release to another."
    )
    export_release: JSON | None = strawberry.field(
        resolver=_export_release,
        description="The release as an import document (S1): importing it again gives the same release.",
    )
    environment: Environment | None = strawberry.field(
        resolver=_environment, description="An environment by its name."
    )
    environments: list[Environment] = strawberry.field(
        resolver=_all(records.environments), description="All environments by name, at most 1000."
    )
    promotion: Promotion | None = strawberry.field(
        resolver=_promotion,
        description="A promotion record; created takes an RFC 3339 instant or epoch milliseconds (S3).",
    )
    promotions: Connection[Promotion] = strawberry.field(
        resolver=_promotions, description="The ledger of promotions, the newest first."
    )
    pipeline: Pipeline | None = strawberry.field(
        resolver=_pipeline, metadata=projects("pipelines"), description="A pipeline by its id or its name."
    )
    project: Project | None = _one("projects", "A project by its id.")
    registry: Registry | None = _one("registries", "A registry by its id.")
    base_image: BaseImage | None = _one("baseImages", "A base image by its id.")
    events: ConnectionWithoutCount[Event] = strawberry.field(
        resolver=event.log,
        description="The event log, oldest first, after a cursor; `types` takes release.* for all of a kind. An "
        "error says so where events after the cursor are no longer kept.",
    )
    webhook: Webhook | None = strawberry.field(resolver=webhooks.one, description="A webhook by its id.")
    webhooks: list[Webhook] = strawberry.field(
        resolver=_all(stored.listed), description="All webhooks, the oldest first, at most 1000."
    )
    access_tokens: list[AccessToken] = strawberry.field(
        resolver=_all(tokens.everyone), description="The tenant's access tokens, the newest first, at most 1000."
    )
