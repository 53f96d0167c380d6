"""The OpenAPI document: valid, complete, and true of every answer."""

import copy
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import jsonschema
import openapi_spec_validator
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from release_catalog.domain import release_parts, timestamps
from release_catalog.rest import openapi
from release_catalog.server.app import create_app
from release_catalog.settings import Introspection, Settings
from support.catalog import Catalog, source
from support.graphql_client import served

ARGO = "/v1/catalogs/d16c7f4d-b38a-405b-a1ca-3ac0a79418c1/releases/64455e6bd3c480fd58546c75"
CATALINA = "/lifecycle/api/v2/promotion/records/catalina/1.0.0/1684477329586"
FILE = "/v1/catalogs/{catalog}/releases/{release}/files/{file}"
Json = dict[str, Any]


@pytest.fixture
async def http(stocked: Catalog) -> AsyncIterator[httpx2.AsyncClient]:
    async with served(stocked.database) as http:
        yield http


@pytest.fixture(scope="module")
def described() -> Json:
    return openapi.document()


def closed(kind: Any) -> Any:
    """A schema that allows no other properties than those that it names."""
    if isinstance(kind, list):
        return [closed(inner) for inner in kind]
    if not isinstance(kind, dict):
        return kind
    made = {name: closed(inner) for name, inner in kind.items()}
    return (
        made | {"additionalProperties": False} if "properties" in kind and kind.get("type") == "object" else made
    )


def check(described: Json, path: str, method: str, response: httpx2.Response) -> None:
    """Compare a response with its description: status, media type, headers and body."""
    declared = described["paths"][path][method]["responses"][str(response.status_code)]
    if "$ref" in declared:
        declared = described["components"]["responses"][declared["$ref"].rpartition("/")[2]]
    for header in declared.get("headers", ()):
        assert header in response.headers, (path, header)
    if "content" not in declared:
        assert not response.content
        return
    media_type = response.headers["content-type"].partition(";")[0]
    kind = declared["content"][media_type]["schema"]
    if media_type.endswith("json"):
        components = closed(copy.deepcopy(described["components"]["schemas"]))
        whole = {**kind, "components": {"schemas": components}}
        checks = jsonschema.Draft202012Validator.FORMAT_CHECKER
        jsonschema.Draft202012Validator(whole, format_checker=checks).validate(response.json())


def routed(routes: Any) -> Iterator[str]:
    """The paths of all routes, those of mounted applications too."""
    for route in routes:
        app: Any = getattr(route, "app", None)
        while app is not None and not hasattr(app, "router") and hasattr(app, "app"):
            app = app.app
        if hasattr(app, "router"):
            yield from routed(app.router.routes)
        elif isinstance(route, Route | Mount):
            yield route.path


def application(**settings: Any) -> Starlette:
    return create_app(Settings(**settings), database=object())


async def test_the_document_is_valid(http: httpx2.AsyncClient) -> None:
    response = await http.get("/openapi.json")
    openapi_spec_validator.validate(response.json())
    assert response.json() == openapi.document()
    assert (
        await http.get("/openapi.json", headers={"if-none-match": response.headers["etag"]})
    ).status_code == 304


@pytest.mark.parametrize("readers", ["public", "authenticated", "off"])
def test_every_route_is_described_and_every_description_has_a_route(readers: Introspection) -> None:
    # GraphQL describes itself; the page of GraphiQL belongs to it.
    own = {"/graphql", "/graphiql"}
    found = set(routed(application(introspection=readers).routes)) - own
    assert found == openapi.document(readers)["paths"].keys()
    assert ("/schema.graphql" in found) == (readers != "off")


def test_every_parameter_and_operation_has_a_description(described: Json) -> None:
    ids = []
    for path, methods in described["paths"].items():
        for operation in methods.values():
            ids.append(operation["operationId"])
            assert operation["summary"].endswith(".")
            named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))
            assert all(one["description"] for one in operation.get("parameters", ()))
    assert len(set(ids)) == len(ids)
    for name, kind in described["components"]["schemas"].items():
        assert kind["description"], name


async def filled(http: httpx2.AsyncClient) -> dict[str, list[str]]:
    """Real addresses of each path, found along the links of the sample, most of them of releases."""
    found: dict[str, list[str]] = {
        CATALINA: [],
        "/livez": [],
        "/readyz": [],
        "/openapi.json": [],
        "/schema.graphql": [],
    }
    waiting, seen = [ARGO, f"{ARGO}?expand_relationships=true", "/v1", "/", *found], set[str]()
    answers: dict[str, list[str]] = {}
    while waiting and len(seen) < 150:
        href = waiting.pop(0)
        if href in seen:
            continue
        seen.add(href)
        for path in openapi.document()["paths"]:
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), href.partition("?")[0]):
                answers.setdefault(path, []).append(href)
        response = await http.get(href)
        if response.headers.get("content-type") == "application/hal+json":
            waiting += [link["href"] for link in links(response.json()) if not link.get("templated")]
    return answers


