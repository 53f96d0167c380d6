"""The release document: the declaration of its fields and the defaults of a new release."""

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, TypedDict, cast

from release_catalog.domain import ids, metadata, references, release_parts, versions
from release_catalog.domain.declarations import REQUIRED, Field, SetBy, defaults, fields_of, parsers
from release_catalog.domain.platforms import PlatformDocument
from release_catalog.domain.reference_data import ProductDocument, version_keys
from release_catalog.domain.references import DependencyDocument
from release_catalog.domain.release_delivery import DeliveryDocument
from release_catalog.domain.release_parts import (
    ArtifactDocument,
    CustomizationDocument,
    ImageDocument,
    PlatformReleaseMetadataDocument,
    RegistryArtifactDocument,
    WithdrawalDocument,
)
from release_catalog.domain.validation import MAX_LONG_TEXT, FieldParsers, Validator, list_of, name, segment, text

PACKAGING = ("HELM_CHART", "OVA", "CONTAINER_IMAGE")


class ReleaseDocument(TypedDict):
    """A release; the storage adds `_id`, `terms` and `releasedKey`.

    Keys are the names of the GraphQL type; relations are kept as ids (`catalogId`), free JSON as text. A projected
    release has only the keys that were requested.
    """

    id: Annotated[
        str,
        Field(
            "Unique identifier in the tenant, at most 255 characters. S1 calls it catalogId, S4 releaseId.",
            set_by=SetBy.SERVER,
            default=REQUIRED,
            hal="id",
            compared=False,
        ),
    ]
    tenantId: Annotated[
        str,
        Field("Organisation that the release belongs to.", set_by=SetBy.SERVER, default=REQUIRED, compared=False),
    ]
    name: Annotated[
        str,
        Field(
            "Display name, 1 to 256 characters. An update may rename a draft.",
            name(),
            default=REQUIRED,
            term="name",
        ),
    ]
    version: Annotated[
        str,
        Field(
            "Version in the format of the product's version scheme.",
            set_by=SetBy.CREATION,
            default=REQUIRED,
            term="version",
            hal="version",
        ),
    ]
    revision: Annotated[
        str,
        Field(
            'Distinguishes rebuilds of one version, at most 64 characters. Defaults to "0".',
            name(64),
            default="0",
            hal="revision",
        ),
    ]
    branch: Annotated[
        str | None,
        Field(
            "Line of versions that the release belongs to, at most 32 characters (S5).",
            segment(32, required=False),
            mutable=True,
            term="branch",
            hal="branch",
        ),
    ]
    tag: Annotated[str | None, Field("Tag, at most 256 characters (S1).", name(required=False), term="tag")]
    channel: Annotated[
        str,
        Field(
            "Channel that the release is published in, at most 256 characters (S2). Defaults to stable.",
            name(),
            default="stable",
            set_by=SetBy.CREATION,
        ),
    ]
    packagingType: Annotated[
        str | None,
        Field(
            "Packaging format (S5).", lambda checks, field: checks.choice(field, *PACKAGING), hal="packaging_type"
        ),
    ]
    platforms: Annotated[
        list[PlatformDocument],
        Field(
            "Platforms that the release runs on, such as win64 or linux/amd64.",
            release_parts.distinct_platforms,
            default=[],
            hal="platforms",
        ),
    ]
    trial: Annotated[
        bool,
        Field(
            "Whether the release is a trial; only in the context of a public catalog (S5). Defaults to false.",
            Validator.flag,
            default=False,
            set_by=SetBy.CREATION,
            hal="trial",
        ),
    ]
    status: Annotated[str, Field("Lifecycle status.", set_by=SetBy.SERVER, default="DRAFT")]
    importedStatus: Annotated[
        str | None,
        Field(
            "Status in the imported document; an imported release itself starts as DRAFT (S1).",
            set_by=SetBy.SERVER,
        ),
    ]
    publishedAt: Annotated[
        datetime.datetime | None,
        Field("Time of the publication. Null before it.", set_by=SetBy.SERVER),
    ]
    private: Annotated[
        bool,
        Field(
            "Whether only callers with write permission see the release (S2). Defaults to false.",
            Validator.flag,
            default=False,
            mutable=True,
        ),
    ]
    archivedAt: Annotated[
        datetime.datetime | None,
        Field("Time when the release was archived. Null if it is not archived.", set_by=SetBy.SERVER),
    ]
    withdrawal: Annotated[
        WithdrawalDocument | None,
        Field(
            "Reason of the withdrawal. Null if the release was not withdrawn.", set_by=SetBy.SERVER, compared=False
        ),
    ]
    author: Annotated[
        str | None,
        Field("Email address of the author, at most 320 characters (S1).", Validator.email, term="author"),
    ]
    notes: Annotated[
        str | None,
        Field(
            "Notes in Markdown, at most 4096 characters, or 262,144 in an import (S1 releaseNotes).",
            text(MAX_LONG_TEXT),
            mutable=True,
        ),
    ]
    description: Annotated[
        str | None, Field("Description, at most 4096 characters.", text(MAX_LONG_TEXT), mutable=True)
    ]
    metadata: Annotated[
        str | None,
        Field(
            metadata.DESCRIPTION,
            metadata.read,
            mutable=True,
        ),
    ]
    releasedAt: Annotated[
        datetime.datetime | None,
        Field("Time when the release was finished (S5).", Validator.instant, hal="released_at"),
    ]
    endOfLifeAt: Annotated[
        str | None,
        Field(
            "Day when support ends (S5). Inputs give a date or a timestamp.",
            Validator.day,
            mutable=True,
            hal="end_of_life_at",
        ),
    ]
    registryArtifact: Annotated[
        RegistryArtifactDocument | None,
        Field("Package in its registry (S5 artifact).", release_parts.REGISTRY_ARTIFACT, hal="artifact"),
    ]
    platformReleaseMetadata: Annotated[
        list[PlatformReleaseMetadataDocument],
        Field(
            "Files with information about the release, by platform (S5).",
            list_of(release_parts.PLATFORM_METADATA, release_parts.MAX_ENTRIES),
            default=[],
            hal="platform_release_metadata",
        ),
    ]
    customizations: Annotated[
        list[CustomizationDocument],
        Field(
            "Changes that an organisation made to the release (S5).",
            list_of(release_parts.CUSTOMIZATION, release_parts.MAX_ENTRIES),
            default=[],
            hal="customizations",
        ),
    ]
    baseImageId: Annotated[str | None, Field("Base image that the release is built on.", Validator.id)]
    registryId: Annotated[str | None, Field("Registry that the release is pushed to.", Validator.id)]
    pipelineId: Annotated[
        str | None,
        Field(
            "Pipeline that made the release (S5). The delivery has a pipeline of its own.",
            Validator.id,
            hal="pipeline_id",
        ),
    ]
    delivery: Annotated[
        DeliveryDocument | None,
        Field("Delivery of the release (S4). Null if the release is only catalogued.", mutable=True),
    ]
    productId: Annotated[
        str,
        Field(
            "Product that the release is a version of.",
            set_by=SetBy.SERVER,
            default=REQUIRED,
            term="product",
            hal="application_id",
        ),
    ]
    catalogId: Annotated[
        str,
        Field("Catalog of the release.", set_by=SetBy.SERVER, default=REQUIRED, term="catalog", hal="catalog_id"),
    ]
    artifacts: Annotated[
        list[ArtifactDocument],
        Field(
            "Files of the release, at most 1000.",
            list_of(release_parts.ARTIFACT, release_parts.MAX_ENTRIES),
            default=[],
            compared=False,
        ),
    ]
    dockerImages: Annotated[
        list[ImageDocument],
        Field(
            "Container images of the release, at most 1000.",
            list_of(release_parts.IMAGE, release_parts.MAX_ENTRIES),
            default=[],
            compared=False,
        ),
    ]
    dependencies: Annotated[
        list[DependencyDocument],
        Field(
            "Releases that this one needs, as declared, at most 1000: one edge a reference, resolved or not.",
            release_parts.dependencies,
            default=[],
            compared=False,
        ),
    ]
    createdAt: Annotated[
        datetime.datetime,
        Field(
            "Time of the creation, here or in the system of origin.",
            set_by=SetBy.CREATION,
            default=REQUIRED,
            compared=False,
        ),
    ]
    updatedAt: Annotated[
        datetime.datetime,
        Field("Time of the last change here.", set_by=SetBy.SERVER, default=REQUIRED, compared=False),
    ]
    createdBy: Annotated[
        str | None,
        Field(
            "Subject of the caller who created the release. Null if it was loaded in bulk, or if it is unknown.",
            set_by=SetBy.SERVER,
            compared=False,
        ),
    ]
    publishedBy: Annotated[
        str | None,
        Field(
            "Subject of the caller who published the release. Null if it was loaded in bulk, or if it is unknown.",
            set_by=SetBy.SERVER,
            compared=False,
        ),
    ]
    importedAt: Annotated[
        datetime.datetime | None,
        Field(
            "Time of the import (S1). Null if the release was not imported.", set_by=SetBy.SERVER, compared=False
        ),
    ]
    etag: Annotated[
        str,
        Field(
            "Opaque version of this document, for ifMatch.", set_by=SetBy.SERVER, default=REQUIRED, compared=False
        ),
    ]
    # Order of versions, also in the scheme to which the product changes, and of revisions.
    versionKey: str
    nextVersionKey: NotRequired[str]
    revisionKey: str
    # How references by name find it: see references.Candidate.
    resolvesName: bool
    nameSince: datetime.datetime | None


