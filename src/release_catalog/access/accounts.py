"""Service accounts: a file with a line for each, which holds no password but its Argon2id hash."""

import asyncio
import base64
import contextlib
import hashlib
import secrets
import time
import urllib.parse
from pathlib import Path

import structlog

from release_catalog.access import refusal
from release_catalog.domain.caller import SCOPES, Caller

MIN_PASSWORD = 12
# A verification takes 64 MiB and some 50 ms: few run at once, and not many wait.
_AT_ONCE = 2
_MAX_WAITING = 64
# For so long a password that was good is taken without another verification.
_KNOWN_SECONDS = 60.0
_MAX_KNOWN = 1_000
_FIELDS = 4

Account = tuple[Caller, str]
_log = structlog.get_logger()


class Unreadable(Exception):  # noqa: N818  it is not an error of this program
    """The file holds a line that is no account; tells which one."""


def line(name: str, tenant: str, scopes: list[str], password: str) -> str:
    """The line of an account; ValueError tells what can't be in one."""
    # It takes a while to import, and few processes need it.
    from argon2 import PasswordHasher  # noqa: PLC0415

    if not name.isprintable() or ":" in name or " " in name or not name:
        raise ValueError("A name is printable, without colons and spaces.")
    if not scopes or set(scopes) - SCOPES:
        raise ValueError(f"Give scopes among {', '.join(sorted(SCOPES))}.")
    if len(password) < MIN_PASSWORD:
        raise ValueError(f"A password has at least {MIN_PASSWORD} characters.")
    fields = (name, urllib.parse.quote(tenant, safe=""), ",".join(scopes), PasswordHasher().hash(password))
    return " ".join(fields)


def read(text: str) -> dict[str, Account]:
    """The accounts of a file by name. Lines that are empty or begin with # are passed over."""
    found: dict[str, Account] = {}
    for number, entry in enumerate(text.splitlines(), start=1):
        if not entry.strip() or entry.startswith("#"):
            continue
        fields = entry.split()
        if len(fields) != _FIELDS or not fields[3].startswith("$argon2id$") or set(fields[2].split(",")) - SCOPES:
            raise Unreadable(f"line {number} is not one that release-catalog account makes")
        name, tenant, scopes, known = fields
        if name in found:
            raise Unreadable(f"line {number} has a name that another line has")
        tenant = urllib.parse.unquote(tenant)
        found[name] = Caller(tenant, f"account:{name}", frozenset(scopes.split(","))), known
    return found


def _of(path: Path) -> dict[str, Account]:
    try:
        return read(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise Unreadable("they are not UTF-8") from error


class Accounts:
    """The accounts of a file, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._stamped()
        self._accounts = _of(path)
        self._secret = secrets.token_bytes(32)
        self._known: dict[bytes, tuple[float, Caller]] = {}
        self._free, self._waiting = asyncio.Semaphore(_AT_ONCE), 0

    async def caller(self, credentials: str) -> Caller | None:
        """Whom Basic credentials (RFC 7617) belong to; None where they are wrong.

        A guess takes as long where there is no account of that name.
        """
        self._refresh()
        try:
            name, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except ValueError:
            return None
        if not colon or not self._accounts:
            return None
        key = hashlib.blake2b(f"{name}\0{password}".encode(), key=self._secret).digest()
        until, caller = self._known.get(key, (0.0, None))
        if caller is None or until < time.monotonic():
            caller = await self._verified(name, password)
            if caller:
                while len(self._known) >= _MAX_KNOWN:
                    del self._known[next(iter(self._known))]
                self._known[key] = time.monotonic() + _KNOWN_SECONDS, caller
        return caller

    async def _verified(self, name: str, password: str) -> Caller | None:
        # Of a name that there is not, any account's hash is tried for nothing.
        caller, known = self._accounts.get(name) or (None, next(iter(self._accounts.values()))[1])
        if self._waiting >= _MAX_WAITING:
            raise refusal.unknowable("Too many passwords are being verified; try again soon.")
        self._waiting += 1
        try:
            async with self._free:
                good = await asyncio.to_thread(_matches, known, password)
        finally:
            self._waiting -= 1
        if good and caller:
            return caller
        # Of a name that there is not, nothing: it may be a password in the wrong place.
        known_name, reason = (name, "wrong password") if caller else (None, "unknown")
        _log.info("an account was refused", reason=reason, account=known_name)
        return None

    def _refresh(self) -> None:
        """Read the file again where it has changed; one that can't be read changes nothing."""
        with contextlib.suppress(OSError):
            stamp = self._stamped()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._accounts = _of(self._path)
                self._known.clear()
            except Unreadable as error:
                _log.warning("the accounts stay as they were", reason=str(error))

    def _stamped(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size


def _matches(known: str, password: str) -> bool:
    from argon2 import PasswordHasher  # noqa: PLC0415
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

    try:
        return PasswordHasher().verify(known, password)
    except (VerificationError, InvalidHashError):
        return False
