"""The links of a release (S5): every href is answered by this server as application/hal+json."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import strawberry

from release_catalog.api.fields import computed, fetched, narrowed, plain
from release_catalog.domain import links
from release_catalog.plans.context import Context, Info
from release_catalog.plans.how import only
from release_catalog.plans.keys import Keys
from release_catalog.store import pages
from release_catalog.store.database import Document


@strawberry.type(description="A link of the Hypertext Application Language.")
class Link:
    href: str = plain("A path on this server.")


_OF_LINK = ("catalogId", "id")


def _link(path: Callable[[str], str], description: str, key: str) -> Any:
    """A link whose path is made of the id under `key`; null where there is none."""
    return computed(
        lambda release: {"href": path(release[key])} if release[key] else None, description, keys=[key]
    )


def _within(path: Callable[[str, str], str], description: str, key: str) -> Any:
    """A link whose path is made of the catalog and the id under `key`; null where there is none."""

    def link(release: Document) -> Any:
        return {"href": path(release["catalogId"], release[key])} if release[key] else None

    return computed(link, description, keys=["catalogId", key])


async def _product(context: Context, releases: Sequence[Document], _: Keys) -> Any:
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
    path = product and links.branch(product["key"], release, systems.get(release["baseImageId"]))
    return links.link(path) if path else None


async def _latest(context: Context, releases: Sequence[Document], _: Keys) -> Any:
    found = await context.latest_beside_each(releases, frozenset(_OF_LINK))
    return [links.to_release(release) if release else None for release in found]


async def _dependencies(root: strawberry.Parent[Document], info: Info, first: int | None = 100) -> Any:
    found = await info.context.needed(root, pages.window(first, default=100).size)
    return [links.to_release(release) for release in found]


async def _dependants(root: strawberry.Parent[Document], info: Info, first: int | None = 100) -> Any:
    question = await info.context.dependants(root, pages.window(first, default=100))
    return [links.to_release(release) for release in (await info.context.page(question)).rows]


@strawberry.type(description="Where a release and what it refers to are answered as HAL (S5).")
class ReleaseLinks:
    self: Link = _within(links.release, "This release.", "id")
    catalog: Link = _link(links.catalog, "Its catalog.", "catalogId")
    application: Link = _within(links.application, "Its product in that catalog.", "productId")
    product: Link | None = fetched(
        _product,
        "Its product on its branch; null without a branch.",
        only("branch", "productId", "baseImageId", "packagingType"),
    )
    base_image: Link | None = _link(links.base_image, "The image it is built upon.", "baseImageId")
    registry: Link | None = _link(links.registry, "The registry it is pushed to.", "registryId")
    pipeline: Link | None = _within(links.pipeline, "The pipeline that made it.", "pipelineId")
    latest_release: Link | None = fetched(
        _latest,
        "The latest release of the same product, channel and branch.",
        only("productId", "channel", "branch"),
    )
    dependencies: list[Link] = strawberry.field(
        resolver=_dependencies,
        metadata=narrowed("releases", *_OF_LINK, keys=only("dependencies.reference")),
        description="The releases that its first references lead to, at most 100.",
    )
    dependants: list[Link] = strawberry.field(
        resolver=_dependants,
        metadata=narrowed("releases", *_OF_LINK, keys=only("id", "catalogId", "name", "version")),
        description="The newest releases that need it, at most 100.",
    )
