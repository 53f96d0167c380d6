"""The command line: release-catalog serve | load | import | export | verify | ledger | token | account | ..."""

import asyncio
import contextlib
import functools
import gc
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, NoReturn

import anyio
import orjson
import pydantic
import structlog
import typer

from release_catalog import logging_config, runtime
from release_catalog.auth import authenticator, service_accounts
from release_catalog.cli import credentials, ledger
from release_catalog.cli import files as terminal
from release_catalog.cli import load as bulk
from release_catalog.console import printable_lines
from release_catalog.domain import caller, json_values, versions
from release_catalog.embedded_mongodb import binary
from release_catalog.settings import Settings, unknown
from release_catalog.storage import bulk_load, migrations
from release_catalog.storage import database as db

# Orchestrators wait for 20 or 30 seconds between SIGTERM and SIGKILL.
MAX_GRACE_SECONDS = 15
# The exit code of `migrate --check` while migrations are pending; 1 is a failure, and 2 an error of usage.
PENDING = 3

_log = structlog.get_logger()
cli = typer.Typer(add_completion=False, no_args_is_help=True, help="Serve and manage a release catalog.")
ledgers = typer.Typer(no_args_is_help=True, help="Manage the ledger of promotions.")
cli.add_typer(ledgers, name="ledger")
ledgers.command("verify")(ledger.verify)
cli.command("token")(credentials.token)
cli.command("account")(credentials.account)
_Tenant = Annotated[
    str | None, typer.Option(help="Tenant of the releases. Defaults to the tenant in the settings.")
]
_CreateProducts = Annotated[
    bool, typer.Option(help="Create the products that do not exist. Otherwise their releases are refused.")
]
_Scheme = Annotated[
    versions.Scheme | None,
    typer.Option(help="Version scheme of the products that the command creates. Defaults to ANY."),
]
_Source = Annotated[str, typer.Argument(help="File of import documents, one per line. Use - for standard input.")]


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
        # An error about several settings together names them itself.
        problems = (
            "".join(f"RELEASE_CATALOG_{str(n).upper()}: " for n in e["loc"])
            + e["msg"].removeprefix("Value error, ").rstrip(".")
            for e in error.errors()
        )
        sys.exit(f"The settings can't be used: {'; '.join(problems)}.")
    except service_accounts.Unreadable as error:
        sys.exit(f"The accounts can't be used: {error}. Check RELEASE_CATALOG_ACCOUNTS.")
    except binary.Unavailable as error:
        sys.exit(str(error))
    except db.Failure as error:
        # The driver's message goes on with its timeouts and all that it knows of the servers.
        reason = re.split(r" \(configured|, Timeout: |, full error: ", str(error))[0]
        sys.exit(f"The database can't be used: check RELEASE_CATALOG_MONGODB_URL. ({reason})")
    except OSError as error:
        sys.exit(f"{error.filename or 'The file'} can't be read or written: {error.strerror}.")


def _exit_on_signal(number: int, _: object) -> NoReturn:
    # By an exception, so that a MongoDB that was started is stopped.
    sys.exit(128 + number)


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen at.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen at. Use 0 for any free port.")] = None,
    sample: Annotated[bool, typer.Option(help="Load the sample data first if the catalog is empty.")] = False,
) -> None:
    """Serve the catalog until SIGTERM or Ctrl-C; current requests are answered first."""
    # These take a second to import, and only the server needs them: the other commands start that much faster.
    from release_catalog.graphql_http import documents  # noqa: PLC0415
    from release_catalog.server import app as application  # noqa: PLC0415
    from release_catalog.server import uvicorn_server  # noqa: PLC0415

    overrides: dict[str, Any] = {"host": host, "port": port}
    settings = Settings(**{name: value for name, value in overrides.items() if value is not None})
    logging_config.configure(settings.log_level, settings.log_format)
    if names := unknown():
        _log.warning("unknown settings", names=names)
    try:
        app = application.create_app(settings, with_sample=sample)
    except documents.Unreadable as error:
        sys.exit(f"The trusted documents can't be used: {error}. Check RELEASE_CATALOG_DOCUMENTS.")
    server = uvicorn_server.server(app, MAX_GRACE_SECONDS, settings.receive_seconds, settings.max_connections)

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            # While the embedded MongoDB starts, nothing else can run; that takes seconds.
            waits = settings.mongodb_url and settings.database_wait_seconds
            async with uvicorn_server.alive(listener) if waits else contextlib.nullcontext():
                # Not by the server, which would report a missing database with a traceback.
                await stack.enter_async_context(app.router.lifespan_context(app))
            _announce(settings, listener)
            _tune_gc()
            # It raises the signal that ended it once more.
            with contextlib.suppress(SystemExit):
                await server.serve([listener])

    with _listening(settings) as listener:
        anyio.run(run, backend_options={"loop_factory": server.config.get_loop_factory()})


