"""GraphQL over HTTP: https://graphql.github.io/graphql-over-http/draft/."""

import asyncio
import contextlib
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
)
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from release_catalog import request_record
from release_catalog.domain.caller import Caller
from release_catalog.errors import TooLarge
from release_catalog.graphql_api.request_errors import RequestError, limit_exceeded
from release_catalog.graphql_http import csrf, response
from release_catalog.graphql_http import request as parameters
from release_catalog.graphql_http.documents import DocumentStore, InvalidDocument, ValidatedDocument
from release_catalog.graphql_http.multipart import MultipartStream
from release_catalog.graphql_http.request import GraphQLRequest
from release_catalog.graphql_http.response import Json, Results
from release_catalog.graphql_http.sse import EventStream
from release_catalog.graphql_http.subscriber_limit import Authenticate, SubscriberLimiter
from release_catalog.query_engine import executor, subscriptions
from release_catalog.query_engine.context import Context
from release_catalog.request_limits import Limits
from release_catalog.server.rate_limit import RateLimiter
from release_catalog.settings import Introspection
from release_catalog.storage.database import LOOK_SECONDS, deadline, shielded
from release_catalog.usage import Usage

_NO_CONTEXT = contextlib.nullcontext()
# Number of values in the variables of an operation that cost one point.
VALUES_A_POINT = 100
_JSON, _RESPONSE_JSON, *_ = parameters.MEDIA_TYPES
_STREAMED = (
    "A subscription needs a stream: send it over WebSocket (graphql-transport-ws), or accept "
    f"{parameters.EVENT_STREAM} or {parameters.MULTIPART}."
)


# A request that can't be executed is refused this long after it came, so that a client that repeats such requests
# does not keep the server from others.
REFUSAL_DELAY_SECONDS = 0.075


