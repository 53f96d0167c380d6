"""The routes of everything outside GraphQL."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence

import orjson
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, request_response
from starlette.types import ASGIApp

from release_catalog.graphql_api import schema
from release_catalog.hal import responses
from release_catalog.hal import routes as hal
from release_catalog.hal.downloads import Redirector
from release_catalog.hal.lists import OPENAPI, SCHEMA
from release_catalog.query_engine.context import Context
from release_catalog.rest import openapi
from release_catalog.rest import routes as rest
from release_catalog.server import graphiql
from release_catalog.server.guarded_app import ChargedReads, GuardedApp
from release_catalog.server.rate_limit import RateLimiter
from release_catalog.settings import Introspection, Settings
from release_catalog.storage import database as db
from release_catalog.storage import outages

_READY_SECONDS = 2.0

_log = structlog.get_logger()


def routes(
    settings: Settings,
    context: Callable[[HTTPConnection], Context],
    identify: Callable[[HTTPConnection], Awaitable[None]],
    callers: RateLimiter,
    redirector: Redirector,
    origins: Sequence[str],
) -> list[BaseRoute]:
    """Return the routes; those that show or change data identify their callers, and share their limits."""
    readers = settings.schema_readers
    documents = hal.Hal(context, settings.query_seconds, redirector, has_schema=readers != "off")
    writes = rest.rest(context, callers, settings)

    def guarded(app: ASGIApp) -> GuardedApp:
        return GuardedApp(app, identify, callers, origins)

    schema_routes = {
        "public": [Route(SCHEMA, _schema)],
        "authenticated": [Route(SCHEMA, guarded(request_response(_schema)), methods=["GET"])],
        "off": [],
    }
    return [
        Route("/", _home),
        Route("/livez", _livez),
        Route("/readyz", _Readiness().answer),
        Route(OPENAPI, functools.partial(_openapi, schema_readers=readers, has_metrics=settings.metrics == "on")),
        *([graphiql.assets()] if readers != "off" else []),
        *schema_routes[readers],
        *hal.mounts(guarded(ChargedReads(documents, callers))),
        *rest.mounts(guarded(writes)),
    ]


async def refuse(request: Request, error: Exception) -> Response:
    """Return the problem of an address that does not exist, or of a method that it does not allow."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == responses.NOT_FOUND:
        return responses.missing(request)
    # Starlette lists methods in any order.
    allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
    detail = f"This method is not allowed: use one of {allowed}." if allowed else error.detail
    return responses.problem(request, error.status_code, detail, {"allow": allowed} if allowed else {})


async def _openapi(request: Request, *, schema_readers: Introspection, has_metrics: bool) -> Response:
    return responses.found(request, _described(schema_readers, has_metrics=has_metrics), "application/json")


@functools.cache
def _described(schema_readers: Introspection, *, has_metrics: bool) -> bytes:
    return orjson.dumps(openapi.document(schema_readers, has_metrics=has_metrics))


async def _schema(request: Request) -> Response:
    return responses.found(request, _printed(), "text/plain")


@functools.cache
def _printed() -> bytes:
    return schema.printed().encode()


async def _home(_: Request) -> Response:
    return RedirectResponse("/graphql")


async def _livez(_: Request) -> Response:
    return PlainTextResponse("ok")


class _Readiness:
    """The check that the database answers. It runs once for all clients that wait for it: they are unknown."""

    def __init__(self) -> None:
        self._look: asyncio.Task[bool] | None = None

    async def answer(self, request: Request) -> Response:
        """Answer 200 or 503."""
        if self._look is None:
            self._look = asyncio.create_task(_is_ready(request.app.state.database))
            self._look.add_done_callback(self._end)
        if await asyncio.shield(self._look):
            return JSONResponse({"ready": True})
        return JSONResponse(
            {"ready": False, "reason": "The primary of the database does not answer: try again soon."}, 503
        )

    def _end(self, _: asyncio.Task[bool]) -> None:
        self._look = None


async def _is_ready(database: db.Database) -> bool:
    try:
        await db.ping(database, _READY_SECONDS)
    except db.Failure as error:
        _log.warning("not ready", reason=outages.reason(error))
        return False
    return True
