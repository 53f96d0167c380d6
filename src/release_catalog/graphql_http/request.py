"""The parameters of a GraphQL request, from its body or its address, and the media type that it accepts."""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from release_catalog.domain import json_values
from release_catalog.graphql_api.request_errors import RequestError, limit_exceeded

EVENT_STREAM = "text/event-stream"
# The name for any notation of Apollo's multipart/mixed;subscriptionSpec="1.0".
MULTIPART = "multipart/mixed;subscriptionSpec=1.0"
MEDIA_TYPES = "application/json", "application/graphql-response+json", EVENT_STREAM, MULTIPART
_JSON, _RESPONSE_JSON, *_ = MEDIA_TYPES
STREAMS = frozenset({EVENT_STREAM, MULTIPART})
_SUBSCRIPTION_SPEC = re.compile(r"subscriptionspec=\"?1\.0\"?")
_WEIGHT = re.compile(r"q=([01](?:\.\d*)?)")
# At most this many characters in the name of an operation, and in the id or hash of a document.
MAX_NAME = 1_024
# A useful body has fewer values than this at its maximum size; empty lists or short names would take a hundred
# times their bytes.
BYTES_A_VALUE = 16


@dataclasses.dataclass(frozen=True)
class GraphQLRequest:
    """The parameters of a GraphQL request."""

    # The parameters that identify the document.
    document: Mapping[str, Any]
    variables: dict[str, Any] | None
    operation_name: str | None


async def read_request(request: Request, max_bytes: int) -> GraphQLRequest:
    """Read the parameters of a request; raise RequestError if it is not a GraphQL request."""
    if request.method == "GET":
        return validate({name: _from_url(name, value) for name, value in request.query_params.items()})
    if request.method != "POST":
        raise RequestError(
            405, "This method is not allowed: send requests by POST, or queries by GET.", Allow="GET, POST"
        )
    parameters = await read_json(request, max_bytes)
    if not isinstance(parameters, dict):
        raise RequestError(400, "The body must be a JSON object with the document in query: correct it.")
    return validate(parameters)


async def read_json(request: Request, max_bytes: int) -> Any:
    """Return the JSON in the body of a request; raise RequestError for another body or one that is too large."""
    _check_media_type(request.headers.get("content-type", ""))
    body = await _body(request, max_bytes)
    check_json_size(body, max_bytes)
    try:
        return json_values.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"The body is not JSON: correct it ({error}).") from error


@functools.lru_cache(256)
def _check_media_type(header: str) -> None:
    media_type, *about = [part.strip() for part in header.lower().split(";")]
    if media_type != _JSON:
        raise RequestError(415, f"The media type of the body is not supported: send {_JSON}.", Accept_Post=_JSON)
    charsets = {part.removeprefix("charset=").strip('"') for part in about if part.startswith("charset=")}
    if charsets - {"utf-8", "utf8"}:
        raise RequestError(415, "The body is not UTF-8: send it in UTF-8.", Accept_Post=_JSON)


async def _body(request: Request, max_bytes: int) -> bytes:
    """Return the request's body; refuse it as soon as it grows past the limit."""
    body = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > max_bytes:
            extensions = {"code": "LIMIT_EXCEEDED", "limit": "body", "allowed": max_bytes}
            reason = f"The body exceeds the limit body: send at most {max_bytes} bytes."
            raise RequestError(413, reason, extensions, Connection="close")
        if not message.get("more_body"):
            return bytes(body)


def _from_url(name: str, value: str) -> Any:
    if name not in {"variables", "extensions"}:
        return value
    try:
        return json_values.loads(value) if value else None
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"{name} is not JSON: correct it ({error}).") from error


def validate(parameters: dict[str, Any]) -> GraphQLRequest:
    """Return the parameters of a request; raise RequestError if they are invalid."""
    _check_document(parameters)
    for name in ("variables", "extensions"):
        if not isinstance(parameters.get(name), dict | None):
            raise RequestError(400, f"{name} must be a JSON object: correct it.")
    operation_name = parameters.get("operationName")
    if not isinstance(operation_name, str | None):
        raise RequestError(400, "operationName must be a text: correct it.")
    _check_name("operationName", operation_name)
    return GraphQLRequest(parameters, parameters.get("variables"), operation_name or None)


def _check_name(parameter: str, name: Any) -> None:
    if isinstance(name, str) and len(name) > MAX_NAME:
        raise limit_exceeded("texts", MAX_NAME, f"{parameter} has {len(name)} characters")


def _check_document(parameters: dict[str, Any]) -> None:
    query, id_, extensions = (parameters.get(name) for name in ("query", "documentId", "extensions"))
    persisted = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
    digest = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
    _check_name("documentId", id_)
    _check_name("sha256Hash", digest)
    if query is None and (isinstance(id_, str) or isinstance(digest, str)):
        return
    if not isinstance(query, str) or not query:
        raise RequestError(400, "The GraphQL document is missing: give it as text in query.")
    if id_ is not None:
        raise RequestError(400, "query and documentId exclude each other: give one of them.")


def check_json_size(body: bytes, most_bytes: int) -> None:
    """Refuse JSON with more values than make sense in `most_bytes`: commas and brackets, even those in texts."""
    most = most_bytes // BYTES_A_VALUE
    count = len(body) - len(body.translate(None, b"[{,")) if len(body) > most else 0
    if count > most:
        raise limit_exceeded("values", most, f"The body has up to {count} values")


@functools.lru_cache(256)
def accepted_media_type(accept: bytes, *, multipart: bool = True) -> str:
    """Return the media type that the client likes best: RFC 9110, 12.5.1; a stream only if `accept` names it.

    Without `multipart`, leave MULTIPART out. Raise RequestError if the client accepts none.
    """
    qualities = dict(_accepted(accept.decode("latin-1") or "*/*"))

    def quality(media_type: str) -> float:
        ranges = (media_type, "application/*", "*/*")  # the most specific one counts
        return next((qualities[name] for name in ranges if name in qualities), 0)

    # Of equals, the first that the client names; a client that names neither is used to JSON.
    named = [name for name in qualities if name in MEDIA_TYPES and (multipart or name != MULTIPART)]
    found = max((*named, _JSON, _RESPONSE_JSON), key=quality)
    if not quality(found):
        either = ", ".join(MEDIA_TYPES)
        raise RequestError(406, f"This endpoint does not offer an accepted media type: accept one of {either}.")
    return found


def prefers_html(accept: str, *media_types: str) -> bool:
    """Return whether `accept` names HTML and likes it better than `media_types`, as that of a browser does."""
    qualities = dict(_accepted(accept))
    named = [qualities[name] for name in media_types if name in qualities]
    ranges = (_JSON, "application/*", "*/*")
    other = max(named) if named else next((qualities[name] for name in ranges if name in qualities), 0)
    return qualities.get("text/html", 0) > other


def _accepted(header: str) -> Iterator[tuple[str, float]]:
    """Yield the media ranges of an Accept header with their weights; skip invalid weights."""
    for entry in header.lower().split(","):
        media_range, *parameters = (part.strip() for part in entry.split(";"))
        weights = (match[1] for part in parameters if (match := _WEIGHT.fullmatch(part)))
        if media_range == "multipart/mixed" and any(map(_SUBSCRIPTION_SPEC.fullmatch, parameters)):
            media_range = MULTIPART
        yield media_range, float(next(weights, 1))
