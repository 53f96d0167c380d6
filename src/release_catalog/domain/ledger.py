"""S3: the chain of ledger records, in which no record can be changed, removed or moved unnoticed."""

import datetime
import hashlib
from collections.abc import Mapping
from typing import Any, TypedDict

import orjson

from release_catalog.domain import timestamps
from release_catalog.domain.promotion import PromotionDocument, PromotionRecord

# The fields that the hash covers; how a record is stored is not part of it.
_FIELDS = (
    "id tenantId schemaVersion serviceId environment releaseId name version createdBy created status messages "
    "artifacts checkedWebhooks includedRepositoryKeys excludedRepositoryKeys overwriteExistingArtifacts "
    "sequence previousHash"
).split()
# Fields of only some records: what the promotion's paths held before, and which promotion was rolled back.
_OPTIONAL = ("before", "undoes")


class LedgerHead(TypedDict):
    """The part of the ledger's last record that the next one continues."""

    sequence: int
    hash: str
    created: datetime.datetime


def append_hash(record: PromotionRecord, previous: LedgerHead | None) -> PromotionDocument:
    """Return `record` as the next one of the ledger after `previous`, or as its first."""
    placed: PromotionDocument = {
        **record,
        "sequence": previous["sequence"] + 1 if previous else 1,
        "previousHash": previous["hash"] if previous else None,
        "hash": "",
    }
    return {**placed, "hash": digest(placed)}


def digest(record: Mapping[str, Any]) -> str:
    """Return SHA-256, in hexadecimal, of the record as JSON with sorted keys and RFC 3339 timestamps.

    The record may be any document, since what somebody has changed need not have the form of a record. A record
    that was restored into another tenant has the hash that it got in its original one.
    """
    content = {name: _plain(record[name]) for name in (*_FIELDS, *(name for name in _OPTIONAL if name in record))}
    content["tenantId"] = record.get("originalTenantId", content["tenantId"])
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _plain(value: Any) -> Any:
    return timestamps.format_rfc3339(value) if isinstance(value, datetime.datetime) else value


class HashChain:
    """A verifier that follows a ledger record by record, in order of number, and keeps only its position."""

    def __init__(self, witness: str | None = None) -> None:
        """Begin before the first record; `witness` is the hash of a record, noted outside of the database."""
        self.sequence = 0
        self.hash: str | None = None
        self.witness = witness
        # The number of the record with this hash, once the chain has met it.
        self.witnessed: int | None = None

    def follow(self, record: Mapping[str, Any]) -> list[str]:
        """Return the faults of `record` as the next one, each beginning with the number of a record."""
        number: Any = record.get("sequence")
        wrong = []
        counted = isinstance(number, int) and not isinstance(number, bool)
        if not counted or number != self.sequence + 1:
            wrong.append(f"{self.sequence + 1}: is missing or moved; {number} is in its place.")
        elif record.get("previousHash") != self.hash:
            wrong.append(f"{number}: does not match the previous record; one of the two was changed.")
        self.sequence = number if counted else self.sequence + 1
        if not _holds(record):
            wrong.append(f"{self.sequence}: was changed; its hash does not match its content.")
        self.hash = record.get("hash")
        if self.witness is not None and self.hash == self.witness:
            self.witnessed = self.sequence
        return wrong

    def end(self, head: LedgerHead | None) -> list[str]:
        """Return the faults of the last followed record, compared with the last one that the catalog wrote."""
        if head is None:
            lost = f"{self.sequence}: is not proven to be the last record; the note of the last one is missing."
            return [lost] if self.sequence else []
        if self.sequence != head["sequence"]:
            return [f"{self.sequence + 1}: is missing, and so are all up to {head['sequence']}, the last one."]
        if self.hash != head["hash"]:
            return [f"{self.sequence}: was changed; the last record that the catalog wrote has another hash."]
        return []


def _holds(record: Mapping[str, Any]) -> bool:
    try:
        return bool(digest(record) == record["hash"])
    except (KeyError, TypeError, ValueError):  # a field is missing, or has a type that no record has
        return False
