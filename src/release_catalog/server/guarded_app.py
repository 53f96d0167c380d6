"""The checks of requests outside GraphQL: identification, the CSRF rule, shares, the rate limit and prices."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from release_catalog import request_record
from release_catalog.auth.errors import AuthenticationError
from release_catalog.graphql_api.request_errors import RequestError
from release_catalog.graphql_http import csrf
from release_catalog.graphql_http.endpoint import refusal_time, wait_until
from release_catalog.hal import responses
from release_catalog.server.rate_limit import RateLimiter

# The price of a HAL document, of these points: as much as a release with its artifacts, or with some releases
# embedded. A point for each object that was read, and other work, is charged afterwards if it comes to more.
HAL_POINTS = 10
HAL_EXPANDED_POINTS = 100


class GuardedApp:
    """An application behind the identification of the caller and its share of concurrent requests."""

    def __init__(
        self,
        app: ASGIApp,
        identify: Callable[[HTTPConnection], Awaitable[None]],
        callers: RateLimiter,
        origins: Sequence[str],
    ) -> None:
        """Let pages of `origins` make requests."""
        self.app = app
        self.identify = identify
        self.callers = callers
        self.origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request, until = Request(scope), refusal_time()
        try:
            await self.identify(request)
            csrf.check_hal_csrf(request.headers, self.origins)
            with self.callers.concurrency_slot(request.state.caller):
                await self.app(scope, receive, send)
        except (AuthenticationError, RequestError) as refused:
            await wait_until(until)
            extensions = {}
            if isinstance(refused, RequestError):
                await self.callers.refusals.wait(request.state.caller.owner)
                extensions = refused.extensions or {}
                request_record.note_limit(refused.limit)
            response = responses.problem(request, refused.status, str(refused), refused.headers, **extensions)
            await response(scope, receive, send)


class ChargedReads:
    """HAL's application, with the price of each document."""

    def __init__(self, app: ASGIApp, callers: RateLimiter) -> None:
        self.app = app
        self.callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Charge a request before it is answered, and what it used beyond that afterwards."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        who = request.state.caller
        expands = request.query_params.get("expand_relationships") == "true"
        points = HAL_EXPANDED_POINTS if expands else HAL_POINTS
        self.callers.consume(who, points)
        try:
            async with self.callers.turn(who, points):
                await self.app(scope, receive, send)
        finally:
            if usage := getattr(request.state, "usage", None):
                self.callers.settle(who, usage.points - points)
