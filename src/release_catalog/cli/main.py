"""The command line: release-catalog serve | load | import | export | verify | ledger | token | account | ..."""

import importlib.metadata
import platform
import signal
import sys
from typing import Annotated, NoReturn

import pydantic
import typer

from release_catalog import tracing
from release_catalog.auth import service_accounts
from release_catalog.cli import (
    access_tokens,
    accounts,
    backup_commands,
    doctor,
    groups,
    ledger,
    migrate,
    options,
    release_commands,
    schema_changes,
    serve,
    setting_errors,
    status,
)
from release_catalog.console import printable_lines
from release_catalog.embedded_mongodb import binary
from release_catalog.storage import database as db

cli = typer.Typer(no_args_is_help=True, help="Serve and manage a release catalog.")
cli.command()(serve.serve)
cli.command()(release_commands.load)
cli.command("import")(release_commands.import_)
cli.command()(release_commands.export)
cli.command()(release_commands.verify)
cli.command()(migrate.migrate)
cli.command()(schema_changes.schema)
cli.command()(status.status)
cli.command()(doctor.doctor)
cli.command()(backup_commands.backup)
cli.command()(backup_commands.restore)
cli.command()(backup_commands.compare)

_ledgers = typer.Typer(no_args_is_help=True, help="Manage the ledger of promotions.")
_ledgers.command("verify")(ledger.verify)
cli.add_typer(_ledgers, name="ledger")

_tokens = typer.Typer(
    cls=groups.TokenGroup,
    no_args_is_help=True,
    help="Create, list and revoke access tokens. `token NAME` is short for `token create NAME`.",
)
_tokens.command("create")(access_tokens.create)
_tokens.command("list")(access_tokens.list_)
_tokens.command("revoke")(access_tokens.revoke)
cli.add_typer(_tokens, name="token")

_accounts = typer.Typer(
    cls=groups.AccountGroup,
    no_args_is_help=True,
    help="Manage the file of service accounts. `account NAME` is short for `account line NAME`.",
)
_accounts.command("line")(accounts.line)
_accounts.command("create")(accounts.create)
_accounts.command("list")(accounts.list_)
_accounts.command("remove")(accounts.remove)
cli.add_typer(_accounts, name="account")


def _print_version(value: bool) -> None:
    if value:
        version = importlib.metadata.version("release-catalog")
        typer.echo(f"release-catalog {version}, Python {platform.python_version()}")
        raise typer.Exit


@cli.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and end."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; an error that the user can fix ends with a sentence and exit code 1."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_on_signal)
    try:
        _run()
    except SystemExit as end:
        # The sentence may quote a file, a setting or another server.
        sys.exit(printable_lines(end.code) if isinstance(end.code, str) else end.code)


def _run() -> None:
    try:
        cli()
    except pydantic.ValidationError as error:
        sys.exit(f"The settings can't be used: {'; '.join(setting_errors.reasons(error))}.")
    except service_accounts.Unreadable as error:
        sys.exit(f"The accounts can't be used: {error}. Check RELEASE_CATALOG_ACCOUNTS.")
    except (binary.Unavailable, tracing.Unavailable) as error:
        sys.exit(str(error))
    except db.Failure as error:
        sys.exit(f"The database can't be used: check RELEASE_CATALOG_MONGODB_URL. ({options.failure_text(error)})")
    except OSError as error:
        sys.exit(f"{error.filename or 'The file'} can't be read or written: {error.strerror}.")


def _exit_on_signal(number: int, _: object) -> NoReturn:
    # By an exception, so that a MongoDB that was started is stopped.
    sys.exit(128 + number)
