"""Subscriptions: each event is answered as an operation of its own, which shares nothing with the one before."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from graphql import ExecutionResult, GraphQLError, GraphQLSchema
from graphql.execution import create_source_event_stream, execute_subscription_event
from graphql.execution.incremental.incremental_executor import IncrementalExecutor
from graphql.pyutils import is_awaitable

from release_catalog.plans.context import Context
from release_catalog.plans.operations import Document
from release_catalog.store.database import undisturbed

Results = AsyncGenerator[ExecutionResult, None]


async def subscribe(
    document: Document,
    schema: GraphQLSchema,
    context: Context,
    variables: dict[str, Any] | None,
    operation_name: str | None,
) -> Results:
    """The response to each event that comes after this has returned; or the one that says what is wrong."""
    executor = IncrementalExecutor.build(
        schema,
        document.node,
        context_value=context,
        raw_variable_values=variables,
        operation_name=operation_name,
    )
    if isinstance(executor, list):
        return _refused(ExecutionResult(None, executor))
    source: Any = create_source_event_stream(executor)
    if is_awaitable(source):
        source = await source
    return _refused(source) if isinstance(source, ExecutionResult) else _each(executor, source, context)


async def _refused(result: ExecutionResult) -> Results:
    yield result


async def _each(executor: Any, source: Any, context: Context) -> Results:
    async with contextlib.aclosing(source):
        try:
            async for event in source:
                one = executor.build_per_event_executor(event)
                one.context_value = context.again()
                result: Any = execute_subscription_event(one)
                yield await undisturbed(_awaited(result)) if is_awaitable(result) else result
        except Exception as error:  # noqa: BLE001  told as any other error of a resolver is
            path = [one.name.value for one in executor.operation.selection_set.selections]
            yield ExecutionResult(None, [GraphQLError(str(error), path=path[:1], original_error=error)])


async def _awaited(result: Any) -> ExecutionResult:
    answer: ExecutionResult = await result
    return answer
