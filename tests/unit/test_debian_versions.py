"""The order of real Debian versions: that of python-debian, which is checked against dpkg itself."""

import gzip
import itertools
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from debian.debian_support import NativeVersion
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain import versions
from support.versions import compared, sign

CHANGELOGS = Path("/usr/share/doc")
_HEADING = re.compile(r"^([a-z0-9][a-z0-9+.-]*) \(([^) ]+)\) ", re.MULTILINE)
_FORKS = 60

debian_versions = st.from_regex(r"([01]:)?[01][01aA.+~-]{0,6}(-[01aA.+~]{1,4})?", fullmatch=True)


def real_pairs() -> list[tuple[str, str]]:
    """Versions that follow one another in the changelogs of this machine."""
    found: dict[str, dict[str, None]] = {}
    for path in sorted(CHANGELOGS.glob("*/changelog*.gz")):
        text = gzip.decompress(path.read_bytes()).decode(errors="replace")
        for package, version in _HEADING.findall(text):
            if versions.problem("DEBIAN", version) is None:
                found.setdefault(package, {})[version] = None
    return [pair for history in found.values() for pair in itertools.pairwise(history)]


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    found = real_pairs()
    if len(found) < 10_000:
        pytest.skip("this machine has no changelogs of Debian packages")
    return found


def debian_order(one: str, other: str) -> int:
    return sign(NativeVersion(one), NativeVersion(other))


def test_real_versions_are_in_the_order_of_debian(pairs: list[tuple[str, str]]) -> None:
    wrong = [pair for pair in pairs if compared("DEBIAN", *pair) != debian_order(*pair)]
    assert wrong == []


def test_any_has_nearly_the_order_of_debian(pairs: list[tuple[str, str]]) -> None:
    inverted = [pair for pair in pairs if compared("ANY", *pair) * debian_order(*pair) < 0]
    assert len(inverted) <= 15, inverted


@pytest.mark.skipif(not shutil.which("dpkg"), reason="dpkg is not installed")
def test_dpkg_agrees(pairs: list[tuple[str, str]]) -> None:
    """On a sample, because dpkg compares one pair a process."""
    for one, other in random.Random(1).sample(pairs, _FORKS):
        relation = {-1: "lt", 0: "eq", 1: "gt"}[compared("DEBIAN", one, other)]
        assert subprocess.run(["dpkg", "--compare-versions", one, relation, other], check=False).returncode == 0


@given(debian_versions, debian_versions)
def test_versions_are_in_the_order_of_debian(one: str, other: str) -> None:
    if versions.problem("DEBIAN", one) is None and versions.problem("DEBIAN", other) is None:
        assert compared("DEBIAN", one, other) == debian_order(one, other)
