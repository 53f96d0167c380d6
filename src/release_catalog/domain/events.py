"""Event types and their payloads: S2's `data` in the seed's own field names, and more beside it."""

import datetime
import re
from collections.abc import Iterable
from typing import Any, NotRequired, TypedDict

import orjson

from release_catalog.domain import release_parts, timestamps
from release_catalog.domain.promotion import PromotionDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_parts import ArtifactDocument, WithdrawalDocument

TYPES = tuple(
    "release.created release.imported release.updated release.published release.archived release.withdrawn "
    "release.discarded artifact.verified artifact.mismatched "
    "delivery.started delivery.suspended delivery.resumed delivery.completed "
    "promotion.completed promotion.rejected promotion.rolled_back".split()
)
_CURSOR = re.compile(r"[0-9]{1,16}")


class EventDocument(TypedDict):
    """An event, with its payload as JSON text."""

    _id: str
    tenantId: str
    sequence: int
    type: str
    triggeredAt: datetime.datetime
    # The time of the database's clock from which the event's retention is counted.
    writtenAt: datetime.datetime
    releaseId: str
    productId: str
    # The caller who caused it; None if nobody knows.
    actor: str | None
    # Whether callers with only `release:read` saw the release then.
    open: bool
    data: str
    # The payload's `withdrawal` for such callers, if they see less of it.
    openWithdrawal: NotRequired[str]


def matching(patterns: Iterable[str]) -> frozenset[str]:
    """Return the event types that match `patterns`: a type itself, all of a kind (release.*), or all (*)."""
    ends = {pattern.removesuffix("*") for pattern in patterns if pattern == "*" or pattern.endswith(".*")}
    return frozenset(kind for kind in TYPES if kind in patterns or any(map(kind.startswith, ends)))


def id_of(sequence: int) -> str:
    """Return the id of a tenant's event with this number, which is also the cursor that continues after it."""
    return f"{sequence:016d}"


def sequence(cursor: str) -> int | None:
    """Return the number in a cursor, or None if the cursor is invalid; 0 lies before the first event."""
    return int(cursor) if _CURSOR.fullmatch(cursor) else None


def is_public(release: ReleaseDocument) -> bool:
    """Return whether callers with only `release:read` see a release as it is now (model.md, Visibility)."""
    return release["status"] != "DRAFT" and not release["private"]


def visible_payload(event: EventDocument, *, all_: bool) -> dict[str, Any]:
    """Return the `data` of an event for a caller who sees everything, or the public part of it."""
    data: dict[str, Any] = orjson.loads(event["data"])
    if not all_ and "openWithdrawal" in event:
        data["withdrawal"] = orjson.loads(event["openWithdrawal"])
    return data


def webhook_body(event: EventDocument, *, all_: bool) -> bytes:
    """Return the request body of a webhook delivery (S2)."""
    payload = {"event": event["type"], "data": visible_payload(event, all_=all_)}
    return orjson.dumps(payload | {"triggeredAt": timestamps.format_rfc3339(event["triggeredAt"])})


def withdrawn(
    withdrawal: WithdrawalDocument, count: int, affected: Iterable[ReleaseDocument], replacement_id: str | None
) -> dict[str, Any]:
    """Return the `withdrawal` part of a withdrawal event: the number of affected releases, and some by name."""
    return {
        "reason": withdrawal["reason"],
        "replacementId": replacement_id,
        "withdrawnAt": timestamps.format_rfc3339(withdrawal["withdrawnAt"]),
        "withdrawnBy": withdrawal["withdrawnBy"],
        "affectedCount": count,
        "affected": [{"id": r["id"], "name": r["name"], "version": r["version"]} for r in affected],
    }


def release_payload(release: ReleaseDocument) -> dict[str, Any]:
    """Return the `data` of an event about `release`."""
    return {
        "id": release["id"],
        "createdAt": timestamps.format_rfc3339(release["createdAt"]),
        "updatedAt": timestamps.format_rfc3339(release["updatedAt"]),
        "name": release["name"],
        "channel": release["channel"],
        "version": release["version"],
        "platforms": [platform["name"] for platform in release["platforms"]],
        "notes": release["notes"],
        "totalFiles": len(release["artifacts"]),
        "publishedAt": release["publishedAt"] and timestamps.format_rfc3339(release["publishedAt"]),
        "files": [_file(release, file) for file in release["artifacts"]],
        "published": release["status"] == "PUBLISHED",
        "private": release["private"],
        "archived": release["status"] == "ARCHIVED",
        "productId": release["productId"],
        "tenantId": release["tenantId"],
    }


def promotion_payload(record: PromotionDocument) -> dict[str, Any]:
    """Return the additional data of a promotion event: the record as clients can read it, and the ledger.

    `ledger` is the ledger's head as this record made it. A receiver that keeps it can prove later that the ledger
    was rewritten, because no other ledger leads to that hash.
    """
    hidden = {"_id", "tenantId", "before"}
    shown = {name: value for name, value in record.items() if name not in hidden}
    return {
        "promotion": {**shown, "created": timestamps.format_rfc3339(record["created"])},
        "ledger": {"sequence": record["sequence"], "hash": record["hash"]},
    }


def _file(release: ReleaseDocument, file: ArtifactDocument) -> dict[str, Any]:
    return {
        "id": file["id"],
        "createdAt": timestamps.format_rfc3339(file["createdAt"]),
        "updatedAt": timestamps.format_rfc3339(file["updatedAt"]),
        "name": file["name"],
        "url": file["downloadUrl"],
        "size": file["size"],
        "downloads": file["downloads"],
        "extension": release_parts.extension(file["name"]),
        "checksum": file["sha256"],
        "secured": file["secured"],
        "published": release["status"] == "PUBLISHED",
        "releaseId": release["id"],
        "releaseName": release["name"],
    }
