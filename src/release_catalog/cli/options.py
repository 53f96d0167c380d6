"""Options that several commands have, and the output of --json."""

from typing import Annotated, Any

import orjson
import typer

Tenant = Annotated[str | None, typer.Option(help="Tenant. Defaults to the tenant in the settings.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output: one document a line, for programs.")
]


def print_json(document: Any) -> None:
    """Print a document as one line of JSON; programs read it while the command goes on."""
    typer.echo(orjson.dumps(document, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS).decode())
