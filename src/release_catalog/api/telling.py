"""What is said of the result of an operation: data and errors, and of what nobody foresaw an id alone."""

from collections.abc import AsyncGenerator
from typing import Any

import orjson
import structlog
from graphql import ExecutionResult, GraphQLError

from release_catalog.api.refusals import Refusal
from release_catalog.domain import ids
from release_catalog.plans import leaves
from release_catalog.store.database import Unavailable, timed_out

Json = dict[str, Any]
# The responses to one operation, as they come.
Results = AsyncGenerator[Json, None]

_log = structlog.get_logger()


def refused(refusal: Refusal) -> Json:
    """The response to what is not executed."""
    told = {"message": str(refusal)} | ({"extensions": refusal.extensions} if refusal.extensions else {})
    return {"errors": [told]}


def formatted(result: ExecutionResult) -> Json:
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


def encoded(body: Json) -> bytes:
    """A response in JSON."""
    return orjson.dumps(body, option=leaves.JSON_OPTIONS)