def _tune_gc() -> None:
    """Exclude objects that live as long as the server from garbage collection, and collect the rest less often.

    A full collection looks at all of the schema, which holds up every request for tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def _listening(settings: Settings) -> socket.socket:
    """Return a socket at the address; clients that come before the server is ready wait."""
    host, port = settings.host, settings.port
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if not settings.authenticated and not authenticator.is_loopback(str(address[0])):
            sys.exit(
                f"Other machines can reach {host}, and authentication is off: create a token "
                "(release-catalog token) and set RELEASE_CATALOG_AUTHENTICATION=required, or serve at "
                "127.0.0.1."
            )
        listener = socket.create_server((str(address[0]), port), family=family, backlog=2048)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        sys.exit(f"The server can't listen at {host}, port {port}: {reason}. Choose another --host or --port.")
    # Its connections inherit it. Without uvloop, responses would wait 40 milliseconds for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _announce(settings: Settings, listener: socket.socket) -> None:
    port, host = listener.getsockname()[1], settings.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/graphql"
    database = runtime.place(settings)
    if settings.authenticated:
        _log.info("serving with authentication", url=url, database=database)
    else:
        event = "serving this machine without authentication"
        _log.info(event, url=url, database=database)


@cli.command()
def schema(
    since: Annotated[
        str | None,
        typer.Option(help="File with a released schema. Fail if a change since then can break its clients."),
    ] = None,
) -> None:
    """Print the GraphQL schema, or check what changed in it."""
    from release_catalog.graphql_api import schema as graphql  # noqa: PLC0415  as above

    if since is None:
        print(graphql.printed(), end="")  # noqa: T201  what the command is for
        return
    try:
        with _opened(since, "rb") as released:
            changes = graphql.breaking_changes(released.read().decode())
    except ValueError as error:
        sys.exit(f"{since} is not a GraphQL schema: give a file that release-catalog schema printed. {error}")
    if changes:
        sys.exit("\n".join([f"Changes that break clients: {len(changes)}. Deprecate first.", *changes]))


@cli.command()
def load(
    file: _Source,
    catalog: Annotated[str, typer.Option(help="Id of the catalog.")] = bulk_load.DEFAULT_CATALOG,
    publish: Annotated[bool, typer.Option(help="Publish the releases. Otherwise they are drafts.")] = False,
    on_error: Annotated[str, typer.Option(help="Reaction to an invalid line: stop or skip.")] = "stop",
    create_products: _CreateProducts = True,
    version_scheme: _Scheme = None,
    tenant: _Tenant = None,
) -> None:
    """Load releases from import documents; existing releases do not change."""
    if on_error not in {"stop", "skip"}:
        raise typer.BadParameter("this reaction does not exist: give stop or skip", param_hint="--on-error")
    scheme = _new_scheme(version_scheme, create=create_products)
    settings = Settings()
    with sys.stdin.buffer if file == "-" else _opened(file, "rb") as source:
        report = bulk.Report(0 if file == "-" else Path(file).stat().st_size)
        user = caller.local(tenant or settings.tenant)
        new = bulk_load.NewProducts(create_products, scheme)
        loader = bulk.Loader(user, report, catalog, publish=publish, stop=on_error == "stop", new=new)
        # The objects of a batch go with it: looking for cycles among them would take a third of the time.
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        runtime.run_with_database(settings, lambda database: loader.run(database, source))
    sys.exit(1 if loader.stopped else 0)


@cli.command()
def export(
    file: Annotated[str, typer.Argument(help="File to write. Use - for standard output.")] = "-",
    tenant: _Tenant = None,
) -> None:
    """Write all releases as import documents, one per line, oldest first."""
    settings = Settings()

    async def run(database: db.Database) -> None:
        with _whole(file) as target:
            async for document in bulk_load.export(caller.local(tenant or settings.tenant), database):
                target.write(orjson.dumps(document) + b"\n")

    runtime.run_with_database(settings, run, existing=True)


@cli.command("import")
def import_(
    file: Annotated[
        str, typer.Argument(help="File with one import document, or with one per line. Use - for standard input.")
    ],
    project: Annotated[
        str | None,
        typer.Option(help="Id, key or name of the product. Defaults to the project in the document."),
    ] = None,
    catalog: Annotated[
        str | None, typer.Option(help="Id of the catalog. Defaults to the default catalog.")
    ] = None,
    verification: Annotated[
        Literal["wait", "background", "skip"], typer.Option(help="Time at which files are fetched and hashed.")
    ] = "wait",
    on_conflict: Annotated[
        Literal["update", "fail"], typer.Option(help="Reaction to a draft with the same identity.")
    ] = "update",
    create_products: _CreateProducts = True,
    version_scheme: _Scheme = None,
    dry_run: Annotated[bool, typer.Option(help="Check the documents and store nothing.")] = False,
    tenant: _Tenant = None,
) -> None:
    """Import releases as drafts, verifying their files; exit code 1 if one was refused."""
    scheme = _new_scheme(version_scheme, create=create_products)
    with sys.stdin.buffer if file == "-" else _opened(file, "rb") as source:
        documents = _documents(source.read())
    options: dict[str, Any] = {"projectIdentifier": project, "catalogId": catalog, "dryRun": dry_run}
    options |= {"verification": verification.upper(), "onConflict": on_conflict.upper()}
    options |= {"createProduct": create_products, "versionScheme": scheme}
    _with_files(tenant, functools.partial(terminal.import_all, documents, options))


def _new_scheme(scheme: versions.Scheme | None, *, create: bool) -> versions.Scheme:
    """Return the scheme of new products; refuse one if no product is created."""
    if scheme and not create:
        message = "no product is created: leave out --version-scheme or --no-create-products"
        raise typer.BadParameter(message, param_hint="--version-scheme")
    return scheme or "ANY"


def _documents(text: bytes) -> list[Any]:
    try:
        return [json_values.loads(text)]
    except orjson.JSONDecodeError:
        try:
            return [json_values.loads(line) for line in text.splitlines() if not line.isspace()]
        except orjson.JSONDecodeError as error:
            sys.exit(f"The input is neither one JSON document nor one per line: {error}.")


@cli.command()
def verify(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of releases, without --product. Defaults to all releases.")
    ] = None,
    product: Annotated[
        str | None, typer.Option(help="Id or key of a product, to verify its releases instead of all.")
    ] = None,
    tenant: _Tenant = None,
) -> None:
    """Fetch and hash the files of releases again; exit code 1 if one differs from its declaration."""
    if ids and product is not None:
        message = "it selects releases, and so do ids: give either ids or --product"
        raise typer.BadParameter(message, param_hint="--product")
    _with_files(tenant, functools.partial(terminal.verify_all, ids or [], product), existing=True)


def _with_files(
    tenant: str | None, work: Callable[..., Coroutine[Any, Any, bool]], *, existing: bool = False
) -> None:
    settings = Settings()

    async def run(database: db.Database) -> bool:
        with terminal.Bar() as bar:
            async with runtime.fetcher(settings, bar.came) as files:
                return await work(caller.local(tenant or settings.tenant), database, files, bar)

    sys.exit(0 if runtime.run_with_database(settings, run, existing=existing) else 1)


@cli.command()
def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="List the pending migrations and change nothing.")
    ] = False,
) -> None:
    """Migrate all stored documents to the form that this version writes.

    Servers do the same in the background. Older servers may keep running. The command may be interrupted and
    repeated at any time. With --check, the exit code is 0 if nothing is pending, 3 if migrations are pending, and
    1 after a failure.
    """

    def report(step: str, migration: migrations.Migration, documents: int) -> None:
        typer.echo(f"{migration.name} {step}: {documents} documents")

    async def run(database: db.Database) -> dict[str, int]:
        if check:
            return await migrations.pending(database)
        await migrations.run(database, asyncio.Event(), report)
        return {}

    found = runtime.run_with_database(Settings(), run, existing=True)
    for name, count in found.items():
        typer.echo(f"{name} is pending: {count} documents")
    sys.exit(PENDING if found else 0)


@contextlib.contextmanager
def _whole(file: str) -> Iterator[BinaryIO]:
    """Open a file for writing; it gets its name only when it is complete."""
    path = Path(file).resolve()
    if file == "-" or (path.exists() and not path.is_file()):
        with sys.stdout.buffer if file == "-" else _opened(file, "wb") as target:
            yield target
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with _opened(str(partial), "wb") as target:
            yield target
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _opened(file: str, mode: Literal["rb", "wb"]) -> BinaryIO:
    try:
        return Path(file).open(mode)
    except OSError as error:
        sys.exit(f"{file} can't be opened: {error.strerror}.")
