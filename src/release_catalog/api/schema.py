"""The schema, put together."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from release_catalog.api import fields, scalars
from release_catalog.api.events import Subscription
from release_catalog.api.mutation import Mutation
from release_catalog.api.problem import PROBLEMS
from release_catalog.api.query import Query

schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=PROBLEMS,
    config=StrawberryConfig(default_resolver=fields.read, scalar_map=scalars.SCALARS),
)


def printed() -> str:
    """The schema in the schema definition language."""
    return f"{schema}\n"
