"""Import documents that use every field there is: one spelled out, and any number that hypothesis makes."""

import copy
from typing import Any

from hypothesis import strategies as st

from release_catalog.domain import timestamps
from release_catalog.domain.validation import MAX_LONG, is_relative

Json = dict[str, Any]

# What a whole document refers to, as the database has it.
PIPELINE: Any = {"id": "pipe", "name": "Pipe", "properties": []}
PARTIAL: Any = {
    "id": "partial",
    "name": "Partial",
    "deploymentType": "PARTIAL",
    "applicationPath": None,
    "streams": [{"id": "s1", "name": "main"}, {"id": "s2", "name": "next"}],
    "buildEnvironments": [{"id": "e1", "name": "one"}, {"id": "e2", "name": "two"}],
    "properties": [],
}
FULL: Any = {**PARTIAL, "id": "full", "name": "Full", "deploymentType": "FULL"}

_WHOLE: Json = {
    "id": "whole / 1",
    "name": "tool",
    "version": "1.0",
    "tag": "v1",
    "createdAt": "2020-02-02T02:02:02Z",
    "project": "tool",
    "projectIdentifier": {"any": "thing"},
    "status": "released",
    "releaseNotes": "# News\n",
    "author": "builds@acme.example",
    "metadata": {"$where": "1", "a.b": [1, None]},
    "artifacts": [
        {
            "name": "tool.tar.gz",
            "platform": "linux/amd64",
            "size": 3,
            "sha256": "a" * 64,
            "downloadUrl": "https://downloads.example/tool.tar.gz",
            "isExecutable": True,
            "arguments": "--help",
            "metadata": {"k": 1},
            "secured": True,
            "repositoryKey": "generic",
            "path": "tool/tool.tar.gz",
            "packageType": "generic",
        }
    ],
    "dockerImages": [
        {"name": "tool", "imageUrl": "hub.example/tool:1", "platform": "linux/arm64", "metadata": {"k": 2}}
    ],
    "dependencies": [{"catalogId": "elsewhere", "name": "lib", "version": "2.0"}],
    "revision": "3",
    "channel": "beta",
    "branch": "1.x",
    "packagingType": "OVA",
    "platforms": ["win64", "linux/amd64"],
    "private": True,
    "trial": True,
    "description": "What it is",
    "releasedAt": "2020-02-03T00:00:00.5Z",
    "endOfLifeAt": "2030-02-03",
    "registryArtifact": {
        "name": "tool",
        "version": "1",
        "repository": "charts",
        "url": "oci://hub.example/tool",
        "contentDigest": "sha256:1",
        "repoDigest": "sha256:2",
    },
    "platformReleaseMetadata": [
        {
            "platform": "linux/amd64",
            "releaseMetadata": [{"id": "f", "mimeType": "sbom", "url": "https://f.example", "filename": "f.json"}],
        }
    ],
    "customizations": [
        {"id": "c", "version": "2", "artifact": {"id": "x", "url": "/files/x", "filename": "x.sh"}}
    ],
    "baseImageId": "image",
    "registryId": "registry",
    "pipelineId": "pipe",
    "delivery": {
        "status": "STARTED",
        "description": "To everybody",
        "scheduleBuildExpression": "0 0 * * *",
        "pipelineId": "pipe",
        "pipelineName": "Pipe",
        "projects": [
            {
                "projectId": "partial",
                "projectStreamId": "s1",
                "buildEnvironmentId": "e1",
                "priority": 2,
                "packageName": "one",
                "requestAllFiles": False,
                "projectGroups": "g",
            }
        ],
        "properties": [{"propertyName": "COLOUR", "propertyValue": "red"}],
        "cmsDetails": {
            "cmsInstanceId": "cms",
            "overrideSettings": True,
            "overriddenDefaultConfigurations": {"requireChangeTicketForDeployment": True},
            "overriddenEnvironmentConfigurations": [
                {"environmentId": "prod", "requireChangeTicketForDeployment": True}
            ],
        },
    },
}


def whole() -> Json:
    """A document with a value in every field that documents have."""
    return copy.deepcopy(_WHOLE)


# ------------------------------------------------------------------ made by hypothesis

text = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=40)
_BIDIRECTIONAL = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
name = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters=_BIDIRECTIONAL), min_size=1, max_size=40
).filter(lambda value: value == value.strip())
path = name.filter(is_relative)
platform = name.map(lambda value: value.replace("/", "-")) | st.sampled_from(["linux/amd64", "win64"])
version = name
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text | st.just("$where"), inner, max_size=4),
)
metadata = st.dictionaries(text, anything, max_size=3)
_id = st.text("abcdef0123456789-", min_size=3, max_size=40)
# In the past, whatever the clock says.
_instant = st.integers(0, 10**12).map(lambda v: timestamps.format_rfc3339(timestamps.from_milliseconds(v)))
_lines = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=40)


