"""Verification of a backup before anything of it is stored: digests, documents, and the chains of its ledgers."""

import dataclasses
from collections.abc import Iterator
from typing import Any, BinaryIO

import bson
from bson.codec_options import CodecOptions
from bson.errors import InvalidBSON

from release_catalog.domain.caller import split_key
from release_catalog.domain.ledger import HashChain
from release_catalog.storage import backup_contents, forms
from release_catalog.storage import ledger as ledgers
from release_catalog.storage.backup_format import Block, Damaged, Header, Reader
from release_catalog.storage.collection_names import COUNTERS, PROMOTIONS, CollectionName

_AWARE: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
_MAX_FAULTS = 100


@dataclasses.dataclass
class Verified:
    """A backup without a fault in its bytes: its header, its documents by collection, and its digest."""

    header: Header
    documents: dict[str, int]
    digest: str
    # The faults of the ledgers, at most a hundred; they were in the database that was backed up.
    ledger_faults: list[str]


def verify(source: BinaryIO) -> Verified:
    """Read a whole backup; raise `Damaged` at the first fault."""
    reader, chains = Reader(source), _Chains()
    header = reader.header
    check_forms(header)
    for block in blocks(reader):
        if block.collection == PROMOTIONS:
            chains.follow(block.documents)
        elif block.collection == COUNTERS:
            chains.end(block.documents)
    chains.close()
    return Verified(header, dict(reader.documents), reader.digest, chains.faults)


def check_forms(header: Header) -> None:
    """Raise `Damaged` if a newer version wrote the documents of a backup."""
    newer = [
        name
        for name, form in header["forms"].items()
        if name not in forms.FORMS or form > forms.current(CollectionName[Any](name))
    ]
    if newer:
        raise Damaged(
            f"The backup was made by release-catalog {header['catalogVersion']}, whose documents have a newer "
            f"form ({', '.join(sorted(newer))}): restore it with this version or a newer one."
        )


def blocks(reader: Reader) -> Iterator[Block]:
    """Yield the blocks; raise `Damaged` for a document that does not belong into its place or into the backup."""
    order = {str(name): at for at, name in enumerate(backup_contents.BACKED_UP)}
    last = -1
    for block in reader.blocks():
        at = order.get(block.collection)
        if at is None or at < last:
            raise Damaged(f"The collection {block.collection!r} is in the wrong place of the backup.")
        last = at
        name = backup_contents.BACKED_UP[at]
        if fault := _fault(reader.header, name, block.documents):
            raise Damaged(f"{fault}: restore only files that release-catalog backup wrote.")
        yield block


def _fault(header: Header, name: CollectionName[Any], documents: list[bytes]) -> str | None:
    """Return the reason for which documents can't be in a backup with this header; None without one."""
    if name in backup_contents.SECRET and not header["secrets"]:
        return f"The backup was made without secrets, but has documents in {name}"
    tenant = header["tenant"]
    for document in documents:
        try:
            found = backup_contents.fields(document)
        except InvalidBSON:
            return f"The backup has an unreadable document in {name}"
        if "_id" not in found:
            return f"The backup has a document without an _id in {name}"
        # Of a repeated field, MongoDB reads another value than this program.
        if len(bson.encode(found)) != len(document):
            return f"The backup has a document with a repeated field in {name}"
        if tenant is not None and not backup_contents.belongs(name, found, tenant):
            return f"The backup of the tenant {tenant!r} has a document of another tenant in {name}"
    return None


class _Chains:
    """The ledgers of a backup, of which the records come one ledger after the other, in order of number."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._tenant: str | None = None
        self._chain = HashChain()
        # The number and the hash of the last record, by tenant.
        self._ends: dict[str, tuple[int, str | None]] = {}

    def follow(self, documents: list[bytes]) -> None:
        for document in documents:
            record = _decoded(document)
            # A changed record may have a tenant of any type.
            tenant = str(record.get("tenantId"))
            if tenant != self._tenant:
                self.close()
                self._tenant, self._chain = tenant, HashChain()
            self._note(tenant, self._chain.follow(record))

    def close(self) -> None:
        if self._tenant is not None:
            self._ends[self._tenant] = self._chain.sequence, self._chain.hash

    def end(self, documents: list[bytes]) -> None:
        """Compare the ends of the ledgers with the heads that the catalog noted; old ledgers have none."""
        self.close()
        for document in documents:
            counter = _decoded(document)
            tenant, kind = split_key(str(counter.get("_id")))
            if kind == ledgers.HEAD and "hash" in counter:
                chain = HashChain()
                chain.sequence, chain.hash = self._ends.get(tenant, (0, None))
                self._note(tenant, chain.end({"sequence": None, **counter}))  # type: ignore[arg-type]

    def _note(self, tenant: str, faults: list[str]) -> None:
        self.faults += [f"{tenant}: record {fault}" for fault in faults][: _MAX_FAULTS - len(self.faults)]


def _decoded(document: bytes) -> dict[str, Any]:
    try:
        return bson.decode(document, _AWARE)
    except InvalidBSON as error:
        raise Damaged(f"The backup has an unreadable document: {error}. Take another backup.") from error
