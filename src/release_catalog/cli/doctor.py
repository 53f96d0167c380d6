"""The command that finds what is wrong with a set-up."""

import contextlib
import functools
import sys
from collections.abc import AsyncIterator, Callable, Iterable

import anyio
import anyio.to_thread
import typer

from release_catalog import logging_config, runtime
from release_catalog.cli.checks import database_checks, key_checks, machine_checks, setting_checks
from release_catalog.cli.checks.findings import Finding, error, info, ok
from release_catalog.cli.options import Json, failure_text, print_json
from release_catalog.console import printable
from release_catalog.embedded_mongodb import binary, data_folder, supervisor
from release_catalog.settings import Settings
from release_catalog.storage import database as db

# The time of each check; they run at the same time.
_SECONDS = 10.0
_LOCAL: dict[str, Callable[[Settings], Iterable[Finding]]] = {
    "authentication": setting_checks.host,
    "secret files": setting_checks.files,
    "accounts": setting_checks.accounts,
    "JWT secret": key_checks.secret,
    "JWT keys": key_checks.published,
    "trusted documents": setting_checks.documents,
    "GraphiQL": setting_checks.graphiql,
    "port": machine_checks.port,
    "descriptors": machine_checks.descriptors,
    "disk": machine_checks.disk,
    "memory": machine_checks.memory,
}
_REMOTE: dict[str, Callable[[Settings, db.Database], AsyncIterator[Finding]]] = {
    "MongoDB": database_checks.server,
    "catalog": database_checks.catalog,
    "restore": database_checks.restore,
    "rights": database_checks.rights,
    "indexes": database_checks.indexes,
    "clock": database_checks.clock,
    "transactions": database_checks.transactions,
    "replication": database_checks.replication,
    "database disk": database_checks.disk,
    "access tokens": database_checks.tokens,
}
# The settings that name the database, and those without which a local check would look at something else.
_PLACE = {"RELEASE_CATALOG_MONGODB_URL", "RELEASE_CATALOG_DATABASE", "RELEASE_CATALOG_DATA_DIR"}
_NEEDED = {"disk": _PLACE, "port": {"RELEASE_CATALOG_HOST", "RELEASE_CATALOG_PORT"}}
_LOG_AND_SETTINGS = "Look at the message. If it does not help, report it as a bug."

Findings = dict[str, list[Finding]]


def doctor(json: Json = False) -> None:
    """Find what is wrong with the settings, this machine and the database, with a remedy for each fault.

    It changes nothing. The exit code is 1 if there is an error; warnings do not count.
    """
    found, wrong, left_out = setting_checks.read()
    findings: Findings = {"settings": [*wrong, *setting_checks.names()] or [ok("All settings can be used.")]}
    if found is not None:
        logging_config.configure("error", found.log_format)
        with contextlib.ExitStack() as stack:
            if left_out & _PLACE:
                findings["database"] = [info("No check of the database was made: its settings are wrong.")]
                url = None
            else:
                runtime.announce(found)
                url = _url(found, stack, findings)
            # Without the settings that are wrong, callers may seem to need no credentials.
            local = [name for name in _LOCAL if not (wrong and name == "authentication")]
            local = [name for name in local if not left_out & _NEEDED.get(name, set())]
            findings |= anyio.run(_run, found, url, local)
    _print(findings, json=json)
    sys.exit(1 if any(it.severity == "error" for some in findings.values() for it in some) else 0)


def _url(found: Settings, stack: contextlib.ExitStack, findings: Findings) -> str | None:
    """Return the URL of the database, None if there is no database; the embedded one runs only if it has data."""
    if found.mongodb_url:
        return found.mongodb_url
    if not data_folder.holds_data(found.data_dir):
        missing = info(
            f"The data folder {found.data_dir} has no data yet.",
            "The first start of a server creates it. Otherwise check RELEASE_CATALOG_DATA_DIR.",
        )
        findings["database"] = [missing, *_program()]
        return None
    try:
        # It blocks for seconds. In a thread, a signal would lose track of it.
        return stack.enter_context(supervisor.start(found.data_dir)).url
    except binary.Unavailable as unavailable:
        findings["database"] = [error(str(unavailable), "Correct this first: no check of the database was made.")]
        return None


def _program() -> list[Finding]:
    try:
        return [ok(f"MongoDB can be started: {binary.program()}.")]
    except binary.Unavailable as unavailable:
        return [error(str(unavailable), "Do one of these.")]


async def _run(found: Settings, url: str | None, local: list[str]) -> Findings:
    """Run all checks at the same time; those of the database only if it can be reached."""
    findings: Findings = {name: [] for name in local}
    async with anyio.create_task_group() as group:
        for name in local:
            group.start_soon(_run_local, name, functools.partial(_LOCAL[name], found), findings)
        if url is not None:
            await _run_remote(found, url, findings)
    return findings


async def _run_local(name: str, check: Callable[[], Iterable[Finding]], findings: Findings) -> None:
    try:
        with anyio.fail_after(_SECONDS):
            findings[name] = await anyio.to_thread.run_sync(lambda: [*check()], abandon_on_cancel=True)
    except Exception as wrong:  # noqa: BLE001  the other checks go on
        findings[name] = [_broken(wrong)]


async def _run_remote(found: Settings, url: str, findings: Findings) -> None:
    try:
        client = db.connect(url)
    except db.Failure as wrong:
        findings["database"] = [
            error(f"The URL of the database is invalid: {failure_text(wrong)}", database_checks.CHECK_URL)
        ]
        return
    try:
        database = db.configure(client[found.database])
        findings["database"] = [finding] = [await database_checks.access(database, _SECONDS)]
        if finding.severity == "error":
            return
        findings |= {name: [] for name in _REMOTE}
        async with anyio.create_task_group() as group:
            for name, check in _REMOTE.items():
                group.start_soon(_run_one, name, check(found, database), findings)
    finally:
        await client.close()
        await db.background_ended()


async def _run_one(name: str, check: AsyncIterator[Finding], findings: Findings) -> None:
    try:
        with anyio.fail_after(_SECONDS + 1), db.deadline(_SECONDS):
            async for finding in check:
                findings[name].append(finding)
    except db.Failure as wrong:
        findings[name].append(
            error(f"The check failed: {failure_text(wrong)}", "Check the rights of the database's user.")
        )
    except Exception as wrong:  # noqa: BLE001  the other checks go on
        findings[name].append(_broken(wrong))


def _broken(wrong: Exception) -> Finding:
    """Return a finding that a check failed; only the kind of the error is shown, which holds no secret."""
    if isinstance(wrong, TimeoutError):
        return error(f"The check did not end within {_SECONDS:.0f} s.", "Repeat it when the machine is less busy.")
    if isinstance(wrong, OSError):
        return error(f"The check failed: {wrong.filename or ''} {wrong.strerror}.", _LOG_AND_SETTINGS)
    return error(f"The check failed: {type(wrong).__name__}.", _LOG_AND_SETTINGS)


def _print(findings: Findings, *, json: bool) -> None:
    listed = [(name, finding) for name, some in findings.items() for finding in some]
    if json:
        faults = [
            {"check": name, "severity": it.severity, "message": it.message, "remedy": it.remedy}
            for name, it in listed
        ]
        print_json({"healthy": all(it.severity != "error" for _, it in listed), "findings": faults})
        return
    for name, it in listed:
        typer.echo(printable(f"{it.severity:<8} {name:<18} {it.message}"))
        if it.remedy:
            typer.echo(printable(f"{'':<27} {it.remedy}"))
