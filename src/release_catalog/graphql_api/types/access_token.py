"""Access tokens: their type, and the mutations that make and revoke them."""

import datetime

import strawberry

from release_catalog.domain import caller
from release_catalog.graphql_api.fields import field, optional_field
from release_catalog.graphql_api.mutation import mutation
from release_catalog.storage import access_tokens

ID = strawberry.ID


@strawberry.type(description="A token that programs identify themselves by. Only its digest is kept.")
class AccessToken:
    id: ID = field("Unique identifier; it is not the token.")
    name: str = field("What it is for.")
    scopes: list[str] = field("What it may do, such as release:read.")
    product_id: ID | None = field(
        "The product that it is bound to (S1): it writes releases of that one alone, and sees drafts "
        "and private releases of no other."
    )
    created_at: datetime.datetime = field("When it was made.")
    created_by: str = field("Subject of the caller who made it; local is the command line.")
    expires_at: datetime.datetime | None = field("From when on it is refused; null where it does not expire.")
    last_used_at: datetime.datetime | None = field("When it was last used, to a minute.")
    revoked_at: datetime.datetime | None = field(
        "When it was revoked; it is refused everywhere from 5 seconds later on."
    )


@strawberry.input(description="An access token to make.")
class CreateAccessTokenInput:
    name: str = field("What it is for, 1 to 256 characters.")
    scopes: list[str] = field(
        "What it may do: release:read, release:write, release:promote, webhook:write or admin; only the first two "
        "where it is bound to a product."
    )
    product_id: ID | None = optional_field("The product to bind it to (S1), which exists.")
    expires_at: datetime.datetime | None = optional_field(
        "From when on it is refused; without, it does not expire."
    )


@strawberry.input(description="An access token to end.")
class RevokeAccessTokenInput:
    id: ID = field("The token's id.")


@strawberry.type
class AccessTokenMutations:
    create_access_token = mutation(
        CreateAccessTokenInput,
        access_tokens.create,
        {
            "access_token": (AccessToken | None, "The stored token. Null if there is a problem."),
            "token": (str | None, "The token itself, shown only once."),
        },
        "Makes an access token. It may do whatever it is given here, also after its maker has gone.",
        scope=caller.ADMIN,
    )
    revoke_access_token = mutation(
        RevokeAccessTokenInput,
        access_tokens.revoke,
        {"access_token": (AccessToken | None, "The token as it is now. Null if there is a problem.")},
        "Ends an access token for good.",
        scope=caller.ADMIN,
    )
