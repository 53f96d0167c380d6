"""The products that import documents name (S1): found by id, key or name, in this order, or created."""

from collections.abc import Collection
from typing import Any, NamedTuple

from release_catalog.domain import versions
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import ProductDocument
from release_catalog.domain.validation import Validator, is_dots
from release_catalog.storage import cursors
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import PRODUCTS
from release_catalog.storage.database import Database, Filter, Stage


class NamedProducts(NamedTuple):
    """Products by their identifiers in documents, and the reason why each ambiguous identifier names none."""

    products: dict[str, ProductDocument]
    ambiguous: dict[str, str]


class Counted(NamedTuple):
    """The id of one of the products that have something in common, and their number."""

    id: str
    number: int


async def find(
    caller: Caller,
    database: Database,
    identifiers: Collection[str],
    catalog_id: str,
    *,
    ids_anywhere: bool = False,
    session: Any = None,
) -> NamedProducts:
    """Return the products of a catalog that `identifiers` name; with `ids_anywhere`, an id finds others, too."""
    known = await _by_id_or_key(
        caller, database, set(identifiers), catalog_id, ids_anywhere=ids_anywhere, session=session
    )
    rest = [identifier for identifier in identifiers if identifier not in known]
    if not rest:
        return NamedProducts(known, {})
    named: Filter = {"tenantId": caller.tenant, "catalogId": catalog_id, "name": {"$in": rest}}
    counted: list[Stage] = [
        {"$match": named},
        {"$group": {"_id": "$name", "id": {"$first": "$id"}, "count": {"$sum": 1}}},
    ]
    found: list[Any] = await db.aggregate(
        database[PRODUCTS], counted, frozenset({"id"}), hint="name", session=session
    )
    names = {one["id"]: one["_id"] for one in found if one["count"] == 1}
    if names:
        match = {"_id": {"$in": [caller.key(id_) for id_ in names]}}
        some = await cursors.documents(database[PRODUCTS].find(match, session=session))
        known |= {names[one["id"]]: one for one in some}
    several = [one for one in found if one["count"] > 1]
    return NamedProducts(known, {one["_id"]: _ambiguous("name", one["count"], one["_id"]) for one in several})


class Elsewhere(NamedTuple):
    """Products of any catalog: one for each key and for each name with the number of these, and by id."""

    keys: dict[str, Counted]
    names: dict[str, Counted]
    products: dict[str, ProductDocument]

    def choose(self, identifier: str) -> NamedProducts:
        """Return the product that has this key, or else this name."""
        known = self.keys.get(identifier) or self.names.get(identifier)
        if known is None:
            return NamedProducts({}, {})
        if known.number > 1:
            field = "key" if identifier in self.keys else "name"
            return NamedProducts({}, {identifier: _ambiguous(field, known.number, identifier)})
        return NamedProducts({identifier: self.products[known.id]}, {})


async def find_elsewhere(
    caller: Caller, database: Database, identifiers: Collection[str], session: Any = None
) -> Elsewhere:
    """Return the products of any catalog with these keys or names."""
    counted: dict[str, dict[str, Counted]] = {}
    for field in ("key", "name"):
        stages: list[Stage] = [
            {"$match": {"tenantId": caller.tenant, field: {"$in": list(identifiers)}}},
            {"$group": {"_id": f"${field}", "id": {"$first": "$id"}, "count": {"$sum": 1}}},
        ]
        found: list[Any] = await db.aggregate(database[PRODUCTS], stages, frozenset({"id"}), session=session)
        counted[field] = {one["_id"]: Counted(one["id"], one["count"]) for one in found}
    ids = {one.id for some in counted.values() for one in some.values() if one.number == 1}
    match = {"_id": {"$in": [caller.key(id_) for id_ in ids]}}
    some = await cursors.documents(database[PRODUCTS].find(match, session=session)) if ids else []
    return Elsewhere(counted["key"], counted["name"], {one["id"]: one for one in some})


def _ambiguous(field: str, count: int, identifier: str) -> str:
    better = "the id or the key" if field == "name" else "the id"
    return f"{count} products have the {field} {identifier!r}: give {better} of one."


async def _by_id_or_key(
    caller: Caller,
    database: Database,
    identifiers: Collection[str],
    catalog_id: str,
    *,
    ids_anywhere: bool,
    session: Any,
) -> dict[str, ProductDocument]:
    by_key: Filter = {"tenantId": caller.tenant, "key": {"$in": list(identifiers)}, "catalogId": catalog_id}
    by_id: Filter = {"_id": {"$in": [caller.key(identifier) for identifier in identifiers]}}
    if not ids_anywhere:
        by_id["catalogId"] = catalog_id
    found = await cursors.documents(database[PRODUCTS].find({"$or": [by_id, by_key]}, session=session))
    return {one["key"]: one for one in found if one["key"] in identifiers and one["catalogId"] == catalog_id} | {
        one["id"]: one for one in found if one["id"] in identifiers
    }


def check(
    checks: Validator,
    field: str,
    identifier: str,
    named: NamedProducts,
    *,
    create: bool,
) -> ProductDocument | None:
    """Return the product that `field` names; refuse an ambiguous name, and a new one unless it may be created."""
    if identifier in named.products:
        return named.products[identifier]
    if identifier in named.ambiguous:
        checks.refuse(field, "AMBIGUOUS", named.ambiguous[identifier])
    elif not create:
        checks.refuse(field, "UNKNOWN", f"The product {identifier!r} does not exist: save it first.")
    elif is_dots(identifier):
        checks.refuse(field, "NOT_AN_ID", f"{identifier!r} can't be part of a URL: give the product another name.")
    return None


def check_version(checks: Validator, version: str, scheme: versions.Scheme) -> None:
    """Refuse a version that is invalid in the scheme of its product."""
    if version and (reason := versions.problem(scheme, version)):
        checks.refuse("version", "NOT_A_VERSION", reason)
