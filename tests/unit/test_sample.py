"""The packaged sample is whole, and names no person and no host of the distribution's."""

import gzip
import importlib.resources
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from release_catalog.domain import release_document

Document = dict[str, Any]

FILE = importlib.resources.files("release_catalog.sample") / "debian.ndjson.gz"
AUTHOR = "packages@debian.example"
HOST = "https://downloads.example/"


@pytest.fixture(scope="module")
def text() -> str:
    return gzip.decompress(FILE.read_bytes()).decode()


@pytest.fixture(scope="module")
def documents(text: str) -> list[Document]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def needs(documents: list[Document]) -> dict[str, set[str]]:
    return {document["name"]: {need["name"] for need in document["dependencies"]} for document in documents}


def test_the_file_is_small_and_the_same_whenever_it_is_made() -> None:
    packed = FILE.read_bytes()
    flags, mtime = packed[3], packed[4:8]
    assert len(packed) < 400_000
    assert (flags, mtime) == (0, bytes(4))  # neither a file name nor a time


def test_there_are_about_two_thousand_releases_each_once(documents: list[Document]) -> None:
    assert len(documents) == 2057
    assert len({(document["name"], document["version"]) for document in documents}) == len(documents)


def test_the_catalog_finds_nothing_wrong_with_any_line(documents: list[Document]) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert [found for document in documents for found in release_document.read(document, "", now)[1]] == []


def test_every_line_is_an_import_document(documents: list[Document]) -> None:
    for document in documents:
        assert set(document) == {
            *(
                "name",
                "version",
                "tag",
                "createdAt",
                "project",
                "author",
                "metadata",
                "artifacts",
                "dependencies",
            )
        }
        assert document["name"] == document["project"]
        assert document["version"]
        assert document["tag"] == "bookworm"
        assert datetime.fromisoformat(document["createdAt"]).tzinfo
        assert set(document["metadata"]) == {"section", "source", "priority", "tags"}


def test_every_artifact_can_be_verified(documents: list[Document]) -> None:
    for document in documents:
        [artifact] = document["artifacts"]
        assert set(artifact) == {"name", "platform", "size", "sha256", "downloadUrl", "isExecutable"}
        assert artifact["name"].startswith(document["name"] + "_")
        assert artifact["platform"] in {"linux/amd64", "linux/all"}
        assert artifact["size"] > 0
        assert re.fullmatch(r"[0-9a-f]{64}", artifact["sha256"])
        assert artifact["downloadUrl"].startswith(HOST + "pool/main/")


def test_the_sample_names_no_person_and_no_host(text: str, documents: list[Document]) -> None:
    assert {document["author"] for document in documents} == {AUTHOR}
    assert text.count("@") == len(documents)
    assert "debian.org" not in text.lower()
    assert set(re.findall(r"\w+://[^/\"]*/?", text)) == {HOST}


def test_every_dependency_is_in_the_file(documents: list[Document]) -> None:
    released = {(document["name"], document["version"]) for document in documents}
    for document in documents:
        needed = [(need["name"], need["version"]) for need in document["dependencies"]]
        assert set(needed) <= released
        assert len(set(needed)) == len(needed)
        assert all(set(need) == {"name", "version"} for need in document["dependencies"])


def test_the_sample_has_a_cycle(needs: dict[str, set[str]]) -> None:
    assert "libgcc-s1" in needs["libc6"]
    assert "libc6" in needs["libgcc-s1"]


def test_the_sample_has_releases_of_every_kind(needs: dict[str, set[str]]) -> None:
    assert {"python3", "git", "gcc", "nginx", "postgresql", "firefox-esr", "libreoffice", "gnome"} <= set(needs)


def test_metadata_keeps_the_tags(documents: list[Document]) -> None:
    tags = [tag for document in documents for tag in document["metadata"]["tags"]]
    assert "role::shared-lib" in tags
