"""The response to an operation: data and errors; an unexpected error shows only an id."""

import dataclasses
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import structlog
from graphql import ExecutionResult, GraphQLError

from release_catalog import request_record
from release_catalog.domain import ids
from release_catalog.errors import BrokenDocument
from release_catalog.graphql_api.request_errors import RequestError
from release_catalog.query_engine.context import Context
from release_catalog.storage import database as db
from release_catalog.storage.outages import CHANGED, Outage, is_silence, outage, reason
from release_catalog.usage import JSON_OPTIONS

Json = dict[str, Any]
# The responses to one operation, as they come.
Results = AsyncGenerator[Json, None]

_log = structlog.get_logger()


@dataclasses.dataclass(frozen=True)
class ErrorContext:
    """The database failures of a request, which its errors do not show."""

    # The first error: later attempts may have had no time left.
    failure: Exception | None = None
    # Whether the database answered when it was asked for a sign of life.
    reachable: bool = False
    # The root fields of the mutations that took effect.
    changed: frozenset[str | int] = frozenset()


def format_refusal(refusal: RequestError) -> Json:
    """Return the response to a request that is not executed."""
    request_record.note_limit(refusal.limit)
    if refusal.extensions:
        request_record.add_code(refusal.extensions["code"])
    error = {"message": str(refusal)} | ({"extensions": refusal.extensions} if refusal.extensions else {})
    return {"errors": [error]}


async def response(result: ExecutionResult, context: Context) -> Json:
    """Return the response; if the database was silent, first check whether it answers at all."""
    errors = result.errors
    if not errors:
        return format_result(result)
    failure = context.level.failure
    silent = any(is_silence(failure or error.original_error) for error in errors)
    reachable = silent and await db.answers(context.database)
    return format_result(result, ErrorContext(failure, reachable, frozenset(context.changed)))


def format_result(result: ExecutionResult, met: ErrorContext = ErrorContext()) -> Json:
    """Return the response in GraphQL's format: without data if nothing was executed."""
    extensions = {"extensions": result.extensions} if result.extensions else {}
    if not result.errors:
        return {"data": result.data, **extensions}
    error_ids: dict[int, str] = {}
    errors = [mask_error(error, error_ids, met) for error in result.errors]
    for error in errors[: request_record.MAX_CODES]:
        # Only errors of graphql-core have no code: of an invalid document, or of an invalid value of a variable.
        extensions_ = error.get("extensions", {})
        request_record.add_code(extensions_.get("code", "BAD_REQUEST"))
        request_record.note_limit(extensions_.get("limit"))
    if result.data is None and all(error.path is None for error in result.errors):
        return {"errors": errors}
    return {"errors": errors, "data": result.data, **extensions}


def mask_error(error: GraphQLError, error_ids: dict[int, str], met: ErrorContext) -> Any:
    """Return an error as a client may see it; log an unexpected one under an id, and show the id alone.

    One failure may cause many errors: `error_ids` holds the ids of those that are logged already.
    """
    cause = error.original_error
    # An error without a path is about the request alone: nothing was executed.
    if cause is None or isinstance(cause, GraphQLError) or error.path is None:
        return error.formatted
    if met.failure and isinstance(cause, db.Failure):
        cause = met.failure
    found = outage(cause, reachable=met.reachable)
    if id(cause) not in error_ids:
        error_ids[id(cause)] = ids.new()
        _note(cause, found, error_ids[id(cause)], error.path)
    id_ = error_ids[id(cause)]
    if found:
        found = CHANGED if error.path[0] in met.changed else found
        message, extensions = f"{found.message} (Error {id_}.)", found.extensions
        if met.changed:
            extensions["changed"] = sorted(map(str, met.changed))
    else:
        message = f"Unexpected error {id_}: report this id. The cause is in the server's log."
        extensions = {"code": "INTERNAL_SERVER_ERROR"}
        if isinstance(cause, BrokenDocument):
            message = f"The stored {cause.kind} {cause.id!r} can't be read. {message}"
            extensions["documentId"] = cause.id
    return {**error.formatted, "message": message, "extensions": {**extensions, "errorId": id_}}


def _note(cause: Exception, found: Outage | None, id_: str, path: Any) -> None:
    if found:
        # One outage fails many requests: tracebacks would hold the event loop, and tell nothing.
        why = reason(cause.__cause__ or cause)
        _log.error(found.code.lower(), error_id=id_, path=path, reason=why, outcome=found.outcome)
    else:
        _log.error("unexpected error", error_id=id_, path=path, exc_info=cause)


def retry_after(body: Json) -> int | None:
    """Return the seconds after which to repeat a request that the database did not serve at all.

    Any other request gives None: a client that repeats it of its own accord must not do again what took effect.
    """
    if "errors" not in body:
        return None
    extensions = [error.get("extensions", {}) for error in body["errors"]]
    answered = any(value is not None for value in (body.get("data") or {}).values())
    if answered or any("changed" in each for each in extensions):
        return None
    seconds: list[int] = [each["retryAfter"] for each in extensions if each.get("code") == "UNAVAILABLE"]
    return max(seconds, default=None)


def encode_json(body: Json) -> bytes:
    """Return a response as JSON."""
    return orjson.dumps(body, option=JSON_OPTIONS)
