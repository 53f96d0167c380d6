"""Expected failures, as data (RFC 9457)."""

from typing import Any

import strawberry

from release_catalog import errors
from release_catalog.graphql_api import fields


def _is(kind: type[errors.Problem]) -> Any:
    """Return a test that tells by the problem's class its type of the interface."""
    return classmethod(lambda _, refusal, __: type(refusal) is kind)


@strawberry.interface(description="Why something was not done, in the form of RFC 9457.")
class Problem:
    type: str = fields.field("A URI that names the kind of problem; about:blank where the status says it all.")
    title: str = fields.field("A short summary that is the same for all problems of a kind.")
    status: int = fields.field("The HTTP status that fits.")
    detail: str = fields.field("What happened here, and what to do about it.")
    instance: str | None = fields.field("A URI of this occurrence.")


@strawberry.type(description="One thing that is wrong with an input.")
class Violation:
    field: str = fields.field("The input path, such as input.artifacts[2].sha256.")
    message: str = fields.field("What is wrong and what to give instead, for people.")
    code: str = fields.field("The same for the same rule, for programs.")


@strawberry.type(description="The input breaks rules; all of them are listed.")
class ValidationProblem(Problem):
    is_type_of = _is(errors.ValidationProblem)
    violations: list[Violation] = fields.field("Everything that is wrong with it.")


@strawberry.type(description="Something that the input names does not exist.")
class NotFoundProblem(Problem):
    is_type_of = _is(errors.NotFound)


@strawberry.type(description="Something is in the way: the same release, a running request, another file.")
class ConflictProblem(Problem):
    is_type_of = _is(errors.Conflict)
    conflicting_id: strawberry.ID | None = fields.field("What is in the way, where it has an id.")


@strawberry.type(description="The document changed since it was read: read it again and repeat.")
class PreconditionProblem(Problem):
    is_type_of = _is(errors.PreconditionProblem)


PROBLEMS = [ValidationProblem, NotFoundProblem, ConflictProblem, PreconditionProblem]
