"""Documents in the seeds' own snake_case format. Optional fields without a value are left out."""

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from release_catalog.domain import timestamps
from release_catalog.domain.platforms import PlatformDocument
from release_catalog.domain.promotion import PromotionDocument
from release_catalog.domain.reference_data import BaseImageDocument, ProductDocument, RegistryDocument
from release_catalog.domain.release import FIELDS, ReleaseDocument
from release_catalog.domain.release_links import Related
from release_catalog.domain.release_parts import (
    CustomizationDocument,
    PlatformReleaseMetadataDocument,
    RegistryArtifactDocument,
)

_IMAGE = "id name description container_image operating_system healthy last_checked_at".split()
_SYSTEM = "id name distro version".split()
_REGISTRY = "id name url healthy last_checked_at".split()
_PRODUCT = ("name key description long_display_name disclaimer category based_on_scratch latest_free").split()
_ARTIFACT = "content_digest repo_digest name version repository url".split()
_RECORD = "schema_version service_id environment created_by created".split()
_PROMOTED = "path checksum package_type".split()
_CHOICE = "checked_webhooks included_repository_keys excluded_repository_keys overwrite_existing_artifacts".split()
_METADATA = "id mime_type url filename".split()
_WITHDRAWAL = "reason withdrawn_at withdrawn_by".split()
# The fields of a release that S5 requires, even without a value.
_REQUIRED = frozenset("id version revision released_at artifact".split())


def _key(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _pick(document: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    values = ((name, document[_key(name)]) for name in names)
    return present({n: instant(v) if isinstance(v, datetime.datetime) else v for n, v in values})


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return `fields` without those that have no value."""
    return {name: value for name, value in fields.items() if value is not None}


def instant(value: datetime.datetime | None) -> str | None:
    """Format an instant with milliseconds, which S5 and S3 always write, even if they are 0."""
    return None if value is None else value.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _platform(platform: PlatformDocument) -> dict[str, Any]:
    """Return a platform as a pair, the only form in S5: a bare name becomes the operating system."""
    pair = {"os_family": platform["osFamily"] or platform["name"], "architecture": platform["architecture"]}
    return present(pair)


def product(document: ProductDocument) -> dict[str, Any]:
    """Return a product as a release shows it."""
    return _pick(document, _PRODUCT)


def base_image(document: BaseImageDocument) -> dict[str, Any]:
    """Return a base image with its operating system."""
    system = document["operatingSystem"]
    return _pick({**document, "operatingSystem": system and _pick(system, _SYSTEM)}, _IMAGE)


def registry(document: RegistryDocument) -> dict[str, Any]:
    """Return a registry."""
    return _pick(document, _REGISTRY)


def release_summary(release: ReleaseDocument) -> dict[str, Any]:
    """Return a release as another one shows its latest."""
    return {
        "id": release["id"],
        "revision": release["revision"],
        "released_at": instant(_released_at(release)),
        "version": release["version"],
    }


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
    values: Mapping[str, Any] = document
    fields = {hal: _FORMATS.get(name, _unchanged)(values[name]) for name, hal in _RELEASE.items()}
    fields["released_at"] = instant(_released_at(document))
    fields["artifact"] = _package(document["registryArtifact"] or package)
    fields["latest_release"] = latest and release_summary(latest)
    fields["product"] = of and product(of)
    fields["base_image"] = image and base_image(image)
    fields["registry"] = store and registry(store)
    fields["status"] = document["status"] if document["status"] != "PUBLISHED" else None
    fields["withdrawal"] = document["withdrawal"] and _pick(document["withdrawal"], _WITHDRAWAL)
    shown = {name: value for name, value in fields.items() if value is not None or name in _REQUIRED}
    return {**shown, "_links": links}


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
    file = entry["artifact"] and _pick(entry["artifact"], ["id", "url", "filename"])
    return present({"id": entry["id"], "version": entry["version"], "artifact": file})


# The HAL name of each field of a release that has one, and the formats of those that are no plain values.
_RELEASE = {name: field.hal for name, field in FIELDS.items() if field.hal}
_FORMATS: dict[str, Callable[[Any], Any]] = {
    "releasedAt": instant,
    "endOfLifeAt": _day,
    "registryArtifact": _package,
    "platforms": lambda platforms: [_platform(platform) for platform in platforms],
    "platformReleaseMetadata": lambda entries: [_metadata(entry) for entry in entries],
    "customizations": lambda entries: [_customization(entry) for entry in entries],
}


def promotion(record: PromotionDocument) -> dict[str, Any]:
    """Return S3's record, to the letter."""
    return {
        **_pick(record, _RECORD),
        "created_millis": timestamps.milliseconds(record["created"]),
        "artifacts": [_pick(artifact, _PROMOTED) for artifact in record["artifacts"]],
        **_pick(record, _CHOICE),
    }
