"""The commands that create credentials: the first access token of an installation, and service accounts."""

import contextlib
import datetime
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from release_catalog import runtime
from release_catalog.auth import service_accounts
from release_catalog.cli.options import Tenant
from release_catalog.domain import caller, timestamps
from release_catalog.embedded_mongodb import binary, data_folder
from release_catalog.errors import Problem, ValidationProblem
from release_catalog.settings import Settings
from release_catalog.storage import access_tokens
from release_catalog.storage.database import Database

_Scopes = Annotated[
    list[str], typer.Option(help=f"Scope, may be repeated: {', '.join(sorted(caller.OPERATOR_SCOPES))}.")
]


def token(
    name: Annotated[str, typer.Argument(help="Name that tells the purpose of the token.")],
    scope: _Scopes,
    product: Annotated[str | None, typer.Option(help="Id of a product to bind the token to.")] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, help="Days until the token expires. Without it, the token does not expire."),
    ] = None,
    tenant: Tenant = None,
) -> None:
    """Create an access token and print it once: only its digest is stored."""
    settings = Settings()
    expires = timestamps.now() + datetime.timedelta(days=days) if days else None
    input_ = {"name": name, "scopes": scope, "productId": product, "expiresAt": expires}

    async def run(database: Database) -> str:
        answer = await access_tokens.create(caller.operator(tenant or settings.tenant), database, input_)
        if isinstance(answer, Problem):
            wrong = (
                [v.message for v in answer.violations]
                if isinstance(answer, ValidationProblem)
                else [answer.detail]
            )
            sys.exit("\n".join(wrong))
        return str(answer["token"])

    _check_place(settings)
    typer.echo(runtime.run_with_database(settings, run))


def _check_place(settings: Settings) -> None:
    """Refuse to begin a catalog in the user's data folder where the server's seems to be elsewhere.

    A token of a catalog that no server uses opens nothing. Without another catalog, a token may be the first step.
    """
    usual = settings.data_dir
    if settings.mongodb_url or "data_dir" in settings.model_fields_set or data_folder.holds_data(usual):
        return
    but = ""
    # UnicodeError: no host has such a name.
    with contextlib.suppress(OSError, UnicodeError):
        socket.create_connection((settings.host, settings.port), timeout=1).close()
        but = f", but a server with other data runs at {settings.host}:{settings.port}"
    if data_folder.holds_data(beside := Path.cwd() / ".data"):
        but = f", but there is one in {beside}"
    if but:
        new = f"For a new catalog, set RELEASE_CATALOG_DATA_DIR={usual}."
        raise binary.Unavailable(f"{runtime.no_catalog(settings, but)} {new}")


def account(
    name: Annotated[str, typer.Argument(help="Account name, the user name in HTTP Basic.")],
    scope: _Scopes,
    tenant: Tenant = None,
) -> None:
    """Print a line for the file of service accounts; prompt for the password, or read it from standard input."""
    if sys.stdin.isatty():
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        typer.echo(service_accounts.line(name, tenant or Settings().tenant, scope, password))
    except ValueError as error:
        sys.exit(str(error))
