"""Reads of documents: the paths to read of them, and cursors, whose bytes count towards the current request.

MongoDB sends at most 16 MiB at a time. Documents that may be large are taken from a cursor in small steps, so that
a request whose documents are too large ends after the first batch that shows it.
"""

import functools
from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import Protocol

from bson.errors import BSONError

from release_catalog import usage
from release_catalog.errors import TooLarge
from release_catalog.storage.collection_names import Stored, StoredDocument

# The dotted paths to read of documents: None stands for whole documents, an empty set for their existence alone.
FieldPaths = frozenset[str] | None
NONE: FieldPaths = frozenset()
ALL: FieldPaths = None

# What reading a document raises if it is broken, or if a field of it is missing or has a wrong type.
UNREADABLE = (TypeError, ValueError, LookupError, AttributeError, BSONError)

# Documents to take before their bytes are counted, if they may be large; the number doubles each time.
STEP = 8
# The fields with at most 256 characters in any document. All other fields count as large.
SHORT = frozenset(
    "_id id tenantId catalogId productId releaseId promotionId baseImageId registryId pipelineId sequence etag "
    "name key version versionKey nextVersionKey revision revisionKey branch tag channel trial status "
    "importedStatus private author createdAt updatedAt publishedAt archivedAt releasedAt releasedKey importedAt "
    "endOfLifeAt versionScheme startedAt endedAt packagingType packageType environment checksum type open "
    "triggeredAt resolvesName nameSince createdBy publishedBy actor".split()
)
SHORT_TEXT = 256
# Lists whose entries are of bounded length if only these fields are read, with the length of an entry.
LISTS = {
    "artifacts": (
        4_000,
        frozenset(
            "id name size sha256 downloadUrl isExecutable platform platform.name platform.osFamily "
            "platform.architecture downloads secured packageType repositoryKey createdAt updatedAt".split()
        ),
    ),
    "dependencies": (600, frozenset({"reference"})),
    "platforms": (200, frozenset({"name", "osFamily", "architecture", ""})),
}


def union(*some: FieldPaths) -> FieldPaths:
    """Return the union of several projections."""
    return None if None in some else frozenset().union(*(keys for keys in some if keys is not None))


def subpaths(keys: FieldPaths, key: str) -> FieldPaths:
    """Return the part of `keys` in the document under `key`, as paths within it."""
    if keys is None or key in keys:
        return None
    return frozenset(path.removeprefix(f"{key}.") for path in keys if path.startswith(f"{key}."))


def prefixed(keys: FieldPaths, key: str) -> FieldPaths:
    """Return the paths that lead to `keys` of the document under `key`."""
    return frozenset(f"{key}.{path}" for path in keys) if keys else frozenset({key})


def without(keys: FieldPaths, key: str) -> FieldPaths:
    """Return the part of `keys` that is not below `key`."""
    return None if keys is None else frozenset(path for path in keys if path.partition(".")[0] != key)


class Cursor(Protocol[Stored]):
    """A cursor of either driver."""

    async def to_list(self, length: int | None = None) -> list[Stored]:
        """Return the next documents, at most `length`."""

    async def close(self) -> None:
        """Free the cursor in the database."""


@functools.lru_cache(1_000)
def shape(keys: FieldPaths) -> tuple[int, Sequence[tuple[str, int]]] | None:
    """Return the maximum length of documents of which `keys` are read, and that of each entry of their lists.

    None without a bound: then their bytes must be counted.
    """
    if keys is None:
        return None
    size, lists = 0, dict[str, int]()
    for path in keys:
        head, _, rest = path.partition(".")
        entry, fields = LISTS.get(head, (0, ()))
        if path in SHORT:
            size += SHORT_TEXT
        elif rest in fields:
            lists[head] = entry
        else:
            return None
    return size, tuple(lists.items())


def bound(documents: Sequence[StoredDocument], keys: FieldPaths) -> int | None:
    """Return the maximum length of `documents` of which `keys` are read; None without a bound."""
    found = shape(keys)
    if found is None:
        return None
    size, lists = found
    most = size * len(documents)
    for name, entry in lists:
        most += entry * sum([len(document.get(name) or ()) for document in documents])
    return most


async def documents(cursor: Cursor[Stored], length: int | None = None, keys: FieldPaths = None) -> list[Stored]:
    """Return the documents of a cursor, at most `length`; `keys` are read of them.

    Raise TooLarge as soon as the current request has read more bytes than its limit.
    """
    request = usage.current()
    if request is None:
        return await cursor.to_list(length)
    found: list[Stored] = []
    limited = shape(keys)
    step = STEP if limited is None or limited[1] else length
    try:
        while length is None or len(found) < length:
            size = step if step is None or length is None else min(step, length - len(found))
            some = await cursor.to_list(size)
            if some:
                request.take_documents(some, bound(some, keys))
                found += some
            if size is None or len(some) < size:
                break
            step = 2 * size
    except TooLarge:
        # Otherwise the rest of the cursor stays open in the database for minutes.
        await cursor.close()
        raise
    return found


async def document(found: Awaitable[Stored | None]) -> Stored | None:
    """Return the document of an awaitable such as `find_one`, with its bytes counted."""
    one = await found
    if one is not None and (request := usage.current()):
        request.take_documents([one])
    return one


async def batches(cursor: Cursor[Stored], size: int) -> AsyncGenerator[list[Stored], None]:
    """Yield the documents of a cursor, `size` at a time, without counting: for walks that keep none of them."""
    try:
        while some := await cursor.to_list(size):
            yield some
            if len(some) < size:
                return
    finally:
        await cursor.close()
