"""The handlers behind each link of S5, and behind the address of S3's promotion records."""

import asyncio
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.requests import Request

from release_catalog.domain import hal_urls, timestamps
from release_catalog.domain.hal_urls import link
from release_catalog.domain.promotion import PromotionDocument
from release_catalog.domain.reference_data import CatalogDocument, ProductDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_parts import RegistryArtifactDocument
from release_catalog.errors import InvalidArgument
from release_catalog.hal import serializers
from release_catalog.hal.downloads import Download
from release_catalog.hal.links import LATEST, LINKED, PAGE, SHOWN, ReleaseRelations, address, listed, related
from release_catalog.hal.serializers import reading
from release_catalog.query_engine.context import Context
from release_catalog.storage import records, releases
from release_catalog.storage.collection_names import (
    BASE_IMAGES,
    CATALOGS,
    PIPELINES,
    PRODUCTS,
    REGISTRIES,
    RELEASES,
)
from release_catalog.storage.pagination import MAX_CURSOR, PageArgs
from release_catalog.storage.records import MAX_DISTRO

# The JSON of a response; None if there is nothing at its address.
HalDocument = dict[str, Any] | None
# By the ids of their releases.
Packages = Mapping[str, RegistryArtifactDocument]


# Names and ids have at most 256 characters; longer ones can't be part of an address here.
MAX_SEGMENT = 256
# The query parameters, with the maximum number of characters of each. Others are ignored.
PARAMETERS = {
    "expand_relationships": 5,
    "after": MAX_CURSOR,
    "dependencies_after": MAX_CURSOR,
    "dependants_after": MAX_CURSOR,
    "packaging": 64,
    "distro": MAX_DISTRO,
    "repository_key": MAX_SEGMENT,
    "project": MAX_SEGMENT,
}


class HalRequest:
    """A request for a document: the decoded parts of its path, its parameters and its context."""

    def __init__(self, request: Request, context: Context) -> None:
        """Raise InvalidArgument if a part of the path or a parameter is longer than any that exists."""
        self.context = context
        self.path = {
            name: _limited(name, urllib.parse.unquote(value), MAX_SEGMENT)
            for name, value in request.path_params.items()
        }
        self.query: Mapping[str, str] = {
            name: _limited(name, request.query_params[name], limit)
            for name, limit in PARAMETERS.items()
            if name in request.query_params
        }

    def flag(self, name: str) -> bool:
        """Return a parameter that is true or false; false if it is absent."""
        text = self.query.get(name, "false")
        if text not in {"true", "false"}:
            raise InvalidArgument(name, f"{text!r} is not a boolean: give true or false.")
        return text == "true"

    @property
    def window(self) -> PageArgs:
        """Return the requested page of a list."""
        return PageArgs(PAGE, self.query.get("after"))

    async def catalog(self) -> CatalogDocument | None:
        """Return the catalog named in the path."""
        return await self.context.one(CATALOGS, self.path["catalog"])

    async def product(self, id_: str) -> ProductDocument | None:
        """Return a product of the catalog named in the path."""
        found = await self.context.one(PRODUCTS, id_)
        return found if found and found["catalogId"] == self.path["catalog"] else None


def _limited(name: str, text: str, limit: int) -> str:
    if len(text) > limit:
        raise InvalidArgument(name, f"the text has {len(text)} characters: give at most {limit}.")
    return text


async def release(request: HalRequest) -> HalDocument:
    """Return a release, with its relationships embedded if `expand_relationships` is true."""
    expand, id_ = request.flag("expand_relationships"), request.path["release"]
    [found] = await request.context.by_ids(RELEASES).load_many([id_], SHOWN)
    if not found or found["catalogId"] != request.path["catalog"]:
        return None
    with reading("Release", id_):
        whole = await related(request.context, found, request.query, SHOWN if expand else LINKED)
        embedded = [*whole.needed, *whole.needing] if expand else []
        packages = await _packages(request.context, [found, *embedded])
        answer = serializers.release(found, whole.refers_to, whole.links(), packages.get(found["id"]))
    if expand:
        answer["dependencies"], answer["dependants"] = await asyncio.gather(
            _embedded(request.context, whole.needed, packages), _embedded(request.context, whole.needing, packages)
        )
    return answer


async def download(request: HalRequest) -> Download | None:
    """Return a file of a release for its download."""
    keys = frozenset({"catalogId", "artifacts.id", "artifacts.downloadUrl", "artifacts.secured"})
    [found] = await request.context.by_ids(RELEASES).load_many([request.path["release"]], keys)
    if not found or found["catalogId"] != request.path["catalog"]:
        return None
    with reading("Release", request.path["release"]):
        for file in found["artifacts"]:
            if file["id"] == request.path["file"]:
                return Download(request.path["release"], file["id"], file["downloadUrl"], file["secured"])
    return None


async def _packages(context: Context, some: Sequence[ReleaseDocument]) -> Packages:
    """Return the packages that replace those of the releases that have none in a registry."""
    without = [release for release in some if not release["registryArtifact"]]
    return await releases.first_packages(context.caller, context.reading, without)


async def _embedded(
    context: Context, some: Sequence[ReleaseDocument], packages: Packages
) -> list[orjson.Fragment]:
    """Return releases as JSON texts; write and count each by itself, while other requests are served."""
    texts = []
    for one in await asyncio.gather(*(_related(context, release) for release in some)):
        package = packages.get(one.release["id"])
        written = serializers.release(one.release, one.refers_to, one.links(), package)
        texts.append(context.usage.send_json(written))
        await asyncio.sleep(0)
    return texts


async def _related(context: Context, release: ReleaseDocument) -> ReleaseRelations:
    with reading("Release", release["id"]):
        return await related(context, release)


