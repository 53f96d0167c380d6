"""Forms: declarations, the fields that a projection covers, and the completion of older documents."""

from typing import Any

import pytest

from release_catalog.storage import forms, indexes
from release_catalog.storage.collection_names import CollectionName

TEST = CollectionName[dict[str, Any]]("test")


def test_every_collection_has_a_form_and_indexes() -> None:
    assert forms.FORMS.keys() == indexes.INDEXES.keys()


@pytest.mark.parametrize(
    ("keys", "covered"),
    [
        (None, ["a", "list.b", "part.c.d"]),
        (frozenset(), []),
        (frozenset({"id", "list.a", "part.b"}), []),
        (frozenset({"a"}), ["a"]),
        (frozenset({"list"}), ["list.b"]),
        (frozenset({"list.b", "ab"}), ["list.b"]),
        (frozenset({"a.x", "part.c"}), ["a", "part.c.d"]),
    ],
)
def test_a_projection_covers_the_fields_on_its_paths(
    monkeypatch: pytest.MonkeyPatch, keys: frozenset[str] | None, covered: list[str]
) -> None:
    monkeypatch.setitem(forms.FORMS, TEST, [{"a": None}, {"list.b": [], "part.c.d": 0}])
    found = forms.added.__wrapped__(TEST, keys)
    assert [".".join(path) for path, _ in found] == covered


def test_the_answer_of_a_request_holds_documents_of_other_collections() -> None:
    document = {"answer": {"release": {"id": "r", "createdBy": "ann"}, "warnings": []}, "fingerprint": "f"}
    forms.complete([document], forms.added("requests", None))
    answer: Any = document["answer"]
    assert {"id": "r", "createdBy": "ann", "publishedBy": None, "artifacts": []}.items() <= answer[
        "release"
    ].items()
    assert answer["warnings"] == []


def test_a_document_does_not_share_its_default_with_others() -> None:
    documents: list[dict[str, list[int]]] = [{}, {}]
    forms.complete(documents, [(("tags",), [])])
    documents[0]["tags"].append(1)
    assert documents == [{"tags": [1]}, {"tags": []}]
