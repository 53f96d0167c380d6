"""A document as an HTTP response, or the problem instead (RFC 9457)."""

import hashlib
import string
import urllib.parse
from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from release_catalog import request_record
from release_catalog.domain import ids
from release_catalog.errors import BrokenDocument, InvalidArgument, problem_json
from release_catalog.graphql_http.request import prefers_html
from release_catalog.hal import html
from release_catalog.storage import outages

UNAUTHORIZED, NOT_FOUND = 401, 404
# Clients that name one of these media types are programs.
_PROBLEM_TYPES = (
    "application/problem+json",
    "application/hal+json",
    "application/graphql-response+json",
    "application/json",
)

_log = structlog.get_logger()


def found(request: Request, body: bytes, media_type: str, **more: str) -> Response:
    """Return a document as it is written, with `more` headers, or only its tag if the client has it already."""
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"etag": etag, "cache-control": "private, no-cache", "vary": "Accept"}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    sent_etags = ",".join(request.headers.getlist("if-none-match"))
    known = [tag.strip().removeprefix("W/") for tag in sent_etags.split(",")]
    if etag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def missing(request: Request) -> Response:
    """Return 404: the document does not exist for this caller."""
    return problem(request, NOT_FOUND, "Nothing exists at this address: check it.")


def refused(request: Request, error: InvalidArgument) -> Response:
    """Return 400: a parameter or a part of the path is invalid."""
    violations = [{"field": error.argument, "message": error.reason, "code": "BAD_USER_INPUT"}]
    return problem(request, 400, str(error.message), violations=violations)


def failed(request: Request, error: Exception, *, reachable: bool = False) -> Response:
    """Answer 503 for an outage, else 500 for a bug; give the client the id of the log entry.

    See storage.outages.outage for `reachable`.
    """
    status, detail, headers, members = 500, "An unexpected error occurred: report it.", {}, {}
    id_, path = ids.new(), request.scope["path"]
    if found := outages.outage(error, reachable=reachable):
        status, detail, headers = 503, found.message, {"retry-after": str(outages.RETRY_SECONDS)}
        members = found.extensions
        _log.error(found.code.lower(), error_id=id_, path=path, reason=outages.reason(error))
    else:
        _log.error("unexpected error", error_id=id_, path=path, exc_info=error)
        if isinstance(error, BrokenDocument):
            detail = f"The stored {error.kind} {error.id!r} can't be read: report it."
            members = {"document_id": error.id}
    with_id = f"{detail} The id in the server's log is {id_}."
    return problem(request, status, with_id, headers, error_id=id_, **members)


def sent_path(scope: Scope) -> str:
    """Return the path of a request as it was sent, but in ASCII."""
    sent: bytes | None = scope.get("raw_path")
    # Some servers give only the decoded path.
    return urllib.parse.quote(sent, safe=string.punctuation) if sent else urllib.parse.quote(scope["path"])


def problem(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any
) -> Response:
    """Return the problem of a request: as JSON, or as a page for a browser."""
    if code := members.get("code"):
        request_record.add_code(code)
        request_record.note_limit(members.get("limit"))
    body = problem_json(status, detail, **{"instance": sent_path(request.scope), **members})
    # A response that depends on Accept: caches must not give a page to a program.
    headers = {**(headers or {}), "vary": "Accept", "cache-control": "private, no-cache"}
    if prefers_html(request.headers.get("accept", ""), *_PROBLEM_TYPES):
        headers["content-security-policy"] = html.CSP
        # The host of a refused request may be no host.
        site = f"{request.url.scheme}://{request.url.netloc}" if status == UNAUTHORIZED else ""
        page = html.problem_page(body, site + body["instance"])
        return Response(page, status, headers, media_type="text/html")
    return Response(orjson.dumps(body), status, headers, media_type=_PROBLEM_TYPES[0])
