"""Bulk writes beside the same requests one after another: what both answer and store, without made ids and times.

The release behind a reference is left out: it is looked up for the response, when all of a bulk is stored.
"""

import re
from typing import Any

import orjson

from release_catalog.storage import bulk_load
from release_catalog.storage.collection_names import CATALOGS, PIPELINES
from support.catalog import Catalog

Json = dict[str, Any]
_RELEASE = """release { id name version revision channel status tag catalog { id name } product { id key name versionScheme }
  artifacts { name verification { status } } delivery { status pipeline { id } properties { propertyName } }
  dependencies { edges { reference { releaseId name version } } } createdBy }"""
_PROBLEM = """problem { __typename status detail ... on ValidationProblem { violations { field code message } }
  ... on ConflictProblem { conflictingId } ... on ForbiddenProblem { scope } }"""
RESULTS = {
    "createRelease": f"dryRun warnings {_RELEASE} {_PROBLEM}",
    "importRelease": f"""dryRun catalogId name version status message warnings {{ artifactName message }} {_RELEASE}
      {_PROBLEM}""",
}
_MADE = re.compile(r"\b[0-9a-f]{24}\b")
# Any time but those that inputs give.
_NOW = re.compile(r"(?!202[56]-01-01)\d{4}-\d\d-\d\dT[\d:.]+")
# Fields that differ between two requests with the same input.
_OWN = {
    "_id",
    "etag",
    "updatedAt",
    "importedAt",
    "nameSince",
    "writtenAt",
    "triggeredAt",
    "tenantId",
    "leaseUntil",
}


def text(name: str) -> str:
    """A document of one mutation, whose payload is `done`."""
    type_ = f"{name[0].upper()}{name[1:]}Input"
    return "mutation($input: %s!) { done: %s(input: $input) { %s } }" % (type_, name, RESULTS[name])


def bulk_text(name: str) -> str:
    """A document of the bulk of a mutation, whose payload is `done`."""
    type_ = f"{name[0].upper()}{name[1:]}sInput"
    problem = _PROBLEM
    return "mutation($input: %s!) { done: %ss(input: $input) { results { %s } %s } }" % (
        type_, name, RESULTS[name], problem,
    )  # fmt: skip


async def one_by_one(catalog: Catalog, name: str, inputs: list[Json]) -> list[Json]:
    """The payloads of requests that follow one another, with the paths of their violations as in a bulk."""
    payloads = [(await catalog.ask(text(name), input=one))["done"] for one in inputs]
    for at, payload in enumerate(payloads):
        for violation in (payload["problem"] or {}).get("violations", ()):
            violation["field"] = violation["field"].replace("input", f"input.releases[{at}]", 1)
    return payloads


async def at_once(catalog: Catalog, name: str, inputs: list[Json], key: str | None = None) -> list[Json]:
    """The results of a bulk that is not refused as a whole."""
    done = (await catalog.ask(bulk_text(name), input={"releases": inputs, "idempotencyKey": key}))["done"]
    assert done["problem"] is None
    assert len(done["results"]) == len(inputs)
    results: list[Json] = done["results"]
    return results


async def stock(catalog: Catalog) -> None:
    """Two products with known ids, a second catalog, and a pipeline."""
    for key, scheme in (("one", "DOTTED"), ("two", "ANY")):
        await catalog.product(key, scheme, id=key, _id=catalog.caller.key(key))
    other: Any = {"id": "other", "name": "Other", "public": False, "description": None}
    assert await bulk_load.put(catalog.caller, catalog.database, CATALOGS, [other]) == 1
    pipeline: Any = {"id": "pipe", "name": "Pipe", "properties": []}
    assert await bulk_load.put(catalog.caller, catalog.database, PIPELINES, [pipeline]) == 1


async def stored(catalog: Catalog) -> dict[str, list[Any]]:
    """Everything that the tenant has, without what differs between two requests."""
    database = catalog.database.client[catalog.database.name]
    names = ("catalogs", "products", "releases", "events", "verifications")
    return {
        name: [
            _without_own(document)
            async for document in database[name].find({"tenantId": catalog.caller.tenant}).sort("_id", 1)
        ]
        for name in names
    }


def _without_own(document: Json) -> Json:
    kept = {name: value for name, value in document.items() if name not in _OWN}
    if isinstance(data := kept.get("data"), str):
        kept["data"] = {name: value for name, value in orjson.loads(data).items() if name not in _OWN}
    return kept


def comparable(value: Any) -> Any:
    """The same with made ids numbered in the order in which they come, and without times of creation by default."""
    numbers: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return numbers.setdefault(match[0], f"made-{len(numbers)}")

    return orjson.loads(_NOW.sub("now", _MADE.sub(number, orjson.dumps(value).decode())))
