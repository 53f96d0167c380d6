"""The release: what the catalog is about."""

import datetime
from collections.abc import Sequence
from typing import Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.api import artifact, dependency
from release_catalog.api.artifact import (
    Artifact,
    Customization,
    DockerImage,
    Platform,
    PlatformReleaseMetadata,
    RegistryArtifact,
)
from release_catalog.api.catalog import Catalog, Product
from release_catalog.api.connection import Connection
from release_catalog.api.delivery import Delivery, Pipeline
from release_catalog.api.dependency import DependencyConnection, DependencyGraph, DependencyPath
from release_catalog.api.enums import PackagingType, ReleaseStatus
from release_catalog.api.fields import computed, fetched, json_text, one, plain
from release_catalog.api.links import ReleaseLinks
from release_catalog.api.promotion import Promotion
from release_catalog.api.reference import BaseImage, Registry
from release_catalog.plans.context import Context, Info
from release_catalog.plans.how import How, only, told
from release_catalog.plans.keys import Keys, within
from release_catalog.store import graph, pages, records
from release_catalog.store.database import Document


@strawberry.type(description="That and why a release was taken back.")
class Withdrawal:
    reason: str = plain("Why, for those who depend on it.")
    replacement: "Release | None" = one("releases", "replacementId", "What to use instead.")
    withdrawn_at: datetime.datetime = plain("When.")
    withdrawn_by: str | None = plain("Who did it.")


async def _latest_beside(context: Context, releases: Sequence[Document], asked: Keys) -> Any:
    return await context.latest_beside_each(releases, asked)


def _is(status: str, description: str) -> Any:
    return computed(lambda release: release["status"] == status, description, keys=["status"])


def _promotions(
    root: strawberry.Parent[Document],
    info: Info,
    environment: str | None = None,
    first: int | None = 20,
    after: str | None = None,
) -> Any:
    window = pages.window(first, after)
    return records.promotions(info.context.caller, window, releaseId=root["id"], environment=environment)


@strawberry.type(description="A version of a product as it was, or is to be, handed out.")
class Release:
    id: strawberry.ID = plain("Unique identifier, at most 255 characters. S1 calls it catalogId, S4 releaseId.")
    tenant_id: strawberry.ID = plain("The organisation that it belongs to.")
    catalog: Catalog = one("catalogs", "catalogId", "The catalog that it stands in.", lasting=True)
    product: Product = one("products", "productId", "What it is a release of.", lasting=True)
    name: str = plain("Name for people, 1 to 256 characters.")
    version: str = plain("Version, in the form that the product's scheme asks for.")
    revision: str = plain('Distinguishes rebuilds of one version. Defaults to "0".')
    branch: str | None = plain("The line of versions that it belongs to (S5).")
    tag: str | None = plain("A tag that it carries (S1).")
    channel: str = plain("The channel that it is handed out in, stable by default (S2).")
    packaging_type: PackagingType | None = plain("How it is packaged (S5).")
    platforms: list[Platform] = plain("What it runs on.")
    trial: bool = plain("S5: only in the context of a public catalog.")

    status: ReleaseStatus = plain("Where it is in its life.")
    imported_status: str | None = plain(
        "The status that an imported document carried; an imported release itself is a DRAFT (S1)."
    )
    published: bool = _is("PUBLISHED", "Whether it is published now.")
    published_at: datetime.datetime | None = plain("When it was published.")
    private: bool = plain("Whether only those who may write can see it (S2).")
    archived: bool = _is("ARCHIVED", "Whether it is archived.")
    archived_at: datetime.datetime | None = plain("When it was archived.")
    withdrawal: Withdrawal | None = plain("Why it was taken back, where it was.")

    author: str | None = plain("Email address of its author (S1).")
    notes: str | None = plain("Markdown, at most 4096 characters. S1 calls it releaseNotes.")
    description: str | None = plain("What it is about.")
    metadata: JSON | None = json_text("Free JSON, given back as it came.")
    created_at: datetime.datetime = plain("When it was created, here or where it came from.")
    updated_at: datetime.datetime = plain("When it last changed here.")
    released_at: datetime.datetime | None = plain("When it was finished (S5).")
    imported_at: datetime.datetime | None = plain("When it was imported (S1).")
    end_of_life_at: datetime.date | None = plain("The day its support ends (S5).")
    etag: str = plain("Opaque version of this document, for ifMatch.")

    artifacts: list[Artifact] = computed(artifact.of, "Its files.", keys=artifact.keys)
    artifact_count: int = computed(
        lambda release: len(release["artifacts"]), "How many files. S2 totalFiles.", keys=["artifacts.id"]
    )
    registry_artifact: RegistryArtifact | None = plain("S5 artifact: the package in its registry.")
    docker_images: list[DockerImage] = plain("Its container images.")
    platform_release_metadata: list[PlatformReleaseMetadata] = plain(
        "Files that tell something about it, by platform (S5)."
    )
    customizations: list[Customization] = plain("What an organisation changed in it (S5).")
    base_image: BaseImage | None = one("baseImages", "baseImageId", "The image that it is built upon.")
    registry: Registry | None = one("registries", "registryId", "The registry that it is pushed to.")
    pipeline: Pipeline | None = one(
        "pipelines", "pipelineId", "S5: the pipeline that made it. The one that delivers it is in delivery."
    )
    delivery: Delivery | None = plain("S4: how this release is delivered; null where it is only catalogued.")

    dependencies: DependencyConnection = strawberry.field(
        resolver=dependency.dependencies,
        metadata=told(How(lambda asked: within(asked, "dependencies"))),
        description="Releases that this one needs, as declared: one edge a reference, resolved or not.",
    )
    dependants: Connection["Release"] = strawberry.field(
        resolver=dependency.dependants,
        metadata=told(How(only("id", "catalogId", "name", "version"))),
        description="Releases that need this one, the newest first.",
    )
    dependency_graph: DependencyGraph = strawberry.field(
        resolver=dependency.dependency_graph,
        metadata=told(How(only(*graph.START))),
        description="Everything reachable, breadth first, within bounds. Safe on cycles. At most 100 steps, "
        "5000 releases and 100,000 references between them.",
    )
    dependency_paths: list[DependencyPath] = strawberry.field(
        resolver=dependency.dependency_paths,
        metadata=told(How(only(*graph.START))),
        description="Shortest paths from this release to another, shortest first; to itself, the cycles "
        "through it. Searched among its 5000 nearest.",
    )

    latest_release: "Release | None" = fetched(
        _latest_beside,
        "The newest published release of the same product, channel and branch: possibly this one.",
        only("productId", "channel", "branch"),
    )
    promotions: Connection[Promotion] = strawberry.field(
        resolver=_promotions,
        metadata=told(How(only("id"))),
        description="Attempts to promote it, the newest first.",
    )
    links: ReleaseLinks = computed(
        lambda release: release,
        "Where it is answered as HAL, and what it refers to.",
        name="_links",
        keys=lambda asked: asked,
    )
