"""The application: its routes, and the resources that live as long as it does."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from release_catalog import request_record, runtime, sample
from release_catalog.auth import errors
from release_catalog.auth.authenticator import Authenticator
from release_catalog.auth.errors import AuthenticationError
from release_catalog.domain import caller
from release_catalog.domain.caller import Caller
from release_catalog.events import broker, change_stream
from release_catalog.fair_share import Aside
from release_catalog.files import verification
from release_catalog.graphql_api.request_errors import RequestError
from release_catalog.graphql_api.schema import schema
from release_catalog.graphql_http import documents, websocket
from release_catalog.graphql_http.endpoint import GraphQLHTTPEndpoint
from release_catalog.graphql_http.request import MEDIA_TYPES, prefers_html
from release_catalog.graphql_http.subscriber_limit import SubscriberLimiter
from release_catalog.hal import responses
from release_catalog.hal.downloads import Redirector
from release_catalog.query_engine.context import Context, subscription_slots
from release_catalog.query_engine.dataloader import LookupCoalescer
from release_catalog.request_record import Observers
from release_catalog.server import client_address, connection_limit, graphiql
from release_catalog.server import middleware as headers
from release_catalog.server import routes as others
from release_catalog.server.client_address import TrustedProxies
from release_catalog.server.metrics import ApplicationMetrics, scraped
from release_catalog.server.observability import Observability
from release_catalog.server.request_log import RequestLog
from release_catalog.settings import Settings, origins
from release_catalog.storage import database as db
from release_catalog.storage import download_counts, migrations, outages, restore_marker, scheme_change
from release_catalog.webhooks import dispatcher

# The caller of a request must be identified in this time, or the database counts as unavailable.
IDENTIFICATION_SECONDS = 5.0
_RATE_HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")

_log = structlog.get_logger()


def create_app(
    settings: Settings | None = None,
    *,
    database: Any = None,
    with_sample: bool = False,
    hosts: Sequence[str] | None = None,
) -> Starlette:
    """Return the catalog as an ASGI application.

    `database` is one of PyMongo's asynchronous databases or a Motor database that the surrounding application
    already has; without it, the settings name the MongoDB to use. `with_sample` loads the sample into an empty
    catalog at the start. Requests for another host than `hosts` are refused; without them, the hosts are those of
    the settings: every host if callers need credentials, otherwise only the names of this machine.
    """
    settings = settings or Settings()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        monitors = [*observing.monitors, *measured.monitors]
        opened = runtime.open_database(settings, database, monitors=monitors)
        async with contextlib.aclosing(observing), opened as used, runtime.fetcher(settings) as files:
            if with_sample and (count := await sample.load(caller.local(settings.tenant), used)):
                _log.info("sample loaded", releases=count)
            app.state.database, app.state.reading, app.state.files = used, db.ReadOnlyDatabase(used), files
            async with _working(app, measured, observers):
                yield
            await callers.close()

    callers, measured, observing = Authenticator(settings), ApplicationMetrics(settings), Observability(settings)
    observers = [*observing.observers, *measured.observers]
    identify = _identification(settings, callers)

    shared, answering, aside = LookupCoalescer(), subscription_slots(), Aside()

    def context(request: HTTPConnection) -> Context:
        state = request.app.state
        of_process = state.database, shared, state.files, state.follow, state.reading, answering, aside
        made = Context(request.state.caller, *of_process)
        made.limit(settings.max_nodes, settings.max_response_bytes, settings.query_seconds)
        return made

    async def authenticate(connection: HTTPConnection) -> Context:
        try:
            await identify(connection)
        except AuthenticationError as refused:
            limited = {429: {"code": "RATE_LIMITED"}, 503: outages.UNAVAILABLE.extensions}.get(refused.status)
            raise RequestError(refused.status, str(refused), limited, **refused.headers) from refused
        return context(connection)

    subscriber_limit = SubscriberLimiter(
        settings.subscribers,
        per_tenant=settings.subscribers_per_tenant,
        per_caller=settings.caller_subscribers,
        leave_free=settings.tenants_share and not settings.subscribers_per_tenant,
    )
    allowed = origins(settings.cors_origins)
    graphql = GraphQLHTTPEndpoint(
        schema._schema,
        authenticate,
        planned=settings.plans == "on",
        trusted=documents.load_trusted_documents(settings.documents) if settings.documents else None,
        limits=settings,
        introspection=settings.schema_readers,
        subscriber_limit=subscriber_limit,
        origins=allowed,
    )
    measured.watch_graphql(graphql)
    sockets = websocket.Endpoint(graphql.results, authenticate, subscriber_limit, allowed, observers)

    endpoint = _Endpoint(graphql, needs_token=settings.authenticated)
    routes = [
        Route("/graphql", endpoint, methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        WebSocketRoute("/graphql", sockets.serve),
        *([scraped(measured, settings, identify)] if settings.metrics == "on" else []),
        *others.routes(settings, context, identify, graphql.callers, _redirector(callers), allowed),
    ]
    middleware = [
        Middleware(RequestLog, observers, TrustedProxies(settings.trusted_proxies)),
        Middleware(headers.Head, settings.hosts if hosts is None else hosts),
        *_cors(settings),
        Middleware(_GraphQLFirst, endpoint),
    ]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=middleware,
        exception_handlers={HTTPException: others.refuse},
    )
    # A redirect would go to an address made of the Host header.
    app.router.redirect_slashes = False
    app.state.subscriber_limit, app.state.files, app.state.measured = subscriber_limit, None, measured
    app.state.follow, app.state.restores = None, restore_marker.RestoreWatch()
    return app


def _identification(settings: Settings, callers: Authenticator) -> Callable[[HTTPConnection], Awaitable[None]]:
    """Return the function that identifies the caller of a request, and puts it into the request's state."""

    async def identify(request: HTTPConnection) -> None:
        caller = callers.local_operator(client_address.own(request.scope))
        if caller is None:
            try:
                with db.deadline(min(IDENTIFICATION_SECONDS, settings.query_seconds)):
                    address = client_address.find(request.scope)
                    caller = await callers.authenticate(request.headers, address, request.app.state.database)
            except db.Failure as error:
                _log.warning("authentication unavailable", reason=outages.reason(error))
                raise errors.temporarily_unavailable(outages.UNAVAILABLE.message) from error
            except AuthenticationError:
                request_record.note_limit("authentication")
                raise
        _admit(request, caller)

    return identify


