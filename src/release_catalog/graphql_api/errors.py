"""Expected failures, as data (RFC 9457)."""

from typing import Any

import strawberry

from release_catalog import errors
from release_catalog.graphql_api import fields


def _is(kind: type[errors.Problem]) -> Any:
    """Return a test that tells by the problem's class its type of the interface."""
    return classmethod(lambda _, refusal, __: type(refusal) is kind)


@strawberry.interface(description="Reason why a mutation was refused, in the form of RFC 9457.")
class Problem:
    type: str = fields.field(
        "URI of the kind of problem. The value about:blank means that the status says it all."
    )
    title: str = fields.field("Short summary, the same for all problems of a kind.")
    status: int = fields.field("HTTP status code of the problem.")
    detail: str = fields.field("Explanation of this problem and what to do next.")
    instance: str | None = fields.field("URI of this occurrence. Null if it has none.")


@strawberry.type(description="A rule that the input violates.")
class Violation:
    field: str = fields.field("Path in the input, such as input.artifacts[2].sha256.")
    message: str = fields.field("Error message for people: what is wrong and what to give instead.")
    code: str = fields.field(
        "Error code for programs, the same for each violation of a rule. docs/codes.md lists all."
    )


@strawberry.type(description="The input is invalid. All violations are listed.")
class ValidationProblem(Problem):
    is_type_of = _is(errors.ValidationProblem)
    violations: list[Violation] = fields.field("Violations of the input: all of them, up to 1000.")


@strawberry.type(description="A document that the input names does not exist.")
class NotFoundProblem(Problem):
    is_type_of = _is(errors.NotFound)


@strawberry.type(
    description="Another document or request is in the way, such as a release of the same version or a "
    "running request with the same idempotency key."
)
class ConflictProblem(Problem):
    is_type_of = _is(errors.Conflict)
    conflicting_id: strawberry.ID | None = fields.field("Id of the document in the way. Null if it has none.")


@strawberry.type(
    description="The document has another etag than ifMatch. Read it again, then repeat the mutation."
)
class PreconditionProblem(Problem):
    is_type_of = _is(errors.PreconditionProblem)


@strawberry.type(
    description="The credentials lack a scope, or have it for one product only: the mutation did not run. The "
    "scopes of all mutations of a document are checked before the first one runs."
)
class ForbiddenProblem(Problem):
    is_type_of = _is(errors.ForbiddenProblem)
    scope: str = fields.field("Scope that the credentials need.")


PROBLEMS = [ValidationProblem, NotFoundProblem, ConflictProblem, PreconditionProblem, ForbiddenProblem]
