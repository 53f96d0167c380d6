"""The compiler of selections: for each type, the paths to read and the code that makes answers.

It collects the fields of a selection, writes the code of those that come from the document alone, and prepares
the calls of the resolvers of all others.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from graphql import (
    BooleanValueNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLAbstractType,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.values import get_argument_values
from strawberry import Schema
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_camel_case

from release_catalog.query_engine.completion import CodeGenerator
from release_catalog.query_engine.context import Context
from release_catalog.query_engine.field_source import SOURCE, FieldSource
from release_catalog.query_engine.selection import (
    BatchedField,
    CompiledSelection,
    ExecutionContext,
    SelectionByType,
    Source,
    UnsupportedByPlan,
    gather_or_cancel,
)
from release_catalog.storage.collection_names import CollectionName
from release_catalog.storage.cursors import NONE, FieldPaths, prefixed, union

STEERING = frozenset({"skip", "include"})
# The maximum number of selections for one plan: fragments can stand for more fields than could be named.
MAX_VISITS = 4_000

_BY_ID = frozenset({"id"})

Fields = dict[str, list[FieldNode]]


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


class Compiler:
    """A compiler for one document, which compiles each selection once, however many fragments lead to it."""

    def __init__(self, schema: GraphQLSchema, collector: FieldCollector) -> None:
        self._schema = schema
        self._collector = collector
        self._known: dict[Any, CompiledSelection] = {}

    def selection(self, of: GraphQLObjectType, nodes: Sequence[FieldNode]) -> CompiledSelection:
        """Compile the selections of `of` under several nodes of one field."""
        return self.fields(of, self._collector.fields(of, [n.selection_set for n in nodes if n.selection_set]))

    def fields(self, of: GraphQLObjectType, fields: Fields) -> CompiledSelection:
        """Compile the fields of `of`."""
        known = of.name, tuple((name, *map(_identity, nodes)) for name, nodes in fields.items())
        if known not in self._known:
            self._known[known] = self._compiled(of, fields)
        return self._known[known]

    def _compiled(self, of: GraphQLObjectType, fields: Fields) -> CompiledSelection:
        if of.is_type_of:
            raise UnsupportedByPlan("types that tell their objects themselves")
        writer, keys = CodeGenerator(), NONE
        for name, nodes in fields.items():
            if nodes[0].name.value == "__typename":
                writer.constant(name, of.name)
            else:
                keys = union(keys, self._field(writer, name, nodes, of.fields.get(nodes[0].name.value)))
        for many, (variable, inner) in writer.wholes.items():
            writer.whole(variable, BatchedField(_many(many, inner.asked), inner.selection(NONE)))
        return writer.selection(keys)

    def _field(
        self, writer: CodeGenerator, name: str, nodes: list[FieldNode], field: GraphQLField | None
    ) -> FieldPaths:
        """Write the code of one field; return the paths that it reads of the document."""
        if field is None:
            raise UnsupportedByPlan("introspection")
        kind = field.type
        named = get_named_type(kind)
        definition = field.extensions.get("strawberry-definition")
        if not isinstance(definition, StrawberryField):
            raise UnsupportedByPlan("fields that Strawberry does not know")
        how: FieldSource = definition.metadata.get(SOURCE) or FieldSource()
        if is_abstract_type(named):
            if how.by_type is None:
                raise UnsupportedByPlan("abstract types")
            selection = self._by_type(named, kind, nodes)
            projections = how.by_type({type_: child.keys for type_, child in selection.by_type.items()})
            writer.column(
                name, kind, _column(kind, ResolverCall(self._schema, field, nodes[0], projections), selection)
            )
            return how.keys(NONE)
        child = self.selection(named, nodes) if is_object_type(named) else None
        paths_ = child.keys if child else NONE
        if definition.is_basic_field:
            key = to_camel_case(definition.python_name)
            self._made_here(writer, name, kind, key, child)
            return _under(kind, paths_, key)
        value = how.by_id if how.by_id and paths_ is not None and paths_ <= _BY_ID else how.value
        if value:
            self._made_here(writer, name, kind, value, child)
        elif how.many and how.part:
            inner = writer.part(name, how.many)
            inner.asked = union(inner.asked, how.wants(paths_))
            self._made_here(inner, name, kind, how.part, child)
        elif how.many:
            writer.column(name, kind, _column(kind, _many(how.many, paths_), child))
        else:
            narrow = {how.collection: union(paths_, how.reads)} if how.collection else {}
            resolver = ResolverCall(self._schema, field, nodes[0], narrow)
            writer.column(name, kind, _column(kind, resolver, child, asks_once=resolver.asks_once))
        return how.keys(paths_)

    def _by_type(
        self, named: GraphQLAbstractType, kind: GraphQLOutputType, nodes: Sequence[FieldNode]
    ) -> SelectionByType:
        """Compile the selections of each type of object that a field of an abstract type may have."""
        whole = get_nullable_type(kind)
        nullable = not is_list_type(whole) or not is_non_null_type(whole.of_type)
        possible = self._schema.get_possible_types(named)
        return SelectionByType({type_.name: self.selection(type_, nodes) for type_ in possible}, nullable)

    def _made_here(
        self,
        writer: CodeGenerator,
        name: str,
        kind: GraphQLOutputType,
        source: Any,
        child: CompiledSelection | None,
    ) -> None:
        """Write the code of a field made from each document alone, unless its objects have columns to fetch."""
        if child and child.columns:
            writer.column(name, kind, _column(kind, _each(source), child))
        elif isinstance(source, str):
            writer.key(name, kind, source, child)
        else:
            writer.function(name, kind, source, child)


def _identity(node: FieldNode) -> str | int:
    """Return what tells a field's code from that of others: its name, unless it has arguments or fields."""
    # The node lives as long as its document, longer than the compiler.
    return id(node) if node.arguments or node.selection_set else node.name.value


