"""The seeds' own examples go in through mutations and come out as the seeds show them.

Where an example says "string", or what no JSON can say (01010, a list without braces), a value of that kind stands
here. Ids of releases are given by the catalog, so they are not compared; and a started delivery has a startDate, as
S4's rules ask for and its answers leave out.
"""

import datetime
import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from release_catalog.domain import hal_urls
from release_catalog.files import address_guard, verifier
from release_catalog.hal.routes import Hal, mounts
from release_catalog.query_engine.context import Context
from release_catalog.storage.collection_names import EVENTS
from support import file_server as serving
from support.catalog import Catalog

Json = dict[str, Any]


async def do(catalog: Catalog, verb: str, fields: str, **given: Any) -> Any:
    """The answer to a mutation that has to succeed."""
    kind = verb[0].upper() + verb[1:]
    text = f"mutation($input: {kind}Input!) {{ {verb}(input: $input) {{ {fields} problem {{ detail ... on ValidationProblem {{ violations {{ field message }} }} }} }} }}"
    answer = (await catalog.ask(text, input=given))[verb]
    assert answer.pop("problem") is None, answer
    return answer


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


# ------------------------------------------------------------------ S1


@pytest.fixture
async def files(empty: Catalog) -> AsyncIterator[serving.Files]:
    """Files that the catalog may fetch."""
    allowed = address_guard.parse("127.0.0.0/8")
    async with (
        serving.serving() as server,
        verifier.Fetcher(allowed, max_bytes=1 << 30, at_once=4, seconds=20) as fetcher,
    ):
        empty.files = fetcher
        yield server


async def test_s1_a_document_with_every_field_of_the_seed(empty: Catalog, files: serving.Files) -> None:
    right, wrong = hashlib.sha256(b"right").hexdigest(), hashlib.sha256(b"wrong").hexdigest()
    document = {
        "name": "Payment service",
        "version": "2024.1-rc",
        "tag": "v2024.1-rc",
        "createdAt": "2024-03-01T09:30:00.250Z",
        "project": "payments",
        "projectIdentifier": {"id": 17},
        "status": "released",
        "releaseNotes": "# Changes\n\n* faster",
        "author": "builds@acme.example",
        "metadata": {"commit": "4f2a", "$stage": {"a.b": [1, 2.5, None, True]}},
        "artifacts": [
            {
                "name": "payments.exe",
                "platform": "windows",
                "size": 5,
                "sha256": f"sha256:{right.upper()}",
                "downloadUrl": files.put("payments.exe", b"right"),
                "isExecutable": True,
                "arguments": "--port 80",
                "metadata": {"signed": False},
            },
            {
                "name": "payments.deb",
                "size": 5,
                "sha256": right,
                "downloadUrl": files.put("payments.deb", b"wrong"),
            },
        ],
        "dockerImages": [
            {
                "name": "payments",
                "imageUrl": "hub.example/payments:2024.1",
                "platform": "linux/amd64",
                "metadata": {"layers": 3},
            }
        ],
        "dependencies": [{"catalogId": "64455e6bd3c480fd58546c75", "name": "ledger", "version": "7"}],
    }
    fields = "catalogId name version status warnings { artifactName message expectedSha256 actualSha256 } message"
    answer = await do(empty, "importRelease", fields, projectIdentifier="payments", release=document)
    warning, *others = answer["warnings"]
    assert [other["artifactName"] for other in others] == ["", ""], "the product is new, its dependency unknown"
    assert re.fullmatch("[0-9a-f]{24}", answer["catalogId"])
    assert (answer["name"], answer["version"], answer["status"]) == ("Payment service", "2024.1-rc", "DRAFT")
    assert warning.pop("message")
    assert warning == {"artifactName": "payments.deb", "expectedSha256": right, "actualSha256": wrong}
    assert answer["message"]

    text = "query($id: ID!) { exportRelease(id: $id) }"
    exported = (await empty.ask(text, id=answer["catalogId"]))["exportRelease"]
    document["id"] = answer["catalogId"]
    del document["projectIdentifier"]  # for the layers of S1's own server
    document["artifacts"][0]["sha256"] = right  # type: ignore[index]
    document["artifacts"][1]["isExecutable"] = False  # type: ignore[index]
    assert exported == document


