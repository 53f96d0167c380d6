"""Filters of releases: their conditions, and the ways to find the releases that meet them by an index.

A filter becomes a condition on documents. Beside it stand covers: lists of terms of which each matching release
has at least one, so that the `terms` index finds all of them. The best cover of a filter is that of its most
selective condition; `any` has a cover if all of its filters have one, and `none` never has. What no term can tell,
a range of times or of versions, has an index of its own. An `any` without a cover is found in parts if each
of its filters has a cover or such an index.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bson.regex import Regex

from release_catalog.domain import search_words, timestamps
from release_catalog.domain.version_schemes.key_ranges import KeyRanges
from release_catalog.errors import InvalidArgument
from release_catalog.storage import search_terms, version_constraints
from release_catalog.storage.access_paths import Access, Term, terms_condition
from release_catalog.storage.database import Filter
from release_catalog.storage.filter_lookups import MAX_PRODUCTS, STATUSES, Lookups

MAX_IDS = 100
MAX_SUBSTRING = 256
# The limits of a whole filter: how deep `any` and `none` may be nested, and its conditions. A filter without any
# counts as one.
MAX_DEPTH = 3
MAX_CONDITIONS = 20
# More terms than this are not merged in the order of their index.
MAX_TERMS_IN_ORDER = 160
# The ways to find the releases that are compared by their numbers of index keys.
MAX_ACCESSES = 4
NESTED = ("any", "none")

# The conditions that terms serve, the most selective first: these usually match few releases.
_EXACT = ("name", "version", "author")
_REFERENCES = (("image", "baseImageId"), ("registry", "registryId"), ("pipeline", "pipelineId"))
# These usually match many.
_COMMON = (("creator", "createdBy"), ("branch", "branch"), ("tag", "tag"), ("catalog", "catalogId"))
_RANKS = {
    name: rank
    for rank, name in enumerate(
        ("ids", "artifactSha256", "dependsOnId", "product", *_EXACT, *(name for _, name in _REFERENCES), "search",
         "endOfLifeBefore", "deliveryStatus", *(name for _, name in _COMMON), "environment", "platform")
    )
}  # fmt: skip
# The fields of the ranges of times; the index of each has the name of the range.
_TIMES = {
    "created": "createdAt", "updated": "updatedAt", "released": "releasedKey", "published": "publishedKey",
}  # fmt: skip
_WITHOUT_TIME = ("releasedKey", "publishedKey")


class Condition(NamedTuple):
    """A condition on documents, with a cover if terms serve it: an exact one says all that the condition says."""

    match: Filter
    rank: int = len(_RANKS)
    cover: Sequence[Term] | None = None
    is_exact: bool = True


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A filter in the language of the database: all conditions must hold."""

    conditions: list[Condition]
    accesses: list[Access]

    def match(self) -> Filter:
        """Return all conditions as one."""
        found = self.match_without(None)
        return found[0] if len(found) == 1 else {"$and": found} if found else {}

    def match_without(self, one: Condition | None) -> list[Filter]:
        """Return all conditions but the one whose cover says the same."""
        some = [condition for condition in self.conditions if condition is not one or not condition.is_exact]
        return [condition.match for condition in some if condition.match]

    def best(self) -> Condition | None:
        """Return the most selective condition that has a cover."""
        covered = [condition for condition in self.conditions if condition.cover is not None]
        return min(covered, key=lambda condition: condition.rank, default=None)


def is_in_order(cover: Sequence[Term] | None) -> bool:
    """Return whether the index finds the releases with any of these terms in its own order."""
    return cover is None or (len(cover) <= MAX_TERMS_IN_ORDER and all(isinstance(term, str) for term in cover))


def is_selective(condition: Condition, accesses: Sequence[Access]) -> bool:
    """Return whether a condition usually matches few releases, so that no other way needs to be compared."""
    compared = _RANKS["product"] if any(access.name == "latest" for access in accesses) else _RANKS["search"]
    return condition.rank < compared and is_in_order(condition.cover)


@dataclasses.dataclass(frozen=True)
class Scope:
    """The place of a filter in the input, and the products to which the filters around it narrow it."""

    path: str = "filter"
    products: Sequence[str] | None = None


WHOLE = Scope()


def check(filter_: Mapping[str, Any]) -> None:
    """Raise InvalidArgument if a filter exceeds a limit or contradicts itself."""
    count = 0
    for path, depth, conditions in nested(filter_):
        if depth > MAX_DEPTH:
            message = f"any and none are nested more than {MAX_DEPTH} deep: nest them at most {MAX_DEPTH} deep."
            raise InvalidArgument(path, message)
        own = [name for name, value in conditions.items() if value is not None and name not in NESTED]
        count += max(1, len(own)) if depth else len(own)
        if count > MAX_CONDITIONS:
            message = f"the filter has more than {MAX_CONDITIONS} conditions: give at most {MAX_CONDITIONS}."
            raise InvalidArgument("filter", message)
        _check_one(path, conditions)


