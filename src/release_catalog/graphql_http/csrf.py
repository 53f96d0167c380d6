"""Protection of GET requests against pages of other sites (cross-site request forgery)."""

import re
from collections.abc import Collection

from starlette.datastructures import Headers

from release_catalog.graphql_api.request_errors import RequestError

# Browsers send these headers across sites only after a preflight request has allowed them.
_PREFLIGHT = (
    "apollo-require-preflight",
    "x-project-token",
    "x-apollo-operation-name",
    "x-requested-with",
    "graphql-require-preflight",
)
_BASIC = re.compile("basic", re.IGNORECASE)
_JSON = "application/json"
_NAMED = re.compile(r"application/(graphql-response\+)?json", re.IGNORECASE)


def check_csrf(headers: Headers, *, strict: bool, origins: Collection[str] = ()) -> None:
    """Refuse a query by GET that a page of another site may have made a browser send.

    Apollo's rule is to accept only requests that a browser asks permission for before it sends them across sites:
    with a header of its own, or JSON, which must be a POST here anyway. But tools, and the audits of GraphQL over
    HTTP, send plain GET. Browsers since 2023 give the origin of a request in Sec-Fetch-Site, and no tool sends
    that header, so it tells them apart. If `strict`, a request without it must name a GraphQL media type, which no
    link, image, form or script of an older browser can. A query changes nothing in any case, and no other site can
    read its response. Pages of `origins` may: an EventSource of theirs can send neither a POST nor a header.
    """
    if _is_safe(headers, origins):
        return
    if "sec-fetch-site" not in headers and (not strict or _NAMED.search(headers.get("accept", ""))):
        return
    reason = f"A query by GET needs the header {_PREFLIGHT[0]}: true. Send it, or use POST."
    raise RequestError(403, reason, {"code": "CSRF"})


def check_hal_csrf(headers: Headers, origins: Collection[str]) -> None:
    """Refuse a request for a HAL document that a page of another site may have made a browser send.

    Pages of `origins` may read the documents, so they may request them too. Clients other than browsers do not
    send Sec-Fetch-Site.
    """
    if "sec-fetch-site" not in headers or _is_safe(headers, origins):
        return
    reason = (
        "The request comes from a page of another site: add its origin to "
        f"RELEASE_CATALOG_CORS_ORIGINS, or send the header {_PREFLIGHT[0]}: true."
    )
    raise RequestError(403, reason, {"code": "CSRF"})


def _is_safe(headers: Headers, origins: Collection[str]) -> bool:
    """Return whether only pages of this site or of `origins` can have made a browser send these headers."""
    if headers.get("origin") in origins:
        return True
    if headers.get("content-type", "").partition(";")[0].strip().lower() == _JSON:
        return True
    # A browser that knows a name and a password sends them to every page that asks.
    if any(name in headers for name in _PREFLIGHT) or not _BASIC.match(headers.get("authorization", "Basic")):
        return True
    return headers.get("sec-fetch-site") in {"same-origin", "none"}
