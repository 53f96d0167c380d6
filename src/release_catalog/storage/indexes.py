"""The indexes, and the queries that each serves.

Releases are queried by many fields in five orders. An index for each pair would be dozens, so there are these
instead:

`terms`
    One multikey index over `terms`, the strings that a release is found by (see `storage.search_terms`): id,
    product, name, version, tag, branch, author, artifact digest, delivery status, end of life, platforms, the
    references that resolve to it and those that it makes. Within a term it holds the default order, so it serves
    each of those filters, reference lookups, dependants and their counts without sorting. The fields behind the
    order let the other orders, counts and visibility be judged on index keys alone.
`created`, `updated`, `released`, `published`, `name`, `version`
    One for each order: pages without a selective filter, and with one that most releases match.
`latest`
    The highest version of a product, for `latestRelease`.
`platform`
    The highest version of a product on a platform.
`held`
    The releases of a product of which any environment holds something.
`named`
    The oldest draft of a name and version, and its published releases, where very many drafts have them.
`next`, `nextLatest`
    The same as `version` and `latest` for a product whose scheme changes (see `storage.version_order`); they hold
    no other releases.
`form`
    Documents of an older form, for migrations (see `storage.migrations`).
"""

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import OperationFailure

from release_catalog.storage import database as db
from release_catalog.storage import forms
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
from release_catalog.storage.database import Database


def _index(index: str, /, *, unique: bool = False, **keys: int) -> IndexModel:
    fields: list[tuple[str, Any]] = [("tenantId", ASCENDING), *keys.items()]
    return IndexModel(fields, name=index, unique=unique)


def _next(index: str, /, **keys: int) -> IndexModel:
    """Return an index of the releases of products whose scheme is changing."""
    fields: list[tuple[str, Any]] = [("tenantId", ASCENDING), ("productId", ASCENDING), *keys.items()]
    return IndexModel(fields, name=index, partialFilterExpression={"nextVersionKey": {"$exists": True}})


UP, DOWN = ASCENDING, DESCENDING
# For collections read only by _id: concurrent transactions that create a collection would fail at their end.
_MADE = [IndexModel([("_id", UP)])]

INDEXES: dict[CollectionName[Any], list[IndexModel]] = {
    RELEASES: [
        # Decides between two requests that create the same release at once.
        _index("identity", unique=True, catalogId=UP, productId=UP, version=UP, revision=UP, channel=UP),
        _index(
            "terms",
            terms=UP, createdAt=DOWN, id=DOWN,
            status=UP, private=UP, name=UP, versionKey=UP, updatedAt=UP, releasedKey=UP,
        ),
        _index("created", createdAt=DOWN, id=DOWN),
        _index("updated", updatedAt=DOWN, id=DOWN),
        _index("released", releasedKey=DOWN, id=DOWN),
        _index("published", publishedKey=DOWN, id=DOWN),
        _index("name", name=DOWN, id=DOWN),
        _index("version", versionKey=DOWN, id=DOWN),
        _index(
            "latest",
            productId=UP, status=UP, versionKey=DOWN, revisionKey=DOWN, createdAt=DOWN, id=DOWN,
            channel=UP, branch=UP, private=UP,
        ),
        _index(
            "platform",
            productId=UP, status=UP, platformKeys=UP, versionKey=DOWN, revisionKey=DOWN, createdAt=DOWN, id=DOWN,
            channel=UP, branch=UP, private=UP,
        ),
        # The releases of a product of which any environment holds something.
        IndexModel(
            [("tenantId", UP), ("productId", UP), ("createdAt", DOWN), ("id", DOWN)],
            name="held", partialFilterExpression={"environments.environment": {"$exists": True}},
        ),
        _index(
            "named", catalogId=UP, name=UP, version=UP, status=UP, nameSince=UP, id=UP, resolvesName=UP,
        ),
        _next("next", nextVersionKey=DOWN, id=DOWN),
        _next(
            "nextLatest",
            status=UP, nextVersionKey=DOWN, revisionKey=DOWN, createdAt=DOWN, id=DOWN,
            channel=UP, branch=UP, private=UP,
        ),
    ],
    CATALOGS: [_index("name", name=UP, id=UP)],
    PRODUCTS: [
        # Products by key, in all catalogs and in one.
        _index("key", unique=True, key=UP, catalogId=UP),
        _index("catalog", catalogId=UP, key=UP),
        # Products by name, in all catalogs and in one; several may have it.
        _index("name", name=UP, catalogId=UP, id=UP),
        # Across tenants: the scheme changes under way whose lease is over.
        IndexModel(
            [("schemeChange.leaseUntil", UP)],
            name="schemeChange", partialFilterExpression={"schemeChange": {"$exists": True}},
        ),
        # Across tenants: those whose releases may still have an older name of theirs.
        IndexModel([("renamed", UP)], name="renamed", partialFilterExpression={"renamed": True}),
    ],
    # Older databases have an index called `name` without the id besides.
    **{
        collection: [_index("listed", name=UP, id=UP)]
        for collection in (PROJECTS, REGISTRIES, BASE_IMAGES, PIPELINES)
    },
    EXECUTIONS: [
        # The newest running executions, and the newest of all.
        _index("pipeline", pipelineId=UP, status=UP, startedAt=DOWN),
        _index("started", pipelineId=UP, startedAt=DOWN),
        _index("release", releaseId=UP),
    ],
    ENVIRONMENTS: [_index("name", unique=True, name=UP)],
    CONTENTS: [
        _index("path", unique=True, environment=UP, path=UP),
        # The environments that hold something of a release, and the oldest promotion that brought it.
        _index("release", releaseId=UP, environment=UP, since=UP, promotionId=UP),
    ],
    EVENTS: [
        _index("sequence", unique=True, sequence=UP),
        _index("type", type=UP, sequence=UP),
        _index("release", releaseId=UP, sequence=UP),
        _index("product", productId=UP, sequence=UP),
    ],
    WEBHOOKS: [
        _index("created", createdAt=UP, id=UP),
        # Across tenants: everything needed to find the webhooks that are due.
        IndexModel(
            [(field, UP) for field in ("active", "tenantId", "cursor", "nextAttemptAt", "leaseUntil", "_id")],
            name="due",
        ),
    ],
    WEBHOOK_DELIVERIES: [
        _index("webhook", webhookId=UP, sequence=DOWN),
        IndexModel(
            [("tenantId", UP), ("webhookId", UP), ("sequence", UP)],
            name="pending", partialFilterExpression={"status": "PENDING"},
        ),
    ],
    TOKENS: [_index("id", unique=True, id=UP), _index("created", createdAt=DOWN, id=DOWN)],
    # MongoDB deletes these itself.
    REQUESTS: [IndexModel([("expiresAt", UP)], name="expiresAt", expireAfterSeconds=0)],
    # A free worker takes the oldest job of the tenant whose turn it is.
    VERIFICATIONS: [
        _index("turn", leaseUntil=UP),
        # Across tenants: how many jobs wait, and for how long.
        IndexModel([("leaseUntil", UP)], name="due"),
    ],
    COUNTERS: _MADE,
    META: _MADE,
    MIGRATION_STATE: _MADE,
    PROMOTIONS: [
        _index("sequence", unique=True, sequence=DOWN),
        _index("environment", environment=UP, sequence=DOWN),
        _index("release", releaseId=UP, sequence=DOWN),
        _index("record", name=UP, version=UP, sequence=DOWN),
        # The environments that a release has reached: its promotions and their rollbacks.
        _index("reached", releaseId=UP, environment=UP, status=UP),
        # No promotion is rolled back twice.
        IndexModel(
            [("tenantId", UP), ("undoes", UP)],
            name="undoes", unique=True, partialFilterExpression={"undoes": {"$exists": True}},
        ),
    ],
}  # fmt: skip


