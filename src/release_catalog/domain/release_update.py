"""The updatable fields of a release, and the effect of an update.

Null counts as not given. Creating and replacing (S4 PUT) start from the defaults; patching (S4 PATCH) starts from
the current values, adds and updates, and never removes: lists are merged by the key of their entries.
"""

import collections
import datetime
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import orjson

from release_catalog.domain import metadata, platforms, references, release, release_parts
from release_catalog.domain.declarations import SetBy
from release_catalog.domain.platforms import PlatformDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_parts import ArtifactDocument
from release_catalog.domain.validation import Validator, is_web_url

# The parsed fields of an input, or of a part of it.
Values = dict[str, Any]
Part = Mapping[str, Any]

# Fields of a file that no update changes.
SERVER_FIELDS = frozenset(
    name for name, field in release_parts.ARTIFACT_FIELDS.items() if field.set_by is SetBy.SERVER
)
# The fields that a verification covers.
CONTENT_FIELDS = ("sha256", "size", "downloadUrl")
# Collections by the fields that refer to one of their documents.
RELATED = {"baseImageId": "baseImages", "registryId": "registries", "pipelineId": "pipelines"}


def _by_id(entry: Part) -> Any:
    return entry["id"]


# The key of the entries of each list.
MERGE_KEYS: dict[str, Callable[[Part], Any]] = {
    "artifacts": release_parts.file_key,
    "dockerImages": release_parts.file_key,
    "dependencies": lambda needed: (needed["name"], needed["version"]),
    "platforms": lambda platform: platforms.key(cast("PlatformDocument", platform)),
    "platformReleaseMetadata": lambda entry: platforms.key(entry["platform"]),
    "customizations": _by_id,
}
# The lists whose entries have a name and a platform.
FILES = ("artifacts", "dockerImages")
# Imported notes may be longer than others, and older names may have white space at their ends.
_KEPT = frozenset(("name", "notes"))
# Objects of which a patch may give only some fields.
_PARTS = frozenset(("registryArtifact", "artifact"))


def read(checks: Validator, now: datetime.datetime, before: Part = MappingProxyType({})) -> Values:
    """Return the given fields of a release, as whole values and whole list entries; violations go to `checks`.

    A text that the release has `before` may be given again, even if it breaks a rule for new ones.
    """
    values: Values = {
        field: value if field in _KEPT and value == before.get(field) else parse(checks, field)
        for field, value in checks.fields.items()
        if value is not None and (parse := release.PARSERS.get(field))
    }
    if "artifacts" in values:
        values["artifacts"] = [release_parts.artifact(now, **file) for file in values["artifacts"]]
    return values


def unique(checks: Validator, values: Values) -> None:
    """Refuse repeated entries of a list."""
    for field in MERGE_KEYS.keys() & values.keys() - {"platforms"}:
        checks.unique(field, [MERGE_KEYS[field](entry) for entry in values[field]])


def check_urls(before: ReleaseDocument | None, checks: Validator, values: Values) -> None:
    """Refuse files with a URL that can't be fetched, except one that an import has given to the release."""
    known = {file["downloadUrl"] for file in before["artifacts"]} if before else set()
    for at, file in enumerate(values.get("artifacts", ())):
        url = file["downloadUrl"]
        if url and url not in known and not is_web_url(url):
            message = "This is not a complete URL: give one that begins with http:// or https://."
            checks.refuse(f"artifacts[{at}].downloadUrl", "NOT_A_URL", message)


def find_files(before: ReleaseDocument, checks: Validator, values: Values, *, replace: bool) -> None:
    """Give the files and images of an update the platforms that they have in the release.

    A patch may leave out the platform of the only entry with a name; it is ambiguous for several. After
    publication a platform keeps its letter case.
    """
    entries: Part = before
    for field in FILES:
        platforms_of: dict[str, dict[str | None, PlatformDocument | None]] = {}
        for entry in entries[field]:
            platforms_of.setdefault(entry["name"], {})[platforms.key(entry["platform"])] = entry["platform"]
        for at, entry in enumerate(values.get(field, ())):
            there, key = platforms_of.get(entry["name"] or "", {}), platforms.key(entry["platform"])
            if key is None and not replace and len(there) > 1:
                message = f"The release has {entry['name']} for {len(there)} platforms: give one of them too."
                checks.refuse(f"{field}[{at}].platform", "AMBIGUOUS", message)
            elif key is None and not replace and there:
                [entry["platform"]] = there.values()
            elif key in there and before["status"] != "DRAFT":
                entry["platform"] = there[key]


