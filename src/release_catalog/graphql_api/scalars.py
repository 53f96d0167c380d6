"""The contract's scalars."""

import datetime
from collections.abc import Callable
from typing import Any, NewType

import strawberry
from graphql import (
    BooleanValueNode,
    EnumValueNode,
    FloatValueNode,
    GraphQLError,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    StringValueNode,
    Undefined,
    ValueNode,
    VariableNode,
)
from graphql.pyutils import inspect
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

from release_catalog.domain import json_values, timestamps

Long = NewType("Long", int)
_LIMIT = 2**63
# At most this many characters in an instant or a date.
MAX_TIME = 64


def _long(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and -_LIMIT <= value < _LIMIT:
        return value
    raise GraphQLError(f"Long cannot represent {inspect(value)}: give a whole number from -2^63 to 2^63-1.")


def _read(name: str, parse: Callable[[str], Any], example: str) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            raise GraphQLError(f"{name} cannot represent {inspect(value)}: give a text such as {example!r}.")
        if len(value) > MAX_TIME:
            raise GraphQLError(
                f"{name} cannot represent {len(value)} characters: give a text such as {example!r}."
            )
        try:
            return parse(value)
        except ValueError as error:
            raise GraphQLError(f"{name} cannot represent this text: {error}") from error

    return read


def _unchanged(value: Any) -> Any:
    return value


def _json_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
    """Return the JSON of a literal; a variable without a value is left out of an object, and null in a list."""
    match node:
        case VariableNode():
            return (variables or {}).get(node.name.value, Undefined)
        case ObjectValueNode():
            values = {field.name.value: _json_literal(field.value, variables) for field in node.fields}
            return {name: value for name, value in values.items() if value is not Undefined}
        case ListValueNode():
            entries = [_json_literal(entry, variables) for entry in node.values]
            return [None if entry is Undefined else entry for entry in entries]
        case IntValueNode() | FloatValueNode():
            parse = json_values.integer if isinstance(node, IntValueNode) else json_values.number
            return parse(node.value)
        case StringValueNode() | BooleanValueNode() | EnumValueNode():
            return node.value
    return None


SCALARS: dict[object, ScalarDefinition] = {
    Long: strawberry.scalar(
        name="Long",
        description="Signed 64-bit integer, as a JSON number: sizes in bytes, epoch milliseconds.",
        specified_by_url="https://scalars.graphql.org/chillicream/long.html",
        serialize=_long,
        parse_value=_long,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="JSON value as in ECMA-404. Numbers that can't be kept with all their digits are refused.",
        specified_by_url="https://ecma-international.org/wp-content/uploads/ECMA-404_2nd_edition_december_2017.pdf",
        serialize=_unchanged,
        parse_value=_unchanged,
        parse_literal=_json_literal,
    ),
    datetime.datetime: strawberry.scalar(
        name="DateTime",
        description="RFC 3339 instant, always printed in UTC with a Z; input takes any offset.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=timestamps.format_rfc3339,
        parse_value=_read("DateTime", timestamps.parse, "2026-03-01T09:30:00Z"),
    ),
    datetime.date: strawberry.scalar(
        name="Date",
        description="ISO 8601 calendar date, such as 2026-03-01.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
        serialize=str,
        # S5: a calendar date, or the date in a date-time.
        parse_value=_read("Date", timestamps.parse_date, "2026-03-01"),
    ),
}
