"""Constraints on versions, as conditions on the keys that order them."""

from collections.abc import Mapping, Sequence
from typing import Any

from release_catalog.domain import versions
from release_catalog.domain.version_schemes.key_ranges import PRE_RELEASE_END, KeyRanges, Range, without
from release_catalog.errors import InvalidArgument
from release_catalog.storage.database import Filter


def constraints(scheme: versions.Scheme, text: str, argument: str = "constraint") -> list[KeyRanges]:
    """Return the constraints in `text`, of which the first that any release fits counts."""
    try:
        return versions.constraint(scheme, text)
    except ValueError as error:
        raise InvalidArgument(argument, str(error)) from error


def within(allowed: KeyRanges, key: str = "versionKey") -> list[Filter]:
    """Return conditions on the sort key that leave both its ranges and the pre-releases in them to the index."""
    pre_releases = allowed.pre_releases
    ranges = [_bounds(keys) for keys in pre_releases]
    ranges += [
        {**_bounds(keys), "$regex": f"[^{PRE_RELEASE_END}]$"} for keys in without(allowed.releases, pre_releases)
    ]
    if len(ranges) <= 1:
        return [{key: keys} for keys in ranges or [{"$in": []}]]
    whole = _bounds((allowed.releases[0][0], allowed.releases[-1][1]))
    return [{key: whole}, {"$or": [{key: keys} for keys in ranges]}]


def _bounds(keys: Range) -> dict[str, Any]:
    low, high = keys
    return {"$gte": low} if high is None else {"$gte": low, "$lt": high}


def of_products(allowed: Mapping[str, KeyRanges], reordered: Sequence[str]) -> Filter:
    """Return the condition that the versions of products are allowed.

    The releases of the `reordered` products are read by `nextVersionKey` (see `storage.version_order`).
    """
    matches: list[Filter] = [
        {"productId": id_, "$and": within(ranges, "nextVersionKey" if id_ in reordered else "versionKey")}
        for id_, ranges in allowed.items()
    ]
    if not matches:
        return {"productId": {"$in": []}}
    return matches[0] if len(matches) == 1 else {"$or": matches}
