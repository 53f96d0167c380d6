"""Catalogs and the products in them."""

import datetime
import functools
from typing import TYPE_CHECKING, Annotated, Any, cast

import strawberry

from release_catalog.domain.reference_data import CatalogDocument, ProductDocument
from release_catalog.domain.versions import Scheme
from release_catalog.graphql_api import filters
from release_catalog.graphql_api.connection import Connection
from release_catalog.graphql_api.enums import VersionScheme
from release_catalog.graphql_api.fields import After, Before, First, Last, argument, field, projects, reference
from release_catalog.graphql_api.filters import FilterArgument, OrderArgument
from release_catalog.graphql_api.types.node import Node, node_id
from release_catalog.query_engine.context import Info
from release_catalog.query_engine.field_source import FieldSource, reads, source_metadata
from release_catalog.storage import pagination, records, releases
from release_catalog.storage.collection_names import CATALOGS, RELEASES
from release_catalog.storage.pagination import DEFAULT_PAGE

if TYPE_CHECKING:
    from release_catalog.graphql_api.types.release import Release

_Release = Annotated["Release", strawberry.lazy("release_catalog.graphql_api.types.release")]


def _releases_of(field: str) -> Any:
    async def resolve(
        root: strawberry.Parent[CatalogDocument | ProductDocument],
        info: Info,
        filter: FilterArgument = None,  # noqa: A002  the contract's name
        order_by: OrderArgument = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        window = pagination.window(first, after, last, before)
        return await filters.search(info, filter, order_by, window, {field: root["id"]})

    return resolve


Channel = Annotated[str | None, argument("Channel. Null matches all channels.")]
OnPlatform = Annotated[
    str | None,
    argument(
        "Platform of the release or of one of its files or images: a name such as linux/amd64, or an operating "
        "system or architecture such as linux or amd64, in any letter case. Null matches all."
    ),
]
OnBranch = Annotated[str | None, argument("Branch. Null matches all branches.")]
Constraint = Annotated[
    str | None,
    argument(
        "Range of versions such as `>=1.2,<2`, in the syntax of the version scheme. Null matches all versions."
    ),
]


async def latest(
    root: strawberry.Parent[ProductDocument],
    info: Info,
    channel: Channel = "stable",
    platform: OnPlatform = None,
    branch: OnBranch = None,
    constraint: Constraint = None,
) -> Any:
    """Return the latest release of the product `root` that matches the channel and the other arguments."""
    among: dict[str, Any] = {"channel": channel, "platform": platform}
    among |= {"branch": branch} if branch is not None else {}
    query = functools.partial(releases.latest, info.context.caller, root["id"], **among)
    if constraint is None:
        return await info.context.first(query())
    scheme, alternatives = root["versionScheme"], releases.constraints(root["versionScheme"], constraint)
    while alternatives:
        page = await info.context.page(query(constraint=alternatives.pop(0), scheme=scheme))
        if page.scheme and page.scheme != scheme:
            # The scheme has changed since the product was read, and the constraint may mean something else.
            scheme = cast("Scheme", page.scheme)
            alternatives = releases.constraints(scheme, constraint)
        elif page.rows:
            return page.rows[0]
    return None


@strawberry.type(description="A product with releases. S1 calls it project, S2 product, S5 application.")
class Product(Node):
    node_id: strawberry.ID = node_id("Product")
    id: strawberry.ID = field("Unique identifier. S5 calls it application_id.")
    catalog: Annotated["Catalog", strawberry.lazy("release_catalog.graphql_api.types.catalog")] = reference(
        CATALOGS, "catalogId", "Catalog of the product.", lasting=True
    )
    key: str = field("Short name, unique in the catalog.")
    name: str = field("Display name.")
    description: str | None = field("Description.")
    long_display_name: str | None = field("Full display name (S5).")
    disclaimer: str | None = field("Disclaimer of the publisher (S5).")
    category: str | None = field("Software category (S5).")
    based_on_scratch: bool | None = field("Whether the product is built from an empty image (S5).")
    latest_free: bool | None = field("Whether the latest release is free of charge (S5).")
    version_scheme: VersionScheme = field("Format and order of the versions.")
    releases: Connection[_Release] = strawberry.field(
        resolver=_releases_of("productId"),
        metadata=source_metadata(FieldSource(reads("id"))),
        description="Releases, newest first by default. Without `first` or `last`, the page has 20.",
    )
    latest_release: _Release | None = strawberry.field(
        resolver=latest,
        metadata=projects(RELEASES, keys=reads("id", "versionScheme")),
        description="Latest published release: the highest version, then the highest revision, then the newest. "
        "Null if none matches.",
    )


def _products(
    root: strawberry.Parent[CatalogDocument],
    info: Info,
    first: First = DEFAULT_PAGE,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Any:
    return records.products(info.context.caller, pagination.window(first, after, last, before), root["id"])


@strawberry.type(description="A catalog: a collection of products and their releases.")
class Catalog(Node):
    node_id: strawberry.ID = node_id("Catalog")
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Display name.")
    description: str | None = field("Description.")
    public: bool = field(
        "Whether the catalog is meant for everybody (S5). It does not change who sees its releases."
    )
    created_at: datetime.datetime = field("Time of the creation.")
    products: Connection[Product] = strawberry.field(
        resolver=_products,
        metadata=source_metadata(FieldSource(reads("id"))),
        description="Products, ordered by key.",
    )
    releases: Connection[_Release] = strawberry.field(
        resolver=_releases_of("catalogId"),
        metadata=source_metadata(FieldSource(reads("id"))),
        description="Releases, newest first by default. Without `first` or `last`, the page has 20.",
    )
