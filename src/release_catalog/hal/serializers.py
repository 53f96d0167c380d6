"""Documents in the seeds' own snake_case format. Optional fields without a value are left out."""

import contextlib
import datetime
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from release_catalog.domain import timestamps
from release_catalog.domain.hal_urls import to_release
from release_catalog.domain.lifecycle import STEPS_TO
from release_catalog.domain.platforms import PlatformDocument
from release_catalog.domain.promotion import PromotedArtifactDocument, PromotionDocument
from release_catalog.domain.reference_data import (
    BaseImageDocument,
    CatalogDocument,
    OperatingSystemDocument,
    PipelineDocument,
    ProductDocument,
    PropertyDefinitionDocument,
    RegistryDocument,
)
from release_catalog.domain.release import FIELDS, ReleaseDocument
from release_catalog.domain.release_links import Related
from release_catalog.domain.release_parts import (
    CustomizationArtifactDocument,
    CustomizationDocument,
    PlatformReleaseMetadataDocument,
    RegistryArtifactDocument,
    ReleaseMetadataFileDocument,
    WithdrawalDocument,
)
from release_catalog.errors import BrokenDocument
from release_catalog.storage.cursors import UNREADABLE

# The fields of a stored document under their HAL names: the names in the document, and the types of their values.
_Fields = Mapping[str, tuple[str, tuple[type, ...]]]


def _fields(document: Any, names: str) -> _Fields:
    """Return the fields of a type of documents that have these HAL names."""
    hints = typing.get_type_hints(document)
    return {name: (key, _types(hints[key])) for name in names.split() for key in [_key(name)]}


def _types(hint: Any) -> tuple[type, ...]:
    """Return the types of the values that a hint allows; an object of any kind is a dict."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    found = (typing.get_origin(option) or option for option in options)
    return tuple(dict if typing.is_typeddict(kind) else str if kind is typing.Literal else kind for kind in found)


def _key(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


_CATALOG = _fields(CatalogDocument, "id name description public created_at")
_PIPELINE = _fields(PipelineDocument, "id name properties")
_PROPERTY = _fields(PropertyDefinitionDocument, "name required default_value")
_SYSTEM = _fields(OperatingSystemDocument, "id name distro version")
_IMAGE = _fields(BaseImageDocument, "id name description container_image operating_system healthy last_checked_at")
_REGISTRY = _fields(RegistryDocument, "id name url healthy last_checked_at")
_PRODUCT = _fields(
    ProductDocument,
    "name key description long_display_name disclaimer category based_on_scratch latest_free",
)
_PLATFORM = _fields(PlatformDocument, "os_family architecture")
_ARTIFACT = _fields(RegistryArtifactDocument, "content_digest repo_digest name version repository url")
_RECORD = _fields(PromotionDocument, "schema_version service_id environment created_by created")
_PROMOTED = _fields(PromotedArtifactDocument, "path checksum package_type")
_CHOICE = _fields(
    PromotionDocument,
    "checked_webhooks included_repository_keys excluded_repository_keys overwrite_existing_artifacts",
)
_METADATA = _fields(ReleaseMetadataFileDocument, "id mime_type url filename")
_CUSTOMIZATION = _fields(CustomizationDocument, "id version artifact")
_CUSTOMIZED = _fields(CustomizationArtifactDocument, "id url filename")
_WITHDRAWAL = _fields(WithdrawalDocument, "reason withdrawn_at withdrawn_by")
_SUMMARY = _fields(ReleaseDocument, "id revision released_at version")
# The fields of a release that S5 requires, even without a value.
_REQUIRED = frozenset("id version revision released_at artifact".split())


@contextlib.contextmanager
def reading(kind: str, id_: str) -> Iterator[None]:
    """Name the stored document in the error if a field of it is missing or has a wrong type."""
    try:
        yield
    except UNREADABLE as error:
        raise BrokenDocument(kind, id_) from error


def _pick(document: Mapping[str, Any], fields: _Fields) -> dict[str, Any]:
    """Return fields that have a value; raise TypeError for a value of another type than declared."""
    found = {name: _value(document, *field) for name, field in fields.items()}
    return present({n: instant(v) if isinstance(v, datetime.datetime) else v for n, v in found.items()})


def _value(document: Mapping[str, Any], key: str, kinds: tuple[type, ...]) -> Any:
    value = document[key]
    if value is not None and not isinstance(value, kinds):
        raise TypeError(f"{key} is a {type(value).__name__}")
    return value


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return `fields` without those that have no value."""
    return {name: value for name, value in fields.items() if value is not None}


def instant(value: datetime.datetime | None) -> str | None:
    """Format an instant with milliseconds, which S5 and S3 always write, even if they are 0."""
    return None if value is None else value.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _platform(platform: PlatformDocument) -> dict[str, Any]:
    """Return a platform as a pair, the only form in S5: a bare name becomes the operating system."""
    return _pick({**platform, "osFamily": platform["osFamily"] or platform["name"]}, _PLATFORM)


def product(document: ProductDocument) -> dict[str, Any]:
    """Return a product as a release shows it."""
    with reading("Product", document["id"]):
        return _pick(document, _PRODUCT)


