"""No regular expression takes more than linear time, whatever it is matched against."""

import re

import pytest

from support import patterns
from support.patterns import Use

USES = patterns.uses()


def test_the_patterns_are_found() -> None:
    found = {use.where for use in USES}
    assert {
        "release_catalog.domain.version_schemes.semver._SEMVER",
        "release_catalog.domain.validation._URL",
    } <= found
    assert any(re.fullmatch(r"release_catalog\.files\.address_guard:\d+", where) for where in found)
    assert len(USES) > 25


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.where}.{use.method}")
def test_a_pattern_takes_linear_time(use: Use) -> None:
    assert patterns.growth(use.pattern, use.method) is None


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"(a+)+b", "fullmatch"),
        (r"(a|aa)+", "fullmatch"),
        (r"(?:\w+\s?)*", "fullmatch"),
        (r"\s+$", "search"),
        (r"x*y", "search"),
        (r"[a-z]+\.[a-z]+", "findall"),
        # Those that once stood here.
        (r"(>=|<=|==|!=|>|<|=)?\s*([^<>=!,]+)", "fullmatch"),
        (r"https?://[^/\s?#]+\S*", "fullmatch"),
        (r'"""(?:[^"\\]+|\\"""|\\|"(?!""))*"""', "findall"),
    ],
)
def test_slow_patterns_are_detected(pattern: str, method: str) -> None:
    assert patterns.growth(re.compile(pattern), method)


@pytest.mark.parametrize(
    ("pattern", "method"),
    [(r"a+b", "fullmatch"), (r"a++b", "match"), (r"[0-9]+(?:\.[0-9]+)*", "fullmatch"), (r"a|b", "search")],
)
def test_good_patterns_are_not_reported(pattern: str, method: str) -> None:
    assert patterns.growth(re.compile(pattern), method) is None
