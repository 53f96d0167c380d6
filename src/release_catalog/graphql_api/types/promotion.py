"""Environments, their contents and the promotions to them (S3)."""

import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.domain import timestamps
from release_catalog.graphql_api.connection import Connection
from release_catalog.graphql_api.enums import PromotionStatus
from release_catalog.graphql_api.fields import computed_field, field, reference
from release_catalog.graphql_api.scalars import Long
from release_catalog.query_engine.context import Info
from release_catalog.query_engine.field_source import FieldSource, reads, source_metadata
from release_catalog.storage import pagination, records
from release_catalog.storage.database import Document

if TYPE_CHECKING:
    from release_catalog.graphql_api.types.release import Release

_Release = Annotated["Release", strawberry.lazy("release_catalog.graphql_api.types.release")]


@strawberry.type(description="A file or image as it was promoted (S3).")
class PromotedArtifact:
    path: str = field("Its path in the environment: repository key and path.")
    checksum: str = field("Its SHA-256 digest, or an image's reference.")
    package_type: str = field("The kind of its repository, such as maven or docker.")
    repository_key: str = field("The repository that it comes from.")


@strawberry.type(
    description="One attempt to promote a release: written once, never changed or removed, failed ones included."
)
class Promotion:
    id: strawberry.ID = field("Unique identifier.")
    schema_version: str = field("Version of this record's form: 1.0.0.")
    service_id: str = field("Names this deployment, for as long as it lives.")
    environment: str = field("The environment promoted to.")
    release: _Release = reference("releases", "releaseId", "The release that was promoted.")
    name: str = field("The release's name at that time.")
    version: str = field("The release's version.")
    created_by: str = field("Who asked for it.")
    created: datetime.datetime = field("When it was asked for.")
    created_millis: Long = computed_field(
        lambda record: timestamps.milliseconds(record["created"]),
        "The same instant in epoch milliseconds.",
        keys=["created"],
    )
    status: PromotionStatus = field("How it ended.")
    messages: list[str] = field("Why it was refused or undone.")
    artifacts: list[PromotedArtifact] = field("What was promoted.")
    checked_webhooks: list[JSON] = field("Webhooks that were asked first.")
    included_repository_keys: list[str] = field("Only these repositories, if any.")
    excluded_repository_keys: list[str] = field("Not these, where none are included.")
    overwrite_existing_artifacts: bool = field("Whether other files could be replaced.")
    sequence: Long = field("Position in the tenant's ledger, from 1.")
    previous_hash: str | None = field("The hash of the record before; null for the first.")
    hash: str = field("SHA-256 over this record and the hash before it.")


@strawberry.type(description="A path that an environment holds.")
class EnvironmentContent:
    path: str = field("Repository key and path.")
    checksum: str = field("What lies there: a SHA-256 digest or an image's reference.")
    package_type: str = field("The kind of its repository.")
    release: _Release = reference("releases", "releaseId", "The release that it belongs to.")
    promotion: Promotion = reference("promotions", "promotionId", "The promotion that brought it.")


def _contents(
    root: strawberry.Parent[Document],
    info: Info,
    path_prefix: str | None = None,
    first: int | None = 100,
    after: str | None = None,
) -> Any:
    window = pagination.window(first, after, default=100)
    return records.contents(info.context.caller, root["name"], path_prefix, window)


def _promotions(
    root: strawberry.Parent[Document], info: Info, first: int | None = 20, after: str | None = None
) -> Any:
    return records.promotions(info.context.caller, pagination.window(first, after), environment=root["name"])


@strawberry.type(description="A place that releases are promoted to, such as QA or production.")
class Environment:
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Its name, unique in the tenant.")
    requires: list[str] = field("Environments that a release must have reached before it may be promoted here.")
    contents: Connection[EnvironmentContent] = strawberry.field(
        resolver=_contents,
        metadata=source_metadata(FieldSource(reads("name"))),
        description="What the environment holds now, by path.",
    )
    promotions: Connection[Promotion] = strawberry.field(
        resolver=_promotions,
        metadata=source_metadata(FieldSource(reads("name"))),
        description="Attempts to promote here, the newest first.",
    )
