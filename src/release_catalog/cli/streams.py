"""The files that commands read and write, where - is standard input or output."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal


@contextlib.contextmanager
def whole(file: str) -> Iterator[BinaryIO]:
    """Open a file for writing; it gets its name only when it is complete."""
    path = Path(file).resolve()
    if file == "-" or (path.exists() and not path.is_file()):
        with sys.stdout.buffer if file == "-" else opened(file, "wb") as target:
            yield target
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with opened(str(partial), "wb") as target:
            yield target
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def opened(file: str, mode: Literal["rb", "wb"]) -> BinaryIO:
    """Open a file, or end with a sentence about the reason that prevents it."""
    try:
        return Path(file).open(mode)
    except OSError as error:
        sys.exit(f"{file} can't be opened: {error.strerror}.")
