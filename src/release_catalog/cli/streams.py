"""The files that commands read and write, where - is standard input or output."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal


@contextlib.contextmanager
def whole(file: str, *, private: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing; it gets its name only when it is complete and on the disk.

    Only its owner may read a `private` file.
    """
    path = Path(file).resolve()
    if file == "-" or (path.exists() and not path.is_file()):
        with sys.stdout.buffer if file == "-" else opened(file, "wb") as target:
            yield target
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with _created(partial, 0o600 if private else 0o666) as target:
        try:
            yield target
            target.flush()
            os.fsync(target.fileno())
            partial.replace(path)
            _sync_folder(path.parent)
        finally:
            partial.unlink(missing_ok=True)


def _created(path: Path, mode: int) -> BinaryIO:
    """Create a file with these rights; what others may have put at its name is not used."""
    try:
        # An interrupted process may have had the same number.
        path.unlink(missing_ok=True)
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb")
    except OSError as error:
        sys.exit(f"{path} can't be opened: {error.strerror}.")


def _sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk; only POSIX knows how."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def opened(file: str, mode: Literal["rb", "wb"]) -> BinaryIO:
    """Open a file, or end with a sentence about the reason that prevents it."""
    try:
        return Path(file).open(mode)
    except OSError as error:
        sys.exit(f"{file} can't be opened: {error.strerror}.")
