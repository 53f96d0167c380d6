"""Creating, patching and replacing: S2, S4's PATCH and PUT, identity, references, retries and races."""

import asyncio
import json
from typing import Any

import pytest

from release_catalog.domain import timestamps
from release_catalog.domain.caller import local
from release_catalog.domain.reference_data import ProductDocument
from release_catalog.storage.collection_names import EVENTS, RELEASES, REQUESTS
from support.catalog import Catalog

FIELDS = """id name version revision channel branch tag packagingType platforms { name osFamily architecture } trial
  status private author notes description metadata createdAt updatedAt releasedAt endOfLifeAt etag publishedAt published
  archived tenantId artifactCount
  artifacts { id name size sha256 downloadUrl isExecutable arguments metadata secured repositoryKey path packageType
    extension downloads published platform { name } createdAt updatedAt verification { status } }
  registryArtifact { name version repository url contentDigest repoDigest }
  dockerImages { name imageUrl platform { name } metadata }
  platformReleaseMetadata { platform { name } releaseMetadata { id mimeType url filename } }
  customizations { id version artifact { id url filename } }
  product { id } baseImage { id } registry { id } pipeline { id }
  dependencies { edges { reference { releaseId name version } node { id } } }
  delivery { status startDate }"""
VERB = """mutation($input: %(kind)sReleaseInput!) { %(verb)sRelease(input: $input) { warnings release { %(fields)s }
  problem { __typename status detail ... on ValidationProblem { violations { field code message } }
    ... on ConflictProblem { conflictingId } } } }"""
FILE = {
    "name": "app.tar.gz",
    "size": 10,
    "sha256": "A" * 64,
    "downloadUrl": "https://downloads.example/app.tar.gz",
}
SUM = "a" * 64


async def write(catalog: Catalog, verb: str, **given: Any) -> tuple[Any, Any]:
    text = VERB % {"verb": verb, "kind": verb.capitalize(), "fields": FIELDS}
    answer = (await catalog.ask(text, input=given))[f"{verb}Release"]
    assert (answer["release"] is None) != (answer["problem"] is None)
    release = answer["release"] and {**answer["release"], "warnings": answer["warnings"]}
    return release, answer["problem"]


async def create(catalog: Catalog, product: ProductDocument, version: str = "1.0", **given: Any) -> Any:
    release, problem = await write(
        catalog, "create", productId=product["id"], **{"name": "app", "version": version, **given}
    )
    assert problem is None, problem
    return release


async def refused(catalog: Catalog, verb: str, **given: Any) -> set[tuple[str, str]]:
    _, problem = await write(catalog, verb, **given)
    assert problem["__typename"] == "ValidationProblem", problem
    return {(violation["field"], violation["code"]) for violation in problem["violations"]}


async def publish(catalog: Catalog, id_: str) -> None:
    text = "mutation($id: ID!) { publishRelease(input: {id: $id}) { problem { detail } } }"
    assert (await catalog.ask(text, id=id_))["publishRelease"]["problem"] is None


async def events(catalog: Catalog) -> list[str]:
    return [event["type"] async for event in catalog.database[EVENTS].find({}).sort("sequence", 1)]


@pytest.fixture
async def product(empty: Catalog) -> ProductDocument:
    return await empty.product("app", "DOTTED")


# ------------------------------------------------------------------ S2 create


async def test_s2_create(empty: Catalog, product: ProductDocument) -> None:
    made = await create(
        empty, product, platforms=["windows", "linux/amd64"], private=True, notes="# New\n", artifacts=[FILE]
    )
    assert (made["status"], made["published"], made["publishedAt"], made["archived"]) == (
        "DRAFT",
        False,
        None,
        False,
    )
    assert (made["channel"], made["revision"], made["tenantId"], made["private"]) == ("stable", "0", "local", True)
    assert made["platforms"] == [
        {"name": "windows", "osFamily": None, "architecture": None},
        {"name": "linux/amd64", "osFamily": "linux", "architecture": "amd64"},
    ]
    assert made["createdAt"] == made["updatedAt"]
    [file] = made["artifacts"]
    assert (file["sha256"], file["extension"], file["downloads"], file["verification"]) == (
        SUM, "gz", 0, {"status": "SKIPPED"},
    )  # fmt: skip
    stored: Any = await empty.database[RELEASES].find_one({"id": made["id"]})
    assert stored
    assert stored["productId"] == product["id"]
    assert f"sha256:{SUM}" in stored["terms"]
    assert await events(empty) == ["release.created"]


