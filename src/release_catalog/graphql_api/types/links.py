"""The links of a release (S5): every href is answered by this server as application/hal+json."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import strawberry

from release_catalog.domain import hal_urls
from release_catalog.graphql_api.fields import batched_field, computed_field, field, projects
from release_catalog.query_engine.context import Context, Info
from release_catalog.query_engine.field_source import reads
from release_catalog.query_engine.projection import FieldPaths
from release_catalog.storage import pagination
from release_catalog.storage.database import Document


@strawberry.type(description="A link of the Hypertext Application Language.")
class Link:
    href: str = field("A path on this server.")


_OF_LINK = ("catalogId", "id")


def _link(path: Callable[[str], str], description: str, key: str) -> Any:
    """Declare a link whose path is made of the id under `key`; null if there is no id."""
    return computed_field(
        lambda release: {"href": path(release[key])} if release[key] else None, description, keys=[key]
    )


def _within(path: Callable[[str, str], str], description: str, key: str) -> Any:
    """Declare a link whose path is made of the catalog and the id under `key`; null if there is no id."""

    def link(release: Document) -> Any:
        return {"href": path(release["catalogId"], release[key])} if release[key] else None

    return computed_field(link, description, keys=["catalogId", key])


async def _product(context: Context, releases: Sequence[Document], _: FieldPaths) -> Any:
    on_branches = [release for release in releases if release["branch"]]
    if not on_branches:
        return [None] * len(releases)
    images = [release["baseImageId"] for release in on_branches if release["baseImageId"]]
    products, known = await asyncio.gather(
        context.by_ids("products").load_many([r["productId"] for r in on_branches], frozenset({"key"})),
        context.by_ids("baseImages").load_many(images, frozenset({"operatingSystem"})),
    )
    systems = {id_: image and image["operatingSystem"] for id_, image in zip(images, known, strict=True)}
    product = iter(products)
    return [_branch(next(product), release, systems) if release["branch"] else None for release in releases]


def _branch(product: Document | None, release: Document, systems: Mapping[str, Document | None]) -> Any:
    path = product and hal_urls.branch(product["key"], release, systems.get(release["baseImageId"]))
    return hal_urls.link(path) if path else None


async def _latest(context: Context, releases: Sequence[Document], _: FieldPaths) -> Any:
    found = await context.latest_beside_each(releases, frozenset(_OF_LINK))
    return [hal_urls.to_release(release) if release else None for release in found]


async def _dependencies(root: strawberry.Parent[Document], info: Info, first: int | None = 100) -> Any:
    found = await info.context.needed(root, pagination.window(first, default=100).size)
    return [hal_urls.to_release(release) for release in found]


async def _dependants(root: strawberry.Parent[Document], info: Info, first: int | None = 100) -> Any:
    question = await info.context.dependants(root, pagination.window(first, default=100))
    return [hal_urls.to_release(release) for release in (await info.context.page(question)).rows]


@strawberry.type(description="Where a release and what it refers to are answered as HAL (S5).")
class ReleaseLinks:
    self: Link = _within(hal_urls.release, "This release.", "id")
    catalog: Link = _link(hal_urls.catalog, "Its catalog.", "catalogId")
    application: Link = _within(hal_urls.application, "Its product in that catalog.", "productId")
    product: Link | None = batched_field(
        _product,
        "Its product on its branch; null without a branch.",
        reads("branch", "productId", "baseImageId", "packagingType"),
    )
    base_image: Link | None = _link(hal_urls.base_image, "The image it is built upon.", "baseImageId")
    registry: Link | None = _link(hal_urls.registry, "The registry it is pushed to.", "registryId")
    pipeline: Link | None = _within(hal_urls.pipeline, "The pipeline that made it.", "pipelineId")
    latest_release: Link | None = batched_field(
        _latest,
        "The latest release of the same product, channel and branch.",
        reads("productId", "channel", "branch"),
    )
    dependencies: list[Link] = strawberry.field(
        resolver=_dependencies,
        metadata=projects("releases", *_OF_LINK, keys=reads("dependencies.reference")),
        description="The releases that its first references lead to, at most 100.",
    )
    dependants: list[Link] = strawberry.field(
        resolver=_dependants,
        metadata=projects("releases", *_OF_LINK, keys=reads("id", "catalogId", "name", "version")),
        description="The newest releases that need it, at most 100.",
    )
