"""The commands that create, list and revoke access tokens."""

import datetime
import sys
from typing import Annotated, Any

import typer

from release_catalog import runtime
from release_catalog.cli.options import Json, NewCatalog, Tenant, print_json, print_table, problem_text
from release_catalog.console import printable
from release_catalog.domain import caller, timestamps
from release_catalog.domain.access_tokens import AccessTokenDocument
from release_catalog.errors import Problem
from release_catalog.settings import Settings
from release_catalog.storage import access_tokens
from release_catalog.storage.database import Database

Scopes = Annotated[
    list[str], typer.Option(help=f"Scope, may be repeated: {', '.join(sorted(caller.OPERATOR_SCOPES))}.")
]


def create(
    name: Annotated[str, typer.Argument(help="Name that tells the purpose of the token.")],
    scope: Scopes,
    product: Annotated[str | None, typer.Option(help="Id of a product to bind the token to.")] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, help="Days until the token expires. Without it, the token does not expire."),
    ] = None,
    new_catalog: NewCatalog = False,
    tenant: Tenant = None,
    json: Json = False,
) -> None:
    """Create an access token and print it once: only its digest is stored."""
    settings = Settings()
    expires = timestamps.now() + datetime.timedelta(days=days) if days else None
    input_ = {"name": name, "scopes": scope, "productId": product, "expiresAt": expires}

    async def run(database: Database) -> Any:
        answer = await access_tokens.create(caller.operator(tenant or settings.tenant), database, input_)
        if isinstance(answer, Problem):
            sys.exit(problem_text(answer))
        return answer

    made = runtime.run_with_database(settings, run, new_catalog=new_catalog)
    if json:
        print_json({"token": made["token"], **_shown(made["accessToken"])})
    else:
        typer.echo(made["token"])


def list_(tenant: Tenant = None, json: Json = False) -> None:
    """List the access tokens of a tenant, newest first, at most 1,000; the tokens themselves are not stored."""
    settings = Settings()
    user = caller.operator(tenant or settings.tenant)
    found = runtime.run_with_database(settings, lambda database: access_tokens.everyone(user, database))
    shown = [_shown(token) for token in found]
    if json:
        print_json({"accessTokens": shown})
    elif shown:
        heads = ("ID", "NAME", "STATE", "SCOPES", "PRODUCT", "CREATED", "EXPIRES", "LAST USED")
        print_table(heads, [_row(token) for token in shown])
    else:
        typer.echo(f"The tenant {user.tenant} has no access tokens.", err=True)


def revoke(
    token: Annotated[str, typer.Argument(metavar="ID|NAME", help="Id of the token, or its name.")],
    tenant: Tenant = None,
    json: Json = False,
) -> None:
    """Revoke an access token for good; servers refuse it within 5 seconds.

    A name must be that of exactly one token that is not revoked.
    """
    settings = Settings()
    user = caller.operator(tenant or settings.tenant)

    async def run(database: Database) -> Any:
        found = await access_tokens.by_id_or_name(user, database, token)
        if len(found) != 1:
            sys.exit(_choice(token, user.tenant, found))
        answer = await access_tokens.revoke(user, database, {"id": found[0]["id"]})
        if isinstance(answer, Problem):
            sys.exit(problem_text(answer))
        return answer["accessToken"]

    shown = _shown(runtime.run_with_database(settings, run))
    if json:
        print_json(shown)
    else:
        typer.echo(printable(f"Revoked {shown['name']} ({shown['id']}) at {shown['revokedAt']}."))


def _choice(name: str, tenant: str, found: list[AccessTokenDocument]) -> str:
    if not found:
        return (
            f"The tenant {tenant} has no access token {name!r} that is not revoked: release-catalog token list "
            "shows all of them."
        )
    ids = ", ".join(token["id"] for token in found)
    return f"Several access tokens have the name {name!r}: give the id of one of them instead: {ids}."


def _shown(token: AccessTokenDocument) -> dict[str, Any]:
    """Return a token as people and programs see it, without its digest."""
    return {
        "id": token["id"],
        "name": token["name"],
        "state": _state(token),
        "scopes": token["scopes"],
        "productId": token["productId"],
        "createdBy": token["createdBy"],
        "createdAt": _time(token["createdAt"]),
        "expiresAt": _time(token["expiresAt"]),
        "lastUsedAt": _time(token["lastUsedAt"]),
        "revokedAt": _time(token["revokedAt"]),
    }


def _time(at: datetime.datetime | None) -> str | None:
    return timestamps.format_rfc3339(at) if at else None


def _state(token: AccessTokenDocument) -> str:
    if token["revokedAt"] is not None:
        return "REVOKED"
    expires = token["expiresAt"]
    return "EXPIRED" if expires is not None and expires <= timestamps.now() else "ACTIVE"


def _row(shown: dict[str, Any]) -> list[str]:
    names = ("id", "name", "state", "scopes", "productId", "createdAt", "expiresAt", "lastUsedAt")
    cells = {**shown, "scopes": ",".join(shown["scopes"]), "expiresAt": shown["expiresAt"] or "never"}
    return [cells[name] or "-" for name in names]
