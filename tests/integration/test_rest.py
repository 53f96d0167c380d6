"""The addresses of S1 and S2: releases by POST, with the guards and the answers of the same mutations in GraphQL."""

import asyncio
import datetime
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import jwt
import pytest
import structlog.testing
from graphql import get_named_type, is_input_object_type

from release_catalog.domain import access_tokens, hal_urls
from release_catalog.files import verification
from release_catalog.graphql_api.limits.query_cost import find_price
from release_catalog.graphql_api.schema import schema
from release_catalog.storage import release_writes
from release_catalog.storage.collection_names import EVENTS, RELEASES
from release_catalog.storage.outages import NothingWritten
from support import file_server
from support.catalog import Catalog, source
from support.graphql_client import served

PROBLEM = "application/problem+json"
CREATE, IMPORT = "/v3/releases", "/api/v1/catalog/releases/project/tool/import"
SECRET = "an issuer's secret of more than 32 bytes"
JWT: dict[str, Any] = {"jwt_issuer": "https://issuer.example", "jwt_audience": "catalog", "jwt_secret": SECRET}
# The fields of S1's and S2's responses, in their order.
IMPORTED = "catalogId name version status warnings message".split()
CREATED = (
    "id createdAt updatedAt name channel version platforms notes totalFiles publishedAt files published private "
    "archived productId tenantId"
).split()
Json = dict[str, Any]


def bearer(scope: str = "release:write", tenant: str = "local") -> dict[str, str]:
    """The header of a caller with a JWT."""
    now = int(time.time())
    fixed = {"iss": JWT["jwt_issuer"], "aud": "catalog", "sub": "me", "iat": now, "exp": now + 600}
    return {"authorization": f"Bearer {jwt.encode(fixed | {'tenant': tenant, 'scope': scope}, SECRET, 'HS256')}"}


@pytest.fixture
async def http(empty: Catalog) -> AsyncIterator[httpx2.AsyncClient]:
    async with served(empty.database) as http:
        yield http


def problem(response: httpx2.Response, status: int) -> Json:
    """The problem of a refused request."""
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), response.text
    body: Json = response.json()
    assert body.keys() >= {"type", "title", "status", "detail", "instance"}
    assert (body["status"], body["instance"]) == (status, response.request.url.raw_path.decode())
    assert ("violations" in body) == (status == 400)
    return body


def fields(body: Json) -> dict[str, str]:
    """The violations of a problem, by field."""
    return {violation["field"]: violation["code"] for violation in body["violations"]}


def described(**changed: Any) -> Json:
    """The body of S2's request."""
    made = {
        "name": "Tool", "version": "1.2", "channel": "beta", "platforms": ["windows", "linux/amd64"], "private": True,
        "notes": "# New", "productId": "tool", "createdAt": "2019-08-24T14:15:22Z",
    }  # fmt: skip
    return made | changed


# S2.


async def test_s2_creates_a_release_and_answers_in_the_seeds_own_form(
    empty: Catalog, http: httpx2.AsyncClient
) -> None:
    product = await empty.product("tool", "DOTTED", id="tool", _id=empty.caller.key("tool"))
    response = await http.post(CREATE, json=described())
    assert response.status_code == 201, response.text
    body = response.json()
    assert list(body) == CREATED
    wanted = described() | {"files": [], "totalFiles": 0, "publishedAt": None, "tenantId": "local"}
    wanted |= {"published": False, "archived": False, "id": body["id"], "updatedAt": body["updatedAt"]}
    assert body == wanted
    assert response.headers["location"] == hal_urls.release("default", body["id"])
    assert (await http.get(response.headers["location"])).json()["application_id"] == product["id"]
    event = await empty.database[EVENTS].find_one({"type": "release.created"})
    assert event
    assert json.loads(event["data"]) == body


async def test_s2_needs_only_the_fields_that_it_requires(empty: Catalog, http: httpx2.AsyncClient) -> None:
    await empty.product("tool", "DOTTED", id="tool", _id=empty.caller.key("tool"))
    body = (await http.post(CREATE, json={"name": "t", "version": "1.0", "productId": "tool"})).json()
    assert (body["channel"], body["platforms"], body["private"], body["notes"]) == ("stable", [], False, None)
    taken = problem(await http.post(CREATE, json={"name": "t", "version": "1.0", "productId": "tool"}), 409)
    assert "1.0" in taken["detail"]


