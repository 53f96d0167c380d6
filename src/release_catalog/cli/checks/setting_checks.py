"""Checks of the settings, and of the files that they name."""

import difflib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pydantic

from release_catalog import secret_files, settings
from release_catalog.auth import authenticator, service_accounts
from release_catalog.cli import setting_errors
from release_catalog.cli.checks.findings import Finding, error, info, ok, warning
from release_catalog.settings import Settings

_PREFIX = "RELEASE_CATALOG_"
_ATTEMPTS = 10


def read() -> tuple[Settings | None, list[Finding], set[str]]:
    """Return the settings, their faults, and the settings that were left out so that the other checks can run."""
    findings: list[Finding] = []
    left_out: set[str] = set()
    kept = dict(os.environ)
    try:
        for _ in range(_ATTEMPTS):
            try:
                return Settings(), findings, left_out
            except pydantic.ValidationError as wrong:
                remedy = "Correct the setting: see docs/settings.md."
                findings.extend(error(f"{reason}.", remedy) for reason in setting_errors.reasons(wrong))
                names = _leave_out(wrong)
                if not names:
                    break
                left_out |= names
        return None, findings, left_out
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _leave_out(wrong: pydantic.ValidationError) -> set[str]:
    """Remove the settings that are wrong and return them; if several contradict each other, all about JWTs."""
    left_out = set()
    names = {f"{_PREFIX}{name}".upper() for part in wrong.errors() for name in part["loc"]}
    for name in list(os.environ):
        plain = name.upper().removesuffix(secret_files.SUFFIX)
        if plain in names or (not names and plain.startswith(f"{_PREFIX}JWT_")):
            del os.environ[name]
            left_out.add(plain)
    return left_out


def names() -> Iterator[Finding]:
    """Find settings that do not exist."""
    known = settings.variables()
    for name in settings.unknown():
        close = difflib.get_close_matches(name, known, 1)
        remedy = f"Did you mean {close[0]}?" if close else "Unset it, or see docs/settings.md for the names."
        yield warning(f"The setting {name} does not exist.", remedy)


def host(found: Settings) -> Iterator[Finding]:
    """Find a server that would answer other machines without credentials."""
    name = found.host
    is_home = name == "localhost" or authenticator.is_loopback(name)
    if found.authenticated:
        yield ok("Callers need credentials.")
    elif is_home:
        yield info("Authentication is off: every user of this machine may do everything.")
    else:
        yield error(
            f"Other machines can reach {name}, and authentication is off: the server does not start.",
            "Create a token (release-catalog token) and set RELEASE_CATALOG_AUTHENTICATION=required, or serve at "
            "127.0.0.1.",
        )


def files(found: Settings) -> Iterator[Finding]:
    """Find secret files that other users can read or change."""
    variables = {name.upper(): value for name, value in os.environ.items()}
    places = {name: variables.get(name, "") for name in secret_files.names(Settings)}
    places["RELEASE_CATALOG_ACCOUNTS"] = str(found.accounts or "")
    if not found.mongodb_url:
        places["The key of the embedded MongoDB"] = str(found.data_dir / "mongod.key")
    for name, place in places.items():
        path = Path(place)
        if not place or not path.is_file():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & stat.S_IWOTH:
            yield error(f"{name}: every user can change {path} (mode {mode:03o}).", f"chmod 600 {path}")
        elif mode & stat.S_IROTH:
            yield warning(f"{name}: every user can read {path} (mode {mode:03o}).", f"chmod 600 {path}")
        else:
            yield ok(f"{name}: other users can't read {path}.")


def accounts(found: Settings) -> Iterator[Finding]:
    """Find a file of service accounts that servers refuse, and hashes that no password fits."""
    if found.accounts is None:
        return
    # It takes a while to import.
    from argon2 import extract_parameters  # noqa: PLC0415
    from argon2.exceptions import InvalidHashError  # noqa: PLC0415

    setting = "Correct RELEASE_CATALOG_ACCOUNTS, or the file."
    try:
        known = service_accounts.load(found.accounts)
    except service_accounts.Unreadable as wrong:
        yield error(f"The accounts in {found.accounts} can't be used: {wrong}.", setting)
        return
    except OSError as wrong:
        yield error(f"The accounts in {found.accounts} can't be read: {wrong.strerror}.", setting)
        return
    if not known:
        yield warning(f"{found.accounts} has no accounts.", "Add one: release-catalog account create NAME.")
        return
    for name, (_, hashed) in known.items():
        try:
            extract_parameters(hashed)
        except InvalidHashError:
            yield error(
                f"The account {name} has a damaged password hash: nobody can log in as {name}.",
                f"Store the account again: release-catalog account create {name} --replace.",
            )
            return
    yield ok(f"{len(known)} service accounts can log in.")


def documents(found: Settings) -> Iterator[Finding]:
    """Find trusted documents that servers refuse."""
    if found.documents is None:
        return
    from release_catalog.graphql_http import documents as trusted  # noqa: PLC0415  it imports the schema

    try:
        count = len(trusted.load_trusted_documents(found.documents))
    except (trusted.Unreadable, OSError) as wrong:
        reason = wrong.strerror if isinstance(wrong, OSError) else str(wrong)
        yield error(
            f"The trusted documents in {found.documents} can't be used: {reason}.",
            "Correct RELEASE_CATALOG_DOCUMENTS, or the file.",
        )
        return
    if count:
        yield ok(f"{count} trusted documents.")
    else:
        yield warning("There are no trusted documents: every other document is refused.", "Add documents.")


def graphiql(found: Settings) -> Iterator[Finding]:
    """Find a GraphiQL that was not built."""
    if found.schema_readers == "off":
        return
    from release_catalog.server import graphiql as page  # noqa: PLC0415  it imports the web framework

    if page.BUILT.is_dir() and any(page.BUILT.iterdir()):
        yield ok("GraphiQL is built.")
    else:
        yield info("GraphiQL is not built: browsers get a plain page.", "Run make web before pip install.")
