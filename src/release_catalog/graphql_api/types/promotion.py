"""Environments, their contents and the promotions to them (S3)."""

import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.domain import promotion, timestamps
from release_catalog.domain.promotion import EnvironmentContentDocument
from release_catalog.domain.reference_data import EnvironmentDocument
from release_catalog.graphql_api.connection import Connection
from release_catalog.graphql_api.enums import PromotionStatus
from release_catalog.graphql_api.fields import (
    After,
    Before,
    First,
    Last,
    argument,
    computed_field,
    field,
    reference,
)
from release_catalog.graphql_api.scalars import Long
from release_catalog.graphql_api.types.node import Node, node_id, node_id_of
from release_catalog.graphql_api.types.release_connection import ReleaseConnection
from release_catalog.query_engine.context import Info
from release_catalog.query_engine.field_source import FieldSource, reads, source_metadata
from release_catalog.storage import pagination, records, releases
from release_catalog.storage.collection_names import PROMOTIONS, RELEASES
from release_catalog.storage.pagination import DEFAULT_PAGE, LONG_PAGE

if TYPE_CHECKING:
    from release_catalog.graphql_api.types.release import Release

_Release = Annotated["Release", strawberry.lazy("release_catalog.graphql_api.types.release")]


@strawberry.type(description="A promoted file or image (S3).")
class PromotedArtifact:
    path: str = field("Path in the environment: the repository key, a slash, and the path in the repository.")
    checksum: str = field("SHA-256 digest of the file, or pull reference of the image.")
    package_type: str = field("Package type of the repository, such as maven or docker.")
    repository_key: str = field("Key of the repository that it comes from.")


@strawberry.type(
    description="One attempt to promote a release (S3). Records of all attempts are kept, failed ones too, "
    "and never change."
)
class Promotion(Node):
    node_id: strawberry.ID = node_id("Promotion")
    id: strawberry.ID = field("Unique identifier.")
    schema_version: str = field("Version of the record's format: 1.0.0.")
    service_id: str = field("Identifier of this deployment. It never changes.")
    environment: str = field("Name of the environment promoted to.")
    release: _Release = reference(RELEASES, "releaseId", "Promoted release.")
    name: str = field("Name of the release at that time.")
    version: str = field("Version of the release.")
    created_by: str = field("Subject of the caller who requested the promotion.")
    created: datetime.datetime = field("Time of the request.")
    created_millis: Long = computed_field(
        lambda record: timestamps.milliseconds(record["created"]),
        "Time of the request in milliseconds since 1970.",
        keys=["created"],
    )
    status: PromotionStatus = field("Result of the attempt.")
    messages: list[str] = field("Reasons of the refusal or of the rollback.")
    artifacts: list[PromotedArtifact] = field("Promoted files and images.")
    checked_webhooks: list[JSON] = field("Webhooks that were consulted before the promotion.")
    included_repository_keys: list[str] = field(
        "Keys of the repositories to promote. If empty, all but the excluded ones."
    )
    excluded_repository_keys: list[str] = field(
        "Keys of the repositories to leave out. They do not count if any are included."
    )
    overwrite_existing_artifacts: bool = field(
        "Whether the promotion was allowed to replace other files at the same paths."
    )
    sequence: Long = field("Position in the tenant's ledger, starting at 1.")
    previous_hash: str | None = field("Hash of the previous record. Null for the first record.")
    hash: str = field("SHA-256 digest of this record and the previous hash.")


def _content_id(content: EnvironmentContentDocument) -> str:
    return promotion.content_id(content["environment"], content["path"])


@strawberry.type(description="A path in an environment, with its content.")
class EnvironmentContent(Node):
    node_id: strawberry.ID = node_id_of("EnvironmentContent", _content_id, "environment", "path")
    id: strawberry.ID = computed_field(_content_id, "Unique identifier.", keys=["environment", "path"])
    path: str = field("Repository key, a slash, and the path in the repository.")
    checksum: str = field("SHA-256 digest of the file, or pull reference of the image.")
    package_type: str = field("Package type of the repository, such as maven or docker.")
    release: _Release = reference(RELEASES, "releaseId", "Release of the file or image.")
    promotion: Promotion = reference(PROMOTIONS, "promotionId", "Promotion that put it there.")


def _contents(
    root: strawberry.Parent[EnvironmentDocument],
    info: Info,
    path_prefix: Annotated[
        str | None, argument("Beginning of the paths, at most 2048 characters. Null matches all.")
    ] = None,
    first: First = LONG_PAGE,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Any:
    window = pagination.window(first, after, last, before, LONG_PAGE)
    return records.contents(info.context.caller, root["name"], path_prefix, window)


def _releases(
    root: strawberry.Parent[EnvironmentDocument],
    info: Info,
    first: First = DEFAULT_PAGE,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Any:
    return releases.held(info.context.caller, root["name"], pagination.window(first, after, last, before))


def _promotions(
    root: strawberry.Parent[EnvironmentDocument],
    info: Info,
    first: First = DEFAULT_PAGE,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Any:
    window = pagination.window(first, after, last, before)
    return records.promotions(info.context.caller, window, environment=root["name"])


@strawberry.type(description="An environment that releases are promoted to, such as QA or production (S3).")
class Environment(Node):
    node_id: strawberry.ID = node_id("Environment")
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Name, unique in the tenant.")
    requires: list[str] = field("Environments that a release must have reached before it may be promoted here.")
    contents: Connection[EnvironmentContent] = strawberry.field(
        resolver=_contents,
        metadata=source_metadata(FieldSource(reads("name"))),
        description="Current contents, ordered by path.",
    )
    releases: ReleaseConnection = strawberry.field(
        resolver=_releases,
        metadata=source_metadata(FieldSource(reads("name"))),
        description="Releases of which it holds files or images now, newest first.",
    )
    promotions: Connection[Promotion] = strawberry.field(
        resolver=_promotions,
        metadata=source_metadata(FieldSource(reads("name"))),
        description="Attempts to promote to this environment, newest first.",
    )
