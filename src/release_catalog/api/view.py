"""GraphQL over HTTP: https://graphql.github.io/graphql-over-http/draft/."""

import contextlib
import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
import structlog
from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
)
from starlette.requests import Request
from starlette.responses import Response

from release_catalog.api import origins
from release_catalog.api.callers import Callers, Who
from release_catalog.api.documents import Documents, Invalid, Meant
from release_catalog.api.limits import Limits
from release_catalog.api.refusals import Refusal, too_much
from release_catalog.domain import ids
from release_catalog.plans import leaves, operations
from release_catalog.plans.context import Context
from release_catalog.store.database import Unavailable, timed_out, within

_JSON = "application/json"
_RESPONSE_JSON = "application/graphql-response+json"
_WEIGHT = re.compile(r"q=([01](?:\.\d*)?)")
_log = structlog.get_logger()


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
        limits: Limits | None = None,
        public: bool = True,
    ) -> None:
        """Without being `planned`, queries are answered by the executor alone.

        See Documents for what is `trusted`, and for a schema that is not `public`.
        """
        self.schema = schema
        self.context = context
        self.planned = planned
        self.public = public
        self.limits = limits or Limits()
        self.callers = Callers(self.limits)
        self.documents = Documents(schema, trusted, self.limits, public=public)

    async def __call__(self, request: Request) -> Response:
        """The response to any request for the endpoint but that for its page."""
        media_type, headers = _JSON, {}
        try:
            media_type = _acceptable(",".join(request.headers.getlist("accept")))
            context = self.context(request)
            who = context.caller.tenant, context.caller.subject
            headers = self.callers.headers(who)
            context.level.max_nodes, context.seconds = self.limits.max_nodes, self.limits.query_seconds
            with self.callers.admitted(who):
                if request.method == "GET":
                    origins.check(request.headers, strict=not self.public)
                asked = await _asked(request, self.limits.max_body_bytes)
                result = await self._answer(asked, request, context, who)
            headers = self.callers.headers(who)
        except Refusal as refusal:
            told = {"message": str(refusal)} | ({"extensions": refusal.extensions} if refusal.extensions else {})
            return _response({"errors": [told]}, media_type, refusal.status, headers | refusal.headers)
        body = _formatted(result)
        # Clients of application/json take any other status for a broken connection.
        status = 400 if "data" not in body and media_type == _RESPONSE_JSON else 200
        return _response(body, media_type, status, headers)

    async def _answer(self, asked: Asked, request: Request, context: Context, who: Who) -> ExecutionResult:
        try:
            document = self.documents.meant(asked.document)
        except Invalid as invalid:
            self.callers.charge(who, 1)
            return ExecutionResult(None, invalid.errors)
        operation = document.operation(asked.operation_name)
        if request.method == "GET" and operation and operation.operation is not OperationType.QUERY:
            raise Refusal(405, "GET is only for queries: send this operation by POST.", Allow="POST")
        cost = self._affordable(document, operation, asked.variables) if operation else 1
        self.callers.charge(who, cost)
        # A mutation may have to wait for files first: see inputs.
        is_query = operation is None or operation.operation is OperationType.QUERY
        with within(context.seconds) if is_query else contextlib.nullcontext():
            result = await operations.answer(
                document,
                self.schema,
                context,
                asked.variables,
                asked.operation_name,
                planned=self.planned,
                suggesting=self.public,
            )
        result.extensions = {"cost": {"requested": cost, "limit": self.limits.max_cost}}
        return result

    def _affordable(
        self, document: Meant, operation: OperationDefinitionNode, variables: Mapping[str, Any] | None
    ) -> int:
        """What an operation costs; refused where it is too much."""
        document.inputs.check(operation, variables)
        cost = document.costs.of(operation, variables or {})
        for limit, most, came, what in (
            ("cost", self.limits.max_cost, cost.points, "cost {} points"),
            ("nodes", self.limits.max_nodes, cost.nodes, "answer with up to {} objects"),
        ):
            if came > most:
                raise too_much(limit, most, f"This operation may {what.format(came)}: ask for smaller pages")
        return cost.points


def refused(request: Request, refusal: Refusal) -> Response:
    """The response to a request that is refused before anything of it is read."""
    try:
        media_type = _acceptable(",".join(request.headers.getlist("accept")))
    except Refusal as unacceptable:
        media_type, refusal = _JSON, unacceptable
    return _response({"errors": [{"message": str(refusal)}]}, media_type, refusal.status, refusal.headers)


@functools.lru_cache(256)
def _acceptable(accept: str) -> str:
    """The media type to answer in: of those that the client takes, the one it likes best."""
    qualities = dict(_accepted(accept or "*/*"))

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


async def _asked(request: Request, max_bytes: int) -> Asked:
    if request.method == "GET":
        return _checked({name: _from_url(name, value) for name, value in request.query_params.items()})
    if request.method != "POST":
        raise Refusal(405, "Send GraphQL requests by POST, or queries by GET.", Allow="GET, POST")
    _check_media_type(request.headers.get("content-type", ""))
    try:
        parameters = orjson.loads(await _body(request, max_bytes))
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


async def _body(request: Request, most: int) -> bytes:
    """The request's body, refused as soon as it grows past the limit."""
    told = {"code": "LIMIT_EXCEEDED", "limit": "body", "allowed": most}
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            reason = f"The body is larger than the {most} bytes that the limit body allows."
            raise Refusal(413, reason, told, Connection="close")
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
    extensions = {"extensions": result.extensions} if result.extensions else {}
    if not result.errors:
        return {"data": result.data, **extensions}
    told: dict[int, str] = {}
    errors = [_public(error, told) for error in result.errors]
    if result.data is None and all(error.path is None for error in result.errors):
        return {"errors": errors}
    return {"errors": errors, "data": result.data, **extensions}


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
    if timed_out(cause):
        code, message = "TIMEOUT", f"The database took longer than it may: ask for less. (Error {id_}.)"
    elif isinstance(cause, Unavailable):
        code, message = "UNAVAILABLE", f"The database can't be reached; try again soon. (Error {id_}.)"
    return {**error.formatted, "message": message, "extensions": {"code": code, "errorId": id_}}


def _response(
    body: dict[str, Any], media_type: str, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    # Browsers get a page from the same address.
    headers = {"Vary": "Accept", **(headers or {})}
    return Response(
        orjson.dumps(body, option=leaves.JSON_OPTIONS), status, headers, media_type=f"{media_type}; charset=utf-8"
    )
