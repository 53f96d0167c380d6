"""How inputs are declared, and how they reach the store."""

import contextlib
import dataclasses
import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import strawberry
from strawberry.utils.str_converters import to_camel_case

from release_catalog.api import scopes
from release_catalog.api.fields import maybe
from release_catalog.domain import caller
from release_catalog.plans.context import Info
from release_catalog.problems import Denied, Forbidden
from release_catalog.problems import Problem as Refusal
from release_catalog.store.database import within

CHANGED = "The release as it is now, or would be; null where there is a problem."
# What it takes to write releases, be it those of one product.
WRITING: dict[str, Any] = {"scope": caller.WRITE, "of_product": True}
PROBLEM = "Why nothing was done; null where it was."


@strawberry.input
class Repeatable:
    idempotency_key: str | None = maybe(
        "Within 24 hours, the same request with the same key, of at most 255 characters, gets the same answer."
    )
    dry_run: bool | None = maybe("Tries everything and stores nothing.")


@strawberry.input
class Conditional(Repeatable):
    if_match: str | None = maybe("The etag that the release must still have.")


def given(value: Any) -> Any:
    """An input as the store takes it: names of the contract, what was not given left out, enumerations by name."""
    if dataclasses.is_dataclass(value):
        fields = ((to_camel_case(field.name), getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: given(inner) for name, inner in fields if inner is not strawberry.UNSET}
    # Free JSON stays as it came, however deep it is.
    if (
        isinstance(value, list)
        and value
        and (dataclasses.is_dataclass(value[0]) or isinstance(value[0], enum.Enum))
    ):
        return [given(inner) for inner in value]
    return value.name if isinstance(value, enum.Enum) else value


def mutation(
    input_type: type,
    verb: Callable[..., Awaitable[Any]],
    empty: Mapping[str, Any],
    description: str,
    *,
    scope: str,
    of_product: bool = False,
    fetches: bool = False,
) -> Any:
    """A mutation that hands its input to a verb and answers what that gives, or why it refused.

    `empty` are the payload's fields but `problem`, with what they are where the verb does not say. It needs
    `scope`; with `of_product`, whoever has it for a single product may come too, and the verb sees to the rest. A
    verb that fetches files gets what fetches them too.
    """

    async def resolve(info: Info, input: Any) -> Any:  # noqa: A002  the contract's name
        context = info.context
        scopes.check(context.caller, scope, of_product=of_product)
        more = (context.files,) if fetches else ()
        # Files may take minutes; what is then written is a transaction with a limit of its own.
        with contextlib.nullcontext() if fetches else within(context.seconds):
            answer = await verb(context.caller, context.database, *more, given(input))
        if isinstance(answer, Forbidden):
            raise Denied(answer)
        if isinstance(answer, Refusal):
            # S1's payload has a message in any case.
            return {**empty, **({"message": answer.detail} if "message" in empty else {}), "problem": answer}
        context.would_be |= answer.pop("wouldBe", {})
        return {**empty, "problem": None, **answer}

    resolve.__annotations__["input"] = input_type
    return strawberry.mutation(resolver=resolve, description=description)