async def test_given_ids_are_kept(empty: Catalog, http: httpx2.AsyncClient) -> None:
    await empty.product("tool", "DOTTED", id="tool", _id=empty.caller.key("tool"))
    for path, body, key in ((CREATE, described(id="one"), "id"), (IMPORT, source("tool", id="two"), "catalogId")):
        assert (await http.post(path, json=body)).json()[key] == body["id"]
        other = {**body, "version": "7.0"}
        assert body["id"] in problem(await http.post(path, json=other), 409)["detail"]
    assert fields(problem(await http.post(CREATE, json=described(id=["x"])), 400)) == {"id": "NOT_TEXT"}


async def test_s2_reports_all_violations_by_the_names_of_the_body(
    empty: Catalog, http: httpx2.AsyncClient
) -> None:
    await empty.product("tool", "DOTTED", id="tool", _id=empty.caller.key("tool"))
    future = datetime.datetime.now(datetime.UTC) + datetime.timedelta(1)
    bad = {
        "version": "one", "channel": "c" * 257, "platforms": "windows", "private": "yes", "notes": "n" * 4097,
        "productId": "tool", "createdAt": future.isoformat(), "colour": "red", "catalogId": ["default"],
    }  # fmt: skip
    body = problem(await http.post(CREATE, json=bad), 400)
    assert fields(body) == {
        "name": "REQUIRED", "version": "NOT_A_VERSION", "channel": "TOO_LONG", "platforms": "NOT_A_LIST",
        "private": "NOT_BOOLEAN", "notes": "TOO_LONG", "createdAt": "IN_FUTURE", "colour": "UNKNOWN_FIELD",
        "catalogId": "NOT_TEXT",
    }  # fmt: skip
    assert fields(problem(await http.post(CREATE, json={}), 400)).keys() == {"name", "version", "productId"}
    wrong = described(productId="none", createdAt="yesterday", version=5)
    found = fields(problem(await http.post(CREATE, json=wrong), 400))
    assert found == {"productId": "UNKNOWN", "createdAt": "NOT_AN_INSTANT", "version": "NOT_TEXT"}
    for control in ("dryRun", "idempotencyKey"):
        assert fields(problem(await http.post(CREATE, json=described(**{control: 1})), 400)) == {
            control: "UNKNOWN_FIELD"
        }
    assert await empty.database[RELEASES].count_documents({}) == 0


# S1.


async def test_s1_imports_into_a_draft_and_answers_in_the_seeds_own_form(
    empty: Catalog, http: httpx2.AsyncClient
) -> None:
    await empty.product("tool")
    document = source("tool", artifacts=[])
    for status, verb in ((201, "Created"), (200, "Updated")):
        response = await http.post(IMPORT, json=document)
        assert response.status_code == status, response.text
        body = response.json()
        assert list(body) == IMPORTED
        assert (body["name"], body["version"], body["status"], body["warnings"]) == ("tool", "1.0", "DRAFT", [])
        assert body["message"].startswith(verb)
        assert response.headers["location"] == hal_urls.release("default", body["catalogId"])
    await empty.database[RELEASES].update_one({}, {"$set": {"status": "PUBLISHED"}})
    assert "PUBLISHED" in problem(await http.post(IMPORT, json=document), 409)["detail"]


async def test_s1_warns_of_a_file_that_differs(empty: Catalog) -> None:
    await empty.product("tool")
    async with file_server.serving() as files, served(empty.database, files_allow=files.url[7:]) as http:
        declared, content = "ab" * 32, b"content"
        file = {
            "name": "a.bin",
            "size": len(content),
            "sha256": declared,
            "downloadUrl": files.put("a.bin", content),
        }
        body = (await http.post(IMPORT, json=source("tool", artifacts=[file]))).json()
        [warning] = body["warnings"]
        assert list(warning) == ["artifactName", "message", "expectedSha256", "actualSha256"]
        actual = hashlib.sha256(content).hexdigest()
        assert [warning[name] for name in ("artifactName", "expectedSha256", "actualSha256")] == [
            "a.bin",
            declared,
            actual,
        ]
        assert files.asked == ["/a.bin"]


