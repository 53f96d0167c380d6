import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain import versions
from release_catalog.domain.versions import Scheme, sort_key
from support.versions import chosen, compared

RISING: dict[Scheme, list[str]] = {
    "DOTTED": ["0.0", "0.9", "1.0", "1.0.0.1", "1.2", "1.9", "1.10", "1.10.1", "2.0", "10.0"],
    "SEMVER": [
        "1.0.0-1", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
        "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1-a", "1.0.1", "1.10.0", "2.0.0",
    ],
    "ANY": [
        "nightly", "0.9", "1.0~rc1", "1.0~", "1.0-alpha", "1.0-beta.2", "1.0-beta.10", "1.0-next.3", "1.0-pre1",
        "1.0rc1", "1.0-rc.2", "1.0-SNAPSHOT", "1.0", "1.0-1~bpo1", "1.0-1", "1.0-1+b1", "1.0-2", "1.0-10",
        "1.0a", "1.0+git1-1", "1.0.1-M2", "1.0.1-M12", "1.0.1", "1.9", "v1.10", "2.36-9+deb12u14", "5.2a1", "5.2b1", "5.2c1",
        "5.2", "2023-01-02", "1:0.1", "2:0", "2:2.9-6", "2:2.9+git20200213-1",
    ],
    "DEBIAN": [
        "0", "0.9", "1.0~~", "1.0~", "1.0~rc1", "1.0", "1.0-0+b1", "1.0-1~bpo12+1", "1.0-1", "1.0-1+b1", "1.0-1.1", "1.0-2",
        "1.0a-1", "1.0+dfsg-1", "1.0+dfsg1-1", "1.0-rc1-1", "1.0.1", "1.10", "1:0", "2:2.9-6", "2:2.9+git20200213-1",
    ],
    "PEP440": [
        "0.dev0", "1.dev0", "1.0.dev456", "1.0a1.dev1", "1.0a1", "1.0a2.dev456", "1.0a12.dev456", "1.0a12", "1.0b1.dev456",
        "1.0b2", "1.0b2.post345.dev456", "1.0b2.post345", "1.0rc1.dev456", "1.0rc1", "1.0", "1.0+abc.5",
        "1.0+abc.7", "1.0+5", "1.0.post456.dev34", "1.0.post456", "1.0.15", "1.1.dev1", "5.2b1", "5.2", "1!0",
    ],
    "MAVEN": [
        "1-alpha-1", "1.0-alpha-2", "1.0-alpha-10", "1.0-beta1", "1.0.M1", "1.0-m12", "1.0-RC1", "1.0-SNAPSHOT",
        "1.0", "1.0-sp", "1.0-abc", "1.0-jre", "1-1", "1-2", "1.0.1-SNAPSHOT", "1.0.1", "1.9", "1.10", "2.0.0.RC1", "2.0.0.RELEASE",
    ],
}  # fmt: skip


@pytest.mark.parametrize("scheme", RISING)
def test_versions_rise(scheme: Scheme) -> None:
    for lower, higher in itertools.combinations(RISING[scheme], 2):
        assert sort_key(scheme, lower) < sort_key(scheme, higher), (lower, higher)


def test_a_missing_part_is_zero() -> None:
    assert sort_key("DOTTED", "1.2") == sort_key("DOTTED", "1.2.0.0")
    # No form is imposed on import.
    assert sort_key("DOTTED", "1.10") < sort_key("DOTTED", "2") == sort_key("DOTTED", "2.0")
    assert chosen("DOTTED", ">=2,<3", ["1.10", "2", "3"]) == ["2"]


def test_build_metadata_has_no_place_in_the_order() -> None:
    assert sort_key("SEMVER", "1.0.0+linux.5") == sort_key("SEMVER", "1.0.0")


