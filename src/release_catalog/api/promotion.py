"""What runs where, and how it came there (S3)."""

import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.api.connection import Connection
from release_catalog.api.enums import PromotionStatus
from release_catalog.api.fields import computed, one, plain
from release_catalog.api.scalars import Long
from release_catalog.domain import instants
from release_catalog.plans.context import Info
from release_catalog.plans.how import How, only, told
from release_catalog.store import pages, records
from release_catalog.store.database import Document

if TYPE_CHECKING:
    from release_catalog.api.release import Release

_Release = Annotated["Release", strawberry.lazy("release_catalog.api.release")]


@strawberry.type(description="A file or image as it was promoted (S3).")
class PromotedArtifact:
    path: str = plain("Its path in the environment: repository key and path.")
    checksum: str = plain("Its SHA-256 digest, or an image's reference.")
    package_type: str = plain("The kind of its repository, such as maven or docker.")
    repository_key: str = plain("The repository that it comes from.")


@strawberry.type(
    description="One attempt to promote a release: written once, never changed or removed, failed ones included."
)
class Promotion:
    id: strawberry.ID = plain("Unique identifier.")
    schema_version: str = plain("Version of this record's form: 1.0.0.")
    service_id: str = plain("Names this deployment, for as long as it lives.")
    environment: str = plain("The environment promoted to.")
    release: _Release = one("releases", "releaseId", "The release that was promoted.")
    name: str = plain("The release's name at that time.")
    version: str = plain("The release's version.")
    created_by: str = plain("Who asked for it.")
    created: datetime.datetime = plain("When it was asked for.")
    created_millis: Long = computed(
        lambda record: instants.milliseconds(record["created"]),
        "The same instant in epoch milliseconds.",
        keys=["created"],
    )
    status: PromotionStatus = plain("How it ended.")
    messages: list[str] = plain("Why it was refused or undone.")
    artifacts: list[PromotedArtifact] = plain("What was promoted.")
    checked_webhooks: list[JSON] = plain("Webhooks that were asked first.")
    included_repository_keys: list[str] = plain("Only these repositories, if any.")
    excluded_repository_keys: list[str] = plain("Not these, where none are included.")
    overwrite_existing_artifacts: bool = plain("Whether other files could be replaced.")
    sequence: Long = plain("Position in the tenant's ledger, from 1.")
    previous_hash: str | None = plain("The hash of the record before; null for the first.")
    hash: str = plain("SHA-256 over this record and the hash before it.")


@strawberry.type(description="A path that an environment holds.")
class EnvironmentContent:
    path: str = plain("Repository key and path.")
    checksum: str = plain("What lies there: a SHA-256 digest or an image's reference.")
    package_type: str = plain("The kind of its repository.")
    release: _Release = one("releases", "releaseId", "The release that it belongs to.")
    promotion: Promotion = one("promotions", "promotionId", "The promotion that brought it.")


def _contents(
    root: strawberry.Parent[Document],
    info: Info,
    path_prefix: str | None = None,
    first: int | None = 100,
    after: str | None = None,
) -> Any:
    window = pages.window(first, after, default=100)
    return records.contents(info.context.caller, root["name"], path_prefix, window)


def _promotions(
    root: strawberry.Parent[Document], info: Info, first: int | None = 20, after: str | None = None
) -> Any:
    return records.promotions(info.context.caller, pages.window(first, after), environment=root["name"])


@strawberry.type(description="A place that releases are promoted to, such as QA or production.")
class Environment:
    id: strawberry.ID = plain("Unique identifier.")
    name: str = plain("Its name, unique in the tenant.")
    requires: list[str] = plain("Environments that a release must have reached before it may be promoted here.")
    contents: Connection[EnvironmentContent] = strawberry.field(
        resolver=_contents,
        metadata=told(How(only("name"))),
        description="What the environment holds now, by path.",
    )
    promotions: Connection[Promotion] = strawberry.field(
        resolver=_promotions,
        metadata=told(How(only("name"))),
        description="Attempts to promote here, the newest first.",
    )
