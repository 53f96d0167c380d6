"""Opaque access tokens: looked up in the database, and kept for a few seconds."""

import asyncio
import collections
import time

import structlog

from release_catalog.auth import errors
from release_catalog.auth.failed_attempts import Failures
from release_catalog.domain import access_tokens, timestamps
from release_catalog.domain.access_tokens import AccessTokenDocument
from release_catalog.domain.caller import Caller, Owner, token_subject
from release_catalog.fair_share import FairSlots
from release_catalog.storage import access_tokens as store
from release_catalog.storage import database as db
from release_catalog.storage import outages
from release_catalog.storage.database import Database

# A revoked token is still accepted for this long by processes that have just seen it.
KNOWN_SECONDS = 5.0
_MAX_KNOWN = 10_000
# Tokens that were not valid before are looked up this many at a time, in turns between the networks of clients;
# networks that sent invalid ones lately have few slots of their own. One network may use half of the first.
_UNKNOWN, _SUSPECT = 16, 4
_WAIT_SECONDS = 5.0
_BUSY = "Too many unknown tokens are waiting for a check: try again soon."

_log = structlog.get_logger()


class AccessTokenAuthenticator:
    """Authenticates by access tokens, and records their use."""

    def __init__(self) -> None:
        # By digest, the time until which a token is accepted without a lookup, and its document. A token that was
        # valid once stays here, and is looked up again ahead of unknown ones.
        self._known: collections.OrderedDict[str, tuple[float, AccessTokenDocument]] = collections.OrderedDict()
        self._reading: dict[str, asyncio.Task[AccessTokenDocument | None]] = {}
        self._notes: set[asyncio.Task[None]] = set()
        self._failures = Failures()
        self._unknown = FairSlots(_UNKNOWN, per_tenant=_UNKNOWN // 2)
        self._suspect = FairSlots(_SUSPECT)

    async def caller(self, database: Database, text: str, network: str) -> Caller | None:
        """Return the caller of a token from a client's network; None if the token is invalid or has expired."""
        document = await self._looked_up(database, text, network) if access_tokens.well_formed(text) else None
        if document is None:
            _log.info("token refused", reason="unknown")
            return None
        if reason := _wrong(document):
            self._known.pop(document["_id"], None)
            self._failures.add(network)
            _log.info("token refused", reason=reason, token_id=document["id"])
            return None
        subject, scopes = token_subject(document["id"]), frozenset(document["scopes"])
        return Caller(document["tenantId"], subject, scopes, document["productId"], document["expiresAt"])

    async def close(self) -> None:
        """Wait until the recorded uses are stored."""
        await asyncio.gather(*self._notes)

    async def _looked_up(self, database: Database, text: str, network: str) -> AccessTokenDocument | None:
        key = access_tokens.digest(text)
        until, document = self._known.get(key, (0.0, None))
        if document and until > time.monotonic():
            return document
        if document:
            document = await self._read(database, text, key)
        else:
            slots = self._suspect if self._failures.many(network) else self._unknown
            async with errors.slot(slots, Owner(network), _WAIT_SECONDS, _BUSY):
                document = await self._read(database, text, key)
        self._known.pop(key, None)
        if document is None:
            self._failures.add(network)
            return None
        self._known[key] = time.monotonic() + KNOWN_SECONDS, document
        while len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        self._note(database, document)
        return document

    async def _read(self, database: Database, text: str, key: str) -> AccessTokenDocument | None:
        """Return the document of a token, read once for all requests that need it now."""
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.create_task(store.known(database, text))
            reading.add_done_callback(lambda _: self._reading.pop(key, None))
        return await asyncio.shield(reading)

    def _note(self, database: Database, document: AccessTokenDocument) -> None:
        """Record the use of a token in the background, without delaying the request."""
        last = document["lastUsedAt"]
        if last is None or last <= timestamps.now() - store.USED:
            note = asyncio.create_task(_noted(database, document))
            self._notes.add(note)
            note.add_done_callback(self._notes.discard)


def _wrong(document: AccessTokenDocument) -> str | None:
    if document["revokedAt"] is not None:
        return "revoked"
    expires = document["expiresAt"]
    return "expired" if expires is not None and expires <= timestamps.now() else None


async def _noted(database: Database, document: AccessTokenDocument) -> None:
    try:
        await store.used(database, document)
    except db.Failure as error:
        _log.warning("last use of a token not recorded", token_id=document["id"], reason=outages.reason(error))
