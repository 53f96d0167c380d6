"""The commands about the file of service accounts."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from release_catalog.auth import service_accounts
from release_catalog.cli.access_tokens import Scopes
from release_catalog.cli.options import Json, Tenant, print_json, print_table
from release_catalog.console import printable
from release_catalog.settings import Settings

_Name = Annotated[str, typer.Argument(help="Account name, the user name in HTTP Basic.")]
_File = Annotated[
    Path | None, typer.Option(help="File of service accounts. Defaults to RELEASE_CATALOG_ACCOUNTS.")
]


def line(name: _Name, scope: Scopes, tenant: Tenant = None, json: Json = False) -> None:
    """Print a line for the file of service accounts; prompt for the password, or read it from standard input."""
    text = _line(name, scope, tenant or Settings().tenant)
    if json:
        print_json({"name": name, "line": text})
    else:
        typer.echo(text)


def create(
    name: _Name,
    scope: Scopes,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the account if it exists, with its password and scopes.")
    ] = False,
    file: _File = None,
    tenant: Tenant = None,
    json: Json = False,
) -> None:
    """Add an account to the file; prompt for the password, or read it from standard input.

    Servers read the changed file at the next request. A new file is readable by its owner only.
    """
    path = _path(file)
    if not replace and path.exists() and name in service_accounts.load(path):
        _exists(name, path)
    text = _line(name, scope, tenant or Settings().tenant)
    if not service_accounts.rewrite(path, name, text, replaces=replace):
        _exists(name, path)
    _print(json, "Stored", name, path)


def remove(name: _Name, file: _File = None, json: Json = False) -> None:
    """Remove an account from the file; servers refuse it from the next request on."""
    path = _path(file)
    if not service_accounts.rewrite(path, name, None):
        sys.exit(f"{path} has no account {name!r}: release-catalog account list shows all of them.")
    _print(json, "Removed", name, path)


def list_(file: _File = None, json: Json = False) -> None:
    """List the accounts of the file by name, without their passwords."""
    path = _path(file)
    found = {name: caller for name, (caller, _) in service_accounts.load(path).items()}
    if json:
        accounts = [
            {"name": name, "tenant": caller.tenant, "scopes": sorted(caller.scopes)}
            for name, caller in found.items()
        ]
        print_json({"file": str(path), "accounts": accounts})
    elif found:
        rows = [(name, caller.tenant, ",".join(sorted(caller.scopes))) for name, caller in found.items()]
        print_table(("NAME", "TENANT", "SCOPES"), rows)
    else:
        typer.echo(printable(f"{path} has no accounts."), err=True)


def _line(name: str, scopes: list[str], tenant: str) -> str:
    if sys.stdin.isatty():
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        return service_accounts.line(name, tenant, scopes, password)
    except ValueError as error:
        sys.exit(str(error))


def _path(file: Path | None) -> Path:
    path = file or Settings().accounts
    if path is None:
        raise typer.BadParameter(
            "no file is set: give --file, or set RELEASE_CATALOG_ACCOUNTS", param_hint="--file"
        )
    return path


def _exists(name: str, path: Path) -> NoReturn:
    sys.exit(f"{path} has an account {name!r} already: give --replace to change its password and scopes.")


def _print(json: bool, verb: str, name: str, path: Path) -> None:
    if json:
        print_json({"name": name, "file": str(path)})
    else:
        typer.echo(printable(f"{verb} the account {name}: {path}."))
