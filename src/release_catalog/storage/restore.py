"""Restore: the documents of a backup go into an empty database, or into a tenant that does not exist yet.

A marker in the database tells that a restore has begun (see `storage.restore_marker`): the documents of a backup
are no transaction. The restore also holds the lease of migrations, because these compute fields of documents from
others that are perhaps missing yet.
"""

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, BinaryIO

from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from release_catalog.storage import (
    backup_contents,
    backup_verification,
    leases,
    migrations,
    restore_marker,
)
from release_catalog.storage import database as db
from release_catalog.storage.backup import Progress
from release_catalog.storage.backup_contents import Change, moved, silenced
from release_catalog.storage.backup_format import Block, Damaged, Header, Reader
from release_catalog.storage.backup_verification import Verified
from release_catalog.storage.collection_names import META, TOKENS, WEBHOOKS, CollectionName
from release_catalog.storage.database import Database

# The blocks that the database stores while the next one is read.
BLOCKS_AT_ONCE = 3
_BLOCK_SECONDS, _DISCARD_SECONDS = 120.0, 3_600.0
# Servers see the marker within this time.
WAIT_SECONDS = restore_marker.LOOK_SECONDS + 1.0
_MAX_COUNTED = 10_000
_DUPLICATE_KEY = 11000


class RestoreFailed(Exception):  # noqa: N818  as the other errors that a user can act on
    """A backup can't be restored; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Options:
    """The tenant to restore into instead of the backup's, and whether webhooks stay active.

    With `again`, what an unfinished restore has left is removed first.
    """

    tenant: str | None = None
    enable_webhooks: bool = False
    again: bool = False


def target(header: Header, tenant: str | None) -> str | None:
    """Return the tenant to restore into, None for a whole database; raise RestoreFailed without one."""
    if tenant is not None and header["tenant"] is None:
        raise RestoreFailed("The backup holds all tenants, so it can't become one: leave out --tenant.")
    return header["tenant"] if tenant is None else tenant


async def restore(
    database: Database, source: BinaryIO, verified: Verified, options: Options, progress: Progress
) -> dict[str, int]:
    """Restore a verified backup; return the numbers of stored documents by collection.

    Raise RestoreFailed or Damaged if it can't be restored; then the marker stays if anything was stored.
    """
    header = verified.header
    if options.enable_webhooks and not header["secrets"] and verified.documents.get(WEBHOOKS):
        raise RestoreFailed(
            "The backup has no secrets of webhooks, so receivers would refuse their signatures: leave out "
            "--enable-webhooks, or restore a backup that was made with --with-secrets."
        )
    tenant = target(header, options.tenant)
    async with _alone(database) as owner:
        marker = await restore_marker.find(database)
        if marker and not options.again:
            raise RestoreFailed(restore_marker.unfinished(marker["tenant"]))
        if marker:
            await _discard(database, marker["tenant"], tenant)
        await _check_empty(database, tenant)
        with contextlib.suppress(DuplicateKeyError):
            await restore_marker.put(database, tenant)
        # After that, servers answer no request of the tenant; one of before may have written meanwhile.
        await asyncio.sleep(WAIT_SECONDS)
        try:
            await _check_empty(database, tenant)
        except RestoreFailed:
            await restore_marker.remove(database)
            raise
        stored = await _store_all(database, source, verified, options, progress, owner)
        await restore_marker.remove(database)
        return stored


async def discard(database: Database) -> restore_marker.RestoreMarker | None:
    """Remove what an unfinished restore has left, and return its marker; None if no restore is unfinished."""
    async with _alone(database):
        if marker := await restore_marker.find(database):
            await _discard(database, marker["tenant"], marker["tenant"])
            await restore_marker.remove(database)
        return marker


@contextlib.asynccontextmanager
async def _alone(database: Database) -> AsyncIterator[str]:
    """Hold the lease of migrations, which only one process has; yield its owner."""
    owner = await migrations.take_lease(database)
    if owner is None:
        raise RestoreFailed(
            "Another process restores a backup into this database or migrates its documents: repeat the command "
            f"when it has ended. If the process was killed, that is in {migrations.LEASE.total_seconds():.0f} s."
        )
    try:
        async with leases.renewed(lambda: migrations.renew_lease(database, owner), migrations.LEASE):
            yield owner
    finally:
        with contextlib.suppress(db.Failure):  # then the lease ends by itself
            await migrations.release_lease(database, owner)


async def _discard(database: Database, tenant: str | None, into: str | None) -> None:
    if tenant != into:
        raise RestoreFailed(restore_marker.unfinished(tenant))
    for name in reversed(backup_contents.BACKED_UP):
        if name != META:
            with db.deadline(_DISCARD_SECONDS):
                await database[name].delete_many(backup_contents.match(name, tenant))


async def _check_empty(database: Database, tenant: str | None) -> None:
    """Raise RestoreFailed with the numbers of the documents that the target has."""
    found = {}
    for name in backup_contents.BACKED_UP:
        if name != META:
            match = backup_contents.match(name, tenant)
            with db.deadline(_BLOCK_SECONDS):
                found[name] = await database[name].count_documents(match, limit=_MAX_COUNTED)
    if not any(found.values()):
        return
    numbers = ", ".join(
        f"{name}: {count}{' or more' if count == _MAX_COUNTED else ''}" for name, count in found.items() if count
    )
    place, other = f"The database {database.name}", "RELEASE_CATALOG_DATABASE"
    if tenant is not None:
        place = f"The tenant {tenant} of the database {database.name}"
        other = "--tenant, or another database in RELEASE_CATALOG_DATABASE"
    raise RestoreFailed(f"{place} is not empty ({numbers}): name another one in {other}.")


async def _store_all(
    database: Database,
    source: BinaryIO,
    verified: Verified,
    options: Options,
    progress: Progress,
    owner: str,
) -> dict[str, int]:
    source.seek(0)
    reader = Reader(source)
    plain = database.with_options()
    groups = _groups(_changed(backup_verification.blocks(reader), verified.header, options))
    stored: dict[str, int] = {}
    while blocks := await asyncio.to_thread(next, groups, None):
        await _check_lease(database, owner)
        # All of them end before an error of one is raised.
        outcomes = await asyncio.gather(*(_store(plain, block) for block in blocks), return_exceptions=True)
        for error in filter(None, outcomes):
            raise error
        for block in blocks:
            stored[block.collection] = stored.get(block.collection, 0) + len(block.documents)
            progress(block.collection, len(block.documents), sum(map(len, block.documents)))
    if reader.digest != verified.digest:
        raise Damaged("The file was changed while it was restored: repeat the restore with --again.")
    await _check_lease(database, owner)
    return stored


async def _check_lease(database: Database, owner: str) -> None:
    """Raise RestoreFailed if the lease was lost: then another restore may have begun to remove what is stored."""
    if not await migrations.renew_lease(database, owner):
        raise RestoreFailed("The restore stood still for too long, and another process may have begun: repeat it.")


def _groups(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Yield the blocks that the database stores at a time, of one collection each."""
    for _, some in itertools.groupby(blocks, lambda block: block.collection):
        while group := list(itertools.islice(some, BLOCKS_AT_ONCE)):
            yield group


