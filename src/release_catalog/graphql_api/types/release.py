"""The release, the main type of the catalog, and its fields in inputs."""

import datetime
from collections.abc import Sequence
from typing import Annotated, Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.domain.declarations import descriptions
from release_catalog.domain.release import FIELDS, ReleaseDocument
from release_catalog.graphql_api.connection import Connection
from release_catalog.graphql_api.enums import PackagingType, ReleaseStatus
from release_catalog.graphql_api.fields import (
    After,
    Before,
    First,
    Last,
    argument,
    batched_field,
    computed_field,
    field,
    json_text,
    optional_field,
    reference,
)
from release_catalog.graphql_api.types import artifact, dependency, environment_holding
from release_catalog.graphql_api.types.artifact import (
    Artifact,
    ArtifactInput,
    Customization,
    CustomizationInput,
    DockerImage,
    DockerImageInput,
    Platform,
    PlatformReleaseMetadata,
    PlatformReleaseMetadataInput,
    RegistryArtifact,
    RegistryArtifactInput,
)
from release_catalog.graphql_api.types.catalog import Catalog, Product
from release_catalog.graphql_api.types.dependency import (
    DependencyConnection,
    DependencyGraph,
    DependencyInput,
    DependencyPath,
)
from release_catalog.graphql_api.types.environment_holding import ReleaseInEnvironment
from release_catalog.graphql_api.types.links import ReleaseLinks
from release_catalog.graphql_api.types.node import Node, node_id
from release_catalog.graphql_api.types.promotion import Promotion
from release_catalog.graphql_api.types.registry import BaseImage, Registry
from release_catalog.graphql_api.types.release_connection import ReleaseConnection
from release_catalog.graphql_api.types.release_delivery import Delivery, Pipeline
from release_catalog.query_engine.context import Context, Info
from release_catalog.query_engine.field_source import FieldSource, reads, source_metadata
from release_catalog.storage import dependency_traversal, pagination, records
from release_catalog.storage.collection_names import (
    BASE_IMAGES,
    CATALOGS,
    PIPELINES,
    PRODUCTS,
    REGISTRIES,
    RELEASES,
)
from release_catalog.storage.cursors import FieldPaths, prefixed
from release_catalog.storage.pagination import DEFAULT_PAGE


@strawberry.type(description="Withdrawal of a published release.")
class Withdrawal:
    reason: str = field("Reason, for those who depend on the release.")
    replacement: "Release | None" = reference(RELEASES, "replacementId", "Release to use instead. Null if none.")
    withdrawn_at: datetime.datetime = field("Time of the withdrawal.")
    withdrawn_by: str | None = field("Subject of the caller who withdrew the release.")


_ABOUT = descriptions(FIELDS)
# Describes the release in the payload of a mutation.
CHANGED = "The release after the mutation, or as a dry run would leave it. Null if there is a problem."


async def _latest_beside(context: Context, releases: Sequence[ReleaseDocument], paths: FieldPaths) -> Any:
    return await context.latest_beside_each(releases, paths)


def _is(status: str, description: str) -> Any:
    return computed_field(lambda release: release["status"] == status, description, keys=["status"])


