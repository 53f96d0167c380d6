"""The schema, put together."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from release_catalog.api import fields, inputs, scalars
from release_catalog.api.access import Access
from release_catalog.api.delivering import Delivering
from release_catalog.api.drafting import Drafting
from release_catalog.api.events import Subscription
from release_catalog.api.importing import Importing
from release_catalog.api.life import Life
from release_catalog.api.problem import PROBLEMS
from release_catalog.api.promoting import Promoting
from release_catalog.api.query import Query
from release_catalog.api.saving import Saving
from release_catalog.api.webhooks import Webhooks


@strawberry.type(
    description="What can be changed. Refusals come back as a problem; an error with the code "
    "FORBIDDEN tells that the caller may not do this."
)
class Mutation(Drafting, Importing, Life, Delivering, Promoting, Saving, Webhooks, Access):
    pass


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=PROBLEMS,
    config=StrawberryConfig(default_resolver=fields.read, scalar_map=scalars.SCALARS),
)
inputs.connect(schema._schema)


def printed() -> str:
    """The schema in the schema definition language."""
    return f"{schema}\n"
