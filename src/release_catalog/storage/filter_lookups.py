"""The documents that a filter of releases refers to: what its conditions mean depends on them."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from release_catalog.domain import versions
from release_catalog.domain.caller import Caller
from release_catalog.domain.version_schemes.key_ranges import KeyRanges
from release_catalog.errors import InvalidArgument
from release_catalog.storage import cursors, reference_lookup, version_constraints, visibility
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import COUNTERS, PRODUCTS, RELEASES, CollectionName
from release_catalog.storage.database import ONE_BATCH, Collections, Stage, projection
from release_catalog.storage.pipelines import run_together

# A filter by the key of products names at most this many.
MAX_PRODUCTS = 100
# All constraints of a filter, each counted once for each of its products: 1,900 took 46 seconds.
MAX_CONSTRAINED = 100

STATUSES = ["DRAFT", "PUBLISHED", "WITHDRAWN", "ARCHIVED"]
# The conditions that refer to other documents.
_REFERRING = ("productKey", "dependsOnId", "constraint")

Values = Mapping[str, Any]
# The key of products, and the ids of a catalog and a product beside it.
_Named = tuple[str, str | None, str | None]


@dataclasses.dataclass(frozen=True)
class Lookups:
    """The documents that a filter refers to."""

    # The ids of products by key and place, and the terms of the dependants of releases by id.
    products: Mapping[_Named, Sequence[str]] = dataclasses.field(default_factory=dict)
    needing: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    # The schemes of the products whose versions are constrained, the number of steps of scheme changes before they
    # were read, and the products that are read by `nextVersionKey`.
    schemes: Mapping[str, versions.Scheme] = dataclasses.field(default_factory=dict)
    steps: int = 0
    reordered: Sequence[str] = ()
    # Of the constraints that a text may mean for a product, the place of the one that counts, if not the first.
    alternatives: Mapping[tuple[str, str], int] = dataclasses.field(default_factory=dict)

    def products_of(self, values: Values) -> Sequence[str] | None:
        """Return the products to which the conditions of one filter narrow it; None if they do not.

        There is one more than `MAX_PRODUCTS` if there are more.
        """
        id_, named = values.get("productId"), _named(values)
        if named is None:
            return None if id_ is None else [id_]
        return self.products.get(named, ())


def refers(filter_: Values) -> bool:
    """Return whether what a filter means depends on other documents."""
    return any(one.get(name) is not None for one in _each(filter_) for name in _REFERRING)


async def look_up(caller: Caller, database: Collections, filters: Sequence[Values]) -> Lookups:
    """Return the documents that filters refer to, with a few commands however many they are."""
    some = [one for filter_ in filters for one in _each(filter_)]
    keys = {named for one in some if (named := _named(one)) is not None}
    ids = {id_ for one in some if (id_ := one.get("dependsOnId")) is not None}
    lookups = Lookups(
        products=await _products(caller, database, keys) if keys else {},
        needing=await _needing(caller, database, ids) if ids else {},
    )
    constrained = [set(_constrained(filter_, lookups, None)) for filter_ in filters]
    # Filters with more are refused: see `check`.
    pairs = {pair for some_pairs in constrained if len(some_pairs) <= MAX_CONSTRAINED for pair in some_pairs}
    if not pairs:
        return lookups
    schemes, steps = await _schemes(caller, database, {id_ for id_, _ in pairs})
    alternatives = await _alternatives(caller, database, pairs, schemes)
    return dataclasses.replace(lookups, schemes=schemes, steps=steps, alternatives=alternatives)


def check(filter_: Values, lookups: Lookups) -> None:
    """Raise InvalidArgument if the constraints of a filter are on too many products."""
    count = len(set(_constrained(filter_, lookups, None)))
    if count > MAX_CONSTRAINED:
        message = (
            f"the constraints are on {count} products in all, each counted for each constraint: give at most "
            f"{MAX_CONSTRAINED}, such as by productId or by catalogId."
        )
        raise InvalidArgument("filter", message)


def _named(values: Values) -> _Named | None:
    """Return the key by which one filter names products, with the catalog and the product besides."""
    key = values.get("productKey")
    return None if key is None else (key, values.get("catalogId"), values.get("productId"))


def _each(filter_: Values) -> Iterator[Values]:
    yield filter_
    for name in ("any", "none"):
        for inner in filter_.get(name) or ():
            yield from _each(inner)


def _constrained(filter_: Values, lookups: Lookups, products: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    """Yield the products whose versions a filter constrains, with the constraints."""
    own = lookups.products_of(filter_)
    products = products if own is None else own
    if (text := filter_.get("constraint")) is not None:
        yield from ((id_, text) for id_ in products or ())
    for name in ("any", "none"):
        for inner in filter_.get(name) or ():
            yield from _constrained(inner, lookups, products)


async def _products(caller: Caller, database: Collections, names: Collection[_Named]) -> dict[_Named, list[str]]:
    def stages(key: str, catalog: str | None, product: str | None) -> list[Stage]:
        place = {"catalogId": catalog, "id": product}
        match = {
            "tenantId": caller.tenant,
            "key": key,
            **{n: value for n, value in place.items() if value is not None},
        }
        return [{"$match": match}, {"$limit": MAX_PRODUCTS + 1}, {"$project": {"_id": 0, "id": 1}}]

    parts = [(PRODUCTS, stages(*named)) for named in names]
    found = await run_together(database, parts, frozenset({"id"}), hint="key")
    return {named: [product["id"] for product in some] for named, some in zip(names, found, strict=True)}


async def _needing(caller: Caller, database: Collections, ids: set[str]) -> dict[str, list[str]]:
    keys = frozenset(reference_lookup.REFERENCE_FIELDS)
    match = {"_id": {"$in": [caller.key(id_) for id_ in ids]}, **visibility.visible(caller)}
    found = database[RELEASES].find(match, projection(keys, "id")).batch_size(ONE_BATCH)
    releases = await cursors.documents(found, None, keys)
    terms = await reference_lookup.dependant_terms(caller, database, releases)
    return {release["id"]: some for release, some in zip(releases, terms, strict=True)}


async def _schemes(
    caller: Caller, database: Collections, ids: Collection[str]
) -> tuple[dict[str, versions.Scheme], int]:
    """Return the schemes of products, and the number of steps of scheme changes before they were read."""
    match = {"_id": {"$in": [caller.key(id_) for id_ in ids]}}
    products = [{"$match": match}, {"$project": {"_id": 0, "id": 1, "versionScheme": 1}}]
    stages: list[Stage] = [
        {"$match": {"_id": caller.key("events")}},
        {"$project": {"_id": 0, "schemeSteps": 1}},
        {"$unionWith": {"coll": PRODUCTS, "pipeline": products}},
    ]
    found = await db.aggregate(database[CollectionName[Any](COUNTERS)], stages, frozenset())
    schemes = {one["id"]: one["versionScheme"] for one in found if "id" in one}
    return schemes, sum(one.get("schemeSteps", 0) for one in found)


async def _alternatives(
    caller: Caller,
    database: Collections,
    pairs: Collection[tuple[str, str]],
    schemes: Mapping[str, versions.Scheme],
) -> dict[tuple[str, str], int]:
    """Return the place of the first constraint in each text that a visible release of its product fits.

    The last one needs no look: it counts if no release fits those before.
    """
    looks: list[tuple[tuple[str, str], int]] = []
    parts: list[tuple[CollectionName[Any], list[Stage]]] = []
    for id_, text in pairs:
        for place, allowed in enumerate(_ranges(schemes.get(id_), text)[:-1]):
            conditions = [{"status": {"$in": STATUSES}}, *version_constraints.within(allowed)]
            match = {**visibility.visible(caller), "productId": id_, "$and": conditions}
            looks.append(((id_, text), place))
            parts.append((RELEASES, [{"$match": match}, {"$limit": 1}, {"$project": {"_id": 0, "status": 1}}]))
    if not parts:
        return {}
    places: dict[tuple[str, str], int] = {}
    found = await run_together(database, parts, frozenset(), hint="latest")
    for (pair, place), some in zip(looks, found, strict=True):
        if some:
            places.setdefault(pair, place)
    return {pair: places.get(pair, place + 1) for pair, place in looks}


def _ranges(scheme: versions.Scheme | None, text: str) -> list[KeyRanges]:
    try:
        return versions.constraint(scheme, text) if scheme else []
    except ValueError:
        return []  # it is refused with its place in the filter
