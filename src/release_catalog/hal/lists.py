"""The entry point of the HAL documents, and the lists of catalogs, releases and products behind it."""

import asyncio
from collections.abc import Mapping
from typing import Any

from release_catalog.domain import hal_urls
from release_catalog.domain.hal_urls import link
from release_catalog.hal.handlers import HalDocument, HalRequest
from release_catalog.hal.links import listed
from release_catalog.hal.serializers import reading
from release_catalog.storage import records, releases
from release_catalog.storage.collection_names import CATALOGS
from release_catalog.storage.cursors import FieldPaths

OPENAPI, SCHEMA = "/openapi.json", "/schema.graphql"
# The fields that make the title of a link.
_NAMED: FieldPaths = frozenset({"id", "catalogId", "name"})
_TITLED: FieldPaths = frozenset({"id", "catalogId", "name", "version"})


async def entry_point(_: HalRequest, *, has_schema: bool = True) -> HalDocument:
    """Return the links from which a client finds everything else."""
    schema = {"schema": link(SCHEMA, "GraphQL schema")} if has_schema else {}
    return {
        "_links": {
            "self": link(hal_urls.ENTRY_POINT),
            "catalogs": link(hal_urls.CATALOGS, "Catalogs"),
            "release": {"href": hal_urls.ANY_RELEASE, "templated": True},
            "promotion": {"href": hal_urls.ANY_PROMOTION, "templated": True},
            **schema,
            "service-desc": link(OPENAPI, "OpenAPI document"),
        }
    }


async def catalogs(request: HalRequest) -> HalDocument:
    """Return a page of links to catalogs, by name."""
    context = request.context
    question = records.by_name(context.caller, CATALOGS, request.window)
    rows, own = await listed(context, question, hal_urls.CATALOGS, request.query, _NAMED)
    links = [_titled("Catalog", catalog, hal_urls.catalog(catalog["id"]), "name") for catalog in rows]
    return {"_links": {**own, "catalogs": links}}


async def catalog_releases(request: HalRequest) -> HalDocument:
    """Return a page of links to the releases of a catalog, the newest first."""
    context, id_ = request.context, request.path["catalog"]
    question = await releases.search(context.caller, context.database, {"catalogId": id_}, request.window)
    found, (rows, own) = await asyncio.gather(
        request.catalog(), listed(context, question, hal_urls.releases(id_), request.query, _TITLED)
    )
    links = [
        _titled("Release", release, hal_urls.release(id_, release["id"]), "name", "version") for release in rows
    ]
    beside = {"catalog": link(hal_urls.catalog(id_)), "applications": link(hal_urls.applications(id_))}
    return {"_links": {**own, **beside, "releases": links}} if found else None


async def catalog_applications(request: HalRequest) -> HalDocument:
    """Return a page of links to the products of a catalog, by key."""
    context, id_ = request.context, request.path["catalog"]
    question = records.products(context.caller, request.window, id_)
    found, (rows, own) = await asyncio.gather(
        request.catalog(), listed(context, question, hal_urls.applications(id_), request.query, _NAMED)
    )
    links = [_titled("Product", product, hal_urls.application(id_, product["id"]), "name") for product in rows]
    beside = {"catalog": link(hal_urls.catalog(id_)), "releases": link(hal_urls.releases(id_))}
    return {"_links": {**own, **beside, "applications": links}} if found else None


def _titled(kind: str, document: Mapping[str, Any], path: str, *title: str) -> dict[str, str]:
    """Return a link to a document, with the texts of these fields as title."""
    with reading(kind, document["id"]):
        return link(path, " ".join([document[name] for name in title]))