def fields(required: dict[str, Any], **optional: Any) -> Any:
    """Objects with all of `required` and some of `optional`."""
    return st.fixed_dictionaries(required, optional=optional)


def _file_key(entry: Any) -> tuple[str, str]:
    return entry["name"], entry.get("platform", "").casefold()


artifact = fields(
    {
        "name": path | st.just("shared"),
        "size": st.integers(0, MAX_LONG),
        "sha256": st.text("0123456789abcdef", min_size=64, max_size=64),
        "downloadUrl": st.just("http://h/x"),
        "isExecutable": st.booleans(),
    },
    platform=platform, arguments=_lines, metadata=metadata, repositoryKey=path, path=path, packageType=name,
    secured=st.just(True),
)  # fmt: skip
image = fields({"name": path | st.just("shared"), "imageUrl": text}, platform=platform, metadata=metadata)
dependency = fields({"name": name, "version": version}, catalogId=_id)
_file = fields({"id": _id}, mimeType=text, url=text, filename=name)
_project = st.one_of(
    fields(
        {"projectId": st.just("partial"), "projectStreamId": st.sampled_from(["s1", "s2"]), "packageName": name},
        buildEnvironmentId=st.sampled_from(["e1", "e2"]), priority=st.integers(1, 2**31 - 1), projectGroups=text,
    ),
    fields(
        {"projectId": st.just("partial"), "projectStreamId": st.just("s1"), "requestAllFiles": st.just(True)},
        priority=st.integers(1, 9),
    ),
    fields({"projectId": st.just("full"), "projectStreamId": st.just("s2")}, projectGroups=text),
)  # fmt: skip
delivery = fields(
    {},
    description=_lines,
    scheduleBuildExpression=st.sampled_from(["0 0 * * *", "0 0 12 * * ?;*/5 * * * *"]),
    pipelineId=st.just("pipe"),
    projects=st.lists(_project, max_size=3, unique_by=lambda each: (each["projectId"], each.get("packageName"))),
    cmsDetails=fields(
        {},
        cmsInstanceId=text,
        overrideSettings=st.booleans(),
        overriddenDefaultConfigurations=fields({"requireChangeTicketForDeployment": st.booleans()}),
        overriddenEnvironmentConfigurations=st.lists(
            fields({"environmentId": text, "requireChangeTicketForDeployment": st.booleans()}),
            max_size=2, unique_by=lambda each: each["environmentId"],
        ),
    ),
) | fields(
    {
        "pipelineId": st.just("pipe"),
        "properties": st.lists(
            fields({"propertyName": name, "propertyValue": _lines}),
            max_size=3, unique_by=lambda each: each["propertyName"],
        ),
    }
)  # fmt: skip
_seed = {
    "id": name.filter(lambda value: value not in {".", ".."}),
    "name": name,
    "version": version,
    "createdAt": _instant,
    "project": name,
    "author": st.just("a@b.example"),
    "artifacts": st.lists(artifact, max_size=3, unique_by=_file_key),
    "dependencies": st.lists(dependency, max_size=3, unique_by=lambda each: (each["name"], each["version"])),
}
_seed_too = {
    "tag": name,
    "status": text,
    "releaseNotes": _lines,
    "metadata": metadata,
    "dockerImages": st.lists(image, min_size=1, max_size=2, unique_by=_file_key),
}
_more = {
    "revision": version,
    "channel": name,
    "branch": name.map(lambda value: value[:32].strip()),
    "packagingType": st.sampled_from(["HELM_CHART", "OVA", "CONTAINER_IMAGE"]),
    "platforms": st.lists(platform, max_size=3, unique_by=str.casefold),
    "private": st.booleans(),
    "trial": st.booleans(),
    "description": _lines,
    "releasedAt": _instant,
    "endOfLifeAt": st.dates().map(lambda day: day.isoformat()),
    "registryArtifact": fields(
        {"name": name, "version": name}, repository=text, url=text, contentDigest=text, repoDigest=text
    ),
    "platformReleaseMetadata": st.lists(
        fields({"releaseMetadata": st.lists(_file, max_size=2, unique_by=lambda each: each["id"])}, platform=platform),
        max_size=2, unique_by=lambda each: each.get("platform"),
    ),
    "customizations": st.lists(
        fields({"id": _id}, version=name, artifact=fields({"id": _id}, url=text, filename=name)),
        max_size=2, unique_by=lambda each: each["id"],
    ),
    "baseImageId": st.just("image"),
    "registryId": st.just("registry"),
    "pipelineId": st.just("pipe"),
    "delivery": delivery,
}  # fmt: skip


def _alone(given: Json) -> Json:
    """Without the dependencies on itself."""
    own = (given["name"], given["version"])
    return {**given, "dependencies": [d for d in given["dependencies"] if (d["name"], d["version"]) != own]}


seed_document = fields(_seed, **_seed_too).map(_alone)
document = fields({**_seed, "author": st.none() | _seed["author"]}, **_seed_too, **_more).map(_alone)
