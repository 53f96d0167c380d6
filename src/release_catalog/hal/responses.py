"""A document as an HTTP response, or the problem that came up instead (RFC 9457)."""

import hashlib
import http
from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response

from release_catalog.domain import ids
from release_catalog.problems import BadArgument, details

METHODS = ("GET", "HEAD")
_log = structlog.get_logger()


def found(request: Request, document: Mapping[str, Any], media_type: str) -> Response:
    """The document, or only its tag where the client has it already."""
    body = orjson.dumps(document)
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"etag": etag, "cache-control": "private, no-cache"}
    given = ",".join(request.headers.getlist("if-none-match"))
    known = [tag.strip().removeprefix("W/") for tag in given.split(",")]
    if etag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def missing(request: Request) -> Response:
    """404: it does not exist for this caller."""
    return _problem(request, 404, "Not Found", "There is nothing at this address.")


def unknown(request: Request, status: int, reason: str, headers: Mapping[str, str]) -> Response:
    """401 or 429, or what else there is to say to a caller who is not known or has asked too much."""
    response = _problem(request, status, http.HTTPStatus(status).phrase, reason)
    response.headers.update(headers)
    return response


def forbidden(request: Request) -> Response:
    """403: the caller may read nothing."""
    detail = "This needs the scope release:read, which your credentials do not have."
    return _problem(request, 403, "Forbidden", detail)


def not_allowed(request: Request) -> Response:
    """405: these documents are only read."""
    allowed = ", ".join(METHODS)
    response = _problem(request, 405, "Method Not Allowed", f"This address answers {allowed}.")
    response.headers["allow"] = allowed
    return response


def refused(request: Request, error: BadArgument) -> Response:
    """400: a parameter or a part of the path has no meaning."""
    violations = [{"field": error.argument, "message": error.reason}]
    return _problem(request, 400, "Bad Request", str(error.message), violations=violations)


def unavailable(request: Request, error: Exception) -> Response:
    """503: the database is out of reach."""
    return _logged(request, 503, "Service Unavailable", "The database can't be reached; try again soon.", error)


def too_slow(request: Request, error: Exception) -> Response:
    """503: the database took longer than it may."""
    return _logged(request, 503, "Service Unavailable", "The database took longer than it may.", error)


def failed(request: Request, error: Exception) -> Response:
    """500: a bug, of which the client learns no more than where to find it in the log."""
    return _logged(request, 500, "Internal Server Error", "An unexpected error occurred.", error)


def _logged(request: Request, status: int, title: str, detail: str, error: Exception) -> Response:
    id_ = ids.new()
    _log.error("unexpected error", error_id=id_, path=request.scope["path"], exc_info=error)
    return _problem(request, status, title, f"{detail} Its id in the server's log is {id_}.", error_id=id_)


def _problem(request: Request, status: int, title: str, detail: str, **members: Any) -> Response:
    body = details(status, title, detail, instance=request.scope["path"], **members)
    return Response(orjson.dumps(body), status, media_type="application/problem+json")
