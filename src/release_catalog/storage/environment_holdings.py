"""The environments that hold files or images of releases now, and the releases that they hold (S3).

The contents of environments decide. Each release also keeps the environments that hold something of it, with a
search term for each, so that releases are found by them. The transaction that changes contents writes both.
"""

import datetime
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from pymongo import UpdateMany, UpdateOne

from release_catalog import usage
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import EnvironmentDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_internals import HoldingDocument
from release_catalog.storage import cursors, search_terms, visibility
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import CONTENTS, ENVIRONMENTS, RELEASES, CollectionName
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.database import Collections, Stage
from release_catalog.storage.unit_of_work import UnitOfWork

# Answers name at most this many environments, the first by name, and releases of each, the newest.
MAX_ENVIRONMENTS = 100
MAX_RELEASES = 100
# The releases of a product that are looked through for its environments: the newest that any environment holds.
MAX_HELD = 1_000
# The condition that lets the index of held releases serve a query.
HELD = {"environments.environment": {"$gte": ""}}


class ProductHolding(NamedTuple):
    """An environment that holds releases of a product, the newest first, and the oldest time of theirs."""

    environment: str
    releases: list[ReleaseDocument]
    since: datetime.datetime


async def record(turn: UnitOfWork, environment: str, release_ids: Collection[str]) -> None:
    """Let releases know whether an environment holds something of them, after its contents were changed."""
    caller, term = turn.caller, search_terms.environment_term(environment)
    keys = [caller.key(id_) for id_ in release_ids]
    gone = {"environments": {"environment": environment}, "terms": term}
    changes: list[Any] = [UpdateMany({"_id": {"$in": keys}}, {"$pull": gone})]
    for id_, holding in (await _oldest(turn, environment, release_ids)).items():
        changes.append(UpdateOne({"_id": caller.key(id_)}, {"$push": {"environments": holding, "terms": term}}))
    usage.walk(len(keys))
    await turn.database[RELEASES].bulk_write(changes, ordered=True, session=turn.session)


async def _oldest(turn: UnitOfWork, environment: str, release_ids: Collection[str]) -> dict[str, HoldingDocument]:
    """Return the oldest content of each release in an environment, with one index key examined for each."""
    match = {"tenantId": turn.caller.tenant, "environment": environment, "releaseId": {"$in": [*release_ids]}}
    oldest = {name: {"$first": f"${name}"} for name in ("promotionId", "since")}
    stages: list[Stage] = [
        {"$match": match},
        {"$sort": {"releaseId": 1, "since": 1, "promotionId": 1}},
        {"$group": {"_id": "$releaseId", **oldest}},
    ]
    contents = turn.database[CollectionName[Any](CONTENTS)]
    found = await db.aggregate(contents, stages, frozenset(), hint="release", session=turn.session)
    return {
        one["_id"]: {"environment": environment, "promotionId": one["promotionId"], "since": one["since"]}
        for one in found
    }


async def of_releases(
    database: Collections, tenant: str, release_ids: Collection[str]
) -> dict[str, list[HoldingDocument]]:
    """Return the environments of releases from the contents of all environments, by release id."""
    group = {"release": "$releaseId", "environment": "$environment"}
    oldest = {"$min": {"since": "$since", "promotionId": "$promotionId"}}
    stages: list[Stage] = [
        {"$match": {"tenantId": tenant, "releaseId": {"$in": [*release_ids]}}},
        {"$group": {"_id": group, "oldest": oldest}},
    ]
    found: dict[str, list[HoldingDocument]] = {}
    contents = database[CollectionName[Any](CONTENTS)]
    # In one order, so that a migration that compares two reads finds no difference.
    some = await db.aggregate(contents, stages, frozenset(), hint="release")
    for one in sorted(some, key=lambda one: one["_id"]["environment"]):
        holding = {"environment": one["_id"]["environment"], **one["oldest"]}
        found.setdefault(one["_id"]["release"], []).append(cast("HoldingDocument", holding))
    return found


def listed(holdings: Iterable[HoldingDocument]) -> list[HoldingDocument]:
    """Return the environments of a release as answers list them."""
    return sorted(holdings, key=lambda holding: holding["environment"])[:MAX_ENVIRONMENTS]


async def environments_by_name(
    caller: Caller, database: Collections, names: Collection[str], keys: FieldPaths
) -> Mapping[str, EnvironmentDocument]:
    """Return environments by name."""
    match = {"tenantId": caller.tenant, "name": {"$in": [*names]}}
    found = database[ENVIRONMENTS].find(match, db.projection(keys, "name")).hint("name").batch_size(db.ONE_BATCH)
    return {document["name"]: document for document in await cursors.documents(found, None, keys)}


async def of_products(
    caller: Caller, database: Collections, product_ids: Sequence[str], keys: FieldPaths
) -> dict[str, list[ProductHolding]]:
    """Return the environments that hold releases of products, with `keys` of these releases, by product id.

    It is one command, which reads at most `MAX_HELD` releases of each product.
    """
    shown = {"$project": db.projection(keys, "id", "productId", "createdAt", "environments")}
    pipelines: list[list[Stage]] = [
        [
            {"$match": {**visibility.visible(caller), **HELD, "productId": id_}},
            {"$sort": {"createdAt": -1, "id": -1}},
            {"$limit": MAX_HELD},
            shown,
        ]
        for id_ in product_ids
    ]
    first, *others = pipelines
    unions: list[Stage] = [{"$unionWith": {"coll": RELEASES, "pipeline": pipeline}} for pipeline in others]
    found = await db.aggregate(database[RELEASES], [*first, *unions], keys, hint="held")
    usage.walk(len(found))
    held: dict[str, dict[str, ProductHolding]] = {}
    for release in found:
        of_product = held.setdefault(release["productId"], {})
        for holding in release["environments"]:
            name, since = holding["environment"], holding["since"]
            before = of_product.get(name)
            if before is None:
                of_product[name] = ProductHolding(name, [release], since)
            else:
                if len(before.releases) < MAX_RELEASES:
                    before.releases.append(release)
                of_product[name] = before._replace(since=min(before.since, since))
    return {
        id_: [holdings[name] for name in sorted(holdings)[:MAX_ENVIRONMENTS]] for id_, holdings in held.items()
    }
