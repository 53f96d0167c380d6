"""The addresses of HAL documents and promotion records, and the dispatch of requests to their handlers."""

import functools
from collections.abc import Awaitable, Callable

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from release_catalog import request_record
from release_catalog.domain import caller, hal_urls
from release_catalog.errors import InvalidArgument, TooLarge
from release_catalog.graphql_http.request import prefers_html
from release_catalog.hal import handlers, html, lists, responses
from release_catalog.hal.downloads import Download, Redirector
from release_catalog.hal.handlers import HalDocument, HalRequest
from release_catalog.hal.path_router import PathRouter
from release_catalog.query_engine.context import SECONDS, Context
from release_catalog.storage import database as db
from release_catalog.storage.outages import is_silence
from release_catalog.usage import measuring

_METHODS = ("GET", "HEAD")
# The page of a larger document takes milliseconds, in which other requests are answered.
_LARGE_BYTES = 64 << 10
_Answers = Callable[[HalRequest], Awaitable[HalDocument | Download]]
_DOWNLOAD = "/v1/catalogs/{catalog}/releases/{release}/files/{file}"
_ROUTES: dict[str, _Answers] = {
    hal_urls.ENTRY_POINT: lists.entry_point,
    hal_urls.CATALOGS: lists.catalogs,
    "/v1/catalogs/{catalog}": handlers.catalog,
    "/v1/catalogs/{catalog}/releases": lists.catalog_releases,
    "/v1/catalogs/{catalog}/releases/{release}": handlers.release,
    "/v1/catalogs/{catalog}/applications": lists.catalog_applications,
    "/v1/catalogs/{catalog}/applications/{application}": handlers.application,
    "/v1/catalogs/{catalog}/pipelines/{pipeline}": handlers.pipeline,
    "/v1/base-images/{image}": handlers.base_image,
    "/v1/registries/{registry}": handlers.registry,
    "/v1/applications/product/{key}/branch/{branch}": handlers.product_branch,
    hal_urls.ANY_PROMOTION: handlers.promotion,
}


def mounts(app: ASGIApp) -> list[BaseRoute]:
    """Return the routes that lead to `app` for the addresses of HAL."""
    return [Route("/v1", app), Mount("/v1", app), Mount("/lifecycle", app)]


class Hal(PathRouter):
    """The application behind all links.

    `context` makes the context that a request's reads share; a request has at most `seconds`. Without a
    `redirector`, files have no addresses. The entry point leads to the GraphQL schema if that is public.
    """

    def __init__(
        self,
        context: Callable[[Request], Context],
        seconds: float = SECONDS,
        redirector: Redirector | None = None,
        *,
        has_schema: bool = True,
    ) -> None:
        answers: dict[str, _Answers] = {
            **_ROUTES,
            hal_urls.ENTRY_POINT: functools.partial(lists.entry_point, has_schema=has_schema),
            **({_DOWNLOAD: handlers.download} if redirector else {}),
        }
        super().__init__(
            [Route(path, _Endpoint(answer, context, seconds, redirector)) for path, answer in answers.items()]
        )


class _Endpoint:
    """One address. As an application of its own it gets requests of every method."""

    def __init__(
        self,
        answer: _Answers,
        context: Callable[[Request], Context],
        seconds: float,
        redirector: Redirector | None,
    ) -> None:
        self.answer = answer
        self.redirector = redirector
        self.seconds = seconds
        self.context = context
        self.media_type = "application/json" if answer is handlers.promotion else "application/hal+json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_record.note_route(scope["route"].path)
        request = Request(scope, receive)
        response = await self._response(request)
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        if request.method not in _METHODS:
            allowed = ", ".join(_METHODS)
            return responses.problem(
                request, 405, f"This method is not allowed: use one of {allowed}.", {"allow": allowed}
            )
        try:
            context = self.context(request)
            if not context.caller.may(caller.READ):
                detail = "Your credentials lack the scope release:read: use others that have it."
                return responses.problem(request, 403, detail)
            # For the code that charges for it: see server.app.
            request.state.usage = context.usage
            if record := request_record.current.get():
                record.usage = context.usage
            # A look at the database may come after that.
            seconds = self.seconds - min(db.LOOK_SECONDS, self.seconds / 10)
            with db.deadline(seconds), measuring(context.usage):
                found = await self.answer(HalRequest(request, context))
                return await self._written(request, context, found)
        except TooLarge as error:
            return responses.problem(request, 400, str(error.message), **(error.extensions or {}))
        except InvalidArgument as error:
            return responses.refused(request, error)
        except Exception as error:  # noqa: BLE001  the last stop before the client: masked and logged
            reachable = is_silence(error) and await db.answers(self.context(request).database)
            return responses.failed(request, error, reachable=reachable)

    async def _written(self, request: Request, context: Context, found: HalDocument | Download) -> Response:
        if not found:
            return responses.missing(request)
        if self.redirector and isinstance(found, Download):
            return await self.redirector.answer(request, context, found)
        body = orjson.dumps(found)
        context.usage.finish(len(body))
        if not prefers_html(request.headers.get("accept", ""), self.media_type):
            return responses.found(request, body, self.media_type)
        shown = functools.partial(_page, body, request.url.path)
        page = await context.run_aside(shown) if len(body) > _LARGE_BYTES else shown()
        context.usage.finish(len(page))
        return responses.found(request, page, "text/html", content_security_policy=html.CSP)


def _page(body: bytes, path: str) -> bytes:
    return html.page(orjson.loads(body), path)
