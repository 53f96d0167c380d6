"""The maximum cost of an operation, from its document and its arguments, before anything is read.

The prices of fields are in `prices`; here they are multiplied and added up.
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
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)

from release_catalog.graphql_api.limits import prices
from release_catalog.graphql_api.limits.prices import FEW, INTROSPECTION, PAGE, SIZE_ARGUMENTS, Price
from release_catalog.storage.dependency_traversal import MAX_NODES

# The fields of input objects that have prices.
_PRICED = frozenset(
    name.partition(".")[2] for price in prices.PRICES.values() for name in price.arguments if "." in name
)
# Fewer than there are page sizes: no client uses all of them.
MAX_KEPT = 50


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost in points, and the maximum number of objects in a response, as far as it is known beforehand."""

    points: int
    nodes: int


class QueryCost:
    """The costs of a valid document's operations, each computed once for the arguments that it depends on."""

    def __init__(self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._schema = schema
        self._fragments = fragments
        self._sizing: dict[int, list[str]] = {}
        self._known: dict[Any, Cost] = {}

    def of(self, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Cost:
        """Return the cost of an operation; variables need not be checked yet."""
        sizing = self._sizing.get(id(operation))
        if sizing is None:
            sizing = self._sizing[id(operation)] = [
                definition.variable.name.value
                for definition in operation.variable_definitions or ()
                if getattr(get_named(definition.type), "value", None) in {"Int", "ReleaseFilter"}
            ]
        key = id(operation), *[_deciding(variables.get(name)) for name in sizing]
        cost = self._known.get(key)
        if cost is None:
            if len(self._known) >= MAX_KEPT:
                self._known.clear()
            cost = self._known[key] = _CostVisitor(self._schema, self._fragments, operation, variables).total()
        return cost


def get_named(type_: Any) -> Any:
    """Return the name node of a type in a document, out of its lists."""
    while hasattr(type_, "type"):
        type_ = type_.type
    return type_.name


def _deciding(value: Any) -> Any:
    """Return the part of a variable's value that decides about a price."""
    return frozenset(_set_names(value)) if isinstance(value, dict) else _int(value)


def _int(value: Any) -> int | None:
    # Only as far as it tells sizes apart. GraphQL takes 5.0 for 5.
    return int(min(max(value, 0), MAX_NODES + 1)) if type(value) in {int, float} else None


def _set_names(value: Mapping[str, Any]) -> list[str]:
    """Return the priced fields of an input object."""
    return [name for name in _PRICED if value.get(name) is not None]


@dataclasses.dataclass(frozen=True)
class _Page:
    """The multipliers of a page's entries, in points and in nodes, and the price of the search for them."""

    points: int
    nodes: int
    search: int = 0


_LIST = _Page(FEW, FEW)
_ONE = _Page(1, 1)


class _CostVisitor:
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
        self._known: dict[tuple[str, _Page | None], Cost] = {}
        self._defaults = {d.variable.name.value: d.default_value for d in operation.variable_definitions or ()}
        self._given = {name: variables[name] for name in self._defaults if name in variables}

    def total(self) -> Cost:
        operation = self._operation
        root = self._schema.get_root_type(operation.operation)
        cost = self._selection(root, operation.selection_set, None) if root else Cost(0, 0)
        return Cost(max(1, cost.points), cost.nodes)

    def _selection(self, of: GraphQLNamedType, selection_set: SelectionSetNode, page: _Page | None) -> Cost:
        """Return the cost of a selection on one object of a type; `page` is that of its lists, if it is a page."""
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

    def _fragment(self, name: str, page: _Page | None) -> Cost:
        key = name, page
        if key not in self._known:
            fragment = self._fragments[name]
            of = self._schema.type_map[fragment.type_condition.name.value]
            self._known[key] = self._selection(of, fragment.selection_set, page)
        return self._known[key]

    def _field(self, of: GraphQLNamedType, node: FieldNode, page: _Page | None) -> Cost:
        price = prices.find_price(of.name, node.name.value) or Price()
        field = self._schema.get_field(of, node.name.value)  # type: ignore[arg-type]
        search = self._search(price, node)
        own = price.points + search
        if field is None or node.selection_set is None or is_leaf_type(get_named_type(field.type)):
            counted = page.search if page and node.name.value == "totalCount" else 0
            return Cost(own + counted, 0)
        if of.name.startswith("__") or node.name.value in {"__schema", "__type"}:
            inner = self._selection(get_named_type(field.type), node.selection_set, None)
            return Cost(INTROSPECTION + inner.points, inner.nodes)
        sized, is_list = self._page(price, field, node, search), _is_list(field)
        times = (sized or page or _LIST) if is_list else _ONE
        inner = self._selection(get_named_type(field.type), node.selection_set, None if is_list else sized)
        own += sized.points if price.walk and sized else 0
        return Cost(
            own + times.points * (1 + price.back * inner.points), times.nodes * (1 + price.back * inner.nodes)
        )

    def _search(self, price: Price, node: FieldNode) -> int:
        """Return the points of the arguments that are present."""
        if not price.arguments:
            return 0
        names: list[str] = []
        for argument in node.arguments or ():
            name, value = argument.name.value, argument.value
            names += [name, *(f"{name}.{inner}" for inner in self._inside(value))]
        return sum(price.arguments.get(name, 0) for name in names)

    def _inside(self, value: Any) -> list[str]:
        """Return the priced fields of an input object, in the document or in a variable."""
        if isinstance(value, VariableNode):
            known = self._given.get(value.name.value)
            if isinstance(known, dict):
                return _set_names(known)
            value = self._defaults.get(value.name.value) if value.name.value not in self._given else None
        if not isinstance(value, ObjectValueNode):
            return []
        return [f.name.value for f in value.fields if not isinstance(f.value, NullValueNode)]

    def _page(self, price: Price, field: GraphQLField, node: FieldNode, search: int) -> _Page | None:
        """Return the page of a field, of the requested size or of its default size."""
        arguments = {argument.name.value: argument.value for argument in node.arguments or ()}
        for argument, most in SIZE_ARGUMENTS.items():
            if argument in field.args and argument in arguments:
                size = self._size(arguments[argument])
                if size is not None:
                    return _page(min(max(size, 1), most), argument, search)
        if price.entries is not None:
            return _page(price.entries, "", search)
        for argument in SIZE_ARGUMENTS.keys() & field.args:
            default = field.args[argument].default_value
            return _page(default if isinstance(default, int) else PAGE, argument, search)
        return None

    def _size(self, node: Any) -> int | None:
        if isinstance(node, VariableNode):
            name = node.name.value
            if name in self._given:
                return _int(self._given[name])
            node = self._defaults.get(name)
        if isinstance(node, IntValueNode):
            # Longer ones are refused later, and not all of them can be read.
            return _int(int(node.value)) if len(node.value) < len(str(MAX_NODES)) + 2 else MAX_NODES
        return None


def _page(size: int, argument: str, search: int) -> _Page:
    return _Page(-(-size // prices.WALKED_A_POINT) if argument == "maxNodes" else size, size, search)


def _is_list(field: GraphQLField) -> bool:
    kind = field.type.of_type if is_non_null_type(field.type) else field.type
    return is_list_type(kind)