async def test_s1_reports_all_violations_by_the_names_of_the_document(
    empty: Catalog, http: httpx2.AsyncClient
) -> None:
    await empty.product("tool")
    bad = {"version": 1, "project": "other", "author": "nobody", "artifacts": [{"name": "../x"}], "colour": "red"}
    found = fields(problem(await http.post(IMPORT, json=bad), 400))
    assert found.keys() >= {
        "version",
        "createdAt",
        "project",
        "author",
        "artifacts[0].name",
        "artifacts[0].size",
        "colour",
    }
    long = IMPORT.replace("tool", "t" * 300)
    assert fields(problem(await http.post(long, json=source("tool")), 400))["projectIdentifier"] == "TOO_LONG"
    assert await empty.database[RELEASES].count_documents({}) == 0


async def test_s1_finds_a_project_whose_name_holds_a_slash(empty: Catalog, http: httpx2.AsyncClient) -> None:
    product = await empty.product("a/b c")
    response = await http.post(IMPORT.replace("tool", "a%2Fb%20c"), json=source("x", project="a/b c"))
    assert response.status_code == 201, response.text
    made = await empty.database[RELEASES].find_one({})
    assert made
    assert made["productId"] == product["id"]


# Retries.


@pytest.mark.parametrize("path", [CREATE, IMPORT])
async def test_a_retry_with_the_same_key_gets_the_first_response(
    empty: Catalog, http: httpx2.AsyncClient, path: str
) -> None:
    await empty.product("tool", "DOTTED", id="tool", _id=empty.caller.key("tool"))
    body, key = (described() if path == CREATE else source("tool")), {"idempotency-key": "k" * 255}
    first, again = [await http.post(path, json=body, headers=key) for _ in range(2)]
    assert first.status_code == again.status_code == 201, again.text
    assert first.content == again.content
    assert first.headers["location"] == again.headers["location"]
    assert await empty.database[RELEASES].count_documents({}) == 1
    other = {**body, "version": "9.9"}
    assert "idempotency key" in problem(await http.post(path, json=other, headers=key), 409)["detail"]
    for refused in ("", "k" * 256):
        found = problem(await http.post(path, json=body, headers={"idempotency-key": refused}), 400)
        assert fields(found) == {"Idempotency-Key": "WRONG_LENGTH"}
    repeated = [("idempotency-key", "a"), ("idempotency-key", "b")]
    assert "Idempotency-Key" in problem(await http.post(path, json=body, headers=repeated), 400)["detail"]


async def test_a_key_is_of_one_project_and_one_tenant(empty: Catalog) -> None:
    await empty.product("tool")
    await empty.product("other")
    key = {"idempotency-key": "k"}
    async with served(empty.database, **JWT) as http:
        mine = key | bearer()
        assert (await http.post(IMPORT, json=source("tool"), headers=mine)).status_code == 201
        elsewhere = IMPORT.replace("tool", "other")
        problem(await http.post(elsewhere, json=source("other"), headers=mine), 409)
        theirs = key | bearer(tenant="theirs")
        assert (await http.post(IMPORT, json=source("tool"), headers=theirs)).status_code == 201


async def test_a_retry_of_a_running_request_is_refused(empty: Catalog) -> None:
    await empty.product("tool")
    key = {"idempotency-key": "k"}
    async with file_server.serving() as files, served(empty.database, files_allow=files.url[7:]) as http:
        files.free.clear()
        url = files.put("a.bin", b"x")
        artifact = {"name": "a.bin", "size": 1, "sha256": hashlib.sha256(b"x").hexdigest(), "downloadUrl": url}
        body = source("tool", artifacts=[artifact])
        first = asyncio.create_task(http.post(IMPORT, json=body, headers=key))
        await files.arrived.get()
        assert "still running" in problem(await http.post(IMPORT, json=body, headers=key), 409)["detail"]
        files.free.set()
        response = await first
        assert response.status_code == 201
        assert (await http.post(IMPORT, json=body, headers=key)).content == response.content


# Who may.


async def test_s2_needs_a_token_with_the_scope_to_write(empty: Catalog) -> None:
    await empty.product("tool", "DOTTED", id="tool", _id=empty.caller.key("tool"))
    async with served(empty.database, **JWT) as http:
        assert "www-authenticate" in (await http.post(CREATE, json=described())).headers
        problem(await http.post(CREATE, json=described()), 401)
        reader = bearer("release:read release:promote")
        assert "release:write" in problem(await http.post(CREATE, json=described(), headers=reader), 403)["detail"]
        other = bearer(tenant="other")
        assert fields(problem(await http.post(CREATE, json=described(), headers=other), 400)) == {
            "productId": "UNKNOWN"
        }
        assert (await http.post(CREATE, json=described(), headers=bearer())).json()["tenantId"] == "local"
        assert await empty.database[RELEASES].count_documents({}) == 1


