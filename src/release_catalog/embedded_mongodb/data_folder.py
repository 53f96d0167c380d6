"""The data folder of the embedded MongoDB. Only its owner has access, because its key gives access to the data."""

import base64
import contextlib
import os
import pathlib
import secrets
import shutil
import stat

from release_catalog.embedded_mongodb.binary import ELSEWHERE, Unavailable

_OWNER_ONLY = 0o600
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_KEY_BYTES = 48
# MongoDB writes journals of 100 MB ahead.
_LITTLE_SPACE_MB = 200


def prepare(data_dir: pathlib.Path) -> pathlib.Path:
    """Create the folder if it is missing, and deny other users access to it; return its real path.

    Raise OSError, or Unavailable if other users can write to the folder or have written to it.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = data_dir.resolve()
    _shut_others_out(folder)
    owners = {folder.stat().st_uid, os.geteuid()}
    (folder / "db").mkdir(mode=0o700, exist_ok=True)
    for path in (folder / "db", *folder.glob("mongod.*"), *folder.glob("*.lock")):
        with contextlib.suppress(FileNotFoundError):  # another process has just renamed it
            about = path.lstat()
            if about.st_uid not in owners:
                raise Unavailable(
                    f"{path} belongs to another user: remove it, choose another data folder, or {ELSEWHERE}."
                )
            if not stat.S_ISLNK(about.st_mode):
                _set_mode(path, 0o700 if stat.S_ISDIR(about.st_mode) else _OWNER_ONLY)
    return folder


def _shut_others_out(folder: pathlib.Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & _WRITABLE_BY_OTHERS:
        return
    with contextlib.suppress(PermissionError):
        # A sticky folder, such as /tmp, is shared on purpose.
        if not mode & stat.S_ISVTX:
            folder.chmod(mode & ~_WRITABLE_BY_OTHERS)
            return
    raise Unavailable(
        f"Other users can write to the data folder {folder}: choose a subfolder, another folder, or {ELSEWHERE}."
    )


def private(path: pathlib.Path) -> pathlib.Path:
    """Create a missing file that only its owner can open: users who can read it can also lock it."""
    path.touch(mode=_OWNER_ONLY)
    return path


def _set_mode(path: pathlib.Path, mode: int) -> None:
    if stat.S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)


def holds_data(data_dir: pathlib.Path) -> bool:
    """Return whether a MongoDB has kept data in this folder."""
    return (data_dir / "db" / "WiredTiger").is_file()


def make_key(folder: pathlib.Path) -> None:
    """Create a missing key atomically; only the holder of the folder's lock calls this."""
    path, partial = folder / "mongod.key", folder / "mongod.key.partial"
    if path.exists():
        return
    with private(partial).open("w") as file:
        file.write(base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def key(folder: pathlib.Path) -> str:
    """Return the key."""
    return (folder / "mongod.key").read_text().strip()


def _megabytes_left(folder: pathlib.Path) -> int:
    return shutil.disk_usage(folder).free // 1_000_000


def little_space(folder: pathlib.Path) -> str:
    """Return a warning if the folder's disk is nearly full, otherwise ""."""
    with contextlib.suppress(OSError):
        if (left := _megabytes_left(folder)) < _LITTLE_SPACE_MB:
            return f"The disk has only {left} MB left: free some space."
    return ""
