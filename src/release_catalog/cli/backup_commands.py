"""The commands for backups: make one, restore it, and compare it with a database."""

import contextlib
import dataclasses
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, BinaryIO, Self

import rich.progress
import typer

from release_catalog import runtime
from release_catalog.cli import options, streams
from release_catalog.console import errors, printable
from release_catalog.settings import Settings
from release_catalog.storage import backup as backups
from release_catalog.storage import backup_comparison, backup_verification
from release_catalog.storage import restore as restores
from release_catalog.storage.backup_format import Damaged, Header
from release_catalog.storage.database import Database

_Backup = Annotated[str, typer.Argument(help="Backup to read. Use - for standard input.")]
_MAIN = ("releases", "events", "promotions")


class _Progress:
    """The number of documents so far, drawn on terminals only."""

    def __init__(self, name: str, total: int | None = None) -> None:
        console = errors()
        columns = (
            rich.progress.TextColumn(name, markup=False),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.completed} documents, {task.description}", markup=False),
            rich.progress.TimeElapsedColumn(),
        )
        self._bar = rich.progress.Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, collection: str, documents: int, _: int) -> None:
        self._bar.update(self._task, advance=documents, description=collection)


def backup(
    file: Annotated[str, typer.Argument(help="File to write. Use - for standard output.")],
    tenant: Annotated[
        str | None, typer.Option(help="Tenant to back up. Defaults to the tenant in the settings.")
    ] = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Back up all tenants.")] = False,
    with_secrets: Annotated[
        bool,
        typer.Option("--with-secrets", help="Include access tokens (their digests) and the secrets of webhooks."),
    ] = False,
    json: options.Json = False,
) -> None:
    """Write everything of a tenant, or of all, as of one instant; servers may go on."""
    if all_tenants and tenant is not None:
        raise typer.BadParameter("give either --tenant or --all-tenants", param_hint="--all-tenants")
    _check_tenant(tenant)
    settings = Settings()
    chosen = None if all_tenants else tenant or settings.tenant

    async def run(database: Database) -> backups.Written:
        with streams.whole(file, private=True) as target, _Progress("backup") as progress:
            return await backups.write(database, target, chosen, secrets=with_secrets, progress=progress)

    with _refusals():
        written = runtime.run_with_database(settings, run)
    counts = {name: count["documents"] for name, count in written.collections.items()}
    digests = {name: count["sha256"] for name, count in written.collections.items()}
    more = {"sha256": digests, "digest": written.digest}
    # The backup itself may be on standard output.
    _tell_summary(written.header, counts, more, json=json, err=file == "-")


def restore(
    file: Annotated[str | None, typer.Argument(help="Backup to restore. Use - for standard input.")] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Tenant to restore into. Defaults to the tenant of the backup.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Verify the backup, and restore nothing. It needs no database.")
    ] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Remove what an interrupted restore has left, and restore.",
        ),
    ] = False,
    discard: Annotated[
        bool, typer.Option("--discard", help="Remove what an interrupted restore has left, and restore nothing.")
    ] = False,
    enable_webhooks: Annotated[
        bool,
        typer.Option("--enable-webhooks", help="Keep active webhooks active, which then send events at once."),
    ] = False,
    accept_ledger_faults: Annotated[
        bool,
        typer.Option("--accept-ledger-faults", help="Restore a ledger that was already damaged in the backup."),
    ] = False,
    json: options.Json = False,
) -> None:
    """Restore a backup into an empty database or a new tenant, after it was verified."""
    if (file is None) != discard:
        raise typer.BadParameter("give either a file or --discard", param_hint="FILE")
    _check_tenant(tenant)
    if file is None:
        _discard(json=json)
        return
    with _refusals(), _readable(file) as source:
        verified = backup_verification.verify(source)
        faults = verified.ledger_faults
        for fault in faults:
            typer.echo(printable(f"ledger of {fault}"), err=True)
        if faults and not accept_ledger_faults:
            sys.exit("The ledger in the backup is damaged: see above. To restore it, give --accept-ledger-faults.")
        if check:
            _tell_summary(verified.header, verified.documents, {"digest": verified.digest}, json=json)
            return
        chosen = restores.Options(tenant, enable_webhooks=enable_webhooks, again=again)
        into = restores.target(verified.header, tenant)

        async def run(database: Database) -> dict[str, int]:
            with _Progress("restore", sum(verified.documents.values())) as progress:
                return await restores.restore(database, source, verified, chosen, progress)

        stored = runtime.run_with_database(Settings(), run, new_catalog=True, restoring=True)
        if json:
            options.print_json({"tenant": into, "documents": sum(stored.values()), "collections": stored})
        else:
            typer.echo(_restored(into, stored, is_silent=not enable_webhooks))


