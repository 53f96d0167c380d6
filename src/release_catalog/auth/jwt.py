"""JSON Web Tokens: the caller in their claims, if every claim is valid (RFC 8725)."""

import datetime
from collections.abc import Mapping
from typing import Any

import jwt
import structlog

from release_catalog.auth import jwks
from release_catalog.domain import caller as callers
from release_catalog.domain.caller import OPERATOR_SCOPES, Caller
from release_catalog.settings import Settings

LEEWAY_SECONDS = 30
_REQUIRED = ("exp", "iat", "iss", "aud", "sub")
_TYPES = {None, "jwt", "at+jwt", "application/at+jwt"}
_MAX_TEXT = 255
# The last second of year 9999: Python has no later instant.
_MAX_SECONDS = 253_402_300_799
_INSTANTS = ("exp", "iat", "nbf")

_log = structlog.get_logger()


class _Invalid(ValueError):  # noqa: N818  it is not an error of this program
    """The token is invalid; the reason is for the log."""


class JwtAuthenticator:
    """Verifies tokens of one issuer.

    Of a token's header it reads algorithm, type and key id: no address (jku, x5u) and no key (jwk).
    """

    def __init__(self, settings: Settings) -> None:
        self._secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
        self._keys = jwks.Keys(settings.jwt_jwks_url) if settings.jwt_jwks_url else None
        self._algorithms = settings.algorithms
        self._issuer, self._audience = settings.jwt_issuer, settings.jwt_audience
        self._tenant = settings.jwt_tenant_claim

    async def caller(self, token: str, network: str) -> Caller | None:
        """Return the caller of a token from a client's network; None if the token is invalid.

        Refuse the request if the token can't be verified now.
        """
        try:
            return self._caller(self._claims(token, await self._key(token, network)))
        # The contents of a token make the library fail in other ways too: depth, infinities, lists for texts.
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            # Other errors may quote the token.
            is_reason_public = isinstance(error, _Invalid | jwt.MissingRequiredClaimError)
            reason = str(error) if is_reason_public else type(error).__name__
            _log.info("token refused", reason=reason)
            return None

    async def close(self) -> None:
        """Wait for the current fetch of keys."""
        if self._keys:
            await self._keys.close()

    async def _key(self, token: str, network: str) -> Any:
        header = jwt.get_unverified_header(token)
        algorithm, kind = header.get("alg"), header.get("typ")
        if algorithm not in self._algorithms:
            raise _Invalid("unsupported algorithm")
        if (kind.lower() if isinstance(kind, str) else kind) not in _TYPES or "crit" in header:
            raise _Invalid("unsupported token type")
        if self._keys is None:
            return self._secret
        key = await self._keys.key(algorithm, header.get("kid"), network)
        if key is None:
            raise _Invalid("unknown key")
        return key

    def _claims(self, token: str, key: Any) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=self._algorithms,
            issuer=self._issuer,
            audience=self._audience,
            leeway=LEEWAY_SECONDS,
            options={"require": [*_REQUIRED, self._tenant]},
        )

    def _caller(self, claims: dict[str, Any]) -> Caller:
        tenant, subject = claims[self._tenant], claims["sub"]
        for text in (tenant, subject):
            if not isinstance(text, str) or not 0 < len(text) <= _MAX_TEXT or not text.isprintable():
                raise _Invalid("missing or invalid tenant or subject")
        if callers.is_reserved(subject):
            raise _Invalid("the sub is reserved for the catalog's own callers: give the user another one")
        for name in _INSTANTS:
            _check_seconds(name, claims.get(name, 0))
        end = datetime.datetime.fromtimestamp(claims["exp"], datetime.UTC)
        return Caller(tenant, subject, _scopes(claims) & OPERATOR_SCOPES, expires_at=end)


def _check_seconds(name: str, value: Any) -> None:
    """Refuse a value that is not a NumericDate (RFC 7519) from 1970 to 9999; the library takes texts and more."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _MAX_SECONDS:
        raise _Invalid(f"{name} must be a number of seconds since 1970, before the year 10000")


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the scopes in the first claim that identity providers use: a text or a list of texts."""
    value: Any = next((claims[name] for name in ("scope", "scopes", "scp") if name in claims), [])
    texts = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset(scope for scope in texts if isinstance(scope, str))
