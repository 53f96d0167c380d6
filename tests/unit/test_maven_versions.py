"""The order of Maven versions, by the rules of Maven's POM reference (Version Order Specification)."""

import itertools

import pytest

from release_catalog.domain import versions
from support.versions import compared

# Each line is in rising order, so that every pair of it is a rule.
RISING = [
    # Numbers: the natural order, padded with zeros.
    "0.9 1 1.0.1 1.1 1.1.1 1.2 1.9 1.10 1.10.1 1.99 1.100 2 2.0.0.1 2.0.1 2.1 10 10.0.1 99 100 20040616",
    # Words: the known ones first, then the alphabet, numbers above all.
    "1-alpha 1-beta 1-milestone 1-rc 1-snapshot 1 1-sp 1-abc 1-android 1-def 1-foo 1-jre 1-xyz 1-1 1-2 1-10 1.1",
    # Words with numbers.
    "1-alpha-1 1-alpha2 1.alpha10 1-beta-1 1.b2 1-beta3 1-m1 1.0-M2 1.M11 1-rc1 1-cr2 1.RC10 1-SNAPSHOT 1.ga 1-sp1 1-sp2 1-foo2 1-foo10",
    # A snapshot of a pre-release is before it.
    "1-alpha-1-SNAPSHOT 1-alpha-1 1-beta-1-SNAPSHOT 1-beta-1 1-rc1-SNAPSHOT 1-rc1 1-SNAPSHOT 1 1.0.1-SNAPSHOT 1.0.1",
    # A hyphen counts for less than a dot.
    "1-foo 1-1 1-1.1 1-2 1.0.1-1 1.1 1.1-foo 1.1-1 1.1.1 2",
    # Examples of the specification.
    "1-snapshot 1 1-sp",
    "1-sp-1 1-1",
    "1-ga.1 1-sp.1",
    "1.foo 1-1 1.1",
]  # fmt: skip
EQUAL = [
    "1 1.0 1.0.0 1.ga 1-ga 1-0 1.final 1.0.Final 1.0-GA 1. 1- 1.0.0-0.0.0 1.RELEASE",
    "1-foo 1.foo 1.0.0-foo.0.0 1.0.foo 1foo 1-FOO",
    "1-a1 1-alpha-1 1alpha1 1.a1 1-ALPHA1 1.0.0.Alpha1",
    "1-b2 1-beta-2 1.0.Beta2",
    "1-m3 1-milestone-3 1.0.0.M3",
    "1-rc4 1-cr4 1.0.CR4 1.0.0-RC-4",
    "1-1.foo-bar1baz-.1 1-1.foo-bar-1-baz-0.1",
]
PAIRS = [pair for line in RISING for pair in itertools.combinations(line.split(), 2)]


def test_there_are_500_pairs() -> None:
    assert len(PAIRS) + sum(len(list(itertools.combinations(line.split(), 2))) for line in EQUAL) >= 500


@pytest.mark.parametrize("line", RISING, ids=lambda line: line.split()[0])
def test_versions_rise(line: str) -> None:
    pairs = itertools.combinations(line.split(), 2)
    assert [(lower, higher) for lower, higher in pairs if compared("MAVEN", lower, higher) != -1] == []


@pytest.mark.parametrize("line", EQUAL, ids=lambda line: line.split()[0])
def test_spellings_of_one_version(line: str) -> None:
    assert len({versions.sort_key("MAVEN", version) for version in line.split()}) == 1


def test_words_of_real_versions() -> None:
    """As ComparableVersion of Maven 3.9 has them: a dot before a word that goes on keeps the zeros before it."""
    for lower, higher in [
        ("1.0.0.Final", "1.0.0.Final-redhat-1"), ("1.0.0.Final-redhat-1", "1.0.0.Final-redhat-2"),
        ("1.0.0-1", "1.0.0.BUILD-SNAPSHOT"), ("1.foo.1", "1-foo.1"), ("Hoxton.M1", "Hoxton.RELEASE"),
        ("Hoxton.RELEASE", "Hoxton.SR1"), ("Hoxton.SR1", "Hoxton.SR12"), ("9.4.43.v20210629", "9.4.44.v20210927"),
        ("31.1-android", "31.1-jre"), ("1.0-20080813.110134-1", "1.0-20080813.110134-2"),
    ]:  # fmt: skip
        assert compared("MAVEN", lower, higher) == -1, (lower, higher)
