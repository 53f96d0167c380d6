"""The links of a release (S5): every href is answered by this server as application/hal+json."""

from typing import Any

import strawberry

from release_catalog.domain import links
from release_catalog.plans.context import Info
from release_catalog.store import pages
from release_catalog.store.database import Document


@strawberry.type(description="A link of the Hypertext Application Language.")
class Link:
    href: str = strawberry.field(description="A path on this server.")


def _link(href: str | None) -> dict[str, str] | None:
    return None if href is None else {"href": href}


def to_release(release: Document) -> dict[str, str]:
    """The link to a release."""
    return {"href": links.release(release["catalogId"], release["id"])}


def _self(root: strawberry.Parent[Document]) -> Any:
    return to_release(root)


def _catalog(root: strawberry.Parent[Document]) -> Any:
    return _link(links.catalog(root["catalogId"]))


def _application(root: strawberry.Parent[Document]) -> Any:
    return _link(links.application(root["catalogId"], root["productId"]))


async def _product(root: strawberry.Parent[Document], info: Info) -> Any:
    if not root["branch"]:
        return None
    product = await info.context.one("products", root["productId"])
    image = await info.context.one("baseImages", root["baseImageId"]) if root["baseImageId"] else None
    return _link(links.branch(product["key"], root, image and image["operatingSystem"])) if product else None


def _base_image(root: strawberry.Parent[Document]) -> Any:
    return _link(links.base_image(root["baseImageId"])) if root["baseImageId"] else None


def _registry(root: strawberry.Parent[Document]) -> Any:
    return _link(links.registry(root["registryId"])) if root["registryId"] else None


def _pipeline(root: strawberry.Parent[Document]) -> Any:
    return _link(links.pipeline(root["catalogId"], root["pipelineId"])) if root["pipelineId"] else None


async def _latest(root: strawberry.Parent[Document], info: Info) -> Any:
    release = await info.context.latest_beside(root)
    return to_release(release) if release else None


async def _dependencies(root: strawberry.Parent[Document], info: Info, first: int | None = 100) -> Any:
    found = await info.context.needed(root, pages.window(first, default=100).size)
    return [to_release(release) for release in found]


async def _dependants(root: strawberry.Parent[Document], info: Info, first: int | None = 100) -> Any:
    question = await info.context.dependants(root, pages.window(first, default=100))
    return [to_release(release) for release in (await info.context.pages.load(question)).rows]


@strawberry.type(description="Where a release and what it refers to are answered as HAL (S5).")
class ReleaseLinks:
    self: Link = strawberry.field(resolver=_self, description="This release.")
    catalog: Link = strawberry.field(resolver=_catalog, description="Its catalog.")
    application: Link = strawberry.field(resolver=_application, description="Its product in that catalog.")
    product: Link | None = strawberry.field(
        resolver=_product, description="Its product on its branch; null without a branch."
    )
    base_image: Link | None = strawberry.field(resolver=_base_image, description="The image it is built upon.")
    registry: Link | None = strawberry.field(resolver=_registry, description="The registry it is pushed to.")
    pipeline: Link | None = strawberry.field(resolver=_pipeline, description="The pipeline that made it.")
    latest_release: Link | None = strawberry.field(
        resolver=_latest, description="The latest release of the same product, channel and branch."
    )
    dependencies: list[Link] = strawberry.field(
        resolver=_dependencies, description="The releases that its first references lead to, at most 100."
    )
    dependants: list[Link] = strawberry.field(
        resolver=_dependants, description="The newest releases that need it, at most 100."
    )
