"""GraphQL as clients send it: to the engine itself, or over HTTP to a server in this process or in another one.

Nothing else in the tests sends JSON over HTTP, except as raw bytes where a test is about HTTP itself.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Coroutine
from typing import Any, overload

import httpx2
from starlette.applications import Starlette

from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage.database import Database

JSON, RESPONSE, EVENT_STREAM = "application/json", "application/graphql-response+json", "text/event-stream"
Response = httpx2.Response


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
        return _error(await self.respond(query, **variables))


@overload
def post(
    http: httpx2.AsyncClient, query: str | None = None, accept: str | None = None, *, url: str = "", headers: Any = None,
    **parameters: Any,
) -> Coroutine[Any, Any, Response]: ...  # fmt: skip
@overload
def post(
    http: httpx2.Client, query: str | None = None, accept: str | None = None, *, url: str = "", headers: Any = None,
    **parameters: Any,
) -> Response: ...  # fmt: skip
def post(
    http: httpx2.AsyncClient | httpx2.Client,
    query: str | None = None,
    accept: str | None = None,
    *,
    url: str = "",
    headers: Any = None,
    **parameters: Any,
) -> Coroutine[Any, Any, Response] | Response:
    """The response to a query by POST; what else is in the body are `parameters`, such as `variables`."""
    body = parameters if query is None else {"query": query, **parameters}
    return http.post(f"{url}/graphql", json=body, headers=_headers(accept, headers))


async def get(
    http: httpx2.AsyncClient,
    query: str | None = None,
    accept: str | None = None,
    *,
    url: str = "",
    headers: Any = None,
    **parameters: str,
) -> Response:
    """The response to a query by GET, with `parameters` as they are."""
    asked = parameters if query is None else {"query": query, **parameters}
    return await http.get(f"{url}/graphql", params=asked, headers=_headers(accept, headers))


@contextlib.asynccontextmanager
async def stream(
    http: httpx2.AsyncClient,
    query: str,
    accept: str = EVENT_STREAM,
    *,
    url: str = "",
    headers: Any = None,
    **parameters: Any,
) -> AsyncIterator[Response]:
    """The response to a query that comes as events or in parts, not yet read."""
    body = {"query": query, **parameters}
    accepting = _headers(accept, headers)
    async with http.stream("POST", f"{url}/graphql", json=body, headers=accepting) as response:
        yield response


async def results(response: Response) -> AsyncIterator[Any]:
    """The results in a response that comes as events."""
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def ask(url: str, query: str, *, headers: Any = None, **variables: Any) -> Any:
    """The data of a query that has to succeed, from the server at a URL."""
    with httpx2.Client(timeout=60) as http:
        return data_of(post(http, query, url=url, headers=headers, variables=variables))


def data_of(response: Response) -> Any:
    """The data of a request that has to succeed; every executed operation tells its cost, too."""
    body = response.json()
    assert body.keys() == {"data", "extensions"}, body
    assert body["extensions"].keys() == {"cost"}
    assert body["extensions"]["cost"].keys() >= {"requested", "limit"}
    return body["data"]


def error_of(response: Response) -> dict[str, Any]:
    """The one error of a request that has to fail, whether there is data beside it or not."""
    return _error(response.json())


def refusal_of(response: Response) -> dict[str, Any]:
    """The one error of a request that was not executed."""
    assert response.json().keys() == {"errors"}
    return error_of(response)


def _error(body: Any) -> dict[str, Any]:
    assert "errors" in body, body
    [error] = body["errors"]
    return dict(error)


def _headers(accept: str | None, headers: Any) -> Any:
    return headers if accept is None else {**(headers or {}), "accept": accept}


def client_of(app: Starlette, **options: Any) -> httpx2.AsyncClient:
    """A client of an application in this process; what the application raises, the client raises."""
    transport = httpx2.ASGITransport(app, **options)
    return httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=60)


@contextlib.asynccontextmanager
async def served(database: Database, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application over a database, without a network between them."""
    app = create_app(Settings(**settings), database=database)
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client