def check_references(
    checks: Validator, values: Values, known: Mapping[str, Mapping[str, Any]], own: Mapping[str, Any]
) -> None:
    """Refuse missing or contradictory references; fill in what a reference by id leaves out.

    `known` are the documents of each collection by id, and `own` the release itself.
    """
    for field, collection in RELATED.items():
        if values.get(field) and values[field] not in known[collection]:
            checks.refuse(field, "UNKNOWN", f"No document has the id {values[field]!r}: save it first.")
    for at, needed in enumerate(values.get("dependencies", ())):
        if needed["releaseId"]:
            _complete(checks, f"dependencies[{at}]", needed, known["releases"].get(needed["releaseId"]))
        if references.depends_on_itself(own, needed):
            message = "A release can't depend on itself: remove this dependency."
            checks.refuse(f"dependencies[{at}]", "DEPENDS_ON_ITSELF", message)


def _complete(checks: Validator, path: str, needed: Values, target: Part | None) -> None:
    # Callers who must not see that release must not learn its name here either.
    needed["completed"] = [name for name in references.COMPLETED if not needed[name]]
    # A reference with a hidden name leads by its id alone.
    needed["missing"] = target is None and "" not in {needed[name] for name in references.COMPLETED}
    for name in references.COMPLETED:
        if needed[name] is None and target is None:
            message = f"The release {needed['releaseId']!r} does not exist yet: give its {name} too."
            checks.refuse(f"{path}.{name}", "REQUIRED", message)
        elif not needed[name] and target:
            needed[name] = target[name]
    if target and (target["name"], target["version"]) != (needed["name"], needed["version"]):
        message = (
            f"The release {target['id']} is {target['name']} {target['version']}: correct the id, or "
            "the name and version."
        )
        checks.refuse(path, "CONTRADICTORY_REFERENCE", message)


def apply_update(
    before: ReleaseDocument, checks: Validator, values: Values, now: datetime.datetime, *, replace: bool
) -> ReleaseDocument:
    """Return `before` after the update; the delivery in `values` is the final one."""
    # Which fields an update has is known at run time alone.
    fields: Part = before
    if replace:
        changed = release.default_fields() | values
        changed |= {
            field: merged(fields[field], values[field], None, key, now)
            for field, key in MERGE_KEYS.items()
            if field in values
        }
        after = cast("ReleaseDocument", {**before, **changed})
    else:
        after = cast("ReleaseDocument", {**before, **_merge_fields(before, values, checks, now)})
        _check_name(checks, after)
    if not checks.found:
        return cast("ReleaseDocument", {**after, **release.derived_fields(after)})
    return after


def _check_name(checks: Validator, after: ReleaseDocument) -> None:
    """Refuse a name with which a dependency that the release has already would lead to the release itself."""
    is_refused = any(violation.code == "DEPENDS_ON_ITSELF" for violation in checks.found)
    if not is_refused and any(references.depends_on_itself(after, needed) for needed in after["dependencies"]):
        message = "With this name the release would depend on itself: give another name."
        checks.refuse("name", "DEPENDS_ON_ITSELF", message)


def _merge_fields(before: Part, values: Part, checks: Validator, now: datetime.datetime) -> Values:
    """Return the merged fields of `before` and `values`: nothing is removed."""
    after: Values = {}
    for field, value in values.items():
        raw, there = checks.fields.get(field), before.get(field)
        if raw is None:
            continue
        if field in MERGE_KEYS or field == "releaseMetadata":
            known = _with_platforms(there or (), value) if field == "dockerImages" else there or ()
            after[field] = _merge_list(known, value, checks, field, now)
        elif field == "metadata" and value and there:
            after[field] = metadata.text(checks, deep_merge(orjson.loads(there), orjson.loads(value)))
        elif field in _PARTS and value and there and there.get("id") == value.get("id"):
            inner = Validator(raw, f"{checks.path}.{field}", checks.found)
            after[field] = {**there, **_merge_fields(there, value, inner, now)}
        else:
            after[field] = value
    if "reference" in before:
        # A field that this input gives counts as declared from now on, and so does one declared before.
        after["completed"] = [name for name in references.completed(before) if checks.fields.get(name) is None]
        if "releaseId" in after:
            after["missing"] = values.get("missing", False)
    return after