def nested(filter_: Mapping[str, Any], path: str = "filter", depth: int = 0) -> Iterator[tuple[str, int, Any]]:
    """Yield a filter and those in it, with their paths and depths, one too deep at most."""
    yield path, depth, filter_
    for name in NESTED if depth <= MAX_DEPTH else ():
        for index, inner in enumerate(filter_.get(name) or ()):
            yield from nested(inner, f"{path}.{name}[{index}]", depth + 1)


def within(filter_: Mapping[str, Any], place: Mapping[str, Any]) -> dict[str, Any]:
    """Return a filter narrowed to a catalog or a product; it matches nothing if it names another one."""
    contradicts = any(filter_.get(name) not in {None, value} for name, value in place.items())
    return {**filter_, **place, **({"ids": []} if contradicts else {})}


def _check_one(path: str, values: Mapping[str, Any]) -> None:
    for name in _TIMES:
        start, end = values.get(f"{name}From"), values.get(f"{name}Before")
        if start is not None and end is not None and start >= end:
            message = f"the range ends before it begins: give a time before {name}Before."
            raise InvalidArgument(f"{path}.{name}From", message)
    if len(values.get("ids") or ()) > MAX_IDS:
        raise InvalidArgument(f"{path}.ids", f"the list has too many ids: give at most {MAX_IDS}.")
    for name in ("channel", "packagingType", "status", "deliveryStatus", "verification", "any"):
        if values.get(name) == []:
            message = "an empty list matches nothing: leave it out to match all."
            raise InvalidArgument(f"{path}.{name}", message)
    if values.get("search") is not None:
        check_search(f"{path}.search", values["search"])


def check_search(argument: str, text: str) -> None:
    """Raise InvalidArgument if a text is too long for a search, or has no word."""
    if len(text) > search_words.MAX_SEARCH:
        message = f"the text has {len(text)} characters: give at most {search_words.MAX_SEARCH}."
        raise InvalidArgument(argument, message)
    count = len(search_words.searched(text))
    if not count:
        raise InvalidArgument(argument, "the text has no word: give letters or digits.")
    if count > search_words.MAX_SEARCHED_WORDS:
        message = f"the text has {count} words: give at most {search_words.MAX_SEARCHED_WORDS}."
        raise InvalidArgument(argument, message)


def compiled(filter_: Mapping[str, Any], lookups: Lookups, scope: Scope = WHOLE) -> Compiled:
    """Return a filter in the language of the database."""
    values = {name: value for name, value in filter_.items() if value is not None}
    products = lookups.products_of(values)
    if products is not None and len(products) > MAX_PRODUCTS:
        message = f"more than {MAX_PRODUCTS} products have this key: give catalogId with it."
        raise InvalidArgument(f"{scope.path}.productKey", message)
    inner = dataclasses.replace(scope, products=scope.products if products is None else products)
    conditions = [Condition(match) for match in _plain(scope.path, values)]
    conditions += _indexed(values, lookups, products)
    accesses = [
        Access(name, {field: bounds}) for name, field in _TIMES.items() if (bounds := _bounds_of(name, values))
    ]
    if "constraint" in values:
        argument = f"{scope.path}.constraint"
        if inner.products is None:
            message = "a constraint needs a product: give productId or productKey in the same filter or around it."
            raise InvalidArgument(argument, message)
        match, found = _constraint(argument, values["constraint"], inner.products, lookups)
        terms = [f"product:{id_}" for id_ in inner.products]
        conditions.append(Condition(match, _RANKS["product"], terms, is_exact=False))
        accesses += [found] if found else []
    for name in NESTED:
        filters = [
            compiled(one, lookups, dataclasses.replace(inner, path=f"{scope.path}.{name}[{index}]"))
            for index, one in enumerate(values.get(name, ()))
        ]
        if filters:
            conditions.append(_any(filters) if name == "any" else _none(filters))
        if filters and name == "any" and conditions[-1].cover is None:
            accesses += _ways(filters)
    return Compiled(conditions, accesses)


def _any(filters: Sequence[Compiled]) -> Condition:
    matches = [one.match() for one in filters]
    if {} in matches:
        return Condition({})
    match = matches[0] if len(matches) == 1 else {"$or": matches}
    best = [condition for one in filters if (condition := one.best())]
    if len(best) < len(filters):
        return Condition(match)
    terms = {repr(term): term for condition in best for term in condition.cover or ()}
    rank = max(condition.rank for condition in best)
    # The terms say all if each filter has one condition, which its terms say.
    is_exact = all(len(one.match_without(one.best())) == 0 for one in filters)
    return Condition(match, rank, list(terms.values()), is_exact)


def _ways(filters: Sequence[Compiled]) -> list[Access]:
    """Return the way to the releases that any of these filters matches, which has a part for each of them."""
    parts: list[Filter] = []
    for one in filters:
        best = one.best()
        if best and best.cover is not None:
            parts.append({"terms": terms_condition(best.cover)})
        elif one.accesses:
            parts.append(one.accesses[0].condition)
    return [Access(None, {"$or": parts})] if len(parts) == len(filters) else []


def _none(filters: Sequence[Compiled]) -> Condition:
    return Condition({"$nor": [one.match() for one in filters]})