def moves_to(header: Header, tenant: str | None) -> Change | None:
    """Return the change of a backup's documents that takes them to another tenant, if that is another one."""
    before = header["tenant"]
    return None if before is None or tenant in {None, before} else moved(before, str(tenant))


def _changed(blocks: Iterable[Block], header: Header, options: Options) -> Iterator[Block]:
    """Yield the blocks with their documents as they are stored."""
    move = moves_to(header, options.tenant)
    for block in blocks:
        name, documents = CollectionName[Any](block.collection), block.documents
        if move and name in {META, TOKENS}:
            # The deployment keeps its name, and a token belongs to one tenant.
            continue
        if move:
            documents = [move(name, document) for document in documents]
        if name == WEBHOOKS:
            documents = [silenced(document, enable=options.enable_webhooks) for document in documents]
        yield Block(block.collection, documents)


async def _store(plain: Any, block: Block) -> None:
    documents = [RawBSONDocument(document) for document in block.documents]
    with db.deadline(_BLOCK_SECONDS):
        if block.collection == META:
            # Another deployment keeps its name.
            with contextlib.suppress(DuplicateKeyError, BulkWriteError):
                await plain[block.collection].insert_many(documents, ordered=False)
            return
        try:
            await plain[block.collection].insert_many(documents, ordered=False)
        except BulkWriteError as error:
            failures = (error.details or {}).get("writeErrors", [])
            if not any(failure["code"] == _DUPLICATE_KEY for failure in failures):
                raise
            key = failures[0].get("keyValue")
            raise RestoreFailed(
                f"Another process wrote to {block.collection} during the restore ({key}): stop it, then repeat "
                "the restore with --again."
            ) from error
