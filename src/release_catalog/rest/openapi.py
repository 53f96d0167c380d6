"""The OpenAPI document, which describes every address outside GraphQL."""

import importlib.metadata
import re
from collections.abc import Mapping
from typing import Any

from release_catalog.domain import hal_urls
from release_catalog.graphql_api import json_schema
from release_catalog.graphql_api.json_schema import TEXT, Schema, described, reference
from release_catalog.rest import operations, response_schemas
from release_catalog.settings import Introspection
from release_catalog.storage.idempotency import MAX_KEY

_HAL = "application/hal+json"
_JSON = "application/json"
_PARAMETER = re.compile(r"\{(\w+)\}")
_OF_PATH = {
    "catalog": "Id of the catalog.",
    "release": "Id of the release.",
    "application": "Id of the product.",
    "pipeline": "Id of the pipeline.",
    "image": "Id of the base image.",
    "registry": "Id of the registry.",
    "key": "Key of the product.",
    "branch": "Name of the branch.",
    "name": "Name of the release.",
    "version": "Version of the release.",
    "created": "Instant of the promotion, as RFC 3339 or as milliseconds since 1970.",
    "file": "Id of the file.",
    "projectIdentifier": "Id, key or name of the product.",
}
_OF_QUERY: Mapping[str, Schema] = {
    "expand_relationships": {"type": "boolean", "default": False},
    "after": TEXT,
    "dependencies_after": TEXT,
    "dependants_after": TEXT,
    "packaging": TEXT,
    "distro": TEXT,
    "project": TEXT,
    "repository_key": TEXT,
}
_DESCRIPTIONS = {
    "expand_relationships": "Whether to embed the dependencies and dependants.",
    "after": "Cursor of the page, from a next link.",
    "dependencies_after": "Cursor of the page of dependencies, from a next link.",
    "dependants_after": "Cursor of the page of dependants, from a next link.",
    "packaging": "Packaging type.",
    "distro": "Distribution of the base image with its version, such as photon-4.",
    "project": "Id, key or name of the product, which must be that of the record.",
    "repository_key": "Key of a repository, of which the record must have promoted something.",
}
_IDEMPOTENCY_KEY: Mapping[str, Any] = {
    "name": operations.IDEMPOTENCY_KEY,
    "in": "header",
    "required": False,
    "description": "Key that makes a retry safe. The same request with the same key gets the first response again "
    "for 24 hours. Another request with it, and a retry while the first one is still running, are 409.",
    "schema": {**TEXT, "minLength": 1, "maxLength": MAX_KEY},
}
_REFUSALS = {
    400: "The request is invalid: violations lists what to correct.",
    401: "The credentials are missing or invalid.",
    403: "The credentials do not allow this.",
    404: "Nothing exists at this address, for this caller.",
    409: "Another document or request is in the way.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "The caller has made too many requests: Retry-After tells when to repeat this one.",
    500: "The server failed.",
    503: "The database does not answer: Retry-After tells when to repeat the request.",
}
_READING = (400, 401, 403, 404, 429, 500, 503)
_WRITING = (*_READING, 409, 413, 415)


