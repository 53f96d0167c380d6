"""The steps of the Dockerfile, taken without Docker: the lock installs, GraphiQL is built, and the server starts."""

import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

import pytest

from support import dockerfile
from support.processes import environment, eventually

ROOT = Path(__file__).parents[2]
PLACES = ("/app", "/locks", "/source", "/wheels")


class Builder:
    """Takes steps below a folder instead of the root of an image, and without an image of Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder
        subprocess.run([sys.executable, "-m", "venv", folder / "python"], check=True)
        self.env = {
            # The image has no settings of pip but the Dockerfile's; where packages come from is the machine's.
            **{name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"},
            "PATH": f"{folder}/python/bin:{os.environ['PATH']}",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def there(self, text: str) -> str:
        """Return a text with the places of the image below the folder."""
        return re.sub(rf"(?<![\w.])({'|'.join(PLACES)})(?=[/\s]|$)", rf"{self.folder}\1", text)

    def take(self, step: dockerfile.Step) -> None:
        if step.instruction == "WORKDIR":
            self.work = Path(self.there(step.text))
            self.work.mkdir(parents=True, exist_ok=True)
        elif step.instruction == "COPY":
            *sources, target = step.text.split()
            self.copy(sources, self.work / self.there(target))
        elif step.instruction == "RUN":
            done = subprocess.run(
                ["/bin/sh", "-ec", self.there(step.text)],
                cwd=self.work,
                env=self.env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{step.text}\n{done.stdout}{done.stderr}"
        else:
            assert step.instruction in {"FROM", "ENV"}

    def copy(self, sources: list[str], target: Path) -> None:
        """Copy files into a folder, and the content of a folder, without what .dockerignore excludes."""
        target.mkdir(parents=True, exist_ok=True)
        ignored = shutil.ignore_patterns("__pycache__", "node_modules", "graphiql")
        for source in [file for name in sources for file in ROOT.glob(name)]:
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True, ignore=ignored)
            else:
                shutil.copy(source, target)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the image's stage "build", after all of its steps."""
    if sys.platform != "linux":
        pytest.skip("the locks are for Linux")
    builder = Builder(tmp_path_factory.mktemp("image"))
    probe = ["-m", "pip", "download", "--no-deps", "--retries", "0", "--timeout", "10", "annotated-doc"]
    target = builder.folder / "probe"
    reached = subprocess.run([sys.executable, *probe, "-d", target], capture_output=True, check=False)
    if reached.returncode:
        pytest.skip("no package registry is reached")
    for step in dockerfile.steps():
        if step.stage == "build":
            builder.take(step)
    return builder.folder


def test_the_built_server_starts_with_graphiql(built: Path, tmp_path: Path, mongodb_url: str) -> None:
    program = built / "app/bin/release-catalog"
    settings = environment(mongodb_url=mongodb_url, database="image", data_dir=tmp_path, port=0)
    log = tmp_path / "log"
    with log.open("wb") as errors, subprocess.Popen([program, "serve"], env=settings, stderr=errors) as process:
        try:
            found = eventually(lambda: re.search(r'"url":"(http://[^"]+)/graphql"', log.read_text()))
            assert found, log.read_text()
            page = urllib.request.Request(f"{found[1]}/graphql", headers={"Accept": "text/html"})
            with urllib.request.urlopen(page, timeout=30) as answer:
                [script] = re.findall(r'<script[^>]* src="([^"]+)"', answer.read().decode())
            with urllib.request.urlopen(urljoin(found[1], script), timeout=30) as answer:
                assert answer.status == 200
                assert len(answer.read()) > 100_000
        finally:
            process.terminate()
    assert process.returncode == 0
    assert not list((built / "app").rglob("node_modules"))


def test_there_are_wheels_for_both_kinds_of_machines(built: Path) -> None:
    options = ["--dry-run", "--quiet", "--ignore-installed", "--require-hashes", "--only-binary", ":all:"]
    [base] = [step.text for step in dockerfile.steps() if step.stage == "base" and step.instruction == "FROM"]
    version = re.match(r"python:(\d+\.\d+)", base)
    assert version
    for machine in ("x86_64", "aarch64"):
        platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in (17, 28)]
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", *options, f"--python-version={version[1]}", *platforms),
                *("--target", built / machine, "-r", ROOT / "deploy/image/requirements.txt"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