# Migrations find older documents by this index; collections that do not grow with the releases need none.
for _name in (
    RELEASES, PRODUCTS, EXECUTIONS, CONTENTS, EVENTS, WEBHOOK_DELIVERIES, REQUESTS, COUNTERS, PROMOTIONS,
):  # fmt: skip
    INDEXES[_name] = [*INDEXES[_name], IndexModel([(forms.FORM, UP)], name=forms.FORM)]

# MongoDB deletes these documents some days after the time in this field.
KEPT: dict[CollectionName[Any], str] = {EVENTS: "writtenAt", WEBHOOK_DELIVERIES: "createdAt"}
RETENTION = "kept"
DAY_SECONDS = 86_400
_OTHER_OPTIONS = 85
# Building an index over many documents takes minutes, longer than any other command may.
_BUILD_SECONDS = 3_600.0


async def ensure(database: Database, events_days: int = 90, *, keeps: bool = True) -> None:
    """Create every missing index; called only when a server or a command starts.

    Events and webhook deliveries are kept for `events_days`; of several calls with `keeps`, the last one decides.
    """
    with db.deadline(_BUILD_SECONDS):
        await _ensure(database, events_days, keeps=keeps)


def all_of(collection: CollectionName[Any]) -> list[IndexModel]:
    """Return the indexes of a collection, with that of its retention; how long that is, a setting decides."""
    retention = [IndexModel([(KEPT[collection], UP)], name=RETENTION)] if collection in KEPT else []
    return [*INDEXES[collection], *retention]


async def _ensure(database: Database, events_days: int, *, keeps: bool) -> None:
    for collection, indexes in INDEXES.items():
        await database[collection].create_indexes(indexes)
    for collection, field in KEPT.items():
        kept: dict[str, Any] = {"name": RETENTION, "expireAfterSeconds": events_days * DAY_SECONDS}
        try:
            await database[collection].create_indexes([IndexModel([(field, UP)], **kept)])
        except OperationFailure as error:
            if error.code != _OTHER_OPTIONS:
                raise
            if keeps:
                # Commands do not take the write concern of their database.
                await database.command("collMod", collection, index=kept, writeConcern=db.MAJORITY.document)
