"""Requests that are answered by a status and a reason, before anything of them is executed."""

from typing import Any


class Refusal(Exception):  # noqa: N818  it is not an error of this program
    """A request that is not executed: answered with its status and reason, and with extensions if it has any."""

    def __init__(
        self, status: int, reason: str, extensions: dict[str, Any] | None = None, /, **headers: str
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.extensions = extensions
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def too_much(limit: str, most: int, asked: str) -> Refusal:
    """What goes past a limit: `asked` says what came, and the answer names the limit."""
    reason = f"{asked}; the limit {limit} allows {most}."
    return Refusal(400, reason, {"code": "LIMIT_EXCEEDED", "limit": limit, "allowed": most})
