import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain import versions
from release_catalog.domain.versions import Scheme, sort_key

RISING: dict[Scheme, list[str]] = {
    "DOTTED": ["0.0", "0.9", "1.0", "1.0.0.1", "1.2", "1.9", "1.10", "1.10.1", "2.0", "10.0"],
    "SEMVER": [
        "1.0.0-1", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
        "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1-a", "1.0.1", "1.10.0", "2.0.0",
    ],
    "ANY": [
        "0.9", "1.0~rc1", "1.0~", "1.0-alpha", "1.0-beta.2", "1.0-beta.10", "1.0-pre1", "1.0rc1", "1.0-rc.2",
        "1.0", "1.0-1", "1.0-2", "1.0-10", "1.0.1", "1.9", "1.10", "2.36-9+deb12u14",
        "2023-01-02", "1:0.1", "2:0",
    ],
}  # fmt: skip


@pytest.mark.parametrize("scheme", RISING)
def test_versions_rise(scheme: Scheme) -> None:
    for lower, higher in itertools.pairwise(RISING[scheme]):
        assert sort_key(scheme, lower) < sort_key(scheme, higher), (lower, higher)


def test_a_missing_part_is_zero() -> None:
    assert sort_key("DOTTED", "1.2") == sort_key("DOTTED", "1.2.0.0")
    # No form is imposed on import.
    assert sort_key("DOTTED", "1.10") < sort_key("DOTTED", "2") == sort_key("DOTTED", "2.0")
    assert matching("DOTTED", ">=2,<3", ["1.10", "2", "3"]) == ["2"]


def test_build_metadata_has_no_place_in_the_order() -> None:
    assert sort_key("SEMVER", "1.0.0+linux.5") == sort_key("SEMVER", "1.0.0")


@pytest.mark.parametrize(("one", "other"), [("1.0-rc.1", "1.0rc1"), ("1.0_RC1", "1.0.rc1"), ("1.0-01", "1.0-1")])
def test_spellings_of_one_version(one: str, other: str) -> None:
    assert sort_key("ANY", one) == sort_key("ANY", other)


def test_only_whole_words_announce_a_pre_release() -> None:
    assert sort_key("ANY", "1.0-prefix") > sort_key("ANY", "1.0")
    assert sort_key("ANY", "1.0-pre") < sort_key("ANY", "1.0")


def test_digits_of_other_scripts_are_text() -> None:
    assert sort_key("ANY", "1.\u0663") < sort_key("ANY", "1.\u0664")
    assert sort_key("ANY", "1.\u0663") != sort_key("ANY", "1.")


def test_a_version_of_another_form_stands_below_its_scheme() -> None:
    assert sort_key("DOTTED", "nightly") < sort_key("DOTTED", "0.0")
    assert sort_key("SEMVER", "nightly") < sort_key("SEMVER", "0.0.0-0")


numbers = st.integers(0, 10**12)


@given(st.lists(numbers, min_size=2, max_size=4), st.lists(numbers, min_size=2, max_size=4))
def test_dotted_compares_number_by_number(one: list[int], other: list[int]) -> None:
    def padded(parts: list[int]) -> list[int]:
        return parts + [0] * (4 - len(parts))

    keys = [sort_key("DOTTED", ".".join(map(str, parts))) for parts in (one, other)]
    assert (keys[0] < keys[1]) == (padded(one) < padded(other))
    assert (keys[0] == keys[1]) == (padded(one) == padded(other))


@given(numbers, numbers, st.text(alphabet="abc.-+~", max_size=5))
def test_any_compares_runs_of_digits_as_numbers(one: int, other: int, before: str) -> None:
    keys = [sort_key("ANY", f"{before}{number}") for number in (one, other)]
    assert (keys[0] < keys[1]) == (one < other)


@given(st.text(min_size=1, max_size=64))
def test_every_text_has_a_key_that_the_database_can_hold(version: str) -> None:
    key = sort_key("ANY", version)
    assert key == sort_key("ANY", version)
    assert len(key) <= 4 * len(version) + 8


