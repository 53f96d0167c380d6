"""A router for addresses in which an id may hold a slash, written as %2F."""

import urllib.parse
from collections.abc import Sequence

from starlette.requests import Request
from starlette.routing import BaseRoute, Router
from starlette.types import Receive, Scope, Send

from release_catalog.hal import responses


class PathRouter:
    """An application of routes that are matched with the path as it was sent."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self.router = Router(routes, redirect_slashes=False, default=self._unknown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the route of its path; the parts of the path stay quoted.

        Nothing has a path that is not UTF-8.
        """
        sent = responses.sent_path(scope)
        app = self.router if _is_utf8(sent) else self._unknown
        place = {"path": sent, "raw_path": sent.encode(), "root_path": ""}
        await app({**scope, **place}, receive, send)

    async def _unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await responses.missing(Request(scope))(scope, receive, send)
        else:
            await self.router.not_found(scope, receive, send)


def _is_utf8(path: str) -> bool:
    try:
        urllib.parse.unquote(path, errors="strict")
    except UnicodeDecodeError:
        return False
    return True
