"""Documents and the plans of their operations; the ordinary executor runs what plans do not support."""

import asyncio
import collections
import dataclasses
import functools
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import structlog
from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLLeafType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
)
from graphql.execution.incremental.incremental_executor import IncrementalExecutor
from graphql.execution.values import VariableValues, get_variable_values

from release_catalog import request_record
from release_catalog.errors import BrokenDocument
from release_catalog.query_engine.compiler import MAX_VISITS, Compiler, FieldCollector, directive_variables
from release_catalog.query_engine.context import Context
from release_catalog.query_engine.selection import (
    CompiledSelection,
    ExecutionContext,
    PlanMismatch,
    UnsupportedByPlan,
)
from release_catalog.storage.cursors import UNREADABLE
from release_catalog.storage.database import Failure, deadline
from release_catalog.usage import FIELD_BYTES, Usage, measuring

# As many as graphql's own execute() reports.
MAX_COERCION_ERRORS = 50
# The turns from the values of one level to the requests of the next, however deep these are embedded.
PLANNED_QUIET_TURNS = 4
# A client may send one document with every combination of its @skip and @include; a few are usual.
MAX_PLANS = 16
INTROSPECTION = frozenset({"__schema", "__type"})
# Begins the reason of a field that no plan answers. All other reasons are names of exceptions.
UNSUPPORTED = "unsupported: "
# Root fields of this process that were left to the ordinary executor, by the reason.
fallbacks: collections.Counter[str] = collections.Counter()
_NOTHING: Mapping[str, Any] = MappingProxyType({})

_log = structlog.get_logger()


@dataclasses.dataclass(frozen=True)
class QueryPlan:
    """The compiled root fields of an operation, with None for those that the ordinary executor must answer."""

    fields: Mapping[str, CompiledSelection | None]
    single: bool
    # Why fields could not be compiled, by their response names; an operation as a whole has the empty name.
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # Whether what is left to the executor is about the schema alone, which takes it long and reads nothing.
    leaves_introspection: bool = False

    @functools.cached_property
    def compiled(self) -> Sequence[tuple[str, CompiledSelection]]:
        """Return the fields that are compiled, by their response names."""
        return [(name, selection) for name, selection in self.fields.items() if selection]


class CacheUses:
    """The number of lookups in a cache that found something, and of those that found nothing."""

    __slots__ = ("hits", "misses")

    def __init__(self) -> None:
        self.hits = self.misses = 0

    def note(self, found: object) -> None:
        """Count a look; `found` is None if there was nothing."""
        if found is None:
            self.misses += 1
        else:
            self.hits += 1