# ------------------------------------------------------------------ S2

FILE = (
    "id createdAt updatedAt name downloadUrl size downloads extension sha256 secured published release { id name }"
)
CREATED = f"""release {{ id createdAt updatedAt name channel version platforms {{ name }} notes artifactCount publishedAt
  artifacts {{ {FILE} }} published private archived product {{ id }} tenantId }}"""


def as_s2(release: Json) -> Json:
    """A release of GraphQL in the names of S2's answer."""
    renamed = {
        "platforms": [platform["name"] for platform in release["platforms"]],
        "totalFiles": release["artifactCount"],
        "files": [
            {
                **{
                    name: value for name, value in file.items() if name not in {"downloadUrl", "sha256", "release"}
                },
                "url": file["downloadUrl"],
                "checksum": file["sha256"],
                "releaseId": file["release"]["id"],
                "releaseName": file["release"]["name"],
            }
            for file in release["artifacts"]
        ],
        "productId": release["product"]["id"],
    }
    gone = {"artifactCount", "artifacts", "product", "platforms"}
    return {**{name: value for name, value in release.items() if name not in gone}, **renamed}


async def test_s2_the_request_its_answer_and_its_webhook(empty: Catalog) -> None:
    product = (await do(empty, "saveProduct", "product { id }", key="editor", name="Editor"))["product"]
    request = {
        "name": "Editor, spring edition",
        "version": "4.2.0",
        "channel": "beta",
        "platforms": ["win64", "linux/amd64"],
        "private": True,
        "notes": "* faster\n* smaller",
        "productId": product["id"],
        "createdAt": "2019-08-24T14:15:22Z",
    }
    file = {
        "name": "editor.tar.gz",
        "size": 12,
        "sha256": "a" * 64,
        "downloadUrl": "https://downloads.example/e",
        "secured": True,
    }
    made = (await do(empty, "createRelease", CREATED, **request, artifacts=[file]))["release"]
    answer = as_s2(made)
    stored = answer["updatedAt"]
    assert answer == {
        **request,
        "id": made["id"],
        "updatedAt": stored,
        "totalFiles": 1,
        "publishedAt": None,
        "files": [
            {
                "id": made["artifacts"][0]["id"],
                "createdAt": stored,
                "updatedAt": stored,
                "name": "editor.tar.gz",
                "url": "https://downloads.example/e",
                "size": 12,
                "downloads": 0,
                "extension": "gz",
                "checksum": "a" * 64,
                "secured": True,
                "published": False,
                "releaseId": made["id"],
                "releaseName": "Editor, spring edition",
            }
        ],
        "published": False,
        "archived": False,
        "tenantId": "local",
    }
    [event] = [event async for event in empty.database[EVENTS].find({})]
    assert event["type"] == "release.created"
    assert json.loads(event["data"]) == answer


async def test_s2_the_example_is_all_that_it_takes(empty: Catalog) -> None:
    """The channel's default is in the seed; a release without createdAt is of now."""
    product = (await do(empty, "saveProduct", "product { id }", key="editor", name="Editor"))["product"]
    made = (await do(empty, "createRelease", CREATED, name="E", version="1.0", productId=product["id"]))["release"]
    assert (made["channel"], made["private"], made["notes"], made["platforms"]) == ("stable", False, None, [])
    assert made["createdAt"] == made["updatedAt"]


# ------------------------------------------------------------------ S3

