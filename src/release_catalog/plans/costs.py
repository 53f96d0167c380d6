"""What an operation may cost at most, told from its document and its page sizes before anything is read.

Each object counts one, and a page counts for as many as are asked for; a list without pages counts for a few. So
the numbers are estimates from above for what is paged, and typical ones for what stands in one document anyway.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)

MUTATION = 10
# Of introspection, whose answers are walked field by field.
INTROSPECTION = 20
MAX_PAGE, MAX_GRAPH = 100, 5_000
# A graph is walked for many at once: so many of its releases cost as much as one.
GRAPH_SHARE = 50
# Entries of lists that have no pages.
FEW = 5
# What a list without a page size has in a normal case, and what a field costs before anything is under it.
SIZES = {
    "Release.dependencies": 10,
    "ReleaseLinks.dependencies": 10,
    "DependencyPath.releases": 11,
}
# From an artifact back to the release that holds it: what is asked of that may come for each of a thousand.
BACK = {"Artifact.release": 1_000}
WEIGHTS = {"Release.dependencyPaths": 100, "Query.compareReleases": 10, "Query.exportRelease": 10}
_SIZE_ARGUMENTS = {"first": MAX_PAGE, "last": MAX_PAGE, "maxNodes": MAX_GRAPH}
# Fewer than there are page sizes: nobody asks with all of them.
MAX_KEPT = 50


@dataclasses.dataclass(frozen=True)
class Cost:
    """In points, and in the most objects that an answer can hold, as far as that can be told beforehand."""

    points: int
    nodes: int


class Costs:
    """The costs of a valid document's operations, each worked out once for the page sizes that it depends on."""

    def __init__(self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._schema = schema
        self._fragments = fragments
        self._sizing: dict[int, list[str]] = {}
        self._known: dict[Any, Cost] = {}

    def of(self, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Cost:
        """The cost of an operation; variables need not be checked yet."""
        sizing = self._sizing.get(id(operation))
        if sizing is None:
            sizing = self._sizing[id(operation)] = [
                definition.variable.name.value
                for definition in operation.variable_definitions or ()
                if getattr(get_named(definition.type), "value", None) == "Int"
            ]
        key = id(operation), *[_int(variables.get(name)) for name in sizing]
        cost = self._known.get(key)
        if cost is None:
            if len(self._known) >= MAX_KEPT:
                self._known.clear()
            cost = self._known[key] = _Pricing(self._schema, self._fragments, operation, variables).total()
        return cost


def get_named(type_: Any) -> Any:
    """The name node of a type in a document, out of its lists."""
    while hasattr(type_, "type"):
        type_ = type_.type
    return type_.name


def _int(value: Any) -> int | None:
    # Only as far as it tells sizes apart. GraphQL takes 5.0 for 5.
    return int(min(max(value, 0), MAX_GRAPH + 1)) if type(value) in {int, float} else None


# How often what is under a field comes: in points and in nodes.
_Times = tuple[int, int]


class _Pricing:
    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._operation = operation
        self._known: dict[tuple[str, _Times | None], Cost] = {}
        defaults = {d.variable.name.value: d.default_value for d in operation.variable_definitions or ()}
        literals = {name: self._size(node) for name, node in defaults.items() if node and name not in variables}
        self._variables = literals | {name: _int(variables[name]) for name in defaults if name in variables}

    def total(self) -> Cost:
        operation = self._operation
        root = self._schema.get_root_type(operation.operation)
        cost = self._selection(root, operation.selection_set, None) if root else Cost(0, 0)
        return Cost(max(1, cost.points), cost.nodes)

    def _selection(self, of: GraphQLNamedType, selection_set: SelectionSetNode, page: _Times | None) -> Cost:
        """What is asked of one object of a type; `page` is how many its lists hold, if it is a page."""
        points = nodes = 0
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                cost = self._field(of, node, page)
            elif isinstance(node, FragmentSpreadNode):
                cost = self._fragment(node.name.value, page)
            else:
                condition = getattr(node, "type_condition", None)
                named = self._schema.type_map[condition.name.value] if condition else of
                cost = self._selection(named, node.selection_set, page)  # type: ignore[attr-defined]
            points, nodes = points + cost.points, nodes + cost.nodes
        return Cost(points, nodes)

    def _fragment(self, name: str, page: _Times | None) -> Cost:
        key = name, page
        if key not in self._known:
            fragment = self._fragments[name]
            of = self._schema.type_map[fragment.type_condition.name.value]
            self._known[key] = self._selection(of, fragment.selection_set, page)
        return self._known[key]

    def _field(self, of: GraphQLNamedType, node: FieldNode, page: _Times | None) -> Cost:
        name = f"{of.name}.{node.name.value}"
        weight = WEIGHTS.get(name, 0)
        if of is self._schema.mutation_type:
            weight = MUTATION
        field = self._schema.get_field(of, node.name.value)  # type: ignore[arg-type]
        if field is None or node.selection_set is None or is_leaf_type(get_named_type(field.type)):
            return Cost(weight, 0)
        if of.name.startswith("__") or node.name.value in {"__schema", "__type"}:
            inner = self._selection(get_named_type(field.type), node.selection_set, None)
            return Cost(INTROSPECTION + inner.points, inner.nodes)
        sized, is_list = self._times(name, field, node), _is_list(field)
        times = (sized or page or (FEW, FEW)) if is_list else (1, 1)
        inner = self._selection(get_named_type(field.type), node.selection_set, None if is_list else sized)
        back = BACK.get(name, 1)
        return Cost(weight + times[0] * (1 + back * inner.points), times[1] * (1 + back * inner.nodes))

    def _times(self, name: str, field: GraphQLField, node: FieldNode) -> _Times | None:
        """The page size of a field: the one that is given, or what it is without."""
        arguments = {argument.name.value: argument.value for argument in node.arguments or ()}
        for argument, most in _SIZE_ARGUMENTS.items():
            if argument in field.args and argument in arguments:
                given = self._size(arguments[argument])
                if given is not None:
                    return self._shared(min(max(given, 1), most), argument)
        if name in SIZES:
            return SIZES[name], SIZES[name]
        for argument in _SIZE_ARGUMENTS.keys() & field.args:
            default = field.args[argument].default_value
            return self._shared(default if isinstance(default, int) else 20, argument)
        return None

    @staticmethod
    def _shared(size: int, argument: str) -> _Times:
        return (-(-size // GRAPH_SHARE), size) if argument == "maxNodes" else (size, size)

    def _size(self, node: Any) -> int | None:
        if isinstance(node, VariableNode):
            return self._variables.get(node.name.value)
        if isinstance(node, IntValueNode):
            # Longer ones are refused later, and not all of them can be read.
            return _int(int(node.value)) if len(node.value) < len(str(MAX_GRAPH)) + 2 else MAX_GRAPH
        return None


def _is_list(field: GraphQLField) -> bool:
    kind = field.type.of_type if is_non_null_type(field.type) else field.type
    return is_list_type(kind)
