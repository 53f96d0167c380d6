"""The command that verifies the ledger of promotions."""

import sys
from typing import Annotated

import typer

from release_catalog import runtime
from release_catalog.cli.options import Json, print_json
from release_catalog.console import printable
from release_catalog.domain import caller
from release_catalog.domain import ledger as chains
from release_catalog.settings import Settings
from release_catalog.storage import database as db
from release_catalog.storage import ledger


def verify(
    tenant: Annotated[
        str | None, typer.Option(help="Tenant of the ledger. Defaults to the tenant in the settings.")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            help="Hash of a record, kept outside of the database: from this command or a promotion event. The "
            "ledger must still contain it."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Find every promotion record that was changed, removed or moved; exit code 1 if there is any."""
    settings, chain = Settings(), chains.HashChain(head)

    async def run(database: db.Database) -> int:
        found = 0
        async for wrong in ledger.verify(caller.local(tenant or settings.tenant), database, chain):
            found += 1
            if json:
                print_json({"fault": wrong})
            else:
                typer.echo(printable(wrong))
        return found

    found = runtime.run_with_database(settings, run)
    if json:
        state = {"records": chain.sequence, "head": chain.hash, "unchangedUntil": chain.witnessed}
        print_json({"faults": found, **state})
    if json or found:
        sys.exit(1 if found else 0)
    typer.echo(printable(f"{chain.sequence} records, head {chain.hash}"))
    typer.echo(_proven(chain), err=True)


def _proven(chain: chains.HashChain) -> str:
    """Say what a ledger without faults proves, and what not."""
    if chain.witnessed is None:
        return (
            "Without --head, this command can't detect a ledger that was rewritten as a whole or "
            "restored to an earlier state. Keep the head outside of this database and give it next time; "
            "promotion events and webhooks contain it too (data.ledger.hash)."
        )
    return (
        f"Records 1 to {chain.witnessed} are unchanged since the given head. Later records may have "
        "been rewritten as a whole: keep the head printed here for the next verification."
    )
