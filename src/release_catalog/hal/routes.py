"""What answers behind each link of S5, and at the address of S3's promotion records."""

import asyncio
import hashlib
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from release_catalog.domain import ids, instants, links
from release_catalog.hal import written
from release_catalog.hal.links import Related, link, listed, products, releases_of, to_release
from release_catalog.plans.context import Context
from release_catalog.problems import BadArgument, details
from release_catalog.store import records, releases
from release_catalog.store.database import Document, Unavailable

Answer = dict[str, Any] | None
_log = structlog.get_logger()


class Asked:
    """A request for a HAL document: the parts of its path, decoded, its parameters and its context."""

    def __init__(self, request: Request, context: Context) -> None:
        self.context = context
        self.path = {name: urllib.parse.unquote(value) for name, value in request.path_params.items()}
        self.query = request.query_params

    def flag(self, name: str) -> bool:
        """A parameter that is true or false; false where it is absent."""
        text = self.query.get(name, "false")
        if text not in {"true", "false"}:
            raise BadArgument(name, f"{text!r} is neither true nor false.")
        return text == "true"

    async def catalog(self) -> Document | None:
        """The catalog that the path names."""
        return await self.context.one("catalogs", self.path["catalog"])

    async def within(self, collection: str, id_: str) -> Document | None:
        """A document of the catalog that the path names."""
        found = await self.context.one(collection, id_)
        return found if found and found["catalogId"] == self.path["catalog"] else None


async def release(asked: Asked) -> Answer:
    """A release, with its relationships embedded where `expand_relationships` says so."""
    expand = asked.flag("expand_relationships")
    found = await asked.within("releases", asked.path["release"])
    if not found:
        return None
    related = await Related(found, asked.context).read(asked.query)
    answer = written.release(found, related.refers_to, related.links())
    if expand:
        embedded = await asyncio.gather(
            *(Related(one, asked.context).read({}) for one in related.needed + related.needing)
        )
        whole = [written.release(one.release, one.refers_to, one.links()) for one in embedded]
        answer["dependencies"] = whole[: len(related.needed)]
        answer["dependants"] = whole[len(related.needed) :]
    return answer


async def catalog(asked: Asked) -> Answer:
    """A catalog with links to its products."""
    found = await asked.catalog()
    if not found:
        return None
    href = links.catalog(found["id"])
    after = asked.query.get("after")
    rows, more = await listed(asked.context, products(asked.context, found["id"], after), href)
    fields = {"id": found["id"], "name": found["name"], "description": found["description"]}
    return {
        **written.present(fields),
        "public": found["public"],
        "created_at": written.instant(found["createdAt"]),
        "_links": {
            "self": link(href),
            **more,
            "applications": [link(links.application(found["id"], product["id"])) for product in rows],
        },
    }


async def application(asked: Asked) -> Answer:
    """A product with links to its releases."""
    found = await asked.within("products", asked.path["application"])
    if not found:
        return None
    href = links.application(found["catalogId"], found["id"])
    question = await releases_of(asked.context, found, asked.query.get("after"))
    rows, more = await listed(asked.context, question, href)
    latest = await asked.context.first(releases.latest(asked.context.caller, found, channel="stable"))
    return {
        "id": found["id"],
        "catalog_id": found["catalogId"],
        **written.product(found),
        **({"latest_release": written.brief(latest)} if latest else {}),
        "_links": {
            "self": link(href),
            "catalog": link(links.catalog(found["catalogId"])),
            **({"latest_release": to_release(latest)} if latest else {}),
            **more,
            "releases": [to_release(row) for row in rows],
        },
    }


async def branch(asked: Asked) -> Answer:
    """A product on one of its branches, with the latest release there."""
    context, name = asked.context, asked.path["branch"]
    packaging, distro = asked.query.get("packaging"), asked.query.get("distro")
    for found in await records.products_by_key(context.caller, context.database, asked.path["key"]):
        images = await records.images_of(context.caller, context.database, distro) if distro else None
        question = releases.latest(
            context.caller, found, channel=None, packaging=packaging, base_images=images, branch=name
        )
        latest = await context.first(question)
        if latest:
            asked_for = {"packaging": packaging, "distro": distro}
            query = urllib.parse.urlencode({key: value for key, value in asked_for.items() if value})
            href = str(links.branch(found["key"], {"branch": name, "packagingType": None}))
            return {
                **written.product(found),
                "branch": name,
                "latest_release": written.brief(latest),
                "_links": {
                    "self": link(f"{href}?{query}" if query else href),
                    "catalog": link(links.catalog(found["catalogId"])),
                    "application": link(links.application(found["catalogId"], found["id"])),
                    "latest_release": to_release(latest),
                },
            }
    return None


