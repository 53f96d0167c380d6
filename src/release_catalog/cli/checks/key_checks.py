"""Checks of the keys that JWTs are verified with."""

import http.client
import json
import ssl
import urllib.parse
from collections.abc import Iterator

from release_catalog.cli.checks.findings import Finding, error, ok, warning
from release_catalog.settings import Settings

# A secret with fewer different characters was typed, not drawn.
_FEW = 10


def secret(found: Settings) -> Iterator[Finding]:
    """Find a secret of JWTs that can be guessed; its length is checked by the settings."""
    if found.jwt_secret is None:
        return
    if len(set(found.jwt_secret.get_secret_value())) < _FEW:
        yield warning(
            "The secret of JWTs has few different characters: it may be guessed.",
            "Set another one, such as that of openssl rand -hex 32, here and at the issuer.",
        )
    else:
        yield ok("The secret of JWTs is long enough.")


def published(found: Settings) -> Iterator[Finding]:
    """Find signing keys that can't be fetched or used."""
    url = found.jwt_jwks_url
    if url is None:
        return
    from release_catalog.auth import jwks  # noqa: PLC0415  its cryptography takes a while to import

    host = urllib.parse.urlsplit(url).hostname
    # Its query may hold a key.
    place = url.partition("?")[0]
    try:
        keys = jwks.parse_jwks(json.loads(jwks.read(url)))
    except ssl.SSLCertVerificationError as wrong:
        yield error(
            f"The certificate of {host} is not trusted: {wrong.verify_message}.",
            "Correct the certificate, or set SSL_CERT_FILE to that of its authority.",
        )
        return
    except ssl.SSLError as wrong:
        yield error(f"TLS with {host} fails: {wrong.reason}.", "Check the port and the proxy before the issuer.")
        return
    except (OSError, http.client.HTTPException) as wrong:
        reason = getattr(wrong, "strerror", None) or str(wrong) or type(wrong).__name__
        yield error(f"The signing keys at {place} can't be fetched: {reason}.", _REACH)
        return
    except (ValueError, RecursionError) as wrong:
        yield error(f"The document at {place} is not a set of keys: {wrong}.", _REACH)
        return
    usable = {algorithm for algorithm, _ in keys.values()}
    if not usable & set(found.algorithms):
        yield error(
            f"No key at {place} can be used for {', '.join(found.algorithms)}.",
            "Publish a key for signatures (RSA of 2048 bits or more, P-256 or Ed25519), or set "
            "RELEASE_CATALOG_JWT_ALGORITHMS to those of the issuer.",
        )
        return
    count = len({id(key) for _, key in keys.values()})
    yield ok(f"{count} signing keys can be used: {', '.join(sorted(usable))}.")


_REACH = "Correct RELEASE_CATALOG_JWT_JWKS_URL, or let this machine reach the issuer."
