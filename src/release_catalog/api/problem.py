"""Expected failures, as data (RFC 9457)."""

from typing import Any

import strawberry

from release_catalog import problems
from release_catalog.api.fields import plain


def _is(kind: type[problems.Problem]) -> Any:
    """Tells by the refusal which of the interface's types it is."""
    return classmethod(lambda _, refusal, __: type(refusal) is kind)


@strawberry.interface(description="Why something was not done, in the form of RFC 9457.")
class Problem:
    type: str = plain("A URI that names the kind of problem; about:blank where the status says it all.")
    title: str = plain("A short summary that is the same for all problems of a kind.")
    status: int = plain("The HTTP status that fits.")
    detail: str = plain("What happened here, and what to do about it.")
    instance: str | None = plain("A URI of this occurrence.")


@strawberry.type(description="One thing that is wrong with an input.")
class Violation:
    field: str = plain("The input path, such as input.artifacts[2].sha256.")
    message: str = plain("What is wrong and what to give instead, for people.")
    code: str = plain("The same for the same rule, for programs.")


@strawberry.type(description="The input breaks rules; all of them are listed.")
class ValidationProblem(Problem):
    is_type_of = _is(problems.Invalid)
    violations: list[Violation] = plain("Everything that is wrong with it.")


@strawberry.type(description="Something that the input names does not exist.")
class NotFoundProblem(Problem):
    is_type_of = _is(problems.NotFound)


@strawberry.type(description="Something is in the way: the same release, a running request, another file.")
class ConflictProblem(Problem):
    is_type_of = _is(problems.Conflict)
    conflicting_id: strawberry.ID | None = plain("What is in the way, where it has an id.")


@strawberry.type(description="The document changed since it was read: read it again and repeat.")
class PreconditionProblem(Problem):
    is_type_of = _is(problems.Changed)


PROBLEMS = [ValidationProblem, NotFoundProblem, ConflictProblem, PreconditionProblem]
