"""The interface of everything that can be fetched again by one id, and the field of that id."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import strawberry
from graphql import GraphQLInterfaceType, GraphQLSchema

from release_catalog.domain import node_ids
from release_catalog.graphql_api.fields import computed_field, field
from release_catalog.query_engine.field_source import TYPE_KEY

_NODE_ID = (
    "Opaque id for `node` and for the keys of caches: unique over all types, and stable. It is safe in URLs."
)


@strawberry.interface(
    description="A document that can be fetched again by one id, unique over all types. Its field `id` is unique "
    "within its type."
)
class Node:
    node_id: strawberry.ID = field(_NODE_ID)

    @classmethod
    def resolve_type(cls, document: Mapping[str, Any], *_: Any) -> str:
        """Return the name of the type of a document."""
        name: str = document[TYPE_KEY]
        return name


def node_id_of(type_: str, id_of: Callable[[Any], str], *keys: str) -> Any:
    """Declare the field `nodeId` of a type; `id_of` returns the id of a document, from these keys of it."""
    return computed_field(lambda document: node_ids.encode(type_, id_of(document)), _NODE_ID, keys=keys)


def node_id(type_: str) -> Any:
    """Declare the field `nodeId` of a type whose documents have their id in themselves."""
    return node_id_of(type_, operator.itemgetter("id"), "id")


def node_id_in_release(type_: str) -> Any:
    """Declare the field `nodeId` of a type whose documents are a part of their release."""
    return computed_field(
        lambda part: node_ids.encode(type_, part["id"], part["release"]["id"]), _NODE_ID, keys=["id", "release.id"]
    )


def connect(schema: GraphQLSchema) -> None:
    """Let documents be taken for the types that fields give them, and not only Strawberry's own objects.

    Only the interface must ask a document for its type.
    """
    interface = schema.type_map["Node"]
    assert isinstance(interface, GraphQLInterfaceType)  # noqa: S101  it is this project's own schema
    for type_ in schema.get_implementations(interface).objects:
        type_.is_type_of = None
