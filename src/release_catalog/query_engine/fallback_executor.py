"""The ordinary executor, with the bytes of its answers counted."""

from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import Any

from graphql import GraphQLLeafType, OperationType
from graphql.execution.incremental.incremental_executor import IncrementalExecutor

from release_catalog.storage.database import deadline

# The bytes of a field besides its name and its text: quotes, a colon, a comma, and short values.
FIELD_BYTES = 8
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class CountingExecutor(IncrementalExecutor):
    """The ordinary executor, for the root fields that are not answered yet."""

    def __init__(self, *arguments: Any, answered: Mapping[str, Any] = _NOTHING, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._answered = answered
        self._is_mutation = self.operation.operation is OperationType.MUTATION

    def execute_field(self, parent_type: Any, source: Any, details: Any, path: Any, position: Any) -> Any:
        """Return the plan's answer of a field, or let the executor resolve it."""
        if path.prev is None and path.key in self._answered:
            return self._answered[path.key]
        usage = self.context_value.usage
        if usage.exceeded:  # nothing more is read, and no further mutation runs
            raise usage.exceeded
        usage.send(len(path.key) + FIELD_BYTES)
        value = super().execute_field(parent_type, source, details, path, position)
        if self._is_mutation and path.prev and path.prev.prev is None and self.is_awaitable(value):
            return self._bounded(value)
        return value

    async def _bounded(self, value: Awaitable[Any]) -> Any:
        """Complete a field below a mutation in the time left to its request: the mutation had its own."""
        with deadline(self.context_value.seconds_left):
            return await value

    def complete_leaf_value(self, return_type: GraphQLLeafType, result: Any) -> Any:  # type: ignore[override]
        """Count a text or free JSON; graphql-core's own method is static, and is called on the executor."""
        value = super().complete_leaf_value(return_type, result)
        if type(value) is str:
            self.context_value.usage.send(len(value))
        elif return_type.name == "JSON":
            return self.context_value.usage.send_json(value)
        return value