def _with_platforms(images: Sequence[Part], entries: Sequence[Values]) -> list[Part]:
    """Give an image without a platform the one that a patch has for its name (S4 merges images by name).

    Only if neither the release nor the patch has another image of the name.
    """
    counts = [collections.Counter(entry["name"] for entry in part) for part in (images, entries)]
    platforms_of = {entry["name"]: entry["platform"] for entry in entries}
    return [
        {**image, "platform": image["platform"] or platforms_of[name]}
        if [count[name := image["name"]] for count in counts] == [1, 1]
        else image
        for image in images
    ]


def _merge_list(
    before: Sequence[Part], entries: Sequence[Values], checks: Validator, field: str, now: datetime.datetime
) -> list[Part]:
    raw = [
        Validator(one if isinstance(one, dict) else {}, f"{checks.path}.{field}[{at}]", checks.found)
        for at, one in enumerate(checks.fields[field])
    ]
    after = merged(before, entries, raw, MERGE_KEYS.get(field, _by_id), now)
    if len(after) > release_parts.MAX_ENTRIES:
        checks.refuse(
            field,
            "TOO_MANY",
            f"The list is too long: give at most {release_parts.MAX_ENTRIES} entries, with those that "
            "it has already.",
        )
    return after


def check_immutable(checks: Validator, before: ReleaseDocument, after: ReleaseDocument) -> None:
    """Refuse changes of immutable fields of a published release; its lists keep their order."""
    if before["status"] == "DRAFT":
        return
    old, new = cast("Values", before), cast("Values", after)
    for field in release.IMMUTABLE_WHEN_PUBLISHED:
        if field in MERGE_KEYS and _in_order_of_keys(field, new) == _in_order_of_keys(field, old):
            # It makes no difference whether the same reference was completed or declared, or leads by its id now.
            new[field] = old[field]
        elif new[field] != old[field]:
            message = (
                f"The release is {before['status']}, so this field can't change: leave it out, or create "
                "another release."
            )
            checks.refuse(field, "FIXED", message)


def _in_order_of_keys(field: str, of: Part) -> list[Values]:
    resolved = {"completed", "missing", "reference"}
    entries = [{name: value for name, value in entry.items() if name not in resolved} for entry in of[field]]
    return sorted(entries, key=lambda entry: str(MERGE_KEYS[field](entry)))


def merged(
    before: Sequence[Part],
    entries: Sequence[Part],
    raw: Sequence[Validator] | None,
    key: Callable[[Part], Any],
    now: datetime.datetime,
) -> list[Part]:
    """Return a list after an update: `entries` merged into it by the `raw` ones, or in its place without `raw`."""
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
            fields = _merge_fields(after[found[0]], entry, raw[at], now)
            after[found[0]] = _updated(after[found[0]], fields, now)
    return after


def artifacts(
    before: Sequence[ArtifactDocument], files: Sequence[ArtifactDocument], now: datetime.datetime
) -> list[ArtifactDocument]:
    """Replace the files of a release with `files`; a file that was there keeps its identity."""
    return cast("list[ArtifactDocument]", merged(before, files, None, MERGE_KEYS["artifacts"], now))


def _updated(before: Part, fields: Part, now: datetime.datetime) -> Part:
    if "verification" not in before:
        return {**before, **fields}
    after = {**before, **{name: value for name, value in fields.items() if name not in SERVER_FIELDS}}
    if after == before:
        return before
    if any(after[name] != before[name] for name in CONTENT_FIELDS):
        after["verification"] = release_parts.not_verified()
    return {**after, "updatedAt": now}


def deep_merge(before: Any, values: Any) -> Any:
    """Merge objects recursively and replace all other values; null leaves a value alone, as it does in a field."""
    if values is None:
        return before
    if not isinstance(before, dict) or not isinstance(values, dict):
        return values
    return {**before, **{name: deep_merge(before.get(name), value) for name, value in values.items()}}