PROMOTED = [
    ("catalina-qa-maven-local/org/apache/tomcat/catalina/1.0.0/catalina-1.0.0.pom", "maven",
     "c05ce06781aaa8c3318dd7d96972c964507d6771e4bf9ae45d63c740c142b84e"),
    ("catalina-qa-maven-local/org/apache/tomcat/catalina/1.0.0/catalina-1.0.0.jar", "maven",
     "36b3df648df4d82632b165166b2631d91c5860d6202125389dbbb44ee70c0012"),
    ("catalina-qa-generic-local/catalina/release-notes-1.0.0.txt", "generic",
     "e06f59f5a976c7f4a5406907790bb8cad6148406282f07cd143fd1de64ca169d"),
]  # fmt: skip


async def test_s3_the_record_of_the_seed(empty: Catalog) -> None:
    made = await empty.product("catalina", "DOTTED")
    keys = ["catalina-qa-maven-local", "catalina-qa-docker-local", "catalina-qa-generic-local"]
    files = []
    for place, kind, sha256 in PROMOTED:
        key, _, path = place.partition("/")
        name = path.rpartition("/")[2]
        file = {"name": name, "size": 1, "sha256": sha256, "downloadUrl": f"https://repo.example/{place}"}
        files.append({**file, "repositoryKey": key, "path": path, "packageType": kind})
    answer = await do(
        empty,
        "createRelease",
        "release { id }",
        productId=made["id"],
        name="catalina",
        version="1.0.0",
        artifacts=files,
    )
    await do(empty, "publishRelease", "release { id }", id=answer["release"]["id"])
    await do(empty, "saveEnvironment", "environment { id }", name="QA")
    promoted = await do(
        empty, "promoteRelease", "promotion { status createdMillis serviceId }", releaseId=answer["release"]["id"],
        environment="QA", includedRepositoryKeys=keys, overwriteExistingArtifacts=True,
    )  # fmt: skip
    assert promoted["promotion"]["status"] == "COMPLETED"
    millis = promoted["promotion"]["createdMillis"]
    record = await read(empty, f"/lifecycle/api/v2/promotion/records/catalina/1.0.0/{millis}")
    created = datetime.datetime.fromtimestamp(millis / 1000, datetime.UTC)
    assert record == {
        "schema_version": "1.0.0",
        "service_id": promoted["promotion"]["serviceId"],
        "environment": "QA",
        "created_by": "local",
        "created": f"{created:%Y-%m-%dT%H:%M:%S}.{millis % 1000:03d}Z",
        "created_millis": millis,
        "artifacts": [{"path": path, "checksum": sha, "package_type": kind} for path, kind, sha in PROMOTED],
        "checked_webhooks": [],
        "included_repository_keys": keys,
        "excluded_repository_keys": [],
        "overwrite_existing_artifacts": True,
    }


# ------------------------------------------------------------------ S4

DELIVERED = """id name description delivery { status startDate endDate scheduleBuildExpression pipeline { id name }
  projects { priority packageName requestAllFiles projectGroups stream { id } buildEnvironment { id }
    project { id name applicationPath } }
  properties { propertyName propertyValue }
  cmsDetails { cmsInstanceId overrideSettings overriddenDefaultConfigurations { requireChangeTicketForDeployment }
    overriddenEnvironmentConfigurations { environmentId requireChangeTicketForDeployment } } }"""
ANSWER = f"warnings release {{ {DELIVERED} }}"


def as_s4(release: Json) -> Json:
    """A release of GraphQL in the names of S4's answers, but for its id; they leave out what they do not speak of."""
    delivery = release["delivery"]
    return {
        "releaseName": release["name"],
        "description": release["description"],
        "pipelineId": delivery["pipeline"] and delivery["pipeline"]["id"],
        "pipelineName": delivery["pipeline"] and delivery["pipeline"]["name"],
        "startDate": delivery["startDate"],
        "endDate": delivery["endDate"],
        "scheduleBuildExpression": delivery["scheduleBuildExpression"],
        "releaseStatus": delivery["status"],
        "projects": [
            {
                "priority": part["priority"],
                "projectId": part["project"]["id"],
                "packageName": part["packageName"],
                "projectName": part["project"]["name"],
                "requestAllFiles": part["requestAllFiles"],
                "applicationPath": part["project"]["applicationPath"],
                "buildEnvironmentId": part["buildEnvironment"] and part["buildEnvironment"]["id"],
                "projectStreamId": part["stream"]["id"],
                "projectGroups": part["projectGroups"],
            }
            for part in delivery["projects"]
        ],
        "properties": delivery["properties"],
        "cmsDetails": delivery["cmsDetails"],
    }


