"""Catalogs and the products in them."""

import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from release_catalog.graphql_api import filters
from release_catalog.graphql_api.connection import Connection
from release_catalog.graphql_api.enums import VersionScheme
from release_catalog.graphql_api.fields import field, projects, reference
from release_catalog.graphql_api.filters import ReleaseFilter, ReleaseOrder
from release_catalog.query_engine.context import Info
from release_catalog.query_engine.field_source import FieldSource, reads, source_metadata
from release_catalog.storage import pagination, records, releases
from release_catalog.storage.database import Document

if TYPE_CHECKING:
    from release_catalog.graphql_api.types.release import Release

_Release = Annotated["Release", strawberry.lazy("release_catalog.graphql_api.types.release")]


def _releases_of(field: str) -> Any:
    async def resolve(
        root: strawberry.Parent[Document],
        info: Info,
        filter: ReleaseFilter | None = None,  # noqa: A002  the contract's name
        order_by: ReleaseOrder | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Any:
        window = pagination.window(first, after, last, before)
        return await filters.search(info, filter, order_by, window, {field: root["id"]})

    return resolve


async def latest(
    root: strawberry.Parent[Document],
    info: Info,
    channel: str | None = "stable",
    platform: str | None = None,
    branch: str | None = None,
    constraint: str | None = None,
) -> Any:
    """Return the latest release of the product `root` that matches the channel and the other arguments."""
    among = {"branch": branch} if branch is not None else {}
    question = releases.latest(
        info.context.caller, root, channel=channel, platform=platform, constraint=constraint, **among
    )
    return await info.context.first(question)


@strawberry.type(description="What is released: S1 project, S2 product, S5 application with its description.")
class Product:
    id: strawberry.ID = field("Unique identifier. S5 calls it application_id.")
    catalog: Annotated["Catalog", strawberry.lazy("release_catalog.graphql_api.types.catalog")] = reference(
        "catalogs", "catalogId", "The catalog that it belongs to.", lasting=True
    )
    key: str = field("Short name, unique in its catalog.")
    name: str = field("Name for people.")
    description: str | None = field("What it is.")
    long_display_name: str | None = field("Its name in full (S5).")
    disclaimer: str | None = field("What its publisher wants to have said (S5).")
    category: str | None = field("What kind of software it is (S5).")
    based_on_scratch: bool | None = field("Whether it is built upon an empty image (S5).")
    latest_free: bool | None = field("Whether its latest release is free (S5).")
    version_scheme: VersionScheme = field("What its versions look like and how they order.")
    releases: Connection[_Release] = strawberry.field(
        resolver=_releases_of("productId"),
        metadata=source_metadata(FieldSource(reads("id"))),
        description="Its releases, the newest first unless ordered otherwise.",
    )
    latest_release: _Release | None = strawberry.field(
        resolver=latest,
        metadata=projects("releases", keys=reads("id", "versionScheme")),
        description="Its highest published version, then the highest revision, then the newest. `constraint` is a "
        "range such as `>=1.2,<2`; a null channel means any.",
    )


def _products(
    root: strawberry.Parent[Document], info: Info, first: int | None = 20, after: str | None = None
) -> Any:
    return records.products(info.context.caller, pagination.window(first, after), root["id"])


@strawberry.type(description="A collection of products and their releases.")
class Catalog:
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Name for people.")
    description: str | None = field("What it holds.")
    public: bool = field("Whether it is meant for everybody (S5).")
    created_at: datetime.datetime = field("When it was made.")
    products: Connection[Product] = strawberry.field(
        resolver=_products, metadata=source_metadata(FieldSource(reads("id"))), description="Its products, by key."
    )
    releases: Connection[_Release] = strawberry.field(
        resolver=_releases_of("catalogId"),
        metadata=source_metadata(FieldSource(reads("id"))),
        description="Its releases, the newest first unless ordered otherwise.",
    )