@given(st.text(alphabet="0123456789.-~+:abcrp", min_size=1, max_size=20), st.sampled_from(["~", "-alpha", "rc1"]))
def test_a_pre_release_comes_before_its_release(version: str, mark: str) -> None:
    if version[-1].isalpha() and mark[0].isalpha():
        return  # "arc1" is another word, not a pre-release of "a"
    assert sort_key("ANY", version + mark) < sort_key("ANY", version)


@pytest.mark.parametrize(
    ("scheme", "good", "bad"),
    [
        (
            "DOTTED",
            ["1.2", "1.2.3", "1.2.3.4"],
            ["1", "1.2.3.4.5", "1.2a", "v1.2", "1..2", "", "1.2\n", "\u0661.\u0662"],
        ),
        ("SEMVER", ["1.2.3", "1.2.3-rc.1+b"], ["1.2", "01.2.3", "1.2.3-01", "1.2.3-"]),
        ("ANY", ["x", "a" * 64], ["", "a" * 65]),
    ],
)
def test_forms(scheme: Scheme, good: list[str], bad: list[str]) -> None:
    assert [versions.problem(scheme, version) for version in good] == [None] * len(good)
    assert all(versions.problem(scheme, version) for version in bad)


def matching(scheme: Scheme, text: str, candidates: list[str]) -> list[str]:
    compare = {
        "$gte": str.__ge__, "$gt": str.__gt__, "$lte": str.__le__, "$lt": str.__lt__,
        "$eq": str.__eq__, "$ne": str.__ne__,
    }  # fmt: skip
    bounds = versions.constraint(scheme, text)
    return [v for v in candidates if all(compare[b.operator](sort_key(scheme, v), b.key) for b in bounds)]


def test_constraints() -> None:
    dotted = ["1.1", "1.2", "1.9.3", "2.0", "2.1"]
    assert matching("DOTTED", ">=1.2,<2", dotted) == ["1.2", "1.9.3"]
    assert matching("DOTTED", ">1.2, <=2", dotted) == ["1.9.3", "2.0"]
    assert matching("DOTTED", "!=1.2", dotted) == ["1.1", "1.9.3", "2.0", "2.1"]
    assert matching("DOTTED", "2.1", dotted) == ["2.1"]


def test_below_a_version_leaves_out_its_pre_releases() -> None:
    semver = ["1.9.9", "2.0.0-rc.1", "2.0.0-rc.2", "2.0.0"]
    assert matching("SEMVER", "<2", semver) == ["1.9.9"]
    assert matching("SEMVER", "<2.0.0-rc.2", semver) == ["1.9.9", "2.0.0-rc.1"]
    assert matching("ANY", "<2.0", ["1.9", "2.0~rc1", "2.0"]) == ["1.9"]


@pytest.mark.parametrize("text", ["", ">=", "~>1", ">=1 <2", ">=1,,<2", ">=" + "1" * 65])
def test_invalid_constraints_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a version constraint"):
        versions.constraint("ANY", text)


@pytest.mark.parametrize(("scheme", "version"), [("DOTTED", "v2"), ("DOTTED", "1.2-rc1"), ("SEMVER", "1.x")])
def test_a_bound_needs_a_valid_version(scheme: versions.Scheme, version: str) -> None:
    for operator in (">=", ">", "<=", "<"):
        with pytest.raises(ValueError, match=f"is not a {scheme} version"):
            versions.constraint(scheme, f"!=1.0,{operator}{version}")
    assert versions.constraint(scheme, f"!={version}, ={version}")
    assert versions.constraint("ANY", f">={version}")


@pytest.mark.parametrize("text", [" " * 20_000, ">" * 20_000, "1," * 10_000, " >= " * 5_000, "1" * 20_000])
def test_a_long_constraint_is_refused_before_anything_reads_it(text: str) -> None:
    with pytest.raises(ValueError, match="has 20000 characters: give at most 256"):
        versions.constraint("ANY", text)


def test_a_constraint_may_have_blanks_around_its_parts() -> None:
    assert versions.constraint("DOTTED", "  >=  1.2 ,\t<2 ") == versions.constraint("DOTTED", ">=1.2,<2")