def named(*ids: str) -> list[Json]:
    return [{"id": id_, "name": f"number {id_}"} for id_ in ids]


async def pipeline(catalog: Catalog, id_: str, name: str, *required: str) -> None:
    properties = [{"name": name, "required": True} for name in required]
    await do(catalog, "savePipeline", "pipeline { id }", id=id_, name=name, properties=properties)


async def project(catalog: Catalog, id_: str, name: str, kind: str, **fields: Any) -> None:
    await do(catalog, "saveProject", "project { id }", id=id_, name=name, deploymentType=kind, **fields)


@pytest.fixture
async def product(empty: Catalog) -> str:
    saved = await do(empty, "saveProduct", "product { id }", key="rest", name="REST")
    id_: str = saved["product"]["id"]
    return id_


@pytest.fixture
async def rest(empty: Catalog) -> None:
    """The documents that S4's POST, PUT and PATCH examples refer to."""
    await pipeline(empty, "12345", "Pipeline 1", "TESTPROPERTY")
    environments = named("1", "2")
    await project(empty, "33442", "Partial", "PARTIAL", streams=named("3502"), buildEnvironments=environments)
    await project(empty, "6789", "Full", "FULL", streams=named("6790", "6791"), buildEnvironments=named("22478"))


PACKAGE_1 = {
    "buildEnvironmentId": None,
    "projectGroups": None,
    "packageName": "Package 1",
    "projectId": "33442",
    "projectName": "Partial",
    "applicationPath": None,
    "projectStreamId": "3502",
    "requestAllFiles": False,
    "priority": 1,
}
PROPERTIES = [{"propertyName": "TESTPROPERTY", "propertyValue": "3"}]
CMS = {
    "cmsInstanceId": "01010",
    "overriddenDefaultConfigurations": None,
    "overriddenEnvironmentConfigurations": None,
    "overrideSettings": False,
}


async def test_s4_get_by_id(empty: Catalog, product: str) -> None:
    await pipeline(empty, "10004", "Simple Pipeline")
    for id_, name, kind, stream, environment in (
        ("10000", "REST Project 1", "PARTIAL", "13900", "21212"),
        ("10001", "REST Project 2", "FULL", "15986", "10056"),
    ):
        given = {"streams": named(stream), "buildEnvironments": named(environment)}
        await project(empty, id_, name, kind, applicationPath="FlexDeploy/REST", **given)
    projects = [
        {"projectId": "10000", "packageName": "package1", "requestAllFiles": False, "projectStreamId": "13900"},
        {"projectId": "10001", "buildEnvironmentId": "10056", "requestAllFiles": False, "priority": 2},
    ]
    delivery = {"status": "STARTED", "pipelineName": "Simple Pipeline", "projects": projects}
    asked = {"productId": product, "version": "1.0", "name": "Test Release 1", "description": ""}
    made = (await do(empty, "createRelease", ANSWER, **asked, delivery=delivery))["release"]
    found = await empty.ask(f"query($id: ID!) {{ release(id: $id) {{ {DELIVERED} }} }}", id=made["id"])
    assert as_s4(found["release"]) == {
        "releaseName": "Test Release 1",
        "description": "",
        "pipelineId": "10004",
        "pipelineName": "Simple Pipeline",
        "startDate": today(),
        "endDate": None,
        "scheduleBuildExpression": None,
        "releaseStatus": "STARTED",
        "projects": [
            {
                "priority": 1,
                "projectId": "10000",
                "packageName": "package1",
                "projectName": "REST Project 1",
                "requestAllFiles": False,
                "applicationPath": "FlexDeploy/REST",
                "buildEnvironmentId": "21212",
                "projectStreamId": "13900",
                "projectGroups": None,
            },
            {
                "priority": 2,
                "projectId": "10001",
                "packageName": None,
                "projectName": "REST Project 2",
                "requestAllFiles": False,
                "applicationPath": "FlexDeploy/REST",
                "buildEnvironmentId": "10056",
                "projectStreamId": "15986",
                "projectGroups": None,
            },
        ],
        "properties": [],
        "cmsDetails": None,
    }


