import copy
import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import bson
import pytest
from graphql import GraphQLInputObjectType
from graphql.utilities import validate_input_value
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain import release, release_delivery, release_document, release_update, timestamps
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.validation import MAX_LONG, Validator
from release_catalog.errors import Violation
from release_catalog.graphql_api.schema import schema
from support import import_documents as documents
from support.catalog import source
from support.import_documents import FULL, PARTIAL, PIPELINE

NOW = timestamps.now()
FILE = {"name": "a.deb", "size": 1, "sha256": "A" * 64, "downloadUrl": "https://downloads.example/a.deb"}
PRODUCT: Any = {"id": "p", "catalogId": "c", "key": "k", "versionScheme": "ANY"}

KNOWN = release_delivery.Known({"pipe": PIPELINE}, {"partial": PARTIAL, "full": FULL})
THERE: dict[str, Any] = {
    "baseImages": {"image": {}}, "registries": {"registry": {}}, "pipelines": {"pipe": {}}, "releases": {},
}  # fmt: skip


def judged(document: Any) -> tuple[dict[str, Any], list[Violation]]:
    """Return the fields of a document and its violations, if its references exist."""
    fields, violations = release_document.read(document, "", NOW)
    if not fields:
        return fields, violations
    checks = Validator(fields, "", violations)
    fields["name"] = fields["name"] or "product"
    release_update.check_references(checks, fields, THERE, {"id": None, **fields})
    if inner := checks.inner("delivery"):
        said = release_delivery.read(inner)
        fields["delivery"], _ = release_delivery.apply(None, said, KNOWN, inner, NOW, replace=True)
    return fields, violations


def imported(document: Any) -> ReleaseDocument:
    """The release that a document becomes."""
    fields, violations = judged(document)
    assert not violations
    fields.pop("project")
    return release.document("t", PRODUCT, now=NOW, **fields)


def lasting(made: Mapping[str, Any]) -> dict[str, Any]:
    """A release but for what it gets anew whenever it is made, and for how far it is in its life."""
    kept = {name: value for name, value in made.items() if name not in {"etag", "importedAt"}}
    kept["artifacts"] = [
        {name: value for name, value in file.items() if name != "id"} for file in made["artifacts"]
    ]
    return kept


@given(documents.seed_document)
def test_s1_export_gives_back_what_was_imported(given_: dict[str, Any]) -> None:
    before = copy.deepcopy(given_)
    made = imported(given_)
    assert release_document.written(made, given_["project"]) == before
    assert made["status"] == "DRAFT"


@given(documents.document)
def test_s1_an_import_of_an_export_restores_any_release(given_: dict[str, Any]) -> None:
    made = imported(given_)
    written = json.loads(json.dumps(release_document.written(made, "p")))
    assert lasting(imported(written)) == lasting(made)
    assert release_document.written(imported(written), "p") == written


@given(documents.document)
def test_an_export_is_a_valid_input_of_import_release(given_: dict[str, Any]) -> None:
    kind = schema._schema.type_map["ReleaseDocumentInput"]
    assert isinstance(kind, GraphQLInputObjectType)
    wrong: list[Any] = []
    written = release_document.written(imported(given_), "p")
    validate_input_value(written, kind, lambda error, path: wrong.append((path, error)))
    assert wrong == []


def test_a_whole_document_has_every_field_and_nothing_wrong() -> None:
    whole = documents.whole()
    assert release_document._ALL - whole.keys() == set()
    assert judged(whole)[1] == []


# ------------------------------------------------------------------ lines of a file, which no schema has checked

