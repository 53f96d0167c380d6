"""The ordinary executor, with the bytes of its answers counted."""

from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import Any

from graphql import GraphQLLeafType, OperationType
from graphql.execution.incremental.incremental_executor import IncrementalExecutor

from release_catalog.errors import BrokenDocument
from release_catalog.storage.database import deadline

# The bytes of a field besides its name and its text: quotes, a colon, a comma, and short values.
FIELD_BYTES = 8
# The types of stored documents; each has an id.
_DOCUMENTS = frozenset("Release Product Catalog Pipeline Project Registry BaseImage Environment Webhook".split())
# What reading a document raises if a field is missing or has a wrong type.
_OF_DOCUMENTS = (TypeError, ValueError, LookupError, AttributeError)
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class _LeafError(TypeError):
    """A value that its type does not allow."""


class CountingExecutor(IncrementalExecutor):
    """The ordinary executor, for the root fields that are not answered yet."""

    def __init__(self, *arguments: Any, answered: Mapping[str, Any] = _NOTHING, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._answered = answered
        # The types and ids of stored documents by their paths in the response.
        self._documents: dict[Any, tuple[str, str]] = {}
        self._is_mutation = self.operation.operation is OperationType.MUTATION

    def execute_field(self, parent_type: Any, source: Any, details: Any, path: Any, position: Any) -> Any:
        """Return the plan's answer of a field, or let the executor resolve it."""
        if path.prev is None and path.key in self._answered:
            return self._answered[path.key]
        usage = self.context_value.usage
        if usage.exceeded:  # nothing more is read, and no further mutation runs
            raise usage.exceeded
        usage.send(len(path.key) + FIELD_BYTES)
        if parent_type.name in _DOCUMENTS and isinstance(source, dict) and type(source.get("id")) is str:
            self._documents[path.prev] = parent_type.name, source["id"]
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
        try:
            value = super().complete_leaf_value(return_type, result)
        except Exception as error:
            # The message of graphql-core shows the value, which only the log may have.
            raise _LeafError(str(error)) from error
        if type(value) is str:
            self.context_value.usage.send(len(value))
        elif return_type.name == "JSON":
            return self.context_value.usage.send_json(value)
        return value

    def handle_field_error(
        self, raw_error: Exception, return_type: Any, field_details_list: Any, path: Any
    ) -> None:
        """Add an error, with the name of the stored document that has an invalid value or lacks one."""
        if isinstance(raw_error, _OF_DOCUMENTS) and (document := self._document(path)):
            broken = BrokenDocument(*document)
            broken.__cause__ = raw_error
            raw_error = broken
        super().handle_field_error(raw_error, return_type, field_details_list, path)

    def _document(self, path: Any) -> tuple[str, str] | None:
        while path is not None:
            if path in self._documents:
                return self._documents[path]
            path = path.prev
        return None
