"""The number of entries in the input of a bulk mutation, from its document and its variables."""

from collections.abc import Mapping
from typing import Any

from graphql import FieldNode, ListValueNode, ObjectValueNode, VariableNode

# The list of inputs in the input of a bulk, and the types of variables that hold it or are in it.
LIST = "releases"
TYPES = frozenset(f"{verb}{kind}Input" for verb in ("Create", "Import") for kind in ("Release", "Releases"))


def length(value: Any) -> int:
    """Return the number of entries of a variable's list; GraphQL takes any other value for a list of one."""
    return len(value) if isinstance(value, list) else 1


def entries(node: FieldNode, variables: Mapping[str, Any], defaults: Mapping[str, Any]) -> int:
    """Return the number of entries in the input of a bulk, at least 1."""
    value: Any = next((argument.value for argument in node.arguments or ()), None)
    if isinstance(value, VariableNode):
        whole = variables.get(value.name.value)
        if isinstance(whole, dict):
            return max(1, length(whole.get(LIST)))
        value = defaults.get(value.name.value)
    fields = value.fields if isinstance(value, ObjectValueNode) else ()
    found: Any = next((field.value for field in fields if field.name.value == LIST), None)
    if isinstance(found, VariableNode):
        if found.name.value in variables:
            return max(1, length(variables[found.name.value]))
        found = defaults.get(found.name.value)
    return max(1, len(found.values)) if isinstance(found, ListValueNode) else 1
