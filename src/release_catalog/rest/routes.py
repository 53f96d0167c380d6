"""The addresses that take a release as JSON by POST, with the limits and the price of its mutation in GraphQL."""

import urllib.parse
from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from release_catalog import request_record
from release_catalog.errors import ForbiddenProblem, Problem, TooBusy, ValidationProblem
from release_catalog.graphql_api.limits import input_limits, query_cost
from release_catalog.graphql_api.request_errors import RequestError, limit_exceeded
from release_catalog.graphql_api.schema import schema
from release_catalog.graphql_http.endpoint import VALUES_A_POINT
from release_catalog.graphql_http.request import read_json
from release_catalog.hal import responses
from release_catalog.hal.path_router import PathRouter
from release_catalog.query_engine.context import Context
from release_catalog.request_limits import Limits
from release_catalog.rest.operations import IDEMPOTENCY_KEY, OPERATIONS, Headers, Operation
from release_catalog.server.rate_limit import RateLimiter
from release_catalog.storage import database as db
from release_catalog.storage.idempotency import Answer
from release_catalog.storage.outages import is_silence
from release_catalog.usage import measuring


def mounts(app: ASGIApp) -> list[BaseRoute]:
    """Return the routes that lead to `app` for the addresses that take releases."""
    return [Mount("/api", app), Mount("/v3", app)]


def rest(context: Callable[[Request], Context], callers: RateLimiter, limits: Limits) -> PathRouter:
    """Return the application behind these addresses; `context` makes the context of a request."""
    return PathRouter(
        [Route(path, _Endpoint(operation, context, callers, limits)) for path, operation in OPERATIONS.items()]
    )


class _Endpoint:
    """One address. As an application of its own it gets requests of every method."""

    def __init__(
        self,
        operation: Operation,
        context: Callable[[Request], Context],
        callers: RateLimiter,
        limits: Limits,
    ) -> None:
        self.operation = operation
        self.context = context
        self.callers = callers
        self.limits = limits
        self._body_type: Any = schema._schema.type_map[operation.body]
        price = query_cost.find_price("Mutation", operation.mutation)
        self._price = price.points if price else 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_record.note_route(scope["route"].path)
        request = Request(scope, receive)
        response = await self._response(request)
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        if request.method != "POST":
            detail = "This method is not allowed: use POST."
            return responses.problem(request, 405, detail, {"allow": "POST"})
        context = self.context(request)
        if record := request_record.current.get():
            record.describe("mutation", self.operation.mutation)
            record.usage = context.usage
        try:
            document = await read_json(request, self.limits.max_body_bytes)
            if not isinstance(document, dict):
                detail = "The body is not a JSON object: send the release as one."
                return responses.problem(request, 400, detail)
            answer = await self._perform(request, context, document)
            return self._answered(request, context, answer)
        except (RequestError, ClientDisconnect):
            raise
        except TooBusy as error:
            return responses.problem(
                request, 429, str(error.message), {"retry-after": "1"}, **(error.extensions or {})
            )
        except Exception as error:  # noqa: BLE001  the last stop before the client: masked and logged
            reachable = is_silence(error) and await db.answers(context.database)
            return responses.failed(request, error, reachable=reachable)

    async def _perform(self, request: Request, context: Context, document: dict[str, Any]) -> Answer:
        """Do the work in the caller's turn, and charge what it costs."""
        caller, usage = context.caller, context.usage
        values = input_limits.count_values(self.limits, "body", document, self._body_type)
        points = self._price + values // VALUES_A_POINT
        if points > self.limits.max_cost:
            raise limit_exceeded("cost", self.limits.max_cost, f"This request costs {points} points")
        self.callers.consume(caller, points)
        path = {name: urllib.parse.unquote(value) for name, value in request.path_params.items()}
        headers = _headers(request)
        usage.writes = True
        # As in graphql_http.endpoint: what waits for its turn counts, too.
        with self.callers.write_slot(caller):
            async with self.callers.turn(caller, points, writes=True):
                context.begin()
                try:
                    with measuring(usage):
                        return await self.operation.perform(context, path, document, headers)
                finally:
                    self.callers.settle(caller, usage.points - points)

    def _answered(self, request: Request, context: Context, answer: Answer) -> Response:
        if isinstance(answer, Problem):
            request_record.add_code(answer.kind)
        if isinstance(answer, ValidationProblem):
            violations = [
                {"field": self._field(violation.field), "message": violation.message, "code": violation.code}
                for violation in answer.violations
            ]
            return responses.problem(request, answer.status, answer.detail, violations=violations)
        if isinstance(answer, Problem):
            if isinstance(answer, ForbiddenProblem):
                return responses.problem(request, answer.status, answer.detail, code="FORBIDDEN")
            return responses.problem(request, answer.status, answer.detail)
        written = self.operation.respond(answer)
        headers = {
            "location": written.location,
            "cache-control": "private, no-cache",
            **self.callers.headers(context.caller),
        }
        return Response(orjson.dumps(written.body), written.status, headers, media_type="application/json")

    def _field(self, path: str) -> str:
        """Return the path of a field in the body, or the name of a header; that of the body itself is empty."""
        if path == "input.idempotencyKey":
            return IDEMPOTENCY_KEY
        if f"{path}." in self.operation.prefixes:
            return ""
        prefix = next((prefix for prefix in self.operation.prefixes if path.startswith(prefix)), "")
        return path.removeprefix(prefix)


def _headers(request: Request) -> Headers:
    """Return the fields of the mutation's input that the headers of a request give."""
    keys = request.headers.getlist(IDEMPOTENCY_KEY)
    if len(keys) > 1:
        raise RequestError(400, f"The header {IDEMPOTENCY_KEY} is repeated: send it once.")
    return {"idempotencyKey": keys[0]} if keys else {}