def catalog(document: CatalogDocument) -> dict[str, Any]:
    """Return a catalog."""
    with reading("Catalog", document["id"]):
        return _pick(document, _CATALOG)


def pipeline(document: PipelineDocument) -> dict[str, Any]:
    """Return a pipeline with the properties that a delivery gives."""
    with reading("Pipeline", document["id"]):
        properties = [_pick(property_, _PROPERTY) for property_ in document["properties"]]
        return _pick({**document, "properties": properties}, _PIPELINE)


def base_image(document: BaseImageDocument) -> dict[str, Any]:
    """Return a base image with its operating system."""
    with reading("BaseImage", document["id"]):
        system = document["operatingSystem"]
        return _pick({**document, "operatingSystem": system and _pick(system, _SYSTEM)}, _IMAGE)


def registry(document: RegistryDocument) -> dict[str, Any]:
    """Return a registry."""
    with reading("Registry", document["id"]):
        return _pick(document, _REGISTRY)


def link_to_release(release: ReleaseDocument) -> dict[str, str]:
    """Return the link to a release."""
    with reading("Release", release["id"]):
        return to_release(release)


def release_summary(release: ReleaseDocument) -> dict[str, Any]:
    """Return a release as another one shows its latest."""
    with reading("Release", release["id"]):
        found = _pick({**release, "releasedAt": _released_at(release)}, _SUMMARY)
        return {name: found.get(name) for name in _SUMMARY}


def _released_at(release: ReleaseDocument) -> datetime.datetime | None:
    """Return the time that S5 requires: the time of the publication if no other is known."""
    return release["releasedAt"] or release["publishedAt"]


def release(
    document: ReleaseDocument,
    related: Related,
    links: Mapping[str, Any],
    package: RegistryArtifactDocument | None = None,
) -> dict[str, Any]:
    """Return a release with the documents it refers to, and all fields that S5 requires, even without a value.

    `package` replaces the package of a release that has none in a registry.
    A release that is not published has its `status`, and a withdrawn one the reason, which S5 does not know.
    """
    latest, image, store, of = related["latest"], related["baseImage"], related["registry"], related["product"]
    with reading("Release", document["id"]):
        fields = {
            hal: _FORMATS.get(key, _unchanged)(_value(document, key, k)) for hal, (key, k) in _RELEASE.items()
        }
        fields["released_at"] = instant(_value({"at": _released_at(document)}, "at", (datetime.datetime,)))
        fields["artifact"] = _package(document["registryArtifact"] or package)
        fields["latest_release"] = latest and release_summary(latest)
        fields["product"] = of and product(of)
        fields["base_image"] = image and base_image(image)
        fields["registry"] = store and registry(store)
        fields["status"] = _status(document["status"])
        fields["withdrawal"] = document["withdrawal"] and _pick(document["withdrawal"], _WITHDRAWAL)
        shown = {name: value for name, value in fields.items() if value is not None or name in _REQUIRED}
        return {**shown, "_links": links}


def _status(status: str) -> str | None:
    """Return the status of a release that is not published."""
    if status not in {"DRAFT", *STEPS_TO}:
        raise ValueError("status is unknown")
    return None if status == "PUBLISHED" else status


def _unchanged(value: Any) -> Any:
    return value


def _package(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return _pick(value, _ARTIFACT) if value else None


def _day(value: str | None) -> str | None:
    return f"{value}T00:00:00.000Z" if value else None


def _metadata(entry: PlatformReleaseMetadataDocument) -> dict[str, Any]:
    files = [_pick(file, _METADATA) for file in entry["releaseMetadata"]]
    return present({"platform": entry["platform"] and _platform(entry["platform"]), "release_metadata": files})


def _customization(entry: CustomizationDocument) -> dict[str, Any]:
    file = entry["artifact"] and _pick(entry["artifact"], _CUSTOMIZED)
    return _pick({**entry, "artifact": file}, _CUSTOMIZATION)


_HINTS = typing.get_type_hints(ReleaseDocument)
# The fields of a release that HAL shows, and the formats of those that are no plain values.
_RELEASE: _Fields = {field.hal: (name, _types(_HINTS[name])) for name, field in FIELDS.items() if field.hal}
_FORMATS: dict[str, Callable[[Any], Any]] = {
    "releasedAt": instant,
    "endOfLifeAt": _day,
    "registryArtifact": _package,
    "platforms": lambda platforms: [_platform(platform) for platform in platforms],
    "platformReleaseMetadata": lambda entries: [_metadata(entry) for entry in entries],
    "customizations": lambda entries: [_customization(entry) for entry in entries],
}


def repository_keys(record: PromotionDocument) -> set[str]:
    """Return the repositories of which a promotion has promoted something."""
    with reading("Promotion", record["id"]):
        return {artifact["repositoryKey"] for artifact in record["artifacts"]}


def promotion(record: PromotionDocument) -> dict[str, Any]:
    """Return S3's record, to the letter."""
    with reading("Promotion", record["id"]):
        return {
            **_pick(record, _RECORD),
            "created_millis": timestamps.milliseconds(record["created"]),
            "artifacts": [_pick(artifact, _PROMOTED) for artifact in record["artifacts"]],
            **_pick(record, _CHOICE),
        }
