"""S4 PATCH: whatever the patches, what a release had stays or gets another value; nothing is removed."""

import copy
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release_catalog.domain import release, release_delivery, release_update, timestamps
from release_catalog.domain.declarations import SetBy
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.validation import Validator
from support.import_documents import FULL, PARTIAL, PIPELINE

NOW = timestamps.now()
LATER = timestamps.from_milliseconds(timestamps.milliseconds(NOW) + 1000)
PRODUCT: Any = {"id": "p", "catalogId": "c", "key": "k", "versionScheme": "ANY"}
KNOWN = release_delivery.Known({"pipe": PIPELINE}, {"partial": PARTIAL, "full": FULL})
# What the server sets whenever something changes, and what follows from other fields.
DERIVED = {
    "updatedAt",
    "verification",
    "completed",
    "missing",
    "reference",
    "revisionKey",
    "osFamily",
    "architecture",
}


# ------------------------------------------------------------------ patches that often mean the same entries


def some(required: dict[str, Any], **optional: Any) -> Any:
    """Objects with all of `required` and some of `optional`, each of which may be null."""
    nullable = {name: st.none() | values for name, values in optional.items()}
    return st.fixed_dictionaries(required, optional=nullable)


def lists(entries: Any) -> Any:
    return st.lists(entries, max_size=3)


names, texts = st.sampled_from(["a", "b"]), st.text("xy", max_size=2)
platforms = st.sampled_from(["linux/amd64", "Linux/AMD64", "win64"])
free = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | texts,
    lambda inner: lists(inner) | st.dictionaries(st.sampled_from(["k", "l.m", "$n"]), inner, max_size=3),
    max_leaves=6,
)
metadata = st.dictionaries(st.sampled_from(["k", "l.m", "$n"]), free, max_size=3)
files = some(
    {
        "name": names,
        "size": st.integers(0, 2),
        "sha256": st.sampled_from(["0" * 64, "1" * 64]),
        "downloadUrl": st.sampled_from(["http://h/x", "http://h/y"]),
    },
    platform=platforms, isExecutable=st.booleans(), arguments=texts, metadata=metadata, secured=st.booleans(),
    repositoryKey=names, path=names, packageType=names,
)  # fmt: skip
images = some({"name": names, "imageUrl": names}, platform=platforms, metadata=metadata)
dependencies = some({"name": names, "version": names})
file = some({"id": names}, mimeType=texts, url=texts, filename=names)
projects = st.one_of(
    some(
        {"projectId": st.just("partial"), "projectStreamId": st.just("s1"), "packageName": names},
        priority=st.integers(1, 3), projectGroups=texts, buildEnvironmentId=st.sampled_from(["e1", "e2"]),
    ),
    some({"projectId": st.just("full"), "projectStreamId": st.just("s2")}, projectGroups=texts),
)  # fmt: skip
cms = some(
    {},
    cmsInstanceId=names,
    overrideSettings=st.booleans(),
    overriddenDefaultConfigurations=some({"requireChangeTicketForDeployment": st.booleans()}),
    overriddenEnvironmentConfigurations=lists(
        some({"environmentId": names, "requireChangeTicketForDeployment": st.booleans()})
    ),
)
deliveries = some(
    {},
    status=st.sampled_from(["NOT_STARTED", "STARTED"]),
    description=texts,
    scheduleBuildExpression=st.sampled_from(["0 2 * * *", "0\t3 * * *"]),
    pipelineId=st.just("pipe"),
    projects=lists(projects),
    properties=lists(some({"propertyName": names, "propertyValue": texts | st.integers()})),
    cmsDetails=cms,
)
# Together so that hypothesis often patches the same fields again.
GROUPS: dict[str, dict[str, Any]] = {
    "texts": {
        "revision": names, "branch": names, "tag": names, "notes": texts, "description": texts, "private": st.booleans(),
        "packagingType": st.sampled_from(["OVA", "HELM_CHART"]), "releasedAt": st.just("2020-01-01T00:00:00Z"),
        "endOfLifeAt": st.just("2030-01-01"), "baseImageId": names, "registryId": names, "pipelineId": names,
    },
    "platforms and metadata": {"platforms": lists(platforms), "metadata": metadata},
    "files": {"artifacts": lists(files)},
    "images": {"dockerImages": lists(images)},
    "dependencies": {"dependencies": lists(dependencies)},
    "delivery": {"delivery": deliveries},
    "parts": {
        "registryArtifact": some(
            {"name": names, "version": names}, repository=texts, url=texts, contentDigest=texts, repoDigest=texts
        ),
        "platformReleaseMetadata": lists(some({"releaseMetadata": lists(file)}, platform=platforms)),
        "customizations": lists(
            some({"id": names}, version=names, artifact=some({"id": st.just("f")}, url=texts, filename=names))
        ),
    },
}  # fmt: skip


