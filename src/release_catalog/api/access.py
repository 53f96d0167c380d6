"""Access tokens: what they are, making and revoking them."""

import datetime

import strawberry

from release_catalog.api.fields import maybe, plain
from release_catalog.api.inputs import PROBLEM, mutation
from release_catalog.api.problem import Problem
from release_catalog.domain import caller
from release_catalog.store import tokens

ID = strawberry.ID


@strawberry.type(description="A token that programs identify themselves by. Only its digest is kept.")
class AccessToken:
    id: ID = plain("Unique identifier; it is not the token.")
    name: str = plain("What it is for.")
    scopes: list[str] = plain("What it may do, such as release:read.")
    product_id: ID | None = plain(
        "The product that it is bound to (S1): it writes releases of that one alone, and sees drafts "
        "and private releases of no other."
    )
    created_at: datetime.datetime = plain("When it was made.")
    created_by: str = plain("Subject of the caller who made it; local is the command line.")
    expires_at: datetime.datetime | None = plain("From when on it is refused; null where it does not expire.")
    last_used_at: datetime.datetime | None = plain("When it was last used, to a minute.")
    revoked_at: datetime.datetime | None = plain(
        "When it was revoked; it is refused everywhere from 5 seconds later on."
    )


@strawberry.input(description="An access token to make.")
class CreateAccessTokenInput:
    name: str = plain("What it is for, 1 to 256 characters.")
    scopes: list[str] = plain(
        "What it may do: release:read, release:write, release:promote, webhook:write or admin; only the first two "
        "where it is bound to a product."
    )
    product_id: ID | None = maybe("The product to bind it to (S1), which exists.")
    expires_at: datetime.datetime | None = maybe("From when on it is refused; without, it does not expire.")


@strawberry.input(description="An access token to end.")
class RevokeAccessTokenInput:
    id: ID = plain("The token's id.")


@strawberry.type(description="What became of making an access token.")
class CreateAccessTokenPayload:
    access_token: AccessToken | None = plain("What is kept of the token; null where there is a problem.")
    token: str | None = plain("The token itself, which is shown this once.")
    problem: Problem | None = plain(PROBLEM)


@strawberry.type(description="What became of revoking an access token.")
class RevokeAccessTokenPayload:
    access_token: AccessToken | None = plain("The token as it is now; null where there is a problem.")
    problem: Problem | None = plain(PROBLEM)


@strawberry.type
class Access:
    create_access_token: CreateAccessTokenPayload = mutation(
        CreateAccessTokenInput,
        tokens.create,
        {"accessToken": None, "token": None},
        "Makes an access token. It may do whatever it is given here, also after its maker has gone.",
        scope=caller.ADMIN,
    )
    revoke_access_token: RevokeAccessTokenPayload = mutation(
        RevokeAccessTokenInput,
        tokens.revoke,
        {"accessToken": None},
        "Ends an access token for good.",
        scope=caller.ADMIN,
    )
