"""S3: the artifacts of a release to promote, their paths, and all reasons to refuse the promotion."""

import collections
import datetime
import re
import urllib.parse
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, NotRequired, TypedDict

from release_catalog import errors
from release_catalog.domain import ids
from release_catalog.domain.reference_data import EnvironmentDocument, ProductDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_parts import ArtifactDocument, ImageDocument, file_title, mismatch_message
from release_catalog.domain.validation import Validator, is_relative
from release_catalog.errors import Problem, Violation

MAX_KEYS = 1_000
MAX_KEY = 256
TAKEN: Final = "PATH_TAKEN"

_DIGEST = re.compile(r"@sha256:([0-9a-f]{64})\Z", re.IGNORECASE)


class PromotedArtifactDocument(TypedDict):
    """A file or image as it was promoted."""

    path: str
    checksum: str
    packageType: str
    repositoryKey: str


class ContentDocument(TypedDict):
    """The content of a path of an environment."""

    path: str
    checksum: str
    packageType: str
    releaseId: str
    promotionId: str


class EnvironmentContentDocument(ContentDocument):
    """The content of a path, as it is stored for its environment."""

    _id: str
    tenantId: str
    # The environment's name.
    environment: str
    # The time of the promotion.
    since: datetime.datetime


def content_id(environment: str, path: str) -> str:
    """Return the id of the content of a path in an environment, whose name may have slashes, too."""
    return f"{urllib.parse.quote(environment, safe='')}/{path}"


def content_place(id_: str) -> tuple[str, str]:
    """Return the environment and the path in the id of a content."""
    environment, _, path = id_.partition("/")
    return urllib.parse.unquote(environment), path


class PromotionAttempt(TypedDict):
    """The attempt to promote a release, or to roll that back."""

    id: str
    # The environment's name.
    environment: str
    releaseId: str
    name: str
    version: str
    status: str
    messages: list[str]
    artifacts: list[PromotedArtifactDocument]
    includedRepositoryKeys: list[str]
    excludedRepositoryKeys: list[str]
    overwriteExistingArtifacts: bool
    # What the paths held before, if the promotion took effect.
    before: NotRequired[list[ContentDocument]]
    # The promotion that was rolled back.
    undoes: NotRequired[str]
    # The tenant in which it was written, if a backup was restored into another one.
    originalTenantId: NotRequired[str]


class PromotionRecord(PromotionAttempt):
    """An attempt with its author and time, before it gets its place in the ledger."""

    _id: str
    tenantId: str
    schemaVersion: str
    serviceId: str
    createdBy: str
    created: datetime.datetime
    # The contract's list of any JSON; nothing fills it.
    checkedWebhooks: list[object]


class PromotionDocument(PromotionRecord):
    """A record of the ledger, with its hash, which follows from that of the record before it."""

    sequence: int
    previousHash: str | None
    hash: str


def keys(checks: Validator, field: str) -> list[str]:
    """Return a list of repository keys, each of 1 to 256 characters."""
    names: list[str] = checks.fields.get(field) or []
    if len(names) > MAX_KEYS:
        checks.refuse(field, "TOO_MANY", f"The list has {len(names)} keys: give at most {MAX_KEYS}.")
        return []
    for index, key in enumerate(names):
        Validator({f"{field}[{index}]": key}, checks.path, checks.found).name(f"{field}[{index}]", MAX_KEY)
    return names


def chooses(included: Collection[str], excluded: Collection[str], key: str) -> bool:
    """Return whether a repository is promoted: an include list that is not empty wins over the exclude list."""
    return key in included if included else key not in excluded


def chosen(
    release: ReleaseDocument, product: ProductDocument, included: Collection[str], excluded: Collection[str]
) -> tuple[list[PromotedArtifactDocument], list[Violation]]:
    """Return the artifacts to promote, each file once per path, and the violations that prevent it."""
    found: dict[tuple[str, str], PromotedArtifactDocument] = {}
    wrong = []
    included, excluded = frozenset(included), frozenset(excluded)
    sources: list[_Source] = [
        *(_file_source(file, product) for file in release["artifacts"]),
        *(_image_source(image, product) for image in release["dockerImages"]),
    ]
    shared = collections.Counter((source.key, source.name) for source in sources if not source.path)
    is_empty = True
    for source in sources:
        if not chooses(included, excluded, source.key):
            continue
        is_empty = False
        wrong += source.wrong
        if source.checksum:
            path = f"{source.key}/{_path(source, release['version'], shared)}"
            found.setdefault(
                (path, source.checksum),
                {
                    "path": path,
                    "checksum": source.checksum,
                    "packageType": source.package_type,
                    "repositoryKey": source.key,
                },
            )
    if is_empty:
        wrong.append(_nothing(release, included, excluded))
    wrong += [_unsafe(path) for path, _ in found if not is_relative(path)]
    return list(found.values()), wrong + _twice(path for path, _ in found)


class _Source(NamedTuple):
    """A file or an image with what its promotion needs; its checksum is None if it can't be promoted."""

    key: str
    path: str | None
    name: str
    platform: str | None
    checksum: str | None
    package_type: str
    wrong: list[Violation]


