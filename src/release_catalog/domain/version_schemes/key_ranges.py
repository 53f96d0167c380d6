"""Ranges of sort keys: the versions that a constraint allows."""

import dataclasses
from collections.abc import Iterable, Sequence

# From the first key on and below the second one; None is no end.
Range = tuple[str, str | None]
Ranges = tuple[Range, ...]

# All versions of a scheme: the keys of versions that do not match their scheme are below "0".
EVERY: Ranges = (("0", None),)

# The last characters of keys in schemes whose constraints treat pre-releases in a way of their own.
PRE_RELEASE_END = "-"
RELEASE_END = "1"


@dataclasses.dataclass(frozen=True)
class KeyRanges:
    """The keys that a constraint allows, in rising ranges that neither meet nor overlap.

    `pre_releases` lie within `releases`; they differ where a scheme leaves out the pre-releases of a range.
    """

    releases: Ranges
    pre_releases: Ranges


def after(key: str) -> str:
    """Return the lowest text above `key`."""
    return key + "\0"


def exactly(key: str) -> Ranges:
    """Return the range of one key."""
    return ((key, after(key)),)


def compared(operator: str, key: str) -> Ranges:
    """Return the ranges of the keys that compare to `key` by one of the six operators."""
    match operator:
        case ">=":
            return ((key, None),)
        case ">":
            return ((after(key), None),)
        case "<":
            return below(key)
        case "<=":
            return below(after(key))
        case "!=":
            return complement(exactly(key))
    return exactly(key)


def below(key: str) -> Ranges:
    """Return the range of the keys below `key`."""
    return ((EVERY[0][0], key),)


def complement(ranges: Ranges) -> Ranges:
    """Return every key that is in none of `ranges`."""
    found: list[Range] = []
    start: str | None = EVERY[0][0]
    for low, high in ranges:
        if start is not None and start < low:
            found.append((start, low))
        start = high
    return (*found, (start, None)) if start is not None else tuple(found)


def intersection(one: Ranges, other: Ranges) -> Ranges:
    """Return the keys that are in both."""
    found: list[Range] = []
    left, right = list(reversed(one)), list(reversed(other))
    while left and right:
        low = max(left[-1][0], right[-1][0])
        high = _lower(left[-1][1], right[-1][1])
        if high is None or low < high:
            found.append((low, high))
        (left if left[-1][1] == high else right).pop()
    return tuple(found)


def without(ranges: Ranges, others: Ranges) -> Ranges:
    """Return the keys that are in `ranges` and not in `others`."""
    return intersection(ranges, complement(others))


def union(several: Iterable[Ranges]) -> Ranges:
    """Return the keys that are in any of them."""
    found: list[Range] = []
    for low, high in sorted((range_ for ranges in several for range_ in ranges), key=lambda range_: range_[0]):
        if found and (found[-1][1] is None or low <= found[-1][1]):
            found[-1] = (found[-1][0], _higher(found[-1][1], high))
        else:
            found.append((low, high))
    return tuple(found)


def intersections(several: Sequence[Ranges]) -> Ranges:
    """Return the keys that are in all of them."""
    return complement(union(complement(ranges) for ranges in several))


def _lower(one: str | None, other: str | None) -> str | None:
    return min((end for end in (one, other) if end is not None), default=None)


def _higher(one: str | None, other: str | None) -> str | None:
    return None if one is None or other is None else max(one, other)
