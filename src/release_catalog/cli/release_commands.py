"""The commands that load, import, export and verify releases."""

import functools
import gc
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer

from release_catalog import runtime
from release_catalog.cli import files as terminal
from release_catalog.cli import load as bulk
from release_catalog.cli import streams
from release_catalog.cli.options import Json, NewCatalog, Tenant, print_json
from release_catalog.domain import caller, json_values, versions
from release_catalog.settings import Settings
from release_catalog.storage import bulk_load
from release_catalog.storage import database as db

_CreateProducts = Annotated[
    bool, typer.Option(help="Create the products that do not exist. Otherwise their releases are refused.")
]
_Scheme = Annotated[
    versions.Scheme | None,
    typer.Option(help="Version scheme of the products that the command creates. Defaults to ANY."),
]
_Source = Annotated[str, typer.Argument(help="File of import documents, one per line. Use - for standard input.")]


def load(
    file: _Source,
    catalog: Annotated[str, typer.Option(help="Id of the catalog.")] = bulk_load.DEFAULT_CATALOG,
    publish: Annotated[bool, typer.Option(help="Publish the releases. Otherwise they are drafts.")] = False,
    on_error: Annotated[str, typer.Option(help="Reaction to an invalid line: stop or skip.")] = "stop",
    create_products: _CreateProducts = True,
    version_scheme: _Scheme = None,
    new_catalog: NewCatalog = False,
    tenant: Tenant = None,
    json: Json = False,
) -> None:
    """Load releases from import documents; existing releases do not change.

    The catalog is created if it does not exist and the settings name the place of the data.
    """
    if on_error not in {"stop", "skip"}:
        raise typer.BadParameter("this reaction does not exist: give stop or skip", param_hint="--on-error")
    scheme = _new_scheme(version_scheme, create=create_products)
    settings = Settings()
    with sys.stdin.buffer if file == "-" else streams.opened(file, "rb") as source:
        report = bulk.Report(0 if file == "-" else Path(file).stat().st_size, json=json)
        user = caller.local(tenant or settings.tenant)
        new = bulk_load.NewProducts(create_products, scheme)
        loader = bulk.Loader(user, report, catalog, publish=publish, stop=on_error == "stop", new=new)
        # The objects of a batch go with it: looking for cycles among them would take a third of the time.
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        creates = new_catalog or runtime.has_own_place(settings)
        runtime.run_with_database(settings, lambda database: loader.run(database, source), new_catalog=creates)
    sys.exit(1 if loader.stopped else 0)


def export(
    file: Annotated[str, typer.Argument(help="File to write. Use - for standard output.")] = "-",
    tenant: Tenant = None,
    json: Json = False,
) -> None:
    """Write all releases as import documents, one per line, oldest first.

    The documents are JSON in any case. With a file, --json prints their number.
    """
    settings = Settings()

    async def run(database: db.Database) -> int:
        count = 0
        with streams.whole(file) as target:
            async for document in bulk_load.export(caller.local(tenant or settings.tenant), database):
                target.write(orjson.dumps(document) + b"\n")
                count += 1
        return count

    count = runtime.run_with_database(settings, run)
    if json and file != "-":
        print_json({"file": file, "releases": count})


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
    new_catalog: NewCatalog = False,
    tenant: Tenant = None,
    json: Json = False,
) -> None:
    """Import releases as drafts, verifying their files; exit code 1 if one was refused."""
    scheme = _new_scheme(version_scheme, create=create_products)
    with sys.stdin.buffer if file == "-" else streams.opened(file, "rb") as source:
        documents = _documents(source.read())
    options: dict[str, Any] = {"projectIdentifier": project, "catalogId": catalog, "dryRun": dry_run}
    options |= {"verification": verification.upper(), "onConflict": on_conflict.upper()}
    options |= {"createProduct": create_products, "versionScheme": scheme}
    bar = terminal.Bar(json=json, dry_run=dry_run)
    _with_files(tenant, functools.partial(terminal.import_all, documents, options), bar, new_catalog=new_catalog)


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


def verify(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of releases, without --product. Defaults to all releases.")
    ] = None,
    product: Annotated[
        str | None, typer.Option(help="Id or key of a product, to verify its releases instead of all.")
    ] = None,
    tenant: Tenant = None,
    json: Json = False,
) -> None:
    """Fetch and hash the files of releases again; exit code 1 if one differs from its declaration."""
    if ids and product is not None:
        message = "it selects releases, and so do ids: give either ids or --product"
        raise typer.BadParameter(message, param_hint="--product")
    _with_files(tenant, functools.partial(terminal.verify_all, ids or [], product), terminal.Bar(json=json))


def _with_files(
    tenant: str | None,
    work: Callable[..., Coroutine[Any, Any, bool]],
    bar: terminal.Bar,
    *,
    new_catalog: bool | None = None,
) -> None:
    settings = Settings()

    async def run(database: db.Database) -> bool:
        with bar:
            async with runtime.fetcher(settings, bar.came) as files:
                return await work(caller.local(tenant or settings.tenant), database, files, bar)

    sys.exit(0 if runtime.run_with_database(settings, run, new_catalog=new_catalog) else 1)