FIELDS = fields_of(ReleaseDocument)
PARSERS: FieldParsers = parsers(FIELDS)
# The fields that inputs may give.
INPUT_FIELDS = frozenset(name for name, field in FIELDS.items() if field.set_by is not SetBy.SERVER)
# The updatable fields that no update changes after publication.
IMMUTABLE_WHEN_PUBLISHED = tuple(
    name for name, field in FIELDS.items() if field.set_by is SetBy.UPDATE and not field.mutable
)


def document(
    tenant: str,
    product: ProductDocument,
    name: str,
    version: str,
    now: datetime.datetime,
    **fields: Any,
) -> ReleaseDocument:
    """Return a release of `product` with these `fields` and the defaults of all others."""
    made = {
        **defaults(FIELDS, *SetBy),
        "id": ids.new(),
        "tenantId": tenant,
        "catalogId": product["catalogId"],
        "productId": product["id"],
        "name": name,
        "version": version,
        "createdAt": now,
        "updatedAt": now,
        "etag": ids.new(),
        "resolvesName": True,
        "nameSince": now,
        **fields,
    }
    return cast("ReleaseDocument", made | derived_fields(made) | version_keys(product, version))


def default_fields() -> dict[str, Any]:
    """Return the updatable fields of a release with their defaults; its name has none."""
    return defaults(FIELDS, SetBy.UPDATE)


def derived_fields(release: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that follow from the revision and the references of a release."""
    return {
        "revisionKey": versions.sort_key("ANY", release["revision"]),
        "dependencies": [
            references.dependency_document(
                release["catalogId"],
                d.get("releaseId"),
                d["name"],
                d["version"],
                d.get("completed"),
                d.get("missing"),
            )
            for d in release["dependencies"]
        ],
    }
