"""Subscriptions: each event is answered as an operation of its own, which shares nothing with the one before.

If subscribers have the same visibility and the same selection, the first one's answer to an event serves all: of a
thousand, the others cost only the sending.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Hashable, Mapping
from typing import Any

import orjson
from graphql import (
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    VariableNode,
    Visitor,
    visit,
)
from graphql.execution import create_source_event_stream, execute_subscription_event
from graphql.pyutils import is_awaitable

from release_catalog.query_engine.context import Context
from release_catalog.query_engine.executor import CountingExecutor, Document, refuse_exceeded
from release_catalog.storage.database import deadline
from release_catalog.usage import Usage, measuring

# Subscribers to the same get an event at about the same time; later ones get a newer answer.
SHARED_SECONDS = 1.0
MAX_SHARED = 200


@dataclasses.dataclass(frozen=True)
class Answer:
    """The response to an event, and its usage."""

    result: ExecutionResult
    usage: Usage = dataclasses.field(default_factory=Usage)


Answers = AsyncGenerator[Answer, None]


async def subscribe(
    document: Document,
    schema: GraphQLSchema,
    context: Context,
    variables: dict[str, Any] | None,
    operation_name: str | None,
    *,
    suggesting: bool = True,
) -> Answers:
    """Return the responses to all events from now on, or a single one with the errors.

    Without `suggesting`, no error suggests names.
    """
    executor = CountingExecutor.build(
        schema,
        document.node,
        context_value=context,
        raw_variable_values=variables,
        operation_name=operation_name,
        hide_suggestions=not suggesting,
    )
    if isinstance(executor, list):
        return _refused(ExecutionResult(None, executor))
    source: Any = create_source_event_stream(executor)
    if is_awaitable(source):
        source = await source
    if isinstance(source, ExecutionResult):
        return _refused(source)
    # All that an answer depends on besides the event: see Context.
    key = operation_name, _below(document, executor.operation, variables or {})
    allowed = context.caller.tenant, context.caller.sees_drafts
    return _each(executor, source, context, document, (key, allowed))


def _below(document: Document, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> bytes:
    """Return the variables used below the root field, without those of its arguments."""
    names = _Names()
    for selection in operation.selection_set.selections:
        parts = (
            [selection.selection_set, *(selection.directives or ())]
            if isinstance(selection, FieldNode)
            else [selection]
        )
        for part in filter(None, parts):
            visit(part, names)
    for definition in document.node.definitions:
        if isinstance(definition, FragmentDefinitionNode):
            visit(definition, names)
    matter = {name: value for name, value in variables.items() if name in names.found}
    return orjson.dumps(matter, option=orjson.OPT_SORT_KEYS)


class _Names(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.found.add(node.name.value)


async def _refused(result: ExecutionResult) -> Answers:
    yield Answer(result)


async def _each(executor: Any, source: Any, context: Context, document: Document, key: Hashable) -> Answers:
    async def answer(event: Any) -> Answer:
        one = executor.build_per_event_executor(event)
        one.context_value = context.again()
        usage = one.context_value.usage
        with deadline(context.seconds), measuring(usage):
            found: Any = execute_subscription_event(one)
            result: ExecutionResult = await found if is_awaitable(found) else found
        return Answer(refuse_exceeded(usage, result), usage)

    owner = context.caller.owner
    async with contextlib.aclosing(source):
        try:
            async for event in source:
                known = event["_id"], key
                # An event wakes all its subscribers at once: a few at a time let other tasks run in between.
                async with context.answering.slot(owner):
                    task = document.answers.get(known)
                    if task is None:
                        task = asyncio.ensure_future(answer(event))
                        if len(document.answers) < MAX_SHARED:
                            document.answers[known] = task
                            asyncio.get_running_loop().call_later(
                                SHARED_SECONDS, document.answers.pop, known, None
                            )
                    result = await asyncio.shield(task)
                    await asyncio.sleep(0)
                yield result
        except Exception as error:  # noqa: BLE001  reported like any other error of a resolver
            failed = GraphQLError(str(error), path=["events"], original_error=error)
            yield Answer(ExecutionResult(None, [failed]))
