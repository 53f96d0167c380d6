"""The limits on the input of a request; see document_limits.py for those on its document."""

import collections
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from graphql import (
    SKIP,
    ArgumentNode,
    DocumentNode,
    GraphQLID,
    GraphQLInputType,
    GraphQLSchema,
    ListValueNode,
    Node,
    ObjectFieldNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    StringValueNode,
    TypeInfo,
    TypeInfoVisitor,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    get_named_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    type_from_ast,
    visit,
)

from release_catalog.domain.node_ids import MAX_NODE_ID
from release_catalog.graphql_api.request_errors import limit_exceeded
from release_catalog.request_limits import Limits
from release_catalog.storage.pagination import MAX_CURSOR

# At most this many entries in a list, and characters in a text, in the input of a mutation. The domain has limits
# of its own below these, which it reports as violations together with all others.
MAX_ENTRIES = 1_000
MAX_TEXT = 300_000
# At most this many values in the variables of an operation: 1,000 files with all fields of a file, and as much
# again.
MAX_VALUES = 30_000
# At most this many characters in an id anywhere, and in a text that is an argument of a query or a part of one.
# Every value that such a text is compared with is shorter.
MAX_ID = MAX_ARGUMENT = 1_024
# Node ids hold other ids, and are longer.
_LONG_IDS = {"nodeId": MAX_NODE_ID, "nodeIds": MAX_NODE_ID}
_LONG_ARGUMENTS = {"after": MAX_CURSOR, "before": MAX_CURSOR, "pathPrefix": 2_048, **_LONG_IDS}
_LONG_LISTS = frozenset({"platforms", "includedRepositoryKeys", "excludedRepositoryKeys"})
_FREE = frozenset({"metadata", "propertyValue", "projectIdentifier"})


def max_argument(name: str) -> int:
    """Return the maximum number of characters of a text that is an argument, or a part of one, of this name."""
    return _LONG_ARGUMENTS.get(name, MAX_ARGUMENT)


class InputLimits:
    """The checks of the lengths of a document's input: of its literals once, of its variables for each request.

    Every text and every list is measured here before anything else is done with it.
    """

    def __init__(self, schema: GraphQLSchema, node: DocumentNode, limits: Limits) -> None:
        """Refuse a document that holds a list or a text that is too long."""
        self._limits = limits
        self._schema = schema
        # Variables at places where more entries fit; and the names of the arguments that variables stand in.
        self._roomy: set[str] = set()
        # How often the document uses each variable.
        self._uses: collections.Counter[str] = collections.Counter()
        self._arguments: dict[str, str] = {}
        self._types: dict[int, list[tuple[str, GraphQLInputType]]] = {}
        long_texts = False
        for place, value in _values(node):
            if isinstance(value, VariableNode):
                self._note_variable(place, value.name.value)
            elif isinstance(value, ListValueNode):
                most = MAX_ENTRIES if place.name in _LONG_LISTS else limits.max_list
                _check_length(place.name, len(value.values), most)
            elif isinstance(value, StringValueNode):
                limit = MAX_TEXT if place.of_mutation else max_argument(place.name)
                _check_text(place.name, value.value, limit)
                long_texts = long_texts or (len(value.value) > MAX_ID and place.name not in _LONG_IDS)
        if long_texts:
            _check_ids(schema, node)

    def _note_variable(self, place: "_Place", variable: str) -> None:
        self._uses[variable] += 1
        if place.name in _LONG_LISTS:
            self._roomy.add(variable)
        if not place.of_mutation:
            known = self._arguments.get(variable)
            if known is None or max_argument(place.name) < max_argument(known):
                self._arguments[variable] = place.name

    def check(self, operation: OperationDefinitionNode, variables: Mapping[str, Any] | None) -> int:
        """Return the number of values in variables; refuse too many of them, and long lists and texts among them.

        Free JSON counts as one value, and is measured by the domain. Those of a variable count as often as the
        document uses it: each use reads them all.
        """
        if not variables or not operation.variable_definitions:
            return 0
        known = self._types.get(id(operation))
        if known is None:
            declared = ((d.variable.name.value, d.type) for d in operation.variable_definitions)
            found = ((name, type_from_ast(self._schema, type_)) for name, type_ in declared)
            known = self._types[id(operation)] = [(name, type_) for name, type_ in found if type_]  # type: ignore[misc]
        walk, read = _Walk(self._limits), 0
        for name, type_ in known:
            if name in variables:
                before = walk.values
                walk.check(name, variables[name], type_, self._arguments.get(name), roomy=name in self._roomy)
                read += (walk.values - before) * max(1, self._uses[name])
        return read


