"""Verification of a backup before anything of it is stored: digests, documents, and the chains of its ledgers."""

import dataclasses
from collections.abc import Iterator
from typing import Any, BinaryIO

import bson
from bson.codec_options import CodecOptions

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
    tenant, last = reader.header["tenant"], -1
    for block in reader.blocks():
        at = order.get(block.collection)
        if at is None or at < last:
            raise Damaged(f"The collection {block.collection!r} is in the wrong place of the backup.")
        last = at
        name = backup_contents.BACKED_UP[at]
        if tenant is not None:
            for document in block.documents:
                if not backup_contents.belongs(name, document, tenant):
                    raise Damaged(
                        f"The backup of the tenant {tenant!r} has a document of another tenant in {name}: restore "
                        "only files that release-catalog backup wrote."
                    )
        yield block


class _Chains:
    """The ledgers of a backup, of which the records come one ledger after the other, in order of number."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._tenant: Any = None
        self._chain = HashChain()
        # The number and the hash of the last record, by tenant.
        self._ends: dict[Any, tuple[int, str | None]] = {}

    def follow(self, documents: list[bytes]) -> None:
        for document in documents:
            record = bson.decode(document, _AWARE)
            if record.get("tenantId") != self._tenant:
                self.close()
                self._tenant, self._chain = record.get("tenantId"), HashChain()
            self._note(self._tenant, self._chain.follow(record))

    def close(self) -> None:
        if self._tenant is not None:
            self._ends[self._tenant] = self._chain.sequence, self._chain.hash

    def end(self, documents: list[bytes]) -> None:
        """Compare the ends of the ledgers with the heads that the catalog noted; old ledgers have none."""
        self.close()
        for document in documents:
            counter = bson.decode(document, _AWARE)
            tenant, kind = split_key(str(counter.get("_id")))
            if kind == ledgers.HEAD and "hash" in counter:
                chain = HashChain()
                chain.sequence, chain.hash = self._ends.get(tenant, (0, None))
                self._note(tenant, chain.end(counter))  # type: ignore[arg-type]

    def _note(self, tenant: Any, faults: list[str]) -> None:
        self.faults += [f"{tenant}: record {fault}" for fault in faults][: _MAX_FAULTS - len(self.faults)]