def _plain(path: str, values: Mapping[str, Any]) -> Iterator[Filter]:
    """Yield the conditions that no terms serve."""
    for name in ("revision", "trial", "private"):
        if name in values:
            yield {name: values[name]}
    for name, field in (
        ("status", "status"),
        ("channel", "channel"),
        ("packagingType", "packagingType"),
        ("verification", "artifacts.verification.status"),
    ):
        if name in values:
            yield {field: {"$in": values[name]}}
    for name, field in _TIMES.items():
        if bounds := _bounds_of(name, values):
            yield {field: bounds}
    if "nameContains" in values:
        yield {"name": containing(f"{path}.nameContains", values["nameContains"])}


def _bounds_of(name: str, values: Mapping[str, Any]) -> Filter:
    bounds = {"$gte": values.get(f"{name}From"), "$lt": values.get(f"{name}Before")}
    bounds = {operator: value for operator, value in bounds.items() if value is not None}
    # Releases without this time have NEVER.
    return {"$gt": timestamps.NEVER, **bounds} if bounds and _TIMES[name] in _WITHOUT_TIME else bounds


def _indexed(values: Mapping[str, Any], lookups: Lookups, products: Sequence[str] | None) -> Iterator[Condition]:
    """Yield the conditions that terms serve."""
    for kind, name in (*((name, name) for name in _EXACT), *_REFERENCES, *_COMMON):
        if name in values:
            yield Condition({name: values[name]}, _RANKS[name], [f"{kind}:{values[name]}"])
    if products is not None:
        terms = [f"product:{id_}" for id_ in products]
        yield Condition({"productId": {"$in": [*products]}}, _RANKS["product"], terms)
    if "search" in values:
        for word in sorted(search_words.searched(values["search"]), key=len, reverse=True):
            pattern = beginning(f"{search_terms.WORD}{word}")
            yield Condition({"terms": pattern}, _RANKS["search"], [pattern])
    for name, (match, some) in _with_terms(values, lookups):
        yield Condition(match, _RANKS[name], some)


def _with_terms(values: Mapping[str, Any], lookups: Lookups) -> Iterator[tuple[str, tuple[Filter, list[str]]]]:
    """Yield the conditions whose terms are made for them, each with its terms."""
    if "ids" in values:
        yield "ids", ({"id": {"$in": values["ids"]}}, [f"is:#{id_}" for id_ in values["ids"]])
    if "artifactSha256" in values:
        digest = values["artifactSha256"].lower().removeprefix("sha256:")
        yield "artifactSha256", ({"artifacts.sha256": digest}, [f"sha256:{digest}"])
    if "dependsOnId" in values:
        terms = [*lookups.needing.get(values["dependsOnId"], ())]
        paths = [term.removeprefix("needs:") for term in terms]
        yield "dependsOnId", ({"dependencies.reference": {"$in": paths}}, terms)
    if "endOfLifeBefore" in values:
        day = values["endOfLifeBefore"]
        yield "endOfLifeBefore", ({"endOfLifeAt": {"$lt": day.isoformat()}}, search_terms.ends_before(day))
    if "deliveryStatus" in values:
        terms = [f"delivery:{status}" for status in values["deliveryStatus"]]
        match = {"delivery.status": {"$in": values["deliveryStatus"]}}
        yield "deliveryStatus", (match, terms)
    if "environment" in values:
        name = values["environment"]
        yield "environment", ({"environments.environment": name}, [search_terms.environment_term(name)])
    if "platform" in values:
        key = values["platform"].casefold()
        yield "platform", ({"platformKeys": key}, search_terms.platform_terms([key]))


@functools.lru_cache(1_000)
def beginning(text: str) -> Regex[str]:
    """Return a pattern for the terms that begin with `text`, which is a range of their index."""
    escaped = "".join(
        character if character.isalnum() or character in "_:" else f"\\{character}" for character in text
    )
    return Regex(f"^{escaped}")


def _constraint(
    argument: str, text: str, products: Sequence[str], lookups: Lookups
) -> tuple[Filter, Access | None]:
    """Return the condition of a constraint on the versions of products, and the way to find these versions."""
    allowed: dict[str, KeyRanges] = {}
    for id_ in products:
        if scheme := lookups.schemes.get(id_):
            ranges = version_constraints.constraints(scheme, text, argument)
            allowed[id_] = ranges[min(lookups.alternatives.get((id_, text), 0), len(ranges) - 1)]
    match = version_constraints.of_products(allowed, lookups.reordered)
    # An index holds the versions of a product, unless its scheme is changing.
    if len(allowed) != 1 or allowed.keys() & set(lookups.reordered):
        return match, None
    return match, Access("latest", {**match, "status": {"$in": STATUSES}})


def containing(argument: str, text: str) -> Filter:
    """Return a condition on texts that contain `text` in any case; raise InvalidArgument if no name could."""
    if len(text) > MAX_SUBSTRING or "\x00" in text:
        raise InvalidArgument(
            argument, f"this text can't be searched: give at most {MAX_SUBSTRING} characters, without NUL."
        )
    return {"$regex": re.escape(text), "$options": "i"}