@pytest.mark.parametrize(
    ("scheme", "one", "other"),
    [
        ("ANY", "1.0-rc.1", "1.0rc1"), ("ANY", "1.0_RC1", "1.0.rc1"), ("ANY", "1.0-01", "1.0-1"), ("ANY", "v1.10.0", "1.10.0"),
        ("ANY", "5.2b1", "5.2-beta.1"), ("ANY", "2.0.0-M12", "2.0.0-milestone-12"), ("ANY", "0:1.0", "1.0"),
        ("DEBIAN", "1.0", "0:1.0"), ("DEBIAN", "1.0", "1.0-0"), ("DEBIAN", "1.01", "1.1"), ("DEBIAN", "1.0-a", "1.0-a0"),
        ("PEP440", "1.0", "v1.0.0"), ("PEP440", "1.0c1", "1.0-RC.1"), ("PEP440", "1.0-1", "1.0.post1"),
        ("MAVEN", "1", "1.0.0"), ("MAVEN", "1.0.Final", "1.0.GA"), ("MAVEN", "1.0-cr1", "1.0.RC1"), ("MAVEN", "1-a1", "1-alpha-1"),
    ],
)  # fmt: skip
def test_spellings_of_one_version(scheme: Scheme, one: str, other: str) -> None:
    assert sort_key(scheme, one) == sort_key(scheme, other)


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("2:2.9-6", "2:2.9+git20200213-1"), ("1.0.1-SNAPSHOT", "1.0.1"), ("2.0.0-M12", "2.0.0"), ("1.0.0-next.3", "1.0.0"),
        ("5.2b1", "5.2"), ("1.9.0", "v1.10.0"), ("1.0-dev", "1.0"), ("1.0-preview2", "1.0"), ("1.0.0-canary.7", "1.0.0"),
        ("1.0-nightly.20240101", "1.0"), ("3.0-milestone-1", "3.0"), ("1.0.2", "1.0.2m"), ("1.0.2", "1.0.2b"), ("1.0", "1.0+rc1"),
    ],
)  # fmt: skip
def test_markers_of_any(lower: str, higher: str) -> None:
    assert compared("ANY", lower, higher) == -1


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
        (
            "DEBIAN",
            ["1", "1.0-1", "1:2:3-4", "2:2.9+git20200213-1~", "1.0-rc1-2"],
            [
                "a1",
                "1.0-",
                "1.0_1",
                "x:1",
                ":1",
                "1:",
                "1:-1",
                "1 0",
                "2147483648:1",
                "",
                "1.0-\u00e91",
                "1:2-",
            ],
        ),
        (
            "PEP440",
            ["1", "v1.0", "1.0.post1.dev2+local.1", "1!2.0rc1", "1.0-1"],
            ["1.0-x", "french toast", "1.0+a+b", "1..0", "", "1.0\n", " 1.0"],
        ),
        (
            "MAVEN",
            ["1", "1.0-SNAPSHOT", "Hoxton.SR1", "1.0_01", "1.0+b"],
            ["1/2", "1:2", "[1,2)", "1,2", "1 2", "${v}", "1|2", "1*", "", "1\t"],
        ),
    ],
)
def test_forms(scheme: Scheme, good: list[str], bad: list[str]) -> None:
    assert [versions.problem(scheme, version) for version in good] == [None] * len(good)
    assert all(versions.problem(scheme, version) for version in bad)


TEXTS: dict[Scheme, st.SearchStrategy[str]] = {
    "ANY": st.text(max_size=64),
    "DOTTED": st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}", fullmatch=True),
    "SEMVER": st.from_regex(
        r"(0|[1-9][0-9]?)\.[01]\.[01](-(0|[1-9a-]|rc)(\.(0|[1-9a-]|rc)){0,2})?(\+a)?", fullmatch=True
    ),
    "DEBIAN": st.from_regex(r"([01]:)?[0-9][0-9a-b.+~-]{0,8}(-[0-9a-b.+~]{1,4})?", fullmatch=True),
    "PEP440": st.from_regex(
        r"([01]!)?[0-2](\.[0-2]){0,3}((a|b|rc)[0-2])?(\.post[0-2])?(\.dev[0-2])?(\+[ab0-2](\.[ab0-2]){0,2})?",
        fullmatch=True,
    ),
    "MAVEN": st.from_regex(
        r"[0-2](\.[0-2]){0,2}([.-](alpha|beta|m|rc|snapshot|ga|sp|foo)[0-2]?){0,2}(-[0-2])?", fullmatch=True
    ),
}


@pytest.mark.parametrize("scheme", TEXTS)
@given(data=st.data())
def test_keys_are_bounded_and_stand_above_those_of_other_forms(scheme: Scheme, data: st.DataObject) -> None:
    version = data.draw(TEXTS[scheme])
    key = sort_key(scheme, version)
    assert len(key.encode()) <= 8 * len(version.encode()) + 32
    if scheme != "ANY" and versions.problem(scheme, version) is None:
        assert sort_key(scheme, "?" + version) < key


@pytest.mark.parametrize("scheme", [scheme for scheme in TEXTS if scheme != "ANY"])
@given(data=st.data())
def test_no_key_is_the_beginning_of_another(scheme: Scheme, data: st.DataObject) -> None:
    """So that bounds can be made of parts of keys."""
    one, other = (sort_key(scheme, data.draw(TEXTS[scheme])) for _ in range(2))
    assert one == other or not other.startswith(one)
