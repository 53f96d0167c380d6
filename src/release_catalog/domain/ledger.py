"""S3: the chain of promotion records, in which no record can be changed, left out or moved unnoticed."""

import datetime
import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from release_catalog.domain import instants

# All that a record says; how it is stored is no part of it.
_FIELDS = (
    "id tenantId schemaVersion serviceId environment releaseId name version createdBy created status messages "
    "artifacts checkedWebhooks includedRepositoryKeys excludedRepositoryKeys overwriteExistingArtifacts "
    "sequence previousHash"
).split()


def sealed(record: Mapping[str, Any], previous: Mapping[str, Any] | None) -> dict[str, Any]:
    """`record` as the next of the ledger after `previous`, or as its first."""
    placed = {
        **record,
        "sequence": previous["sequence"] + 1 if previous else 1,
        "previousHash": previous["hash"] if previous else None,
    }
    return {**placed, "hash": digest(placed)}


def digest(record: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, over the record's fields as JSON with sorted keys and instants in RFC 3339."""
    said = {name: _plain(record[name]) for name in _FIELDS}
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _plain(value: Any) -> Any:
    return instants.written(value) if isinstance(value, datetime.datetime) else value