def links(value: Any) -> Iterator[Json]:
    if isinstance(value, list):
        for entry in value:
            yield from links(entry)
    elif isinstance(value, dict):
        if "href" in value:
            yield value
        for entry in value.values():
            yield from links(entry)


async def test_every_answer_to_get_fits_its_schema(http: httpx2.AsyncClient, described: Json) -> None:
    found = await filled(http)
    # Nothing links to files.
    reading = {path for path, methods in described["paths"].items() if "get" in methods} - {FILE}
    assert found.keys() == reading
    for path, hrefs in found.items():
        for href in hrefs:
            response = await http.get(href)
            assert response.status_code in {200, 307}, href
            check(described, path, "get", response)
            if "text/html" in described["paths"][path]["get"]["responses"].get("200", {}).get("content", ()):
                page = await http.get(href, headers={"accept": "text/html"})
                assert page.headers["content-type"].startswith("text/html")
                check(described, path, "get", page)


async def test_every_answer_about_a_release_in_any_state_fits_its_schema(empty: Catalog, described: Json) -> None:
    product = await empty.product("tool", description=None)
    better = await empty.put(product, "2", status="PUBLISHED")
    withdrawal = {
        "reason": "A leak.",
        "replacementId": better["id"],
        "withdrawnAt": better["createdAt"],
        "withdrawnBy": None,
    }
    states: list[Json] = [
        {"status": "DRAFT"},
        {"status": "WITHDRAWN", "withdrawal": withdrawal, "publishedAt": better["createdAt"]},
        {"status": "ARCHIVED", "platforms": [{"name": "win", "osFamily": None, "architecture": None}]},
    ]
    async with served(empty.database) as http:
        for number, state in enumerate(states):
            made = await empty.put(product, f"1.{number}", **state)
            response = await http.get(f"/v1/catalogs/default/releases/{made['id']}")
            check(described, "/v1/catalogs/{catalog}/releases/{release}", "get", response)
            assert response.json()["status"] == state["status"]


async def test_every_refusal_fits_its_schema(http: httpx2.AsyncClient, described: Json) -> None:
    release = "/v1/catalogs/{catalog}/releases/{release}"
    for path, href, status in (
        (release, "/v1/catalogs/a/releases/none", 404),
        (release, f"{ARGO}?expand_relationships=maybe", 400),
        ("/v1/catalogs", "/v1/catalogs?after=bad", 400),
        ("/lifecycle/api/v2/promotion/records/{name}/{version}/{created}", f"{CATALINA[:-13]}never", 400),
    ):
        response = await http.get(href)
        assert response.status_code == status
        check(described, path, "get", response)
    for headers, status in (({"content-type": "text/plain"}, 415), ({"content-type": "application/json"}, 400)):
        response = await http.post("/v3/releases", content=b"{}", headers=headers)
        assert response.status_code == status
        check(described, "/v3/releases", "post", response)


async def test_a_download_fits_its_description(empty: Catalog, described: Json) -> None:
    fields: Json = {"name": "a", "size": 1, "sha256": "ab" * 32, "downloadUrl": "https://f.example/a"}
    file = release_parts.artifact(timestamps.EPOCH, **fields)
    made = await empty.put(await empty.product("tool"), "1", status="PUBLISHED", artifacts=[file])
    async with served(empty.database) as http:
        for id_, status in ((file["id"], 302), ("none", 404)):
            response = await http.get(f"/v1/catalogs/default/releases/{made['id']}/files/{id_}")
            assert response.status_code == status
            check(described, FILE, "get", response)


async def test_answers_to_post_fit_their_schemas(empty: Catalog, described: Json) -> None:
    product = await empty.product("tool", "DOTTED")
    imports = "/api/v1/catalog/releases/project/{projectIdentifier}/import"
    file = {"name": "a.bin", "size": 1, "sha256": "ab" * 32, "downloadUrl": "http://127.0.0.1:1/a.bin"}
    bodies = described["components"]["schemas"]
    async with served(empty.database) as http:
        document = source("tool", artifacts=[file])
        for status in (201, 200):
            response = await http.post(imports.replace("{projectIdentifier}", "tool"), json=document)
            assert (response.status_code, len(response.json()["warnings"])) == (status, 1)
            check(described, imports, "post", response)
        created = {"name": "t", "version": "2.0", "productId": product["id"], "artifacts": [file]}
        response = await http.post("/v3/releases", json=created)
        assert response.status_code == 201
        check(described, "/v3/releases", "post", response)
        check(described, "/v3/releases", "post", await http.post("/v3/releases", json=created))
    for name, body in (("ReleaseDocumentInput", document), ("CreateReleaseInput", created)):
        whole = {**closed(copy.deepcopy(bodies[name])), "components": {"schemas": bodies}}
        jsonschema.Draft202012Validator(whole).validate(body)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(whole).validate({**body, "dryRun": True})