async def test_s4_get_by_name_and_status(empty: Catalog, product: str) -> None:
    await pipeline(empty, "10004", "Test Pipeline")
    path: Json = {"applicationPath": "FlexDeploy/RESTTests", "buildEnvironments": named("10956")}
    await project(empty, "13903", "RESTDeployProject1", "FULL", streams=named("13904"), **path)
    await project(empty, "13921", "RESTDeployPartialProject", "PARTIAL", streams=named("13922"), **path)
    whole, all_files = {"projectId": "13903"}, {"projectId": "13921", "requestAllFiles": True}
    packages = [{"projectId": "13921", "packageName": name} for name in ("Package2", "Package1")]
    for number, (name, status, projects) in enumerate(
        (
            ("REST Release 1", "STARTED", [whole, *packages]),
            ("REST Release 2", "STARTED", [all_files, whole]),
            ("REST Release 3", "NOT_STARTED", [whole]),
            ("Another", "STARTED", [whole]),
        )
    ):
        delivery = {"status": status, "pipelineId": "10004", "projects": projects}
        given = {"productId": product, "version": f"1.{number}", "name": name}
        await do(empty, "createRelease", ANSWER, **given, delivery=delivery)
    text = f"""{{ releases(filter: {{nameContains: "Rest", deliveryStatus: [STARTED]}},
      orderBy: {{field: NAME, direction: ASC}}) {{ nodes {{ {DELIVERED} }} }} }}"""
    found = [as_s4(release) for release in (await empty.ask(text))["releases"]["nodes"]]

    def part(id_: str, name: str, stream: str, package: str | None, *, all_of_them: bool = False) -> Json:
        return {
            "priority": 1,
            "packageName": package,
            "projectGroups": None,
            "projectName": name,
            "projectId": id_,
            "requestAllFiles": all_of_them,
            "projectStreamId": stream,
            "buildEnvironmentId": "10956",
            "applicationPath": "FlexDeploy/RESTTests",
        }

    full = part("13903", "RESTDeployProject1", "13904", None)
    partial = ("13921", "RESTDeployPartialProject", "13922")
    common: Json = {
        "description": None,
        "endDate": None,
        "startDate": today(),
        "pipelineId": "10004",
        "scheduleBuildExpression": None,
        "releaseStatus": "STARTED",
        "pipelineName": "Test Pipeline",
        "properties": [],
        "cmsDetails": None,
    }
    assert found == [
        {**common, "releaseName": "REST Release 1", "projects": [full, part(*partial, "Package2"), part(*partial, "Package1")]},
        {**common, "releaseName": "REST Release 2", "projects": [part(*partial, None, all_of_them=True), full]},
    ]  # fmt: skip


@pytest.mark.usefixtures("rest")
async def test_s4_post(empty: Catalog, product: str) -> None:
    delivery = {
        "status": "STARTED",
        "pipelineId": "12345",
        "properties": [{"propertyName": "TESTPROPERTY", "propertyValue": 3}],
        "projects": [{"projectId": "33442", "packageName": "Package 1"}],
        "cmsDetails": {"cmsInstanceId": "01010"},
    }
    given = {"productId": product, "version": "1.0", "name": "Release Created From REST API", "delivery": delivery}
    answer = await do(empty, "createRelease", ANSWER, **given)
    assert answer["warnings"] == []
    assert as_s4(answer["release"]) == {
        "projects": [PACKAGE_1],
        "startDate": today(),
        "endDate": None,
        "scheduleBuildExpression": None,
        "pipelineId": "12345",
        "releaseStatus": "STARTED",
        "cmsDetails": CMS,
        "description": None,
        "releaseName": "Release Created From REST API",
        "pipelineName": "Pipeline 1",
        "properties": PROPERTIES,
    }


