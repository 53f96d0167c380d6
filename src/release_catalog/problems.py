"""Every refusal that a caller can act on."""

from typing import Any

from graphql import GraphQLError


class BadArgument(GraphQLError):  # noqa: N818  it is not an error of this program
    """An argument of a query that can't be answered; the message names it and says what to give instead."""

    def __init__(self, argument: str, message: str) -> None:
        """`argument` is its path, such as `filter.createdFrom`."""
        super().__init__(f"{argument}: {message}", extensions={"code": "BAD_USER_INPUT", "argument": argument})
        self.argument = argument
        self.reason = message


def details(status: int, title: str, detail: str, **members: Any) -> dict[str, Any]:
    """A problem as RFC 9457 has it; `type` is about:blank because the status says all of it."""
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, **members}
