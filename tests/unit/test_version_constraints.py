"""What constraints allow, in the syntax of each scheme."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from release_catalog.domain import versions
from release_catalog.domain.version_schemes import key_ranges
from release_catalog.domain.versions import Scheme
from support.versions import chosen, within

NUMBERS = ["1.1", "1.2", "1.9.3", "2.0", "2.1"]
SEMVER = ["0.0.1", "0.1.0", "1.2.0", "1.2.9", "1.9.9", "2.0.0-rc.1", "2.0.0-rc.2", "2.0.0", "2.0.1-rc.1", "7.1.4"]
PYTHON = ["1.3", "1.4.dev1", "1.4rc1", "1.4", "1.4+local", "1.4.post1", "1.4.5", "1.5a1", "2.0"]
MAVEN = ["1.1", "1.2-SNAPSHOT", "1.2", "1.5", "2.0-SNAPSHOT", "2.0", "2.0.1", "3"]


@pytest.mark.parametrize("scheme", ["DOTTED", "ANY", "DEBIAN", "PEP440", "MAVEN"])
@pytest.mark.parametrize(
    ("text", "versions_"),
    [
        (">=1.2,<2", ["1.2", "1.9.3"]),
        (">1.2, <=2.0", ["1.9.3", "2.0"]),
        ("  >=  1.2 ,\t<2.0 ", ["1.2", "1.9.3"]),
        ("!=1.2", ["1.1", "1.9.3", "2.0", "2.1"]),
        ("!=1.2,!=2.0,>1.1", ["1.9.3", "2.1"]),
        ("2.1", ["2.1"]),
        ("=2.1", ["2.1"]),
        ("==2.1", ["2.1"]),
        (">2.0,<1.9", []),
        ("1.1,2.1", []),
    ],
)
def test_the_six_operators(scheme: Scheme, text: str, versions_: list[str]) -> None:
    assert chosen(scheme, text, NUMBERS) == versions_


@pytest.mark.parametrize(
    ("scheme", "text", "candidates", "versions_"),
    [
        ("DOTTED", ">=2,<3", ["1.10", "2.0", "3.0"], ["2.0"]),
        # Versions of other forms, from before the product had its scheme, fit no constraint.
        ("DOTTED", "<2", ["nightly", "1.0"], ["1.0"]),
        ("ANY", "<2.0", ["1.9", "2.0~rc1", "2.0-SNAPSHOT", "2.0"], ["1.9"]),
        ("ANY", "<2.0-rc2", ["1.9", "2.0-rc1", "2.0"], ["1.9", "2.0-rc1"]),
        ("ANY", "v1.10.0", ["1.9.0", "1.10.0"], ["1.10.0"]),
        ("ANY", "=1.x", ["1.0", "1.x"], ["1.x"]),
        ("DEBIAN", "<2.0", ["1.9", "2.0~rc1", "2.0"], ["1.9", "2.0~rc1"]),
        ("DEBIAN", ">=2:2.9,<2:2.9+", ["2:2.9-6", "2:2.9+git1-1"], ["2:2.9-6"]),
        ("SEMVER", "^1.2", SEMVER, ["1.2.0", "1.2.9", "1.9.9"]),
        ("SEMVER", "~1.2", SEMVER, ["1.2.0", "1.2.9"]),
        ("SEMVER", "1.x", SEMVER, ["1.2.0", "1.2.9", "1.9.9"]),
        ("SEMVER", "7.1.x", SEMVER, ["7.1.4"]),
        ("SEMVER", "^7.1", SEMVER, ["7.1.4"]),
        ("SEMVER", "v7.1.4", SEMVER, ["7.1.4"]),
        ("SEMVER", "^0.0.1", SEMVER, ["0.0.1"]),
        ("SEMVER", "*", SEMVER, ["0.0.1", "0.1.0", "1.2.0", "1.2.9", "1.9.9", "2.0.0", "7.1.4"]),
        ("SEMVER", "1.2 - 1.9", SEMVER, ["1.2.0", "1.2.9", "1.9.9"]),
        ("SEMVER", "0.1.0 || >=2 <3", SEMVER, ["0.1.0", "2.0.0"]),
        ("SEMVER", ">=1.2,<2", SEMVER, ["1.2.0", "1.2.9", "1.9.9"]),
        ("SEMVER", "~1.2,!=1.2.0", SEMVER, ["1.2.9"]),
        ("SEMVER", "!=1.2", SEMVER, ["0.0.1", "0.1.0", "1.9.9", "2.0.0", "7.1.4"]),
        ("SEMVER", "<2.0.0-rc.2", SEMVER, ["0.0.1", "0.1.0", "1.2.0", "1.2.9", "1.9.9", "2.0.0-rc.1"]),
        ("SEMVER", "^2.0.0-rc.2", SEMVER, ["2.0.0-rc.2", "2.0.0"]),
        ("SEMVER", "* || 2.0.0-rc.1", SEMVER, ["0.0.1", "0.1.0", "1.2.0", "1.2.9", "1.9.9", "2.0.0", "7.1.4"]),
        ("SEMVER", ">*", SEMVER, []),
        ("PEP440", "~=1.4", PYTHON, ["1.4", "1.4+local", "1.4.post1", "1.4.5"]),
        ("PEP440", "==1.4.*", PYTHON, ["1.4", "1.4+local", "1.4.post1", "1.4.5"]),
        ("PEP440", "!=1.4.*", PYTHON, ["1.3", "2.0"]),
        ("PEP440", ">1.4", PYTHON, ["1.4.5", "2.0"]),
        ("PEP440", "<1.4", PYTHON, ["1.3"]),
        ("PEP440", ">=1.4rc1,<2", PYTHON, ["1.4rc1", "1.4", "1.4+local", "1.4.post1", "1.4.5", "1.5a1"]),
        ("PEP440", ">1.4.5,<2", PYTHON, ["1.5a1"]),
        ("MAVEN", "[1.2,2.0)", MAVEN, ["1.2", "1.5", "2.0-SNAPSHOT"]),
        ("MAVEN", "[7.1,)", MAVEN, []),
        ("MAVEN", "(,1.2]", MAVEN, ["1.1", "1.2-SNAPSHOT", "1.2"]),
        ("MAVEN", "[1.5]", MAVEN, ["1.5"]),
        ("MAVEN", "(,1.2),(1.2,)", MAVEN, ["1.1", "1.2-SNAPSHOT", "1.5", "2.0-SNAPSHOT", "2.0", "2.0.1", "3"]),
        ("MAVEN", " [ 1.2 , 1.5 ] , [3,) ", MAVEN, ["1.2", "1.5", "3"]),
        ("MAVEN", "<2.0", MAVEN, ["1.1", "1.2-SNAPSHOT", "1.2", "1.5", "2.0-SNAPSHOT"]),
    ],
)
def test_the_syntax_of_each_scheme(scheme: Scheme, text: str, candidates: list[str], versions_: list[str]) -> None:
    assert chosen(scheme, text, candidates) == versions_


# What no scheme takes, and then what each of them leaves to the others.
REFUSED: dict[Scheme, list[str]] = {
    "DOTTED": ["^7.1", "~7.1", "7.1.x", "*", "[7.1,)", "v7.1.0", "1.2-rc1", ">=1 <2", "1 || 2", "~=1.4", "==1.*", "1.2.3.4.5"],
    "ANY": ["^7.1", "~7.1", "7.1.x", "7.x.x", "x", "*", "[7.1,)", "(,2]", ">=1 <2", "1 || 2", "~=1.4", "==1.*", "1 - 2"],
    "DEBIAN": ["^7.1", "~7.1", "7.1.x", "*", "[7.1,)", "v7.1.0", ">=1 <2", "1 || 2", "~=1.4", "==1.*", ">>1", "1_2"],
    "SEMVER": ["[7.1,)", "~=1.4", "==1.*.2", "x.1", "1.x.3", "1.2.3-01", "1.2.3.4", ">=^1", "1 -", "- 1", ">=1 - 2", "1 - <2", "a"],
    "PEP440": ["^7.1", "~7.1", "7.1.x", "*", "[7.1,)", "===1.4", "~=1", "~=1.*", ">=1.*", ">1.0+a", "1 || 2", "a"],
    "MAVEN": ["^7.1", "~7.1", "7.1.x", "*", ">=1 <2", "1 || 2", "~=1.4", "==1.*", "[1", "(1)", "[]", "[2,1]", "[1,1)", "[1,1]", "[,]", "(,)",
              "[1,3),[2,4)", "[1,2),", "[1,2)[3,4)", "[1,2),3", "[1,2,3]", ">=1,[1,2)"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        (scheme, text)
        for scheme, texts in REFUSED.items()
        for text in [*texts, "", " ", ",", ">=", "=>1", "<>1", ">=1,,<2", ">=1,", ">=" + "1" * 65]
    ],
)
def test_everything_else_is_an_error_that_names_the_forms(scheme: Scheme, text: str) -> None:
    with pytest.raises(ValueError, match=r"such as '>=1\.2,<2'"):
        versions.constraint(scheme, text)


@pytest.mark.parametrize(
    ("scheme", "text", "reason"),
    [
        (
            "PEP440",
            ">=1.2-foo",
            "'1.2-foo' is no PEP440 version: give [N!]N(.N)*[aN|bN|rcN][.postN][.devN][+local]",
        ),
        ("PEP440", "==1.2-foo.*", "'1.2-foo' is no PEP440 version: give "),
        ("PEP440", "~=1", "~= needs a version of at least two numbers, which '1' is not: give "),
        ("PEP440", "~=1.*", "~= needs a version of at least two numbers, which '1.*' is not: give "),
        ("PEP440", ">=1.4.*", "'>=1.4.*' has a .*, which only == and != take, after numbers alone: give "),
        ("PEP440", "==1.4rc1.*", "'==1.4rc1.*' has a .*, which only == and != take, after numbers alone: give "),
        ("PEP440", ">1.0+a", "'>1.0+a' has a local version, which only == and != take: give "),
        ("PEP440", "===1.4", "'===1.4' is not a version constraint for PEP440: give "),
        ("PEP440", "^7.1", "'^7.1' is not a version constraint for PEP440: give "),
        ("SEMVER", ">=1.2.3-01", "'1.2.3-01' is no SEMVER version: give MAJOR.MINOR.PATCH[-pre-release][+build] "),
        ("SEMVER", "1.2 - 1.2.3.4", "'1.2.3.4' is no SEMVER version: give "),
        ("SEMVER", ">=^1", "'>=^1' is not a version constraint for SEMVER: give "),
        (
            "DEBIAN",
            ">=1_2",
            "'1_2' is no DEBIAN version: give [epoch:]upstream[-revision] of letters, digits and ",
        ),
        (
            "MAVEN",
            "[1,2/3]",
            "'2/3' is no MAVEN version: give a text such as 1.4 or 1.4-rc-1, without white space ",
        ),
        ("DOTTED", "<1-rc1", "'1-rc1' is no DOTTED version: give two to four numbers, "),
    ],
)
def test_an_error_tells_what_is_wrong(scheme: Scheme, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}"):
        versions.constraint(scheme, text)


@pytest.mark.parametrize("scheme", REFUSED)
def test_an_error_tells_that_a_version_is_too_long_or_missing(scheme: Scheme) -> None:
    with pytest.raises(ValueError, match=r"^a version in the constraint has 65 characters: give at most 64\. In "):
        versions.constraint(scheme, ">=" + "1" * 65)
    with pytest.raises(ValueError, match=rf"^a part of the version constraint is empty for {scheme}: give "):
        versions.constraint(scheme, ">=1,,<2")


@pytest.mark.parametrize("text", [" " * 20_000, ">" * 20_000, "1," * 10_000, " >= " * 5_000, "1" * 20_000])
@pytest.mark.parametrize("scheme", REFUSED)
def test_a_long_constraint_is_refused_before_anything_reads_it(scheme: Scheme, text: str) -> None:
    with pytest.raises(ValueError, match=r"has 20000 characters: give at most 256\. .* such as '>=1\.2,<2'"):
        versions.constraint(scheme, text)


@given(scheme=st.sampled_from(list(REFUSED)), text=st.text(alphabet="0123x*.^~<>=!,|&-[]() \tvabrc+", max_size=40))
def test_a_constraint_has_ranges_or_a_reason(scheme: Scheme, text: str) -> None:
    try:
        allowed = versions.constraint(scheme, text)
    except ValueError as error:
        assert str(error)  # noqa: PT017
    else:
        for answer in allowed:
            ends = [end for range_ in answer.releases for end in range_ if end is not None]
            assert ends == sorted(set(ends))
            assert key_ranges.without(answer.pre_releases, answer.releases) == ()


# ---------------------------------------------------------------- PEP 440

python_versions = st.from_regex(
    r"([01]!)?[0-2](\.[0-2]){0,2}((a|b|rc)[0-2])?(\.post[0-2])?(\.dev[0-2])?(\+[a1](\.[a1])?)?", fullmatch=True
)
specifiers = st.builds(
    str.__add__,
    st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "~="]),
    python_versions | st.sampled_from(["1.*", "1.0.*", "1!1.2.*"]),
)


@given(st.lists(specifiers, min_size=1, max_size=3).map(",".join), st.lists(python_versions, max_size=30))
def test_python_constraints_are_those_of_packaging(text: str, candidates: list[str]) -> None:
    try:
        expected = set(SpecifierSet(text).filter(candidates))
    except InvalidSpecifier:
        with pytest.raises(ValueError, match=r"such as '>=1\.2,<2'"):
            versions.constraint("PEP440", text)
    else:
        assert set(chosen("PEP440", text, candidates)) == expected


@given(python_versions, python_versions)
def test_python_versions_are_in_the_order_of_packaging(one: str, other: str) -> None:
    keys = [versions.sort_key("PEP440", version) for version in (one, other)]
    assert (keys[0] < keys[1]) == (Version(one) < Version(other))
    assert (keys[0] == keys[1]) == (Version(one) == Version(other))


# ---------------------------------------------------------------- ranges of keys

keys = st.text(alphabet="012", min_size=1, max_size=2)
ranges = st.builds(
    lambda pairs: key_ranges.union([((low, high),) for low, high in pairs if high is None or low < high]),
    st.lists(st.tuples(keys, st.none() | keys), max_size=4),
)


@given(ranges, ranges, keys)
def test_ranges_are_sets_of_keys(one: key_ranges.Ranges, other: key_ranges.Ranges, key: str) -> None:
    first, second = within(one, key), within(other, key)
    assert within(key_ranges.union([one, other]), key) == (first or second)
    assert within(key_ranges.intersection(one, other), key) == (first and second)
    assert within(key_ranges.intersections([one, other]), key) == (first and second)
    assert within(key_ranges.without(one, other), key) == (first and not second)
    assert within(key_ranges.complement(one), key) == (not first)