Path = tuple[Any, ...]
FREE = {"metadata", "projectIdentifier"}
KINDS: list[Any] = [
    True,
    5,
    1.5,
    -1,
    "\x1b",
    "",
    [],
    [5],
    [None],
    {},
    {"": 1},
    {"x": []},
    [[]],
    "x" * 5000,
    2**63,
    None,
]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a JSON value that is not free."""
    yield path
    for name, inner in (
        value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    ):
        if name not in FREE:
            yield from places(inner, (*path, name))


def at(value: Any, path: Path) -> Any:
    return functools.reduce(lambda outer, name: outer[name], path, value)


def changed(path: Path, value: Any) -> Any:
    """The whole document with something else at one place."""
    whole = documents.whole()
    if not path:
        return value
    at(whole, path[:-1])[path[-1]] = value
    return whole


def spelled(path: Path) -> str:
    return "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in path).removeprefix(".")


def tried(document: Any) -> list[Violation]:
    """Return the violations of a document; without any, the release can be made, stored and exported."""
    fields, violations = judged(document)
    if not violations:
        made = release.document("t", PRODUCT, now=NOW, **{k: v for k, v in fields.items() if k != "project"})
        bson.encode(made)
        json.dumps(release_document.written(made, "p"))
    return violations


PLACES = list(places(documents.whole()))


@pytest.mark.parametrize("path", PLACES, ids=spelled)
def test_a_value_of_another_kind_is_a_violation_of_its_field(path: Path) -> None:
    right = at(documents.whole(), path)
    for value in KINDS:
        found = tried(changed(path, value))
        if (
            value is None
            or isinstance(value, type(right))
            or (isinstance(value, float) and isinstance(right, int))
        ):
            continue
        if path and path[-1] == "propertyValue" and isinstance(value, bool | int | float):
            continue  # numbers and booleans become text (S4)
        assert [v for v in found if v.field.startswith(spelled(path))], (value, found)


@pytest.mark.parametrize(
    "path", [path for path in PLACES if isinstance(at(documents.whole(), path), dict)], ids=spelled
)
def test_an_unknown_field_is_a_violation_wherever_it_stands(path: Path) -> None:
    assert (spelled((*path, "colour")), "UNKNOWN_FIELD") in [
        (v.field, v.code) for v in tried(changed((*path, "colour"), "red"))
    ]


@given(st.sampled_from(PLACES), documents.anything)
def test_any_json_anywhere_is_no_more_than_a_violation(path: Path, value: Any) -> None:
    tried(changed(path, value))


@given(st.dictionaries(st.sampled_from(sorted(release_document._ALL)), documents.anything))
def test_any_json_in_every_field_is_no_more_than_violations(document: dict[str, Any]) -> None:
    tried(document)


@given(st.dictionaries(st.sampled_from(sorted(documents.whole()["delivery"])), documents.anything))
def test_any_json_in_every_field_of_a_delivery_is_no_more_than_violations(said: dict[str, Any]) -> None:
    tried({**documents.whole(), "delivery": said})


def refused(**fields: Any) -> list[tuple[str, str]]:
    _, violations = release_document.read({**source("a"), **fields}, "input.release", NOW)
    return [(violation.field.removeprefix("input.release."), violation.code) for violation in violations]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": ""}, [("name", "REQUIRED")]),
        ({"name": None}, []),
        ({"name": "x" * 257}, [("name", "TOO_LONG")]),
        ({"name": 5}, [("name", "NOT_TEXT")]),
        ({"name": "a\nb"}, [("name", "CONTROL_CHARACTER")]),
        ({"version": "x" * 65}, [("version", "TOO_LONG")]),
        ({"createdAt": "yesterday"}, [("createdAt", "NOT_AN_INSTANT")]),
        ({"author": "nobody"}, [("author", "NOT_AN_EMAIL")]),
        ({"releaseNotes": "x" * 262_144}, []),
        ({"releaseNotes": "x" * 262_145}, [("releaseNotes", "TOO_LONG")]),
        ({"createdAt": "2999-01-01T00:00:00Z"}, [("createdAt", "IN_FUTURE")]),
        ({"id": "x" * 255}, []),
        ({"id": None}, []),
        ({"id": "x" * 256}, [("id", "TOO_LONG")]),
        ({"id": ""}, [("id", "NOT_AN_ID")]),
        ({"id": ".."}, [("id", "NOT_AN_ID")]),
        ({"id": " x"}, [("id", "WHITE_SPACE")]),
        ({"id": "x\u00a0"}, [("id", "WHITE_SPACE")]),
        ({"id": "x\u202e"}, [("id", "CONTROL_CHARACTER")]),
        ({"id": "x\x1f"}, [("id", "CONTROL_CHARACTER")]),
        ({"id": 5}, [("id", "NOT_TEXT")]),
        ({"colour": "red"}, [("colour", "UNKNOWN_FIELD")]),
        ({"artifacts": None}, [("artifacts", "NOT_A_LIST")]),
        ({"artifacts": ["x"]}, [("artifacts[0]", "NOT_AN_OBJECT")]),
        ({"artifacts": [{**FILE, "size": -1}]}, [("artifacts[0].size", "NOT_A_SIZE")]),
        ({"artifacts": [{**FILE, "size": MAX_LONG + 1}]}, [("artifacts[0].size", "NOT_A_SIZE")]),
        ({"artifacts": [{**FILE, "size": True}]}, [("artifacts[0].size", "NOT_A_SIZE")]),
        (
            {"artifacts": [FILE, {**FILE, "sha256": "z" * 64, "name": "b"}]},
            [("artifacts[1].sha256", "NOT_A_SHA256")],
        ),
        ({"artifacts": [{**FILE, "platform": "linux"}, {**FILE, "platform": "win64"}]}, []),
        (
            {"artifacts": [{**FILE, "platform": "linux"}, {**FILE, "platform": "Linux"}]},
            [("artifacts[1]", "REPEATED")],
        ),
        ({"artifacts": [{**FILE, "downloadUrl": "ftp://x/y"}]}, []),
        ({"artifacts": [{**FILE, "downloadUrl": "files/y"}]}, []),
        ({"artifacts": [{**FILE, "downloadUrl": "http://x/y z"}]}, [("artifacts[0].downloadUrl", "NOT_A_URL")]),
        ({"artifacts": [{**FILE, "downloadUrl": ""}]}, [("artifacts[0].downloadUrl", "REQUIRED")]),
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
        id=" ", name="", version=None, createdAt="x", author="y", artifacts=[{**FILE, "sha256": "z", "size": "1"}]
    )
    assert [field for field, _ in found] == [
        "name", "version", "createdAt", "author", "artifacts[0].size", "artifacts[0].sha256", "id",
    ]  # fmt: skip


def test_s1_limits_count_characters() -> None:
    assert refused(name="ä" * 256) == []


def test_s1_digests_are_kept_in_lowercase_without_prefix() -> None:
    fields, _ = release_document.read(source("a", artifacts=[{**FILE, "sha256": "SHA256:" + "AB" * 32}]), "", NOW)
    assert fields["artifacts"][0]["sha256"] == "ab" * 32


def test_s1_the_platforms_of_files_and_images_are_the_releases() -> None:
    images = [{"name": "i", "imageUrl": "r/i:1", "platform": "linux/arm64"}]
    files = [{**FILE, "platform": "win64"}, {**FILE, "platform": "linux/arm64"}, FILE]
    fields, _ = release_document.read(source("a", artifacts=files, dockerImages=images), "", NOW)
    assert [platform["name"] for platform in fields["platforms"]] == ["win64", "linux/arm64"]


def test_s1_the_project_identifier_of_the_api_layer_is_ignored() -> None:
    assert refused(projectIdentifier={"$where": "1"}) == []


@pytest.mark.parametrize("value", [None, 5, [], "text"])
def test_s1_invalid_documents_are_refused(value: object) -> None:
    assert [v.code for v in release_document.read(value, "", NOW)[1]] == ["NOT_AN_OBJECT"]
