"""Every refusal that a caller can act on."""

import dataclasses
from typing import Any

from graphql import GraphQLError


@dataclasses.dataclass(frozen=True)
class Violation:
    """One thing wrong with an input: `field` is its path, `code` is stable, the message is for people."""

    field: str
    message: str
    code: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """Why something was not done, in the form of RFC 9457; returned, never raised."""

    detail: str
    title: str
    status: int
    type: str = "about:blank"
    instance: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValidationProblem(Problem):
    """The input breaks rules: all that it breaks."""

    violations: list[Violation]
    detail: str = "The input breaks rules: see violations for each of them."
    title: str = "Invalid input"
    status: int = 400


@dataclasses.dataclass(frozen=True, kw_only=True)
class NotFound(Problem):
    """Something that the input names does not exist for the caller."""

    title: str = "Not found"
    status: int = 404


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conflict(Problem):
    """Something is in the way; its id where it has one."""

    conflicting_id: str | None = None
    title: str = "Conflict"
    status: int = 409


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreconditionProblem(Problem):
    """The document is not the one that the caller has read."""

    title: str = "Changed meanwhile"
    status: int = 412


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forbidden(Problem):
    """The caller may not do this; clients get it as an error (see Denied)."""

    title: str = "Forbidden"
    status: int = 403


class PermissionProblem(GraphQLError):  # noqa: N818  it is not an error of this program
    """A field that the caller may not have, with the problem that says why."""

    def __init__(self, why: Forbidden) -> None:
        problem = problem_json(why.status, why.title, why.detail)
        super().__init__(why.detail, extensions={"code": "FORBIDDEN", "problem": problem})


class InvalidArgument(GraphQLError):  # noqa: N818  it is not an error of this program
    """An argument of a query that can't be answered; the message names it and says what to give instead."""

    def __init__(self, argument: str, message: str) -> None:
        """`argument` is its path, such as `filter.createdFrom`."""
        super().__init__(f"{argument}: {message}", extensions={"code": "BAD_USER_INPUT", "argument": argument})
        self.argument = argument
        self.reason = message


class TooLarge(GraphQLError):  # noqa: N818  likewise
    """An answer that goes past a limit, which shows only while it is made."""

    def __init__(self, limit: str, allowed: int, *, writes: bool = False) -> None:
        """`limit` is nodes or bytes; `writes` tells whether the request may have changed anything."""
        super().__init__(
            _TOO_LARGE[limit].format(allowed) + (_MAY_BE_WRITTEN if writes else ""),
            extensions={"code": "LIMIT_EXCEEDED", "limit": limit, "allowed": allowed},
        )


_MAY_BE_WRITTEN = " What this request has changed stays changed: read it before you send it again."
_TOO_LARGE = {
    "nodes": "This answer would hold more objects than the {} that the limit nodes allows: ask for less.",
    "bytes": "This answer, or what is read for it, takes more than the {} bytes that the limit bytes allows: "
    "ask for smaller pages or for fewer fields.",
}


class TooBusy(GraphQLError):  # noqa: N818  likewise
    """Work that did not get its turn in time, because others or the caller's own requests fill the capacity."""

    def __init__(self, limit: str, allowed: int, message: str) -> None:
        """`limit` is the name of the capacity that is in use, and `allowed` the share of a caller."""
        super().__init__(message, extensions={"code": "RATE_LIMITED", "limit": limit, "allowed": allowed})


def problem_json(status: int, title: str, detail: str, **members: Any) -> dict[str, Any]:
    """A problem as RFC 9457 has it; `type` is about:blank because the status says all of it."""
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, **members}
