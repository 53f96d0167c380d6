"""The commands that make credentials: the first access token of an installation, and service accounts."""

import contextlib
import datetime
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from release_catalog import runtime
from release_catalog.auth import service_accounts
from release_catalog.domain import caller, timestamps
from release_catalog.embedded_mongodb import binary, data_folder
from release_catalog.errors import Problem, ValidationProblem
from release_catalog.settings import Settings
from release_catalog.storage import access_tokens
from release_catalog.storage.database import Database

_Scopes = Annotated[
    list[str], typer.Option(help=f"What it may do; give it several times: {', '.join(sorted(caller.SCOPES))}.")
]
_Tenant = Annotated[str | None, typer.Option(help="The tenant that it is of; else the tenant of the settings.")]


def token(
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    scope: _Scopes,
    product: Annotated[str | None, typer.Option(help="Id of the product to bind it to.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days after which it expires; else it does not.")] = None,
    tenant: _Tenant = None,
) -> None:
    """Make an access token and print it, this once: only its digest is kept."""
    settings = Settings()
    expires = timestamps.now() + datetime.timedelta(days=days) if days else None
    input_ = {"name": name, "scopes": scope, "productId": product, "expiresAt": expires}

    async def run(database: Database) -> str:
        answer = await access_tokens.create(caller.local(tenant or settings.tenant), database, input_)
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

    A token of a catalog that no server uses opens nothing. Where there is no other, a token may be the first step.
    """
    usual = settings.data_dir
    if settings.mongodb_url or "data_dir" in settings.model_fields_set or data_folder.holds_data(usual):
        return
    but = ""
    # UnicodeError: no host has such a name.
    with contextlib.suppress(OSError, UnicodeError):
        socket.create_connection((settings.host, settings.port), timeout=1).close()
        but = f", but something serves {settings.host}:{settings.port} with other data"
    if data_folder.holds_data(beside := Path.cwd() / ".data"):
        but = f", but one in {beside}"
    if but:
        new = f"To begin a new catalog, set RELEASE_CATALOG_DATA_DIR={usual}."
        raise binary.Unavailable(f"{runtime.no_catalog(settings, but)} {new}")


def account(
    name: Annotated[str, typer.Argument(help="Its name, by which it signs in with HTTP Basic.")],
    scope: _Scopes,
    tenant: _Tenant = None,
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