async def test_s1_takes_a_token_of_its_project_only(empty: Catalog) -> None:
    tool, other = await empty.product("tool"), await empty.product("other")
    make = "mutation($input: CreateAccessTokenInput!) { createAccessToken(input: $input) { token problem { detail } } }"
    async with served(empty.database, **JWT) as http:
        headers = {}
        for product in (tool, other):
            asked = {"name": product["key"], "scopes": ["release:write"], "productId": product["id"]}
            made = await empty.ask(make, input=asked)
            headers[product["key"]] = {"x-project-token": made["createAccessToken"]["token"]}
        problem(await http.post(IMPORT, json=source("tool")), 401)
        problem(
            await http.post(IMPORT, json=source("tool"), headers={"x-project-token": access_tokens.PREFIX + "x"}),
            401,
        )
        problem(await http.post(IMPORT, json=source("tool"), headers=headers["other"]), 403)
        assert (await http.post(IMPORT, json=source("tool"), headers=headers["tool"])).status_code == 201
        assert await empty.database[RELEASES].distinct("productId") == [tool["id"]]


# The guards of GraphQL.


@pytest.mark.parametrize("path", [CREATE, IMPORT])
async def test_a_body_is_read_as_that_of_graphql(empty: Catalog, path: str) -> None:
    async with served(empty.database, max_body_bytes=2_000) as http:
        as_json = {"content-type": "application/json"}
        large = json.dumps({"notes": "x" * 2_000}).encode()
        assert problem(await http.post(path, content=large, headers=as_json), 413)["title"] == "Content Too Large"
        problem(await http.post(path, content=b"{}", headers={"content-type": "text/plain"}), 415)
        problem(await http.post(path, data={"name": "x"}), 415)
        for text in (b"{", b"", b"[]", b"null", b"1", b"\xff"):
            problem(await http.post(path, content=text, headers=as_json), 400)
        many = json.dumps({"platforms": ["x"] * 200}).encode()
        assert problem(await http.post(path, content=many, headers=as_json), 400)["limit"] == "values"


@pytest.mark.parametrize("path", [CREATE, IMPORT])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_only_post_is_allowed(http: httpx2.AsyncClient, path: str, method: str) -> None:
    response = await http.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.headers["content-type"] == PROBLEM


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/", "/v3", "/v3/releases/", IMPORT.replace("/tool/", "//"), IMPORT.replace("tool", "%FF")],
)
async def test_another_address_is_a_404_problem(http: httpx2.AsyncClient, path: str) -> None:
    problem(await http.post(path, json={}), 404)


async def test_a_refused_head_is_a_problem_with_a_violation(http: httpx2.AsyncClient) -> None:
    for refused in (
        await http.post(CREATE, json={}, headers={"host": "evil.example"}),
        await http.post(f"{CREATE}?{'&' * 120}", json={}),
    ):
        body = refused.json()
        assert (refused.status_code, refused.headers["content-type"]) == (400, PROBLEM)
        assert (body["instance"], fields(body)) == (CREATE, {"": "BAD_REQUEST"})


async def test_a_page_of_another_site_writes_nothing(empty: Catalog, http: httpx2.AsyncClient) -> None:
    await empty.product("tool", "DOTTED", id="tool", _id=empty.caller.key("tool"))
    across = {"sec-fetch-site": "cross-site", "content-type": "text/plain"}
    assert problem(await http.post(CREATE, content=json.dumps(described()), headers=across), 403)["code"] == "CSRF"
    assert await empty.database[RELEASES].count_documents({}) == 0


async def test_a_request_costs_as_much_as_the_mutation(empty: Catalog) -> None:
    await empty.product("tool", "DOTTED", id="tool", _id=empty.caller.key("tool"))
    price = find_price("Mutation", "createRelease")
    assert price
    async with served(empty.database, cost_per_hour=100) as http:
        response = await http.post(CREATE, json=described())
        assert int(response.headers["x-ratelimit-remaining"]) == 100 - price.points
        platforms = [str(number) for number in range(900)]
        response = await http.post(CREATE, json=described(version="2.0", platforms=platforms))
        assert int(response.headers["x-ratelimit-remaining"]) <= 100 - 2 * price.points - 9
        for number in range(9):
            response = await http.post(CREATE, json=described(version=f"3.{number}"))
        assert problem(response, 429)["code"] == "RATE_LIMITED"
        assert "retry-after" in response.headers
    async with served(empty.database, max_cost=5) as http:
        assert problem(await http.post(CREATE, json=described(version="4.0")), 400)["limit"] == "cost"