def _promotions(
    root: strawberry.Parent[ReleaseDocument],
    info: Info,
    environment: Annotated[str | None, argument("Name of the environment. Null matches all.")] = None,
    first: First = DEFAULT_PAGE,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Any:
    window = pagination.window(first, after, last, before)
    return records.promotions(info.context.caller, window, releaseId=root["id"], environment=environment)


@strawberry.type(description="A version of a product, with its files, images and dependencies.")
class Release(Node):
    node_id: strawberry.ID = node_id("Release")
    id: strawberry.ID = field(_ABOUT["id"])
    tenant_id: strawberry.ID = field(_ABOUT["tenantId"])
    catalog: Catalog = reference(CATALOGS, "catalogId", _ABOUT["catalogId"], lasting=True)
    product: Product = reference(PRODUCTS, "productId", _ABOUT["productId"], lasting=True)
    name: str = field(_ABOUT["name"])
    version: str = field(_ABOUT["version"])
    revision: str = field(_ABOUT["revision"])
    branch: str | None = field(_ABOUT["branch"])
    tag: str | None = field(_ABOUT["tag"])
    channel: str = field(_ABOUT["channel"])
    packaging_type: PackagingType | None = field(_ABOUT["packagingType"])
    platforms: list[Platform] = field(_ABOUT["platforms"])
    trial: bool = field(_ABOUT["trial"])

    status: ReleaseStatus = field(_ABOUT["status"])
    imported_status: str | None = field(_ABOUT["importedStatus"])
    published: bool = _is("PUBLISHED", "Whether the status is PUBLISHED.")
    published_at: datetime.datetime | None = field(_ABOUT["publishedAt"])
    private: bool = field(_ABOUT["private"])
    archived: bool = _is("ARCHIVED", "Whether the status is ARCHIVED.")
    archived_at: datetime.datetime | None = field(_ABOUT["archivedAt"])
    withdrawal: Withdrawal | None = field(_ABOUT["withdrawal"])

    author: str | None = field(_ABOUT["author"])
    notes: str | None = field(_ABOUT["notes"])
    description: str | None = field(_ABOUT["description"])
    metadata: JSON | None = json_text(_ABOUT["metadata"])
    created_at: datetime.datetime = field(_ABOUT["createdAt"])
    updated_at: datetime.datetime = field(_ABOUT["updatedAt"])
    released_at: datetime.datetime | None = field(_ABOUT["releasedAt"])
    imported_at: datetime.datetime | None = field(_ABOUT["importedAt"])
    end_of_life_at: datetime.date | None = field(_ABOUT["endOfLifeAt"])
    etag: str = field(f"{_ABOUT['etag']} A dry run answers with the stored one.")
    created_by: str | None = field(_ABOUT["createdBy"])
    published_by: str | None = field(_ABOUT["publishedBy"])
    in_environments: list[ReleaseInEnvironment] = environment_holding.of_release()

    artifacts: list[Artifact] = computed_field(artifact.of, _ABOUT["artifacts"], keys=artifact.keys)
    artifact_count: int = computed_field(
        lambda release: len(release["artifacts"]),
        "Number of files. S2 calls it totalFiles.",
        keys=["artifacts.id"],
    )
    registry_artifact: RegistryArtifact | None = field(_ABOUT["registryArtifact"])
    docker_images: list[DockerImage] = field(_ABOUT["dockerImages"])
    platform_release_metadata: list[PlatformReleaseMetadata] = field(_ABOUT["platformReleaseMetadata"])
    customizations: list[Customization] = field(_ABOUT["customizations"])
    base_image: BaseImage | None = reference(BASE_IMAGES, "baseImageId", _ABOUT["baseImageId"])
    registry: Registry | None = reference(REGISTRIES, "registryId", _ABOUT["registryId"])
    pipeline: Pipeline | None = reference(PIPELINES, "pipelineId", _ABOUT["pipelineId"])
    delivery: Delivery | None = field(_ABOUT["delivery"])

    dependencies: DependencyConnection = strawberry.field(
        resolver=dependency.dependencies,
        metadata=source_metadata(FieldSource(lambda asked: prefixed(asked, "dependencies"))),
        description=_ABOUT["dependencies"],
    )
    dependants: ReleaseConnection = strawberry.field(
        resolver=dependency.dependants,
        metadata=source_metadata(FieldSource(reads("id", "catalogId", "name", "version"))),
        description="Releases that need this one, newest first.",
    )
    dependency_graph: DependencyGraph = strawberry.field(
        resolver=dependency.dependency_graph,
        metadata=source_metadata(FieldSource(reads(*dependency_traversal.START))),
        description="All reachable releases, breadth first. Cycles are safe. At most 100 steps, 5000 releases and "
        "100,000 references between them.",
    )
    dependency_paths: list[DependencyPath] = strawberry.field(
        resolver=dependency.dependency_paths,
        metadata=source_metadata(FieldSource(reads(*dependency_traversal.START))),
        description="Shortest paths from this release to another one, shortest first; to itself, the cycles "
        "through it. The search covers the 5000 nearest releases.",
    )

    latest_release: "Release | None" = batched_field(
        _latest_beside,
        "Latest published release of the same product, channel and branch, possibly this one.",
        reads("productId", "channel", "branch"),
    )
    promotions: Connection[Promotion] = strawberry.field(
        resolver=_promotions,
        metadata=source_metadata(FieldSource(reads("id"))),
        description="Attempts to promote the release, newest first.",
    )
    links: ReleaseLinks = computed_field(
        lambda release: release,
        "Links to the release and its related documents as HAL (S5).",
        name="_links",
        keys=lambda asked: asked,
    )


@strawberry.input
class ReleaseExtraFields:
    """The fields of a release that S1's documents have no names for."""

    revision: str | None = optional_field(_ABOUT["revision"])
    branch: str | None = optional_field(_ABOUT["branch"])
    packaging_type: PackagingType | None = optional_field(_ABOUT["packagingType"])
    platforms: list[str] | None = optional_field(_ABOUT["platforms"])
    private: bool | None = optional_field(_ABOUT["private"])
    description: str | None = optional_field(_ABOUT["description"])
    released_at: datetime.datetime | None = optional_field(_ABOUT["releasedAt"])
    end_of_life_at: datetime.date | None = optional_field(_ABOUT["endOfLifeAt"])
    registry_artifact: RegistryArtifactInput | None = optional_field(_ABOUT["registryArtifact"])
    platform_release_metadata: list[PlatformReleaseMetadataInput] | None = optional_field(
        _ABOUT["platformReleaseMetadata"]
    )
    customizations: list[CustomizationInput] | None = optional_field(_ABOUT["customizations"])
    base_image_id: strawberry.ID | None = optional_field(_ABOUT["baseImageId"])
    registry_id: strawberry.ID | None = optional_field(_ABOUT["registryId"])
    pipeline_id: strawberry.ID | None = optional_field(_ABOUT["pipelineId"])


@strawberry.input
class ReleaseFieldsInput(ReleaseExtraFields):
    tag: str | None = optional_field(_ABOUT["tag"])
    notes: str | None = optional_field(_ABOUT["notes"])
    author: str | None = optional_field(_ABOUT["author"])
    metadata: JSON | None = optional_field(_ABOUT["metadata"])
    artifacts: list[ArtifactInput] | None = optional_field(_ABOUT["artifacts"])
    docker_images: list[DockerImageInput] | None = optional_field(_ABOUT["dockerImages"])
    dependencies: list[DependencyInput] | None = optional_field(_ABOUT["dependencies"])
