"""The titles of problems: for the type about:blank, RFC 9457 wants the phrase of the status."""

import http
from typing import Any

import pytest

from release_catalog import errors
from release_catalog.errors import Problem, problem_json


@pytest.mark.parametrize("kind", Problem.__subclasses__(), ids=lambda kind: kind.__name__)
def test_a_problem_without_a_type_has_the_phrase_of_its_status_as_title(kind: type[Problem]) -> None:
    fields: Any = {"violations": []} if kind is errors.ValidationProblem else {}
    made = kind(detail="It failed: try again.", **fields)
    assert (made.type, made.title) == ("about:blank", http.HTTPStatus(made.status).phrase)
    assert problem_json(made.status, made.detail)["title"] == made.title


@pytest.mark.parametrize(("status", "phrase"), [(413, "Content Too Large"), (414, "URI Too Long")])
def test_titles_are_the_phrases_of_rfc_9110(status: int, phrase: str) -> None:
    assert problem_json(status, "It is too long: shorten it.")["title"] == phrase