async def started(catalog: Catalog, product: str, **fields: Any) -> str:
    """The release that S4's PUT and PATCH examples begin with: its one project is started without a pipeline."""
    delivery = {"status": "STARTED", "projects": [{"projectId": "33442", "packageName": "Package 1"}]}
    given = {"productId": product, "version": "1.0", "name": "Release Created From REST API", **fields}
    made = (await do(catalog, "createRelease", ANSWER, **given, delivery=delivery))["release"]
    assert as_s4(made) == {
        "projects": [PACKAGE_1],
        "startDate": today(),
        "endDate": None,
        "scheduleBuildExpression": None,
        "pipelineId": None,
        "releaseStatus": "STARTED",
        "cmsDetails": None,
        "description": fields.get("description"),
        "releaseName": "Release Created From REST API",
        "pipelineName": None,
        "properties": [],
    }
    id_: str = made["id"]
    return id_


@pytest.mark.usefixtures("rest")
async def test_s4_put(empty: Catalog, product: str) -> None:
    delivery = {
        "projects": [{"projectId": "6789", "projectStreamId": "6790"}],
        "scheduleBuildExpression": None,
        "pipelineId": "12345",
        "status": "NOT_STARTED",
        "cmsDetails": {"cmsInstanceId": "01010"},
        "pipelineName": "Pipeline 1",
        "properties": PROPERTIES,
    }
    given = {"name": "Release Created From REST API", "description": "This is the updated Release"}
    id_ = await started(empty, product)
    answer = await do(empty, "replaceRelease", ANSWER, id=id_, **given, delivery=delivery)
    assert ["NOT_STARTED" in warning for warning in answer["warnings"]] == [True]
    assert answer["release"]["id"] == id_
    assert as_s4(answer["release"]) == {
        "projects": [
            {
                "buildEnvironmentId": "22478",
                "projectGroups": None,
                "packageName": None,
                "projectId": "6789",
                "projectName": "Full",
                "applicationPath": None,
                "projectStreamId": "6790",
                "requestAllFiles": False,
                "priority": 1,
            }
        ],
        "startDate": today(),
        "endDate": None,
        "scheduleBuildExpression": None,
        "pipelineId": "12345",
        "releaseStatus": "STARTED",
        "cmsDetails": CMS,
        "description": "This is the updated Release",
        "releaseName": "Release Created From REST API",
        "pipelineName": "Pipeline 1",
        "properties": PROPERTIES,
    }


@pytest.mark.usefixtures("rest")
async def test_s4_patch(empty: Catalog, product: str) -> None:
    """Its answer has a package and a description that its request does not have: they were there before."""
    delivery = {
        "projects": [{"projectId": "33442", "projectStreamId": "3502"}],
        "pipelineId": "12345",
        "status": "NOT_STARTED",
        "cmsDetails": {"cmsInstanceId": "01010"},
        "pipelineName": "Pipeline 1",
        "properties": PROPERTIES,
    }
    id_ = await started(empty, product, description="This is the updated Release")
    given = {"id": id_, "name": "Release Created From REST API", "delivery": delivery}
    answer = await do(empty, "patchRelease", ANSWER, **given)
    assert ["NOT_STARTED" in warning for warning in answer["warnings"]] == [True]
    assert answer["release"]["id"] == id_
    assert as_s4(answer["release"]) == {
        "projects": [PACKAGE_1],
        "startDate": today(),
        "endDate": None,
        "scheduleBuildExpression": None,
        "pipelineId": "12345",
        "releaseStatus": "STARTED",
        "cmsDetails": CMS,
        "description": "This is the updated Release",
        "releaseName": "Release Created From REST API",
        "pipelineName": "Pipeline 1",
        "properties": PROPERTIES,
    }


