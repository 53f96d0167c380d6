"""Who is asking: every store verb takes this first, so that no tenant's wall can be left out."""

import dataclasses
import datetime
import functools
import unicodedata
import urllib.parse
from typing import NamedTuple

READ, WRITE, PROMOTE, WEBHOOK, ADMIN = "release:read", "release:write", "release:promote", "webhook:write", "admin"
SCOPES = frozenset({READ, WRITE, PROMOTE, WEBHOOK, ADMIN})
SEES_ALL = frozenset({WRITE, PROMOTE, ADMIN})
_TOKEN, _ACCOUNT, _LOCAL, _ANONYMOUS = "token", "account", "local", "anonymous"


class Owner(NamedTuple):
    """The tenant that work belongs to, and the caller in it; the empty caller stands for the tenant as a whole."""

    tenant: str
    caller: str = ""


@dataclasses.dataclass(frozen=True)
class Caller:
    """A subject of one tenant with the scopes that it was given.

    Where it is bound to a `product` (S1's project token), it writes releases of that one alone, and sees of the
    others what `release:read` sees.
    """

    tenant: str
    subject: str
    scopes: frozenset[str]
    product: str | None = None
    # When its credentials end, and with them what it follows; None where they do not.
    expires_at: datetime.datetime | None = dataclasses.field(default=None, compare=False)

    def may(self, scope: str) -> bool:
        """Whether it has `scope`: admin implies all of them, and who writes or promotes releases reads them."""
        enough = {scope, ADMIN} | (SEES_ALL if scope == READ else frozenset())
        return not self.scopes.isdisjoint(enough)

    @functools.cached_property
    def owner(self) -> Owner:
        """Return whom the shares of this caller belong to."""
        return Owner(self.tenant, self.subject)

    @functools.cached_property
    def sees_drafts(self) -> bool | str:
        """Which drafts and private releases exist for this caller: all, none, or those of one product, by its id.

        With the tenant, it is all that decides what this caller sees.
        """
        return (self.product or True) if self.scopes & SEES_ALL else False

    @functools.cached_property
    def _prefix(self) -> str:
        return urllib.parse.quote(self.tenant, safe="") + "/"

    def key(self, id_: str) -> str:
        """The `_id` that a document of this caller's tenant has: another tenant's can't be spelled."""
        return self._prefix + id_


def local(tenant: str) -> Caller:
    """Return the operator of this machine: of its command line, and of a server without authentication."""
    return Caller(tenant, _LOCAL, SCOPES)


def token_subject(id_: str) -> str:
    """Return the subject of an access token's callers."""
    return f"{_TOKEN}:{id_}"


def account_subject(name: str) -> str:
    """Return the subject of a service account."""
    return f"{_ACCOUNT}:{name}"


def is_reserved(subject: str) -> bool:
    """Return whether a subject is, or looks like, one that the catalog makes itself.

    An identity provider's subjects may be none of these: rate limits, events, webhooks and `createdBy` know a
    caller by the subject alone. Compatible characters (full width letters), letter case and space do not count.
    """
    kind, colon, _ = "".join(unicodedata.normalize("NFKC", subject).casefold().split()).partition(":")
    return kind in {_LOCAL, _ANONYMOUS} or (bool(colon) and kind in {_TOKEN, _ACCOUNT})
