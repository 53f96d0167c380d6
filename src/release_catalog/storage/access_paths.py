"""The ways to the documents of a query: an index each, with the condition that it serves."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bson.regex import Regex

from release_catalog.storage.database import Collections, Filter, Stage
from release_catalog.storage.pipelines import run_together

if TYPE_CHECKING:
    from release_catalog.storage.pagination import PageQuery

# A term with more matches than this is read along the order's own index, where it occurs often enough. With fewer,
# the top ones are picked from their index keys, at about 5 microseconds a key.
SELECTIVE_LIMIT = 2_000

# A term of the `terms` index, or a pattern for those that begin with a text.
Term = str | Regex[str]


class Access(NamedTuple):
    """A way to the documents of a query: an index, the condition that it serves, and all other conditions.

    Without the latter, the conditions of the query hold besides. Without a name, the database chooses an index for
    each part of the condition.
    """

    name: str | None
    condition: Filter
    match: Filter | None = None

    @property
    def hint(self) -> dict[str, str]:
        """Return the hint to the index."""
        return {"hint": self.name} if self.name else {}


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


async def best(database: Collections, questions: "Sequence[PageQuery[Any]]") -> list[Access | None]:
    """Return for each query the way through the fewest index keys; None if no way leads through few."""
    ways = [(question, access) for question in questions for access in question.accesses]
    if not ways:
        return [None] * len(questions)

    def counted(question: "PageQuery[Any]", access: Access) -> list[Stage]:
        match = {"tenantId": question.match["tenantId"], **access.condition}
        return [{"$match": match}, {"$limit": SELECTIVE_LIMIT + 1}, {"$count": "count"}]

    parts = [(question.collection, counted(question, access)) for question, access in ways]
    # Only the first part can have a hint.
    found = await run_together(database, parts, frozenset(), **ways[0][1].hint)
    counts = [count[0]["count"] if count else 0 for count in found]
    found_best: list[Access | None] = []
    left = iter(zip(counts, ways, strict=True))
    for question in questions:
        some = [next(left) for _ in question.accesses]
        count, (_, access) = min(some, key=lambda one: one[0], default=(SELECTIVE_LIMIT + 1, (question, None)))
        found_best.append(access if count <= SELECTIVE_LIMIT else None)
    return found_best
