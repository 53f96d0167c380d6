"""Where a request by GET may come from."""

import re
from collections.abc import Collection

from starlette.datastructures import Headers

from release_catalog.graphql_api.request_errors import RequestError

# Headers that browsers send across sites only after asking whether they may.
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


def check_csrf(headers: Headers, *, strict: bool) -> None:
    """Refuse a query by GET that a page of another site may have made a browser send.

    Apollo's rule is to take only what a browser asks permission for before it sends it across sites: a header of
    its own, or JSON, which POST has to be here anyway. But tools, and the audits of GraphQL over HTTP, send plain
    GET. Browsers since 2023 say in Sec-Fetch-Site where a request comes from, and no tool does, so that tells them
    apart. Where it is `strict`, what comes without has to name a GraphQL media type, as no link, image, form or
    script of an older browser can. A query changes nothing in any case, and no other site can read its answer.
    """
    if _is_safe(headers) or (
        "sec-fetch-site" not in headers and (not strict or _NAMED.search(headers.get("accept", "")))
    ):
        return
    reason = f"Send a query by GET with the header {_PREFLIGHT[0]}: true, or by POST."
    raise RequestError(403, reason, {"code": "CSRF"})


def check_hal_csrf(headers: Headers, origins: Collection[str]) -> None:
    """Refuse a request for a HAL document that a page of another site may have made a browser send.

    Pages of `origins` may read the documents, so they may ask for them too. Clients that are no browsers do not
    send Sec-Fetch-Site.
    """
    if "sec-fetch-site" not in headers or _is_safe(headers) or headers.get("origin") in origins:
        return
    reason = (
        f"A page of another site sent this: name its origin in RELEASE_CATALOG_CORS_ORIGINS, or have it send the "
        f"header {_PREFLIGHT[0]}: true."
    )
    raise RequestError(403, reason, {"code": "CSRF"})


def _is_safe(headers: Headers) -> bool:
    """Return whether no page of another site can have made a browser send a request with these headers."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() == _JSON:
        return True
    # A name and a password that it knows, a browser sends to whichever page asks.
    if any(name in headers for name in _PREFLIGHT) or not _BASIC.match(headers.get("authorization", "Basic")):
        return True
    return headers.get("sec-fetch-site") in {"same-origin", "none"}
