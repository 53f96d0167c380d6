"""Why a caller is not let in."""

_REALM = 'realm="release-catalog"'


class Refused(Exception):  # noqa: N818  it is not an error of this program
    """A request whose caller is not known: to be answered with this status, reason and these headers.

    It tells no more than RFC 6750 does: what was wrong with credentials stands in the log.
    """

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def missing(reason: str = "Send credentials, such as a token as Authorization: Bearer.") -> Refused:
    """There are no credentials."""
    return Refused(401, reason, WWW_Authenticate=f"Bearer {_REALM}")


def wrong(scheme: str = "Bearer") -> Refused:
    """The credentials are not good, whatever it is that is wrong with them."""
    # A browser asks its user for a password where Basic is offered: so it is only to whoever used it.
    more = 'charset="UTF-8"' if scheme == "Basic" else 'error="invalid_token"'
    challenge = f"{scheme} {_REALM}, {more}"
    return Refused(401, "The credentials are not valid: get new ones.", WWW_Authenticate=challenge)


def several() -> Refused:
    """There are credentials of more than one kind, and nobody can tell which are meant."""
    challenge = f'Bearer {_REALM}, error="invalid_request"'
    return Refused(400, "Send credentials once, in one header.", WWW_Authenticate=challenge)


def unknowable(reason: str) -> Refused:
    """Nobody can tell now whether the credentials are good."""
    return Refused(503, reason, Retry_After="5")