# ------------------------------------------------------------------ S5

CATALOG, APPLICATION = "0f1d0c0e-aaaa-4000-8000-00000000cafe", "0f1d0c0e-bbbb-4000-8000-00000000cafe"
IMAGE, REGISTRY, PIPELINE = "0f1d0c0e-cccc-4000", "0f1d0c0e-dddd-4000", "0f1d0c0e-eeee-4000"
LINUX = {"os_family": "linux", "architecture": "amd64"}
CHECKED = {"healthy": True, "last_checked_at": "2023-03-03T00:59:52.762Z"}
# S5's answer, in its order and with all of its fields, but for the release's own id.
S5: Json = {
    "branch": "2",
    "end_of_life_at": "2023-03-03T00:00:00.000Z",
    "version": "2.6.7",
    "revision": "0",
    "released_at": "2023-03-03T00:59:52.762Z",
    "packaging_type": "HELM_CHART",
    "artifact": {
        "content_digest": f"sha256:{'c' * 64}",
        "repo_digest": f"sha256:{'d' * 64}",
        "name": "delivery-tool",
        "version": "4.5.1",
        "repository": "hub.example/acme/charts/ubuntu-22",
        "url": "hub.example/acme/charts/ubuntu-22/delivery-tool:4.5.1",
    },
    "product": {
        "name": "Delivery tool",
        "key": "delivery-tool",
        "description": "Delivers what others declare",
        "long_display_name": "Delivery tool, as packaged by Acme",
        "disclaimer": "Names belong to those who have them",
        "category": "Developer tools",
        "based_on_scratch": True,
        "latest_free": False,
    },
    "platforms": [LINUX],
    "platform_release_metadata": [
        {
            "platform": LINUX,
            "release_metadata": [
                {
                    "id": "e" * 64,
                    "mime_type": "trigger_info",
                    "url": "https://files.example/artifacts/f?filename=tool.ova&namespace=68c0f832",
                    "filename": "result.json",
                }
            ],
        }
    ],
    "base_image": {
        "id": IMAGE,
        "name": "Debian 11",
        "description": "The image below",
        "container_image": "hub.example/library/debian:11",
        "operating_system": {"id": IMAGE, "name": "Centos 7", "distro": "centos", "version": "7"},
        **CHECKED,
    },
    "registry": {"id": REGISTRY, "name": "Ours", "url": "https://harbor.example", **CHECKED},
    "catalog_id": CATALOG,
    "application_id": APPLICATION,
    "customizations": [
        {
            "id": "0f1d0c0e-ffff-4000",
            "version": "v4",
            "artifact": {
                "id": "1" * 64,
                "url": "/v1/catalogs/c/files/8?filename=custom.ova",
                "filename": "script.sh",
            },
        }
    ],
    "pipeline_id": PIPELINE,
    "trial": True,
}


