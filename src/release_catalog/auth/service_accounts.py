"""Service accounts: a file with a line for each, which holds only the Argon2id hash of its password."""

import base64
import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
import urllib.parse
from pathlib import Path

import structlog

from release_catalog.auth.passwords import Passwords
from release_catalog.domain.caller import OPERATOR_SCOPES, Caller, account_subject
from release_catalog.storage.database import shielded

MIN_PASSWORD = 12
_FIELDS = 4

Account = tuple[Caller, str]
_log = structlog.get_logger()


class Unreadable(Exception):  # noqa: N818  it is not an error of this program
    """The file holds an invalid line; the message names it."""


def line(name: str, tenant: str, scopes: list[str], password: str) -> str:
    """Return the line of an account; raise ValueError with the reason if an argument is invalid."""
    # It takes a while to import, and few processes need it.
    from argon2 import PasswordHasher  # noqa: PLC0415

    if not name.isprintable() or ":" in name or " " in name or not name:
        raise ValueError("The name is invalid: use printable characters without colons and spaces.")
    if not scopes or set(scopes) - OPERATOR_SCOPES:
        raise ValueError(f"A scope does not exist: give any of {', '.join(sorted(OPERATOR_SCOPES))}.")
    if len(password) < MIN_PASSWORD:
        raise ValueError(f"The password is too short: give at least {MIN_PASSWORD} characters.")
    fields = (name, urllib.parse.quote(tenant, safe=""), ",".join(scopes), PasswordHasher().hash(password))
    return " ".join(fields)


def read(text: str) -> dict[str, Account]:
    """Return the accounts of a file by name; skip lines that are empty or begin with #."""
    found: dict[str, Account] = {}
    for number, entry in enumerate(text.splitlines(), start=1):
        if not entry.strip() or entry.startswith("#"):
            continue
        fields = entry.split()
        if (
            len(fields) != _FIELDS
            or not fields[3].startswith("$argon2id$")
            or set(fields[2].split(",")) - OPERATOR_SCOPES
        ):
            raise Unreadable(f"line {number} was not printed by release-catalog account")
        name, tenant, scopes, known = fields
        if name in found:
            raise Unreadable(f"line {number} repeats the name of another line")
        tenant = urllib.parse.unquote(tenant)
        found[name] = Caller(tenant, account_subject(name), frozenset(scopes.split(","))), known
    return found


def load(path: Path) -> dict[str, Account]:
    """Return the accounts of a file by name; raise OSError or Unreadable if the file can't be used."""
    return read(_text(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("the file is not UTF-8") from error


def rewrite(path: Path, name: str, line: str | None, *, replaces: bool = False) -> bool:
    """Write the line of an account to the file, or remove the account without a line; all other lines stay.

    Return False and change nothing if the account exists and `line` does not replace it, or if no account can be
    removed. Readers see the old file or the new one. A new file is for its owner only; others keep mode and owner.
    """
    path = path.resolve()
    # The lock of the folder, because the file itself is replaced.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        text = _text(path) if path.exists() else ""
        exists = name in read(text)
        if exists if line is not None and not replaces else line is None and not exists:
            return False
        kept = [row for row in text.splitlines() if row.startswith("#") or row.split()[:1] != [name]]
        _replace(path, "".join(f"{row}\n" for row in (*kept, *([] if line is None else [line]))))
        os.fsync(folder)
    finally:
        os.close(folder)
    return True


def _replace(path: Path, text: str) -> None:
    descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if path.exists():
                before = path.stat()
                # Only root may give files away; for other users, the file is their own already.
                if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(descriptor, before.st_uid, before.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


class ServiceAccounts:
    """The accounts of a file, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._stamped()
        self._accounts = load(path)
        self._secret = secrets.token_bytes(32)
        # Digests of valid passwords by name. Each is verified once for as long as its line is the same, so that a
        # caller that has signed in before never waits behind guesses.
        self._good: dict[str, bytes] = {}
        self._passwords = Passwords()

    async def caller(self, credentials: str, network: str) -> Caller | None:
        """Return the caller of Basic credentials (RFC 7617) from a client's network; None if they are wrong.

        A guess takes as long for a name without an account.
        """
        self._refresh()
        try:
            name, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except ValueError:
            return None
        if not colon or not self._accounts:
            return None
        digest = hashlib.blake2b(password.encode(), key=self._secret).digest()
        caller, known = self._accounts.get(name) or (None, next(iter(self._accounts.values()))[1])
        if caller and hmac.compare_digest(self._good.get(name, b""), digest):
            return caller
        exists = caller is not None
        if await shielded(self._passwords.verify(name, network, known, password, exists=exists)):
            # Unless the file has changed meanwhile.
            if self._accounts.get(name) == (caller, known):
                self._good[name] = digest
            return caller
        # A name that does not exist is not logged: it may be a password in the wrong place.
        known_name, reason = (name, "wrong password") if exists else (None, "unknown")
        _log.info("service account refused", reason=reason, account=known_name)
        return None

    def _refresh(self) -> None:
        """Read the file again if it has changed; a file that can't be read changes nothing."""
        with contextlib.suppress(OSError):
            stamp = self._stamped()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                accounts = load(self._path)
                self._good = {
                    name: digest
                    for name, digest in self._good.items()
                    if accounts.get(name) == self._accounts[name]
                }
                self._accounts = accounts
            except Unreadable as error:
                _log.warning("service accounts not reloaded", reason=str(error))

    def _stamped(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size
