"""Reference data: the documents that releases refer to, and the fields that inputs give, by collection.

A field that is not given keeps its value, or in a new document gets the default, as null does.
"""

import datetime
from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

from release_catalog.domain import dependency_graph
from release_catalog.domain.validation import (
    MAX_LONG_TEXT,
    FieldParsers,
    Validator,
    name,
    object_of,
    segment,
    text,
)
from release_catalog.domain.versions import Scheme, sort_key

# The given fields of one document.
Fields = dict[str, Any]
MAX_ENTRIES = 250


class _ReferenceDocument(TypedDict):
    """The fields of all reference data."""

    _id: str
    id: str
    tenantId: str
    name: str


class CatalogDocument(_ReferenceDocument):
    """A collection of products."""

    description: str | None
    public: bool
    createdAt: datetime.datetime


class SchemeChangeDocument(TypedDict):
    """A change of a product's version scheme that is under way (see `storage.scheme_change`)."""

    to: Scheme
    step: Literal["PREPARE", "COPY", "CLEAN"]
    # The holder of the lease, and its end.
    owner: str
    leaseUntil: datetime.datetime


class ProductDocument(_ReferenceDocument):
    """A product, which stays in its catalog."""

    catalogId: str
    key: str
    description: str | None
    disclaimer: str | None
    longDisplayName: str | None
    category: str | None
    basedOnScratch: bool | None
    latestFree: bool | None
    versionScheme: Scheme
    schemeChange: NotRequired[SchemeChangeDocument]


class PropertyDefinitionDocument(TypedDict):
    """A property of a pipeline or a project (S4)."""

    name: str
    required: bool
    defaultValue: str | None


class PipelineDocument(_ReferenceDocument):
    """A pipeline."""

    properties: list[PropertyDefinitionDocument]


class ExecutionDocument(TypedDict):
    """A run of a pipeline for a release."""

    _id: str
    id: str
    tenantId: str
    pipelineId: str
    releaseId: str
    status: str
    startedAt: datetime.datetime
    endedAt: datetime.datetime | None


class NamedDocument(TypedDict):
    """A stream or a build environment of a project (S4)."""

    id: str
    name: str


class ProjectDocument(_ReferenceDocument):
    """A project (S4)."""

    applicationPath: str | None
    deploymentType: str
    streams: list[NamedDocument]
    buildEnvironments: list[NamedDocument]
    properties: list[PropertyDefinitionDocument]


class EnvironmentDocument(_ReferenceDocument):
    """An environment, with the names of those that a release must have reached before (S3)."""

    requires: list[str]


class RegistryDocument(_ReferenceDocument):
    """A registry (S5)."""

    url: str
    healthy: bool | None
    lastCheckedAt: datetime.datetime | None


class OperatingSystemDocument(NamedDocument):
    """The operating system of a base image (S5)."""

    distro: str | None
    version: str | None


class BaseImageDocument(_ReferenceDocument):
    """A base image (S5)."""

    description: str | None
    containerImage: str | None
    operatingSystem: OperatingSystemDocument | None
    healthy: bool | None
    lastCheckedAt: datetime.datetime | None


def _name(checks: Validator, field: str) -> str:
    return checks.name(field) or ""


def _as_it_is(checks: Validator, field: str) -> Any:
    return checks.fields.get(field)


_NAMED: FieldParsers = {"id": text(255, required=True), "name": _name}


def _entries(checks: Validator, field: str, key: str, readers: FieldParsers) -> list[Fields]:
    entries = checks.items(field, MAX_ENTRIES)
    checks.unique(field, [entry.fields.get(key) for entry in entries])
    return [entry.whole(readers) for entry in entries]


def _named(checks: Validator, field: str) -> list[Fields]:
    return _entries(checks, field, "id", _NAMED)


def _properties(checks: Validator, field: str) -> list[Fields]:
    readers = {"name": _name, "required": Validator.flag, "defaultValue": text(MAX_LONG_TEXT)}
    return _entries(checks, field, "name", readers)


_READERS: dict[str, FieldParsers] = {
    "catalogs": {"name": _name, "description": text(MAX_LONG_TEXT), "public": Validator.flag},
    "products": {
        "key": segment(),
        "name": _name,
        **dict.fromkeys(("description", "disclaimer"), text(MAX_LONG_TEXT)),
        **dict.fromkeys(("longDisplayName", "category"), name(required=False)),
        **dict.fromkeys(("basedOnScratch", "latestFree"), Validator.maybe),
        "versionScheme": lambda given, field: given.choice(field) or "DOTTED",
    },
    "pipelines": {"name": _name, "properties": _properties},
    # With streams, build environments and property set (S4).
    "projects": {
        "name": _name,
        "applicationPath": text(1024),
        "deploymentType": Validator.choice,
        "streams": _named,
        "buildEnvironments": _named,
        "properties": _properties,
    },
    "environments": {
        "name": _name,
        "requires": lambda given, field: list(dict.fromkeys(given.fields.get(field) or [])),
    },
    "registries": {"name": _name, "url": Validator.url, "healthy": Validator.maybe, "lastCheckedAt": _as_it_is},
    "baseImages": {
        "name": _name,
        "description": text(MAX_LONG_TEXT),
        "containerImage": text(2048),
        "operatingSystem": object_of({**_NAMED, **dict.fromkeys(("distro", "version"), name(64, required=False))}),
        "healthy": Validator.maybe,
        "lastCheckedAt": _as_it_is,
    },
}


def read(checks: Validator, collection: str) -> Fields:
    """Return the given fields of a document of this collection."""
    return {f: reader(checks, f) for f, reader in _READERS[collection].items() if f in checks.fields}


def defaults(collection: str) -> Fields:
    """Return the defaults of a document of this collection; the values of required fields are meaningless."""
    return Validator({}, "").whole(_READERS[collection])


def optional_defaults(collection: str) -> Fields:
    """Return the defaults of the optional fields of a document of this collection."""
    checks = Validator({}, "")
    values = checks.whole(_READERS[collection])
    required = {violation.field for violation in checks.found}
    return {name: value for name, value in values.items() if name not in required}


def version_keys(product: ProductDocument, version: str) -> dict[str, str]:
    """Return the keys that order a version among those of `product`, also in the scheme to which it changes."""
    keys = {"versionKey": sort_key(product["versionScheme"], version)}
    change = product.get("schemeChange")
    if change and change["step"] != "CLEAN":
        keys["nextVersionKey"] = sort_key(change["to"], version)
    return keys


def environment(checks: Validator, others: Mapping[str, list[str]]) -> Fields:
    """Return the fields of an environment; `others` maps the tenant's environments to those that each requires."""
    fields = read(checks, "environments")
    requires = fields.get("requires", [])
    for index, required in enumerate(requires):
        if required not in others and required != fields["name"]:
            checks.refuse(
                f"requires[{index}]", "UNKNOWN", f"The environment {required!r} does not exist: save it first."
            )
    leading_here = dependency_graph.distances({**others, fields["name"]: requires}, fields["name"])
    if not leading_here.keys().isdisjoint(requires):
        checks.refuse(
            "requires",
            "REQUIRES_ITSELF",
            "The required environments require this one in turn: remove one of the requirements.",
        )
    return fields
