import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import source
from release_catalog.domain import importing, instants, release
from release_catalog.domain.checks import MAX_LONG

NOW = instants.now()
FILE = {"name": "a.deb", "size": 1, "sha256": "A" * 64, "downloadUrl": "https://downloads.example/a.deb"}
PRODUCT = {"id": "p", "catalogId": "c", "key": "k", "versionScheme": "ANY"}

text = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=40)
version = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=64)
leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | text
anything = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(text | st.just("$where"), inner))
metadata = st.dictionaries(text, anything)
digest = st.text("0123456789abcdef", min_size=64, max_size=64)


def present(**fields: Any) -> Any:
    return st.fixed_dictionaries(fields)


artifact = st.fixed_dictionaries(
    {"name": text, "size": st.integers(0, MAX_LONG), "sha256": digest, "downloadUrl": st.just("http://h/x"),
     "isExecutable": st.booleans()},
    optional={"platform": text, "arguments": text, "metadata": metadata, "repositoryKey": text, "path": text,
              "packageType": text, "secured": st.just(True)},
)  # fmt: skip
image = st.fixed_dictionaries({"name": text, "imageUrl": text}, optional={"platform": text, "metadata": metadata})
dependency = st.fixed_dictionaries({"name": text, "version": version}, optional={"catalogId": text})
document = st.fixed_dictionaries(
    {
        "name": text,
        "version": version,
        "createdAt": st.integers(0, 4 * 10**12).map(lambda v: instants.written(instants.from_milliseconds(v))),
        "project": text,
        "author": st.just("a@b.example"),
        "artifacts": st.lists(artifact, max_size=3),
        "dependencies": st.lists(dependency, max_size=3),
    },
    optional={"tag": text, "status": text, "releaseNotes": text, "metadata": metadata,
              "dockerImages": st.lists(image, min_size=1, max_size=2)},
)  # fmt: skip


@given(document)
def test_s1_export_gives_back_what_was_imported(given_: dict[str, Any]) -> None:
    own = (given_["name"], given_["version"])
    given_["dependencies"] = [d for d in given_["dependencies"] if (d["name"], d["version"]) != own]
    before = copy.deepcopy(given_)
    fields, violations = importing.read(given_, "", NOW)
    assert not violations
    project = fields.pop("project")
    made = release.document("t", PRODUCT, now=NOW, **fields)
    assert importing.written(made, project) == before
    assert made["status"] == "DRAFT"


def refused(**fields: Any) -> list[tuple[str, str]]:
    _, violations = importing.read({**source("a"), **fields}, "input.release", NOW)
    return [(violation.field.removeprefix("input.release."), violation.code) for violation in violations]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": ""}, [("name", "REQUIRED")]),
        ({"name": None}, [("name", "REQUIRED")]),
        ({"name": "x" * 257}, [("name", "TOO_LONG")]),
        ({"name": 5}, [("name", "NOT_TEXT")]),
        ({"name": "a\nb"}, [("name", "CONTROL_CHARACTER")]),
        ({"version": "x" * 65}, [("version", "TOO_LONG")]),
        ({"createdAt": "yesterday"}, [("createdAt", "NOT_AN_INSTANT")]),
        ({"author": "nobody"}, [("author", "NOT_AN_EMAIL")]),
        ({"releaseNotes": "x" * 4097}, [("releaseNotes", "TOO_LONG")]),
        ({"colour": "red"}, [("colour", "UNKNOWN_FIELD")]),
        ({"artifacts": None}, [("artifacts", "NOT_A_LIST")]),
        ({"artifacts": ["x"]}, [("artifacts[0]", "NOT_AN_OBJECT")]),
        ({"artifacts": [{**FILE, "size": -1}]}, [("artifacts[0].size", "NOT_A_SIZE")]),
        ({"artifacts": [{**FILE, "size": MAX_LONG + 1}]}, [("artifacts[0].size", "NOT_A_SIZE")]),
        ({"artifacts": [{**FILE, "size": True}]}, [("artifacts[0].size", "NOT_A_SIZE")]),
        ({"artifacts": [FILE, {**FILE, "sha256": "z" * 64}]}, [("artifacts[1].sha256", "NOT_A_SHA256")]),
        ({"artifacts": [{**FILE, "downloadUrl": "ftp://x/y"}]}, [("artifacts[0].downloadUrl", "NOT_A_URL")]),
        ({"artifacts": [{**FILE, "isExecutable": "yes"}]}, [("artifacts[0].isExecutable", "NOT_BOOLEAN")]),
        ({"dependencies": [{"name": "b"}]}, [("dependencies[0].version", "REQUIRED")]),
        ({"metadata": {"x": "y" * (1 << 20)}}, [("metadata", "TOO_LONG")]),
        ({"metadata": json.loads('{"a":' * 100 + "1" + "}" * 100)}, []),
        ({"metadata": json.loads('{"a":' * 101 + "1" + "}" * 101)}, [("metadata", "TOO_DEEP")]),
        ({"artifacts": [FILE] * 1001}, [("artifacts", "TOO_MANY")]),
    ],
)
def test_s1_violations(fields: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert refused(**fields) == expected


def test_s1_all_violations_come_together() -> None:
    found = refused(
        name="", version=None, createdAt="x", author="y", artifacts=[{**FILE, "sha256": "z", "size": "1"}]
    )
    assert [field for field, _ in found] == [
        "name", "version", "createdAt", "author", "artifacts[0].size", "artifacts[0].sha256",
    ]  # fmt: skip


def test_s1_limits_count_characters() -> None:
    assert refused(name="ä" * 256) == []


def test_s1_digests_are_kept_in_lowercase_without_prefix() -> None:
    fields, _ = importing.read(source("a", artifacts=[{**FILE, "sha256": "SHA256:" + "AB" * 32}]), "", NOW)
    assert fields["artifacts"][0]["sha256"] == "ab" * 32


def test_s1_the_platforms_of_files_and_images_are_the_releases() -> None:
    images = [{"name": "i", "imageUrl": "r/i:1", "platform": "linux/arm64"}]
    files = [{**FILE, "platform": "win64"}, {**FILE, "platform": "linux/arm64"}, FILE]
    fields, _ = importing.read(source("a", artifacts=files, dockerImages=images), "", NOW)
    assert [platform["name"] for platform in fields["platforms"]] == ["win64", "linux/arm64"]


def test_s1_the_project_identifier_of_the_api_layer_is_ignored() -> None:
    assert refused(projectIdentifier={"$where": "1"}) == []


@pytest.mark.parametrize("value", [None, 5, [], "text"])
def test_s1_what_is_no_document(value: object) -> None:
    assert [v.code for v in importing.read(value, "", NOW)[1]] == ["NOT_AN_OBJECT"]
