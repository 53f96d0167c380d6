"""GraphQL as clients send it: to the engine itself, or over HTTP to an application in this process."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2

from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage.database import Database


class GraphQLClient:
    """A client whose `respond` returns the whole response to a query."""

    async def respond(self, query: str, **variables: Any) -> Any:
        raise NotImplementedError

    async def ask(self, query: str, **variables: Any) -> Any:
        """The data of a query that has to succeed."""
        response = await self.respond(query, **variables)
        assert "errors" not in response, response["errors"]
        return response["data"]

    async def error(self, query: str, **variables: Any) -> dict[str, Any]:
        """The one error of a query that has to fail."""
        response = await self.respond(query, **variables)
        [error] = response["errors"]
        return dict(error)


class HTTPClient(GraphQLClient):
    """A client of a server."""

    def __init__(self, http: httpx2.AsyncClient, accept: str | None = None) -> None:
        self.http = http
        self._headers = {"accept": accept} if accept else None

    async def post(self, query: str, **variables: Any) -> httpx2.Response:
        """The HTTP response to a query."""
        body = {"query": query, "variables": variables}
        return await self.http.post("/graphql", json=body, headers=self._headers)

    async def respond(self, query: str, **variables: Any) -> Any:
        return (await self.post(query, **variables)).json()


@contextlib.asynccontextmanager
async def served(database: Database, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application over a database, without a network between them."""
    app = create_app(Settings(**settings), database=database)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client