class GraphQLHTTPEndpoint:
    """The HTTP endpoint for GraphQL requests of one schema.

    `authenticate` makes the context of a request, and raises RequestError for a caller without access.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        authenticate: Authenticate,
        *,
        planned: bool = True,
        trusted: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        introspection: Introspection = "public",
        subscriber_limit: SubscriberLimiter | None = None,
        origins: Collection[str] = (),
    ) -> None:
        """Use the ordinary executor alone unless `planned`.

        See DocumentStore for `trusted`. `introspection` says who may read the schema; only known callers get this
        far. Each streamed response takes one slot of `subscriber_limit`. Pages of `origins` may read responses.
        """
        self.schema = schema
        self.authenticate = authenticate
        self.planned = planned
        self.introspection = introspection
        self.origins = origins
        self.introspects = introspection != "off"
        self.limits = limits or Limits()
        self.callers = RateLimiter(self.limits)
        self.documents = DocumentStore(schema, trusted, self.limits, introspects=self.introspects)
        self.subscriber_limit = subscriber_limit or SubscriberLimiter()

    async def __call__(self, request: Request) -> ASGIApp:
        """Return the response to any request for the endpoint except that for its page."""
        media_type, headers, until, caller = _JSON, {}, refusal_time(), None
        accept = b",".join([value for name, value in request.scope["headers"] if name == b"accept"])
        try:
            media_type = parameters.accepted_media_type(accept)
            context = await self.authenticate(request)
            caller = context.caller
            headers = self.callers.headers(context.caller)
            self._apply_limits(context)
            with self.callers.concurrency_slot(caller):
                if request.method == "GET":
                    strict = self.introspection != "public"
                    csrf.check_csrf(request.headers, strict=strict, origins=self.origins)
                graphql_request = await parameters.read_request(request, self.limits.max_body_bytes)
                document = await self._resolve_document(graphql_request, caller)
                kind = _kind(document, graphql_request)
                if media_type == parameters.MULTIPART and kind is not OperationType.SUBSCRIPTION:
                    media_type = parameters.accepted_media_type(accept, multipart=False)
                _check_method(request.method, kind, media_type)
                if media_type in parameters.STREAMS:
                    context.resume_after = _last_event_id(request, media_type)
                    found = await self._stream_results(document, graphql_request, context)
                    again = functools.partial(self.authenticate, request)
                    streams = EventStream if media_type == parameters.EVENT_STREAM else MultipartStream
                    return streams(found, self.subscriber_limit, again, context)
                result = await self._answer(
                    document, graphql_request, context, self._charge_cost(document, graphql_request, context)
                )
            if isinstance(document, InvalidDocument) and document.read:
                await self._delay_refusal(caller, until)
        except RequestError as refusal:
            await self._delay_refusal(caller, until)
            return _error_response(refusal, media_type, headers)
        body = await response.response(result, context)
        seconds = response.retry_after(body)
        body = self._encode_members(body, context.caller, context.usage)
        status = 400 if "data" not in body else 200
        headers = self.callers.headers(context.caller)
        if seconds:
            status, headers = 503, {**headers, "Retry-After": str(seconds)}
        # Clients of application/json take any other status for a broken connection.
        return _response(body, media_type, status if media_type == _RESPONSE_JSON else 200, headers)

    def _apply_limits(self, context: Context) -> None:
        if record := request_record.current.get():
            record.usage = context.usage
        limits = self.limits
        context.limit(limits.max_nodes, limits.max_response_bytes, limits.query_seconds)

    async def _resolve_document(
        self, graphql_request: GraphQLRequest, caller: Caller
    ) -> ValidatedDocument | InvalidDocument:
        charge = functools.partial(self.callers.consume, caller)
        try:
            document = await self.documents.meant(graphql_request.document, caller.owner, charge)
        except InvalidDocument as invalid:
            return invalid
        operation = document.operation(graphql_request.operation_name)
        if operation and (record := request_record.current.get()):
            record.describe(operation.operation.value, operation.name.value if operation.name else None)
        return document

    async def _delay_refusal(self, caller: Caller | None, until: float) -> None:
        """Wait before a refusal until that time, and longer for a caller that is refused again and again."""
        await wait_until(until)
        if caller:  # others were held back already
            await self.callers.refusals.wait(caller.owner)

    async def _answer(
        self,
        document: ValidatedDocument | InvalidDocument,
        graphql_request: GraphQLRequest,
        context: Context,
        cost: int,
    ) -> ExecutionResult:
        if isinstance(document, InvalidDocument):
            return ExecutionResult(None, document.errors)
        kind = _kind(document, graphql_request)
        if kind is OperationType.SUBSCRIPTION:
            return ExecutionResult(None, [GraphQLError(_STREAMED, extensions={"code": "BAD_USER_INPUT"})])
        charge = functools.partial(self.callers.consume, context.caller)
        # A mutation may have to wait for files first: see graphql_api.mutation. A query may end with a look at the
        # database.
        seconds = context.seconds - min(LOOK_SECONDS, context.seconds / 10)
        context.usage.writes = is_write = kind is OperationType.MUTATION
        # Mutations that wait for their turn count as those in progress: they leave room for queries.
        with self.callers.write_slot(context.caller) if is_write else _NO_CONTEXT:
            async with self.callers.turn(context.caller, cost, writes=is_write):
                context.begin()
                try:
                    with _NO_CONTEXT if is_write else deadline(seconds):
                        result = await executor.answer(
                            document,
                            self.schema,
                            context,
                            graphql_request.variables,
                            graphql_request.operation_name,
                            planned=self.planned,
                            suggesting=self.introspects,
                            planner=functools.partial(self.documents.plan, context.caller.owner, charge),
                        )
                finally:
                    # The cost that only the execution tells is charged even if nobody waits for the response.
                    self._settle(context.caller, context.usage)
        result.extensions = {"cost": {"requested": cost, "limit": self.limits.max_cost}}
        return result

    def _settle(self, caller: Caller, usage: Usage) -> None:
        """Charge the points used beyond those that are charged already."""
        if (more := usage.points - usage.charged) > 0:
            self.callers.settle(caller, more)
            usage.charged += more

    def _encode_members(self, body: Json, caller: Caller, usage: Usage) -> Json:
        """Return `body` with its members as JSON texts, or the refusal if they are larger than allowed."""
        texts = [(name, response.encode_json(body[name])) for name in ("errors", "data") if name in body]
        try:
            usage.finish(sum([len(text) for _, text in texts]))
            written: Json = {name: orjson.Fragment(text) for name, text in texts}
        except TooLarge as error:
            written = response.format_result(ExecutionResult(None, [error]))
        self._settle(caller, usage)
        if extensions := body.get("extensions"):
            cost = extensions["cost"]
            more = {"additional": usage.charged - cost["requested"]}
            written["extensions"] = {"cost": {**cost, **more} if more["additional"] > 0 else cost}
        return written

    def _charge_cost(
        self, document: ValidatedDocument | InvalidDocument, graphql_request: GraphQLRequest, context: Context
    ) -> int:
        """Charge the caller for an operation and return its cost; refuse it if the cost is too high."""
        operation = (
            None if isinstance(document, InvalidDocument) else document.operation(graphql_request.operation_name)
        )
        cost = 1
        if operation and not isinstance(document, InvalidDocument):
            cost = self._check_cost(document, operation, graphql_request.variables)
        self.callers.consume(context.caller, cost)
        context.usage.charged = cost
        context.points_left = self.callers.points_left
        return cost

    def _check_cost(
        self, document: ValidatedDocument, operation: OperationDefinitionNode, variables: Mapping[str, Any] | None
    ) -> int:
        """Return the cost of an operation, its input included; refuse it if the cost is too high."""
        values = document.inputs.check(operation, variables)
        cost = document.costs.of(operation, variables or {})
        points = cost.points + values // VALUES_A_POINT
        for limit, most, came, what in (
            ("cost", self.limits.max_cost, points, "cost {} points"),
            ("nodes", self.limits.max_nodes, cost.nodes, "return up to {} objects"),
        ):
            if came > most:
                raise limit_exceeded(limit, most, f"This operation may {what.format(came)}: request smaller pages")
        return points

    async def _stream_results(
        self, document: ValidatedDocument | InvalidDocument, graphql_request: GraphQLRequest, context: Context
    ) -> Results:
        self.subscriber_limit.check(context.caller)
        found = await self._results(document, graphql_request, context)
        # Nothing runs between this check and the moment when the stream takes its slot.
        self.subscriber_limit.check(context.caller)
        return found

    async def results(self, parameters_: dict[str, Any], context: Context) -> Results:
        """Return the responses to an operation: one for each event of a subscription, otherwise one.

        Invalid parameters raise RequestError. A subscription misses no event that comes after this returns.
        """
        self._apply_limits(context)
        until = refusal_time()
        try:
            with self.callers.concurrency_slot(context.caller):
                graphql_request = parameters.validate(parameters_)
                document = await self._resolve_document(graphql_request, context.caller)
                return await self._results(document, graphql_request, context)
        except RequestError:
            await self._delay_refusal(context.caller, until)
            raise

    async def _results(
        self, document: ValidatedDocument | InvalidDocument, graphql_request: GraphQLRequest, context: Context
    ) -> Results:
        cost = self._charge_cost(document, graphql_request, context)
        if (
            isinstance(document, InvalidDocument)
            or _kind(document, graphql_request) is not OperationType.SUBSCRIPTION
        ):
            return self._single_response(document, graphql_request, context, cost)
        with deadline(context.seconds):
            each = await subscriptions.subscribe(
                document,
                self.schema,
                context,
                graphql_request.variables,
                graphql_request.operation_name,
                suggesting=self.introspects,
            )
        return self._event_responses(each, context, cost)

    async def _event_responses(self, answers: subscriptions.Answers, context: Context, cost: int) -> Results:
        """Yield the responses to events, each at the price of a query; stop when the points are used up."""
        async with contextlib.aclosing(answers):
            async for answer in answers:
                try:
                    self.callers.consume(context.caller, cost)
                except RequestError as refusal:
                    yield response.format_refusal(refusal)
                    return
                usage = context.usage.again()
                usage.charged = cost
                usage.absorb(answer.usage)
                yield self._encode_members(await response.response(answer.result, context), context.caller, usage)

    async def _single_response(
        self,
        document: ValidatedDocument | InvalidDocument,
        graphql_request: GraphQLRequest,
        context: Context,
        cost: int,
    ) -> Results:
        if isinstance(document, InvalidDocument) and document.read:
            await self._delay_refusal(context.caller, refusal_time())
        # A client that goes away does not interrupt a write.
        yield await shielded(self._admitted_response(document, graphql_request, context, cost))

    async def _admitted_response(
        self,
        document: ValidatedDocument | InvalidDocument,
        graphql_request: GraphQLRequest,
        context: Context,
        cost: int,
    ) -> Json:
        try:
            with self.callers.concurrency_slot(context.caller):
                body = await response.response(
                    await self._answer(document, graphql_request, context, cost), context
                )
                return self._encode_members(body, context.caller, context.usage)
        except RequestError as refusal:
            return response.format_refusal(refusal)


def refusal_time() -> float:
    """Return the earliest time at which a request that comes now may be refused."""
    return asyncio.get_running_loop().time() + REFUSAL_DELAY_SECONDS


async def wait_until(time: float) -> None:
    """Wait until the event loop has reached this time."""
    await asyncio.sleep(time - asyncio.get_running_loop().time())


def _kind(document: ValidatedDocument | InvalidDocument, graphql_request: GraphQLRequest) -> OperationType | None:
    """Return the kind of the operation; None for an invalid document or operation name."""
    operation = (
        None if isinstance(document, InvalidDocument) else document.operation(graphql_request.operation_name)
    )
    return operation.operation if operation else None


def _check_method(method: str, kind: OperationType | None, media_type: str) -> None:
    may = {None, OperationType.QUERY} | (
        {OperationType.SUBSCRIPTION} if media_type in parameters.STREAMS else set()
    )
    if method == "GET" and kind not in may:
        raise RequestError(405, "GET is for queries only: send this operation by POST.", Allow="POST")


def _last_event_id(request: Request, media_type: str) -> str | None:
    """Return the event after which a client of server-sent events continues."""
    id_ = request.headers.get("last-event-id", "") if media_type == parameters.EVENT_STREAM else ""
    if len(id_) > parameters.MAX_NAME:
        raise limit_exceeded("texts", parameters.MAX_NAME, f"Last-Event-ID has {len(id_)} characters")
    return id_ or None


class _Response:
    """An ASGI application that sends a JSON document with encoded headers."""

    def __init__(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        length = b"content-length", b"%d" % len(self.body)
        headers = [*self.headers, length]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def _error_response(refusal: RequestError, media_type: str, headers: Mapping[str, str]) -> _Response:
    return _response(response.format_refusal(refusal), media_type, refusal.status, {**headers, **refusal.headers})


def _response(body: dict[str, Any], media_type: str, status: int, headers: Mapping[str, str]) -> _Response:
    own = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return _Response(status, [*_fixed_headers(media_type), *own], response.encode_json(body))


@functools.cache
def _fixed_headers(media_type: str) -> Sequence[tuple[bytes, bytes]]:
    if media_type in parameters.STREAMS:  # a refusal is not a stream
        media_type = _JSON
    # Browsers get a page from the same address, and other callers other responses: no shared cache may keep them.
    kind = f"{media_type}; charset=utf-8".encode()
    return (b"vary", b"Accept"), (b"cache-control", b"private, no-cache"), (b"content-type", kind)
