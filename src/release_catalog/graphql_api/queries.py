"""The queries of the catalog."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.domain import caller, release_document, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.errors import InvalidArgument
from release_catalog.graphql_api import filters, nodes, permissions
from release_catalog.graphql_api.connection import Connection, ConnectionWithoutCount
from release_catalog.graphql_api.enums import PromotionStatus
from release_catalog.graphql_api.fields import After, Before, First, Id, Last, argument, projects
from release_catalog.graphql_api.filters import FilterArgument, OrderArgument
from release_catalog.graphql_api.types import catalog, event
from release_catalog.graphql_api.types import webhook as webhooks
from release_catalog.graphql_api.types.access_token import AccessToken
from release_catalog.graphql_api.types.catalog import Catalog, Product
from release_catalog.graphql_api.types.event import Event
from release_catalog.graphql_api.types.node import Node
from release_catalog.graphql_api.types.promotion import Environment, Promotion
from release_catalog.graphql_api.types.registry import BaseImage, Registry
from release_catalog.graphql_api.types.release import Release
from release_catalog.graphql_api.types.release_connection import ReleaseConnection
from release_catalog.graphql_api.types.release_delivery import Pipeline, Project
from release_catalog.graphql_api.types.release_diff import ReleaseComparison
from release_catalog.graphql_api.types.viewer import RateLimit, Viewer, rate_limit, viewer
from release_catalog.graphql_api.types.webhook import Webhook
from release_catalog.query_engine.completion import json_fragment
from release_catalog.query_engine.context import Info
from release_catalog.storage import access_tokens as tokens
from release_catalog.storage import pagination, records
from release_catalog.storage import webhooks as stored
from release_catalog.storage.collection_names import (
    BASE_IMAGES,
    CATALOGS,
    ENVIRONMENTS,
    PIPELINES,
    PRODUCTS,
    PROJECTS,
    REGISTRIES,
    RELEASES,
    CollectionName,
    StoredDocument,
)
from release_catalog.storage.database import Database
from release_catalog.storage.pagination import DEFAULT_PAGE


def _one(collection: CollectionName[Any], description: str) -> Any:
    async def resolve(info: Info, id: Id) -> Any:  # noqa: A002  the contract's name
        return await info.context.one(collection, id)

    return strawberry.field(resolver=resolve, description=description, metadata=projects(collection))


def _all(read: Callable[[Caller, Database], Awaitable[Sequence[StoredDocument]]]) -> Any:
    async def resolve(info: Info) -> Any:
        return await read(info.context.caller, info.context.database)

    return resolve


_NameContains = Annotated[str | None, argument("Text in the name, in any letter case. Null matches all.")]


def _by_name(collection: CollectionName[Any], things: str) -> Any:
    def resolve(
        info: Info,
        name_contains: _NameContains = None,
        first: First = DEFAULT_PAGE,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        window = pagination.window(first, after, last, before)
        return records.by_name(info.context.caller, collection, window, name_contains)

    return strawberry.field(resolver=resolve, description=f"{things}, ordered by name.")


async def _product(
    info: Info,
    id: Annotated[strawberry.ID | None, argument("Id of the product.")] = None,  # noqa: A002  the contract's name
    catalog_id: Annotated[strawberry.ID | None, argument("Id of the product's catalog. Defaults to any.")] = None,
    key: Annotated[str | None, argument("Key of the product.")] = None,
) -> Any:
    if (id is None) == (key is None):
        raise InvalidArgument("id", "id and key exclude each other: give one of them.")
    context = info.context
    if key is not None:
        return await records.product_by_key(context.caller, context.database, key, catalog_id)
    found = await context.one(PRODUCTS, id)
    return found if found and catalog_id in {None, found["catalogId"]} else None


def _products(
    info: Info,
    catalog_id: Annotated[strawberry.ID | None, argument("Id of the catalog. Null matches all.")] = None,
    name_contains: _NameContains = None,
    first: First = DEFAULT_PAGE,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Any:
    window = pagination.window(first, after, last, before)
    return records.products(info.context.caller, window, catalog_id, name_contains)


async def _release(
    info: Info,
    id: Id,  # noqa: A002  the contract's name
    catalog_id: Annotated[
        strawberry.ID | None, argument("Id of the catalog that the release must be in. Null matches all.")
    ] = None,
) -> Any:
    found = await info.context.one(RELEASES, id)
    return found if found and catalog_id in {None, found["catalogId"]} else None


async def _releases(
    info: Info,
    filter: FilterArgument = None,  # noqa: A002  the contract's name
    order_by: OrderArgument = None,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Any:
    return await filters.search(info, filter, order_by, pagination.window(first, after, last, before))


async def _latest_release(
    info: Info,
    product_id: Annotated[strawberry.ID, argument("Id of the product.")],
    channel: catalog.Channel = "stable",
    platform: catalog.OnPlatform = None,
    branch: catalog.OnBranch = None,
    constraint: catalog.Constraint = None,
) -> Any:
    product = await info.context.one(PRODUCTS, product_id)
    return await catalog.latest(product, info, channel, platform, branch, constraint) if product else None


async def _compare_releases(
    info: Info,
    from_id: Annotated[strawberry.ID, argument("Id of the first release.")],
    to_id: Annotated[strawberry.ID, argument("Id of the second release.")],
) -> Any:
    before, after = await info.context.one(RELEASES, from_id), await info.context.one(RELEASES, to_id)
    if not before or not after:
        return None
    disclose = info.context.with_disclosed
    pair = {"from": await disclose(before), "to": await disclose(after)}
    # However often a request asks for a pair, it is compared once.
    return info.context.comparisons.setdefault((from_id, to_id), pair)


async def _export_release(info: Info, id: Id) -> Any:  # noqa: A002  the contract's name
    release = await info.context.one(RELEASES, id)
    product = await info.context.one(PRODUCTS, release["productId"]) if release else None
    if not release or not product:
        return None
    disclosed, key = await info.context.with_disclosed(release), product["key"]
    # Aside: a release may hold 12 MB of free JSON.
    disclosed = await info.context.with_disclosed(release)
    return await info.context.run_aside(lambda: json_fragment(release_document.written(disclosed, key)))


async def _environment(info: Info, name: Annotated[str, argument("Name of the environment.")]) -> Any:
    return await records.named(info.context.caller, info.context.database, ENVIRONMENTS, name)


async def _promotion(
    info: Info,
    name: Annotated[str, argument("Name of the release.")],
    version: Annotated[str, argument("Version of the release.")],
    created: Annotated[str, argument("Time of the request: an RFC 3339 timestamp, or milliseconds since 1970.")],
) -> Any:
    try:
        instant = timestamps.parse_rfc3339_or_millis(created)
    except ValueError as error:
        raise InvalidArgument("created", str(error)) from error
    return await records.promotion(info.context.caller, info.context.database, name, version, instant)


def _promotions(
    info: Info,
    environment: Annotated[str | None, argument("Name of the environment. Null matches all.")] = None,
    name: Annotated[str | None, argument("Name of the release. Null matches all.")] = None,
    version: Annotated[str | None, argument("Version of the release. Null matches all.")] = None,
    status: Annotated[PromotionStatus | None, argument("Result of the attempt. Null matches all.")] = None,
    first: First = DEFAULT_PAGE,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Any:
    return records.promotions(
        info.context.caller,
        pagination.window(first, after, last, before),
        environment=environment,
        name=name,
        version=version,
        status=status.name if status else None,
    )


async def _pipeline(
    info: Info,
    id: Annotated[strawberry.ID | None, argument("Id of the pipeline.")] = None,  # noqa: A002  the contract's name
    name: Annotated[str | None, argument("Name of the pipeline.")] = None,
) -> Any:
    if (id is None) == (name is None):
        raise InvalidArgument("id", "id and name exclude each other: give one of them.")
    if name is not None:
        return await records.named(info.context.caller, info.context.database, PIPELINES, name)
    return await info.context.one(PIPELINES, id)


@permissions.needed(
    viewer=None,
    rate_limit=None,
    node=None,
    nodes=None,
    access_tokens=caller.ADMIN,
    webhook=caller.WEBHOOK,
    webhooks=caller.WEBHOOK,
)
@strawberry.type(description="Queries. A document that does not exist, or is hidden from the caller, is null.")
class Query:
    viewer: Viewer = strawberry.field(
        resolver=viewer, description="The caller and the caller's scopes. Needs no scope."
    )
    rate_limit: RateLimit | None = strawberry.field(
        resolver=rate_limit,
        description="The caller's points: what this operation costs, what is left, and when all are there again. "
        "Null if no rate is set. Needs no scope.",
    )
    node: Node | None = strawberry.field(
        resolver=nodes.node,
        metadata=nodes.METADATA,
        description="Document with this node id, of any type that has one. It needs the scope of the query for "
        "that type.",
    )
    nodes: list[Node | None] = strawberry.field(
        resolver=nodes.nodes,
        metadata=nodes.METADATA,
        description="Documents with these node ids, at most 100, in their order. An entry is null if its document "
        "does not exist or is hidden from the caller, and null with an error without the scope for its type.",
    )
    catalog: Catalog | None = _one(CATALOGS, "Catalog with this id.")
    catalogs: Connection[Catalog] = _by_name(CATALOGS, "Catalogs")
    product: Product | None = strawberry.field(
        resolver=_product,
        metadata=projects(PRODUCTS, "catalogId"),
        description="Product with this id, or with this key in a catalog. Give either the id or the key.",
    )
    products: Connection[Product] = strawberry.field(resolver=_products, description="Products, ordered by key.")
    release: Release | None = strawberry.field(
        resolver=_release,
        metadata=projects(RELEASES, "catalogId"),
        description="Release with this id. With `catalogId`, null unless the release is in that catalog.",
    )
    releases: ReleaseConnection = strawberry.field(
        resolver=_releases,
        description="Releases, newest first by default. Without `first` or `last`, the page has 20.",
    )
    latest_release: Release | None = strawberry.field(
        resolver=_latest_release,
        metadata=projects(RELEASES),
        description="Latest published release of a product: the highest version, then the highest revision, then "
        "the newest. Null if none matches.",
    )
    compare_releases: ReleaseComparison | None = strawberry.field(
        resolver=_compare_releases,
        description="Differences between two releases. Null unless the caller sees both.",
    )
    export_release: JSON | None = strawberry.field(
        resolver=_export_release,
        description="Release as an import document (S1). An import of it restores the release.",
    )
    environment: Environment | None = strawberry.field(
        resolver=_environment, description="Environment with this name."
    )
    environments: list[Environment] = strawberry.field(
        resolver=_all(records.environments), description="All environments, ordered by name, at most 1000."
    )
    promotion: Promotion | None = strawberry.field(
        resolver=_promotion,
        description="Promotion record of a release name and version, by the time of the request (S3).",
    )
    promotions: Connection[Promotion] = strawberry.field(
        resolver=_promotions, description="Ledger of promotions, newest first."
    )
    pipeline: Pipeline | None = strawberry.field(
        resolver=_pipeline,
        metadata=projects(PIPELINES),
        description="Pipeline with this id or this name. Give either of them.",
    )
    pipelines: Connection[Pipeline] = _by_name(PIPELINES, "Pipelines")
    project: Project | None = _one(PROJECTS, "Project with this id.")
    projects: Connection[Project] = _by_name(PROJECTS, "Projects")
    registry: Registry | None = _one(REGISTRIES, "Registry with this id.")
    registries: Connection[Registry] = _by_name(REGISTRIES, "Registries")
    base_image: BaseImage | None = _one(BASE_IMAGES, "Base image with this id.")
    base_images: Connection[BaseImage] = _by_name(BASE_IMAGES, "Base images")
    events: ConnectionWithoutCount[Event] = strawberry.field(
        resolver=event.log,
        description="Event log, oldest first. An error tells if events after the cursor are no longer kept.",
    )
    webhook: Webhook | None = strawberry.field(resolver=webhooks.one, description="Webhook with this id.")
    webhooks: list[Webhook] | None = strawberry.field(
        resolver=_all(stored.listed),
        description="All webhooks, oldest first, at most 1000. Null, with an error, without the scope "
        "webhook:write.",
    )
    access_tokens: list[AccessToken] | None = strawberry.field(
        resolver=_all(tokens.everyone),
        description="Access tokens of the tenant, newest first, at most 1000. Null, with an error, without the "
        "scope admin.",
    )