async def pipeline(asked: Asked) -> Answer:
    """A pipeline, seen from a catalog."""
    found = await asked.context.one("pipelines", asked.path["pipeline"])
    if not found or not await asked.catalog():
        return None
    known = [
        written.present({"name": p["name"], "required": p["required"], "default_value": p["defaultValue"]})
        for p in found["properties"]
    ]
    href = links.pipeline(asked.path["catalog"], found["id"])
    own = {"self": link(href), "catalog": link(links.catalog(asked.path["catalog"]))}
    return {"id": found["id"], "name": found["name"], "properties": known, "_links": own}


async def base_image(asked: Asked) -> Answer:
    """A base image."""
    found = await asked.context.one("baseImages", asked.path["image"])
    return found and {**written.base_image(found), "_links": {"self": link(links.base_image(found["id"]))}}


async def registry(asked: Asked) -> Answer:
    """A registry."""
    found = await asked.context.one("registries", asked.path["registry"])
    return found and {**written.registry(found), "_links": {"self": link(links.registry(found["id"]))}}


async def promotion(asked: Asked) -> Answer:
    """A promotion record (S3)."""
    try:
        created = instants.either(asked.path["created"])
    except ValueError as error:
        raise BadArgument("created", str(error)) from error
    context, path = asked.context, asked.path
    found = await records.promotion(context.caller, context.database, path["name"], path["version"], created)
    return found and written.promotion(found)


_ROUTES: dict[str, Callable[[Asked], Awaitable[Answer]]] = {
    "/v1/catalogs/{catalog}": catalog,
    "/v1/catalogs/{catalog}/releases/{release}": release,
    "/v1/catalogs/{catalog}/applications/{application}": application,
    "/v1/catalogs/{catalog}/pipelines/{pipeline}": pipeline,
    "/v1/base-images/{image}": base_image,
    "/v1/registries/{registry}": registry,
    "/v1/applications/product/{key}/branch/{branch}": branch,
    "/lifecycle/api/v2/promotion/records/{name}/{version}/{created}": promotion,
}
PREFIXES = ("/v1/", "/lifecycle/")


class Hal:
    """The application that answers below `PREFIXES`; `context` makes what a request's reads share."""

    def __init__(self, context: Callable[[Request], Context]) -> None:
        self.context = context
        routes = [Route(path, self._endpoint(answer)) for path, answer in _ROUTES.items()]
        self.router = Router(routes, default=self._unknown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route by the path as it was sent: an id may hold a slash, written as %2F."""
        await self.router({**scope, "path": scope["raw_path"].decode("ascii"), "root_path": ""}, receive, send)

    def _endpoint(self, answer: Callable[[Asked], Awaitable[Answer]]) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            try:
                found = await answer(Asked(request, self.context(request)))
            except BadArgument as error:
                return _refused(request, error)
            except Unavailable as error:
                return _failed(request, 503, "Service Unavailable", "The database can't be reached.", error)
            except Exception as error:  # noqa: BLE001  the last stop before the client: masked and logged
                return _failed(request, 500, "Internal Server Error", "An unexpected error occurred.", error)
            if found is None:
                return _missing(request)
            media_type = "application/json" if answer is promotion else "application/hal+json"
            return _found(request, found, media_type)

        return respond

    async def _unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _missing(Request(scope))(scope, receive, send)


def _found(request: Request, document: Mapping[str, Any], media_type: str) -> Response:
    body = orjson.dumps(document)
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"etag": etag, "cache-control": "private, no-cache"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def _problem(request: Request, status: int, title: str, detail: str, **members: Any) -> Response:
    body = details(status, title, detail, instance=request.scope["path"], **members)
    return Response(orjson.dumps(body), status, media_type="application/problem+json")


def _missing(request: Request) -> Response:
    return _problem(request, 404, "Not Found", "There is nothing at this address.")


def _refused(request: Request, error: BadArgument) -> Response:
    violations = [{"field": error.argument, "message": error.reason}]
    return _problem(request, 400, "Bad Request", str(error.message), violations=violations)


def _failed(request: Request, status: int, title: str, detail: str, error: Exception) -> Response:
    id_ = ids.new()
    _log.error("unexpected error", error_id=id_, path=request.scope["path"], exc_info=error)
    return _problem(request, status, title, f"{detail} Its id in the server's log is {id_}.", error_id=id_)