def document(schema_readers: Introspection = "public", *, has_metrics: bool = False) -> dict[str, Any]:
    """Return the document; without readers, the schema has no address, nor have metrics unless they are on."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Release catalog",
            "version": importlib.metadata.version("release-catalog"),
            "description": "All addresses except those of GraphQL. A method that an address does not list is 405. "
            "GET includes HEAD.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        # Without authentication, a server takes requests from its own machine.
        "security": [{"bearer": []}, {"projectToken": []}, {"basic": []}, {}],
        "tags": [
            {"name": "documents", "description": "HAL documents and promotion records."},
            {"name": "writing", "description": "Import and creation of releases."},
            {"name": "server", "description": "The server itself."},
        ],
        "paths": {**_documents(), **_writes(), **_server(schema_readers, has_metrics=has_metrics)},
        "components": {
            "schemas": {**response_schemas.outputs(), **_inputs()},
            "responses": {f"Problem{status}": _problem(text) for status, text in _REFUSALS.items()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A JWT, or an access token."},
                "projectToken": {"type": "apiKey", "in": "header", "name": "X-Project-Token"},
                "basic": {"type": "http", "scheme": "basic", "description": "A service account."},
            },
        },
    }


def _inputs() -> dict[str, Schema]:
    found = json_schema.inputs(*(operation.body for operation in operations.OPERATIONS.values()))
    for control in ("dryRun", "idempotencyKey"):
        del found["CreateReleaseInput"]["properties"][control]
    # GraphQL allows a document without an author, S1 does not.
    found["ReleaseDocumentInput"]["required"].append("author")
    return found


def _problem(text: str) -> dict[str, Any]:
    page = {"schema": described(TEXT, "The same for a browser.")}
    content = {"application/problem+json": {"schema": reference("Problem")}, "text/html": page}
    return {"description": text, "content": content}


def _refusals(*statuses: int) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(statuses)}


def _parameters(path: str, *query: str) -> dict[str, Any]:
    """Return the parameters of an address; nothing if it has none."""
    found = [
        {"name": name, "in": "path", "required": True, "description": _OF_PATH[name], "schema": TEXT}
        for name in _PARAMETER.findall(path)
    ]
    found += [
        {"name": name, "in": "query", "description": _DESCRIPTIONS[name], "schema": _OF_QUERY[name]}
        for name in query
    ]
    return {"parameters": found} if found else {}


def _documents() -> dict[str, Any]:
    catalog = "/v1/catalogs/{catalog}"
    found = [
        ("/v1", "EntryPoint", "Get the entry point, which leads to everything else.", ()),
        ("/v1/catalogs", "Catalogs", "List catalogs.", ("after",)),
        (catalog, "Catalog", "Get a catalog.", ("after",)),
        (f"{catalog}/releases", "Releases", "List the releases of a catalog.", ("after",)),
        (
            f"{catalog}/releases/{{release}}",
            "Release",
            "Get a release (S5).",
            ("expand_relationships", "dependencies_after", "dependants_after"),
        ),
        (f"{catalog}/applications", "Applications", "List the products of a catalog.", ("after",)),
        (f"{catalog}/applications/{{application}}", "Application", "Get a product.", ("after",)),
        (f"{catalog}/pipelines/{{pipeline}}", "Pipeline", "Get a pipeline.", ()),
        ("/v1/base-images/{image}", "BaseImage", "Get a base image.", ()),
        ("/v1/registries/{registry}", "Registry", "Get a registry.", ()),
        (
            "/v1/applications/product/{key}/branch/{branch}",
            "Branch",
            "Get a product on one of its branches.",
            ("packaging", "distro"),
        ),
    ]
    paths = {path: {"get": _reading(path, name, summary, _HAL, query)} for path, name, summary, query in found}
    paths[hal_urls.ANY_PROMOTION] = {
        "get": _reading(
            hal_urls.ANY_PROMOTION,
            "Promotion",
            "Get a promotion record (S3).",
            _JSON,
            ("repository_key", "project"),
        )
    }
    file = f"{catalog}/releases/{{release}}/files/{{file}}"
    location = {"Location": {"description": "URL of the file.", "schema": TEXT}}
    paths[file] = {
        "get": {
            "operationId": "downloadFile",
            "summary": "Get the URL of a file as a redirect, and count the download.",
            "tags": ["documents"],
            **_parameters(file),
            "responses": {"302": {"description": "The file.", "headers": location}, **_refusals(*_READING)},
        }
    }
    return paths


def _reading(path: str, name: str, summary: str, media_type: str, query: tuple[str, ...]) -> dict[str, Any]:
    content = {media_type: {"schema": reference(name)}, "text/html": {"schema": described(TEXT, "The same data.")}}
    headers = {"ETag": {"description": "Tag for If-None-Match.", "schema": TEXT}}
    return {
        "operationId": f"get{name}",
        "summary": summary,
        "tags": ["documents"],
        **_parameters(path, *query),
        "responses": {
            "200": {"description": "The document.", "headers": headers, "content": content},
            "304": {"description": "The client has the document already.", "headers": headers},
            **_refusals(*_READING),
        },
    }


def _writes() -> dict[str, Any]:
    imported, created = reference("ImportedRelease"), reference("CreatedRelease")
    return {
        operations.IMPORT: {
            "post": _writing(
                operations.IMPORT,
                "Import a release, or replace a draft (S1).",
                {201: ("The draft was created.", imported), 200: ("The draft was replaced.", imported)},
            )
        },
        operations.CREATE: {
            "post": _writing(
                operations.CREATE,
                "Create a release as a draft (S2).",
                {201: ("The draft was created.", created)},
            )
        },
    }


def _writing(path: str, summary: str, successes: Mapping[int, tuple[str, Schema]]) -> dict[str, Any]:
    operation = operations.OPERATIONS[path]
    location = {"Location": {"description": "Path of the release.", "schema": TEXT}}
    parameters = [*_parameters(path).get("parameters", []), _IDEMPOTENCY_KEY]
    return {
        "operationId": operation.mutation,
        "summary": summary,
        "description": "Needs the scope release:write. Costs as much as the mutation of this name in GraphQL.",
        "tags": ["writing"],
        "parameters": parameters,
        "requestBody": {"required": True, "content": {_JSON: {"schema": reference(operation.body)}}},
        "responses": {
            **{
                str(status): {"description": text, "headers": location, "content": {_JSON: {"schema": body}}}
                for status, (text, body) in successes.items()
            },
            **_refusals(*_WRITING),
        },
    }


def _server(schema_readers: Introspection, *, has_metrics: bool) -> dict[str, Any]:
    plain = {"text/plain": {"schema": TEXT}}
    readiness = {_JSON: {"schema": reference("Readiness")}}
    redirect = {"307": {"description": "GraphQL.", "headers": {"Location": {"schema": TEXT}}}}
    found = {
        "/": _public("Redirect to GraphQL.", "home", redirect),
        "/livez": _public("Tell whether the process runs.", "livez", _ok("It runs.", plain)),
        "/readyz": _public(
            "Tell whether the database answers.",
            "readyz",
            {
                **_ok("It answers.", readiness),
                "503": {"description": "It does not answer.", "content": readiness},
            },
        ),
        "/openapi.json": _public(
            "Get this document.", "openapi", _ok("This document.", {_JSON: {"schema": {"type": "object"}}})
        ),
    }
    if has_metrics:
        scraped = _public("Get the metrics of the server.", "metrics", {})["get"]
        answers = {**_ok("The metrics.", plain), **_refusals(*_READING)}
        found["/metrics"] = {
            "get": {**{n: v for n, v in scraped.items() if n != "security"}, "responses": answers}
        }
    text = _ok("The schema in the schema definition language.", plain)
    described = _public("Get the GraphQL schema.", "schema", text)
    if schema_readers == "public":
        found["/schema.graphql"] = described
    elif schema_readers == "authenticated":
        get = {name: value for name, value in described["get"].items() if name != "security"}
        found["/schema.graphql"] = {"get": {**get, "responses": {**text, **_refusals(*_READING)}}}
    return found


def _public(summary: str, operation_id: str, responses: dict[str, Any]) -> dict[str, Any]:
    """Return the description of an address that needs no credentials."""
    get = {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["server"],
        "security": [],
        "responses": responses,
    }
    return {"get": get}


def _ok(text: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"200": {"description": text, "content": content}}
