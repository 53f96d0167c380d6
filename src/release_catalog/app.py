"""The application: its routes, and what lives as long as it does."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute

from release_catalog import logs, opening, sample
from release_catalog.api import documents, websocket
from release_catalog.api.schema import schema
from release_catalog.api.seats import Seats
from release_catalog.api.view import View
from release_catalog.domain import caller
from release_catalog.events import delivering, following
from release_catalog.files import verifying
from release_catalog.hal.routes import Hal
from release_catalog.plans.context import Context
from release_catalog.plans.sharing import Shared
from release_catalog.settings import Settings
from release_catalog.store import database as db
from release_catalog.web import pages

_log = structlog.get_logger()


def create_app(
    settings: Settings | None = None,
    *,
    database: Any = None,
    with_sample: bool = False,
    hosts: Sequence[str] = ("*",),
) -> Starlette:
    """The catalog as an ASGI application.

    `database` is one of PyMongo's asynchronous databases or a Motor database that the application around
    already has; without it, the settings say which MongoDB to use. `with_sample` loads the sample into an
    empty catalog at the start. Requests for another host than `hosts` are refused.
    """
    settings = settings or Settings()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with opening.opened(settings, database) as used, opening.fetcher(settings) as files:
            if with_sample and (count := await sample.load(caller.local(settings.tenant), used)):
                _log.info("loaded the sample", releases=count)
            app.state.database, app.state.files = used, files
            async with (
                verifying.working(used, files),
                delivering.working(used, files.allowed),
                following.feeding(used) as feeds,
            ):
                app.state.follow = feeds.follow
                yield

    everybody, shared = caller.local(settings.tenant), Shared()

    def context(request: HTTPConnection) -> Context:
        state = request.app.state
        return Context(everybody, state.database, shared, state.files, state.follow)

    async def arriving(connection: HTTPConnection) -> Context:
        return context(connection)

    hal = Hal(context)
    trusted = documents.trusted(settings.documents) if settings.documents else None
    seats = Seats(settings.subscribers)
    graphql = View(schema._schema, context, planned=settings.plans == "on", trusted=trusted, seats=seats)

    async def endpoint(request: Request) -> Response:
        return pages.graphiql(request) if _is_browser(request) else await graphql(request)

    routes = [
        Route("/", _home),
        Route("/graphql", endpoint, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        WebSocketRoute("/graphql", websocket.Endpoint(graphql.results, arriving, seats).serve),
        Route("/livez", _livez),
        Route("/readyz", _readyz),
        pages.assets(),
        Mount("/v1", hal),
        Mount("/lifecycle", hal),
    ]
    middleware = [Middleware(logs.Requests), Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]
    app = Starlette(routes=routes, lifespan=lifespan, middleware=middleware)
    app.state.seats, app.state.files, app.state.follow = seats, None, None
    return app


def _is_browser(request: Request) -> bool:
    accepts = request.headers.get("accept", "")
    return request.method == "GET" and "text/html" in accepts and "query" not in request.query_params


async def _home(_: Request) -> Response:
    return RedirectResponse("/graphql")


async def _livez(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _readyz(request: Request) -> Response:
    try:
        await db.ping(request.app.state.database)
    except db.Unavailable as error:
        _log.warning("not ready", reason=str(error))
        return JSONResponse({"ready": False, "reason": "The database's primary does not answer."}, 503)
    return JSONResponse({"ready": True})
