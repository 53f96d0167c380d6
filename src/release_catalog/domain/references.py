"""References from one release to another, and the strings by which releases find each other.

A reference is either `#<release id>` or `<catalog>/<name>@<version>`. It is kept as declared and is never
rewritten: a later release can resolve the same string.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# The fields that a reference by id may leave out; the catalog completes them from the release.
COMPLETED = ("name", "version")


def by_id(release_id: str) -> str:
    """Return the string of a reference by id."""
    return f"#{release_id}"


def by_name(catalog_id: str, name: str, version: str) -> str:
    """Return the string of a reference by name and version; different triples never give the same string."""
    return f"{_escaped(catalog_id, '/')}/{_escaped(name, '@')}@{version}"


def dependency_document(
    catalog_id: str, release_id: str | None, name: str, version: str, completed: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return a dependency as it is stored in a release's document.

    `completed` are the fields that the catalog filled in from the release with this id.
    """
    reference = by_id(release_id) if release_id else by_name(catalog_id, name, version)
    made = {"releaseId": release_id, "name": name, "version": version, "reference": reference}
    return made if completed is None or not release_id else {**made, "completed": list(completed)}


def completed(dependency: Mapping[str, Any]) -> Sequence[str]:
    """Return the fields of a dependency that the catalog filled in.

    Older documents do not record this: for a reference by id in them, both fields count as filled in.
    """
    fields: Sequence[str] | None = dependency.get("completed")
    if fields is not None:
        return fields
    return COMPLETED if dependency["reference"].startswith("#") else ()


def undisclosed(dependency: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dependency as declared, with the fields that the catalog filled in left empty."""
    return {**dependency, **dict.fromkeys(completed(dependency), "")}


def unique(declared_: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the references without repetitions: a document may declare one twice."""
    return list({reference["reference"]: reference for reference in declared_}.values())


def reference_keys(release: Mapping[str, Any]) -> list[str]:
    """Return the reference strings that `release` resolves."""
    return [by_id(release["id"]), by_name(release["catalogId"], release["name"], release["version"])]


def resolve_winner(candidates: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the release that a reference resolves to: the highest revision, then the newest."""
    return max(candidates, key=lambda r: (r["revisionKey"], r["createdAt"], r["id"]), default=None)


def _escaped(text: str, separator: str) -> str:
    if "%" in text or separator in text:
        return text.replace("%", "%25").replace(separator, f"%{ord(separator):02X}")
    return text
