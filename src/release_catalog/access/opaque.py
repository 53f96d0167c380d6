"""Opaque access tokens: looked up in the database, and for a few seconds known."""

import asyncio
import time

import structlog

from release_catalog.domain import instants, tokens
from release_catalog.domain.caller import Caller
from release_catalog.store import database as db
from release_catalog.store import tokens as store
from release_catalog.store.database import Database, Document

# A token that is revoked goes on to be taken for so long, by processes that have just seen it.
KNOWN_SECONDS = 5.0
_MAX_KNOWN = 10_000

_log = structlog.get_logger()


class Tokens:
    """The tokens that were used a moment ago, and notes that they were."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Document]] = {}
        self._notes: set[asyncio.Task[None]] = set()

    async def caller(self, database: Database, text: str) -> Caller | None:
        """Whom a token belongs to; None where it is none, or none any more."""
        document = await self._looked_up(database, text) if tokens.well_formed(text) else None
        if document is None:
            _log.info("a token was refused", reason="unknown")
            return None
        if reason := _wrong(document):
            _log.info("a token was refused", reason=reason, token_id=document["id"])
            return None
        subject, scopes = f"token:{document['id']}", frozenset(document["scopes"])
        return Caller(document["tenantId"], subject, scopes, document["productId"], document["expiresAt"])

    async def close(self) -> None:
        """Wait for what is still to be noted."""
        await asyncio.gather(*self._notes)

    async def _looked_up(self, database: Database, text: str) -> Document | None:
        key, now = tokens.digest(text), time.monotonic()
        until, document = self._known.get(key, (0.0, None))
        if document is None or until < now:
            document = await store.known(database, text)
            self._known.pop(key, None)
            if document:
                while len(self._known) >= _MAX_KNOWN:
                    del self._known[next(iter(self._known))]
                self._known[key] = now + KNOWN_SECONDS, document
                self._note(database, document)
        return document

    def _note(self, database: Database, document: Document) -> None:
        """Have it noted that a token is used, without keeping the request waiting."""
        last = document["lastUsedAt"]
        if last is None or last <= instants.now() - store.USED:
            note = asyncio.create_task(_noted(database, document))
            self._notes.add(note)
            note.add_done_callback(self._notes.discard)


def _wrong(document: Document) -> str | None:
    if document["revokedAt"] is not None:
        return "revoked"
    expires = document["expiresAt"]
    return "expired" if expires is not None and expires <= instants.now() else None


async def _noted(database: Database, document: Document) -> None:
    try:
        await store.used(database, document)
    except db.Failure as error:
        _log.warning("can't note that a token was used", token_id=document["id"], reason=str(error))
