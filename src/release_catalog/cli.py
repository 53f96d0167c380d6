"""The command line: release-catalog serve | load | export | schema."""

import contextlib
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import anyio
import orjson
import pydantic
import typer
import uvicorn

from release_catalog import app as application
from release_catalog import bulk, embedded, logs
from release_catalog.api import schema as graphql
from release_catalog.domain import caller
from release_catalog.settings import Settings
from release_catalog.store import database as db
from release_catalog.store import loading

cli = typer.Typer(add_completion=False, no_args_is_help=True, help="The release catalog.")
_Source = Annotated[str, typer.Argument(help="File of import documents, one a line; - is standard input.")]


def main() -> None:
    """Run the command line; what a user can mend ends with a sentence and exit code 1."""
    try:
        cli()
    except pydantic.ValidationError as error:
        wrong = "; ".join(f"RELEASE_CATALOG_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        sys.exit(f"The settings can't be used: {wrong}")
    except embedded.Unavailable as error:
        sys.exit(str(error))
    except db.Unavailable as error:
        sys.exit(f"The database can't be reached: check RELEASE_CATALOG_MONGODB_URL. ({error})")


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to serve at.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to serve at; 0 takes any free one.")] = None,
    sample: Annotated[bool, typer.Option(help="Load the sample into an empty catalog first.")] = False,
) -> None:
    """Serve the catalog until SIGTERM or Ctrl-C; requests that have begun are answered first."""
    given = {name: value for name, value in {"host": host, "port": port}.items() if value is not None}
    settings = Settings.model_validate(Settings().model_dump() | given)
    logs.configure(settings.log_level, settings.log_format)
    app = application.create_app(settings, with_sample=sample)
    config = uvicorn.Config(
        app, settings.host, settings.port, log_config=None, access_log=False, timeout_graceful_shutdown=20
    )
    server = uvicorn.Server(config)
    server.run()
    if not server.started:
        sys.exit(1)


@cli.command()
def schema() -> None:
    """Print the GraphQL schema."""
    print(graphql.printed(), end="")  # noqa: T201  what the command is for


@cli.command()
def load(
    file: _Source,
    catalog: Annotated[str, typer.Option(help="Id of the catalog to load into.")] = loading.DEFAULT_CATALOG,
    publish: Annotated[
        bool, typer.Option(help="Publish what is loaded; otherwise it comes in as drafts.")
    ] = False,
    on_error: Annotated[str, typer.Option(help="At a bad line: stop, or skip it.")] = "stop",
) -> None:
    """Load releases from import documents; those that are there already stay as they are."""
    if on_error not in {"stop", "skip"}:
        raise typer.BadParameter("give stop or skip", param_hint="--on-error")
    with contextlib.ExitStack() as stack:
        source = sys.stdin.buffer if file == "-" else stack.enter_context(_opened(file))
        total = None if file == "-" else Path(file).stat().st_size
        report = stack.enter_context(bulk.Report(total))
        user = caller.local(Settings().tenant)
        loader = bulk.Loader(user, report, catalog, publish=publish, stop=on_error == "stop")
        _with_database(lambda database: loader.run(database, source))
    sys.exit(1 if loader.stopped else 0)


@cli.command()
def export(
    file: Annotated[str, typer.Argument(help="File to write; - is standard output.")] = "-",
) -> None:
    """Write all releases as import documents, one a line, the oldest first."""

    async def run(database: db.Database) -> None:
        target = sys.stdout.buffer if file == "-" else Path(file).open("wb")  # noqa: ASYNC230, SIM115  one writer
        with target:
            async for document in loading.export(caller.local(Settings().tenant), database):
                target.write(orjson.dumps(document) + b"\n")

    _with_database(run)


def _opened(file: str) -> BinaryIO:
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}.", param_hint="FILE") from error


def _with_database(work: Callable[[db.Database], Coroutine[Any, Any, None]]) -> None:
    settings = Settings()
    logs.configure("warning", settings.log_format)

    async def run() -> None:
        async with application.opened(settings) as database:
            await work(database)

    anyio.run(run)
