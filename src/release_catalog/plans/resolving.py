"""Calls a field's resolver for all documents of a level, with arguments that are read once."""

import inspect
from collections.abc import Sequence
from typing import Any

from graphql import FieldNode, GraphQLField, GraphQLSchema
from graphql.execution.values import get_argument_values
from strawberry import Schema
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from release_catalog.plans.collecting import Unplannable
from release_catalog.plans.context import Context
from release_catalog.plans.how import How
from release_catalog.plans.keys import Keys, union
from release_catalog.plans.selections import Run, together


class PlannedInfo:
    """What a plan has of a resolver's Info: the context. A resolver that needs more is called by the executor."""

    __slots__ = ("context",)

    def __init__(self, context: Context) -> None:
        self.context = context


class Resolver:
    """The source of a field that has a resolver and nothing more."""

    def __init__(self, schema: GraphQLSchema, field: GraphQLField, node: FieldNode, how: How, asked: Keys) -> None:
        definition: StrawberryField = field.extensions["strawberry-definition"]
        resolver = definition.base_resolver
        if resolver is None or definition.extensions or definition.permission_classes or resolver.self_parameter:
            raise Unplannable("fields with extensions")
        strawberry: Schema = schema._strawberry_schema  # type: ignore[attr-defined]
        self._converter = strawberry.schema_converter
        self._field, self._definition, self._node = field, definition, node
        self._call: Any = resolver.wrapped_func
        # A resolver without a parent is called once; others may ask for each parent.
        parent = resolver.parent_parameter or resolver.root_parameter
        self._parent = parent.name if parent else None
        self.asks_once = parent is None or not resolver.is_async
        self._info = resolver.info_parameter.name if resolver.info_parameter else None
        self._narrow = (how.collection, union(asked, how.reads)) if how.collection else None

    async def __call__(self, run: Run, documents: Sequence[Any]) -> Sequence[Any]:
        """The resolver's value for each document."""
        given = self._arguments(run)
        if self._info:
            context = run.context.narrowed(*self._narrow) if self._narrow else run.context
            given[self._info] = PlannedInfo(context)
        if self._parent is None:
            values = [self._call(**given) for _ in documents]
        else:
            values = [self._call(**{self._parent: document}, **given) for document in documents]
        return await _settled(values)

    def _arguments(self, run: Run) -> dict[str, Any]:
        if not self._field.args:
            return {}
        values = get_argument_values(self._field, self._node, run.variables)
        converter = self._converter
        return convert_arguments(values, self._definition.arguments, converter.scalar_registry, converter.config)


async def _settled(values: Sequence[Any]) -> Sequence[Any]:
    """The values, those that are still to come awaited together."""
    if not any(hasattr(kind, "__await__") for kind in set(map(type, values))):
        return values
    come = iter(await together([value for value in values if inspect.isawaitable(value)]))
    return [next(come) if inspect.isawaitable(value) else value for value in values]
