"""The caller: every storage function takes it first, so that no query can leave out the tenant."""

import dataclasses
import datetime
import functools
import unicodedata
import urllib.parse
from typing import NamedTuple

READ, WRITE, PROMOTE, WEBHOOK, ADMIN = "release:read", "release:write", "release:promote", "webhook:write", "admin"
SCOPES = frozenset({READ, WRITE, PROMOTE, WEBHOOK, ADMIN})
# Figures of the whole server, over all tenants. Only its operator grants this scope: no tenant has it to give.
OPERATIONS = "operations:read"
OPERATOR_SCOPES = SCOPES | {OPERATIONS}
SEES_ALL = frozenset({WRITE, PROMOTE, ADMIN})
_TOKEN, _ACCOUNT, _LOCAL, _ANONYMOUS = "token", "account", "local", "anonymous"


class Owner(NamedTuple):
    """The tenant that work belongs to, and the caller in it; an empty caller stands for the whole tenant."""

    tenant: str
    caller: str = ""


@dataclasses.dataclass(frozen=True)
class Caller:
    """A subject of one tenant with the scopes granted to it.

    A caller bound to a `product` (S1's project token) writes only releases of that product; of other products it
    sees what `release:read` sees.
    """

    tenant: str
    subject: str
    scopes: frozenset[str]
    product: str | None = None
    # When the credentials expire, and the caller's subscriptions with them; None if they do not expire.
    expires_at: datetime.datetime | None = dataclasses.field(default=None, compare=False)

    def may(self, scope: str) -> bool:
        """Return whether the caller has `scope`: admin implies its tenant's, writing or promoting reading."""
        if scope == OPERATIONS:
            return scope in self.scopes
        enough = {scope, ADMIN} | (SEES_ALL if scope == READ else frozenset())
        return not self.scopes.isdisjoint(enough)

    @functools.cached_property
    def owner(self) -> Owner:
        """Return the owner to which this caller's shares belong."""
        return Owner(self.tenant, self.subject)

    @functools.cached_property
    def sees_drafts(self) -> bool | str:
        """Return the drafts and private releases visible to this caller: all, none, or one product's (its id).

        Together with the tenant, this decides everything that the caller sees.
        """
        return (self.product or True) if self.scopes & SEES_ALL else False

    @functools.cached_property
    def _prefix(self) -> str:
        return urllib.parse.quote(self.tenant, safe="") + "/"

    def key(self, id_: str) -> str:
        """Return the `_id` of a document of this caller's tenant; no `id_` yields the key of another tenant."""
        return self._prefix + id_


def split_key(key: str) -> tuple[str, str]:
    """Return the tenant and the id of a document with this `_id`."""
    tenant, _, id_ = key.partition("/")
    return urllib.parse.unquote(tenant), id_


def local(tenant: str) -> Caller:
    """Return the operator of this machine: for the command line, and for a server without authentication."""
    return Caller(tenant, _LOCAL, SCOPES)


def operator(tenant: str) -> Caller:
    """Return the operator of this machine, who may grant every scope."""
    return Caller(tenant, _LOCAL, OPERATOR_SCOPES)


def token_subject(id_: str) -> str:
    """Return the subject of an access token's callers."""
    return f"{_TOKEN}:{id_}"


def account_subject(name: str) -> str:
    """Return the subject of a service account."""
    return f"{_ACCOUNT}:{name}"


def is_reserved(subject: str) -> bool:
    """Return whether a subject is, or looks like, one that the catalog itself makes.

    An identity provider must not use such subjects: rate limits, events, webhooks and `createdBy` know a caller by
    the subject alone. The comparison ignores compatible characters (full width letters), letter case and space.
    """
    kind, colon, _ = "".join(unicodedata.normalize("NFKC", subject).casefold().split()).partition(":")
    return kind in {_LOCAL, _ANONYMOUS} or (bool(colon) and kind in {_TOKEN, _ACCOUNT})
