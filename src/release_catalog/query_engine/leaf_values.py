"""Scalars and enums as the ordinary executor writes them, without calling it if a simple check suffices."""

import datetime
from collections.abc import Callable
from typing import Any

import orjson
from graphql import (
    GraphQLEnumType,
    GraphQLLeafType,
    GraphQLScalarType,
    Undefined,
)

from release_catalog import usage
from release_catalog.storage import database as db

# The options for writing JSON.
JSON_OPTIONS = usage.JSON_OPTIONS


# Python conditions on a value that is written unchanged, by the name of its type.
_PLAIN = {
    "String": "type({0}) is str",
    "ID": "type({0}) is str",
    "Date": "type({0}) is str",
    "Boolean": "type({0}) is bool",
    "Int": "type({0}) is int and -2147483648 <= {0} <= 2147483647",
    "Long": "type({0}) is int",
    "DateTime": "type({0}) is datetime and not {0}.microsecond and {0}.tzinfo in zones",
}
# The UTC time zones of values from storage.
_ZONES = (None, db.UTC)
NAMES = {"datetime": datetime.datetime, "zones": _ZONES}


def plain(leaf: GraphQLLeafType, variable: str) -> str:
    """Return a Python condition for values that are written unchanged."""
    return _PLAIN.get(leaf.name, "False").format(variable)


def is_text(kind: object) -> bool:
    """Return whether the values of a type are texts of any length."""
    return isinstance(kind, GraphQLScalarType) and kind.name in {"String", "ID"}


def coerced(leaf: GraphQLLeafType) -> Callable[[Any], Any]:
    """Return a function that converts a value as the executor does, and raises if the executor would."""
    written = leaf.coerce_output_value

    def coerce(value: Any) -> Any:
        found = written(value)
        if found is None or found is Undefined:
            raise TypeError(value)
        return found

    if isinstance(leaf, GraphQLEnumType):
        return _Names(coerce).__getitem__
    if isinstance(leaf, GraphQLScalarType) and leaf.name == "DateTime":
        return _instants(coerce)
    return coerce


def json_fragment(value: Any) -> orjson.Fragment | None:
    """Return a value as JSON text for an answer; None stays None."""
    return None if value is None else orjson.Fragment(orjson.dumps(value, option=JSON_OPTIONS))


def _instants(coerce: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def written(value: Any) -> Any:
        if type(value) is datetime.datetime and value.tzinfo in _ZONES and value.microsecond:
            # Three times as fast as timestamps.format_rfc3339: microseconds are cut to milliseconds.
            return orjson.Fragment(orjson.dumps(value, None, JSON_OPTIONS)[:-5] + b'Z"')
        return coerce(value)

    return written


class _Names(dict[Any, Any]):
    """The names of an enum's values, added on first use."""

    def __init__(self, coerce: Callable[[Any], Any]) -> None:
        super().__init__()
        self._coerce = coerce

    def __missing__(self, value: Any) -> Any:
        name = self._coerce(value)
        if name == value:
            self[value] = name
        return name
