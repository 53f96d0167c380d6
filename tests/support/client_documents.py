"""Documents that ask for every field of the schema, so that a client's cache can be compared with the answers."""

import json
from typing import Any

import httpx2
from graphql import (
    GraphQLField,
    GraphQLObjectType,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    parse,
    visit,
)

from release_catalog.domain import node_ids
from release_catalog.graphql_api.schema import schema
from support.graphql_client import post

ARGO = "64455e6bd3c480fd58546c75"
TYPES = schema._schema.type_map
# Deeper levels repeat the types above them.
DEPTHS = (4, 3, 2)
# Relay adds fields to a document, which must stay within the limits.
MAX_CHARACTERS = 6000
SIZES = {"first": "4", "maxDepth": "3", "maxNodes": "20", "maxLength": "3"}
KNOWN = {
    "Query.catalog": 'id: "d16c7f4d-b38a-405b-a1ca-3ac0a79418c1"',
    "Query.product": 'id: "d16c7f4d-b38a-405b-a1ca-3ac0a79418c1"',
    "Query.release": f'id: "{ARGO}"',
    "Query.baseImage": 'id: "d16c7f4d-b38a-405b-a1ca-3ac0a79418c1"',
    "Query.registry": 'id: "549cfa79-352c-4555-9d28-4442de551829"',
    "Query.pipeline": 'id: "12345"',
    "Query.project": 'id: "10000"',
    "Query.environment": 'name: "QA"',
    "Query.latestRelease": 'productId: "5e1f0c3a9b7d4e2f8a6c0003"',
    "Query.compareReleases": 'fromId: "8b1f0c3a9b7d4e2f8a6c1900", toId: "8b1f0c3a9b7d4e2f8a6c11000"',
    "Query.exportRelease": f'id: "{ARGO}"',
    "Query.promotion": 'name: "catalina", version: "1.0.0", created: "1684477329586"',
    "Release.dependencyPaths": 'toId: "2222e6bd3c480fd58549c03"',
}
# Interfaces have a document of their own, and the sample has no webhook. The points left change with each answer.
EXCLUDED = {"Query.node", "Query.nodes", "Query.webhook", "Query.rateLimit"}
# Releases of the sample that have what the first lacks: deliveries, promotions, a file with a wrong digest.
OTHERS = ["13607", "14321", "9d1f0c3a9b7d4e2f8a6c0001", "ad1f0c3a9b7d4e2f8a6c0001", "8b1f0c3a9b7d4e2f8a6c2000"]
# One document of each type whose `id` others have, too.
NODES = [
    node_ids.encode(*key)
    for key in (
        ("Release", ARGO), ("Catalog", "d16c7f4d-b38a-405b-a1ca-3ac0a79418c1"), ("Pipeline", "12345"),
        ("Product", "d16c7f4d-b38a-405b-a1ca-3ac0a79418c1"), ("BaseImage", "d16c7f4d-b38a-405b-a1ca-3ac0a79418c1"),
    )
]  # fmt: skip
DEBIAN = """releases(filter: { nameContains: "%s" }, first: 40) { totalCount edges { cursor node { id nodeId name version
  artifacts { id nodeId name sha256 platform { name } } dependencies(first: 10) { edges { cursor reference { name version }
  node { id nodeId name version product { id nodeId key } } } } } } }"""


def fields_of(kind: GraphQLObjectType, depth: int, above: tuple[str, ...] = ()) -> str:
    """Return all fields of a type down to a depth; a type that stands above itself has its leaves only."""
    found = [field_of(kind, name, depth, above) for name in kind.fields]
    return " ".join(filter(None, found))


def field_of(kind: GraphQLObjectType, name: str, depth: int, above: tuple[str, ...] = ()) -> str:
    """Return a field with what it selects, or nothing if that is too deep."""
    place, field = f"{kind.name}.{name}", kind.fields[name]
    if place in EXCLUDED or (arguments := _arguments(place, field)) is None:
        return ""
    inner = get_named_type(field.type)
    if is_leaf_type(inner):
        return f"{name}{arguments}"
    if depth == 0 or kind.name in above or not isinstance(inner, GraphQLObjectType):
        return ""
    # The parts of a list are no levels of their own: an entry is there with its cursor.
    deeper = depth if inner.name.endswith(("Connection", "Edge")) else depth - 1
    selected = fields_of(inner, deeper, (*above, kind.name))
    return f"{name}{arguments} {{ {selected} }}" if selected else ""


def _arguments(place: str, field: GraphQLField) -> str | None:
    """Return the arguments of a field, or null if it needs some that are not known."""
    if place not in KNOWN and any(map(is_required_argument, field.args.values())):
        return None
    given = [KNOWN[place]] if place in KNOWN else []
    given += [f"{name}: {SIZES[name]}" for name in field.args if name in SIZES]
    return f"({', '.join(given)})" if given else ""


def _documents(depth: int) -> dict[str, str]:
    """Return what each document asks for: each query, each part of the S5 sample, and other releases."""
    query, release = TYPES["Query"], TYPES["Release"]
    assert isinstance(query, GraphQLObjectType)
    assert isinstance(release, GraphQLObjectType)
    found = {f"Query{number}": field_of(query, name, depth) for number, name in enumerate(query.fields)}
    for number, name in enumerate(release.fields):
        part = field_of(release, name, depth, ("Query",))
        found[f"Part{number}"] = f'release(id: "{ARGO}") {{ id nodeId {part} }}' if "{" in part else ""
    for number, id_ in enumerate(OTHERS):
        found[f"Other{number}"] = f'release(id: "{id_}") {{ {fields_of(release, depth, ("Query",))} }}'
    return found


def accepted(url: str) -> list[dict[str, str]]:
    """Return the documents, each as deep as the server at a URL answers it."""
    candidates = [_documents(depth) for depth in DEPTHS]
    found = {}
    with httpx2.Client(timeout=60) as http:
        for name in candidates[0]:
            for texts in candidates:
                text = f"query {name} {{ {texts[name]} }}"
                if texts[name] and len(text) < MAX_CHARACTERS and "errors" not in post(http, text, url=url).json():
                    found[name] = text
                    break
    kinds = " ".join(
        f"... on {kind} {{ id name }}" for kind in ("Release", "Catalog", "Pipeline", "Product", "BaseImage")
    )
    found["Nodes"] = f"query Nodes {{ nodes(nodeIds: {json.dumps(NODES)}) {{ __typename nodeId {kinds} }} }}"
    for number, word in enumerate(("lib", "python", "gnome")):
        found[f"Debian{number}"] = f"query Debian{number} {{ {DEBIAN % word} }}"
    return [{"name": name, "text": text} for name, text in found.items()]


def missing_fields(documents: list[dict[str, str]]) -> set[str]:
    """Return the fields that queries reach and that no document asks for."""
    asked: set[str] = set()
    info = TypeInfo(schema._schema)

    class Fields(Visitor):
        def enter_field(self, node: Any, *_: Any) -> None:
            if parent := info.get_parent_type():
                asked.add(f"{parent.name}.{node.name.value}")

    for document in documents:
        visit(parse(document["text"]), TypeInfoVisitor(info, Fields()))
    return _reached("Query", set()) - asked


def _reached(name: str, found: set[str]) -> set[str]:
    kind = TYPES[name]
    for field_name, field in kind.fields.items() if isinstance(kind, GraphQLObjectType) else ():
        place = f"{name}.{field_name}"
        if place not in found | EXCLUDED:
            found.add(place)
            _reached(get_named_type(field.type).name, found)
    return found
