"""Backup: everything of a tenant, or of all tenants, as it was at one instant, while servers read and write.

All reads of a backup are snapshot reads at one cluster time. MongoDB keeps the history that they need for
`minSnapshotHistoryWindowInSeconds`, 300 seconds by default; a backup that takes longer fails as a whole.
"""

import asyncio
import importlib.metadata
from collections.abc import AsyncIterator, Callable
from typing import Any, BinaryIO, NamedTuple

from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure

from release_catalog.domain import caller as callers
from release_catalog.domain import timestamps
from release_catalog.storage import backup_contents, forms, restore_marker
from release_catalog.storage import database as db
from release_catalog.storage.backup_format import FORMAT, VERSION, Count, Header, Writer, split
from release_catalog.storage.collection_names import COLLECTIONS, COUNTERS, META, CollectionName
from release_catalog.storage.database import Database

# The documents that are read at a time, at most 16 MiB of them.
BATCH = 500
# The error of a read whose snapshot is gone, among others.
SnapshotLost = OperationFailure
_SNAPSHOT_TOO_OLD, _SNAPSHOT_UNAVAILABLE = 239, 246
# The number of attempts to begin: a collection that was just created has no snapshot yet.
_ATTEMPTS = 5
_PAUSE_SECONDS = 1.0

# Gets the name of a collection, and the numbers of documents and bytes that came now.
Progress = Callable[[str, int, int], object]


class BackupFailed(Exception):  # noqa: N818  as the other errors that a user can act on
    """A backup could not be made; the message says what to do."""


class Snapshot(NamedTuple):
    """A session of which all reads see the database at one instant."""

    session: Any
    # The database without the completion of older forms.
    database: Any
    cluster_time: Timestamp


class Written(NamedTuple):
    """The header and the counts of a backup, and the digest of all of it."""

    header: Header
    collections: dict[str, Count]
    digest: str


async def write(
    database: Database, target: BinaryIO, tenant: str | None, *, secrets: bool, progress: Progress
) -> Written:
    """Write a backup of a tenant, None for all tenants, to `target`; raise BackupFailed if it can't be whole."""
    if restore_marker.covers(marker := await restore_marker.find(database), tenant):
        raise BackupFailed(restore_marker.unfinished(marker and marker["tenant"]))
    async with await db.awaited(database.client.start_session(snapshot=True)) as session:
        try:
            snapshot = await begin(database, session)
            header = await _header(snapshot, tenant, secrets=secrets)
            writer = Writer(target, header)
            for name in backup_contents.BACKED_UP:
                if secrets or name not in backup_contents.SECRET:
                    await _write_collection(snapshot, writer, name, tenant, secrets=secrets, progress=progress)
        except SnapshotLost as error:
            raise explained(error) from error
        counts = writer.end()
        return Written(header, counts, writer.digest)


async def begin(database: Database, session: Any) -> Snapshot:
    """Choose the instant of a snapshot session."""
    plain = database.with_options()
    for attempt in range(_ATTEMPTS):
        try:
            # The first read sets the time of the others.
            first = await plain.command(
                {"find": META, "filter": {"_id": None}, "limit": 1, "singleBatch": True}, session=session
            )
            return Snapshot(session, plain, first["cursor"]["atClusterTime"])
        except OperationFailure as error:
            if error.code != _SNAPSHOT_UNAVAILABLE or attempt + 1 == _ATTEMPTS:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError


async def _header(snapshot: Snapshot, tenant: str | None, *, secrets: bool) -> Header:
    last = None
    if tenant is not None:
        key = {"_id": callers.local(tenant).key("events")}
        counter = await snapshot.database[COUNTERS].find_one(key, session=snapshot.session) or {}
        last = counter.get("value", 0)
    instant = snapshot.cluster_time.as_datetime()
    return {
        "format": FORMAT,
        "version": VERSION,
        "catalogVersion": importlib.metadata.version("release-catalog"),
        "forms": {str(name): forms.current(name) for name in COLLECTIONS},
        "instant": timestamps.format_rfc3339(instant),
        "clusterTime": snapshot.cluster_time,
        "database": snapshot.database.name,
        "tenant": tenant,
        "lastEvent": last,
        "secrets": secrets,
    }


async def batches(snapshot: Snapshot, name: CollectionName[Any], tenant: str | None) -> AsyncIterator[bytes]:
    """Yield the documents of a collection as stored, several at a time, in the order of backups."""
    order = backup_contents.ORDERS.get(name, backup_contents.BY_ID)
    cursor = snapshot.database[name].find_raw_batches(
        backup_contents.match(name, tenant),
        sort=list(order.items()),
        hint="sequence" if name in backup_contents.ORDERS else "_id_",
        batch_size=BATCH,
        session=snapshot.session,
    )
    try:
        async for batch in cursor:
            if batch:
                yield batch
    finally:
        await cursor.close()


async def _write_collection(
    snapshot: Snapshot,
    writer: Writer,
    name: CollectionName[Any],
    tenant: str | None,
    *,
    secrets: bool,
    progress: Progress,
) -> None:
    """Write a collection; while a batch is compressed in a thread, MongoDB sends the next one."""
    writer.begin(str(name))
    writing: asyncio.Future[None] | None = None
    try:
        async for batch in batches(snapshot, name, tenant):
            if writing:
                await writing
            documents = split(batch)
            if not secrets:
                documents = [backup_contents.without_secrets(name, document) for document in documents]
            writing = asyncio.ensure_future(asyncio.to_thread(writer.add, str(name), documents))
            progress(name, len(documents), len(batch))
        if writing:
            await writing
    finally:
        if writing:
            # The thread must not write to a file that is closed.
            await asyncio.wait([writing])


def explained(error: SnapshotLost) -> Exception:
    """Return the error with its remedy if the snapshot was lost."""
    if error.code == _SNAPSHOT_TOO_OLD:
        return BackupFailed(
            "The backup took longer than MongoDB keeps the history of its documents, so there is no backup. Let "
            "MongoDB keep more of it, then repeat the backup: in mongosh, run db.adminCommand({setParameter: 1, "
            "minSnapshotHistoryWindowInSeconds: 3600}) as a user with the role hostManager."
        )
    if error.code == _SNAPSHOT_UNAVAILABLE:
        return BackupFailed(
            "A collection or an index was created or removed during the backup, so there is no backup: repeat it "
            f"when no new version of a server is starting. ({error.details and error.details.get('errmsg')})"
        )
    return error
