"""Access tokens: their type, and the mutations that make and revoke them."""

import datetime

import strawberry

from release_catalog.domain import caller
from release_catalog.graphql_api.fields import field, optional_field
from release_catalog.graphql_api.mutation import mutation
from release_catalog.graphql_api.types.node import Node, node_id
from release_catalog.storage import access_tokens

ID = strawberry.ID


@strawberry.type(description="An access token for programs. Only a digest of it is stored.")
class AccessToken(Node):
    node_id: strawberry.ID = node_id("AccessToken")
    id: ID = field("Unique identifier. It is not the token.")
    name: str = field("Name that tells the purpose.")
    scopes: list[str] = field("Scopes, such as release:read.")
    product_id: ID | None = field(
        "Id of the product that the token is bound to (S1). It then writes releases of this product "
        "only, and sees drafts and private releases of no other. Null if it is not bound."
    )
    created_at: datetime.datetime = field("Time of the creation.")
    created_by: str = field("Subject of the caller who created the token. The value local means the command line.")
    expires_at: datetime.datetime | None = field("Time of expiry. Null if it does not expire.")
    last_used_at: datetime.datetime | None = field(
        "Time of the last use, to the minute. Null before the first use."
    )
    revoked_at: datetime.datetime | None = field(
        "Time of the revocation. All servers refuse the token from 5 seconds later on. Null if it was not revoked."
    )


@strawberry.input(description="An access token to create.")
class CreateAccessTokenInput:
    name: str = field("Name that tells the purpose, 1 to 256 characters.")
    scopes: list[str] = field(
        "Scopes: release:read, release:write, release:promote, webhook:write or admin. A token bound "
        "to a product has only the first two."
    )
    product_id: ID | None = optional_field(
        "Id of an existing product to bind the token to (S1). Defaults to null: not bound."
    )
    expires_at: datetime.datetime | None = optional_field(
        "Time of expiry, in the future. Defaults to null: it does not expire."
    )


@strawberry.input(description="An access token to revoke.")
class RevokeAccessTokenInput:
    id: ID = field("Id of the token.")


@strawberry.type
class AccessTokenMutations:
    create_access_token = mutation(
        CreateAccessTokenInput,
        access_tokens.create,
        {
            "access_token": (AccessToken | None, "The stored token. Null if there is a problem."),
            "token": (str | None, "The token itself, shown only once."),
        },
        "Creates an access token. It keeps its scopes even if its creator loses them.",
        scope=caller.ADMIN,
    )
    revoke_access_token = mutation(
        RevokeAccessTokenInput,
        access_tokens.revoke,
        {"access_token": (AccessToken | None, "The token after the mutation. Null if there is a problem.")},
        "Revokes an access token for good.",
        scope=caller.ADMIN,
    )
