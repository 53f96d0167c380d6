"""An endpoint written by hand for each workload: Starlette, PyMongo Async and orjson, the practical limit.

Each answers with the same JSON as the GraphQL servers do for the workload's query.
"""

import asyncio
from typing import Any

import orjson
from pymongo import ReturnDocument, WriteConcern
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import catalog
from catalog import KEY, TENANT, Document, cursor, database, href, only, written
from release_catalog.domain import events, instants
from release_catalog.domain import release as releases
from release_catalog.domain.caller import local
from release_catalog.store import terms

POINT = only(f"id catalogId productId name version status createdAt {catalog.LINKED}")
LISTED = only(catalog.LISTED)
NODE = only(catalog.IDENTITY)
DEPENDANT = only("id name version createdAt productId")
FOUND = only("id name version author createdAt")
PRODUCT = only("id key name")
NEWEST = [("createdAt", -1), ("id", -1)]
BY_NAME = [("name", 1), ("id", 1)]


def answer(data: Any) -> Response:
    """The response that holds `data`."""
    return Response(orjson.dumps({"data": data}), media_type="application/json")


async def typename(_: Request) -> Response:
    """`{ __typename }`."""
    return answer({"__typename": "Query"})


async def point(request: Request) -> Response:
    """A release with its links."""
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
    """50 releases with 20 fields each."""
    rows, info = await _newest([{"tenantId": TENANT}], request, 50, LISTED, "created")
    products = await _products(rows)
    nodes = [
        {
            "id": r["id"],
            "name": r["name"],
            "version": r["version"],
            "revision": r["revision"],
            "tag": r["tag"],
            "channel": r["channel"],
            "status": r["status"],
            "published": r["status"] == "PUBLISHED",
            "publishedAt": written(r["publishedAt"]),
            "private": r["private"],
            "archived": r["status"] == "ARCHIVED",
            "author": r["author"],
            "trial": r["trial"],
            "createdAt": written(r["createdAt"]),
            "updatedAt": written(r["updatedAt"]),
            "etag": r["etag"],
            "artifactCount": len(r["artifacts"]),
            "artifacts": r["artifacts"],
            "product": products[r["productId"]],
            "_links": {
                "self": {"href": href("catalogs", r["catalogId"], "releases", r["id"])},
                "catalog": {"href": href("catalogs", r["catalogId"])},
                "application": {"href": href("catalogs", r["catalogId"], "applications", r["productId"])},
            },
        }
        for r in rows
    ]
    return answer({"releases": {"nodes": nodes, "pageInfo": info}})


async def nested(request: Request) -> Response:
    """20 releases with what they need, and what that needs."""
    rows, _ = await _newest([{"tenantId": TENANT}], request, 20, NODE, "created")
    first = await _needed(rows)
    second = await _needed(list(first.values()))

    def node(r: Document, found: list[Document]) -> Document:
        shown = {"id": r["id"], "name": r["name"], "version": r["version"]}
        return {**shown, "dependencies": {"nodes": found}}

    def leaf(r: Document) -> Document:
        return {"id": r["id"], "name": r["name"], "version": r["version"]}

    nodes = [node(r, [node(n, [leaf(m) for m in _reached(n, second)]) for n in _reached(r, first)]) for r in rows]
    return answer({"releases": {"nodes": nodes}})


async def _needed(rows: list[Document]) -> dict[str, Document]:
    wanted = list({needed["reference"] for r in rows for needed in r["dependencies"][:100]})
    found = database.releases.find(catalog.answering(wanted), NODE, hint="terms")
    best = catalog.winners(await found.to_list())
    return {reference: best[reference] for reference in wanted if reference in best}


def _reached(r: Document, found: dict[str, Document]) -> list[Document]:
    return [found[n["reference"]] for n in r["dependencies"][:100] if n["reference"] in found]


async def hub(request: Request) -> Response:
    """50 releases that need one that many need."""
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
            "id": d["id"],
            "name": d["name"],
            "version": d["version"],
            "createdAt": written(d["createdAt"]),
            "product": products[d["productId"]],
        }
        for d in rows
    ]
    return answer(
        {"release": {"id": r["id"], "name": r["name"], "dependants": {"nodes": nodes, "pageInfo": info}}}
    )


async def filtered(request: Request) -> Response:
    """The first 20 by name of an author's releases since an instant, and how many there are."""
    given = request.query_params
    match = {"tenantId": TENANT, "terms": f"author:{given['author']}"}
    match["createdAt"] = {"$gte": catalog.read(given["createdFrom"])}
    found, count = await asyncio.gather(
        database.releases.find(match, FOUND, hint="terms").sort(BY_NAME).limit(21).to_list(),
        database.releases.count_documents(match, hint="terms"),
    )
    nodes = [{**r, "createdAt": written(r["createdAt"])} for r in found[:20]]
    return answer({"releases": {"totalCount": count, "nodes": nodes, "pageInfo": _info("NAME", found, 20)}})


async def create(request: Request) -> Response:
    """A new release: the document, its event and the event's number in one transaction."""
    given = orjson.loads(await request.body())
    product = await database.products.find_one({"_id": KEY + given["productId"]}) or {}
    now = instants.now()
    made = {"size": 1024, "sha256": given["sha256"], "downloadUrl": "https://downloads.example/file"}
    file = releases.artifact(now, name="file", **made)
    needed = [{"name": given["needed"], "version": given["neededVersion"]}]
    names = ("name", "version")
    new = releases.document(
        TENANT, product, *(given[name] for name in names), now, artifacts=[file], dependencies=needed
    )

    async def work(session: Any) -> None:
        await database.releases.insert_one(terms.stored(local(TENANT), new), session=session)
        counter = await database.counters.find_one_and_update(
            {"_id": KEY + "events"},
            {"$inc": {"value": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        event = {"_id": f"{KEY}{counter['value']:016d}", "tenantId": TENANT, "sequence": counter["value"]}
        event |= {"type": "RELEASE_CREATED", "triggeredAt": now, "releaseId": new["id"]}
        await database.events.insert_one({**event, "data": orjson.dumps(events.of(new)).decode()}, session=session)

    async with catalog.client.start_session() as session:
        await session.with_transaction(work, write_concern=WriteConcern("majority"))
    shown = {name: new[name] for name in (*names, "status")}
    return answer({"createRelease": {"release": shown, "problem": None}})


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
app = Starlette(
    routes=[
        *(Route(f"/{endpoint.__name__}", endpoint) for endpoint in READS),
        Route("/create", create, methods=["POST"]),
    ]
)

if __name__ == "__main__":
    catalog.serve(app)
