"""GraphiQL at the GraphQL endpoint, a plain page if ``make web`` has not built it, and one where it is off."""

import html
import string
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount

from release_catalog.hal.html import CSP as PAGE_CSP
from release_catalog.hal.html import HEADER, text_page
from release_catalog.server.static_files import BuiltFiles

HERE = Path(__file__).parent.parent / "web"
BUILT = HERE / "graphiql"
# The page with the names of the built files in it.
TEMPLATE = BUILT / "index.html"
LICENSES = "LICENSES.txt"

CSP = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; font-src 'self'; "
    # Monaco writes its theme into <style> elements, and the place of every line into style attributes.
    "style-src 'self' 'unsafe-inline'; "
    # Monaco's style sheet carries its squiggles and arrows as data URLs.
    "img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_UNBUILT = string.Template((HERE / "unbuilt.html").read_text(encoding="utf-8"))
_OFF = """<h1>No query editor here</h1>
<p>This server keeps its GraphQL schema to itself, and an editor is of no use without it. Programs send their
queries to this address by POST, with a token in the header <code>Authorization: Bearer</code>.</p>
<p>An operator offers the editor with <code>RELEASE_CATALOG_INTROSPECTION=authenticated</code>, which shows the
schema to callers with credentials only.</p>
<p>The documents of releases have pages: begin at <a href="/v1" rel="noopener noreferrer">the entry point</a>.</p>
"""


def graphiql(request: Request, *, needs_token: bool) -> HTMLResponse:
    """Answer a browser at the GraphQL endpoint. The routes of the application must include ``assets()``.

    The page runs nothing by itself: it shows the query in its address, or examples to a first visitor. It sends
    its operations to the address that it was loaded from, and asks for a token first if one is needed. A page that
    is built while the server runs is served from the next request on.
    """
    if TEMPLATE.is_file():
        folder = request.url_for("graphiql", path="").path.rstrip("/")
        template = string.Template(TEMPLATE.read_text(encoding="utf-8"))
        access = "token" if needs_token else "open"
        body = template.substitute(assets=html.escape(folder), header=HEADER, access=access).encode()
        return _response(body, CSP)
    endpoint = html.escape(str(request.url.replace(query="")))
    return _response(text_page("Query editor", _UNBUILT.substitute(endpoint=endpoint)), PAGE_CSP)


def without_editor() -> HTMLResponse:
    """Tell a browser that nobody may read the schema, so that there is no editor."""
    return _response(text_page("No query editor", _OFF), PAGE_CSP, 404)


def assets() -> Mount:
    """Return the route of the files that ``make web`` built; until then, everything under it is a 404."""
    return Mount("/graphiql", BuiltFiles(BUILT, LICENSES), name="graphiql")


def _response(body: bytes, policy: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(
        body,
        status,
        headers={
            "Cache-Control": "no-cache",
            "Content-Security-Policy": policy,
            "Referrer-Policy": "same-origin",
            "Vary": "Accept",
            "X-Content-Type-Options": "nosniff",
        },
    )
