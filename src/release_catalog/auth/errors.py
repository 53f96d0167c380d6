"""The reasons for which a caller is not authenticated."""

import contextlib
from collections.abc import AsyncIterator

from release_catalog.domain.caller import Owner
from release_catalog.fair_share import Busy, FairSlots

_REALM = 'realm="release-catalog"'


class AuthenticationError(Exception):
    """A request from an unknown caller, to be answered with this status, reason and headers.

    The reason tells no more than RFC 6750 allows: the log has the fault in the credentials.
    """

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def missing_credentials(
    reason: str = "Credentials are missing: send a token in the header Authorization: Bearer, for example.",
) -> AuthenticationError:
    """Return the refusal of a request without credentials."""
    return AuthenticationError(401, reason, WWW_Authenticate=f"Bearer {_REALM}")


def invalid_credentials(scheme: str = "Bearer") -> AuthenticationError:
    """Return the refusal of invalid credentials, the same for every fault."""
    # A browser asks its user for a password if Basic is offered: so only clients that used Basic get it offered.
    more = 'charset="UTF-8"' if scheme == "Basic" else 'error="invalid_token"'
    challenge = f"{scheme} {_REALM}, {more}"
    return AuthenticationError(401, "The credentials are invalid: get new ones.", WWW_Authenticate=challenge)


def ambiguous_credentials() -> AuthenticationError:
    """Return the refusal of credentials of more than one kind: the intended ones are unknown."""
    challenge = f'Bearer {_REALM}, error="invalid_request"'
    return AuthenticationError(
        400, "The request has credentials more than once: send them in one header.", WWW_Authenticate=challenge
    )


def temporarily_unavailable(reason: str) -> AuthenticationError:
    """Return the refusal of credentials that can't be verified now."""
    return AuthenticationError(503, reason, Retry_After="2")


@contextlib.asynccontextmanager
async def slot(slots: FairSlots, owner: Owner, max_seconds: float, reason: str) -> AsyncIterator[None]:
    """Hold a slot, after waiting for it; refuse with a reason if none is free soon.

    429 tells clients that they fill their own share, 503 that others fill all of it.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(slots.slot(owner, max_seconds=max_seconds))
        except Busy as busy:
            raise AuthenticationError(429 if busy.own else 503, reason, Retry_After="5") from busy
        yield
