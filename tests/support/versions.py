"""What a constraint chooses, decided on sort keys as the database does."""

from collections.abc import Iterable

from release_catalog.domain import versions
from release_catalog.domain.version_schemes.key_ranges import PRE_RELEASE_END, KeyRanges, Ranges


def sign(one: object, other: object) -> int:
    """-1, 0 or 1, as one is below, equal to or above the other."""
    return int(one > other) - int(one < other)  # type: ignore[operator]


def compared(scheme: versions.Scheme, one: str, other: str) -> int:
    return sign(versions.sort_key(scheme, one), versions.sort_key(scheme, other))


def within(ranges: Ranges, key: str) -> bool:
    return any(low <= key and (high is None or key < high) for low, high in ranges)


def matches(allowed: KeyRanges, key: str) -> bool:
    return within(allowed.pre_releases if key.endswith(PRE_RELEASE_END) else allowed.releases, key)


def chosen(scheme: versions.Scheme, text: str, candidates: Iterable[str]) -> list[str]:
    """The candidates that the constraint allows."""
    keys = {version: versions.sort_key(scheme, version) for version in candidates}
    for allowed in versions.constraint(scheme, text):
        if found := [version for version, key in keys.items() if matches(allowed, key)]:
            return found
    return []
