"""Names, keys and paths: no white space at their ends, no bidirectional overrides, no way out of a folder."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain import promotion, reference_data, release_parts, timestamps
from release_catalog.domain.validation import Validator, is_relative

NOW = timestamps.now()
OUTSIDE = ("..", ".", "../a", "a/..", "a/./b", "/a", "a\\b", "../../../etc/cron.d/x", "\\\\server\\a")


def codes(parser: Any, text: str) -> list[tuple[str, str]]:
    checks = Validator({"name": text}, "input")
    parser(checks, "name")
    return [(violation.code, violation.message) for violation in checks.found]


@pytest.mark.parametrize(
    ("text", "code", "character"),
    [
        (" a", "WHITE_SPACE", "U+0020"),
        ("a\u00a0", "WHITE_SPACE", "U+00A0"),
        ("\u3000a", "WHITE_SPACE", "U+3000"),
        ("a\u202eb", "CONTROL_CHARACTER", "U+202E"),
        ("\u2066a", "CONTROL_CHARACTER", "U+2066"),
        ("a\u200f", "CONTROL_CHARACTER", "U+200F"),
    ],
)
@pytest.mark.parametrize("method", [Validator.name, lambda checks, field: checks.relative_path(field, 256)])
def test_a_name_is_refused_with_its_character(method: Any, text: str, code: str, character: str) -> None:
    [(found, message)] = codes(method, text)
    assert found == code
    assert character in message


@pytest.mark.parametrize("text", ["a", "a b", "ä", "名前", "a\u200db", "libc6", "a.b", "..a", "a..", "..."])
def test_other_names_are_kept(text: str) -> None:
    assert codes(Validator.name, text) == codes(lambda checks, field: checks.relative_path(field, 256), text) == []


@pytest.mark.parametrize("text", OUTSIDE)
@pytest.mark.parametrize("field", ["name", "path", "repositoryKey"])
def test_no_field_of_a_file_leads_out_of_a_folder(field: str, text: str) -> None:
    assert [code for code, _ in codes(lambda checks, _: release_parts.ARTIFACT[field](checks, "name"), text)] == [
        "NOT_A_PATH"
    ]


@pytest.mark.parametrize("field", ["key", "name"])
def test_keys_of_products_are_names(field: str) -> None:
    checks = Validator({field: "a "}, "input")
    reference_data.read(checks, "products")
    assert [violation.code for violation in checks.found] == ["WHITE_SPACE"]


@given(st.text(st.sampled_from("ab./\\"), max_size=12))
def test_a_relative_path_stays_in_its_folder(path: str) -> None:
    depth, lowest = 0, 0
    for part in path.replace("\\", "/").split("/"):
        depth += -1 if part == ".." else part not in {"", "."}
        lowest = min(lowest, depth)
    assert not is_relative(path) or lowest == 0


@pytest.mark.parametrize(
    ("version", "file"),
    [
        ("../..", {"name": "a"}),
        ("1", {"name": "../a"}),
        ("1", {"name": "a", "repositoryKey": "k", "path": "../a"}),
    ],
)
def test_a_stored_file_that_leads_out_of_its_repository_is_not_promoted(
    version: str, file: dict[str, Any]
) -> None:
    stored = release_parts.artifact(NOW, **{"size": 1, "sha256": "0" * 64, "downloadUrl": "https://h/a", **file})
    release: Any = {"name": "r", "version": version, "artifacts": [stored], "dockerImages": []}
    product: Any = {"key": "p"}
    _, violations = promotion.chosen(release, product, (), ())
    assert [violation.code for violation in violations] == ["NOT_A_PATH"]
