"""GraphQL over HTTP: https://graphql.github.io/graphql-over-http/draft/."""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
import structlog
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    execute,
    get_operation_ast,
    parse,
    validate,
)
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from release_catalog.domain import ids
from release_catalog.plans.context import Context
from release_catalog.store.database import Unavailable

MAX_BODY_BYTES = 1 << 20
MAX_TOKENS = 2_000
MAX_VALIDATION_ERRORS = 20
CACHED_DOCUMENTS = 1_000
# Nobody writes longer ones by hand, and comments would let them fill the memory.
MAX_CACHED_CHARACTERS = 20_000

_JSON = "application/json"
_RESPONSE_JSON = "application/graphql-response+json"
_WEIGHT = re.compile(r"q=([01](?:\.\d*)?)")
_log = structlog.get_logger()


class Refusal(Exception):  # noqa: N818  it is not an error of this program
    """A request that is no GraphQL request: answered with its status and reason."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclasses.dataclass(frozen=True)
class Asked:
    """The parameters of a GraphQL request."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None


class View:
    """Answers GraphQL requests of one schema; `context` makes what the resolvers of a request share."""

    def __init__(self, schema: GraphQLSchema, context: Callable[[Request], Context]) -> None:
        self.schema = schema
        self.context = context
        self.prepared = functools.lru_cache(CACHED_DOCUMENTS)(self._prepared)

    async def __call__(self, request: Request) -> Response:
        """The response to any request for the endpoint but that for its page."""
        media_type = _JSON
        try:
            media_type = _acceptable(request.headers)
            asked = await _asked(request)
            result = await self._answer(asked, request)
        except Refusal as refusal:
            body = {"errors": [{"message": str(refusal)}]}
            return _response(body, media_type, refusal.status, refusal.headers)
        body = _formatted(result)
        # Clients of application/json take any other status for a broken connection.
        status = 400 if "data" not in body and media_type == _RESPONSE_JSON else 200
        return _response(body, media_type, status)

    async def _answer(self, asked: Asked, request: Request) -> ExecutionResult:
        try:
            is_short = len(asked.query) <= MAX_CACHED_CHARACTERS
            document = (self.prepared if is_short else self._prepared)(asked.query)
        except GraphQLError as error:
            return ExecutionResult(None, [error])
        except _Invalid as invalid:
            return ExecutionResult(None, invalid.errors)
        operation = get_operation_ast(document, asked.operation_name)
        if request.method == "GET" and operation and operation.operation is not OperationType.QUERY:
            raise Refusal(405, "GET is only for queries: send this operation by POST.", Allow="POST")
        result = execute(
            self.schema,
            document,
            context_value=self.context(request),
            variable_values=asked.variables,
            operation_name=asked.operation_name,
        )
        return result if isinstance(result, ExecutionResult) else await result

    def _prepared(self, query: str) -> DocumentNode:
        """The parsed document, known to be valid; raises what is wrong with it."""
        document = parse(query, max_tokens=MAX_TOKENS)
        if errors := validate(self.schema, document, max_errors=MAX_VALIDATION_ERRORS):
            raise _Invalid(errors)
        return document


class _Invalid(Exception):  # noqa: N818  it is not an error of this program
    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__()
        self.errors = errors


def refused(request: Request, refusal: Refusal) -> Response:
    """The response to a request that is refused before anything of it is read."""
    try:
        media_type = _acceptable(request.headers)
    except Refusal as unacceptable:
        media_type, refusal = _JSON, unacceptable
    return _response({"errors": [{"message": str(refusal)}]}, media_type, refusal.status, refusal.headers)


def _acceptable(headers: Headers) -> str:
    """The media type to answer in: of those that the client takes, the one it likes best."""
    qualities = dict(_accepted(",".join(headers.getlist("accept")) or "*/*"))

    def quality(media_type: str) -> float:
        ranges = (media_type, "application/*", "*/*")  # the most specific one counts: RFC 9110, 12.5.1
        return next((qualities[name] for name in ranges if name in qualities), 0)

    # Of equals, the first that the client names; who names neither is used to JSON.
    named = [name for name in qualities if name in {_JSON, _RESPONSE_JSON}]
    best = max((*named, _JSON, _RESPONSE_JSON), key=quality)
    if not quality(best):
        raise Refusal(406, f"This endpoint answers in {_RESPONSE_JSON} or {_JSON}: accept one of them.")
    return best


def _accepted(header: str) -> Iterator[tuple[str, float]]:
    """The media ranges of an Accept header with their weights; what is no weight is passed over."""
    for entry in header.lower().split(","):
        media_range, *parameters = (part.strip() for part in entry.split(";"))
        weights = (match[1] for part in parameters if (match := _WEIGHT.fullmatch(part)))
        yield media_range, float(next(weights, 1))


async def _asked(request: Request) -> Asked:
    if request.method == "GET":
        return _checked({name: _from_url(name, value) for name, value in request.query_params.items()})
    if request.method != "POST":
        raise Refusal(405, "Send GraphQL requests by POST, or queries by GET.", Allow="GET, POST")
    media_type, *about = [part.strip() for part in request.headers.get("content-type", "").lower().split(";")]
    if media_type != _JSON:
        raise Refusal(415, f"Send the request as {_JSON}.", Accept_Post=_JSON)
    charsets = {part.removeprefix("charset=").strip('"') for part in about if part.startswith("charset=")}
    if charsets - {"utf-8", "utf8"}:
        raise Refusal(415, "Send the request in UTF-8.", Accept_Post=_JSON)
    try:
        parameters = orjson.loads(await _body(request))
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"The body is not JSON: {error}.") from error
    if not isinstance(parameters, dict):
        raise Refusal(400, "The body must be a JSON object with the query under the name query.")
    return _checked(parameters)


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
    query = parameters.get("query")
    if not isinstance(query, str) or not query:
        raise Refusal(400, "Give the GraphQL document as text under the name query.")
    for name in ("variables", "extensions"):
        if not isinstance(parameters.get(name), dict | None):
            raise Refusal(400, f"{name} must be a JSON object.")
    operation_name = parameters.get("operationName")
    if not isinstance(operation_name, str | None):
        raise Refusal(400, "operationName must be a text.")
    return Asked(query, parameters.get("variables"), operation_name or None)


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
    # Browsers get a page from the same address.
    headers = {"Vary": "Accept", **(headers or {})}
    return Response(orjson.dumps(body), status, headers, media_type=f"{media_type}; charset=utf-8")