async def test_s2_the_event_tells_of_the_release_in_the_seeds_names(
    empty: Catalog, product: ProductDocument
) -> None:
    made = await create(empty, product, artifacts=[FILE], platforms=["linux"], notes="n")
    event: Any = await empty.database[EVENTS].find_one({})
    data = json.loads(event["data"])
    assert (
        list(data)
        == (
            "id createdAt updatedAt name channel version platforms notes totalFiles publishedAt files published private "
            "archived productId tenantId"
        ).split()
    )
    assert (data["id"], data["totalFiles"], data["platforms"]) == (made["id"], 1, ["linux"])
    assert data["files"][0]["checksum"] == SUM
    assert data["files"][0]["releaseName"] == "app"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"name": ""}, {("input.name", "REQUIRED")}),
        ({"name": "n" * 257}, {("input.name", "TOO_LONG")}),
        ({"name": "n" * 256}, set()),
        ({"version": "1"}, {("input.version", "NOT_A_VERSION")}),
        ({"version": "1.2.3.4.5"}, {("input.version", "NOT_A_VERSION")}),
        ({"version": "1.2.3.4"}, set()),
        ({"version": ""}, {("input.version", "REQUIRED")}),
        ({"channel": ""}, {("input.channel", "REQUIRED")}),
        ({"channel": "c" * 257}, {("input.channel", "TOO_LONG")}),
        ({"notes": "n" * 4097}, {("input.notes", "TOO_LONG")}),
        ({"notes": ""}, set()),
        ({"revision": "r" * 65}, {("input.revision", "TOO_LONG")}),
        ({"branch": "b" * 33}, {("input.branch", "TOO_LONG")}),
        ({"platforms": ["x" * 65]}, {("input.platforms[0]", "TOO_LONG")}),
        ({"platforms": ["linux/" + "x" * 65]}, {("input.platforms[0]", "TOO_LONG")}),
        ({"productId": "nobody"}, {("input.productId", "UNKNOWN")}),
        ({"catalogId": "another"}, {("input.catalogId", "CONTRADICTORY_REFERENCE")}),
        ({"createdAt": "2999-01-01T00:00:00Z"}, {("input.createdAt", "IN_FUTURE")}),
        ({"author": "nobody"}, {("input.author", "NOT_AN_EMAIL")}),
        ({"baseImageId": "b", "registryId": "r", "pipelineId": "p"}, {
            ("input.baseImageId", "UNKNOWN"), ("input.registryId", "UNKNOWN"), ("input.pipelineId", "UNKNOWN")}),
        ({"artifacts": [FILE, FILE]}, {("input.artifacts[1]", "REPEATED")}),
        ({"artifacts": [{**FILE, "sha256": "sha256:" + "Z" * 64, "size": -1}]}, {
            ("input.artifacts[0].sha256", "NOT_A_SHA256"), ("input.artifacts[0].size", "NOT_A_SIZE")}),
        ({"artifacts": [{**FILE, "downloadUrl": "file:///etc/passwd"}]}, {("input.artifacts[0].downloadUrl", "NOT_A_URL")}),
        ({"dependencies": [{"name": "b"}]}, {("input.dependencies[0].version", "REQUIRED")}),
        ({"dependencies": [{"releaseId": "later"}]}, {
            ("input.dependencies[0].name", "REQUIRED"), ("input.dependencies[0].version", "REQUIRED")}),
        ({"dependencies": [{"name": "app", "version": "1.0"}]}, {("input.dependencies[0]", "DEPENDS_ON_ITSELF")}),
        ({"name": "", "version": "x", "notes": "n" * 5000, "productId": "nobody", "artifacts": [{**FILE, "size": -1}]}, {
            ("input.name", "REQUIRED"), ("input.notes", "TOO_LONG"), ("input.productId", "UNKNOWN"),
            ("input.artifacts[0].size", "NOT_A_SIZE")}),
    ],
)  # fmt: skip
async def test_s2_limits(
    empty: Catalog, product: ProductDocument, given: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    given = {"productId": product["id"], "name": "app", "version": "1.0", **given}
    if expected:
        assert await refused(empty, "create", **given) == expected
        assert await events(empty) == []
        assert await empty.database[RELEASES].count_documents({}) == 0
    else:
        await write(empty, "create", **given)
        assert await empty.database[RELEASES].count_documents({}) == 1


async def test_s2_an_old_release_keeps_its_date(empty: Catalog, product: ProductDocument) -> None:
    made = await create(empty, product, createdAt="2019-08-24T14:15:22.123999+02:00")
    assert made["createdAt"] == "2019-08-24T12:15:22.123Z"


async def test_s5_end_of_life_takes_a_date_or_an_instant(empty: Catalog, product: ProductDocument) -> None:
    for version, given in (("1.0", "2026-03-01"), ("1.1", "2026-03-01T23:00:00-02:00")):
        made = await create(empty, product, version, endOfLifeAt=given)
        assert made["endOfLifeAt"] == ("2026-03-01" if version == "1.0" else "2026-03-02")


# ------------------------------------------------------------------ identity


async def test_identity_is_taken_once_and_never_again(empty: Catalog, product: ProductDocument) -> None:
    made = await create(empty, product)
    again = {"productId": product["id"], "name": "other name", "version": "1.0"}
    _, problem = await write(empty, "create", **again)
    assert (problem["__typename"], problem["conflictingId"]) == ("ConflictProblem", made["id"])
    await create(empty, product, channel="beta")
    second = await create(empty, product, revision="1")
    await publish(empty, made["id"])
    text = 'mutation($id: ID!) { withdrawRelease(input: {id: $id, reason: "r"}) { problem { detail } } }'
    await empty.ask(text, id=made["id"])
    _, problem = await write(empty, "create", **again)
    assert problem["conflictingId"] == made["id"]
    _, problem = await write(empty, "patch", id=second["id"], name="app", revision="0")
    assert problem["conflictingId"] == made["id"]
    another = Catalog(empty.database, local("another"))
    own = await another.product("app", "DOTTED")
    assert (await create(another, own))["tenantId"] == "another"


@pytest.mark.usefixtures("patient")
async def test_a_hundred_at_once_make_one_release(empty: Catalog, product: ProductDocument) -> None:
    given = {"productId": product["id"], "name": "app", "version": "1.0"}
    outcomes = await asyncio.gather(*(write(empty, "create", **given) for _ in range(100)))
    [made] = [release for release, _ in outcomes if release]
    lost = [problem for _, problem in outcomes if problem]
    assert len(lost) == 99
    assert {(problem["__typename"], problem["conflictingId"]) for problem in lost} == {
        ("ConflictProblem", made["id"])
    }
    assert await events(empty) == ["release.created"]


@pytest.mark.usefixtures("patient")
async def test_the_same_idempotency_key_a_hundred_times_makes_one_release(
    empty: Catalog, product: ProductDocument
) -> None:
    given = {"productId": product["id"], "name": "app", "version": "1.0", "idempotencyKey": "k"}
    outcomes = await asyncio.gather(*(write(empty, "create", **given) for _ in range(100)))
    made = [release for release, _ in outcomes if release]
    assert made
    assert all(release == made[0] for release in made)
    assert all("still running" in problem["detail"] for _, problem in outcomes if problem)
    assert await empty.database[RELEASES].count_documents({}) == 1
    assert await events(empty) == ["release.created"]


@pytest.mark.usefixtures("patient")
async def test_of_a_hundred_patches_with_one_etag_exactly_one_wins(
    empty: Catalog, product: ProductDocument
) -> None:
    made = await create(empty, product)
    outcomes = await asyncio.gather(
        *(write(empty, "patch", id=made["id"], name="app", notes=str(n), ifMatch=made["etag"]) for n in range(100))
    )
    [won] = [release for release, _ in outcomes if release]
    assert {problem["__typename"] for _, problem in outcomes if problem} == {"PreconditionProblem"}
    stored: Any = await empty.database[RELEASES].find_one({"id": made["id"]})
    assert stored["notes"] == won["notes"]
    assert await events(empty) == ["release.created", "release.updated"]


# ------------------------------------------------------------------ references


async def test_a_reference_resolves_by_itself(empty: Catalog, product: ProductDocument) -> None:
    lib = await empty.product("lib", "DOTTED")
    needs = [{"name": "lib", "version": "1.0"}, {"releaseId": "later", "name": "late", "version": "9.0"}]
    made = await create(empty, product, dependencies=needs)
    assert [edge["node"] for edge in made["dependencies"]["edges"]] == [None, None]
    found = await create(empty, lib, name="lib")
    text = "query($id: ID!) { release(id: $id) { dependencies { edges { reference { releaseId name version } node { id } } } } }"
    edges = (await empty.ask(text, id=made["id"]))["release"]["dependencies"]["edges"]
    assert [edge["node"] for edge in edges] == [{"id": found["id"]}, None]
    assert edges[1]["reference"] == {"releaseId": "later", "name": "late", "version": "9.0"}


async def test_a_reference_by_id_knows_name_and_version_and_may_not_contradict_them(
    empty: Catalog, product: ProductDocument
) -> None:
    lib = await create(empty, await empty.product("lib", "DOTTED"), name="lib")
    made = await create(empty, product, dependencies=[{"releaseId": lib["id"]}])
    assert made["dependencies"]["edges"][0]["reference"] == {
        "releaseId": lib["id"],
        "name": "lib",
        "version": "1.0",
    }
    for wrong in ({"name": "bil"}, {"version": "2.0"}, {"name": "lib", "version": "2.0"}):
        given = {"productId": product["id"], "name": "app", "version": "2.0"}
        found = await refused(empty, "create", **given, dependencies=[{"releaseId": lib["id"], **wrong}])
        assert found == {("input.dependencies[0]", "CONTRADICTORY_REFERENCE")}


async def test_references_by_id_alone_are_told_apart_by_what_they_mean(
    empty: Catalog, product: ProductDocument
) -> None:
    one, other = [await create(empty, await empty.product(key, "DOTTED"), name=key) for key in ("one", "other")]
    made = await create(empty, product, dependencies=[{"releaseId": one["id"]}, {"releaseId": other["id"]}])
    assert [edge["reference"]["name"] for edge in made["dependencies"]["edges"]] == ["one", "other"]
    twice = [{"releaseId": one["id"]}, {"name": "one", "version": "1.0"}]
    found = await refused(empty, "patch", id=made["id"], name="app", dependencies=twice)
    assert found == {("input.dependencies[1]", "REPEATED")}


async def test_platforms_are_a_set(empty: Catalog, product: ProductDocument) -> None:
    made = await create(empty, product, platforms=["win64", "linux", "win64"])
    assert [platform["name"] for platform in made["platforms"]] == ["win64", "linux"]
    after, _ = await write(empty, "patch", id=made["id"], name="app", platforms=["macos", "linux", "macos"])
    assert [platform["name"] for platform in after["platforms"]] == ["win64", "linux", "macos"]


async def test_a_put_may_take_the_name_of_what_is_needed_no_more(empty: Catalog, product: ProductDocument) -> None:
    made = await create(empty, product, dependencies=[{"name": "lib", "version": "1.0"}])
    after, _ = await write(empty, "replace", id=made["id"], name="lib")
    assert (after["name"], after["dependencies"]["edges"]) == ("lib", [])


async def test_no_release_depends_on_itself_even_by_a_new_name(empty: Catalog, product: ProductDocument) -> None:
    made = await create(empty, product, dependencies=[{"name": "lib", "version": "1.0"}])
    own = {("input.dependencies[0]", "DEPENDS_ON_ITSELF")}
    assert (
        await refused(empty, "patch", id=made["id"], name="app", dependencies=[{"releaseId": made["id"]}]) == own
    )
    assert await refused(empty, "patch", id=made["id"], name="lib") == {("input.name", "DEPENDS_ON_ITSELF")}


async def test_withdrawn_and_archived_releases_still_answer(empty: Catalog, product: ProductDocument) -> None:
    lib = await create(empty, await empty.product("lib", "DOTTED"), name="lib")
    made = await create(empty, product, dependencies=[{"name": "lib", "version": "1.0"}])
    await publish(empty, lib["id"])
    text = "query($id: ID!) { release(id: $id) { dependencies { nodes { status } } } }"
    for verb, status in (("withdraw", "WITHDRAWN"), ("archive", "ARCHIVED")):
        reason = ', reason: "r"' if verb == "withdraw" else ""
        await empty.ask(
            "mutation($id: ID!) { %sRelease(input: {id: $id%s}) { problem { detail } } }" % (verb, reason),
            id=lib["id"],
        )
        assert (await empty.ask(text, id=made["id"]))["release"]["dependencies"]["nodes"] == [{"status": status}]


# ------------------------------------------------------------------ S4 PATCH and PUT


async def rich(catalog: Catalog, product: ProductDocument) -> Any:
    """A release that has everything."""
    for kind, given in (
        ("BaseImage", {"id": "image", "name": "debian"}),
        ("Registry", {"id": "registry", "name": "hub", "url": "https://hub.example"}),
        ("Pipeline", {"id": "pipeline", "name": "build"}),
    ):
        text = "mutation($input: Save%sInput!) { save%s(input: $input) { problem { detail } } }" % (kind, kind)
        await catalog.ask(text, input=given)
    return await create(
        catalog, product, revision="3", branch="main", tag="v1", packagingType="OVA", platforms=["linux/amd64"],
        private=True, trial=True, notes="n", description="d", author="a@b.example", metadata={"a": {"b": 1}, "c": [1]},
        releasedAt="2026-01-01T00:00:00Z", endOfLifeAt="2030-01-01", artifacts=[FILE, {**FILE, "name": "b.zip", "metadata": {"k": 1}}],
        registryArtifact={"name": "p", "version": "1", "url": "oci://x"}, dockerImages=[{"name": "i", "imageUrl": "hub/i:1"}],
        dependencies=[{"name": "lib", "version": "1.0"}], baseImageId="image", registryId="registry", pipelineId="pipeline",
        platformReleaseMetadata=[{"platform": "linux/amd64", "releaseMetadata": [{"id": "f", "mimeType": "sbom"}]}],
        customizations=[{"id": "c", "version": "2", "artifact": {"id": "x", "filename": "x.sh"}}],
    )  # fmt: skip


def without(release: Any, *names: str) -> Any:
    return {
        name: value for name, value in release.items() if name not in {"etag", "updatedAt", "warnings", *names}
    }


async def test_s4_a_patch_without_fields_changes_nothing(empty: Catalog, product: ProductDocument) -> None:
    made = await rich(empty, product)
    nulls = dict.fromkeys(
        "revision branch tag packagingType platforms private notes description author metadata releasedAt endOfLifeAt "
        "artifacts registryArtifact dockerImages dependencies platformReleaseMetadata customizations baseImageId "
        "registryId pipelineId delivery".split()
    )
    after, _ = await write(empty, "patch", id=made["id"], name="app", **nulls)
    assert after == made
    assert await events(empty) == ["release.created"]
    empties: dict[str, Any] = {
        name: [] for name in ("platforms", "artifacts", "dockerImages", "dependencies", "customizations")
    }
    after, _ = await write(empty, "patch", id=made["id"], name="app", **empties)
    assert after == made


async def test_s4_a_patch_adds_and_updates_by_key(empty: Catalog, product: ProductDocument) -> None:
    made = await rich(empty, product)
    after, _ = await write(
        empty, "patch", id=made["id"], name="renamed", platforms=["linux/amd64", "win64"], metadata={"a": {"d": 2}, "c": [2]},
        artifacts=[{**FILE, "name": "b.zip", "arguments": "-x"}, {**FILE, "name": "c.zip"}],
        dockerImages=[{"name": "i", "imageUrl": "hub/i:2", "platform": "linux/arm64"}, {"name": "j", "imageUrl": "hub/j"}],
        dependencies=[{"name": "lib", "version": "1.0", "releaseId": "x1"}, {"name": "lib", "version": "2.0"}],
        customizations=[{"id": "c", "version": "3"}],
        platformReleaseMetadata=[{"releaseMetadata": []}],
    )  # fmt: skip
    assert after["name"] == "renamed"
    assert [platform["name"] for platform in after["platforms"]] == ["linux/amd64", "win64"]
    assert after["metadata"] == {"a": {"b": 1, "d": 2}, "c": [2]}
    assert after["artifacts"][0] == made["artifacts"][0]
    updated = after["artifacts"][1]
    assert updated["arguments"] == "-x"
    assert updated["metadata"] == {"k": 1}
    assert (updated["id"], updated["createdAt"]) == (made["artifacts"][1]["id"], made["artifacts"][1]["createdAt"])
    assert after["artifacts"][2]["name"] == "c.zip"
    assert [(image["imageUrl"], image["platform"]) for image in after["dockerImages"]] == [
        ("hub/i:2", {"name": "linux/arm64"}), ("hub/j", None),
    ]  # fmt: skip
    assert [edge["reference"] for edge in after["dependencies"]["edges"]] == [
        {"releaseId": "x1", "name": "lib", "version": "1.0"}, {"releaseId": None, "name": "lib", "version": "2.0"},
    ]  # fmt: skip
    assert after["customizations"][0] == {
        "id": "c",
        "version": "3",
        "artifact": made["customizations"][0]["artifact"],
    }
    assert [entry["platform"] for entry in after["platformReleaseMetadata"]] == [{"name": "linux/amd64"}, None]
    assert after["notes"] == "n"
    found = await empty.ask('{ releases(filter: {name: "renamed", platform: "win64"}) { nodes { id } } }')
    assert found["releases"]["nodes"] == [{"id": made["id"]}]


async def test_s4_a_patch_removes_nothing_from_what_it_updates(empty: Catalog, product: ProductDocument) -> None:
    made = await rich(empty, product)
    after, _ = await write(
        empty, "patch", id=made["id"], name="app", registryArtifact={"name": "p", "version": "2"},
        artifacts=[{**FILE, "name": "b.zip", "metadata": {"l": 2}}],
        customizations=[{"id": "c", "artifact": {"id": "x", "url": "/x"}}],
        platformReleaseMetadata=[{"platform": "linux/amd64", "releaseMetadata": [{"id": "g"}, {"id": "f", "url": "/f"}]}],
    )  # fmt: skip
    assert after["registryArtifact"] == {**made["registryArtifact"], "version": "2"}
    assert after["artifacts"][1]["metadata"] == {"k": 1, "l": 2}
    assert after["customizations"] == [
        {"id": "c", "version": "2", "artifact": {"id": "x", "url": "/x", "filename": "x.sh"}}
    ]
    [entry] = after["platformReleaseMetadata"]
    assert [(file["id"], file["mimeType"], file["url"]) for file in entry["releaseMetadata"]] == [
        ("f", "sbom", "/f"), ("g", None, None),
    ]  # fmt: skip
    again, _ = await write(
        empty, "patch", id=made["id"], name="app", customizations=[{"id": "c", "artifact": {"id": "y"}}]
    )
    assert again["customizations"][0]["artifact"] == {"id": "y", "url": None, "filename": None}


async def test_s4_a_put_resets_what_is_not_said(empty: Catalog, product: ProductDocument) -> None:
    made = await rich(empty, product)
    after, _ = await write(empty, "replace", id=made["id"], name="app")
    bare = await create(empty, product, "2.0")
    kept = ("id", "version", "createdAt", "trial")
    assert without(after, *kept) == without(bare, *kept)
    assert (after["id"], after["version"], after["createdAt"]) == (made["id"], "1.0", made["createdAt"])
    assert await events(empty) == ["release.created", "release.updated", "release.created"]


async def test_s4_a_put_of_what_is_there_changes_nothing(empty: Catalog, product: ProductDocument) -> None:
    made = await create(empty, product, artifacts=[FILE, {**FILE, "name": "b.zip"}], notes="n")
    after, _ = await write(
        empty, "replace", id=made["id"], name="app", artifacts=[FILE, {**FILE, "name": "b.zip"}], notes="n"
    )
    assert after == made


async def test_other_bytes_are_another_file_to_be_verified(empty: Catalog, product: ProductDocument) -> None:
    made = await create(empty, product, artifacts=[FILE])
    seen = {
        "status": "VERIFIED",
        "actualSha256": SUM,
        "actualSize": 10,
        "message": None,
        "checkedAt": timestamps.now(),
    }
    await empty.database[RELEASES].update_one({"id": made["id"]}, {"$set": {"artifacts.0.verification": seen}})
    after, _ = await write(empty, "patch", id=made["id"], name="app", artifacts=[{**FILE, "isExecutable": True}])
    assert after["artifacts"][0]["verification"] == {"status": "VERIFIED"}
    after, _ = await write(empty, "patch", id=made["id"], name="app", artifacts=[{**FILE, "size": 11}])
    assert after["artifacts"][0]["verification"] == {"status": "SKIPPED"}
    assert after["artifacts"][0]["id"] == made["artifacts"][0]["id"]


async def test_published_files_images_and_dependencies_do_not_change(
    empty: Catalog, product: ProductDocument
) -> None:
    made = await rich(empty, product)
    await publish(empty, made["id"])
    changes: dict[str, Any] = {
        "revision": "4", "tag": "v2", "packagingType": "HELM_CHART", "platforms": ["win64"], "author": "c@d.example",
        "releasedAt": "2026-02-02T00:00:00Z", "artifacts": [{**FILE, "size": 11}],
        "registryArtifact": {"name": "q", "version": "1"}, "dockerImages": [{"name": "j", "imageUrl": "x"}],
        "dependencies": [{"name": "more", "version": "1.0"}],
    }  # fmt: skip
    found = await refused(empty, "patch", id=made["id"], name="renamed", **changes)
    assert found == {(f"input.{field}", "FIXED") for field in ("name", *changes)}
    free = {"notes": "N", "description": "D", "branch": "next", "endOfLifeAt": "2031-01-01", "private": False}
    after, _ = await write(empty, "patch", id=made["id"], name="app", **free, artifacts=[FILE], metadata={"z": 1})
    assert {name: after[name] for name in free} == free
    assert after["metadata"] == {**made["metadata"], "z": 1}
    assert {field for field, _ in await refused(empty, "replace", id=made["id"], name="app")} >= {
        "input.artifacts", "input.dockerImages", "input.dependencies", "input.tag",
    }  # fmt: skip


async def test_published_lists_may_be_repeated_in_another_order(empty: Catalog, product: ProductDocument) -> None:
    lists: dict[str, Any] = {
        "platforms": ["win64", "linux"],
        "artifacts": [FILE, {**FILE, "name": "b.zip"}],
        "dependencies": [{"name": "a", "version": "1"}, {"name": "b", "version": "1"}],
    }
    made = await create(empty, product, **lists)
    await publish(empty, made["id"])
    again = {name: entries[::-1] for name, entries in lists.items()}
    after, problem = await write(empty, "replace", id=made["id"], name="app", **again, notes="n")
    assert problem is None
    assert (after["platforms"], after["dependencies"]) == (made["platforms"], made["dependencies"])
    assert [file["name"] for file in after["artifacts"]] == ["app.tar.gz", "b.zip"]
    assert after["notes"] == "n"


async def test_refusals_of_changes(empty: Catalog, product: ProductDocument) -> None:
    made = await create(empty, product)
    _, missing = await write(empty, "patch", id="nobody", name="x")
    assert missing["__typename"] == "NotFoundProblem"
    _, stale = await write(empty, "replace", id=made["id"], name="x", ifMatch="stale")
    assert (stale["__typename"], stale["status"]) == ("PreconditionProblem", 412)
    another = Catalog(empty.database, local("another"))
    _, missing = await write(another, "patch", id=made["id"], name="x")
    assert missing["__typename"] == "NotFoundProblem"
    many = [{**FILE, "name": str(n)} for n in range(1000)]
    await write(empty, "patch", id=made["id"], name="app", artifacts=many)
    found = await refused(empty, "patch", id=made["id"], name="app", artifacts=[{**FILE, "name": "one more"}])
    assert found == {("input.artifacts", "TOO_MANY")}


async def test_a_dry_run_shows_the_release_and_leaves_no_trace(empty: Catalog, product: ProductDocument) -> None:
    shown = await create(empty, product, artifacts=[FILE], dryRun=True, idempotencyKey="k")
    assert (shown["status"], shown["product"]["id"]) == ("DRAFT", product["id"])
    assert await empty.database[RELEASES].count_documents({}) == 0
    made = await create(empty, product)
    before = [document async for document in empty.database[RELEASES].find({})]
    shown, _ = await write(empty, "patch", id=made["id"], name="other", dryRun=True)
    assert shown["name"] == "other"
    assert [document async for document in empty.database[RELEASES].find({})] == before
    assert await events(empty) == ["release.created"]
    assert await empty.database[REQUESTS].count_documents({}) == 0


async def test_the_same_idempotency_key_with_another_input_is_a_conflict(
    empty: Catalog, product: ProductDocument
) -> None:
    made = await create(
        empty, product, idempotencyKey="k", endOfLifeAt="2030-01-01", releasedAt="2026-01-01T00:00:00Z"
    )
    again = await create(
        empty, product, idempotencyKey="k", endOfLifeAt="2030-01-01", releasedAt="2026-01-01T00:00:00Z"
    )
    assert again == made
    _, problem = await write(
        empty, "create", productId=product["id"], name="app", version="2.0", idempotencyKey="k"
    )
    assert (problem["__typename"], problem["status"]) == ("ConflictProblem", 409)


async def test_numbers_of_any_size_make_another_input_of_an_idempotency_key(
    empty: Catalog, product: ProductDocument
) -> None:
    """A variable can't hold them, but GraphQL's own literals can."""
    await empty.ask('mutation { savePipeline(input: {id: "p", name: "P"}) { problem { detail } } }')
    for number, made in ((2**70, True), (2**70, True), (2**71, False)):
        given = f'productId: "{product["id"]}", name: "app", version: "1.0", idempotencyKey: "k"'
        given += f', delivery: {{pipelineId: "p", properties: [{{propertyName: "n", propertyValue: {number}}}]}}'
        text = f"mutation {{ createRelease(input: {{{given}}}) {{ problem {{ __typename detail }} }} }}"
        problem = (await empty.ask(text))["createRelease"]["problem"]
        assert (problem is None) == made
    assert "Another input" in problem["detail"]


# ------------------------------------------------------------------ free JSON


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "metadata",
    [
        {"$where": "sleep(1000)", "a.b": 1, "__proto__": {"x": 1}, "": "empty", "$set": {"status": "PUBLISHED"}},
        {"terms": ["is:#x"], "_id": 1, "constructor": None, "\u202e": "é🎉", "n": 1.5e300, "big": 2**63},
        [1, [2, {"$gt": ""}]],
        "text",
        0,
        False,
        nested(100),
        {"long": "x" * ((1 << 20) - 11)},
    ],
    ids=lambda value: str(value)[:20],
)
async def test_metadata_comes_back_unchanged(empty: Catalog, product: ProductDocument, metadata: Any) -> None:
    made = await create(empty, product, metadata=metadata, artifacts=[{**FILE, "metadata": metadata}])
    found = (
        await empty.ask("query($id: ID!) { release(id: $id) { metadata artifacts { metadata } } }", id=made["id"])
    )["release"]
    assert found["metadata"] == metadata
    assert found["artifacts"] == [{"metadata": metadata}]
    patched, _ = await write(empty, "patch", id=made["id"], name="app", metadata=metadata)
    assert patched["metadata"] == metadata


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        (nested(101), "TOO_DEEP"),
        (nested(1000), "TOO_DEEP"),
        ({"long": "x" * (1 << 20)}, "TOO_LONG"),
    ],
    ids=["101 levels", "1000 levels", "1 MiB"],
)
async def test_metadata_that_can_not_be_kept_is_refused(
    empty: Catalog, product: ProductDocument, metadata: Any, code: str
) -> None:
    given = {"productId": product["id"], "name": "app", "version": "1.0", "idempotencyKey": "k"}
    assert await refused(empty, "create", **given, metadata=metadata) == {("input.metadata", code)}
    await write(empty, "create", **given)
    [made] = [document async for document in empty.database[RELEASES].find({})]
    assert await refused(empty, "patch", id=made["id"], name="app", metadata=metadata) == {
        ("input.metadata", code)
    }


async def test_metadata_stays_within_its_limit_when_it_grows(empty: Catalog, product: ProductDocument) -> None:
    made = await create(empty, product, metadata={"a": "x" * 600_000})
    found = await refused(empty, "patch", id=made["id"], name="app", metadata={"b": "x" * 600_000})
    assert found == {("input.metadata", "TOO_LONG")}
    await write(empty, "patch", id=made["id"], name="app", artifacts=[{**FILE, "metadata": {"a": "x" * 600_000}}])
    more = [{**FILE, "metadata": {"b": "x" * 600_000}}]
    found = await refused(empty, "patch", id=made["id"], name="app", artifacts=more)
    assert found == {("input.artifacts[0].metadata", "TOO_LONG")}


async def test_a_release_stays_within_what_a_document_holds(empty: Catalog, product: ProductDocument) -> None:
    made = await create(empty, product)
    for n in range(14):
        files = [{**FILE, "name": f"{n}", "metadata": {"a": "x" * 1_000_000}}]
        _, problem = await write(empty, "patch", id=made["id"], name="app", artifacts=files)
        if problem:
            break
    assert problem["violations"][0]["code"] == "TOO_LARGE"
    assert n >= 10
