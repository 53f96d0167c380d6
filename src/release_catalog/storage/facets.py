"""Facets: how often each value of a field occurs among all releases that a query matches.

A tenant's releases change only together with the tenant's counter of events, or as a bulk load adds them, which
counts there as well. So the facets of a query are kept in the process with the counter as it was before they were
counted, and hold as long as the counter stays the same. One command reads the counter and, only if it has changed,
counts again.
"""

import collections
import hashlib
import time
import weakref
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import bson

from release_catalog import usage
from release_catalog.domain import caller as callers
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import COUNTERS, RELEASES, CollectionName
from release_catalog.storage.database import Collections, Stage
from release_catalog.storage.pagination import PageQuery, counted

# Of more releases than this, only so many are counted.
MAX_COUNTED = 100_000
MAX_VALUES = 50
# The queries whose facets a process keeps for a database.
MAX_KEPT = 500
# The field of each facet, and the part of a list's entries that counts.
FACETS: Mapping[str, str] = {
    "status": "$status",
    "channel": "$channel",
    "packagingType": "$packagingType",
    "platform": "$platforms.name",
    "product": "$productId",
    "verification": "$artifacts.verification.status",
}
_LISTS = frozenset({"platform", "verification"})
# What else changes what releases match (a migration, or a load that was cut off) counts after this time.
MAX_AGE_SECONDS = 30.0
_LOOKUPS_A_COMMAND = 200

Counts = list[dict[str, Any]]
# The counter of a tenant: none, or the one.
_State = list[dict[str, Any]]


class Facets(NamedTuple):
    """The facets of a query, each with its most frequent values; approximate if there were too many releases."""

    counts: dict[str, Counts]
    is_approximate: bool
    # The number of steps of the tenant's scheme changes afterwards.
    steps: int


class _Kept(NamedTuple):
    state: _State
    until: float
    facets: Facets

    def has(self, names: Collection[str]) -> bool:
        return all(name in self.facets.counts for name in names)


_kept: weakref.WeakKeyDictionary[Collections, collections.OrderedDict[bytes, _Kept]] = weakref.WeakKeyDictionary()


async def read(database: Collections, questions: Sequence[PageQuery[Any]], names: Collection[str]) -> list[Facets]:
    """Return the facets `names` of all releases that each query matches, with one command."""
    found: list[Facets] = []
    for start in range(0, len(questions), _LOOKUPS_A_COMMAND):
        found += await _read(database, questions[start : start + _LOOKUPS_A_COMMAND], names)
    return found


async def _read(
    database: Collections, questions: Sequence[PageQuery[Any]], names: Collection[str]
) -> list[Facets]:
    kept, now = _kept.setdefault(database, collections.OrderedDict()), time.monotonic()
    keys = [_key(question) for question in questions]
    known = [one for key in keys if (one := kept.get(key)) and one.until > now and one.has(names)]
    is_known = len(known) == len(keys) and all(one.state == known[0].state for one in known)
    state = known[0].state if is_known else None
    tenant = questions[0].match["tenantId"]
    answers = await _command(database, tenant, questions, names, state)
    if not answers:
        return [one.facets for one in known]
    [answer] = answers
    found = []
    for index, key in enumerate(keys):
        [counts] = answer.get(f"q{index}") or [{}]
        facets = _facets(counts, names, _steps(answer["after"]))
        found.append(facets)
        kept[key] = _Kept(answer["counter"], now + MAX_AGE_SECONDS, facets)
        kept.move_to_end(key)
    while len(kept) > MAX_KEPT:
        kept.popitem(last=False)
    return found


def _key(question: PageQuery[Any]) -> bytes:
    """Return a digest of the whole condition, which holds the tenant and what the caller sees."""
    return hashlib.sha256(bson.encode(counted(question)[0] | {"none": question.terms == []})).digest()


async def _command(
    database: Collections,
    tenant: str,
    questions: Sequence[PageQuery[Any]],
    names: Collection[str],
    state: _State | None,
) -> list[dict[str, Any]]:
    """Return the counter and the facets of each query; nothing if the counter is still as in `state`."""
    own = {"$match": {"_id": callers.local(tenant).key("events")}}
    counter = {"$project": {"_id": 0, "value": 1, "held": 1, "schemeSteps": 1}}
    stages: list[Stage] = [own, {"$facet": {"counter": [counter]}}]
    if state is not None:
        stages.append({"$match": {"counter": {"$ne": state}}})
    for index, question in enumerate(questions):
        if question.terms != []:
            lookup = {"from": RELEASES, "pipeline": _pipeline(question, names), "as": f"q{index}"}
            stages.append({"$lookup": lookup})
    stages.append({"$lookup": {"from": COUNTERS, "pipeline": [own, counter], "as": "after"}})
    return await db.aggregate(database[CollectionName[Any](COUNTERS)], stages, frozenset())


def _pipeline(question: PageQuery[Any], names: Collection[str]) -> list[Stage]:
    # Once more than the maximum, to tell whether there are more.
    limited: list[Stage] = [{"$match": counted(question)[0]}, {"$limit": MAX_COUNTED + 1}]
    shown = {name: _values(name) for name in names}
    parts: dict[str, list[Stage]] = {"all": [{"$count": "count"}], **{name: _counts(name) for name in names}}
    return [*limited, {"$project": {"_id": 0, **shown}}, {"$facet": parts}]


def _values(name: str) -> Any:
    """Return the expression for the values of a facet in a release: a list of different ones, or one value."""
    if name != "platform":
        return {"$setUnion": [FACETS[name]]} if name in _LISTS else FACETS[name]
    # As filters by platform: of the release, its files and its images, and in any letter case.
    lists = [FACETS[name], "$artifacts.platform.name", "$dockerImages.platform.name"]
    lower = {"$map": {"input": {"$setUnion": lists}, "in": {"$toLower": "$$this"}}}
    return {"$setUnion": [lower]}


def _counts(name: str) -> list[Stage]:
    unwound: list[Stage] = [{"$unwind": f"${name}"}] if name in _LISTS else [{"$match": {name: {"$ne": None}}}]
    group = {"$group": {"_id": f"${name}", "count": {"$sum": 1}}}
    return [*unwound, group, {"$sort": {"count": -1, "_id": 1}}, {"$limit": MAX_VALUES}]


def _steps(counter: _State) -> int:
    return sum(one.get("schemeSteps", 0) for one in counter)


def _facets(found: Mapping[str, Any], names: Collection[str], steps: int) -> Facets:
    count = found["all"][0]["count"] if found.get("all") else 0
    usage.count(count * len(names))
    counts = {
        name: [{"value": one["_id"], "count": one["count"]} for one in found.get(name, ())] for name in names
    }
    return Facets(counts, count > MAX_COUNTED, steps)
