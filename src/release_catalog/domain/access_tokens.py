"""Opaque access tokens: 256 random bits behind a prefix that secret scanners recognise."""

import datetime
import hashlib
import secrets
import zlib
from typing import TypedDict

from release_catalog.domain import caller
from release_catalog.domain.validation import Validator

PREFIX = "rcat_"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# The base-62 digits that 256 and 32 bits take at most.
_SECRET, _CHECK = 43, 6
# A token bound to a product reaches only the releases of that product.
_BOUND = frozenset({caller.READ, caller.WRITE})


class AccessTokenDocument(TypedDict):
    """An access token; `_id` is its digest, and the token itself is not stored."""

    _id: str
    id: str
    tenantId: str
    name: str
    scopes: list[str]
    productId: str | None
    createdAt: datetime.datetime
    createdBy: str
    expiresAt: datetime.datetime | None
    lastUsedAt: datetime.datetime | None
    revokedAt: datetime.datetime | None


def new() -> str:
    """Make a new token: prefix, secret, and a checksum that catches most typing errors."""
    text = PREFIX + _written(int.from_bytes(secrets.token_bytes(32)), _SECRET)
    return text + _check(text)


def _written(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def _check(text: str) -> str:
    return _written(zlib.crc32(text.encode()), _CHECK)


def well_formed(text: str) -> bool:
    """Return whether `text` has the form of a token."""
    whole = len(PREFIX) + _SECRET + _CHECK
    return len(text) == whole and text.startswith(PREFIX) and _check(text[:-_CHECK]) == text[-_CHECK:]


def digest(text: str) -> str:
    """Return the digest under which a token is stored; one round is enough, because nobody guesses 256 bits."""
    return hashlib.sha256(text.encode()).hexdigest()


def scopes(checks: Validator, *, by_operator: bool) -> list[str]:
    """Return the requested scopes, all of which are allowed only if the token is not bound to a product.

    Only an operator may grant scopes that reach beyond a tenant; for others they do not exist.
    """
    names = checks.fields["scopes"]
    known = caller.OPERATOR_SCOPES if by_operator else caller.SCOPES
    allowed = _BOUND if checks.fields.get("productId") is not None else known
    if not names:
        checks.refuse(
            "scopes", "REQUIRED", f"The list is empty: give at least one of {', '.join(sorted(allowed))}."
        )
    for at, scope in enumerate(names):
        if scope not in known:
            checks.refuse(
                f"scopes[{at}]", "UNKNOWN", f"This scope does not exist: give any of {', '.join(sorted(allowed))}."
            )
        elif scope not in allowed:
            message = (
                f"A token bound to a product can't have this scope: give {' or '.join(sorted(_BOUND))}, or "
                "no product."
            )
            checks.refuse(f"scopes[{at}]", "BEYOND_PRODUCT", message)
    return sorted(set(names))
