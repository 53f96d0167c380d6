"""Permissions, declared with the fields: mutations name their scope, queries need release:read."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from strawberry.types.fields.resolver import StrawberryResolver

from release_catalog.domain.caller import READ, Caller
from release_catalog.errors import ForbiddenProblem, PermissionProblem
from release_catalog.query_engine.context import Info

Kind = TypeVar("Kind", bound=type)


def refusal(caller: Caller, scope: str, *, of_product: bool = True) -> ForbiddenProblem | None:
    """Return the problem of a caller who lacks `scope`, or is bound to a product unless `of_product`."""
    if not caller.may(scope):
        detail = f"Your credentials lack the scope {scope}: use others that have it."
        return ForbiddenProblem(detail=detail, scope=scope)
    if caller.product is not None and not of_product:
        detail = (
            f"This field needs the scope {scope} for all products, but your token is bound to one: use "
            "another token."
        )
        return ForbiddenProblem(detail=detail, scope=scope)
    return None


def check(caller: Caller, scope: str) -> None:
    """Raise PermissionProblem if the caller lacks `scope`."""
    if refused := refusal(caller, scope):
        raise PermissionProblem(refused)


def needed(**others: str | None) -> Callable[[Kind], Kind]:
    """Make each field of a root type need release:read, and `others` their own scope; None means no scope."""

    def guard(kind: Kind) -> Kind:
        for field in kind.__strawberry_definition__.fields:  # type: ignore[attr-defined]
            if scope := others.pop(field.python_name, READ):
                field.base_resolver = StrawberryResolver(_guarded(field.base_resolver.wrapped_func, scope))
        if others:
            raise TypeError(f"the type has no field {', '.join(others)}")
        return kind

    return guard


def _guarded(resolve: Callable[..., Any], scope: str) -> Callable[..., Any]:
    # Around the resolver itself, so that no call to it, not even that of a plan, passes by.
    @functools.wraps(resolve)
    def guarded(info: Info, **arguments: Any) -> Any:
        check(info.context.caller, scope)
        return resolve(info=info, **arguments)

    return guarded
