"""GraphQL over HTTP: https://graphql.github.io/graphql-over-http/draft/."""

import contextlib
import dataclasses
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from typing import Any

import orjson
import structlog
from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationType,
)
from starlette.requests import Request
from starlette.responses import Response

from release_catalog.api import accepting, sse
from release_catalog.api.documents import Documents, Invalid
from release_catalog.api.seats import Seats
from release_catalog.domain import ids
from release_catalog.plans import leaves, operations, subscribing
from release_catalog.plans.context import Context
from release_catalog.store.database import Unavailable, undisturbed

MAX_BODY_BYTES = 1 << 20

_JSON, _RESPONSE_JSON, _ = accepting.MEDIA_TYPES
_STREAMED = (
    "A subscription is not answered in one response: send it here over WebSocket (graphql-transport-ws), "
    f"or accept {sse.MEDIA_TYPE}."
)
FULL = "There are as many subscribers as this server takes: try again soon."
_log = structlog.get_logger()

Meant = operations.Document | Invalid
Results = AsyncGenerator[dict[str, Any], None]


class Refusal(Exception):  # noqa: N818  it is not an error of this program
    """A request that is no GraphQL request: answered with its status and reason."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclasses.dataclass(frozen=True)
class Asked:
    """The parameters of a GraphQL request."""

    # Whatever says which document is meant.
    document: Mapping[str, Any]
    variables: dict[str, Any] | None
    operation_name: str | None


class View:
    """Answers GraphQL requests of one schema; `context` makes what the resolvers of a request share."""

    def __init__(
        self,
        schema: GraphQLSchema,
        context: Callable[[Request], Context],
        *,
        planned: bool = True,
        trusted: Mapping[str, str] | None = None,
        seats: Seats | None = None,
    ) -> None:
        """Without being `planned`, queries are answered by the executor alone; see Documents for `trusted`.

        Answers that are streams take one of `seats` each.
        """
        self.schema = schema
        self.context = context
        self.planned = planned
        self.documents = Documents(schema, trusted)
        self.seats = seats or Seats()

    async def __call__(self, request: Request) -> Response:
        """The response to any request for the endpoint but that for its page."""
        media_type = _JSON
        try:
            media_type = _acceptable(",".join(request.headers.getlist("accept")))
            asked = await _asked(request)
            document = self._meant(asked)
            _check_method(request.method, document, asked, media_type)
            context = self.context(request)
            if media_type == sse.MEDIA_TYPE:
                return await self._stream(document, asked, context)
            result = await self._answer(document, asked, context)
        except Refusal as refusal:
            body = {"errors": [{"message": str(refusal)}]}
            return _response(body, media_type, refusal.status, refusal.headers)
        body = _formatted(result)
        # Clients of application/json take any other status for a broken connection.
        status = 400 if "data" not in body and media_type == _RESPONSE_JSON else 200
        return _response(body, media_type, status)

    def _meant(self, asked: Asked) -> Meant:
        try:
            return self.documents.meant(asked.document)
        except Invalid as invalid:
            return invalid

    async def _answer(self, document: Meant, asked: Asked, context: Context) -> ExecutionResult:
        if isinstance(document, Invalid):
            return ExecutionResult(None, document.errors)
        if _kind(document, asked) is OperationType.SUBSCRIPTION:
            return ExecutionResult(None, [GraphQLError(_STREAMED, extensions={"code": "BAD_USER_INPUT"})])
        return await operations.answer(
            document,
            self.schema,
            context,
            asked.variables,
            asked.operation_name,
            planned=self.planned,
        )

    async def _stream(self, document: Meant, asked: Asked, context: Context) -> Response:
        if not self.seats.left:
            raise Refusal(503, FULL, Retry_After="5")
        results = await self._results(document, asked, context)
        return sse.Stream(results, encoded, self.seats, context.caller.expires_at)

    async def results(self, parameters: dict[str, Any], context: Context) -> Results:
        """The responses to an operation: of a subscription one for each event, otherwise one.

        Refusal where the parameters are none. What has come when this returns, a subscription does not miss.
        """
        asked = _checked(parameters)
        return await self._results(self._meant(asked), asked, context)

    async def _results(self, document: Meant, asked: Asked, context: Context) -> Results:
        if isinstance(document, Invalid) or _kind(document, asked) is not OperationType.SUBSCRIPTION:
            return _once(self._answer(document, asked, context))
        each = subscribing.subscribe(document, self.schema, context, asked.variables, asked.operation_name)
        return _all(await each)


async def _once(answer: Coroutine[Any, Any, ExecutionResult]) -> Results:
    # Who goes away does not break off what is being written.
    yield _formatted(await undisturbed(answer))


async def _all(results: AsyncGenerator[ExecutionResult, None]) -> Results:
    async with contextlib.aclosing(results):
        async for result in results:
            yield _formatted(result)


def _kind(document: operations.Document, asked: Asked) -> OperationType | None:
    operation = document.operation(asked.operation_name)
    return operation.operation if operation else None


def _check_method(method: str, document: Meant, asked: Asked, media_type: str) -> None:
    kind = None if isinstance(document, Invalid) else _kind(document, asked)
    may = {None, OperationType.QUERY} | ({OperationType.SUBSCRIPTION} if media_type == sse.MEDIA_TYPE else set())
    if method == "GET" and kind not in may:
        raise Refusal(405, "GET is only for queries: send this operation by POST.", Allow="POST")


def _acceptable(accept: str) -> str:
    best = accepting.best(accept)
    if best is None:
        either = ", ".join(accepting.MEDIA_TYPES)
        raise Refusal(406, f"This endpoint answers in one of {either}: accept one of them.")
    return best


async def _asked(request: Request) -> Asked:
    if request.method == "GET":
        return _checked({name: _from_url(name, value) for name, value in request.query_params.items()})
    if request.method != "POST":
        raise Refusal(405, "Send GraphQL requests by POST, or queries by GET.", Allow="GET, POST")
    _check_media_type(request.headers.get("content-type", ""))
    try:
        parameters = orjson.loads(await _body(request))
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"The body is not JSON: {error}.") from error
    if not isinstance(parameters, dict):
        raise Refusal(400, "The body must be a JSON object with the query under the name query.")
    return _checked(parameters)


@functools.lru_cache(256)
def _check_media_type(header: str) -> None:
    media_type, *about = [part.strip() for part in header.lower().split(";")]
    if media_type != _JSON:
        raise Refusal(415, f"Send the request as {_JSON}.", Accept_Post=_JSON)
    charsets = {part.removeprefix("charset=").strip('"') for part in about if part.startswith("charset=")}
    if charsets - {"utf-8", "utf8"}:
        raise Refusal(415, "Send the request in UTF-8.", Accept_Post=_JSON)


async def _body(request: Request) -> bytes:
    """The request's body, refused as soon as it grows past the limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Refusal(413, f"The body is larger than {MAX_BODY_BYTES} bytes.", Connection="close")
    return bytes(body)