async def test_requests_share_the_slots_of_their_caller(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def slow(*_: Any, **__: Any) -> Any:
        began.set()
        await go.wait()
        return {}

    monkeypatch.setattr(release_writes, "create_from_document", slow)
    async with served(empty.database, max_concurrency=1) as http:
        first = asyncio.create_task(http.post(CREATE, json=described()))
        await began.wait()
        assert problem(await http.post(CREATE, json=described()), 429)["limit"] == "concurrency"
        go.set()
        await first


@pytest.mark.parametrize(
    ("error", "status", "members"),
    [
        (NothingWritten("no primary"), 503, {"code": "UNAVAILABLE", "outcome": "UNCHANGED"}),
        (RuntimeError("the secret"), 500, {}),
    ],
)
async def test_a_failure_tells_the_outcome(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, members: Json
) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(verification, "import_release", broken)
    async with served(empty.database) as http:
        with structlog.testing.capture_logs() as logs:
            response = await http.post(IMPORT, json=source("tool"))
        body = problem(response, status)
        assert members.items() <= body.items()
        assert "secret" not in response.text
        assert [entry["error_id"] for entry in logs if "error_id" in entry] == [body["error_id"]]
        assert ("retry-after" in response.headers) == (status == 503)


# Bodies of any kind.

ODD: list[Any] = [
    None, True, 0, -1, 1.5, 2**63, 10**30, "", "x", "\x00", "\ud83d\ude00", "../..", " x ", "2026-01-01T00:00:00Z", "1.0", "$where",
    [], [None], [[]], ["x"], [1], {}, {"": None}, {"$gt": ""}, {"name": {"name": []}}, [{}], [{"name": "x"}], [{"name": None}],
    [{"name": ["x"], "version": {}}], {"id": [], "status": 5}, [{"releaseId": 1}], [{"catalogId": {}}],
]  # fmt: skip


def inner_fields(of: Any) -> list[str]:
    """The fields of an input type of GraphQL, and of those inside, with their paths."""
    found = []
    for name, field in of.fields.items():
        found.append(name)
        inner = get_named_type(field.type)
        if is_input_object_type(inner):
            found += [f"{name}.{path}" for path in inner_fields(inner)]
    return found


def changed(body: Json, path: str, value: Any) -> Json:
    """The body with a value at a path; a list on the way gets one entry."""
    name, _, rest = path.partition(".")
    if not rest:
        return {**body, name: value}
    inner = body.get(name)
    if name in LISTS:
        return {**body, name: [changed(inner[0] if inner else {}, rest, value)]}
    return {**body, name: changed(inner or {}, rest, value)}


LISTS = {
    "artifacts", "dockerImages", "dependencies", "platformReleaseMetadata", "releaseMetadata", "customizations", "projects",
    "properties", "overriddenEnvironmentConfigurations",
}  # fmt: skip


@pytest.mark.parametrize("operation", ["ReleaseDocumentInput", "CreateReleaseInput"])
async def test_no_value_anywhere_in_a_body_is_a_bug(empty: Catalog, operation: str, patient: None) -> None:
    product = await empty.product("tool", "ANY", id="tool", _id=empty.caller.key("tool"))
    assert product["id"] == "tool"
    path, body = (IMPORT, source("tool")) if operation == "ReleaseDocumentInput" else (CREATE, described())
    kind: Any = schema._schema.type_map[operation]
    statuses = set()
    async with served(empty.database, files_allow="127.0.0.1:1") as http:
        for number, place in enumerate(inner_fields(kind)):
            # A few values at each place: all of them come somewhere.
            for value in [*ODD[number % 7 :: 7], ODD[number % len(ODD)]]:
                made = changed(body | {"version": f"1.{number}"}, place, value)
                response = await http.post(
                    path, content=json.dumps(made), headers={"content-type": "application/json"}
                )
                assert response.status_code in {200, 201, 400, 403, 409}, (place, value, response.text)
                statuses.add(response.status_code)
    assert statuses >= {201, 400}