def _check_tenant(tenant: str | None) -> None:
    if tenant == "":
        raise typer.BadParameter("the name is empty: give the name of a tenant", param_hint="--tenant")


def _discard(*, json: bool) -> None:
    with _refusals():
        marker = runtime.run_with_database(Settings(), restores.discard, restoring=True)
    if json:
        options.print_json({"removed": marker is not None, "tenant": marker and marker["tenant"]})
    else:
        typer.echo("Removed." if marker else "Nothing to remove: no restore is unfinished.")


def compare(
    file: _Backup,
    tenant: Annotated[
        str | None,
        typer.Option(help="Tenant into which the backup was restored. Defaults to the tenant of the backup."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Compare a backup with the database; exit code 1 if they differ."""
    _check_tenant(tenant)
    with _refusals(), _readable(file) as source:

        async def run(database: Database) -> dict[str, backup_comparison.Difference]:
            with _Progress("compare") as progress:
                return await backup_comparison.compare(database, source, tenant, progress)

        found = runtime.run_with_database(Settings(), run)
    if json:
        for name, difference in found.items():
            options.print_json({"collection": name, **dataclasses.asdict(difference)})
    else:
        typer.echo("\n".join(map(printable, _comparison(found))))
    sys.exit(0 if all(difference.is_equal for difference in found.values()) else 1)


def _comparison(found: Mapping[str, backup_comparison.Difference]) -> Iterator[str]:
    for name, difference in found.items():
        yield from _differences(name, difference)
    equal, expired = (sum(getattr(one, field) for one in found.values()) for field in ("equal", "expired"))
    if all(difference.is_equal for difference in found.values()):
        more = f" {expired} older documents of the backup are no longer kept." if expired else ""
        yield f"Equal: {equal} documents.{more}"
    else:
        yield f"Different; {equal} documents are equal."


def _differences(name: str, difference: backup_comparison.Difference) -> Iterator[str]:
    if not difference.is_equal:
        yield (
            f"{name}: {difference.different} differ, {difference.only_in_backup} only in the backup, "
            f"{difference.only_in_database} only in the database"
        )
        yield from (f"  {line}" for line in difference.named)


def _tell_summary(
    header: Header, counts: Mapping[str, int], more: Mapping[str, Any], *, json: bool, err: bool = False
) -> None:
    """Tell the instant and the contents of a backup."""
    if not json:
        typer.echo(_summary(header, counts), err=err)
        return
    about = {name: header[name] for name in ("tenant", "instant", "lastEvent", "secrets", "catalogVersion")}
    document = {**about, "documents": sum(counts.values()), "collections": counts, **more}
    options.print_json(document, err=err)


def _summary(header: Header, counts: Mapping[str, int]) -> str:
    tenant = "All tenants" if header["tenant"] is None else f"Tenant {header['tenant']}"
    numbers = ", ".join(f"{name}: {counts.get(name, 0)}" for name in _MAIN)
    last = "" if header["lastEvent"] is None else f", last event {header['lastEvent']}"
    return printable(
        f"{tenant} as of {header['instant']}: {sum(counts.values())} documents ({numbers}){last}, "
        f"{'with' if header['secrets'] else 'without'} secrets."
    )


def _restored(tenant: str | None, stored: Mapping[str, int], *, is_silent: bool) -> str:
    place = "all tenants" if tenant is None else f"tenant {tenant}"
    numbers = ", ".join(f"{name}: {stored.get(name, 0)}" for name in _MAIN)
    lines = [f"Restored {place}: {sum(stored.values())} documents ({numbers})."]
    if is_silent and (count := stored.get("webhooks")):
        lines.append(f"Webhooks: {count}, none active: activate those that this database shall serve.")
    if not stored.get("tokens"):
        lines.append("Access tokens were not restored: create new ones with release-catalog token.")
    return "\n".join(map(printable, lines))


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """End the command with the message of an error that its user can act on."""
    try:
        yield
    except (Damaged, backups.BackupFailed, restores.RestoreFailed) as error:
        sys.exit(str(error))


@contextlib.contextmanager
def _readable(file: str) -> Iterator[BinaryIO]:
    """Open a backup that can be read twice; standard input is copied to a file that has no name."""
    if file != "-":
        with streams.opened(file, "rb") as source:
            yield source
        return
    with tempfile.TemporaryFile() as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.seek(0)
        yield spool
