"""The problems and errors that clients can act on."""

import dataclasses
import http
from typing import Any, Literal

from graphql import GraphQLError

# The codes of violations; docs/codes.md explains each.
ViolationCode = Literal[
    "AMBIGUOUS",
    "ANOTHER_PIPELINE",
    "ANOTHER_PROJECT",
    "BEYOND_PRODUCT",
    "CONFLICT",
    "CONTRADICTORY_REFERENCE",
    "CONTROL_CHARACTER",
    "DEPENDS_ON_ITSELF",
    "FIXED",
    "FORBIDDEN",
    "IN_FUTURE",
    "IN_LEDGER",
    "IN_PAST",
    "KEY_OF_BULK",
    "MISMATCH",
    "NOTHING_CHOSEN",
    "NOT_AN_EMAIL",
    "NOT_AN_EVENT",
    "NOT_AN_ID",
    "NOT_AN_INSTANT",
    "NOT_AN_OBJECT",
    "NOT_A_DATE",
    "NOT_A_LIST",
    "NOT_A_PATH",
    "NOT_A_PRIORITY",
    "NOT_A_SHA256",
    "NOT_A_SIZE",
    "NOT_A_URL",
    "NOT_A_VALUE",
    "NOT_A_VERSION",
    "NOT_BOOLEAN",
    "NOT_CRON",
    "NOT_JSON",
    "NOT_KEPT",
    "NOT_REACHED",
    "NOT_TEXT",
    "NO_DELIVERY",
    "NO_DIGEST",
    "NO_PIPELINE",
    "NO_PROJECT",
    "PATH_TAKEN",
    "PROPERTY_REQUIRED",
    "REPEATED",
    "REQUIRED",
    "REQUIRES_ITSELF",
    "RUNNING",
    "SAME_PATH",
    "TOO_DEEP",
    "TOO_LARGE",
    "TOO_LONG",
    "TOO_MANY",
    "TOO_MANY_VIOLATIONS",
    "UNKNOWN",
    "UNKNOWN_FIELD",
    "UNUSABLE",
    "WHITE_SPACE",
    "WRONG_LENGTH",
    "WRONG_STATUS",
]


@dataclasses.dataclass(frozen=True)
class Violation:
    """A violation of an input: `field` is its path, `code` is stable, and `message` is for people."""

    field: str
    message: str
    code: ViolationCode


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """The reason of a refusal, in the form of RFC 9457; returned, never raised.

    The type about:blank means that the status says it all, so that `title` is the phrase of the status.
    """

    detail: str
    title: str
    status: int
    type: str = "about:blank"
    instance: str | None = None

    @property
    def kind(self) -> str:
        """Return the name of its type in GraphQL."""
        return f"{type(self).__name__.removesuffix('Problem')}Problem"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValidationProblem(Problem):
    """An invalid input, with all its violations."""

    violations: list[Violation]
    detail: str = "The input is invalid: correct each of the violations."
    title: str = "Bad Request"
    status: int = 400


@dataclasses.dataclass(frozen=True, kw_only=True)
class NotFound(Problem):
    """A reference of the input to something that does not exist for the caller."""

    title: str = "Not Found"
    status: int = 404


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conflict(Problem):
    """A conflict with an existing object, whose id is given if it has one."""

    conflicting_id: str | None = None
    title: str = "Conflict"
    status: int = 409


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreconditionProblem(Problem):
    """A document that has changed since the caller read it."""

    title: str = "Precondition Failed"
    status: int = 412


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForbiddenProblem(Problem):
    """An action that needs a `scope` which the caller lacks, or has for another product only."""

    scope: str
    title: str = "Forbidden"
    status: int = 403


class PermissionProblem(GraphQLError):  # noqa: N818  it is not an error of this program
    """A field of a query that is forbidden to the caller, with the problem that gives the reason."""

    def __init__(self, why: ForbiddenProblem) -> None:
        problem = problem_json(why.status, why.detail)
        super().__init__(why.detail, extensions={"code": "FORBIDDEN", "problem": problem})


class InvalidArgument(GraphQLError):  # noqa: N818  it is not an error of this program
    """An invalid argument of a query; the message names it and says what to give instead."""

    def __init__(self, argument: str, message: str) -> None:
        """Make the error for an argument, given by its path, such as `filter.createdFrom`."""
        super().__init__(f"{argument}: {message}", extensions={"code": "BAD_USER_INPUT", "argument": argument})
        self.argument = argument
        self.reason = message


class BrokenDocument(Exception):  # noqa: N818  what is wrong is the document
    """A stored document with a field that is missing or has a wrong type, which only the log shows."""

    def __init__(self, kind: str, id_: str) -> None:
        """Name the document by its GraphQL type and its id."""
        super().__init__(f"{kind} {id_}")
        self.kind = kind
        self.id = id_


class TooLarge(GraphQLError):  # noqa: N818  likewise
    """An answer that exceeds a limit, which shows only while it is made."""

    def __init__(self, limit: str, allowed: int, *, writes: bool = False) -> None:
        """Make the error for a `limit`, nodes or bytes; `writes` if the request may have changed data."""
        super().__init__(
            _TOO_LARGE[limit].format(allowed) + (_MAY_BE_WRITTEN if writes else ""),
            extensions={"code": "LIMIT_EXCEEDED", "limit": limit, "allowed": allowed},
        )


_MAY_BE_WRITTEN = " Changes made by this request remain: read the documents before you repeat it."
_TOO_LARGE = {
    "nodes": (
        "The response would have more objects than the limit nodes allows ({}): request fewer or smaller pages."
    ),
    "bytes": (
        "The response, or the data read for it, has more bytes than the limit bytes allows ({}): "
        "request smaller pages or fewer fields."
    ),
}


class TooBusy(GraphQLError):  # noqa: N818  likewise
    """Work that did not get a slot in time, because requests of others or of the caller fill the capacity."""

    def __init__(self, limit: str, allowed: int, message: str) -> None:
        """Make the error for a full capacity, named by `limit`; `allowed` is the share of a caller."""
        super().__init__(message, extensions={"code": "RATE_LIMITED", "limit": limit, "allowed": allowed})


# RFC 9110 has new phrases for these; older versions of Python have the old ones.
_PHRASES = {413: "Content Too Large", 414: "URI Too Long"}


def problem_json(status: int, detail: str, **members: Any) -> dict[str, Any]:
    """Return a problem of the type about:blank, which has the phrase of its status as title (RFC 9457).

    An invalid request has at least one violation, if only of the whole request.
    """
    title = _PHRASES.get(status) or http.HTTPStatus(status).phrase
    if status == http.HTTPStatus.BAD_REQUEST and "violations" not in members:
        whole = {"field": "", "message": detail, "code": members.get("code", "BAD_REQUEST")}
        members["violations"] = [whole]
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, **members}
