"""An endpoint written by hand for each workload: Starlette, PyMongo Async and orjson, the practical limit.

Each answers with the same JSON as the GraphQL servers do for the workload's query.
"""

import asyncio
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import catalog
import handwritten_create
from catalog import KEY, TENANT, Document, cursor, database, href, only, written

POINT = only(f"id catalogId productId name version status createdAt {catalog.LINKED}")
LISTED = only(catalog.LISTED)
NODE = only(catalog.IDENTITY)
DEPENDANT = only("id name version createdAt productId")
FOUND = only("id name version author createdAt")
PRODUCT = only("id key name")
NEWEST = [("createdAt", -1), ("id", -1)]
BY_NAME = [("name", 1), ("id", 1)]


def answer(data: Any) -> Response:
    """Return the response that holds `data`."""
    return Response(orjson.dumps({"data": data}), media_type="application/json")


async def typename(_: Request) -> Response:
    """Answer `{ __typename }`."""
    return answer({"__typename": "Query"})


async def point(request: Request) -> Response:
    """Return a release with its links."""
    match = {"_id": KEY + request.query_params["id"], "tenantId": TENANT}
    r = await database.releases.find_one(match, POINT)
    if r is None:
        return answer({"release": None})
    links = {
        "self": {"href": href("catalogs", r["catalogId"], "releases", r["id"])},
        "catalog": {"href": href("catalogs", r["catalogId"])},
        "application": {"href": href("catalogs", r["catalogId"], "applications", r["productId"])},
        "product": {"href": await _on_branch(r)} if r["branch"] else None,
        "registry": {"href": href("registries", r["registryId"])} if r["registryId"] else None,
        "baseImage": {"href": href("base-images", r["baseImageId"])} if r["baseImageId"] else None,
    }
    shown = {name: r[name] for name in ("id", "name", "version", "status")}
    return answer({"release": {**shown, "createdAt": written(r["createdAt"]), "_links": links}})


async def _on_branch(r: Document) -> str:
    product = await database.products.find_one({"_id": KEY + r["productId"]})
    image = await database.baseImages.find_one({"_id": KEY + r["baseImageId"]}) if r["baseImageId"] else None
    return catalog.branch_href(r, product or {}, image)


async def page(request: Request) -> Response:
    """Return 50 releases with 20 fields each."""
    rows, info = await _newest([{"tenantId": TENANT}], request, 50, LISTED, "created")
    products = await _products(rows)
    nodes = [
        {
            "id": r["id"], "name": r["name"], "version": r["version"], "revision": r["revision"], "tag": r["tag"],
            "channel": r["channel"], "trial": r["trial"], "status": r["status"],
            "published": r["status"] == "PUBLISHED", "publishedAt": written(r["publishedAt"]),
            "private": r["private"], "archived": r["status"] == "ARCHIVED", "author": r["author"],
            "createdAt": written(r["createdAt"]), "updatedAt": written(r["updatedAt"]), "etag": r["etag"],
            "artifactCount": len(r["artifacts"]), "artifacts": r["artifacts"],
            "product": products[r["productId"]],
            "_links": {
                "self": {"href": href("catalogs", r["catalogId"], "releases", r["id"])},
                "catalog": {"href": href("catalogs", r["catalogId"])},
                "application": {"href": href("catalogs", r["catalogId"], "applications", r["productId"])},
            },
        }
        for r in rows
    ]  # fmt: skip
    return answer({"releases": {"nodes": nodes, "pageInfo": info}})


async def nested(request: Request) -> Response:
    """Return 20 releases with their dependencies, and the dependencies of those."""
    rows, _ = await _newest([{"tenantId": TENANT}], request, 20, NODE, "created")
    first = await _needed(rows)
    second = await _needed(list(first.values()))

    nodes = [
        _node(r, [_node(n, [_node(m) for m in _reached(n, second)]) for n in _reached(r, first)]) for r in rows
    ]
    return answer({"releases": {"nodes": nodes}})


def _node(r: Document, needs: list[Document] | None = None) -> Document:
    shown = {"id": r["id"], "name": r["name"], "version": r["version"]}
    return shown if needs is None else {**shown, "dependencies": {"nodes": needs}}


async def _needed(rows: list[Document]) -> dict[str, Document]:
    wanted = list({needed["reference"] for r in rows for needed in r["dependencies"][:100]})
    found = database.releases.find(catalog.answering(wanted), NODE, hint="terms")
    best = catalog.winners(await found.to_list())
    return {reference: best[reference] for reference in wanted if reference in best}


def _reached(r: Document, found: dict[str, Document]) -> list[Document]:
    return [found[n["reference"]] for n in r["dependencies"][:100] if n["reference"] in found]


async def hub(request: Request) -> Response:
    """Return 50 dependants of a release that has many."""
    match = {"_id": KEY + request.query_params["id"], "tenantId": TENANT}
    r = await database.releases.find_one(match, NODE)
    if r is None:
        return answer({"release": None})
    name = catalog.by_name(r)
    rivals = await database.releases.find(catalog.answering([name]), NODE, hint="terms").to_list()
    matches = catalog.dependants(r, by_name_too=catalog.winners(rivals)[name]["id"] == r["id"])
    rows, info = await _newest(matches, request, 50, DEPENDANT, "terms")
    products = await _products(rows)
    nodes = [
        {
            "id": d["id"], "name": d["name"], "version": d["version"], "createdAt": written(d["createdAt"]),
            "product": products[d["productId"]],
        }
        for d in rows
    ]  # fmt: skip
    dependants = {"nodes": nodes, "pageInfo": info}
    return answer({"release": {"id": r["id"], "name": r["name"], "dependants": dependants}})


async def filtered(request: Request) -> Response:
    """Return the first 20 by name of an author's releases since an instant, and their total number."""
    given = request.query_params
    match = {"tenantId": TENANT, "terms": f"author:{given['author']}"}
    match["createdAt"] = {"$gte": catalog.read(given["createdFrom"])}
    found, count = await asyncio.gather(
        database.releases.find(match, FOUND, hint="terms").sort(BY_NAME).limit(21).to_list(),
        database.releases.count_documents(match, hint="terms"),
    )
    nodes = [{**r, "createdAt": written(r["createdAt"])} for r in found[:20]]
    return answer({"releases": {"totalCount": count, "nodes": nodes, "pageInfo": _info("NAME", found, 20)}})


async def _newest(
    matches: list[Document], request: Request, size: int, projection: Document, hint: str
) -> tuple[list[Document], Document]:
    after = request.query_params.get("after")
    places = catalog.beyond("CREATED_AT", "$lt", after) if after else []
    found = database.releases.find(catalog.onwards(matches, places), projection, hint=hint)
    rows = await found.sort(NEWEST).limit(size + 1).to_list()
    return rows[:size], _info("CREATED_AT", rows, size)


def _info(order: str, rows: list[Document], size: int) -> Document:
    shown = rows[:size]
    return {"hasNextPage": len(rows) > size, "endCursor": cursor(order, shown[-1]) if shown else None}


async def _products(rows: list[Document]) -> dict[str, Document]:
    keys = list({KEY + r["productId"] for r in rows})
    found = database.products.find({"_id": {"$in": keys}}, PRODUCT)
    return {product["id"]: product for product in await found.to_list()}


READS = [typename, point, page, nested, hub, filtered]
routes = [Route(f"/{endpoint.__name__}", endpoint) for endpoint in READS]
app = Starlette(routes=[*routes, Route("/create", handwritten_create.create, methods=["POST"])])

if __name__ == "__main__":
    catalog.serve(app)
