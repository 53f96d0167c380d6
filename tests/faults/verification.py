"""Whether a catalog holds what was acknowledged, once and nothing else."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from faults.api_process import DATABASE, ApiProcess, command
from faults.journal import Journal, Json, sample
from faults.replica_set import ReplicaSet
from release_catalog.storage.collection_names import CONTENTS, COUNTERS, EVENTS, PROMOTIONS, RELEASES, REQUESTS

# Aliases that a document may have, and a few less.
_AT_ONCE = 40
_EVENTS = {
    "createRelease": "release.created",
    "importRelease": "release.imported",
    "patchRelease": "release.updated",
    "publishRelease": "release.published",
    "promoteRelease": "promotion.completed",
}
_IDENTITY = ("productId", "version", "revision", "channel")
_SHOWN = ("id", "etag", "version", "revision", "channel", "status", "notes")


@dataclasses.dataclass(frozen=True)
class Tenant:
    """A tenant of the load, its token and its product."""

    name: str
    token: str
    product: str
    key: str


class Expected:
    """The expected state after a tenant's acknowledged operations."""

    def __init__(self, operations: Iterable[Json]) -> None:
        self.releases: dict[str, Json] = {}
        self.promotions: dict[str, Json] = {}
        self.events: collections.Counter[tuple[str, str]] = collections.Counter()
        self.contents: dict[str, str] = {}
        self.keys: set[str] = set()
        # Each writer's are in order, and no release has two writers.
        for operation in operations:
            verb, answer = operation["verb"], operation["answer"]
            self.keys.add(operation["key"])
            if verb == "promoteRelease":
                self.promotions[answer["id"]] = answer
                self.contents |= dict.fromkeys((each["path"] for each in answer["artifacts"]), answer["id"])
            else:
                self.releases[answer["id"]] = answer
            release = operation["input"].get("releaseId", answer["id"])
            self.events[release, _EVENTS[verb]] += 1


def complaints(
    replica_set: ReplicaSet, url: str, apis: Sequence[ApiProcess], tenants: Sequence[Tenant], journal: Journal
) -> Iterator[str]:
    """Return all that is wrong, read through each API process and in the database itself."""
    operations = journal.read("operation")
    if wrong := [replay for replay in journal.read("replay") if not replay["same"]]:
        yield f"replays with another answer: {sample(wrong)}"
    if unresolved := journal.unresolved():
        yield f"operations without an answer: {sample(unresolved)}"
    for tenant in tenants:
        expected = Expected(operation for operation in operations if operation["tenant"] == tenant.name)
        seen = [line for line in journal.read("seen") if line["tenant"] == tenant.name]
        with replica_set.client() as client:
            database = client[DATABASE]
            found = [
                *_releases(database, tenant, expected),
                *_events(database, tenant, expected, seen),
                *_promotions(database, tenant, expected),
                *_memories(database, tenant, expected),
            ]
        for api in apis:
            found += _through_api(api, tenant, expected)
        printed = command(url, "ledger", "verify", "--tenant", tenant.name)
        if not printed.startswith(f"{len(expected.promotions)} records,"):
            found.append(f"the ledger has {printed} and not {len(expected.promotions)} records")
        yield from (f"{tenant.name}: {complaint}" for complaint in found)


def _differ(name: str, found: Iterable[Any], expected: Iterable[Any]) -> Iterator[str]:
    """Complain of what is too few and too many, each as often as it is."""
    have, want = collections.Counter(iter(found)), collections.Counter(iter(expected))
    if missing := list((want - have).elements()):
        yield f"{name} lost: {sample(missing)}"
    if surplus := list((have - want).elements()):
        yield f"{name} too many: {sample(surplus)}"


def _releases(database: Any, tenant: Tenant, expected: Expected) -> Iterator[str]:
    stored = {
        release["id"]: release for release in database[RELEASES].find({"tenantId": tenant.name}, {"terms": 0})
    }
    yield from _differ("releases", stored, expected.releases)
    identities = [tuple(release[name] for name in _IDENTITY) for release in stored.values()]
    yield from _differ("identities", identities, set(identities))
    shown = [_row(stored[id_]) for id_ in stored.keys() & expected.releases.keys()]
    yield from _differ("states of releases", shown, (_row(expected.releases[row[0]]) for row in shown))
    contents = database[CONTENTS].find({"tenantId": tenant.name, "environment": "QA"})
    found = [(content["path"], content["promotionId"]) for content in contents]
    yield from _differ("contents of the environment", found, expected.contents.items())


def _row(release: Json) -> tuple[Any, ...]:
    return tuple(release[name] for name in _SHOWN)


