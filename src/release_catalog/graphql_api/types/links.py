"""The links of a release (S5): every href is answered by this server as application/hal+json."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import strawberry

from release_catalog.domain import hal_urls
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_links import LINKS, ReleaseLink
from release_catalog.graphql_api.fields import First, batched_field, computed_field, field, projects
from release_catalog.query_engine.context import Context, Info
from release_catalog.query_engine.field_source import reads
from release_catalog.storage import pagination
from release_catalog.storage.collection_names import (
    BASE_IMAGES,
    PRODUCTS,
    RELEASES,
    CollectionName,
    StoredDocument,
)
from release_catalog.storage.cursors import FieldPaths


@strawberry.type(description="A link in HAL (Hypertext Application Language).")
class Link:
    href: str = field("Path on this server.")


_OF_LINK = ("catalogId", "id")
# The id of a related document in the release, its collection, and the fields that links read of it.
_RELATED: Mapping[str, tuple[str, CollectionName[Any], FieldPaths]] = {
    "product": ("productId", PRODUCTS, frozenset({"key"})),
    "baseImage": ("baseImageId", BASE_IMAGES, frozenset({"operatingSystem"})),
}


def _link(name: str) -> Any:
    """Declare the link of the table under `name`."""
    link = LINKS[name]
    if not link.related:
        return computed_field(lambda release: _to(link.path(release, {})), link.description, keys=link.reads)

    async def many(context: Context, releases: Sequence[ReleaseDocument], _: FieldPaths) -> Any:
        there = [release for release in releases if _is_there(link, release)]
        related = iter(await _load_related(context, link, there))
        return [
            _to(link.path(release, next(related))) if _is_there(link, release) else None for release in releases
        ]

    return batched_field(many, link.description, reads(*link.reads))


def _is_there(link: ReleaseLink, release: StoredDocument) -> bool:
    return not link.only_with or bool(release[link.only_with])


def _to(path: str | None) -> dict[str, str] | None:
    return hal_urls.link(path) if path else None


async def _load_related(context: Context, link: ReleaseLink, releases: Sequence[ReleaseDocument]) -> Any:
    """Return the related documents that `link` reads, for each release."""
    names = sorted(link.related)
    loads = (_load(context, name, releases) for name in names) if releases else ()
    return [dict(zip(names, found, strict=True)) for found in zip(*await asyncio.gather(*loads), strict=True)]


async def _load(
    context: Context, name: str, releases: Sequence[ReleaseDocument]
) -> Sequence[StoredDocument | None]:
    if name == "latest":
        return await context.latest_beside_each(releases, frozenset(_OF_LINK))
    key, collection, paths = _RELATED[name]
    fields: Sequence[StoredDocument] = releases
    ids = [release[key] for release in fields]
    present = [id_ for id_ in ids if id_]
    loaded = dict(zip(present, await context.by_ids(collection).load_many(present, paths), strict=True))
    return [loaded.get(id_) for id_ in ids]


async def _dependencies(root: strawberry.Parent[ReleaseDocument], info: Info, first: First = 100) -> Any:
    found = await info.context.needed(root, pagination.window(first, default=100).size)
    return [hal_urls.to_release(release) for release in found]


async def _dependants(root: strawberry.Parent[ReleaseDocument], info: Info, first: First = 100) -> Any:
    question = await info.context.dependants(root, pagination.window(first, default=100))
    return [hal_urls.to_release(release) for release in (await info.context.page(question)).rows]


@strawberry.type(
    description="Links to a release and its related documents, answered as application/hal+json (S5)."
)
class ReleaseLinks:
    self: Link = _link("self")
    catalog: Link = _link("catalog")
    application: Link = _link("application")
    product: Link | None = _link("product")
    base_image: Link | None = _link("base_image")
    registry: Link | None = _link("registry")
    pipeline: Link | None = _link("pipeline")
    latest_release: Link | None = _link("latest_release")
    dependencies: list[Link] = strawberry.field(
        resolver=_dependencies,
        metadata=projects(RELEASES, *_OF_LINK, keys=reads("dependencies.reference")),
        description="Links to the releases that the first references resolve to, at most 100.",
    )
    dependants: list[Link] = strawberry.field(
        resolver=_dependants,
        metadata=projects(RELEASES, *_OF_LINK, keys=reads("id", "catalogId", "name", "version")),
        description="Links to the newest releases that need this one, at most 100.",
    )
