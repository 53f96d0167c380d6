"""The titles of problems: for the type about:blank, RFC 9457 wants the phrase of the status."""

import http
from typing import Any

import pytest

from release_catalog import errors
from release_catalog.errors import Problem, problem_json
from release_catalog.hal.responses import sent_path


@pytest.mark.parametrize("kind", Problem.__subclasses__(), ids=lambda kind: kind.__name__)
def test_a_problem_without_a_type_has_the_phrase_of_its_status_as_title(kind: type[Problem]) -> None:
    fields: Any = {"violations": []} if kind is errors.ValidationProblem else {}
    fields |= {"scope": "admin"} if kind is errors.ForbiddenProblem else {}
    made = kind(detail="It failed: try again.", **fields)
    assert (made.type, made.title) == ("about:blank", http.HTTPStatus(made.status).phrase)
    assert problem_json(made.status, made.detail)["title"] == made.title


def test_an_invalid_request_has_a_violation() -> None:
    made = problem_json(400, "It is wrong: correct it.", code="WRONG")
    assert made["violations"] == [{"field": "", "message": "It is wrong: correct it.", "code": "WRONG"}]
    assert problem_json(400, "It is wrong: correct it.", violations=[])["violations"] == []
    assert "violations" not in problem_json(404, "Nothing is here: look elsewhere.")


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ({"raw_path": b"/a%20b/%C3%A9", "path": "/a b/é"}, "/a%20b/%C3%A9"),
        ({"raw_path": "/é".encode(), "path": "/é"}, "/%C3%A9"),
        ({"raw_path": b"/\xff", "path": "/?"}, "/%FF"),
        ({"path": "/a b/é"}, "/a%20b/%C3%A9"),
        ({"raw_path": None, "path": "/%"}, "/%25"),
    ],
)
def test_the_instance_of_a_problem_is_a_url_in_ascii(scope: Any, path: str) -> None:
    assert sent_path(scope) == path


@pytest.mark.parametrize(("status", "phrase"), [(413, "Content Too Large"), (414, "URI Too Long")])
def test_titles_are_the_phrases_of_rfc_9110(status: int, phrase: str) -> None:
    assert problem_json(status, "It is too long: shorten it.")["title"] == phrase
