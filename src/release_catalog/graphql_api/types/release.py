"""The release, the main type of the catalog."""

import datetime
from collections.abc import Sequence
from typing import Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.graphql_api.connection import Connection
from release_catalog.graphql_api.enums import PackagingType, ReleaseStatus
from release_catalog.graphql_api.fields import batched_field, computed_field, field, json_text, reference
from release_catalog.graphql_api.types import artifact, dependency
from release_catalog.graphql_api.types.artifact import (
    Artifact,
    Customization,
    DockerImage,
    Platform,
    PlatformReleaseMetadata,
    RegistryArtifact,
)
from release_catalog.graphql_api.types.catalog import Catalog, Product
from release_catalog.graphql_api.types.dependency import DependencyConnection, DependencyGraph, DependencyPath
from release_catalog.graphql_api.types.links import ReleaseLinks
from release_catalog.graphql_api.types.promotion import Promotion
from release_catalog.graphql_api.types.registry import BaseImage, Registry
from release_catalog.graphql_api.types.release_delivery import Delivery, Pipeline
from release_catalog.query_engine.context import Context, Info
from release_catalog.query_engine.field_source import FieldSource, reads, source_metadata
from release_catalog.query_engine.projection import FieldPaths, prefixed
from release_catalog.storage import dependency_traversal, pagination, records
from release_catalog.storage.database import Document


@strawberry.type(description="That and why a release was taken back.")
class Withdrawal:
    reason: str = field("Why, for those who depend on it.")
    replacement: "Release | None" = reference("releases", "replacementId", "What to use instead.")
    withdrawn_at: datetime.datetime = field("When.")
    withdrawn_by: str | None = field("Who did it.")


async def _latest_beside(context: Context, releases: Sequence[Document], paths: FieldPaths) -> Any:
    return await context.latest_beside_each(releases, paths)


def _is(status: str, description: str) -> Any:
    return computed_field(lambda release: release["status"] == status, description, keys=["status"])


def _promotions(
    root: strawberry.Parent[Document],
    info: Info,
    environment: str | None = None,
    first: int | None = 20,
    after: str | None = None,
) -> Any:
    window = pagination.window(first, after)
    return records.promotions(info.context.caller, window, releaseId=root["id"], environment=environment)


@strawberry.type(description="A version of a product as it was, or is to be, handed out.")
class Release:
    id: strawberry.ID = field("Unique identifier, at most 255 characters. S1 calls it catalogId, S4 releaseId.")
    tenant_id: strawberry.ID = field("The organisation that it belongs to.")
    catalog: Catalog = reference("catalogs", "catalogId", "The catalog that it stands in.", lasting=True)
    product: Product = reference("products", "productId", "What it is a release of.", lasting=True)
    name: str = field("Name for people, 1 to 256 characters.")
    version: str = field("Version, in the form that the product's scheme asks for.")
    revision: str = field('Distinguishes rebuilds of one version. Defaults to "0".')
    branch: str | None = field("The line of versions that it belongs to (S5).")
    tag: str | None = field("A tag that it carries (S1).")
    channel: str = field("The channel that it is handed out in, stable by default (S2).")
    packaging_type: PackagingType | None = field("How it is packaged (S5).")
    platforms: list[Platform] = field("What it runs on.")
    trial: bool = field("S5: only in the context of a public catalog.")

    status: ReleaseStatus = field("Where it is in its life.")
    imported_status: str | None = field(
        "The status that an imported document carried; an imported release itself is a DRAFT (S1)."
    )
    published: bool = _is("PUBLISHED", "Whether it is published now.")
    published_at: datetime.datetime | None = field("When it was published.")
    private: bool = field("Whether only those who may write can see it (S2).")
    archived: bool = _is("ARCHIVED", "Whether it is archived.")
    archived_at: datetime.datetime | None = field("When it was archived.")
    withdrawal: Withdrawal | None = field("Why it was taken back, where it was.")

    author: str | None = field("Email address of its author (S1).")
    notes: str | None = field("Markdown, at most 4096 characters. S1 calls it releaseNotes.")
    description: str | None = field("What it is about.")
    metadata: JSON | None = json_text("Free JSON, given back as it came.")
    created_at: datetime.datetime = field("When it was created, here or where it came from.")
    updated_at: datetime.datetime = field("When it last changed here.")
    released_at: datetime.datetime | None = field("When it was finished (S5).")
    imported_at: datetime.datetime | None = field("When it was imported (S1).")
    end_of_life_at: datetime.date | None = field("The day its support ends (S5).")
    etag: str = field("Opaque version of this document, for ifMatch.")
    created_by: str | None = field(
        "Subject of the caller who created it; null if it was loaded in bulk, or unknown."
    )
    published_by: str | None = field(
        "Subject of the caller who published it; null if it was loaded in bulk, or unknown."
    )

    artifacts: list[Artifact] = computed_field(artifact.of, "Its files.", keys=artifact.keys)
    artifact_count: int = computed_field(
        lambda release: len(release["artifacts"]), "How many files. S2 totalFiles.", keys=["artifacts.id"]
    )
    registry_artifact: RegistryArtifact | None = field("S5 artifact: the package in its registry.")
    docker_images: list[DockerImage] = field("Its container images.")
    platform_release_metadata: list[PlatformReleaseMetadata] = field(
        "Files that tell something about it, by platform (S5)."
    )
    customizations: list[Customization] = field("What an organisation changed in it (S5).")
    base_image: BaseImage | None = reference("baseImages", "baseImageId", "The image that it is built upon.")
    registry: Registry | None = reference("registries", "registryId", "The registry that it is pushed to.")
    pipeline: Pipeline | None = reference(
        "pipelines", "pipelineId", "S5: the pipeline that made it. The one that delivers it is in delivery."
    )
    delivery: Delivery | None = field("S4: how this release is delivered; null where it is only catalogued.")

    dependencies: DependencyConnection = strawberry.field(
        resolver=dependency.dependencies,
        metadata=source_metadata(FieldSource(lambda asked: prefixed(asked, "dependencies"))),
        description="Releases that this one needs, as declared: one edge a reference, resolved or not.",
    )
    dependants: Connection["Release"] = strawberry.field(
        resolver=dependency.dependants,
        metadata=source_metadata(FieldSource(reads("id", "catalogId", "name", "version"))),
        description="Releases that need this one, the newest first.",
    )
    dependency_graph: DependencyGraph = strawberry.field(
        resolver=dependency.dependency_graph,
        metadata=source_metadata(FieldSource(reads(*dependency_traversal.START))),
        description="Everything reachable, breadth first, within bounds. Safe on cycles. At most 100 steps, "
        "5000 releases and 100,000 references between them.",
    )
    dependency_paths: list[DependencyPath] = strawberry.field(
        resolver=dependency.dependency_paths,
        metadata=source_metadata(FieldSource(reads(*dependency_traversal.START))),
        description="Shortest paths from this release to another, shortest first; to itself, the cycles "
        "through it. Searched among its 5000 nearest.",
    )

    latest_release: "Release | None" = batched_field(
        _latest_beside,
        "The newest published release of the same product, channel and branch: possibly this one.",
        reads("productId", "channel", "branch"),
    )
    promotions: Connection[Promotion] = strawberry.field(
        resolver=_promotions,
        metadata=source_metadata(FieldSource(reads("id"))),
        description="Attempts to promote it, the newest first.",
    )
    links: ReleaseLinks = computed_field(
        lambda release: release,
        "Where it is answered as HAL, and what it refers to.",
        name="_links",
        keys=lambda asked: asked,
    )
