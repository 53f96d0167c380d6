"""Where a query by GET may come from."""

import re

from starlette.datastructures import Headers

from release_catalog.api.refusals import Refusal

# Headers that browsers send across sites only after asking whether they may.
_PREFLIGHT = (
    "apollo-require-preflight",
    "x-apollo-operation-name",
    "x-requested-with",
    "graphql-require-preflight",
)
_JSON = "application/json"
_NAMED = re.compile(r"application/(graphql-response\+)?json", re.IGNORECASE)


def check(headers: Headers) -> None:
    """Refuse a query by GET that a page of another site may have made a browser send.

    Apollo's rule is to take only what a browser asks permission for before it sends it across sites: a header of
    its own, or JSON, which POST has to be here anyway. Tools and the audits of GraphQL over HTTP send GET without;
    they name a GraphQL media type instead, which links, images, forms and scripts can't. Only fetch() can, and
    whoever has that says in Sec-Fetch-Site where the request comes from.
    """
    if headers.get("content-type", "").partition(";")[0].strip().lower() == _JSON:
        return
    if any(name in headers for name in _PREFLIGHT):
        return
    site = headers.get("sec-fetch-site")
    if site in {"same-origin", "none"} or (site is None and _NAMED.search(headers.get("accept", ""))):
        return
    reason = f"Send a query by GET with the header {_PREFLIGHT[0]}: true, or with Accept: {_JSON}."
    raise Refusal(403, reason, {"code": "CSRF"})