@contextlib.asynccontextmanager
async def _working(app: Starlette, measured: ApplicationMetrics, observers: Observers) -> AsyncIterator[None]:
    """Run the background workers of an application whose database is open."""
    state, workers = app.state, measured.workers
    closing = state.subscriber_limit.closing
    async with (
        # It ends last: nothing is downloaded any more then.
        download_counts.run_counter(state.database, workers) as state.downloads,
        verification.run_workers(state.database, state.files, closing, observers, workers),
        dispatcher.run_dispatcher(state.database, state.files.allowed, closing, observers, workers) as look,
        broker.run_broker(state.database, measured.event_delivered) as feeds,
        change_stream.watch_changes(state.database, feeds.ring, look, workers=workers),
        migrations.run_in_background(state.database, closing, workers),
        scheme_change.run_in_background(state.database, closing, workers),
        restore_marker.run_watch(state.database, closing, workers) as state.restores,
        measured.running(state.database, feeds, state.files),
    ):
        state.follow = feeds.follow
        yield


def _admit(request: HTTPConnection, caller: Caller) -> None:
    """Admit the identified caller of a request, unless its tenant is being restored or was left unfinished."""
    request_record.note_caller(caller.tenant, caller.subject)
    if request.app.state.restores.covers(caller.tenant):
        raise errors.temporarily_unavailable(restore_marker.BEING_RESTORED)
    request.state.caller = caller
    if request.scope["type"] == "http":  # a WebSocket needs a slot first
        connection_limit.identified(request.scope)


def _redirector(callers: Authenticator) -> Redirector:
    """Return the redirects to files; those to secured files need credentials, also on this machine."""

    async def check_credentials(request: Request) -> Response | None:
        client = client_address.find(request.scope)
        try:
            await callers.check_credentials(request.headers, client, request.app.state.database)
        except AuthenticationError as refused:
            request_record.note_limit("authentication")
            return responses.problem(request, refused.status, str(refused), refused.headers)
        return None

    return Redirector(lambda request: request.app.state.downloads, check_credentials)


class _Endpoint:
    """GraphQL's application: it answers requests, and gives browsers a page, which runs nothing by itself."""

    def __init__(self, graphql: GraphQLHTTPEndpoint, *, needs_token: bool) -> None:
        self.graphql = graphql
        self.needs_token = needs_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_record.note_route("/graphql")
        request = Request(scope, receive)
        response: ASGIApp
        if not _is_browser(request):
            response = await self.graphql(request)
        elif self.graphql.introspects:
            # The page holds no private data: its requests come with credentials of their own.
            response = graphiql.graphiql(request, needs_token=self.needs_token)
        else:
            response = graphiql.without_editor()
        await response(scope, receive, send)


class _GraphQLFirst:
    """Passes each POST to /graphql to its endpoint, past the router: a tenth of the time of a small query."""

    def __init__(self, app: ASGIApp, endpoint: ASGIApp) -> None:
        self.app = app
        self.endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The router knows where it is mounted.
        is_posted = (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and scope["path"] == "/graphql"
            and not scope.get("root_path")
        )
        await (self.endpoint if is_posted else self.app)(scope, receive, send)


def _cors(settings: Settings) -> list[Middleware]:
    """Let pages of the configured origins read responses; credentials go in headers, never in cookies."""
    allowed = origins(settings.cors_origins)
    if not allowed:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=allowed,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["etag", "location", "retry-after", "x-request-id", *_RATE_HEADERS],
        )
    ]


def _is_browser(request: Request) -> bool:
    """Return whether a person looks at the address; a link with a query must not run it."""
    return request.method in {"GET", "HEAD"} and prefers_html(request.headers.get("accept", ""), *MEDIA_TYPES)
