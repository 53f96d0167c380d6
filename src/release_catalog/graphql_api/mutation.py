"""The declaration of mutations and their inputs, and their execution by the storage."""

import asyncio
import contextlib
import dataclasses
import enum
import functools
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import strawberry
from graphql import (
    GraphQLInputType,
    GraphQLSchema,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
)
from strawberry.utils.str_converters import to_camel_case

from release_catalog import request_record
from release_catalog.domain import caller
from release_catalog.domain.caller import Caller
from release_catalog.errors import ForbiddenProblem
from release_catalog.errors import Problem as Refusal
from release_catalog.graphql_api import permissions
from release_catalog.graphql_api.errors import Problem
from release_catalog.graphql_api.fields import argument, field, optional_field
from release_catalog.query_engine.context import Context
from release_catalog.storage.database import Failure, deadline
from release_catalog.storage.idempotency import Answer, MutationInput
from release_catalog.storage.outages import NothingWritten, left_no_trace

# The permission to write releases, even if only those of one product.
WRITING: dict[str, Any] = {"scope": caller.WRITE, "of_product": True}
_PROBLEM = "Reason for the refusal, with what to do next. Null if the mutation succeeded."

# The fields of a payload besides `problem`, each with its type and its description.
PayloadFields = Mapping[str, tuple[Any, str]]

_DRY_RUN: PayloadFields = {
    "dry_run": (
        bool,
        "Whether this was a dry run, of which nothing was stored: a client with a cache must not keep the answer.",
    )
}

_RESULTS = "Results, one for each input, in the order of the inputs. Empty if the whole is refused."
# By their input types, the payloads of mutations with their values without a result.
_payloads: dict[type, tuple[Any, dict[str, Any]]] = {}
# By the names of mutations, the problem of a caller who lacks their scope.
_permissions: dict[str, Callable[[Caller], ForbiddenProblem | None]] = {}


@strawberry.input
class IdempotentInput:
    idempotency_key: str | None = optional_field(
        "Key that makes a retry safe, at most 255 characters. The same input with the same key gets "
        "the first answer again for 24 hours; another input with it is a ConflictProblem."
    )
    dry_run: bool | None = optional_field(
        "Whether to check the input and return the outcome without storing anything, writing an event or fetching "
        "a file. A client with a cache must not keep the response: `release` has values that were never stored, "
        "beside the stored etag. Defaults to false."
    )


OF_A_BULK = (
    "The results are those of one request after another: a release may depend on an earlier one or conflict with "
    "it, and one that is refused does not keep the others from being stored."
)


@strawberry.input
class BulkInput:
    idempotency_key: str | None = optional_field(
        "Key that makes a retry of the whole safe, at most 255 characters. Each release gets a key derived from "
        "it and from its place; an input with a key of its own is refused. If any release was stored, the same "
        "input with the same key gets the same results for 24 hours, problems included; another input with it is "
        "a ConflictProblem."
    )


@strawberry.input
class ConditionalInput(IdempotentInput):
    if_match: str | None = optional_field(
        "Etag that the release must still have. Another etag is a PreconditionProblem. Without it, any etag fits."
    )