def _under(kind: GraphQLOutputType, paths: FieldPaths, key: str) -> FieldPaths:
    """Return the paths of a value under `key`: MongoDB drops a null if only a part of it is to be shown."""
    return prefixed(paths, key) if is_non_null_type(kind) else frozenset({key})


def _column(
    kind: GraphQLOutputType,
    source: Source,
    child: CompiledSelection | SelectionByType | None,
    *,
    asks_once: bool = True,
) -> BatchedField:
    nullable = not is_non_null_type(kind)
    kind = getattr(kind, "of_type", kind) if not nullable else kind
    if child is None:
        return BatchedField(source, asks_once=asks_once)
    if is_list_type(kind) and is_list_type(getattr(kind.of_type, "of_type", kind.of_type)):
        raise UnsupportedByPlan("lists of lists of objects")
    return BatchedField(source, child, is_list_type(kind), nullable, asks_once)


def _many(many: Any, paths: FieldPaths) -> Source:
    async def source(run: ExecutionContext, documents: Sequence[Any]) -> Sequence[Any]:
        values: Sequence[Any] = await many(run.context, documents, paths)
        return values

    return source


def _each(source: Any) -> Source:
    async def values(_: ExecutionContext, documents: Sequence[Any]) -> Sequence[Any]:
        if isinstance(source, str):
            return [document[source] for document in documents]
        return [source(document) for document in documents]

    return values


class PlannedInfo:
    """The part of a resolver's Info that a plan has: the context. The executor calls resolvers that need more."""

    __slots__ = ("context",)

    def __init__(self, context: Context) -> None:
        self.context = context


class ResolverCall:
    """The source of a field that has a resolver and nothing more."""

    def __init__(
        self,
        schema: GraphQLSchema,
        field: GraphQLField,
        node: FieldNode,
        projections: Mapping[CollectionName[Any], FieldPaths],
    ) -> None:
        definition: StrawberryField = field.extensions["strawberry-definition"]
        resolver = definition.base_resolver
        if resolver is None or definition.extensions or definition.permission_classes or resolver.self_parameter:
            raise UnsupportedByPlan("fields with extensions")
        strawberry: Schema = schema._strawberry_schema  # type: ignore[attr-defined]
        self._converter = strawberry.schema_converter
        self._field, self._definition, self._node = field, definition, node
        self._call: Any = resolver.wrapped_func
        # A resolver without a parent is called once; others may make a request for each parent.
        parent = resolver.parent_parameter or resolver.root_parameter
        self._parent = parent.name if parent else None
        self.asks_once = parent is None or not resolver.is_async
        self._info = resolver.info_parameter.name if resolver.info_parameter else None
        self._projections = projections
        self._is_async = resolver.is_async
        self._fixed, self._leaves = self._simple()

    async def __call__(self, run: ExecutionContext, documents: Sequence[Any]) -> Sequence[Any]:
        """Return the resolver's value for each document."""
        arguments = self._arguments(run)
        if self._info:
            context = run.context.narrowed(self._projections) if self._projections else run.context
            arguments[self._info] = PlannedInfo(context)
        if self._parent is None:
            values = [self._call(**arguments) for _ in documents]
        else:
            values = [self._call(**{self._parent: document}, **arguments) for document in documents]
        return await gather_or_cancel(values) if self._is_async else await _awaited(values)

    def _simple(self) -> tuple[dict[str, Any], dict[str, str] | None]:
        """Return the constant arguments, and the variables of the others.

        None for the latter if there are arguments other than leaves, because only leaves need no conversion.
        """
        nodes = {argument.name.value: argument.value for argument in self._node.arguments or ()}
        leaves, others = {}, {}
        for name, argument in self._field.args.items():
            is_leaf, node = is_leaf_type(get_nullable_type(argument.type)), nodes.get(name)
            if is_leaf and isinstance(node, VariableNode):
                leaves[name] = node.name.value
            elif is_leaf or (node is None and argument.default is None):
                others[name] = argument
            else:
                return {}, None
        converter = self._converter.config.name_converter
        names = {converter.from_argument(each): each.python_name for each in self._definition.arguments}
        fixed = self._converted(get_argument_values(GraphQLField(self._field.type, others), self._node))
        return fixed, {names[name]: variable for name, variable in leaves.items()}

    def _converted(self, values: dict[str, Any]) -> dict[str, Any]:
        converter = self._converter
        return convert_arguments(values, self._definition.arguments, converter.scalar_registry, converter.config)

    def _arguments(self, run: ExecutionContext) -> dict[str, Any]:
        if self._leaves is not None:
            known = run.variables.coerced
            arguments = {name: known.get(variable) for name, variable in self._leaves.items()}
            # The executor's own function decides whether a null was given, and its meaning.
            if None not in arguments.values():
                return self._fixed | arguments
        return self._converted(get_argument_values(self._field, self._node, run.variables))


async def _awaited(values: Sequence[Any]) -> Sequence[Any]:
    """Return the values, with all pending ones awaited together."""
    if len(values) == 1:
        return [await values[0]] if inspect.isawaitable(values[0]) else values
    if not any(hasattr(kind, "__await__") for kind in set(map(type, values))):
        return values
    come = iter(await gather_or_cancel([value for value in values if inspect.isawaitable(value)]))
    return [next(come) if inspect.isawaitable(value) else value for value in values]
