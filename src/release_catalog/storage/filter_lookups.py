"""The documents that a filter of releases refers to: what its conditions mean depends on them."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from release_catalog.domain import versions
from release_catalog.domain.caller import Caller
from release_catalog.storage import cursors, reference_lookup, version_constraints, visibility
from release_catalog.storage.collection_names import PRODUCTS, RELEASES
from release_catalog.storage.database import ONE_BATCH, Collections, projection

# By key, a product may be one of this many catalogs.
MAX_PRODUCTS = 100

Values = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Lookups:
    """The documents that a filter refers to."""

    # The ids of products by key, and the terms of the dependants of releases by id.
    products: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    needing: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    # The schemes of the products whose versions are constrained, and those that are read by `nextVersionKey`.
    schemes: Mapping[str, versions.Scheme] = dataclasses.field(default_factory=dict)
    reordered: Sequence[str] = ()
    # Of the constraints that a text may mean for a product, the place of the one that counts, if not the first.
    alternatives: Mapping[tuple[str, str], int] = dataclasses.field(default_factory=dict)

    def products_of(self, values: Values) -> list[str] | None:
        """Return the products to which the conditions of one filter narrow it; None if they do not."""
        id_, key = values.get("productId"), values.get("productKey")
        if key is None:
            return None if id_ is None else [id_]
        return [product for product in self.products.get(key, ()) if id_ in {None, product}]


async def look_up(caller: Caller, database: Collections, filter_: Values) -> Lookups:
    """Return the documents that a filter refers to, with a few commands however many they are."""
    filters = list(_each(filter_))
    keys = {key for one in filters if (key := one.get("productKey")) is not None}
    ids = {id_ for one in filters if (id_ := one.get("dependsOnId")) is not None}
    lookups = Lookups(
        products=await _products(caller, database, keys) if keys else {},
        needing=await _needing(caller, database, ids) if ids else {},
    )
    pairs = set(_constrained(filter_, lookups, None))
    if not pairs:
        return lookups
    lookups = dataclasses.replace(lookups, schemes=await _schemes(caller, database, {id_ for id_, _ in pairs}))
    alternatives = {
        (id_, text): place
        for id_, text in pairs
        if id_ in lookups.schemes
        and (place := await _alternative(caller, database, id_, lookups.schemes[id_], text))
    }
    return dataclasses.replace(lookups, alternatives=alternatives)


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


async def _products(caller: Caller, database: Collections, keys: set[str]) -> dict[str, list[str]]:
    match = {"tenantId": caller.tenant, "key": {"$in": [*keys]}}
    found = database[PRODUCTS].find(match, {"id": 1, "key": 1}).hint("key").limit(MAX_PRODUCTS * len(keys))
    products: dict[str, list[str]] = {}
    for product in await cursors.documents(found, None, frozenset({"id", "key"})):
        products.setdefault(product["key"], []).append(product["id"])
    return {key: some[:MAX_PRODUCTS] for key, some in products.items()}


async def _needing(caller: Caller, database: Collections, ids: set[str]) -> dict[str, list[str]]:
    keys = frozenset(reference_lookup.REFERENCE_FIELDS)
    match = {"_id": {"$in": [caller.key(id_) for id_ in ids]}, **visibility.visible(caller)}
    found = database[RELEASES].find(match, projection(keys, "id")).batch_size(ONE_BATCH)
    releases = await cursors.documents(found, None, keys)
    terms = await reference_lookup.dependant_terms(caller, database, releases)
    return {release["id"]: some for release, some in zip(releases, terms, strict=True)}


async def _schemes(caller: Caller, database: Collections, ids: set[str]) -> dict[str, versions.Scheme]:
    match = {"_id": {"$in": [caller.key(id_) for id_ in ids]}}
    found = database[PRODUCTS].find(match, {"id": 1, "versionScheme": 1})
    products = await cursors.documents(found, None, frozenset({"id", "versionScheme"}))
    return {product["id"]: product["versionScheme"] for product in products}


async def _alternative(
    caller: Caller, database: Collections, product_id: str, scheme: versions.Scheme, text: str
) -> int:
    """Return the place of the first constraint in `text` that any visible release of a product fits, or 0."""
    try:
        ranges = versions.constraint(scheme, text)
    except ValueError:
        return 0  # it is refused with its place in the filter
    for place, allowed in enumerate(ranges if len(ranges) > 1 else ()):
        statuses = {"status": {"$in": ["DRAFT", "PUBLISHED", "WITHDRAWN", "ARCHIVED"]}}
        match = {"productId": product_id, "$and": [statuses, *version_constraints.within(allowed)]}
        found = database[RELEASES].find_one({**visibility.visible(caller), **match}, {"_id": 1}, hint="latest")
        if await found is not None:
            return place
    return 0
