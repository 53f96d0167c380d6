"""The parts of a release in documents and inputs: files, images and references."""

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, TypedDict, cast

from release_catalog.domain import ids, metadata, platforms, references, timestamps
from release_catalog.domain.declarations import REQUIRED, Field, SetBy, defaults, fields_of, parsers
from release_catalog.domain.platforms import PlatformDocument
from release_catalog.domain.references import DependencyDocument
from release_catalog.domain.validation import (
    MAX_LONG_TEXT,
    FieldParsers,
    Validator,
    is_web_url,
    list_of,
    name,
    object_of,
    relative_path,
    text,
)
from release_catalog.domain.version_schemes.scheme import MAX_VERSION

MAX_ENTRIES = 1000
MAX_PLATFORM = 64


def platform(entry: Validator, field: str, *, required: bool = False) -> PlatformDocument | None:
    """Return a platform by name; a bare name and each part of a pair have at most 64 characters (S5)."""
    before = len(entry.found)
    name = entry.name(field, 2 * MAX_PLATFORM + 1, required=required)
    if name and len(entry.found) == before and any(len(side) > MAX_PLATFORM for side in name.split("/", 1)):
        entry.refuse(
            field,
            "TOO_LONG",
            f"The platform is too long: give at most {MAX_PLATFORM} characters on each side of the slash.",
        )
    return platforms.parsed(name)


def distinct_platforms(checks: Validator, field: str) -> list[PlatformDocument]:
    """Return the platforms of a list by name, each once."""
    names = checks.each(field, MAX_ENTRIES)
    found = [parsed for at in names.fields if (parsed := platform(names, at, required=True))]
    return platforms.distinct(found)


_ID, _NAME, _SHORT_NAME, _URL = text(255, required=True), name(), name(required=False), text(2048)
_FILE_NAME = relative_path(256, required=True)


class VerificationDocument(TypedDict):
    """The result of fetching and hashing a file; all None before that."""

    status: str
    actualSha256: str | None
    actualSize: int | None
    message: str | None
    checkedAt: datetime.datetime | None


def not_verified(status: str = "SKIPPED") -> VerificationDocument:
    """Return the verification of a file that was not checked yet, or is PENDING."""
    return {"status": status, "actualSha256": None, "actualSize": None, "message": None, "checkedAt": None}


def unreachable(url: str) -> VerificationDocument | None:
    """Return the verification of a file whose URL can't be fetched; None if it can be tried."""
    if is_web_url(url):
        return None
    message = "The URL can't be fetched: give a complete one that begins with http:// or https://."
    return {**not_verified("UNREACHABLE"), "message": message, "checkedAt": timestamps.now()}


class ArtifactDocument(TypedDict):
    """A file of a release."""

    id: Annotated[str, Field("Unique identifier.", set_by=SetBy.SERVER, default=REQUIRED, compared=False)]
    name: Annotated[
        str,
        Field(
            "File name, 1 to 256 characters. A release knows its files by name and platform.",
            _FILE_NAME,
            default=REQUIRED,
            compared=False,
        ),
    ]
    platform: Annotated[
        PlatformDocument | None,
        Field("Platform that the file runs on, such as win64 or linux/amd64. Null for all platforms.", platform),
    ]
    size: Annotated[int, Field("Declared size in bytes.", Validator.size, default=REQUIRED)]
    sha256: Annotated[
        str,
        Field(
            "Declared SHA-256 digest: 64 hexadecimal digits, in lowercase. Inputs may prefix it with sha256:.",
            Validator.sha256,
            default=REQUIRED,
        ),
    ]
    downloadUrl: Annotated[
        str,
        Field(
            "http or https URL of the file, at most 2048 characters. S2 calls it url. An import also keeps any "
            "other URL, and its file is UNREACHABLE.",
            Validator.address,
            default=REQUIRED,
        ),
    ]
    isExecutable: Annotated[
        bool, Field("Whether the file is meant to be run. Defaults to false.", Validator.flag, default=False)
    ]
    arguments: Annotated[
        str | None, Field("Command line arguments for the file, at most 4096 characters.", text(MAX_LONG_TEXT))
    ]
    metadata: Annotated[str | None, Field(metadata.DESCRIPTION, metadata.read)]
    secured: Annotated[
        bool,
        Field("Whether a download here needs credentials (S2). Defaults to false.", Validator.flag, default=False),
    ]
    repositoryKey: Annotated[
        str | None, Field("Key of the repository that the file is promoted from (S3).", relative_path(256))
    ]
    path: Annotated[
        str | None, Field("Path of the file in its repository, at most 1024 characters (S3).", relative_path(1024))
    ]
    packageType: Annotated[
        str | None,
        Field(
            "Package type of the repository, such as maven, at most 64 characters (S3).", name(64, required=False)
        ),
    ]
    downloads: Annotated[
        int,
        Field(
            "Number of downloads at /v1/catalogs/{catalog}/releases/{release}/files/{id}, at most some seconds "
            "late.",
            set_by=SetBy.SERVER,
            default=0,
            compared=False,
        ),
    ]
    createdAt: Annotated[
        datetime.datetime,
        Field("Time when the file was added.", set_by=SetBy.SERVER, default=REQUIRED, compared=False),
    ]
    updatedAt: Annotated[
        datetime.datetime,
        Field(
            "Time of the last change of the file's fields.", set_by=SetBy.SERVER, default=REQUIRED, compared=False
        ),
    ]
    verification: Annotated[
        VerificationDocument,
        Field(
            "Result of fetching and hashing the file.", set_by=SetBy.SERVER, default=not_verified(), compared=False
        ),
    ]


