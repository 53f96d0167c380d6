"""Who is asking: every store verb takes this first, so that no tenant's wall can be left out."""

import dataclasses
import datetime
import functools
import urllib.parse

READ, WRITE, PROMOTE, ADMIN = "release:read", "release:write", "release:promote", "admin"
SEES_ALL = frozenset({WRITE, PROMOTE, ADMIN})


@dataclasses.dataclass(frozen=True)
class Caller:
    """A subject of one tenant with the scopes that it was given."""

    tenant: str
    subject: str
    scopes: frozenset[str]
    # When its credentials end, and with them what it follows; None where they do not.
    expires_at: datetime.datetime | None = None

    @functools.cached_property
    def sees_all(self) -> bool:
        """Whether drafts and private releases exist for this caller."""
        return bool(self.scopes & SEES_ALL)

    @functools.cached_property
    def _prefix(self) -> str:
        return urllib.parse.quote(self.tenant, safe="") + "/"

    def key(self, id_: str) -> str:
        """The `_id` that a document of this caller's tenant has: another tenant's can't be spelled."""
        return self._prefix + id_


def local(tenant: str) -> Caller:
    """The caller of a server without authentication, which serves its own machine alone."""
    return Caller(tenant, "local", frozenset({READ, WRITE, PROMOTE, "webhook:write", ADMIN}))
