"""Why a caller is not let in."""

import contextlib
from collections.abc import AsyncIterator

from release_catalog.domain.caller import Owner
from release_catalog.fair_share import Busy, FairSlots

_REALM = 'realm="release-catalog"'


class AuthenticationError(Exception):
    """A request whose caller is not known: to be answered with this status, reason and these headers.

    It tells no more than RFC 6750 does: what was wrong with credentials stands in the log.
    """

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def missing_credentials(
    reason: str = "Send credentials, such as a token as Authorization: Bearer.",
) -> AuthenticationError:
    """There are no credentials."""
    return AuthenticationError(401, reason, WWW_Authenticate=f"Bearer {_REALM}")


def invalid_credentials(scheme: str = "Bearer") -> AuthenticationError:
    """The credentials are not good, whatever it is that is wrong with them."""
    # A browser asks its user for a password where Basic is offered: so it is only to whoever used it.
    more = 'charset="UTF-8"' if scheme == "Basic" else 'error="invalid_token"'
    challenge = f"{scheme} {_REALM}, {more}"
    return AuthenticationError(401, "The credentials are not valid: get new ones.", WWW_Authenticate=challenge)


def ambiguous_credentials() -> AuthenticationError:
    """There are credentials of more than one kind, and nobody can tell which are meant."""
    challenge = f'Bearer {_REALM}, error="invalid_request"'
    return AuthenticationError(400, "Send credentials once, in one header.", WWW_Authenticate=challenge)


def temporarily_unavailable(reason: str) -> AuthenticationError:
    """Nobody can tell now whether the credentials are good."""
    return AuthenticationError(503, reason, Retry_After="2")


@contextlib.asynccontextmanager
async def slot(slots: FairSlots, owner: Owner, max_seconds: float, reason: str) -> AsyncIterator[None]:
    """Hold a slot, after waiting for it; refused with a reason where there is none soon.

    429 tells clients that they fill their own share, 503 that others fill all of it.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(slots.slot(owner, max_seconds=max_seconds))
        except Busy as busy:
            raise AuthenticationError(429 if busy.own else 503, reason, Retry_After="5") from busy
        yield
