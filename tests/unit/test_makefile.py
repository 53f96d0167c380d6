"""The environment in which the Makefile runs each Python."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout with two Pythons that tell their versions."""
    if not shutil.which("make"):
        pytest.skip("needs make")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for version in ("3.12", "3.13"):
        python = tmp_path / f"python{version}"
        python.write_text(f"#!/bin/sh\necho {version}\n")
        python.chmod(0o755)
    return tmp_path


def pytest_of(folder: Path, *arguments: str) -> str:
    """The program that would run the unit tests, or the error."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHON", "MAKEFLAGS", "MAKELEVEL"}}
    command = ["make", "-n", "test-unit", *arguments]
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[-1].split()[0] if done.returncode == 0 else done.stderr


def test_each_python_has_an_environment_of_its_own(folder: Path) -> None:
    assert pytest_of(folder, "PYTHON=./python3.12") == ".venv/bin/pytest"
    (folder / ".venv" / "lib" / "python3.12").mkdir(parents=True)
    assert pytest_of(folder) == ".venv/bin/pytest"
    assert pytest_of(folder, "PYTHON=./python3.12") == ".venv/bin/pytest"
    assert pytest_of(folder, "PYTHON=./python3.13") == ".venv-3.13/bin/pytest"


def test_a_python_that_does_not_run_is_an_error(folder: Path) -> None:
    assert "PYTHON=./python3.99 does not run" in pytest_of(folder, "PYTHON=./python3.99")
