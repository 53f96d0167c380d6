"""Requests that are refused with a status and a reason, before anything of them is executed."""

from typing import Any


class RequestError(Exception):
    """A request that is not executed: answered with its status and reason, and with extensions if it has any."""

    def __init__(
        self, status: int, reason: str, extensions: dict[str, Any] | None = None, /, **headers: str
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.extensions = extensions
        # The limit that refuses the request, if it is one.
        self.limit: str | None = (extensions or {}).get("limit")
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def limit_exceeded(limit: str, allowed: int, problem: str) -> RequestError:
    """Return the refusal of a request beyond a limit: `problem` describes the request, `limit` names the limit."""
    reason = f"{problem}; the limit {limit} allows {allowed}."
    return RequestError(400, reason, {"code": "LIMIT_EXCEEDED", "limit": limit, "allowed": allowed})


def capacity_exceeded(*, own: bool, what: str, limit: str, allowed: int, retry_seconds: int = 1) -> RequestError:
    """Return the refusal of a caller for whom no slot is free: 429 if its `own` share is full, else 503.

    `what` names the limited resource; `limit` names the share, and `allowed` is that of a caller.
    """
    again = str(retry_seconds)
    if own:
        reason = (
            f"You or your tenant have the maximum number of {what} that the limit {limit} allows: try again soon."
        )
        extensions = {"code": "RATE_LIMITED", "limit": limit, "allowed": allowed}
        return RequestError(429, reason, extensions, Retry_After=again)
    reason = f"The server has no free slot for {what}: try again soon."
    # As those of outages: a client repeats either.
    extensions = {"code": "UNAVAILABLE", "retryAfter": retry_seconds, "outcome": "UNCHANGED"}
    refusal = RequestError(503, reason, extensions, Retry_After=again)
    refusal.limit = limit
    return refusal