def _file_source(file: ArtifactDocument, product: ProductDocument) -> _Source:
    """Return a file for its promotion; one without a repository goes to the product's, even if it names a path."""
    wrong = []
    if file["verification"]["status"] == "MISMATCH":
        wrong.append(Violation("input.releaseId", mismatch_message(file), "MISMATCH"))
    key, path, kind = file["repositoryKey"], file["path"], file["packageType"]
    if not key:
        key, path, kind = product["key"], None, None
    return _Source(key, path, *_named(file), file["sha256"], kind or "generic", wrong)


def _image_source(image: ImageDocument, product: ProductDocument) -> _Source:
    """Return an image for its promotion; its digest is its checksum."""
    digest = _DIGEST.search(image["imageUrl"])
    wrong = []
    if not digest:
        message = f"The image {file_title(image)} has no digest: end its imageUrl with @sha256: and the digest."
        wrong.append(Violation("input.releaseId", message, "NO_DIGEST"))
    checksum = digest[1].lower() if digest else None
    return _Source(product["key"], None, *_named(image), checksum, "docker", wrong)


def _named(part: ArtifactDocument | ImageDocument) -> tuple[str, str | None]:
    return part["name"], part["platform"] and part["platform"]["name"]


def _path(source: _Source, version: str, shared: Mapping[tuple[str, str], int]) -> str:
    """Return the path of a file or image in its repository: by default `<version>/<name>`.

    The platform stands between the two where several files or images of the release would have this path.
    """
    if source.path:
        return source.path
    platform = source.platform if shared[source.key, source.name] > 1 else None
    return "/".join(part for part in (version, platform, source.name) if part)


def _nothing(release: ReleaseDocument, included: Collection[str], excluded: Collection[str]) -> Violation:
    name = f"{release['name']} {release['version']}"
    if included:
        field, reason = (
            "includedRepositoryKeys",
            f"{name} has nothing in the included repositories: include others",
        )
    elif excluded:
        field, reason = (
            "excludedRepositoryKeys",
            f"{name} has nothing outside the excluded repositories: exclude fewer",
        )
    else:
        field, reason = "releaseId", f"{name} has neither files nor images: promote another release"
    return Violation(f"input.{field}", f"{reason}.", "NOTHING_CHOSEN")


def _unsafe(path: str) -> Violation:
    message = f"The promoted path {path} leads out of its repository: give the file another name, or a path."
    return Violation("input.releaseId", message, "NOT_A_PATH")


def _twice(paths: Iterable[str]) -> list[Violation]:
    message = (
        "{} different files of the release have the path {}: exclude all but one, or give each a "
        "repository and a path."
    )
    return [
        Violation("input.releaseId", message.format(count, path), "SAME_PATH")
        for path, count in collections.Counter(paths).items()
        if count > 1
    ]


def unready(
    release: ReleaseDocument, environment: EnvironmentDocument, reached: Collection[str]
) -> list[Violation]:
    """Return the violations that prevent any promotion of `release`, which has `reached` these environments."""
    found = []
    if release["status"] != "PUBLISHED":
        message = (
            f"The release is {release['status']}: publish it before its promotion, or promote a PUBLISHED one."
        )
        found.append(Violation("input.releaseId", message, "WRONG_STATUS"))
    name = f"{release['name']} {release['version']}"
    return found + [
        Violation(
            "input.environment",
            f"{environment['name']} requires {required}, which {name} has not reached: promote it to "
            f"{required} first.",
            "NOT_REACHED",
        )
        for required in environment["requires"]
        if required not in reached
    ]


def conflicts(
    artifacts: Iterable[PromotedArtifactDocument], held: Mapping[str, ContentDocument]
) -> list[Violation]:
    """Return a violation for each path at which the environment holds another file; `held` is by path."""
    paths = {
        artifact["path"]: None
        for artifact in artifacts
        if (there := held.get(artifact["path"])) and there["checksum"] != artifact["checksum"]
    }
    message = "The environment holds another file at {}: set overwriteExistingArtifacts to replace it."
    return [Violation("input.overwriteExistingArtifacts", message.format(path), TAKEN) for path in paths]


def record(
    release: ReleaseDocument,
    environment: EnvironmentDocument,
    keys_: Sequence[list[str]],
    artifacts: list[PromotedArtifactDocument],
    reasons: list[Violation],
    *,
    overwrite: bool,
) -> PromotionAttempt:
    """Return the ledger record of an attempt, which took effect if there are no `reasons` against it."""
    return {
        "id": ids.new(),
        "environment": environment["name"],
        "releaseId": release["id"],
        "name": release["name"],
        "version": release["version"],
        "status": "REJECTED" if reasons else "COMPLETED",
        "messages": [reason.message for reason in reasons],
        "artifacts": artifacts,
        "includedRepositoryKeys": keys_[0],
        "excludedRepositoryKeys": keys_[1],
        "overwriteExistingArtifacts": overwrite,
    }


def refusal(reasons: list[Violation]) -> Problem | None:
    """Return the problem for a promotion refused for `reasons`, or None without any."""
    if any(reason.code != TAKEN for reason in reasons):
        return errors.ValidationProblem(violations=reasons)
    if not reasons:
        return None
    more = (
        f" {len(reasons) - 1} more paths hold other files: see the messages of the record." if reasons[1:] else ""
    )
    return errors.Conflict(detail=reasons[0].message + more)