def patched(before: ReleaseDocument, patch: Any) -> ReleaseDocument | None:
    """The release after a patch, as `patchRelease` makes it; None if it is refused."""
    checks = Validator(copy.deepcopy(patch), "input")
    values = release_update.read(checks, LATER, before)
    values |= {"id": before["id"], "version": before["version"]}
    release_update.check_references(checks, values, EXISTING, values)
    if inner := checks.inner("delivery"):
        said = release_delivery.read(inner)
        values["delivery"], _ = release_delivery.apply(
            before["delivery"], said, KNOWN, inner, LATER, replace=False
        )
    release_update.check_urls(before, checks, values)
    release_update.find_files(before, checks, values, replace=False)
    release_update.unique(checks, values)
    after = release_update.apply_update(before, checks, values, LATER, replace=False)
    return None if checks.found else after


EXISTING: dict[str, Any] = {
    **{kind: {"a": {}, "b": {}} for kind in ("baseImages", "registries", "pipelines")}, "releases": {},
}  # fmt: skip


# ------------------------------------------------------------------ what is gone


def removed(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of all that `before` has and `after` lacks."""
    if isinstance(before, dict):
        if not isinstance(after, dict):
            yield path
            return
        for name, value in before.items():
            if name in DERIVED or value is None:
                continue
            if name == "metadata":
                yield from lost(orjson.loads(value), orjson.loads(after.get(name) or "null"), f"{path}.metadata")
            else:
                yield from removed(value, after.get(name), f"{path}.{name}")
    elif isinstance(before, list):
        there = {key(entry): entry for entry in after or ()}
        for entry in before:
            if key(entry) in there:
                yield from removed(entry, there[key(entry)], f"{path}[{key(entry)}]")
            else:
                yield f"{path}[{key(entry)}]"
    elif after is None:
        yield path


def lost(before: Any, after: Any, path: str) -> Iterator[str]:
    """Yield the paths of the members of objects in free JSON that are gone, unless another value took their place."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name not in after:
                yield f"{path}.{name}"
            else:
                yield from lost(value, after[name], f"{path}.{name}")
    elif before is not None and after is None:
        yield path


def key(entry: Any) -> Any:
    """The key of an entry: the first of these that it has, of files and images with the platform."""
    platform = entry.get("platform")
    folded = platform and platform["name"].lower()
    if "releaseMetadata" in entry:
        return folded
    if "sha256" in entry or "imageUrl" in entry:
        return entry["name"], folded
    for names_ in (
        ("propertyName",),
        ("projectId", "packageName"),
        ("environmentId",),
        ("name", "version"),
        ("id",),
    ):
        if names_[0] in entry and names_[-1] in entry:
            return tuple(entry[name] for name in names_)
    return entry["name"].lower()


def without_platform(made: ReleaseDocument) -> set[str]:
    """The names of images without a platform, which a patch of the same name may give one (S4)."""
    return {image["name"] for image in made["dockerImages"] if not image["platform"]}


def test_each_field_of_an_update_is_in_a_group() -> None:
    given_ = {name for group in GROUPS.values() for name in group}
    updatable = {name for name, field in release.FIELDS.items() if field.set_by is SetBy.UPDATE}
    assert given_ | {"name", "author"} == updatable


@pytest.mark.parametrize("group", [*GROUPS, "all"])
@given(data=st.data())
@settings(max_examples=100)
def test_patches_never_remove(group: str, data: st.DataObject) -> None:
    fields = GROUPS.get(group) or {name: values for each in GROUPS.values() for name, values in each.items()}
    patches = st.lists(some({"name": st.just("app")}, **fields), min_size=1, max_size=4)
    made = release.document("t", PRODUCT, "app", "1", NOW)
    sequence: list[Any] = data.draw(patches)
    for patch in sequence:
        untouched = copy.deepcopy(made)
        after = patched(made, patch)
        assert made == untouched
        if after is None:
            continue
        free_names = without_platform(made)
        gone = [
            path
            for path in removed(made, after)
            if not any(path == f".dockerImages[{(name, None)}]" for name in free_names)
        ]
        assert gone == []
        assert {image["name"] for image in made["dockerImages"]} <= {
            image["name"] for image in after["dockerImages"]
        }
        again = patched(after, patch)
        # A name without a platform became ambiguous if the patch itself has added another file of the name.
        nameless = [
            one for field in release_update.FILES for one in patch.get(field) or () if not one.get("platform")
        ]
        assert again == after or (nameless and again is None)
        made = after
