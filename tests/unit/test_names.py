"""Names, keys and paths: no white space at their ends, no bidirectional overrides, no way out of a folder."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain import (
    promotion,
    reference_data,
    release,
    release_delivery,
    release_document,
    release_parts,
    release_update,
    timestamps,
)
from release_catalog.domain.validation import Validator, is_relative
from support import import_documents

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


@pytest.mark.parametrize("text", [".", ".."])
def test_no_link_has_a_segment_that_clients_remove(text: str) -> None:
    branch = [code for code, _ in codes(lambda checks, _: release.PARSERS["branch"](checks, "name"), text)]
    checks = Validator({"key": text, "name": text}, "input")
    reference_data.read(checks, "products")
    assert branch == [violation.code for violation in checks.found] == ["NOT_AN_ID"]
    assert [violation.field for violation in checks.found] == ["input.key"]
    assert codes(Validator.segment, f"{text}.a") == []


def test_a_long_platform_is_refused_once() -> None:
    assert [code for code, _ in codes(release_parts.platform, "x" * 257)] == ["TOO_LONG"]


@pytest.mark.parametrize("text", OUTSIDE)
@pytest.mark.parametrize("field", ["name", "path", "repositoryKey"])
def test_no_field_of_a_file_leads_out_of_a_folder(field: str, text: str) -> None:
    assert [code for code, _ in codes(lambda checks, _: release_parts.ARTIFACT[field](checks, "name"), text)] == [
        "NOT_A_PATH"
    ]


@pytest.mark.parametrize(("text", "character"), [("a\nb", "U+000A"), ("\x00a", "U+0000"), ("a\x85", "U+0085")])
def test_a_control_character_is_named(text: str, character: str) -> None:
    [(code, message)] = codes(Validator.name, text)
    assert code == "CONTROL_CHARACTER"
    assert character in message


@pytest.mark.parametrize(
    ("collection", "field"),
    [
        ("catalogs", "name"),
        ("products", "key"),
        ("products", "name"),
        ("products", "longDisplayName"),
        ("products", "category"),
        ("pipelines", "name"),
        ("pipelines", "properties.name"),
        ("projects", "name"),
        ("projects", "streams.name"),
        ("projects", "buildEnvironments.name"),
        ("projects", "properties.name"),
        ("environments", "name"),
        ("registries", "name"),
        ("baseImages", "name"),
        ("baseImages", "operatingSystem.distro"),
        ("baseImages", "operatingSystem.version"),
    ],
)
def test_reference_data_have_names(collection: str, field: str) -> None:
    outer, _, inner = field.partition(".")
    part = {**({} if outer == "properties" else {"id": "i"}), "name": "n", inner: "a "}
    value: Any = "a " if not inner else part if outer == "operatingSystem" else [part]
    checks = Validator({outer: value}, "input")
    reference_data.read(checks, collection)
    assert {violation.code for violation in checks.found} == {"WHITE_SPACE"}


RELEASE_NAMES = (
    "name", "revision", "branch", "tag", "channel", "platforms[0]", "artifacts[0].name", "artifacts[0].platform",
    "artifacts[0].repositoryKey", "artifacts[0].path", "artifacts[0].packageType", "dockerImages[0].name",
    "dockerImages[0].platform", "dependencies[0].name", "dependencies[0].version", "registryArtifact.name",
    "registryArtifact.version", "platformReleaseMetadata[0].platform",
    "platformReleaseMetadata[0].releaseMetadata[0].filename", "customizations[0].version",
    "customizations[0].artifact.filename",
)  # fmt: skip


def spoiled(fields: dict[str, Any], path: str) -> dict[str, Any]:
    """Return fields with a space at the end of the text at a path."""
    whole = copy.deepcopy(fields)
    at: Any = whole
    *places, last = [
        int(part) if part.isdecimal() else part for part in path.replace("[", ".").replace("]", "").split(".")
    ]
    for place in places:
        at = at[place]
    at[last] += " "
    return whole


@pytest.mark.parametrize("path", RELEASE_NAMES)
def test_releases_have_names(path: str) -> None:
    whole = {name: value for name, value in import_documents.whole().items() if name in release.INPUT_FIELDS}
    del whole["delivery"]
    whole["dependencies"] = [{"name": "lib", "version": "1"}]
    checks = Validator(spoiled(whole, path), "input")
    release_update.read(checks, NOW)
    assert [(violation.field, violation.code) for violation in checks.found] == [(f"input.{path}", "WHITE_SPACE")]


@pytest.mark.parametrize("path", [*RELEASE_NAMES, "version", "project"])
def test_import_documents_have_names(path: str) -> None:
    _, found = release_document.read(spoiled(import_documents.whole(), path), "release", NOW)
    assert [(violation.field, violation.code) for violation in found] == [(f"release.{path}", "WHITE_SPACE")]


@pytest.mark.parametrize("path", ["pipelineName", "projects[0].packageName", "properties[0].propertyName"])
def test_deliveries_have_names(path: str) -> None:
    checks = Validator(spoiled(import_documents.whole()["delivery"], path), "delivery")
    release_delivery.read(checks)
    assert [(violation.field, violation.code) for violation in checks.found] == [
        (f"delivery.{path}", "WHITE_SPACE")
    ]


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
    source: Any = {"name": "r", "version": version, "artifacts": [stored], "dockerImages": []}
    product: Any = {"key": "p"}
    _, violations = promotion.chosen(source, product, (), ())
    assert [violation.code for violation in violations] == ["NOT_A_PATH"]
