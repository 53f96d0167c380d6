"""The schema, put together."""

from collections.abc import Iterable
from typing import Any

import strawberry
from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    introspection_from_schema,
)
from graphql.utilities import DangerousChangeType, find_breaking_changes, find_dangerous_changes
from strawberry.schema.config import StrawberryConfig

from release_catalog.graphql_api import fields, mutation, scalars
from release_catalog.graphql_api.errors import PROBLEMS
from release_catalog.graphql_api.mutations.imports import ImportMutations
from release_catalog.graphql_api.mutations.promotions import PromotionMutations
from release_catalog.graphql_api.mutations.reference_data import ReferenceDataMutations
from release_catalog.graphql_api.mutations.release_delivery import DeliveryMutations
from release_catalog.graphql_api.mutations.releases import ReleaseMutations
from release_catalog.graphql_api.queries import Query
from release_catalog.graphql_api.types import node
from release_catalog.graphql_api.types.access_token import AccessTokenMutations
from release_catalog.graphql_api.types.event import Subscription
from release_catalog.graphql_api.types.webhook import WebhookMutations


@strawberry.type(
    description="Mutations. A refusal is in the field problem of the payload. The scopes of all mutations of a "
    "document are checked before the first one runs: if one is forbidden, none runs, and each has a "
    "ForbiddenProblem."
)
class Mutation(
    ReleaseMutations,
    ImportMutations,
    DeliveryMutations,
    PromotionMutations,
    ReferenceDataMutations,
    WebhookMutations,
    AccessTokenMutations,
):
    pass


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=PROBLEMS,
    config=StrawberryConfig(default_resolver=fields.default_resolver, scalar_map=scalars.SCALARS),
)
_OF_DEFAULTS = frozenset(
    {DangerousChangeType.ARG_DEFAULT_VALUE_CHANGE, DangerousChangeType.INPUT_FIELD_DEFAULT_VALUE_CHANGE}
)
_DESCRIPTION = (
    "Software releases: what exists, what is the latest, what needs it, where it runs, and whether it can be "
    "trusted. Everything belongs to the caller's organisation. Deprecated fields name their successors."
)


def _sort(graphql: GraphQLSchema) -> None:
    """Sort what introspection lists by name, so that files made from it change only with the schema."""
    graphql.type_map = _by_name(graphql.type_map)
    graphql.directives = _sorted(graphql.directives)
    for implementations in graphql._implementations_map.values():
        implementations.objects[:] = _sorted(implementations.objects)
    for kind in graphql.type_map.values():
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            kind.fields = _by_name(kind.fields)
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for field in kind.fields.values():
                field.args = _by_name(field.args)
        if isinstance(kind, GraphQLEnumType):
            kind.values = _by_name(kind.values)


def _sorted(named: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(named, key=lambda one: one.name))


def _by_name(named: dict[str, Any]) -> Any:
    return type(named)(sorted(named.items()))


schema._schema.description = _DESCRIPTION
_sort(schema._schema)
mutation.connect(schema._schema)
node.connect(schema._schema)


def printed() -> str:
    """Return the schema in the schema definition language."""
    roots = "".join(f"  {kind}: {kind.title()}\n" for kind in ("query", "mutation", "subscription"))
    return f'"""\n{_DESCRIPTION}\n"""\nschema {{\n{roots}}}\n\n{schema}\n'


def introspection() -> dict[str, Any]:
    """Return the schema as the result of an introspection query, which code generators read."""
    return {**introspection_from_schema(schema._schema)}


def breaking_changes(released: str) -> list[str]:
    """Return the changes since a released schema that can break its clients, those of defaults included.

    What was deprecated in it may be removed. Raise ValueError if it is not a schema.
    """
    try:
        before = build_schema(released)
    except (GraphQLError, TypeError, RecursionError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    if before.query_type is None:
        raise ValueError("It declares no type Query.")
    now = schema._schema
    for name, kind in before.type_map.items():
        _drop_deprecated(kind, now.type_map.get(name))
    changes = [change.description for change in find_breaking_changes(before, now)]
    dangerous = find_dangerous_changes(before, now)
    return changes + [change.description for change in dangerous if change.type in _OF_DEFAULTS]


def _drop_deprecated(before: Any, now: Any) -> None:
    """Remove the deprecated members of a type that do not exist any more."""
    for part in ("fields", "values", "args"):
        kept, there = getattr(before, part, {}), getattr(now, part, {})
        for name, member in list(kept.items()):
            if member.deprecation_reason and name not in there:
                del kept[name]
            elif name in there:
                _drop_deprecated(member, there[name])