class ImageDocument(TypedDict):
    """A container image of a release."""

    name: Annotated[
        str,
        Field(
            "Image name, 1 to 256 characters. A release knows its images by name and platform.",
            _FILE_NAME,
            default=REQUIRED,
            compared=False,
        ),
    ]
    imageUrl: Annotated[
        str,
        Field(
            "Pull reference with its tag or digest, at most 2048 characters.",
            text(2048, required=True),
            default=REQUIRED,
        ),
    ]
    platform: Annotated[
        PlatformDocument | None, Field("Platform that the image runs on, such as linux/amd64.", platform)
    ]
    metadata: Annotated[str | None, Field(metadata.DESCRIPTION, metadata.read)]


class RegistryArtifactDocument(TypedDict):
    """A package in its registry (S5)."""

    name: Annotated[str, Field("Package name.", _NAME)]
    version: Annotated[str, Field("Package version, which may differ from the version of the release.", _NAME)]
    repository: Annotated[str | None, Field("Repository that holds the package.", _URL)]
    url: Annotated[str | None, Field("URL of the package.", _URL)]
    contentDigest: Annotated[str | None, Field("Digest of the content, such as sha256:….", _URL)]
    repoDigest: Annotated[str | None, Field("Digest of the package's manifest in the repository.", _URL)]


class ReleaseMetadataFileDocument(TypedDict):
    """A file with information about a release (S5)."""

    id: Annotated[
        str, Field("Identifier of the file, unique only among those of one platform of its release.", _ID)
    ]
    mimeType: Annotated[str | None, Field("Media type of the file, or any other text.", text(256))]
    url: Annotated[str | None, Field("URL of the file.", _URL)]
    filename: Annotated[str | None, Field("File name.", _SHORT_NAME)]


class PlatformReleaseMetadataDocument(TypedDict):
    """Files with information about a release on one platform (S5)."""

    platform: Annotated[
        PlatformDocument | None, Field("Platform that the files describe. Null for all platforms.", platform)
    ]
    releaseMetadata: Annotated[list[ReleaseMetadataFileDocument], Field("Metadata files, at most 1000.")]


class CustomizationArtifactDocument(TypedDict):
    """The file of a customization (S5)."""

    id: Annotated[str, Field("Identifier of the file, unique only within its customization.", _ID)]
    url: Annotated[str | None, Field("URL of the file.", _URL)]
    filename: Annotated[str | None, Field("File name.", _SHORT_NAME)]


class WithdrawalDocument(TypedDict):
    """The withdrawal of a release."""

    reason: str
    replacementId: str | None
    withdrawnAt: datetime.datetime
    withdrawnBy: str | None


class CustomizationDocument(TypedDict):
    """An organisation's change to a release (S5)."""

    id: Annotated[str, Field("Identifier of the customization, unique only within its release.", _ID)]
    version: Annotated[str | None, Field("Version of the customization.", _SHORT_NAME)]
    artifact: Annotated[CustomizationArtifactDocument | None, Field("File of the customization.")]


