"""References from one release to another, and the strings by which releases find each other.

A reference is either `#<release id>` or `<catalog>/<name>@<version>`. A reference by id to a release that does not
exist is one by name and version. A later release can resolve the same string.

Several releases may have one name and version. `resolve_winner` is the rule that decides between them: no later
release takes over, except a higher published revision of the same product and channel (model.md, References).
"""

import datetime
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NotRequired, TypedDict, TypeVar

from release_catalog.domain.declarations import Field

# The fields that a reference by id may leave out; the catalog completes them from the release.
COMPLETED = ("name", "version")


class DependencyDocument(TypedDict):
    """A reference to another release, as declared."""

    releaseId: Annotated[str | None, Field("Id of the release, if the reference gives one.")]
    name: Annotated[str, Field("Name of the release.", compared=False)]
    version: Annotated[str, Field("Version of the release.")]
    reference: str
    # The fields that the catalog filled in.
    completed: NotRequired[list[str]]
    # No release with the id was visible to the caller who declared it.
    missing: NotRequired[bool]


class Named(TypedDict):
    """The fields of a release that decide which references may lead to it."""

    id: str
    catalogId: str
    name: str
    version: str


class Candidate(Named):
    """The fields of a release that decide between it and others of the same name and version."""

    productId: str
    channel: str
    status: str
    revisionKey: str
    createdAt: datetime.datetime
    publishedAt: datetime.datetime | None
    # False once another release has won for good.
    resolvesName: bool
    # When the product and channel first published the name and version, as this catalog saw it.
    nameSince: datetime.datetime | None


_Candidate = TypeVar("_Candidate", bound=Candidate)


def by_id(release_id: str) -> str:
    """Return the string of a reference by id."""
    return f"#{release_id}"


def by_name(catalog_id: str, name: str, version: str) -> str:
    """Return the string of a reference by name and version; no other reference has the same string."""
    reference = f"{_escaped(catalog_id, '/')}/{_escaped(name, '@')}@{version}"
    # A reference by id begins with this character, and an id may contain the others.
    return f"%23{reference[1:]}" if reference.startswith("#") else reference


def parsed(reference: str) -> dict[str, str] | None:
    """Return the catalog, name and version of a reference by name; None for one by id."""
    if reference.startswith("#"):
        return None
    catalog_id, _, rest = reference.partition("/")
    name, _, version = rest.partition("@")
    return {
        "catalogId": urllib.parse.unquote(catalog_id),
        "name": urllib.parse.unquote(name),
        "version": version,
    }


def dependency_document(
    catalog_id: str,
    release_id: str | None,
    name: str,
    version: str,
    completed: Sequence[str] | None = None,
    missing: bool | None = None,
) -> DependencyDocument:
    """Return a dependency as it is stored in a release's document.

    `completed` are the fields that the catalog filled in from the release with this id. If that release is
    `missing`, the name and version count.
    """
    reference = by_id(release_id) if release_id and not missing else by_name(catalog_id, name, version)
    made: DependencyDocument = {
        "releaseId": release_id,
        "name": name,
        "version": version,
        "reference": reference,
    }
    if completed is not None and release_id:
        made["completed"] = list(completed)
    if missing and release_id:
        made["missing"] = True
    return made


def redirected(dependency: DependencyDocument, maker: Named, *, missing: bool) -> DependencyDocument:
    """Return a dependency of `maker` that gives an id, by that id, or by name and version if no release has it.

    The name and version of `maker` itself lead nowhere, nor does a hidden name: the reference stays one by id.
    """
    by_name = {**dependency, "releaseId": None}
    is_named = bool(dependency["name"] and dependency["version"])
    return dependency_document(
        maker["catalogId"],
        dependency["releaseId"],
        dependency["name"],
        dependency["version"],
        completed(dependency),
        missing and is_named and not depends_on_itself(maker, by_name),
    )


def depends_on_itself(release: Mapping[str, Any], dependency: Mapping[str, Any]) -> bool:
    """Return whether a dependency of `release`, as declared or as stored, leads to it by id or by name."""
    id_ = dependency["releaseId"]
    is_by_name = id_ is None or dependency.get("missing", False)
    names = (dependency["name"], dependency["version"])
    has_own_id = id_ is not None and id_ == release.get("id")
    return has_own_id or (is_by_name and names == (release["name"], release["version"]))


def completed(dependency: Mapping[str, Any]) -> Sequence[str]:
    """Return the fields of a dependency that the catalog filled in.

    Older documents do not record this: for a reference by id in them, both fields count as filled in.
    """
    fields: Sequence[str] | None = dependency.get("completed")
    if fields is not None:
        return fields
    return COMPLETED if dependency["reference"].startswith("#") else ()


def undisclosed(dependency: DependencyDocument) -> DependencyDocument:
    """Return a dependency as declared, with the fields that the catalog filled in left empty."""
    shown, hidden = dependency.copy(), completed(dependency)
    if "name" in hidden:
        shown["name"] = ""
    if "version" in hidden:
        shown["version"] = ""
    return shown


def unique(declared_: Iterable[DependencyDocument]) -> list[DependencyDocument]:
    """Return the references without repetitions: a document may declare one twice."""
    return list({reference["reference"]: reference for reference in declared_}.values())


def reference_keys(release: Named) -> list[str]:
    """Return the reference strings that may lead to `release`."""
    return [by_id(release["id"]), name_key(release)]


def name_key(release: Named) -> str:
    """Return the string of references to `release` by name and version."""
    return by_name(release["catalogId"], release["name"], release["version"])


def resolve_winner(candidates: Iterable[_Candidate]) -> _Candidate | None:
    """Return the one of several releases of the same name and version that references by name lead to.

    Releases that were ever published come before drafts. The product and channel that published the name and
    version first win; in it, the highest revision. Of drafts, the oldest wins.
    """
    left = [one for one in candidates if one["resolvesName"]]
    published = [one for one in left if one["status"] != "DRAFT"]
    first = min(published or left, key=lambda one: (name_since(one), one["id"]), default=None)
    if first is None or not published:
        return first
    same = [one for one in published if _line(one) == _line(first)]
    return max(same, key=lambda one: (one["revisionKey"], one["id"]))


def since(release: _Candidate, published: Iterable[_Candidate]) -> datetime.datetime:
    """Return when the product and channel of `release` first published its name and version.

    `published` are all published releases of that name and version.
    """
    return min(name_since(one) for one in published if _line(one) == _line(release))


def name_since(release: Candidate) -> datetime.datetime:
    """Return since when a release counts among those of its name and version."""
    published = release["publishedAt"] if release["status"] != "DRAFT" else None
    return release["nameSince"] or published or release["createdAt"]


def _line(release: Candidate) -> tuple[str, str]:
    return release["productId"], release["channel"]


def _escaped(text: str, separator: str) -> str:
    if "%" in text or separator in text:
        return text.replace("%", "%25").replace(separator, f"%{ord(separator):02X}")
    return text
