"""The compiler of selections: for each type, the paths to read and the code that makes answers."""

from collections.abc import Sequence
from typing import Any

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_camel_case

from release_catalog.query_engine.completion import CodeGenerator
from release_catalog.query_engine.field_collector import FieldCollector, Fields, UnsupportedByPlan
from release_catalog.query_engine.field_source import SOURCE, FieldSource
from release_catalog.query_engine.projection import NONE, FieldPaths, prefixed, union
from release_catalog.query_engine.resolver_call import ResolverCall
from release_catalog.query_engine.selection import BatchedField, CompiledSelection, ExecutionContext, Source

_BY_ID = frozenset({"id"})


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
        # The nodes live as long as their document, longer than this compiler.
        known = of.name, tuple((name, *map(id, nodes)) for name, nodes in fields.items())
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
        if not is_leaf_type(named) and not is_object_type(named):
            raise UnsupportedByPlan("abstract types")
        child = self.selection(named, nodes) if is_object_type(named) else None
        paths_ = child.keys if child else NONE
        definition = field.extensions.get("strawberry-definition")
        if not isinstance(definition, StrawberryField):
            raise UnsupportedByPlan("fields that Strawberry does not know")
        if definition.is_basic_field:
            key = to_camel_case(definition.python_name)
            self._made_here(writer, name, kind, key, child)
            return _under(kind, paths_, key)
        how: FieldSource = definition.metadata.get(SOURCE) or FieldSource()
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
            resolver = ResolverCall(self._schema, field, nodes[0], how, paths_)
            writer.column(name, kind, _column(kind, resolver, child, asks_once=resolver.asks_once))
        return how.keys(paths_)

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


def _under(kind: GraphQLOutputType, paths: FieldPaths, key: str) -> FieldPaths:
    """Return the paths of a value under `key`: MongoDB drops a null if only a part of it is to be shown."""
    return prefixed(paths, key) if is_non_null_type(kind) else frozenset({key})


def _column(
    kind: GraphQLOutputType, source: Source, child: CompiledSelection | None, *, asks_once: bool = True
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
