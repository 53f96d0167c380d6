"""The collections, each with the type of its documents, and the documents that only the storage knows.

A document that was read with a projection has the same type, but only the requested fields. The version of its
form (see `storage.forms`) is in no type, because nothing else reads it.
"""

import datetime
from collections.abc import Mapping
from typing import Any, Generic, NotRequired, TypedDict, TypeVar

from release_catalog.domain.access_tokens import AccessTokenDocument
from release_catalog.domain.events import EventDocument
from release_catalog.domain.promotion import EnvironmentContentDocument, PromotionDocument
from release_catalog.domain.reference_data import (
    BaseImageDocument,
    CatalogDocument,
    EnvironmentDocument,
    ExecutionDocument,
    PipelineDocument,
    ProductDocument,
    ProjectDocument,
    RegistryDocument,
)
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.webhooks import WebhookDeliveryDocument, WebhookDocument

# A document of any collection, for code that does not depend on its fields.
StoredDocument = Mapping[str, Any]
Stored = TypeVar("Stored", bound=StoredDocument)


class CollectionName(str, Generic[Stored]):
    """The name of a collection, by which type checkers know the type of its documents."""

    __slots__ = ()


class IdempotencyRecordDocument(TypedDict):
    """The answer of a request under its idempotency key, or the lock of a running request on the key."""

    _id: str
    tenantId: str
    fingerprint: str
    expiresAt: datetime.datetime
    # The payload of the mutation, with its problem as data.
    answer: NotRequired[dict[str, Any]]
    # The holder of the lock, and the time until which it holds.
    claim: NotRequired[str]
    busyUntil: NotRequired[datetime.datetime]


class VerificationJobDocument(TypedDict):
    """A release whose files are still to be verified; `_id` is the release's."""

    _id: str
    tenantId: str
    releaseId: str
    # The caller who asked for it; None if nobody knows.
    actor: str | None
    # The holder of the lease, None if nobody has it, and its end.
    owner: str | None
    leaseUntil: datetime.datetime


class CounterDocument(TypedDict, total=False):
    """A document that a transaction writes so that it collides with others: of events, of a ledger, of runs."""

    _id: str
    # Counts the transactions that only collide.
    held: int
    # The number of the tenant's last event and its time, or the number of starts and ends of runs.
    value: int
    at: datetime.datetime
    # The number of steps of scheme changes, and the products whose releases are read by `nextVersionKey`.
    schemeSteps: int
    reordered: list[str]
    # The head of the ledger.
    sequence: int
    hash: str
    created: datetime.datetime


class DeploymentDocument(TypedDict):
    """A name that this deployment keeps for as long as it lives."""

    _id: str
    value: str


class MigrationStateDocument(TypedDict, total=False):
    """The progress of a migration, or the lease of the process that migrates."""

    _id: str
    startedAt: datetime.datetime
    endedAt: datetime.datetime | None
    documents: int
    owner: str | None
    leaseUntil: datetime.datetime


RELEASES: CollectionName[ReleaseDocument] = CollectionName("releases")
CATALOGS: CollectionName[CatalogDocument] = CollectionName("catalogs")
PRODUCTS: CollectionName[ProductDocument] = CollectionName("products")
PROJECTS: CollectionName[ProjectDocument] = CollectionName("projects")
REGISTRIES: CollectionName[RegistryDocument] = CollectionName("registries")
BASE_IMAGES: CollectionName[BaseImageDocument] = CollectionName("baseImages")
PIPELINES: CollectionName[PipelineDocument] = CollectionName("pipelines")
EXECUTIONS: CollectionName[ExecutionDocument] = CollectionName("executions")
ENVIRONMENTS: CollectionName[EnvironmentDocument] = CollectionName("environments")
CONTENTS: CollectionName[EnvironmentContentDocument] = CollectionName("contents")
PROMOTIONS: CollectionName[PromotionDocument] = CollectionName("promotions")
EVENTS: CollectionName[EventDocument] = CollectionName("events")
WEBHOOKS: CollectionName[WebhookDocument] = CollectionName("webhooks")
WEBHOOK_DELIVERIES: CollectionName[WebhookDeliveryDocument] = CollectionName("webhookDeliveries")
TOKENS: CollectionName[AccessTokenDocument] = CollectionName("tokens")
REQUESTS: CollectionName[IdempotencyRecordDocument] = CollectionName("requests")
VERIFICATIONS: CollectionName[VerificationJobDocument] = CollectionName("verifications")
COUNTERS: CollectionName[CounterDocument] = CollectionName("counters")
META: CollectionName[DeploymentDocument] = CollectionName("meta")
MIGRATION_STATE: CollectionName[MigrationStateDocument] = CollectionName("migrations")

COLLECTIONS = [name for name in list(globals().values()) if isinstance(name, CollectionName)]