ARTIFACT_FIELDS = fields_of(ArtifactDocument)
IMAGE_FIELDS = fields_of(ImageDocument)
DEPENDENCY_FIELDS = fields_of(DependencyDocument)
REGISTRY_ARTIFACT_FIELDS = fields_of(RegistryArtifactDocument)
METADATA_FILE_FIELDS = fields_of(ReleaseMetadataFileDocument)
PLATFORM_METADATA_FIELDS = fields_of(PlatformReleaseMetadataDocument)
CUSTOMIZATION_FIELDS = fields_of(CustomizationDocument)
CUSTOMIZATION_ARTIFACT_FIELDS = fields_of(CustomizationArtifactDocument)

ARTIFACT: FieldParsers = parsers(ARTIFACT_FIELDS)
IMAGE: FieldParsers = parsers(IMAGE_FIELDS)
REGISTRY_ARTIFACT = object_of(parsers(REGISTRY_ARTIFACT_FIELDS))


def _metadata_files(checks: Validator, field: str) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = list_of(parsers(METADATA_FILE_FIELDS), MAX_ENTRIES, required=True)(checks, field)
    # A patch finds a file by its id. A missing id is refused already.
    checks.unique(field, [file["id"] or at for at, file in enumerate(files)])
    return files


PLATFORM_METADATA: FieldParsers = {**parsers(PLATFORM_METADATA_FIELDS), "releaseMetadata": _metadata_files}
CUSTOMIZATION: FieldParsers = {
    **parsers(CUSTOMIZATION_FIELDS),
    "artifact": object_of(parsers(CUSTOMIZATION_ARTIFACT_FIELDS)),
}


def artifact(now: datetime.datetime, **fields: Any) -> ArtifactDocument:
    """Return a file of a release with these fields; until it is verified, its verification is SKIPPED."""
    made = {
        **defaults(ARTIFACT_FIELDS, *SetBy),
        "id": ids.new(),
        "createdAt": now,
        "updatedAt": now,
        "verification": not_verified(),
        **fields,
    }
    return cast("ArtifactDocument", made)


def package(version: str, image: Mapping[str, str], file: Mapping[str, str]) -> RegistryArtifactDocument:
    """Return an image of a release with this version, or without one a file, as the package that S5 requires."""
    name, url = (image["name"], image["imageUrl"]) if image else (file["name"], file["downloadUrl"])
    digest = url.partition("@")[2] or None if image else f"sha256:{file['sha256']}"
    known = {"name": name, "version": version, "url": url, "contentDigest": digest}
    return cast("RegistryArtifactDocument", dict.fromkeys(REGISTRY_ARTIFACT_FIELDS) | known)


def dependency(entry: Validator, id_field: str, *, whole: bool) -> dict[str, Any]:
    """Return a reference to a release; it must be `whole` if no other release can supply its name.

    Beside an id, an empty name or version is one that an export has hidden.
    """
    entry.known({id_field, *references.COMPLETED})
    id_ = entry.id(id_field)
    required = whole or entry.fields.get(id_field) is None
    hidden = [field for field in references.COMPLETED if whole and id_ and entry.fields.get(field) == ""]
    return {
        "releaseId": id_,
        "name": "" if "name" in hidden else entry.name("name", required=required),
        "version": "" if "version" in hidden else entry.name("version", MAX_VERSION, required=required),
    }


def dependencies(checks: Validator, field: str) -> list[dict[str, Any]]:
    """Return the references of a list; a release that is known by its id can supply name and version."""
    return [dependency(entry, "releaseId", whole=False) for entry in checks.items(field, MAX_ENTRIES)]


def file_key(entry: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the key by which a release knows a file or an image: its name and its platform."""
    return entry["name"], platforms.key(entry["platform"])


def file_title(entry: Mapping[str, Any]) -> str:
    """Return the name of a file or an image for people, with its platform if it has one."""
    return f"{entry['name']} ({entry['platform']['name']})" if entry["platform"] else entry["name"]


def mismatch_message(file: Mapping[str, Any]) -> str:
    """Return the message for people about a file with a MISMATCH."""
    return f"{file_title(file)} has another digest or size than declared: replace the file, then verify it again."


def extension(name: str) -> str | None:
    """Return the part after the last dot of a file name; None without one, as in .profile or README."""
    stem, dot, end = name.rpartition(".")
    return end if stem and dot and end else None