def input_to_dict(value: Any) -> Any:
    """Return an input of a query as the storage takes it: by the contract's names, enumerations by name."""
    if dataclasses.is_dataclass(value):
        fields = ((to_camel_case(field.name), getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: input_to_dict(inner) for name, inner in fields if inner is not strawberry.UNSET}
    # Free JSON stays as it came, however deep it is.
    if (
        isinstance(value, list)
        and value
        and (dataclasses.is_dataclass(value[0]) or isinstance(value[0], enum.Enum))
    ):
        return [input_to_dict(inner) for inner in value]
    return value.name if isinstance(value, enum.Enum) else value


def _payload(input_type: type, fields: PayloadFields) -> tuple[type, dict[str, Any]]:
    """Return the payload type of the mutation with this input type, and its values without a result.

    Without a result, a nullable field is null, a list empty, a text "", a number 0 and a Boolean false.
    """
    name = input_type.__name__.removesuffix("Input")
    dry_run = _DRY_RUN if issubclass(input_type, IdempotentInput) else {}
    declared = {**dry_run, **fields, "problem": (Problem | None, _PROBLEM)}
    body: dict[str, Any] = {field_: field(description) for field_, (_, description) in declared.items()}
    body["__annotations__"] = {field_: type_ for field_, (type_, _) in declared.items()}
    payload = type(f"{name}Payload", (), body)
    empty = {to_camel_case(field_): _empty_value(type_) for field_, (type_, _) in declared.items()}
    return strawberry.type(payload, description=f"Result of {_name_of(input_type)}."), empty


def _name_of(input_type: type) -> str:
    """Return the name of the mutation with this input type."""
    name = input_type.__name__.removesuffix("Input")
    return name[0].lower() + name[1:]


def _empty_value(type_: Any) -> Any:
    plain = typing.get_origin(type_) or type_
    return plain() if plain in {list, str, int, bool} else None


def mutation(
    input_type: type,
    verb: Callable[..., Awaitable[Any]],
    fields: PayloadFields,
    description: str,
    *,
    scope: str,
    of_product: bool = False,
    fetches: bool = False,
    takes_long: bool = False,
    each: type | None = None,
) -> Any:
    """Declare a mutation that hands its input to a verb and answers with its result or its problem.

    `fields` are those of its payload, for which the verb gives the values. The mutation needs `scope`; with
    `of_product`, a caller that has it for a single product may call it too, and the verb checks the rest. A verb
    that `fetches` files gets the fetcher. One that `takes_long` gets the `seconds` that its commands have. A bulk
    mutation answers with a result for `each` of its inputs, which have this type and a mutation of their own.
    """
    if each:
        fields = {"results": (list[_payloads[each][0]], _RESULTS), **fields}  # type: ignore[misc]
    payload, empty = _payloads[input_type] = _payload(input_type, fields)
    _permissions[_name_of(input_type)] = functools.partial(permissions.refusal, scope=scope, of_product=of_product)

    async def execute(context: Context, key: str | int, input_: dict[str, Any]) -> Any:
        """Execute the mutation that the response names `key`."""
        answer: Answer | None = _forbidden(context, key)
        if answer is None:
            answer = await perform(
                context, verb, input_, scope=scope, of_product=of_product, fetches=fetches, takes_long=takes_long
            )
        if each is None or isinstance(answer, Refusal):
            return _finished(context, key, answer, input_, empty)
        inner = _payloads[each][1]
        pairs = zip(answer["results"], input_["releases"], strict=True)
        return {**empty, "results": [_finished(context, key, result, one, inner) for result, one in pairs]}

    async def resolve(input: Any) -> Any:  # noqa: A002, ARG001  it declares the argument, under the contract's name
        raise AssertionError("`connect` replaces this resolver")

    resolve.__annotations__ |= {
        "input": Annotated[input_type, argument("Input of the mutation.")],
        "return": payload,
    }
    resolve.execute = execute  # type: ignore[attr-defined]
    return strawberry.mutation(resolver=resolve, description=description)


def _forbidden(context: Context, own: str | int) -> ForbiddenProblem | None:
    """Return the reason why the caller must not call a mutation, or another one of the same operation."""
    refusals = {
        key: refused
        for key, name in context.mutations.items()
        if name in _permissions and (refused := _permissions[name](context.caller))
    }
    if own in refusals or not refusals:
        return refusals.get(str(own))
    key, refused = next(iter(refusals.items()))
    detail = (
        f"Nothing of this document ran, because its mutation {key} is forbidden: remove that one, or use other "
        f"credentials. {refused.detail}"
    )
    return dataclasses.replace(refused, detail=detail)


def _finished(
    context: Context, key: str | int, answer: Answer, input_: Mapping[str, Any], empty: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the payload with an answer; `empty` are its values without a result."""
    dry = {"dryRun": bool(input_.get("dryRun"))} if "dryRun" in empty else {}
    if isinstance(answer, Refusal):
        request_record.add_code(answer.kind)
        # S1's payload has a message in any case.
        message = {"message": answer.detail} if "message" in empty else {}
        return {**empty, **message, **dry, "problem": answer}
    if not input_.get("dryRun"):
        context.changed.add(key)
    context.would_be |= {(kind, document["id"]): document for kind, document in answer.pop("wouldBe", ())}
    return {**empty, **answer, **dry}


async def perform(
    context: Context,
    verb: Callable[..., Awaitable[Answer]],
    input_: MutationInput,
    *,
    scope: str,
    of_product: bool = False,
    fetches: bool = False,
    takes_long: bool = False,
) -> Answer:
    """Return the answer of a verb; see `mutation` for the parameters."""
    if refused := permissions.refusal(context.caller, scope, of_product=of_product):
        return refused
    # A turn for others between two mutations of a document, even if both are refused at once.
    await asyncio.sleep(0)
    more = (context.files,) if fetches else ()
    limit = {"seconds": context.seconds_left} if takes_long else {}
    try:
        with contextlib.nullcontext() if takes_long else deadline(context.seconds_left):
            answer = await verb(context.caller, context.database, *more, input_, **limit)
    except Failure as error:
        if left_no_trace(error):
            raise NothingWritten(str(error)) from error
        raise
    if takes_long:
        context.begin()
    return answer


def connect(schema: GraphQLSchema) -> None:
    """Give each mutation of a schema its `execute`, which takes input as GraphQL has coerced it.

    Strawberry would build an object for each part of an input, of which `input_to_dict` would make a dictionary
    again. For a release of 1,000 files that takes a quarter of a second, in which nothing else runs.
    """
    assert schema.mutation_type  # noqa: S101  it is this project's own schema
    for declared in schema.mutation_type.fields.values():
        definition = declared.extensions["strawberry-definition"]
        execute = definition.base_resolver.wrapped_func.execute
        declared.resolve = _resolver(execute, _enum_names(declared.args["input"].type, {}))


Names = Callable[[Any], Any]


def _resolver(execute: Callable[..., Awaitable[Any]], names: Names | None) -> Callable[..., Awaitable[Any]]:
    def resolve(_root: Any, info: Any, **arguments: Any) -> Awaitable[Any]:
        input_ = arguments["input"]
        return execute(info.context, info.path.key, names(input_) if names else input_)

    return resolve


def _enum_names(kind: GraphQLInputType, known: dict[str, Names | None]) -> Names | None:
    """Return a function that replaces members of enumerations by their names; None if a type has none."""
    if is_non_null_type(kind):
        kind = kind.of_type
    if is_list_type(kind):
        inner = _enum_names(kind.of_type, known)
        return inner and (lambda values: None if values is None else [inner(value) for value in values])
    if is_enum_type(kind):
        return _name
    if not is_input_object_type(kind):
        return None
    if kind.name not in known:
        known[kind.name] = None  # no input type of the schema holds itself
        fields = {name: names for name, field in kind.fields.items() if (names := _enum_names(field.type, known))}
        known[kind.name] = functools.partial(_with_names, fields) if fields else None
    return known[kind.name]


def _name(member: Any) -> Any:
    return member.name if isinstance(member, enum.Enum) else member


def _with_names(fields: Mapping[str, Names], value: Any) -> Any:
    if value is None:
        return None
    return {**value, **{name: names(value[name]) for name, names in fields.items() if name in value}}
