"""The ways to the documents of a query: an index each, with the condition that it serves."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bson.regex import Regex

from release_catalog.storage.database import Filter

# A term of the `terms` index, or a pattern for those that begin with a text.
Term = str | Regex[str]


class Access(NamedTuple):
    """A way to the documents of a query: an index, the condition that it serves, and all other conditions.

    Without the latter, the conditions of the query hold besides.
    """

    name: str
    condition: Filter
    match: Filter | None = None


class Rebuild(NamedTuple):
    """The lookups that a query with a constraint was built from, and the function that builds it again."""

    lookups: Any
    build: Callable[[Any], Any]


def terms_condition(terms: Sequence[Term]) -> Any:
    """Return the condition on the field `terms` that a document has any of these terms."""
    return terms[0] if len(terms) == 1 else {"$in": [*terms]}


def both(*conditions: Filter) -> Filter:
    """Return the condition that all of these hold."""
    found: Filter = {}
    for condition in conditions:
        for name, value in condition.items():
            if name not in found:
                found[name] = value
            else:
                found["$and"] = [*found.get("$and", []), *(value if name == "$and" else [{name: value}])]
    return found
