"""What may be said of a release, and what a release becomes by it.

Null says nothing. Creating starts from the defaults, and so does replacing (S4 PUT); patching (S4 PATCH) starts
from what was there, adds and updates, and never removes: lists are merged by what names their entries.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from release_catalog.domain import parts, references, release
from release_catalog.domain.checks import LONG, Checks, Readers, text

Document = dict[str, Any]

PACKAGING = ("HELM_CHART", "OVA", "CONTAINER_IMAGE")
# Of a published release, these still change; all else that can be said stays as it is.
_FREE = frozenset(("notes", "description", "metadata", "branch", "endOfLifeAt", "delivery", "private"))
# Kept of a file whatever is said of it.
_OWN = frozenset(("id", "createdAt", "updatedAt", "downloads", "verification"))
# What a verification speaks of.
_BYTES = ("sha256", "size", "downloadUrl")
# Collections by the fields that name one of their documents.
RELATED = {"baseImageId": "baseImages", "registryId": "registries", "pipelineId": "pipelines"}


def _by_id(entry: Document) -> Any:
    return entry["id"]


_READERS: Readers = {
    "name": text(256, required=True),
    "revision": text(64, required=True),
    "channel": text(256, required=True),
    "branch": text(32),
    "tag": text(256),
    "notes": text(LONG),
    "description": text(LONG),
    "packagingType": lambda given, field: given.choice(field, *PACKAGING),
    "private": Checks.flag,
    "trial": Checks.flag,
    "author": Checks.email,
    "releasedAt": Checks.instant,
    "endOfLifeAt": Checks.day,
    "metadata": parts.metadata,
    "registryArtifact": parts.REGISTRY_ARTIFACT,
    **dict.fromkeys(RELATED, Checks.id),
}
# What names the entries of lists.
_KEYS: dict[str, Callable[[Document], Any]] = {
    "artifacts": lambda file: file["name"],
    "dockerImages": lambda image: image["name"],
    "dependencies": lambda needed: (needed["name"], needed["version"]),
    "platforms": lambda platform: platform["name"],
    "platformReleaseMetadata": lambda entry: entry["platform"] and entry["platform"]["name"],
    "customizations": _by_id,
}
# Objects with fields of their own, of which a patch may name some.
_PARTS = frozenset(("registryArtifact", "artifact"))
FIELDS = frozenset(_READERS.keys() | _KEYS.keys() | {"delivery"})


def read(given: Checks, now: datetime.datetime) -> Document:
    """What is said of a release: whole values and whole entries of lists, with what is wrong in `given`."""
    lists: dict[str, Callable[[Checks], Document]] = {
        "artifacts": lambda entry: parts.artifact(entry, now),
        "dockerImages": lambda entry: entry.whole(parts.IMAGE),
        "dependencies": lambda entry: parts.dependency(entry, "releaseId", whole=False),
        "platformReleaseMetadata": lambda entry: entry.whole(parts.PLATFORM_METADATA),
        "customizations": lambda entry: entry.whole(parts.CUSTOMIZATION),
    }
    said: Document = {}
    for field in [name for name, value in given.fields.items() if value is not None]:
        if reader := _READERS.get(field):
            said[field] = reader(given, field)
        elif field in lists:
            said[field] = [lists[field](entry) for entry in given.items(field, parts.MAX_ENTRIES)]
        elif field == "platforms":
            each = given.each(field, parts.MAX_ENTRIES)
            read_ = [parsed for name in each.fields if (parsed := parts.platform(each, name, required=True))]
            said[field] = list({platform["name"]: platform for platform in read_}.values())
    return said


def unique(given: Checks, said: Document) -> None:
    """Refuse entries that a list has twice."""
    for field in _KEYS.keys() & said.keys() - {"platforms"}:
        given.unique(field, [_KEYS[field](entry) for entry in said[field]])


def refer(given: Checks, said: Document, known: Mapping[str, Mapping[str, Any]], own: Mapping[str, Any]) -> None:
    """Refuse references to what does not exist or contradicts itself; fill in what a reference by id leaves out.

    `known` are the documents of each collection by id, and `own` the release itself.
    """
    for field, collection in RELATED.items():
        if said.get(field) and said[field] not in known[collection]:
            given.refuse(field, "UNKNOWN", f"There is nothing with the id {said[field]!r}: save it first.")
    for at, needed in enumerate(said.get("dependencies", ())):
        if needed["releaseId"]:
            _complete(given, f"dependencies[{at}]", needed, known["releases"].get(needed["releaseId"]))
            itself = needed["releaseId"] == own["id"]
        else:
            itself = needed["version"] == own["version"] and needed["name"] == own["name"]
        if itself:
            message = "A release may not depend on itself: remove this dependency."
            given.refuse(f"dependencies[{at}]", "DEPENDS_ON_ITSELF", message)


def _complete(given: Checks, path: str, needed: Document, target: Document | None) -> None:
    # Readers who may not see that release may not learn its name here either.
    needed["completed"] = [name for name in references.COMPLETED if needed[name] is None]
    for name in references.COMPLETED:
        if needed[name] is None and target is None:
            message = f"There is no release {needed['releaseId']!r} yet: say its {name} too."
            given.refuse(f"{path}.{name}", "REQUIRED", message)
        elif needed[name] is None and target:
            needed[name] = target[name]
    if target and (target["name"], target["version"]) != (needed["name"], needed["version"]):
        message = f"{target['id']} is {target['name']} {target['version']}: correct the id or these."
        given.refuse(path, "CONTRADICTORY_REFERENCE", message)


def revised(before: Document, given: Checks, said: Document, now: datetime.datetime, *, replace: bool) -> Document:
    """What `before` becomes by what is said of it; its delivery is said as it is to be."""
    if replace:
        after = {**before, **release.described(), **said}
        after |= {
            field: merged(before[field], said[field], None, key, now)
            for field, key in _KEYS.items()
            if field in said
        }
    else:
        after = {**before, **_added(before, said, given, now)}
        own = {"releaseId": None, "name": after["name"], "version": after["version"]}
        if any(own.items() <= needed.items() for needed in before["dependencies"]):
            given.refuse("name", "DEPENDS_ON_ITSELF", "So it would depend on itself: give it another name.")
    if not given.found:
        after |= release.derived(after)
    return after


def _added(before: Document, said: Document, given: Checks, now: datetime.datetime) -> Document:
    """What fields of `before` become where more is said of them: nothing that is there goes by it."""
    after: Document = {}
    for field, value in said.items():
        raw, there = given.fields.get(field), before.get(field)
        if raw is None:
            continue
        if field in _KEYS or field == "releaseMetadata":
            after[field] = _joined(there or (), value, given, field, now)
        elif field == "metadata" and value and there:
            after[field] = parts.json_text(given, _over(orjson.loads(there), orjson.loads(value)))
        elif field in _PARTS and value and there and there.get("id") == value.get("id"):
            inner = Checks(raw, f"{given.path}.{field}", given.found)
            after[field] = {**there, **_added(there, value, inner, now)}
        else:
            after[field] = value
    if "reference" in before:
        # What of a dependency is given now is declared from now on, and so is what was declared before.
        after["completed"] = [name for name in references.completed(before) if given.fields.get(name) is None]
    return after


def _joined(
    before: Sequence[Document], entries: Sequence[Document], given: Checks, field: str, now: datetime.datetime
) -> list[Document]:
    raw = [
        Checks(one if isinstance(one, dict) else {}, f"{given.path}.{field}[{at}]", given.found)
        for at, one in enumerate(given.fields[field])
    ]
    after = merged(before, entries, raw, _KEYS.get(field, _by_id), now)
    if len(after) > parts.MAX_ENTRIES:
        given.refuse(field, "TOO_MANY", f"With those that are there, at most {parts.MAX_ENTRIES} fit here.")
    return after


def frozen(given: Checks, before: Document, after: Document) -> None:
    """Refuse what may not change once a release is published; its lists stay in their order, whatever was said."""
    if before["status"] == "DRAFT":
        return
    for field in ("name", *(release.described().keys() - _FREE)):
        if field in _KEYS and _in_order_of_keys(field, after) == _in_order_of_keys(field, before):
            # Whether the same reference was completed or declared makes no difference to it.
            after[field] = before[field]
        elif after[field] != before[field]:
            message = (
                f"It is {before['status']}: this stays as it is for good. Leave it so, or make another release."
            )
            given.refuse(field, "FIXED", message)


def _in_order_of_keys(field: str, of: Document) -> list[Document]:
    entries = [{name: value for name, value in entry.items() if name != "completed"} for entry in of[field]]
    return sorted(entries, key=lambda entry: str(_KEYS[field](entry)))


def merged(
    before: Sequence[Document],
    entries: Sequence[Document],
    raw: Sequence[Checks] | None,
    key: Callable[[Document], Any],
    now: datetime.datetime,
) -> list[Document]:
    """A list after `entries` were said: merged into it by what is `raw`, or in its place where that is None."""
    places: dict[Any, list[int]] = {}
    for at, entry in enumerate(before):
        places.setdefault(key(entry), []).append(at)
    after = [] if raw is None else list(before)
    for at, entry in enumerate(entries):
        found = places.get(key(entry))
        if not found:
            after.append(entry)
        elif raw is None:
            after.append(_updated(before[found.pop(0)], entry, now))
        else:
            fields = _added(after[found[0]], entry, raw[at], now)
            after[found[0]] = _updated(after[found[0]], fields, now)
    return after


def artifacts(before: Sequence[Document], files: Sequence[Document], now: datetime.datetime) -> list[Document]:
    """`files` in place of those before; one that was there stays the same file."""
    return merged(before, files, None, _KEYS["artifacts"], now)


def _updated(before: Document, fields: Document, now: datetime.datetime) -> Document:
    if "verification" not in before:
        return {**before, **fields}
    after = {**before, **{name: value for name, value in fields.items() if name not in _OWN}}
    if after == before:
        return before
    if any(after[name] != before[name] for name in _BYTES):
        after["verification"] = release.unverified()
    return {**after, "updatedAt": now}


def _over(before: Any, said: Any) -> Any:
    """Objects merged, whatever else replaced: adding to metadata never removes any."""
    if not isinstance(before, dict) or not isinstance(said, dict):
        return said
    return {**before, **{name: _over(before.get(name), value) for name, value in said.items()}}