def _events(database: Any, tenant: Tenant, expected: Expected, seen: Iterable[Json]) -> Iterator[str]:
    stored = list(database[EVENTS].find({"tenantId": tenant.name}).sort("sequence", 1))
    numbers = [event["sequence"] for event in stored]
    if numbers != list(range(1, len(numbers) + 1)):
        gaps = [number for at, number in enumerate(numbers) if at and number != numbers[at - 1] + 1]
        yield f"events with gaps before {sample(gaps)}"
    counter = database[COUNTERS].find_one({"_id": f"{tenant.name}/events"}) or {"value": 0}
    if counter["value"] != len(numbers):
        yield f"the counter of events is {counter['value']} and not {len(numbers)}"
    found = [(event["releaseId"], event["type"]) for event in stored]
    yield from _differ("events", found, expected.events.elements())
    written = [event["writtenAt"] for event in stored]
    if written != sorted(written):
        yield "events were written in another order than they are numbered"
    yield from _unmade(stored, expected, list(seen))


def _unmade(stored: list[Json], expected: Expected, seen: list[Json]) -> Iterator[str]:
    """Complain of what readers saw and what is not there."""
    known = {f"{event['sequence']:016d}": (event["type"], event["releaseId"]) for event in stored}
    events = {tuple(event) for line in seen for event in line["events"]}
    if other := [event for event in events if known.get(event[0]) != event[1:]]:
        yield f"events that a reader saw and that are not there: {sample(other)}"
    releases = {id_ for line in seen for id_ in line["releases"]}
    if gone := sorted(releases - expected.releases.keys()):
        yield f"releases that a reader saw and that are not there: {sample(gone)}"


def _promotions(database: Any, tenant: Tenant, expected: Expected) -> Iterator[str]:
    stored = list(database[PROMOTIONS].find({"tenantId": tenant.name}).sort("sequence", 1))
    yield from _differ("promotions", (record["id"] for record in stored), expected.promotions)
    if [record["sequence"] for record in stored] != list(range(1, len(stored) + 1)):
        yield "promotions with gaps"
    shown = [(record["id"], record["sequence"], record["status"], record["hash"]) for record in stored]
    answers = [(one["id"], one["sequence"], one["status"], one["hash"]) for one in expected.promotions.values()]
    yield from _differ("promotions as they were answered", shown, answers)


def _memories(database: Any, tenant: Tenant, expected: Expected) -> Iterator[str]:
    match = {"tenantId": tenant.name, "answer": {"$exists": True}}
    stored = [memory["_id"].partition("/")[2] for memory in database[REQUESTS].find(match, {"_id": 1})]
    yield from _differ("remembered requests", stored, expected.keys)


def _through_api(api: ApiProcess, tenant: Tenant, expected: Expected) -> Iterator[str]:
    releases = list(expected.releases.values())
    by_id = [_row(found) for found in _asked(api, tenant, releases, _by_id) if found]
    yield from _differ("releases by id through the API", by_id, map(_row, releases))
    pages = _asked(api, tenant, releases, lambda release: _by_identity(tenant, release))
    by_identity = [_row(found) for page in pages for found in page["nodes"]]
    yield from _differ("releases by identity through the API", by_identity, map(_row, releases))
    events, after = [], "0"
    while after:
        query = (
            f'{{ events(after: "{after}", first: 100) {{ nodes {{ id }} pageInfo {{ hasNextPage endCursor }} }} }}'
        )
        page = api.ask(tenant.token, query)["events"]
        events += [int(event["id"]) for event in page["nodes"]]
        after = page["pageInfo"]["endCursor"] if page["pageInfo"]["hasNextPage"] else ""
    if events != list(range(1, expected.events.total() + 1)):
        yield f"{len(events)} events through the API and not {expected.events.total()}, or with gaps"


def _asked(api: ApiProcess, tenant: Tenant, releases: list[Json], field: Callable[[Json], str]) -> Iterator[Any]:
    for start in range(0, len(releases), _AT_ONCE):
        fields = (f"a{at}: {field(one)}" for at, one in enumerate(releases[start : start + _AT_ONCE]))
        yield from api.ask(tenant.token, f"{{ {' '.join(fields)} }}").values()


def _by_id(release: Json) -> str:
    return f'release(id: "{release["id"]}") {{ {" ".join(_SHOWN)} }}'


def _by_identity(tenant: Tenant, release: Json) -> str:
    match = f'productId: "{tenant.product}", version: "{release["version"]}"'
    return f"releases(filter: {{{match}}}, first: 5) {{ nodes {{ {' '.join(_SHOWN)} }} }}"
