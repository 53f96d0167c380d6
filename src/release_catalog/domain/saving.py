"""What may be said of the things that releases refer to, by the collections that keep them.

A field that was not given is left as it is, or where the thing is new as null would make it, which brings the
default back.
"""

from collections.abc import Mapping
from typing import Any

from release_catalog.domain import graph
from release_catalog.domain.checks import LONG, Checks, Readers, one, text

Fields = dict[str, Any]
MAX_ENTRIES = 250


def _name(given: Checks, field: str) -> str:
    return given.text(field, 256, required=True) or ""


def _as_it_is(given: Checks, field: str) -> Any:
    return given.fields.get(field)


_NAMED: Readers = {"id": text(255, required=True), "name": _name}


def _entries(given: Checks, field: str, key: str, readers: Readers) -> list[Fields]:
    entries = given.items(field, MAX_ENTRIES)
    given.unique(field, [entry.fields.get(key) for entry in entries])
    return [entry.whole(readers) for entry in entries]


def _named(given: Checks, field: str) -> list[Fields]:
    return _entries(given, field, "id", _NAMED)


def _properties(given: Checks, field: str) -> list[Fields]:
    readers = {"name": _name, "required": Checks.flag, "defaultValue": text(LONG)}
    return _entries(given, field, "name", readers)


_READERS: dict[str, Readers] = {
    "catalogs": {"name": _name, "description": text(LONG), "public": Checks.flag},
    "products": {
        "key": _name,
        "name": _name,
        **dict.fromkeys(("description", "disclaimer"), text(LONG)),
        **dict.fromkeys(("longDisplayName", "category"), text(256)),
        **dict.fromkeys(("basedOnScratch", "latestFree"), Checks.maybe),
        "versionScheme": lambda given, field: given.choice(field) or "DOTTED",
    },
    "pipelines": {"name": _name, "properties": _properties},
    # With streams, build environments and property set (S4).
    "projects": {
        "name": _name,
        "applicationPath": text(1024),
        "deploymentType": Checks.choice,
        "streams": _named,
        "buildEnvironments": _named,
        "properties": _properties,
    },
    "environments": {
        "name": _name,
        "requires": lambda given, field: list(dict.fromkeys(given.fields.get(field) or [])),
    },
    "registries": {"name": _name, "url": Checks.url, "healthy": Checks.maybe, "lastCheckedAt": _as_it_is},
    "baseImages": {
        "name": _name,
        "description": text(LONG),
        "containerImage": text(2048),
        "operatingSystem": one({**_NAMED, "distro": text(64), "version": text(64)}),
        "healthy": Checks.maybe,
        "lastCheckedAt": _as_it_is,
    },
}


def read(given: Checks, collection: str) -> Fields:
    """The fields that were given of a thing of this collection."""
    return {f: reader(given, f) for f, reader in _READERS[collection].items() if f in given.fields}


def defaults(collection: str) -> Fields:
    """A thing of this collection of which nothing was said; what has to be said is of no use."""
    return Checks({}, "").whole(_READERS[collection])


def environment(given: Checks, others: Mapping[str, list[str]]) -> Fields:
    """The fields of an environment; `others` are the tenant's by name, with what each requires."""
    fields = read(given, "environments")
    requires = fields.get("requires", [])
    for index, name in enumerate(requires):
        if name not in others and name != fields["name"]:
            given.refuse(f"requires[{index}]", "UNKNOWN", f"There is no environment {name!r}: save it first.")
    leading_here = graph.distances({**others, fields["name"]: requires}, fields["name"])
    if any(name in leading_here for name in requires):
        given.refuse("requires", "REQUIRES_ITSELF", "Nothing could ever reach it: what it requires requires it.")
    return fields
