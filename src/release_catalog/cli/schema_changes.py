"""The command that prints the schema, or checks what changed in it."""

import sys
from typing import Annotated

import typer

from release_catalog.cli import streams
from release_catalog.cli.options import Json, print_json


def schema(
    since: Annotated[
        str | None,
        typer.Option(help="File with a released schema. Fail if a change since then can break its clients."),
    ] = None,
    json: Json = False,
) -> None:
    """Print the GraphQL schema, or check what changed in it; with --json, as an introspection result or a list."""
    from release_catalog.graphql_api import schema as graphql  # noqa: PLC0415  as above

    if since is None and json:
        print_json({"data": graphql.introspection()})
        return
    if since is None:
        print(graphql.printed(), end="")  # noqa: T201  what the command is for
        return
    try:
        with streams.opened(since, "rb") as released:
            changes = graphql.breaking_changes(released.read().decode())
    except ValueError as error:
        sys.exit(f"{since} is not a GraphQL schema: give a file that release-catalog schema printed. {error}")
    if json:
        print_json({"breakingChanges": changes})
        sys.exit(1 if changes else 0)
    if changes:
        sys.exit("\n".join([f"Changes that break clients: {len(changes)}. Deprecate first.", *changes]))
