"""What may be said of the things that releases refer to. Each function reads the fields that were given.

A field that was not given is left as it is, or at its default where the thing is new; null brings the default
back.
"""

from collections.abc import Callable, Mapping
from typing import Any

from release_catalog.domain import graph
from release_catalog.domain.checks import Checks

Fields = dict[str, Any]
MAX_ENTRIES = 250

_LONG = 4096


def catalog(given: Checks) -> Fields:
    """A catalog."""
    return _said(given, name=_name, description=_text(_LONG), public=Checks.flag)


def product(given: Checks) -> Fields:
    """A product; its catalog and whether its key is free are for the store to tell."""
    texts = dict.fromkeys(("description", "disclaimer"), _text(_LONG)) | dict.fromkeys(
        ("longDisplayName", "category"), _text(256)
    )
    flags = dict.fromkeys(("basedOnScratch", "latestFree"), _maybe)
    return _said(given, key=_name, name=_name, **texts, **flags, versionScheme=_scheme)


def pipeline(given: Checks) -> Fields:
    """A pipeline."""
    return _said(given, name=_name, properties=_properties)


def project(given: Checks) -> Fields:
    """A project with its streams, build environments and property set (S4)."""
    return _said(
        given,
        name=_name,
        applicationPath=_text(1024),
        deploymentType=Checks.choice,
        streams=_named,
        buildEnvironments=_named,
        properties=_properties,
    )


def registry(given: Checks) -> Fields:
    """A registry (S5)."""
    return _said(given, name=_name, url=Checks.url, healthy=_maybe, lastCheckedAt=_as_it_is)


def base_image(given: Checks) -> Fields:
    """A base image with its operating system (S5)."""
    return _said(
        given,
        name=_name,
        description=_text(_LONG),
        containerImage=_text(2048),
        operatingSystem=_system,
        healthy=_maybe,
        lastCheckedAt=_as_it_is,
    )


def environment(given: Checks, others: Mapping[str, list[str]]) -> Fields:
    """An environment; `others` are the tenant's by name, with what each requires."""
    fields = _said(given, name=_name, requires=_required)
    requires = fields.get("requires", [])
    for index, name in enumerate(requires):
        if name not in others and name != fields["name"]:
            given.refuse(f"requires[{index}]", "UNKNOWN", f"There is no environment {name!r}: save it first.")
    leading_here = graph.distances({**others, fields["name"]: requires}, fields["name"])
    if any(name in leading_here for name in requires):
        given.refuse("requires", "REQUIRES_ITSELF", "Nothing could ever reach it: what it requires requires it.")
    return fields


_Reader = Callable[[Checks, str], Any]


def _said(given: Checks, **readers: _Reader) -> Fields:
    """What `readers` make of the fields that were given."""
    return {field: reader(given, field) for field, reader in readers.items() if field in given.fields}


def _text(limit: int) -> _Reader:
    return lambda given, field: given.text(field, limit, lines=limit == _LONG)


def _name(given: Checks, field: str) -> str:
    return given.text(field, 256, required=True) or ""


def _maybe(given: Checks, field: str) -> bool | None:
    return None if given.fields[field] is None else given.flag(field)


def _scheme(given: Checks, field: str) -> str:
    return given.choice(field) or "DOTTED"


def _as_it_is(given: Checks, field: str) -> Any:
    return given.fields[field]


def _required(given: Checks, field: str) -> list[str]:
    return list(dict.fromkeys(given.fields[field] or []))


def _named(given: Checks, field: str) -> list[Fields]:
    entries = given.items(field, MAX_ENTRIES)
    _unique(given, field, [entry.fields.get("id") for entry in entries])
    return [{"id": entry.text("id", 255, required=True), "name": _name(entry, "name")} for entry in entries]


def _properties(given: Checks, field: str) -> list[Fields]:
    entries = given.items(field, MAX_ENTRIES)
    _unique(given, field, [entry.fields.get("name") for entry in entries])
    return [
        {
            "name": _name(entry, "name"),
            "required": entry.flag("required"),
            "defaultValue": entry.text("defaultValue", _LONG, lines=True),
        }
        for entry in entries
    ]


def _unique(given: Checks, field: str, keys: list[Any]) -> None:
    for index, key in enumerate(keys):
        if key in keys[:index]:
            given.refuse(f"{field}[{index}]", "REPEATED", f"{key!r} was given before: give it once.")


def _system(given: Checks, field: str) -> Fields | None:
    inner = given.inner(field)
    if inner is None:
        return None
    return {
        "id": inner.text("id", 255, required=True),
        "name": _name(inner, "name"),
        "distro": inner.text("distro", 64),
        "version": inner.text("version", 64),
    }
