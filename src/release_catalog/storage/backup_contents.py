"""The contents of a backup: the collections and their order, and the changes that a restore makes to documents."""

from collections.abc import Callable, Mapping
from typing import Any

import bson
import orjson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

from release_catalog.domain import caller as callers
from release_catalog.domain import webhooks
from release_catalog.storage.collection_names import (
    BASE_IMAGES,
    CATALOGS,
    CONTENTS,
    COUNTERS,
    ENVIRONMENTS,
    EVENTS,
    EXECUTIONS,
    META,
    MIGRATION_STATE,
    PIPELINES,
    PRODUCTS,
    PROJECTS,
    PROMOTIONS,
    REGISTRIES,
    RELEASES,
    REQUESTS,
    TOKENS,
    VERIFICATIONS,
    WEBHOOK_DELIVERIES,
    WEBHOOKS,
    CollectionName,
)
from release_catalog.storage.database import Filter

# In the order in which a restore inserts them. The last ones let background work of servers begin: changes of
# version schemes, verification of files, and the delivery of events to webhooks.
BACKED_UP: tuple[CollectionName[Any], ...] = (
    META, CATALOGS, PROJECTS, REGISTRIES, BASE_IMAGES, PIPELINES, EXECUTIONS, ENVIRONMENTS, RELEASES, CONTENTS,
    PROMOTIONS, EVENTS, WEBHOOK_DELIVERIES, PRODUCTS, TOKENS, COUNTERS, VERIFICATIONS, WEBHOOKS,
)  # fmt: skip
# Whatever no backup holds, with the reason.
LEFT_OUT: Mapping[CollectionName[Any], str] = {
    REQUESTS: "Answers to idempotency keys, which are kept for 24 hours to answer retries of the same requests.",
    MIGRATION_STATE: "Progress of the migrations of one database; a restored one has its own.",
}
# What only a backup with secrets holds.
SECRET: Mapping[CollectionName[Any], str] = {TOKENS: "Access tokens, of which the database has only digests."}
# The id of the document in META that names the deployment; the others belong to one database.
SERVICE = "service"
# The fields of the order in which a collection is read. The ledger is verified in the order of its records.
BY_ID: Mapping[str, int] = {"_id": 1}
ORDERS: Mapping[CollectionName[Any], Mapping[str, int]] = {PROMOTIONS: {"tenantId": -1, "sequence": 1}}
# The fields that differ between a database and its restored backup.
PASSING: Mapping[CollectionName[Any], frozenset[str]] = {
    WEBHOOKS: frozenset({"active", "secret", "formerSecret", "formerUntil", "owner", "leaseUntil"}),
    VERIFICATIONS: frozenset({"owner", "leaseUntil"}),
    TOKENS: frozenset({"lastUsedAt"}),
}
_EXACT: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument, tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)

# Takes a document and returns it as it is stored.
Change = Callable[[CollectionName[Any], bytes], bytes]


def match(collection: CollectionName[Any], tenant: str | None) -> Filter:
    """Return the condition for the documents of a tenant, None for all tenants; an index serves it.

    The `_id` tells the tenant also of what is left of a discarded draft, which has no other field of a release.
    """
    if collection == META:
        return {"_id": SERVICE}
    if tenant is None:
        return {}
    if collection in {TOKENS, PROMOTIONS}:
        return {"tenantId": tenant}
    prefix = callers.local(tenant).key("")
    # The character after the slash at the end of the prefix, which no tenant's own part of an `_id` contains.
    return {"_id": {"$gte": prefix, "$lt": f"{prefix[:-1]}0"}}


def fields(document: bytes) -> dict[str, Any]:
    """Return the fields of a stored document, with the values inside of them unchanged."""
    return dict(RawBSONDocument(document, _EXACT))


def belongs(collection: CollectionName[Any], found: Mapping[str, Any], tenant: str) -> bool:
    """Return whether a document with these fields is one that a backup of a tenant may hold."""
    key = found.get("_id")
    if collection == META:
        return bool(key == SERVICE)
    if collection == TOKENS:
        return bool(found.get("tenantId") == tenant)
    is_own = isinstance(key, str) and key.startswith(callers.local(tenant).key(""))
    return is_own and found.get("tenantId", tenant) == tenant


def without_secrets(collection: CollectionName[Any], document: bytes) -> bytes:
    """Return a document without the secrets of a webhook."""
    if collection != WEBHOOKS:
        return document
    return bson.encode({**fields(document), "secret": "", "formerSecret": None})


def silenced(document: bytes, *, enable: bool) -> bytes:
    """Return a webhook that is not active unless `enable`; one without a secret gets a new one."""
    webhook = fields(document)
    webhook["active"] = enable and webhook.get("active")
    webhook["secret"] = webhook.get("secret") or webhooks.new_secret()
    return bson.encode(webhook)


def moved(before: str, after: str) -> Change:
    """Return the change of a document from one tenant to another."""
    keys = tuple(callers.local(tenant).key("") for tenant in (before, after))

    def change(collection: CollectionName[Any], document: bytes) -> bytes:
        found = fields(document)
        found["_id"] = _moved_key(found["_id"], *keys)
        if "tenantId" in found:
            found["tenantId"] = after
        if collection == RELEASES and "tenantId" not in found and "version" in found:
            # What is left of a discarded draft has its key as its version, too.
            found["version"] = _moved_key(found["version"], *keys)
        if collection == EVENTS and "data" in found:
            found["data"] = _moved_data(found["data"], before, after)
        if collection == PROMOTIONS:
            # The hashes of the ledger cover it.
            found.setdefault("originalTenantId", before)
        return bson.encode(found)

    return change


def _moved_key(key: Any, before: str, after: str) -> Any:
    return after + key.removeprefix(before) if isinstance(key, str) and key.startswith(before) else key


def _moved_data(text: Any, before: str, after: str) -> Any:
    """Return the data of an event, which names the tenant of its release."""
    try:
        data = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return text
    if not isinstance(data, dict) or data.get("tenantId") != before:
        return text
    return orjson.dumps({**data, "tenantId": after}).decode()