def count_values(limits: Limits, name: str, value: Any, type_: GraphQLInputType) -> int:
    """Return the number of values in an input that is no variable of a document, with the same limits."""
    walk = _Walk(limits)
    walk.check(name, value, type_, None, roomy=False)
    return walk.values


class _Walk:
    """A walk through the variables of one request."""

    def __init__(self, limits: Limits) -> None:
        self._max_list = limits.max_list
        self.values = 0

    def check(self, path: str, value: Any, type_: GraphQLInputType, argument: str | None, *, roomy: bool) -> None:
        """Check a value; `argument` is its name in a query, None in a mutation's input."""
        self.values += 1
        if self.values > MAX_VALUES:
            raise limit_exceeded("values", MAX_VALUES, f"The variables have more than {MAX_VALUES} values")
        if is_non_null_type(type_):
            type_ = type_.of_type
        if is_list_type(type_):
            value = value if isinstance(value, list) else [value]
            inner = type_.of_type.of_type if is_non_null_type(type_.of_type) else type_.of_type
            # The domain checks the number of entries of an object, together with its other rules.
            many = roomy or is_input_object_type(inner)
            _check_length(path, len(value), MAX_ENTRIES if many else self._max_list)
            for entry in value:
                self.check(path, entry, inner, argument, roomy=roomy)
        elif isinstance(value, dict) and is_input_object_type(type_):
            for name in value.keys() & type_.fields:
                inside = None if argument is None else name
                self.check(
                    f"{path}.{name}", value[name], type_.fields[name].type, inside, roomy=name in _LONG_LISTS
                )
        elif isinstance(value, str):
            limit = MAX_TEXT if argument is None else max_argument(argument)
            limit = min(limit, _LONG_IDS.get(argument or "", MAX_ID)) if type_ is GraphQLID else limit
            _check_text(path, value, limit)


def _check_length(path: str, length: int, limit: int) -> None:
    if length > limit:
        raise limit_exceeded("lists", limit, f"{path} has {length} entries")


def _check_text(path: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise limit_exceeded("texts", limit, f"{path} has {len(text)} characters")


class _Place(NamedTuple):
    """The place of a value: the name of its argument or field, and whether it is in the input of a mutation."""

    name: str
    of_mutation: bool


def _values(node: DocumentNode) -> Iterator[tuple[_Place, Node]]:
    """Yield everything in a document except free JSON, with the place of each."""
    waiting: list[tuple[_Place, Node]] = [(_Place("", of_mutation=False), node)]
    while waiting:
        place, at = waiting.pop()
        yield place, at
        if isinstance(at, OperationDefinitionNode):
            # The defaults of its variables stand in its input.
            place = _Place("", at.operation is OperationType.MUTATION)
        elif isinstance(at, ArgumentNode):
            place = _Place(at.name.value, at.name.value == "input")
        elif isinstance(at, ObjectFieldNode):
            place = _Place(at.name.value, place.of_mutation)
        elif isinstance(at, SelectionSetNode):
            place = _Place("", of_mutation=False)
        if isinstance(at, ArgumentNode | ObjectFieldNode) and place.name in _FREE:
            continue
        for key in ("default_value",) if isinstance(at, VariableDefinitionNode) else at.keys:
            inside = getattr(at, key, None)
            parts = inside if isinstance(inside, tuple) else (inside,)
            waiting += [(place, part) for part in parts if isinstance(part, Node)]


def _check_ids(schema: GraphQLSchema, node: DocumentNode) -> None:
    """Refuse literal ids that are too long; rare, because it takes the types of everything in the document."""
    types = TypeInfo(schema)

    class Ids(Visitor):
        def enter_argument(self, argument: ArgumentNode, *_: Any) -> Any:
            return SKIP if argument.name.value in _LONG_IDS else None

        def enter_string_value(self, text: StringValueNode, *_: Any) -> None:
            kind = types.get_input_type()
            if kind and get_named_type(kind) is GraphQLID:
                _check_text("An id in the document", text.value, MAX_ID)

    visit(node, TypeInfoVisitor(types, Ids()))
