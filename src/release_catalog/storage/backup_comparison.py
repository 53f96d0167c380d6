"""Comparison of a backup with a database: the documents that only one of the two has, and those that differ.

Both come in the same order, so that a comparison keeps a few of them in memory, however many there are.
"""

import asyncio
import dataclasses
import datetime
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, BinaryIO

from release_catalog.storage import backup, backup_contents, backup_verification, indexes, restore_marker
from release_catalog.storage import database as db
from release_catalog.storage.backup import BackupFailed, Progress, Snapshot
from release_catalog.storage.backup_format import Block, Header, Reader, split
from release_catalog.storage.collection_names import (
    META,
    PRODUCTS,
    TOKENS,
    CollectionName,
)
from release_catalog.storage.database import Database
from release_catalog.storage.restore import moves_to, target

# The differences of each collection that a comparison names.
MAX_NAMED = 10
# MongoDB removes these documents after a while, by the time in the field.


@dataclasses.dataclass
class Difference:
    """The comparison of a collection: the numbers of documents, and the first differences."""

    equal: int = 0
    different: int = 0
    only_in_backup: int = 0
    only_in_database: int = 0
    # Documents of the backup that are older than the database keeps them.
    expired: int = 0
    named: list[str] = dataclasses.field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Return whether nothing differs."""
        return not (self.different or self.only_in_backup or self.only_in_database)

    def name(self, line: str) -> None:
        """Name a difference, unless enough are named."""
        if len(self.named) < MAX_NAMED:
            self.named.append(line)


async def compare(
    database: Database, source: BinaryIO, tenant: str | None, progress: Progress
) -> dict[str, Difference]:
    """Return the differences between a backup and a database, or the tenant into which it was restored."""
    reader = Reader(source)
    header = reader.header
    backup_verification.check_forms(header)
    tenant = target(header, tenant)
    if restore_marker.covers(marker := await restore_marker.find(database), tenant):
        raise BackupFailed(restore_marker.unfinished(marker and marker["tenant"]))
    saved = _Saved(backup_verification.blocks(reader), progress)
    found: dict[str, Difference] = {}
    async with await db.awaited(database.client.start_session(snapshot=True)) as session:
        try:
            snapshot = await backup.begin(database, session)
            oldest = await _oldest_kept(database)
            for name in backup_contents.BACKED_UP:
                documents = saved.of(name)
                if name in left_out(header, tenant):
                    async for _ in documents:
                        pass
                    continue
                move = moves_to(header, tenant)
                wanted = (move(name, document) if move else document async for document in documents)
                stored = _stored(snapshot, name, tenant)
                found[name] = await _compare(name, wanted, stored, oldest.get(name))
        except backup.SnapshotLost as error:
            raise backup.explained(error) from error
    await saved.end()
    return found


def left_out(header: Header, tenant: str | None) -> frozenset[CollectionName[Any]]:
    """Return the collections that are not compared: the deployment's name, and tokens that are not restored."""
    no_tokens = not header["secrets"] or moves_to(header, tenant)
    return frozenset({META, TOKENS} if no_tokens else {META})


class _Saved:
    """The documents of a backup, collection by collection."""

    def __init__(self, blocks: Iterator[Block], progress: Progress) -> None:
        self._blocks = blocks
        self._progress = progress
        self._next: Block | None = None

    async def of(self, name: str) -> AsyncIterator[bytes]:
        while (block := await self._peek()) and block.collection == name:
            self._next = None
            self._progress(name, len(block.documents), sum(map(len, block.documents)))
            for document in block.documents:
                yield document

    async def end(self) -> None:
        """Read the end, which tells whether the backup is whole."""
        assert await self._peek() is None  # noqa: S101  the collections come in their order

    async def _peek(self) -> Block | None:
        if self._next is None:
            self._next = await asyncio.to_thread(next, self._blocks, None)
        return self._next


async def _stored(snapshot: Snapshot, name: CollectionName[Any], tenant: str | None) -> AsyncIterator[bytes]:
    async for batch in backup.batches(snapshot, name, tenant):
        for document in split(batch):
            yield document


async def _oldest_kept(database: Database) -> dict[str, tuple[str, datetime.datetime]]:
    """Return the field of the time of documents that MongoDB removes, and the oldest time that it keeps."""
    now = await db.now(database)
    found: dict[str, tuple[str, datetime.datetime]] = {}
    for name, field in indexes.KEPT.items():
        stored = await database[name].index_information()
        if seconds := stored.get(indexes.RETENTION, {}).get("expireAfterSeconds"):
            found[name] = field, now - datetime.timedelta(seconds=seconds)
    return found


async def _compare(
    name: CollectionName[Any],
    saved: AsyncIterator[bytes],
    stored: AsyncIterator[bytes],
    oldest: tuple[str, datetime.datetime] | None,
) -> Difference:
    order = backup_contents.ORDERS.get(name, backup_contents.BY_ID)
    found = Difference()
    one, other = await anext(saved, None), await anext(stored, None)
    while one is not None or other is not None:
        is_saved = one is not None and (other is None or not _precedes(other, one, order))
        is_stored = other is not None and (one is None or not _precedes(one, other, order))
        if is_saved and is_stored:
            fields = [] if one == other else _different(name, one, other)
            found.different += bool(fields)
            found.equal += not fields
            if fields:
                found.name(f"{_key(one)} differs in {', '.join(fields)}")
        elif is_saved and one is not None and oldest and _is_older(one, *oldest):
            found.expired += 1
        elif is_saved:
            found.only_in_backup += 1
            found.name(f"{_key(one)} is only in the backup")
        else:
            found.only_in_database += 1
            found.name(f"{_key(other)} is only in the database")
        one = await anext(saved, None) if is_saved else one
        other = await anext(stored, None) if is_stored else other
    return found


def _precedes(one: bytes, other: bytes, order: Mapping[str, int]) -> bool:
    """Return whether a document comes before another one in an order of texts and numbers."""
    fields, others = backup_contents.fields(one), backup_contents.fields(other)
    for field, direction in order.items():
        value, another = fields.get(field), others.get(field)
        if value != another:
            return (_sortable(value) < _sortable(another)) == (direction == 1)
    return False


def _sortable(value: Any) -> tuple[int, Any]:
    """Return a value in MongoDB's order: nothing, numbers, texts."""
    if isinstance(value, str):
        return 2, value
    return (1, value) if isinstance(value, int | float) else (0, 0)


def _different(name: CollectionName[Any], one: bytes | None, other: bytes | None) -> list[str]:
    """Return the names of the fields that differ, but for those that a restore changes."""
    fields, others = (_lasting(name, backup_contents.fields(document or b"")) for document in (one, other))
    missing = object()
    return [name for name in {**fields, **others} if fields.get(name, missing) != others.get(name, missing)]


def _lasting(name: CollectionName[Any], fields: dict[str, Any]) -> dict[str, Any]:
    passing = backup_contents.PASSING.get(name, frozenset())
    kept = {field: value for field, value in fields.items() if field not in passing}
    if name == PRODUCTS and "schemeChange" in kept:
        kept["schemeChange"] = {
            field: value for field, value in kept["schemeChange"].items() if field not in {"owner", "leaseUntil"}
        }
    return kept


def _is_older(document: bytes, field: str, oldest: datetime.datetime) -> bool:
    at = backup_contents.fields(document).get(field)
    return isinstance(at, datetime.datetime) and at <= oldest


def _key(document: bytes | None) -> str:
    return str(backup_contents.fields(document or b"")["_id"])
