"""The file of a backup: records of BSON, of which each has a digest of itself and of all records before it.

The first record is the header, the last one the end, and those between are blocks: the documents of one collection
as MongoDB stores them, one after the other, compressed with zlib. Any program that reads a sequence of BSON
documents reads the records, too.

The last field of each record is its `digest`: SHA-256 over the digest of the record before it (nothing before the
header) and over the record's bytes up to the value of the digest. A reader checks the digest of a block before it
unpacks the block, so that a byte that was changed, a record that is missing or moved, and a file that was cut are
found before any document is used. The digests need no key: they do not protect from a person who may write files.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple, TypedDict, cast

import bson
from bson.timestamp import Timestamp

FORMAT = "release-catalog backup"
# The version of the format; readers take this one and older ones.
VERSION = 1
# The size of a block, unless a single document is larger: MongoDB stores documents of up to 16 MiB and a little
# more. What can't be compressed grows a little.
_BLOCK_BYTES, MAX_BLOCK_BYTES = 1 << 20, 17 << 20
_MAX_RECORD_BYTES = 18 << 20
# Few per cent larger than with the default level, in a third of the time.
_LEVEL = 1
_DIGEST_FIELD = b"\x05digest\x00\x20\x00\x00\x00\x00"
_DIGEST_BYTES = 32
_LENGTH = struct.Struct("<i")


class Damaged(Exception):  # noqa: N818  it is the state of a file
    """A file is no backup, or a backup that was cut or changed; the message names the place."""


class Header(TypedDict):
    """The instant and the contents of a backup."""

    format: str
    version: int
    catalogVersion: str
    # The versions of the documents' forms, by collection.
    forms: dict[str, int]
    # The instant: by the clock of the database, and its cluster time.
    instant: str
    clusterTime: Timestamp
    database: str
    # The tenant, or None for all tenants, and the number of its last event.
    tenant: str | None
    lastEvent: int | None
    # Whether the backup holds the secrets of webhooks, and access tokens.
    secrets: bool


_HEADER_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("catalogVersion", "instant", "database"), str),
    "forms": dict,
    "tenant": str | None,
    "lastEvent": int | None,
    "secrets": bool,
}


class Count(TypedDict):
    """The number of a collection's documents, and SHA-256 over them, one after the other."""

    documents: int
    sha256: str


class Block(NamedTuple):
    """Documents of a collection, one after the other."""

    collection: str
    documents: list[bytes]


class Writer:
    """Writes a backup record by record; it keeps only the digests in memory."""

    def __init__(self, target: BinaryIO, header: Header) -> None:
        self._target = target
        self._digest = b""
        self._blocks = 0
        self._hashes: dict[str, Any] = {}
        self._documents: dict[str, int] = {}
        self._write("header", header)

    @property
    def digest(self) -> str:
        """Return the digest of all records so far, in hexadecimal."""
        return self._digest.hex()

    def begin(self, collection: str) -> None:
        """Announce a collection, which the end then lists even if it has no documents."""
        self._hashes[collection], self._documents[collection] = hashlib.sha256(), 0

    def add(self, collection: str, documents: Iterable[bytes]) -> None:
        """Write documents of an announced collection, in blocks of a bounded size."""
        block: list[bytes] = []
        size = 0
        for document in documents:
            if block and size + len(document) > _BLOCK_BYTES:
                self._add_block(collection, block)
                block, size = [], 0
            block.append(document)
            size += len(document)
        if block:
            self._add_block(collection, block)

    def _add_block(self, collection: str, documents: list[bytes]) -> None:
        payload = b"".join(documents)
        self._hashes[collection].update(payload)
        self._documents[collection] += len(documents)
        self._blocks += 1
        fields = {
            "number": self._blocks,
            "collection": collection,
            "documents": len(documents),
            "size": len(payload),
            "data": zlib.compress(payload, _LEVEL),
        }
        self._write("block", fields)

    def end(self) -> dict[str, Count]:
        """Write the end, and return the counts by collection."""
        counts: dict[str, Count] = {
            name: {"documents": self._documents[name], "sha256": sha256.hexdigest()}
            for name, sha256 in self._hashes.items()
        }
        self._write("end", {"blocks": self._blocks, "collections": counts})
        return counts

    def _write(self, kind: str, fields: Mapping[str, Any]) -> None:
        record = bson.encode({"record": kind, **fields, "digest": bytes(_DIGEST_BYTES)})
        body = record[: -_DIGEST_BYTES - 1]
        self._digest = hashlib.sha256(self._digest + body).digest()
        self._target.write(body + self._digest + b"\x00")


