"""The links of a release (S5): one table for GraphQL and HAL."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from release_catalog.domain import hal_urls
from release_catalog.domain.reference_data import BaseImageDocument, ProductDocument, RegistryDocument
from release_catalog.domain.release import ReleaseDocument


class Related(TypedDict, total=False):
    """The documents that belong to a release, by the name of the relation; None if one is missing."""

    product: ProductDocument | None
    baseImage: BaseImageDocument | None
    registry: RegistryDocument | None
    latest: ReleaseDocument | None


@dataclasses.dataclass(frozen=True)
class ReleaseLink:
    """A link of a release to one document."""

    description: str
    # Returns the path from the release and its related documents; None if there is nothing to link to.
    path: Callable[[ReleaseDocument, Related], str | None]
    # The fields of the release that `path` reads.
    reads: tuple[str, ...]
    # The related documents that `path` reads.
    related: frozenset[str] = frozenset()
    # A field without whose value there is no link, so that nothing need be read.
    only_with: str | None = None


def _in_catalog(path: Callable[[str, str], str], field: str, description: str) -> ReleaseLink:
    """Return a link whose path is made of the catalog and the id in `field`; null without an id."""

    def of(release: ReleaseDocument, _: Related) -> str | None:
        fields: Mapping[str, Any] = release
        return path(release["catalogId"], fields[field]) if fields[field] else None

    return ReleaseLink(description, of, ("catalogId", field))


def _by_id(path: Callable[[str], str], field: str, description: str) -> ReleaseLink:
    """Return a link whose path is made of the id in `field`; null without an id."""

    def of(release: ReleaseDocument, _: Related) -> str | None:
        fields: Mapping[str, Any] = release
        return path(fields[field]) if fields[field] else None

    return ReleaseLink(description, of, (field,))


def _product(release: ReleaseDocument, related: Related) -> str | None:
    product, image = related["product"], related["baseImage"]
    return hal_urls.branch(product["key"], release, image and image["operatingSystem"]) if product else None


def _latest(_: ReleaseDocument, related: Related) -> str | None:
    latest = related["latest"]
    return hal_urls.release(latest["catalogId"], latest["id"]) if latest else None


# By their name in HAL documents.
LINKS: Mapping[str, ReleaseLink] = {
    "self": _in_catalog(hal_urls.release, "id", "The release."),
    "catalog": _by_id(hal_urls.catalog, "catalogId", "Catalog of the release."),
    "application": _in_catalog(hal_urls.application, "productId", "Product of the release in its catalog."),
    "product": ReleaseLink(
        "Product of the release on its branch. Null without a branch.",
        _product,
        ("branch", "productId", "baseImageId", "packagingType"),
        frozenset({"product", "baseImage"}),
        "branch",
    ),
    "base_image": _by_id(hal_urls.base_image, "baseImageId", "Base image that the release is built on."),
    "registry": _by_id(hal_urls.registry, "registryId", "Registry that the release is pushed to."),
    "pipeline": _in_catalog(hal_urls.pipeline, "pipelineId", "Pipeline that made the release."),
    "latest_release": ReleaseLink(
        "Latest release of the same product, channel and branch.",
        _latest,
        ("productId", "channel", "branch"),
        frozenset({"latest"}),
    ),
}
