"""S5: the paths at which the server answers for a release and for what it refers to."""

import urllib.parse
from collections.abc import Mapping
from typing import Any


def _path(*segments: str) -> str:
    return "/" + "/".join([_quoted(segment) for segment in segments])


def _quoted(segment: str) -> str:
    # Most ids have nothing to quote, and a page of releases has hundreds of links.
    is_plain = segment.isalnum() and segment.isascii()
    return segment if is_plain else urllib.parse.quote(segment, safe="")


def catalog(catalog_id: str) -> str:
    """A catalog."""
    return _path("v1", "catalogs", catalog_id)


def release(catalog_id: str, release_id: str) -> str:
    """A release of a catalog."""
    return _path("v1", "catalogs", catalog_id, "releases", release_id)


def application(catalog_id: str, product_id: str) -> str:
    """A product of a catalog; S5 calls it an application."""
    return _path("v1", "catalogs", catalog_id, "applications", product_id)


def pipeline(catalog_id: str, pipeline_id: str) -> str:
    """The pipeline that makes releases of a catalog."""
    return _path("v1", "catalogs", catalog_id, "pipelines", pipeline_id)


def base_image(base_image_id: str) -> str:
    """A base image."""
    return _path("v1", "base-images", base_image_id)


def registry(registry_id: str) -> str:
    """A registry."""
    return _path("v1", "registries", registry_id)


def branch(key: str, source: Mapping[str, Any], operating_system: Mapping[str, Any] | None = None) -> str | None:
    """The product `key` on the branch of a release, with its packaging and distribution; None without one."""
    if not source["branch"]:
        return None
    asked = {"packaging": source["packagingType"]}
    if operating_system and operating_system["distro"]:
        asked["distro"] = "-".join(filter(None, (operating_system["distro"], operating_system["version"])))
    query = urllib.parse.urlencode({name: value for name, value in asked.items() if value})
    path = _path("v1", "applications", "product", key, "branch", source["branch"])
    return f"{path}?{query}" if query else path
