"""Collection of an object's fields: fragments opened, and `@skip` and `@include` evaluated."""

from collections.abc import Iterable, Iterator, Mapping

from graphql import (
    BooleanValueNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    is_abstract_type,
)

STEERING = frozenset({"skip", "include"})
# The maximum number of selections for one plan: fragments can stand for more fields than could be named.
MAX_VISITS = 4_000

Fields = dict[str, list[FieldNode]]


class UnsupportedByPlan(Exception):  # noqa: N818  it is not an error: the ordinary executor takes over
    """A feature that plans do not support."""


def directive_variables(document: DocumentNode) -> list[str]:
    """Return the variables that decide which fields are requested."""
    found: dict[str, None] = {}
    waiting: list[SelectionNode | SelectionSetNode] = [
        definition.selection_set
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode)
    ]
    while waiting:
        node = waiting.pop()
        if isinstance(node, SelectionSetNode):
            waiting += node.selections
            continue
        for directive in node.directives or ():
            for argument in directive.arguments or () if directive.name.value in STEERING else ():
                if isinstance(argument.value, VariableNode):
                    found[argument.value.name.value] = None
        if isinstance(node, FieldNode | InlineFragmentNode) and node.selection_set:
            waiting.append(node.selection_set)
    return list(found)


class FieldCollector:
    """A collector of fields by the specification (6.3.2), for one document and the values of its directives."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        values: Mapping[str, bool],
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._values = values
        self.visits = 0

    def fields(self, of: GraphQLObjectType, selection_sets: Iterable[SelectionSetNode]) -> Fields:
        """Return the fields of `of` by their names in the response."""
        found: Fields = {}
        opened: set[str] = set()
        for selection_set in selection_sets:
            for node in self._flat(of, selection_set, opened):
                found.setdefault((node.alias or node.name).value, []).append(node)
        return found

    def _flat(
        self, of: GraphQLObjectType, selection_set: SelectionSetNode, opened: set[str]
    ) -> Iterator[FieldNode]:
        for node in selection_set.selections:
            self.visits += 1
            if self.visits > MAX_VISITS:
                raise UnsupportedByPlan("more fields than a plan may have")
            if not all(map(self._holds, (node.directives or ()))):
                continue
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                if self._fits(of, node):
                    yield from self._flat(of, node.selection_set, opened)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in opened:
                opened.add(node.name.value)
                fragment = self._fragments[node.name.value]
                if self._fits(of, fragment):
                    yield from self._flat(of, fragment.selection_set, opened)

    def _holds(self, directive: object) -> bool:
        name = directive.name.value  # type: ignore[attr-defined]
        if name not in STEERING:
            raise UnsupportedByPlan(f"@{name}")
        [argument] = directive.arguments  # type: ignore[attr-defined]
        value = argument.value
        decided = value.value if isinstance(value, BooleanValueNode) else self._values.get(value.name.value)
        if not isinstance(decided, bool):
            raise UnsupportedByPlan(f"@{name} without a value")
        return decided is (name == "include")

    def _fits(self, of: GraphQLObjectType, fragment: InlineFragmentNode | FragmentDefinitionNode) -> bool:
        if fragment.type_condition is None or fragment.type_condition.name.value == of.name:
            return True
        condition = self._schema.type_map[fragment.type_condition.name.value]
        return is_abstract_type(condition) and self._schema.is_sub_type(condition, of)
