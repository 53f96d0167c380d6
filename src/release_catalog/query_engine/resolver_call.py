"""Calls of a field's resolver for all documents of a level, with arguments that are read once."""

import inspect
from collections.abc import Sequence
from typing import Any

from graphql import FieldNode, GraphQLField, GraphQLSchema, VariableNode, get_nullable_type, is_leaf_type
from graphql.execution.values import get_argument_values
from strawberry import Schema
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from release_catalog.query_engine.context import Context
from release_catalog.query_engine.field_collector import UnsupportedByPlan
from release_catalog.query_engine.field_source import FieldSource
from release_catalog.query_engine.projection import FieldPaths, union
from release_catalog.query_engine.selection import ExecutionContext, gather_or_cancel


class PlannedInfo:
    """The part of a resolver's Info that a plan has: the context. The executor calls resolvers that need more."""

    __slots__ = ("context",)

    def __init__(self, context: Context) -> None:
        self.context = context


class ResolverCall:
    """The source of a field that has a resolver and nothing more."""

    def __init__(
        self, schema: GraphQLSchema, field: GraphQLField, node: FieldNode, how: FieldSource, paths: FieldPaths
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
        self._narrow = (how.collection, union(paths, how.reads)) if how.collection else None
        self._is_async = resolver.is_async
        self._fixed, self._leaves = self._simple()

    async def __call__(self, run: ExecutionContext, documents: Sequence[Any]) -> Sequence[Any]:
        """Return the resolver's value for each document."""
        arguments = self._arguments(run)
        if self._info:
            context = run.context.narrowed(*self._narrow) if self._narrow else run.context
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