def _from_url(name: str, value: str) -> Any:
    if name not in {"variables", "extensions"}:
        return value
    try:
        return orjson.loads(value) if value else None
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"{name} is not JSON: {error}.") from error


def _checked(parameters: dict[str, Any]) -> Asked:
    _check_document(parameters)
    for name in ("variables", "extensions"):
        if not isinstance(parameters.get(name), dict | None):
            raise Refusal(400, f"{name} must be a JSON object.")
    operation_name = parameters.get("operationName")
    if not isinstance(operation_name, str | None):
        raise Refusal(400, "operationName must be a text.")
    return Asked(parameters, parameters.get("variables"), operation_name or None)


def _check_document(parameters: dict[str, Any]) -> None:
    query, id_, extensions = (parameters.get(name) for name in ("query", "documentId", "extensions"))
    persisted = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
    digest = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
    if query is None and (isinstance(id_, str) or isinstance(digest, str)):
        return
    if not isinstance(query, str) or not query:
        raise Refusal(400, "Give the GraphQL document as text under the name query.")
    if id_ is not None:
        raise Refusal(400, "Give either query or documentId, not both.")


def _formatted(result: ExecutionResult) -> dict[str, Any]:
    """The response as GraphQL has it: without data where nothing was executed."""
    if not result.errors:
        return {"data": result.data}
    told: dict[int, str] = {}
    errors = [_public(error, told) for error in result.errors]
    if result.data is None and all(error.path is None for error in result.errors):
        return {"errors": errors}
    return {"errors": errors, "data": result.data}


def _public(error: GraphQLError, told: dict[int, str]) -> Any:
    """An error as a client may see it: what nobody foresaw is told to the log alone, under an id.

    One failure may be the cause of many errors: `told` holds the ids of those that the log has.
    """
    cause = error.original_error
    # Without a path, nothing was executed: it is about the request alone.
    if cause is None or isinstance(cause, GraphQLError) or error.path is None:
        return error.formatted
    if id(cause) not in told:
        told[id(cause)] = ids.new()
        _log.error("unexpected error", error_id=told[id(cause)], path=error.path, exc_info=cause)
    id_ = told[id(cause)]
    code, message = "INTERNAL_SERVER_ERROR", f"Unexpected error {id_}: its cause stands in the server's log."
    if isinstance(cause, Unavailable):
        code, message = "UNAVAILABLE", f"The database can't be reached; try again soon. (Error {id_}.)"
    return {**error.formatted, "message": message, "extensions": {"code": code, "errorId": id_}}


def _response(
    body: dict[str, Any], media_type: str, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    if media_type == sse.MEDIA_TYPE:  # what is refused is no stream
        media_type = _JSON
    # Browsers get a page from the same address.
    headers = {"Vary": "Accept", **(headers or {})}
    return Response(encoded(body), status, headers, media_type=f"{media_type}; charset=utf-8")


def encoded(body: dict[str, Any]) -> bytes:
    """A response in JSON."""
    return orjson.dumps(body, option=leaves.JSON_OPTIONS)