class Reader:
    """Reads a backup, and checks every byte of it; raise `Damaged` at the first fault."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._digest = b""
        self._records = self._bytes = 0
        self._hashes: dict[str, Any] = {}
        self._documents: dict[str, int] = {}
        self.header = self._header()

    @property
    def digest(self) -> str:
        """Return the digest of all records so far, in hexadecimal."""
        return self._digest.hex()

    @property
    def documents(self) -> Mapping[str, int]:
        """Return the number of documents so far, by collection."""
        return self._documents

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks; a backup is whole only if this ends."""
        number = 0
        while (record := self._next())["record"] == "block":
            number += 1
            yield self._block(record, number)
        if record["record"] != "end":
            raise self._damaged(f"a record of the kind {record['record']!r} is in the wrong place")
        self._check_end(record, number)

    def _header(self) -> Header:
        try:
            record = self._next()
        except Damaged as damaged:
            message = f"This is not a backup of release-catalog, or its beginning is damaged. ({damaged})"
            raise Damaged(message) from None
        if record["record"] != "header" or record.get("format") != FORMAT:
            raise Damaged(
                "This is not a backup of release-catalog: give a file that release-catalog backup wrote."
            )
        if not isinstance(record.get("version"), int) or record["version"] > VERSION:
            raise Damaged(
                f"The backup has the format {record.get('version')}, and this release-catalog reads formats up to "
                f"{VERSION}: restore it with version {record.get('catalogVersion')} or a newer one."
            )
        lacks = any(not isinstance(record.get(name), types) for name, types in _HEADER_TYPES.items())
        if lacks or any(not isinstance(form, int) for form in record["forms"].values()):
            raise Damaged("The header of the backup lacks a field: take another backup.")
        return cast("Header", record)

    def _next(self) -> dict[str, Any]:
        """Return the next record, of which the digest fits."""
        length = self._read(_LENGTH.size, "the length of the record")
        [size] = _LENGTH.unpack(length)
        if not len(_DIGEST_FIELD) + _DIGEST_BYTES < size <= _MAX_RECORD_BYTES:
            raise self._damaged("its length is wrong")
        record = length + self._read(size - _LENGTH.size, "the record")
        body = record[: -_DIGEST_BYTES - 1]
        digest = hashlib.sha256(self._digest + body).digest()
        if not body.endswith(_DIGEST_FIELD) or record[-_DIGEST_BYTES - 1 :] != digest + b"\x00":
            raise self._damaged("its digest does not fit: it was changed, or a record before it is missing")
        self._digest = digest
        try:
            found: dict[str, Any] = bson.decode(record)
        except (bson.errors.BSONError, ValueError) as error:
            raise self._damaged(f"it is not a BSON document: {error}") from error
        self._records += 1
        self._bytes += size
        return {"record": None, **found}

    def _read(self, size: int, name: str) -> bytes:
        found = self._source.read(size)
        if len(found) < size:
            raise self._damaged(f"the file ends in {name}: it was cut")
        return found

    def _block(self, record: Mapping[str, Any], number: int) -> Block:
        collection, size, data = record.get("collection"), record.get("size"), record.get("data")
        if record.get("number") != number or not isinstance(collection, str) or not isinstance(data, bytes):
            raise self._damaged("the block lacks a field, or a block before it is missing")
        if not isinstance(size, int) or not 0 < size <= MAX_BLOCK_BYTES:
            raise self._damaged("the size of the block is wrong")
        unpacker = zlib.decompressobj()
        try:
            payload = unpacker.decompress(data, size + 1)
            documents = split(payload)
        except (zlib.error, ValueError) as error:
            raise self._damaged(f"the block can't be unpacked: {error}") from error
        is_whole = unpacker.eof and not unpacker.unused_data and len(payload) == size
        if not is_whole or len(documents) != record.get("documents"):
            raise self._damaged("the block has another size or number of documents than its fields say")
        self._hashes.setdefault(collection, hashlib.sha256()).update(payload)
        self._documents[collection] = self._documents.get(collection, 0) + len(documents)
        return Block(collection, documents)

    def _check_end(self, record: Mapping[str, Any], blocks: int) -> None:
        counted = record.get("collections")
        found = {
            name: {"documents": self._documents[name], "sha256": sha256.hexdigest()}
            for name, sha256 in self._hashes.items()
        }
        if not isinstance(counted, dict) or record.get("blocks") != blocks:
            raise self._damaged("the number of blocks is wrong")
        none = {"documents": 0, "sha256": hashlib.sha256().hexdigest()}
        if {name: found.get(name, none) for name in counted} != counted or not found.keys() <= counted.keys():
            raise self._damaged("the counts or digests of the collections are wrong")
        self._documents = {name: self._documents.get(name, 0) for name in counted}
        if self._source.read(1):
            raise self._damaged("bytes follow the end")

    def _damaged(self, reason: str) -> Damaged:
        place = f"The backup is damaged at record {self._records + 1}, byte {self._bytes}"
        return Damaged(f"{place}: {reason}. Take another copy of the file, or another backup.")


def split(documents: bytes) -> list[bytes]:
    """Return documents that lie one after the other; raise ValueError if they do not fill the bytes."""
    found, at = [], 0
    while at < len(documents):
        if at + _LENGTH.size > len(documents):
            raise ValueError("a document is cut")
        [size] = _LENGTH.unpack_from(documents, at)
        if size < _LENGTH.size + 1 or at + size > len(documents):
            raise ValueError("the length of a document is wrong")
        found.append(documents[at : at + size])
        at += size
    return found
