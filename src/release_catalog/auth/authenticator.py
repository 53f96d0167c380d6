"""The caller of a request: identified by its credentials, of one of the kinds that the settings enable."""

import functools
import ipaddress

from starlette.datastructures import Headers

from release_catalog.auth import errors, service_accounts
from release_catalog.auth.access_tokens import AccessTokenAuthenticator
from release_catalog.domain import access_tokens
from release_catalog.domain import caller as callers
from release_catalog.domain.caller import Caller
from release_catalog.fair_share import client_network
from release_catalog.pace import refusal_pace
from release_catalog.settings import Settings
from release_catalog.storage.database import Database

# Longer credentials can't be valid, and are not looked at.
MAX_CREDENTIALS = 8 * 1024
# The first is that of the header X-Project-Token.
_SCHEMES = ("", "bearer", "basic")
_ALONE = (
    "This server answers only requests from its own machine: set RELEASE_CATALOG_AUTHENTICATION "
    "to open it to others."
)


class Authenticator:
    """Identifies callers. Without configured authentication, each user of this machine is its operator."""

    def __init__(self, settings: Settings) -> None:
        """Raise OSError or service_accounts.Unreadable if the file of accounts can't be used."""
        self._everybody = None if settings.authenticated else callers.local(settings.tenant)
        self._pace = refusal_pace()
        self._tokens = AccessTokenAuthenticator()
        self._accounts = service_accounts.ServiceAccounts(settings.accounts) if settings.accounts else None
        self._jwts = None
        if settings.jwt_issuer:
            # Its cryptography takes a while to import.
            from release_catalog.auth import jwt  # noqa: PLC0415

            self._jwts = jwt.JwtAuthenticator(settings)

    def local_operator(self, client: str | None) -> Caller | None:
        """Return the operator of a server without authentication if `client` is an address of its machine.

        It must be the address of the connection, and None if a proxy forwards the request.
        """
        return self._everybody if self._everybody and is_loopback(client) else None

    async def authenticate(self, headers: Headers, client: str | None, database: Database) -> Caller:
        """Return the caller of a request with these credentials from the address `client`.

        An unknown caller is refused; a network that is refused again and again gets slower responses. A proxy may
        have named `client`, so it makes nobody the operator of this machine: see `local_operator`.
        """
        network = client_network(client)
        try:
            return await self._caller(headers, network, database)
        except errors.AuthenticationError:
            await self._pace.wait(network)
            raise

    async def _caller(self, headers: Headers, network: str, database: Database) -> Caller:
        if self._everybody:
            raise errors.missing_credentials(_ALONE)
        return await self._by_credentials(headers, network, database)

    async def check_credentials(self, headers: Headers, client: str | None, database: Database) -> None:
        """Refuse the operator of this machine, who needs no credentials otherwise, without valid ones."""
        if self._everybody:
            found = await self._by_credentials(headers, client_network(client), database)
            if found.tenant != self._everybody.tenant:
                raise errors.invalid_credentials()

    async def _by_credentials(self, headers: Headers, network: str, database: Database) -> Caller:
        sent = [("", token) for token in headers.getlist("x-project-token")]
        for value in headers.getlist("authorization"):
            scheme, _, credentials = value.partition(" ")
            sent.append((scheme.lower() or "-", credentials.strip()))
        if not sent:
            raise errors.missing_credentials()
        if len(sent) > 1:
            raise errors.ambiguous_credentials()
        [(scheme, credentials)] = sent
        if scheme not in _SCHEMES:
            raise errors.missing_credentials()
        known = len(credentials) <= MAX_CREDENTIALS
        found = await self._known(scheme, credentials, network, database) if known else None
        if found is None:
            raise errors.invalid_credentials("Basic" if scheme == "basic" else "Bearer")
        return found

    async def close(self) -> None:
        """Stop the background tasks."""
        await self._tokens.close()
        if self._jwts:
            await self._jwts.close()

    async def _known(self, scheme: str, credentials: str, network: str, database: Database) -> Caller | None:
        if scheme == "basic":
            return await self._accounts.caller(credentials, network) if self._accounts else None
        if scheme == "" or (scheme == "bearer" and credentials.startswith(access_tokens.PREFIX)):
            return await self._tokens.caller(database, credentials, network)
        return await self._jwts.caller(credentials, network) if scheme == "bearer" and self._jwts else None


@functools.lru_cache(1_000)
def is_loopback(address: str | None) -> bool:
    """Return whether an address is a loopback address."""
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False
