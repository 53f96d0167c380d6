"""The prices of the conditions of a filter: what an index finds few entries for costs nothing."""

from typing import Any

from release_catalog.storage.release_filters import MAX_CONDITIONS, NESTED

# The other conditions are judged entry by entry until a page is full, and text within a name costs most of all.
FILTERS = {
    f"filter.{name}": points
    for names, points in (
        ("nameContains", 100),
        ("endOfLifeBefore ids search", 10),
        ("channel packagingType platform verification revision trial private status", 5),
        ("releasedFrom releasedBefore dependsOnId constraint any none", 5),
        ("updatedFrom updatedBefore publishedFrom publishedBefore", 2),
        ("createdBy environment", 1),
    )
    for name in names.split()
}
_PRICED = [name.partition(".")[2] for name in FILTERS]


def set_names(value: Any) -> list[str]:
    """Return the priced conditions of a filter or of a list of filters, with those of the filters in them.

    A filter with more filters in it than it may have conditions is refused before anything is read.
    """
    waiting, found, count = [value], list[str](), 0
    while waiting and count <= MAX_CONDITIONS:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one[:MAX_CONDITIONS]
        elif isinstance(one, dict):
            count += 1
            found += [name for name in _PRICED if one.get(name) is not None]
            waiting += [one[name] for name in NESTED if one.get(name)]
    return found
