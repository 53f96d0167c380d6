"""The page of the query editor as browsers get it: it runs nothing, and its files are small and never stale."""

import gzip
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from graphql import OperationDefinitionNode, parse, validate
from starlette.applications import Starlette
from starlette.routing import Mount

from release_catalog.graphql_api.schema import schema
from release_catalog.query_engine.context import Context
from release_catalog.server import graphiql
from release_catalog.server.app import create_app
from release_catalog.server.static_files import preferred_encoding
from release_catalog.settings import Settings
from support.catalog import Catalog
from support.graphql_client import client_of, data_of, post, served

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
FOLDER = graphiql.HERE / "examples"
EXAMPLES = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.graphql"))}
built = pytest.mark.skipif(not graphiql.TEMPLATE.is_file(), reason="GraphiQL is not built: make web")


@pytest.fixture
async def http(stocked: Catalog) -> AsyncIterator[httpx2.AsyncClient]:
    async with served(stocked.database) as http:
        yield http


def variables(example: str) -> dict[str, Any]:
    file = FOLDER / f"{example}.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return found


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_is_valid_and_opens(name: str) -> None:
    document = parse(EXAMPLES[name])
    assert validate(schema._schema, document) == []
    [operation] = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    declared = {one.variable.name.value for one in operation.variable_definitions or ()}
    assert declared == variables(name).keys()
    assert f'"./examples/{name}.graphql"' in (graphiql.HERE / "tabs.js").read_text()


# The last one is a subscription: see test_graphiql.
@pytest.mark.parametrize("name", list(EXAMPLES)[:-1])
async def test_each_example_answers_from_the_sample(http: httpx2.AsyncClient, name: str) -> None:
    [found] = data_of(await post(http, EXAMPLES[name], variables=variables(name))).values()
    if name == "4-promote":
        assert found["dryRun"]
        assert found["problem"] is None
        assert found["promotion"]["status"] == "COMPLETED"
        assert found["promotion"]["artifacts"]
    else:
        assert '"version": "' in json.dumps(found)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "query",
    ["{ releases(first: 1) { nodes { id } } }", 'mutation { discardRelease(input: {id: "a"}) { problem { detail } } }', "}{"],
)  # fmt: skip
async def test_a_link_with_a_query_runs_nothing(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, method: str, query: str
) -> None:
    def made(*_: Any) -> Any:
        raise AssertionError("the request got a context")

    monkeypatch.setattr(Context, "__init__", made)
    asked = {"query": query, "variables": '{"a": 1}', "operationName": "A"}
    response = await http.request(method, "/graphql", params=asked, headers={"accept": CHROME})
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "discardRelease" not in response.text
    # The page is the same for all: the query stays in the browser.
    assert response.text == (await http.request(method, "/graphql", headers={"accept": CHROME})).text


@pytest.mark.parametrize(
    "accept",
    ["application/json", "application/graphql-response+json", "*/*", "application/json, text/html;q=0.9", ""],
)
async def test_programs_get_the_answer(http: httpx2.AsyncClient, accept: str) -> None:
    response = await http.get("/graphql", params={"query": "{ __typename }"}, headers={"accept": accept})
    assert response.json()["data"] == {"__typename": "Query"}


async def test_the_page_comes_without_credentials_and_says_whether_it_needs_a_token(stocked: Catalog) -> None:
    for settings, access in (({}, "open"), ({"authentication": "required"}, "token")):
        async with served(stocked.database, **settings) as http:
            page = await http.get("/graphql", headers={"accept": CHROME})
            assert page.status_code == 200
            assert page.headers["vary"] == "Accept"
            if graphiql.TEMPLATE.is_file():
                assert f'data-access="{access}"' in page.text
            assert "<script>" not in page.text
            assert not re.search(r'\son\w+="', page.text)


async def test_without_introspection_a_browser_reads_why(stocked: Catalog) -> None:
    async with served(stocked.database, introspection="off") as http:
        for address in ("/graphql", "/graphql?query={__typename}"):
            page = await http.get(address, headers={"accept": CHROME})
            assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
            assert "RELEASE_CATALOG_INTROSPECTION" in page.text
            assert 'href="/v1"' in page.text
        assert data_of(await post(http, "{ __typename }")) == {"__typename": "Query"}


async def test_a_page_that_is_not_built_says_how(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(graphiql, "TEMPLATE", tmp_path / "index.html")
    page = await http.get("/graphql?query=%3Cscript%3E", headers={"accept": CHROME})
    assert page.status_code == 200
    assert "make web" in page.text
    assert "http://localhost/graphql " in page.text
    assert "<script" not in page.text


@built
async def test_each_file_is_compressed_and_kept_for_ever(http: httpx2.AsyncClient) -> None:
    page = (await http.get("/graphql", headers={"accept": CHROME})).text
    linked = re.findall(r'(?:src|href)="(/graphiql/[^"]+)"', page)
    workers = [f"/graphiql/{name}" for name in re.findall(r'data-\w+="([^"]+\.js)"', page)]
    assert len(linked) == 2
    assert len(workers) == 3
    for path in linked + workers:
        plain = await http.get(path, headers={"accept-encoding": "identity"})
        assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "content-encoding" not in plain.headers
        found = {}
        for encoding in ("br", "gzip"):
            async with http.stream("GET", path, headers={"accept-encoding": encoding}) as response:
                found[encoding] = b"".join([part async for part in response.aiter_raw()])
            for name in ("cache-control", "content-type", "vary"):
                assert response.headers[name] == plain.headers[name]
            assert response.headers["content-encoding"] == encoding
            assert response.headers["vary"] == "Accept-Encoding"
            assert response.headers["etag"] != plain.headers["etag"]
        assert gzip.decompress(found["gzip"]) == plain.content
        if len(plain.content) > 1_000:
            assert len(found["br"]) < len(found["gzip"]) < len(plain.content) / 2
        known = {"accept-encoding": "br", "if-none-match": response.headers["etag"]}
        assert (await http.get(path, headers={**known, "accept-encoding": "gzip"})).status_code == 304
    for path in ("/graphiql/index.html", f"{linked[0]}.br", "/graphiql/../page.css", "/graphiql/none-ABCDEFGH.js"):
        assert (await http.get(path)).status_code == 404
    licences = await http.get("/graphiql/LICENSES.txt")
    assert licences.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("", ""), ("identity", ""), ("gzip, deflate, br, zstd", "br"), ("gzip", "gzip"), ("*", "br"),
        ("br;q=0, *", "gzip"), ("br;q=0.5, gzip;q=0.8", "gzip"), ("BR ; Q=1", "br"), ("br;q=0,gzip;q=0", ""),
        ("identity;q=1, gzip;q=0.5", ""), ("br;q=x", "br"), (",,;;", ""), ("deflate", ""),
    ],
)  # fmt: skip
def test_the_encoding_is_that_which_the_client_likes_best(header: str, encoding: str) -> None:
    assert preferred_encoding(header) == encoding


async def test_a_mounted_application_links_its_own_files(stocked: Catalog) -> None:
    app = create_app(Settings(), database=stocked.database)
    async with app.router.lifespan_context(app), client_of(Starlette(routes=[Mount("/catalog", app)])) as http:
        page = await http.get("/catalog/graphql", headers={"accept": CHROME})
        assert page.status_code == 200
        for path in re.findall(r'src="([^"]+)"', page.text):
            assert path.startswith("/catalog/graphiql/")
            assert (await http.get(path)).status_code == 200
