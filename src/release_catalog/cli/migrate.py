"""The command that migrates all stored documents."""

import asyncio
import sys
from typing import Annotated

import typer

from release_catalog import runtime
from release_catalog.cli.options import Json, print_json
from release_catalog.settings import Settings
from release_catalog.storage import database as db
from release_catalog.storage import migrations

# The exit code of `migrate --check` while migrations are pending; 1 is a failure, and 2 an error of usage.
PENDING = 3


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="List the pending migrations and change nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Migrate all stored documents to the form that this version writes.

    Servers do the same in the background. Older servers may keep running. The command may be interrupted and
    repeated at any time. With --check, the exit code is 0 if nothing is pending, 3 if migrations are pending, and
    1 after a failure.
    """

    def report(step: str, migration: migrations.Migration, documents: int) -> None:
        if json:
            print_json({"migration": migration.name, "step": step, "documents": documents})
        else:
            typer.echo(f"{migration.name} {step}: {documents} documents")

    async def run(database: db.Database) -> dict[str, int]:
        if check:
            return await migrations.pending(database)
        await migrations.run(database, asyncio.Event(), report)
        return {}

    found = runtime.run_with_database(Settings(), run)
    for name, count in found.items():
        if json:
            print_json({"migration": name, "step": "pending", "documents": count})
        else:
            typer.echo(f"{name} is pending: {count} documents")
    sys.exit(PENDING if found else 0)
