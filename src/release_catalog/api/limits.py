"""How much a request may ask for, and the checks of its input; see measuring.py for those of its document."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    ArgumentNode,
    DocumentNode,
    GraphQLInputType,
    GraphQLSchema,
    ListValueNode,
    Node,
    ObjectFieldNode,
    OperationDefinitionNode,
    VariableNode,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    type_from_ast,
)

from release_catalog.api.refusals import Refusal, too_much

# The lexer takes up to 0.2 microseconds a character, whether or not it finds a token.
MAX_CHARACTERS = 100_000
# What lists may hold where the domain says how much, and texts where it does not.
MAX_ENTRIES = 1_000
MAX_TEXT = 100_000
_ROOMY = frozenset({"platforms", "includedRepositoryKeys", "excludedRepositoryKeys"})
_FREE = frozenset({"metadata", "propertyValue", "projectIdentifier"})


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits that are set; the settings describe them."""

    max_body_bytes: int = 1 << 20
    max_tokens: int = 2_000
    max_depth: int = 12
    max_aliases: int = 50
    max_directives: int = 50
    max_cost: int = 5_000
    max_nodes: int = 50_000
    max_list: int = 250
    max_concurrency: int = 100
    cost_per_hour: int = 0
    query_seconds: float = 15


class Inputs:
    """What is to be checked of the input of one operation's document: its literals now, its variables later."""

    def __init__(self, schema: GraphQLSchema, node: DocumentNode, limits: Limits) -> None:
        """Refuses a list in the document itself that is too long."""
        self._limits = limits
        self._schema = schema
        # Variables that stand where more fits.
        self._roomy: set[str] = set()
        self._types: dict[int, list[tuple[str, GraphQLInputType]]] = {}
        for name, value in _values(node):
            if isinstance(value, VariableNode) and name in _ROOMY:
                self._roomy.add(value.name.value)
            elif isinstance(value, ListValueNode):
                most = MAX_ENTRIES if name in _ROOMY else limits.max_list
                self._check_length(name, len(value.values), most)

    def check(self, operation: OperationDefinitionNode, variables: Mapping[str, Any] | None) -> None:
        """Refuse variables with lists or texts that are too long, before anything is made of them."""
        if not variables or not operation.variable_definitions:
            return
        known = self._types.get(id(operation))
        if known is None:
            declared = ((d.variable.name.value, d.type) for d in operation.variable_definitions)
            found = ((name, type_from_ast(self._schema, type_)) for name, type_ in declared)
            known = self._types[id(operation)] = [(name, type_) for name, type_ in found if type_]  # type: ignore[misc]
        for name, type_ in known:
            if name in variables:
                self._check(name, variables[name], type_, roomy=name in self._roomy)

    def _check(self, path: str, value: Any, type_: GraphQLInputType, *, roomy: bool) -> None:
        if is_non_null_type(type_):
            type_ = type_.of_type
        if is_list_type(type_):
            value = value if isinstance(value, list) else [value]
            inner = type_.of_type.of_type if is_non_null_type(type_.of_type) else type_.of_type
            # How many entries an object may have, the domain says with all else that is wrong with it.
            many = roomy or is_input_object_type(inner)
            self._check_length(path, len(value), MAX_ENTRIES if many else self._limits.max_list)
            for entry in value:
                self._check(path, entry, inner, roomy=roomy)
        elif isinstance(value, dict) and is_input_object_type(type_):
            for name in value.keys() & type_.fields:
                self._check(f"{path}.{name}", value[name], type_.fields[name].type, roomy=name in _ROOMY)
        elif isinstance(value, str) and len(value) > MAX_TEXT:
            raise too_much("texts", MAX_TEXT, f"{path} has {len(value)} characters")

    def _check_length(self, path: str, length: int, most: int) -> None:
        if length > most:
            raise too_much("lists", most, f"{path} has {length} entries")


def _values(node: DocumentNode) -> Iterator[tuple[str, Node]]:
    """Everything in a document but free JSON, each with the name of the argument or field that it is for."""
    waiting: list[tuple[str, Node]] = [("", node)]
    while waiting:
        name, at = waiting.pop()
        yield name, at
        if isinstance(at, ArgumentNode | ObjectFieldNode):
            name = at.name.value
            if name in _FREE:
                continue
        for key in at.keys:
            inside = getattr(at, key, None)
            parts = inside if isinstance(inside, tuple) else (inside,)
            waiting += [(name, part) for part in parts if isinstance(part, Node)]


def refused_by_parser(reason: str, limits: Limits) -> Refusal | None:
    """What the parser's message says of limits, if it does."""
    if "nested too deeply" in reason:
        return too_much("depth", limits.max_depth, "Document is nested too deeply")
    return None
