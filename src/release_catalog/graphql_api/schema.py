"""The schema, put together."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from release_catalog.graphql_api import fields, mutation, scalars
from release_catalog.graphql_api.errors import PROBLEMS
from release_catalog.graphql_api.mutations.imports import ImportMutations
from release_catalog.graphql_api.mutations.promotions import PromotionMutations
from release_catalog.graphql_api.mutations.reference_data import ReferenceDataMutations
from release_catalog.graphql_api.mutations.release_delivery import DeliveryMutations
from release_catalog.graphql_api.mutations.releases import ReleaseMutations
from release_catalog.graphql_api.queries import Query
from release_catalog.graphql_api.types.access_token import AccessTokenMutations
from release_catalog.graphql_api.types.event import Subscription
from release_catalog.graphql_api.types.webhook import WebhookMutations


@strawberry.type(
    description="Mutations. A refusal is in the field problem of the payload. Missing permission is an error "
    "with the code FORBIDDEN."
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
mutation.connect(schema._schema)


def printed() -> str:
    """Return the schema in the schema definition language."""
    return f"{schema}\n"