async def catalog(request: HalRequest) -> HalDocument:
    """Return a catalog with links to its products."""
    found = await request.catalog()
    if not found:
        return None
    question = records.products(request.context.caller, request.window, found["id"])
    rows, own = await listed(request.context, question, hal_urls.catalog(found["id"]), request.query)
    return {
        **serializers.catalog(found),
        "_links": {
            **own,
            "releases": link(hal_urls.releases(found["id"])),
            "applications": [link(hal_urls.application(found["id"], product["id"])) for product in rows],
        },
    }


async def application(request: HalRequest) -> HalDocument:
    """Return a product with links to its releases, the newest first."""
    found, context = await request.product(request.path["application"]), request.context
    if not found:
        return None
    match = {"productId": found["id"]}
    question = await releases.search(context.caller, context.database, match, request.window)
    path = hal_urls.application(found["catalogId"], found["id"])
    (rows, own), latest = await asyncio.gather(
        listed(context, question, path, request.query),
        context.narrowed({RELEASES: LATEST}).first(releases.latest(context.caller, found["id"], channel="stable")),
    )
    return {
        "id": found["id"],
        "catalog_id": found["catalogId"],
        **serializers.product(found),
        **({"latest_release": serializers.release_summary(latest)} if latest else {}),
        "_links": {
            **own,
            "catalog": link(hal_urls.catalog(found["catalogId"])),
            **({"latest_release": serializers.link_to_release(latest)} if latest else {}),
            "releases": [serializers.link_to_release(row) for row in rows],
        },
    }


async def product_branch(request: HalRequest) -> HalDocument:
    """Return a product on one of its branches, with the latest release there."""
    context, distro = request.context, request.query.get("distro")
    known = await records.products_by_key(context.caller, context.database, request.path["key"])
    if not known:
        return None
    images = await records.images_of(context.caller, context.database, distro) if distro else None
    if images == []:
        return None
    found = await asyncio.gather(*(_on_branch(request, product, images) for product in known))
    there = [(product, latest) for product, (newest, latest) in zip(known, found, strict=True) if newest]
    if not there:
        return None
    product, latest = next((pair for pair in there if pair[1]), there[0])
    path = str(hal_urls.branch(product["key"], {"branch": request.path["branch"], "packagingType": None}))
    return {
        **serializers.product(product),
        "branch": request.path["branch"],
        **({"latest_release": serializers.release_summary(latest)} if latest else {}),
        "_links": {
            "self": link(address(path, request.query, "packaging", "distro")),
            "catalog": link(hal_urls.catalog(product["catalogId"])),
            "application": link(hal_urls.application(product["catalogId"], product["id"])),
            **({"latest_release": serializers.link_to_release(latest)} if latest else {}),
        },
    }


async def _on_branch(
    request: HalRequest, product: ProductDocument, images: Sequence[str] | None
) -> tuple[ReleaseDocument | None, ReleaseDocument | None]:
    """Return any release of `product` on the branch, and the latest published one; None if missing."""
    context = request.context.narrowed({RELEASES: LATEST})
    name, packaging = request.path["branch"], request.query.get("packaging") or None
    match = {"productId": product["id"], "branch": name, "packagingType": packaging and [packaging]}
    latest = releases.latest(
        context.caller, product["id"], channel=None, packaging=packaging, base_images=images, branch=name
    )
    return await asyncio.gather(
        context.first(await releases.search(context.caller, context.database, match, PageArgs(1))),
        context.first(latest),
    )


async def pipeline(request: HalRequest) -> HalDocument:
    """Return a pipeline, seen from a catalog."""
    found, of = await asyncio.gather(request.context.one(PIPELINES, request.path["pipeline"]), request.catalog())
    if not found or not of:
        return None
    own = {"self": link(hal_urls.pipeline(of["id"], found["id"])), "catalog": link(hal_urls.catalog(of["id"]))}
    return {**serializers.pipeline(found), "_links": own}


async def base_image(request: HalRequest) -> HalDocument:
    """Return a base image."""
    found = await request.context.one(BASE_IMAGES, request.path["image"])
    return found and {**serializers.base_image(found), "_links": {"self": link(hal_urls.base_image(found["id"]))}}


async def registry(request: HalRequest) -> HalDocument:
    """Return a registry."""
    found = await request.context.one(REGISTRIES, request.path["registry"])
    return found and {**serializers.registry(found), "_links": {"self": link(hal_urls.registry(found["id"]))}}


async def promotion(request: HalRequest) -> HalDocument:
    """Return the record of a promotion that took effect (S3), if it fits the project and the repository key."""
    try:
        created = timestamps.parse_rfc3339_or_millis(request.path["created"])
    except ValueError as error:
        raise InvalidArgument("created", str(error)) from error
    context, path = request.context, request.path
    found = await records.promotion(context.caller, context.database, path["name"], path["version"], created)
    if found is None or found["status"] == "REJECTED":
        return None
    if (key := request.query.get("repository_key")) and key not in serializers.repository_keys(found):
        return None
    if (project := request.query.get("project")) and not await _is_of_project(context, found, project):
        return None
    undone = found["status"] == "ROLLED_BACK" or await records.is_rolled_back(
        context.caller, context.database, found["id"]
    )
    return {**serializers.promotion(found), **({"status": "ROLLED_BACK"} if undone else {})}


async def _is_of_project(context: Context, record: PromotionDocument, project: str) -> bool:
    """Return whether a record is of the product with this id, key or name."""
    [release] = await context.by_ids(RELEASES).load_many([record["releaseId"]], frozenset({"productId"}))
    of = release and await context.one(PRODUCTS, release["productId"])
    return of is not None and project in {of["id"], of["key"], of["name"]}
