"""GraphiQL at the GraphQL endpoint, and a plain page if ``make web`` has not built it."""

import html
import os
import string
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

HERE = Path(__file__).parent.parent / "web"
BUILT = HERE / "graphiql"

CSP = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; font-src 'self'; "
    # Monaco writes its theme into <style> elements, and the place of every line into style attributes.
    "style-src 'self' 'unsafe-inline'; "
    # Monaco's style sheet carries its squiggles and arrows as data URLs.
    "img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

FIRST_QUERY = """\
# Ctrl-Enter runs the query, Ctrl-Space completes.
# The book on the left opens the documentation.
# A token goes under Headers, at the bottom:
#   {"Authorization": "Bearer ..."}
query NewestReleases {
  releases(first: 3) {
    nodes {
      name
      version
    }
  }
}
"""

_GRAPHIQL = string.Template((HERE / "graphiql.html").read_text(encoding="utf-8"))
_UNBUILT = string.Template((HERE / "unbuilt.html").read_text(encoding="utf-8"))


def graphiql(request: Request, query: str = FIRST_QUERY) -> HTMLResponse:
    """Answer a browser at the GraphQL endpoint. The routes of the application must include ``assets()``.

    The page sends its operations to the address that it was loaded from; it shows ``query`` to a visitor that has
    none stored from an earlier visit. The security headers are on the response, and a page built while the server
    runs is served from the next request on.
    """
    if (BUILT / "graphiql.js").is_file():
        folder = request.url_for("graphiql", path="").path.rstrip("/")
        body = _GRAPHIQL.substitute(assets=html.escape(folder), query=html.escape(query))
    else:
        body = _UNBUILT.substitute(endpoint=html.escape(str(request.url.replace(query=""))))
    return HTMLResponse(
        body,
        headers={
            "Cache-Control": "no-cache",
            "Content-Security-Policy": CSP,
            "Referrer-Policy": "same-origin",
            "Vary": "Accept",
            "X-Content-Type-Options": "nosniff",
        },
    )


def assets() -> Mount:
    """Return the route of the files that ``make web`` built; until then, everything under it is a 404."""
    return Mount("/graphiql", _Assets(directory=BUILT, check_dir=False), name="graphiql")


class _Assets(StaticFiles):
    async def check_config(self) -> None:
        """Accept a folder that is not built yet, which Starlette would answer with a 500."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Make browsers ask whether a file has changed: entry points keep their names between builds."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