class Document:
    """A valid document with the plans of its operations, made on first use."""

    def __init__(self, schema: GraphQLSchema, node: DocumentNode, plan_uses: CacheUses | None = None) -> None:
        """Count in `plan_uses`, which many documents share, how often a plan was made already."""
        self.node = node
        self.plan_uses = plan_uses or CacheUses()
        self._schema = schema
        self._steering = directive_variables(node)
        self.fragments = {d.name.value: d for d in node.definitions if isinstance(d, FragmentDefinitionNode)}
        self._operations: dict[str | None, OperationDefinitionNode | None] = {}
        self._plans: dict[Any, QueryPlan] = {}
        self._visits = 0
        # Answers to events, kept for a moment: see subscriptions.
        self.answers: dict[Hashable, asyncio.Task[Any]] = {}

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """Return the operation of that name, or the only one."""
        if name not in self._operations:
            found = get_operation_ast(self.node, name)
            if found is None:  # unknown names are not kept
                return None
            self._operations[name] = found
        return self._operations[name]

    def known_plan(self, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> QueryPlan | None:
        """Return the plan of a query for these variables, if it was made already."""
        return self._plans.get((id(operation), *map(variables.get, self._steering)))

    def plan(self, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> QueryPlan:
        """Return the plan of a query for the values of variables in @skip and @include."""
        values = {name: variables.get(name) for name in self._steering}
        known = id(operation), *values.values()
        plan = self._plans.get(known)
        if plan is None:
            if len(self._plans) >= MAX_PLANS or self._visits > MAX_VISITS:
                self._plans.clear()
                self._visits = 0
            plan = self._plans[known] = self._planned(operation, values)
        return plan

    def _planned(self, operation: OperationDefinitionNode, values: Mapping[str, Any]) -> QueryPlan:
        root = self._schema.query_type
        collector = FieldCollector(self._schema, self.fragments, values)
        compiler = Compiler(self._schema, collector)
        try:
            if root is None or operation.operation is not OperationType.QUERY or operation.directives:
                return QueryPlan({}, False, {"": "directives of the operation"})
            fields = collector.fields(root, [operation.selection_set])
        except (UnsupportedByPlan, RecursionError) as error:
            return QueryPlan({}, False, {"": _reason(error)})
        plans, reasons = dict[str, CompiledSelection | None](), dict[str, str]()
        for name, nodes in fields.items():
            try:
                plans[name] = compiler.fields(root, {name: nodes})
            except (UnsupportedByPlan, RecursionError) as error:
                plans[name] = None
                if nodes[0].name.value not in INTROSPECTION:
                    reasons[name] = _reason(error)
        self._visits += collector.visits
        single = len(plans) == 1 and all(plan and plan.single for plan in plans.values())
        left = [fields[name][0].name.value for name, plan in plans.items() if plan is None]
        return QueryPlan(plans, single, reasons, bool(left) and INTROSPECTION.issuperset(left))


def _reason(error: Exception) -> str:
    known = isinstance(error, UnsupportedByPlan | PlanMismatch)
    return str(error) if known else type(error).__name__


def _note_fallback(field: str, reason: str) -> None:
    """Count and log that a root field is left to the ordinary executor."""
    fallbacks[reason] += 1
    if record := request_record.current.get():
        record.fallback = record.fallback or reason
    _log.info("not answered by a compiled query", field=field[: request_record.MAX_NAME], reason=reason)


# The types of stored documents; each has an id.
_DOCUMENTS = frozenset("Release Product Catalog Pipeline Project Registry BaseImage Environment Webhook".split())


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

    def execute_fields_serially(self, parent_type: Any, source: Any, path: Any, fields: Any, position: Any) -> Any:
        """Tell the context which mutations the operation has, before the first one runs."""
        self.context_value.mutations = {name: nodes[0].node.name.value for name, nodes in fields.items()}
        return super().execute_fields_serially(parent_type, source, path, fields, position)

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
        if isinstance(raw_error, UNREADABLE) and (document := self._document(path)):
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


# An operation with more values in its variables is prepared aside: they take 10 microseconds each.
QUICK_VALUES = 2_000

# Makes the plan of an operation for the values of its variables.
Planner = Callable[[Document, OperationDefinitionNode, Mapping[str, Any]], Awaitable[QueryPlan]]


async def answer(
    document: Document,
    schema: GraphQLSchema,
    context: Context,
    variables: dict[str, Any] | None,
    operation_name: str | None,
    *,
    planned: bool = True,
    suggesting: bool = True,
    planner: Planner | None = None,
) -> ExecutionResult:
    """Return the response to an operation, using its plan as far as there is one; `planner` makes it elsewhere.

    Slow work that waits for nothing runs aside: introspection, and many values of variables.

    A value that a plan does not expect (an error, an invalid null or type) goes to the ordinary executor, which
    answers that root field again and so alone decides what the error is. A response that has grown too large would
    only become larger, so it is refused at once. Without `suggesting`, no error suggests names.
    """
    operation = document.operation(operation_name) if planned else None
    is_query = operation is not None and operation.operation is OperationType.QUERY
    values = _variables(schema, operation, variables) if operation and is_query else None
    again, answered, aside = context, dict[str, Any](), False
    if operation and isinstance(values, VariableValues):
        plan = document.known_plan(operation, values.coerced)
        document.plan_uses.note(plan)
        if plan is None and planner:
            plan = await planner(document, operation, values.coerced)
        elif plan is None:
            plan = document.plan(operation, values.coerced)
        for name, reason in plan.reasons.items():
            _note_fallback(name, f"{UNSUPPORTED}{reason}")
        if plan.compiled:
            with measuring(context.usage):
                answered = await _answers(plan, ExecutionContext(context, values))
            if context.usage.exceeded or len(answered) == len(plan.fields):
                return refuse_exceeded(context.usage, ExecutionResult(answered))
            # The failed plan's reads are charged as well.
            again = context.again()
        aside = plan.leaves_introspection and len(answered) == len(plan.compiled)
    build = functools.partial(
        CountingExecutor.build,
        schema,
        document.node,
        context_value=again,
        raw_variable_values=variables,
        operation_name=operation_name,
        hide_suggestions=not suggesting,
        answered=answered,
    )
    executor: Any = await context.run_aside(build) if _is_large(variables) else build()
    if isinstance(executor, list):
        return ExecutionResult(None, executor)
    with measuring(again.usage):
        result = await context.run_aside(executor.execute_operation) if aside else executor.execute_operation()
        result = result if isinstance(result, ExecutionResult) else await result
    if again is not context:
        context.usage.absorb(again.usage)
    return refuse_exceeded(again.usage, result)


def _is_large(variables: Mapping[str, Any] | None) -> bool:
    """Return whether reading the values of variables takes long, because of their number."""
    count, waiting = 0, [variables or {}]
    while waiting and count <= QUICK_VALUES:
        value: Any = waiting.pop()
        count += 1
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return count > QUICK_VALUES


def refuse_exceeded(usage: Usage, result: ExecutionResult) -> ExecutionResult:
    """Return `result`, or the refusal of a request that went past a limit while it was answered."""
    return ExecutionResult(None, [usage.exceeded]) if usage.exceeded else result


def _variables(
    schema: GraphQLSchema, operation: OperationDefinitionNode, values: dict[str, Any] | None
) -> VariableValues | list[GraphQLError]:
    if not operation.variable_definitions:
        return VariableValues({}, {})
    return get_variable_values(schema, operation.variable_definitions, values or {}, MAX_COERCION_ERRORS)


async def _answers(plan: QueryPlan, run: ExecutionContext) -> dict[str, Any]:
    """Return the root fields that the plan can answer, in the order of the document."""
    run.context.level.quiet_turns, run.context.level.single = PLANNED_QUIET_TURNS, plan.single
    if len(plan.compiled) == 1:
        return await _answered(*plan.compiled[0], run)
    found = await asyncio.gather(*(_answered(*field, run) for field in plan.compiled))
    return {name: value for one in found for name, value in one.items()}


async def _answered(name: str, selection: CompiledSelection, run: ExecutionContext) -> dict[str, Any]:
    try:
        [found] = await selection.answers(run, [ROOT_VALUE])
    except Exception as error:  # noqa: BLE001  whatever it is, the ordinary executor will meet and report it
        if isinstance(error, Failure):
            run.context.level.failure = run.context.level.failure or error
        _note_fallback(name, _reason(error))
        return {}
    answer: dict[str, Any] = found
    return answer


# A placeholder for the root value, which no resolver uses.
ROOT_VALUE = object()