def camel(value: Any) -> Any:
    """S5's JSON as inputs have it: names in camelCase, platforms by name."""
    if isinstance(value, list):
        return [camel(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == LINUX.keys():
        return "/".join(value.values())
    return {re.sub("_(.)", lambda match: match[1].upper(), name): camel(inner) for name, inner in value.items()}


async def released(catalog: Catalog, product: str, version: str, **given: Any) -> str:
    """A published release; its id."""
    asked = {"productId": product, "catalogId": CATALOG, "version": version, **given}
    made = await do(catalog, "createRelease", "release { id }", **asked)
    await do(catalog, "publishRelease", "release { id }", id=made["release"]["id"])
    id_: str = made["release"]["id"]
    return id_


async def read(catalog: Catalog, href: str) -> Json:
    """Return the document at an address, as the application serves it."""
    hal = Hal(lambda _: Context(catalog.caller, catalog.database))
    app = Starlette(routes=mounts(hal))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://localhost") as client:
        response = await client.get(href)
    form = "application/json" if href.startswith("/lifecycle") else "application/hal+json"
    assert (response.status_code, response.headers["content-type"]) == (200, form), response.text
    document: Json = response.json()
    return document


@pytest.fixture
async def s5(empty: Catalog) -> Mapping[str, str]:
    """S5's sample, one release that it needs and one that needs it: their ids."""
    await do(empty, "saveCatalog", "catalog { id }", id=CATALOG, name="Acme")
    product = {"id": APPLICATION, "catalogId": CATALOG, **camel(S5["product"])}
    await do(empty, "saveProduct", "product { id }", **product)
    other = await do(empty, "saveProduct", "product { id }", key="other", name="Other", catalogId=CATALOG)
    await do(empty, "saveBaseImage", "baseImage { id }", **camel(S5["base_image"]))
    await do(empty, "saveRegistry", "registry { id }", **camel(S5["registry"]))
    await do(empty, "savePipeline", "pipeline { id }", id=PIPELINE, name="Chart packaging")
    named_ids = {"base_image", "registry", "product", "artifact", "catalog_id", "application_id", "version"}
    given = {name: value for name, value in S5.items() if name not in named_ids}
    needed = await released(empty, other["product"]["id"], "1.0", name="Needed")
    own = await released(
        empty,
        APPLICATION,
        S5["version"],
        name="Delivery tool 2.6.7",
        registryArtifact=camel(S5["artifact"]),
        baseImageId=IMAGE,
        registryId=REGISTRY,
        dependencies=[{"releaseId": needed}],
        **camel(given),
    )
    needs = [{"name": "Delivery tool 2.6.7", "version": S5["version"]}]
    needing = await released(empty, other["product"]["id"], "2.0", name="Needing", dependencies=needs)
    return {"own": own, "needed": needed, "needing": needing}


async def test_s5_a_release_made_by_mutations_is_served_as_the_sample(
    empty: Catalog, s5: Mapping[str, str]
) -> None:
    answer = await read(empty, hal_urls.release(CATALOG, s5["own"]))
    found = answer.pop("_links")
    brief = {"id": s5["own"], **{name: S5[name] for name in ("revision", "released_at", "version")}}
    assert answer == {**S5, "id": s5["own"], "latest_release": brief}
    catalog = f"/v1/catalogs/{CATALOG}"
    own = f"{catalog}/releases/{s5['own']}"
    assert found == {
        "catalog": {"href": catalog},
        "application": {"href": f"{catalog}/applications/{APPLICATION}"},
        "base_image": {"href": f"/v1/base-images/{IMAGE}"},
        "latest_release": {"href": own},
        "dependencies": [{"href": f"{catalog}/releases/{s5['needed']}"}],
        "dependants": [{"href": f"{catalog}/releases/{s5['needing']}"}],
        "self": {"href": own},
        "registry": {"href": f"/v1/registries/{REGISTRY}"},
        "product": {
            "href": "/v1/applications/product/delivery-tool/branch/2?packaging=HELM_CHART&distro=centos-7"
        },
        "pipeline": {"href": f"{catalog}/pipelines/{PIPELINE}"},
    }
    for target in found.values():
        for link in target if isinstance(target, list) else [target]:
            assert (await read(empty, link["href"]))["_links"]["self"] == link


async def test_s5_relationships_are_embedded_on_request(empty: Catalog, s5: Mapping[str, str]) -> None:
    own = hal_urls.release(CATALOG, s5["own"])
    answer = await read(empty, f"{own}?expand_relationships=true")
    for name, id_ in (("dependencies", "needed"), ("dependants", "needing")):
        assert answer[name] == [await read(empty, hal_urls.release(CATALOG, s5[id_]))]
    plain = await read(empty, f"{own}?expand_relationships=false")
    assert plain.keys() & {"dependencies", "dependants"} == set()
