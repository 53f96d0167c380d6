"""References from one release to another, and the strings by which releases find each other.

A reference is either `#<release id>` or `<catalog>/<name>@<version>`. It is kept as declared and is never
rewritten: a later release can resolve the same string.
"""

import datetime
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
    completed: NotRequired[list[str]]


class Referenced(TypedDict):
    """The fields of a release that decide what resolves to it."""

    id: str
    catalogId: str
    name: str
    version: str
    revisionKey: str
    createdAt: datetime.datetime


_Release = TypeVar("_Release", bound=Referenced)


def by_id(release_id: str) -> str:
    """Return the string of a reference by id."""
    return f"#{release_id}"


def by_name(catalog_id: str, name: str, version: str) -> str:
    """Return the string of a reference by name and version; different triples never give the same string."""
    return f"{_escaped(catalog_id, '/')}/{_escaped(name, '@')}@{version}"


def dependency_document(
    catalog_id: str, release_id: str | None, name: str, version: str, completed: Sequence[str] | None = None
) -> DependencyDocument:
    """Return a dependency as it is stored in a release's document.

    `completed` are the fields that the catalog filled in from the release with this id.
    """
    reference = by_id(release_id) if release_id else by_name(catalog_id, name, version)
    made: DependencyDocument = {
        "releaseId": release_id,
        "name": name,
        "version": version,
        "reference": reference,
    }
    return made if completed is None or not release_id else {**made, "completed": list(completed)}


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


def reference_keys(release: Referenced) -> list[str]:
    """Return the reference strings that `release` resolves."""
    return [by_id(release["id"]), by_name(release["catalogId"], release["name"], release["version"])]


def resolve_winner(candidates: Iterable[_Release]) -> _Release | None:
    """Return the release that a reference resolves to: the highest revision, then the newest."""
    return max(candidates, key=lambda r: (r["revisionKey"], r["createdAt"], r["id"]), default=None)


def _escaped(text: str, separator: str) -> str:
    if "%" in text or separator in text:
        return text.replace("%", "%25").replace(separator, f"%{ord(separator):02X}")
    return text
