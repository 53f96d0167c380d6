"""S5: the paths of a release and of the resources that it refers to."""

import functools
import urllib.parse
from typing import TypedDict

from release_catalog.domain.reference_data import OperatingSystemDocument

ENTRY_POINT = "/v1"
CATALOGS = "/v1/catalogs"
# URI Template (RFC 6570).
ANY_RELEASE = "/v1/catalogs/{catalog}/releases/{release}{?expand_relationships}"
# S3
ANY_PROMOTION = "/lifecycle/api/v2/promotion/records/{name}/{version}/{created}"


class ReleaseAddress(TypedDict):
    """The fields of a release that its path is made of."""

    id: str
    catalogId: str


class BranchAddress(TypedDict):
    """The fields of a release that the path of its branch is made of."""

    branch: str | None
    packagingType: str | None


def _quoted(segment: str) -> str:
    # Most ids have nothing to quote, and a page of releases has hundreds of links.
    return segment if segment.isascii() and segment.isalnum() else urllib.parse.quote(segment, safe="")


@functools.lru_cache(1_000)
def catalog(catalog_id: str) -> str:
    """Return the path of a catalog."""
    return f"{CATALOGS}/{_quoted(catalog_id)}"


def releases(catalog_id: str) -> str:
    """Return the path of the list of a catalog's releases."""
    return f"{catalog(catalog_id)}/releases"


def applications(catalog_id: str) -> str:
    """Return the path of the list of a catalog's products."""
    return f"{catalog(catalog_id)}/applications"


def release(catalog_id: str, release_id: str) -> str:
    """Return the path of a release in a catalog."""
    return f"{releases(catalog_id)}/{_quoted(release_id)}"


def link(href: str, title: str | None = None) -> dict[str, str]:
    """Return a link of the Hypertext Application Language."""
    return {"href": href} if title is None else {"href": href, "title": title}


def to_release(source: ReleaseAddress) -> dict[str, str]:
    """Return the link to a release."""
    return link(release(source["catalogId"], source["id"]))


def application(catalog_id: str, product_id: str) -> str:
    """Return the path of a product in a catalog; S5 calls it an application."""
    return f"{applications(catalog_id)}/{_quoted(product_id)}"


def pipeline(catalog_id: str, pipeline_id: str) -> str:
    """Return the path of the pipeline that makes releases of a catalog."""
    return f"{catalog(catalog_id)}/pipelines/{_quoted(pipeline_id)}"


def base_image(base_image_id: str) -> str:
    """Return the path of a base image."""
    return f"/v1/base-images/{_quoted(base_image_id)}"


def registry(registry_id: str) -> str:
    """Return the path of a registry."""
    return f"/v1/registries/{_quoted(registry_id)}"


def branch(key: str, source: BranchAddress, operating_system: OperatingSystemDocument | None = None) -> str | None:
    """Return the path of a product on a release's branch, with packaging and distribution; None without one."""
    if not source["branch"]:
        return None
    parameters = {"packaging": source["packagingType"]}
    if operating_system and operating_system["distro"]:
        parameters["distro"] = "-".join(filter(None, (operating_system["distro"], operating_system["version"])))
    query = urllib.parse.urlencode({name: value for name, value in parameters.items() if value})
    path = f"/v1/applications/product/{_quoted(key)}/branch/{_quoted(source['branch'])}"
    return f"{path}?{query}" if query else path
