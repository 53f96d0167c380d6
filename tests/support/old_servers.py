"""Servers of earlier commits, from the history of this repository, in the environment of this one."""

import contextlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import Done, Server, environment

ROOT = Path(__file__).parents[2]
# A line that declares a migration, or a form of documents.
_DECLARATION = r"^ *(Migration\(|[A-Z]+: \[)"
_DECLARED_IN = [f"src/release_catalog/storage/{name}.py" for name in ("migrations", "forms")]
_MAIN = "from release_catalog.cli.main import main; main()"


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the history of the repository: git {arguments[0]} fails: {done.stderr.decode()[:200]}")
    return done.stdout


def before_the_last_migration() -> str:
    """The commit before the one that declared the newest migration."""
    found = _git("log", "-1", "--format=%H", "-G", _DECLARATION, "--", *_DECLARED_IN).decode().strip()
    if not found:
        pytest.skip("needs the history of the repository, which begins after the last migration here")
    return _git("rev-parse", "--verify", f"{found}^").decode().strip()


def previous_commit() -> str:
    """The commit before this one."""
    return _git("rev-parse", "--verify", "HEAD^").decode().strip()


class OldRelease:
    """The program of an earlier commit."""

    def __init__(self, commit: str, folder: Path) -> None:
        self.source = folder / commit
        with tarfile.open(fileobj=io.BytesIO(_git("archive", commit, "src"))) as archive:
            archive.extractall(self.source, filter="data")
        where = self._python("import release_catalog; print(release_catalog.__file__)")
        assert where.startswith(str(self.source)), "the earlier source is used, not that of this checkout"

    def migrations(self) -> set[str]:
        """The names of its migrations."""
        code = "from release_catalog.storage.migrations import MIGRATIONS; print(*(m.name for m in MIGRATIONS))"
        return set(self._python(code).split())

    def run(self, *arguments: object, source: bytes = b"", **settings: object) -> Done:
        """Run a command to its end."""
        command = [sys.executable, "-c", _MAIN, *map(str, arguments)]
        done = subprocess.run(
            command, input=source, capture_output=True, env=self._environment(settings), timeout=180, check=False
        )
        return Done(command, done.returncode, done.stdout.decode(), done.stderr.decode())

    @contextlib.contextmanager
    def serving(self, log: Path, **settings: object) -> Iterator[Server]:
        """Serve at a free port."""
        command = [sys.executable, "-c", _MAIN, "serve", "--port", "0"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._environment(settings)
            )
        try:
            yield Server(process, log)
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()

    def _environment(self, settings: dict[str, object]) -> dict[str, str]:
        return environment(**settings) | {"PYTHONPATH": str(self.source / "src")}

    def _python(self, code: str) -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, capture_output=True, text=True, env=self._environment({}), check=True
        ).stdout
