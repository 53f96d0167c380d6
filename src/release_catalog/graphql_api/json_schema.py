"""JSON Schemas: their parts, and those of the schema's input types."""

from collections.abc import Mapping
from typing import Any

from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    is_required_input_field,
)

from release_catalog.graphql_api.schema import schema

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
INSTANT: Schema = {"type": "string", "format": "date-time"}
SIZE: Schema = {"type": "integer", "format": "int64", "minimum": 0}
COUNT: Schema = {"type": "integer", "minimum": 0}

_SCALARS: Mapping[str, Schema] = {
    "ID": TEXT,
    "String": TEXT,
    "Boolean": BOOLEAN,
    "Int": {"type": "integer", "format": "int32"},
    "Long": {"type": "integer", "format": "int64"},
    "Float": {"type": "number"},
    "DateTime": INSTANT,
    "Date": {"type": "string", "description": "A date, or a timestamp whose date counts."},
    "JSON": {},
}


def reference(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(items: Schema, **more: Any) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items, **more}


def nullable(kind: Schema) -> Schema:
    """Return a schema that also allows null."""
    if not kind:
        return kind
    if "type" in kind and "enum" not in kind:
        return {**kind, "type": [kind["type"], "null"]}
    return {"anyOf": [kind, {"type": "null"}]}


def described(kind: Schema, description: str) -> Schema:
    """Return a schema with a description."""
    return {**kind, "description": description}


def object_of(description: str, properties: Mapping[str, Schema], *optional: str) -> Schema:
    """Return the schema of an object whose properties are required, except the `optional` ones."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "description": description,
        "properties": dict(properties),
        **({"required": required} if required else {}),
    }


def inputs(*names: str) -> dict[str, Schema]:
    """Return the schemas of these input types of GraphQL, and of those that they hold, by name."""
    found: dict[str, Schema] = {}
    waiting = [schema._schema.type_map[name] for name in names]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, GraphQLInputObjectType) and kind.name not in found:
            fields = kind.fields.items()
            properties = {name: described(_of_type(field.type), field.description or "") for name, field in fields}
            optional = [name for name, field in fields if not is_required_input_field(field)]
            found[kind.name] = object_of(kind.description or "", properties, *optional)
            waiting += [_named(field.type) for _, field in fields]
    return found


def _named(kind: Any) -> Any:
    while hasattr(kind, "of_type"):
        kind = kind.of_type
    return kind


def _of_type(kind: GraphQLInputType) -> Schema:
    if not is_non_null_type(kind):
        return nullable(_of_non_null(kind))
    return _of_non_null(kind.of_type)


def _of_non_null(kind: GraphQLInputType) -> Schema:
    if is_list_type(kind):
        return list_of(_of_type(kind.of_type))
    if is_enum_type(kind):
        return {"type": "string", "enum": list(kind.values)}
    return reference(kind.name) if is_input_object_type(kind) else dict(_SCALARS[kind.name])  # type: ignore[union-attr]
