"""Files and images are known by name and platform, and releases are found by the platforms of all three."""

import asyncio
from typing import Any

import pytest

from release_catalog.domain.reference_data import ProductDocument
from release_catalog.files import address_guard, verifier
from release_catalog.storage import migrations
from release_catalog.storage.collection_names import PRODUCTS
from support import old_forms
from support.catalog import Catalog, source

FIELDS = """id etag platforms { name } artifacts { id name arguments platform { name } downloadUrl }
  dockerImages { name imageUrl platform { name } }"""
PROBLEM = "problem { __typename ... on ValidationProblem { violations { field code message } } }"
CREATE = """mutation($input: CreateReleaseInput!) { createRelease(input: $input) {
  release { %s } %s } }""" % (FIELDS, PROBLEM)
PATCH = CREATE.replace("Create", "Patch").replace("create", "patch")
REPLACE = CREATE.replace("Create", "Replace").replace("create", "replace")
IMPORT = CREATE.replace("Create", "Import").replace("create", "import")
PUBLISH = "mutation($id: ID!) { publishRelease(input: {id: $id}) { problem { detail } } }"
FIND = """query($platform: String!, $product: ID!) {
  releases(filter: {platform: $platform}, orderBy: {field: VERSION, direction: ASC}) { totalCount nodes { version } }
  named: releases(filter: {platform: $platform, productId: $product}) { totalCount }
  product(id: $product) { latestRelease(platform: $platform) { version } } }"""
COMPARE = """query($from: ID!, $to: ID!) { compareReleases(fromId: $from, toId: $to) {
  artifacts { kind key before after } dockerImages { kind key } } }"""


def file(platform: str | None = None, name: str = "a.bin", digest: str = "a", **more: Any) -> dict[str, Any]:
    made = {"name": name, "size": 1, "sha256": digest * 64, "downloadUrl": f"https://files.example/{name}", **more}
    return made if platform is None else {**made, "platform": platform}


def image(platform: str | None, tag: str = "1") -> dict[str, Any]:
    return {"name": "app", "imageUrl": f"hub.example/app:{tag}", "platform": platform}


async def send(catalog: Catalog, text: str, **fields: Any) -> Any:
    [answer] = (await catalog.ask(text, input=fields)).values()
    if answer["problem"]:
        assert answer["problem"]["__typename"] == "ValidationProblem", answer
        return [(violation["field"], violation["code"]) for violation in answer["problem"]["violations"]]
    return answer["release"]


async def imported(catalog: Catalog, *files: dict[str, Any], version: str = "1.0", **more: Any) -> Any:
    document = source("tool", version, artifacts=list(files), **more)
    return await send(catalog, IMPORT, projectIdentifier="tool", release=document, verification="SKIP")


def names(entries: list[Any]) -> list[tuple[str, str | None]]:
    return [(entry["name"], entry["platform"] and entry["platform"]["name"]) for entry in entries]


@pytest.fixture
async def product(empty: Catalog) -> ProductDocument:
    return await empty.product("tool", "DOTTED")


async def test_a_patch_of_the_file_of_one_platform_keeps_the_other(empty: Catalog) -> None:
    made = await imported(empty, file("linux/amd64"), file("linux/arm64", digest="b"))
    assert names(made["artifacts"]) == [("a.bin", "linux/amd64"), ("a.bin", "linux/arm64")]
    after = await send(
        empty, PATCH, id=made["id"], name="tool", artifacts=[file("Linux/ARM64", digest="b", arguments="-x")]
    )
    assert after["artifacts"][0] == made["artifacts"][0]
    assert after["artifacts"][1] == {
        **made["artifacts"][1], "arguments": "-x", "platform": {"name": "Linux/ARM64"},
    }  # fmt: skip


async def test_a_patch_without_a_platform_means_the_only_file_of_its_name(empty: Catalog) -> None:
    made = await imported(empty, file("linux/amd64"), file("win64", name="b.bin"), file("win32", name="b.bin"))
    after = await send(empty, PATCH, id=made["id"], name="tool", artifacts=[file(arguments="-x")])
    assert names(after["artifacts"]) == names(made["artifacts"])
    assert after["artifacts"][0]["arguments"] == "-x"
    found = await send(
        empty, PATCH, id=made["id"], name="tool", artifacts=[file(name="b.bin"), file(), file("linux/amd64")]
    )
    assert found == [("input.artifacts[0].platform", "AMBIGUOUS"), ("input.artifacts[2]", "REPEATED")]
    new = await send(empty, PATCH, id=made["id"], name="tool", artifacts=[file(name="c.bin"), file("linux/arm64")])
    assert names(new["artifacts"])[3:] == [("c.bin", None), ("a.bin", "linux/arm64")]


@pytest.mark.parametrize("field", ["artifacts", "dockerImages"])
async def test_one_name_and_platform_twice_is_a_violation_everywhere(
    empty: Catalog, product: ProductDocument, field: str
) -> None:
    make = file if field == "artifacts" else image
    twice, two = [make("linux/amd64"), make("LINUX/amd64")], [make("linux/amd64"), make("linux/arm64")]
    new = {"productId": product["id"], "name": "tool", "version": "1.0"}
    assert await send(empty, CREATE, **new, **{field: twice}) == [(f"input.{field}[1]", "REPEATED")]
    made = await send(empty, CREATE, **new, **{field: two})
    assert len(made[field]) == 2
    for verb in (PATCH, REPLACE):
        found = await send(empty, verb, id=made["id"], name="tool", **{field: twice})
        assert found == [(f"input.{field}[1]", "REPEATED")]
        assert len((await send(empty, verb, id=made["id"], name="tool", **{field: two}))[field]) == 2
    more: dict[str, Any] = {"version": "2.0", "dockerImages": twice if field == "dockerImages" else []}
    found = await imported(empty, *(twice if field == "artifacts" else ()), **more)
    assert found == [(f"input.release.{field}[1]", "REPEATED")]


async def test_files_keep_their_identity_by_name_and_platform_when_they_are_replaced(empty: Catalog) -> None:
    made = await imported(empty, file("linux/amd64"), file("linux/arm64"))
    ids = [entry["id"] for entry in made["artifacts"]]
    after = await send(
        empty, REPLACE, id=made["id"], name="tool", artifacts=[file("linux/arm64"), file("win64"), file("linux/amd64")]
    )  # fmt: skip
    assert [entry["id"] for entry in after["artifacts"]][::2] == ids[::-1]
    assert after["artifacts"][1]["id"] not in ids
    again = await imported(empty, file("linux/arm64"), file("linux/amd64"))
    assert [entry["id"] for entry in again["artifacts"]] == ids[::-1]


async def test_after_publication_the_letter_case_of_a_platform_is_no_change(empty: Catalog) -> None:
    made = await imported(empty, file("linux/amd64"), dockerImages=[image("linux/amd64")])
    await empty.ask(PUBLISH, id=made["id"])
    for verb in (PATCH, REPLACE):
        # PUT resets what it does not name; the author has no default.
        more = {"author": "builds@acme.example", "platforms": ["linux/amd64"]} if verb == REPLACE else {}
        after = await send(
            empty, verb, id=made["id"], name="tool", artifacts=[file("LINUX/AMD64")],
            dockerImages=[image("Linux/amd64")], **more,
        )  # fmt: skip
        assert (after["artifacts"], after["dockerImages"]) == (made["artifacts"], made["dockerImages"])


async def test_images_merge_by_name_and_platform(empty: Catalog) -> None:
    made = await imported(empty, dockerImages=[image("linux/amd64"), image("linux/arm64")])
    after = await send(empty, PATCH, id=made["id"], name="tool", dockerImages=[image("linux/arm64", "2")])
    assert [entry["imageUrl"] for entry in after["dockerImages"]] == ["hub.example/app:1", "hub.example/app:2"]
    found = await send(empty, PATCH, id=made["id"], name="tool", dockerImages=[image(None)])
    assert found == [("input.dockerImages[0].platform", "AMBIGUOUS")]
    plain = await imported(empty, version="2.0", dockerImages=[image(None)])
    after = await send(
        empty, PATCH, id=plain["id"], name="tool", dockerImages=[image("linux/amd64"), image("linux/arm64")]
    )
    assert names(after["dockerImages"]) == [("app", None), ("app", "linux/amd64"), ("app", "linux/arm64")]


async def test_a_comparison_pairs_files_by_name_and_platform(empty: Catalog) -> None:
    first = await imported(
        empty, file("linux/amd64"), file("linux/arm64", digest="b"), file("linux", name="c"), file("win64", name="d"),
        dockerImages=[image("linux/amd64"), image("linux/arm64")],
    )  # fmt: skip
    second = await imported(
        empty, file("Linux/arm64", digest="c"), file("linux/amd64"), file("win64", name="c"), file("win64", name="d"),
        version="2.0", dockerImages=[image("linux/arm64", "2"), image("linux/amd64")],
    )  # fmt: skip
    found = (await empty.ask(COMPARE, **{"from": first["id"], "to": second["id"]}))["compareReleases"]
    changes = [(change["kind"], change["key"]) for change in found["artifacts"]]
    assert changes == [("CHANGED", "a.bin (linux/arm64)"), ("REMOVED", "c (linux)"), ("ADDED", "c (win64)")]
    assert (found["artifacts"][0]["before"]["sha256"], found["artifacts"][0]["after"]["sha256"]) == (
        "b" * 64,
        "c" * 64,
    )
    assert [(change["kind"], change["key"]) for change in found["dockerImages"]] == [
        ("CHANGED", "app (linux/arm64)")
    ]


async def test_an_import_warning_names_the_platform(empty: Catalog) -> None:
    text = """mutation($id: ID!) { verifyArtifacts(input: {releaseId: $id}) {
      warnings { artifactName platform { name } } } }"""
    made = await imported(empty, file("linux/amd64"), file("linux/arm64"))
    async with verifier.Fetcher(address_guard.parse(""), max_bytes=0, at_once=2) as empty.files:
        found = (await empty.ask(text, id=made["id"]))["verifyArtifacts"]["warnings"]
    assert names([{**warning, "name": warning["artifactName"]} for warning in found]) == names(made["artifacts"])


async def test_an_answer_that_an_older_process_kept_is_replayed(empty: Catalog) -> None:
    document = source("tool", artifacts=[{**file("linux"), "downloadUrl": "a.bin"}], needs=["nothing"])
    text = """mutation($input: ImportReleaseInput!) { importRelease(input: $input) {
      warnings { artifactName platform { name } } } }"""
    given = {"projectIdentifier": "tool", "release": document, "verification": "SKIP", "idempotencyKey": "k"}
    made = (await empty.ask(text, input=given))["importRelease"]["warnings"]
    assert {"artifactName": "a.bin", "platform": {"name": "linux"}} in made
    older = {"$unset": {"answer.warnings.$[].platform": 1}}
    await old_forms.raw(empty.database).requests.update_one({}, older)
    replayed = (await empty.ask(text, input=given))["importRelease"]["warnings"]
    assert replayed == [{**warning, "platform": None} for warning in made]


async def found(catalog: Catalog, platform: str) -> tuple[list[str], str | None]:
    """Return the versions on a platform, and the latest published one."""
    product: Any = await catalog.database[PRODUCTS].find_one({"key": "tool"})
    answer = await catalog.ask(FIND, platform=platform, product=product["id"])
    versions = [node["version"] for node in answer["releases"]["nodes"]]
    assert answer["releases"]["totalCount"] == answer["named"]["totalCount"] == len(versions)
    latest = answer["product"]["latestRelease"]
    return versions, latest and latest["version"]


async def test_a_release_is_found_by_its_platforms_and_those_of_its_files_and_images(
    empty: Catalog, product: ProductDocument
) -> None:
    new = {"productId": product["id"], "name": "tool"}
    declared = await send(empty, CREATE, **new, version="1.0", platforms=["Linux/AMD64"])
    filed = await send(empty, CREATE, **new, version="2.0", artifacts=[file("windows")])
    pictured = await send(empty, CREATE, **new, version="3.0", dockerImages=[image("linux/arm64")])
    loaded = await imported(empty, file("win64"), version="4.0", dockerImages=[image("linux/s390x")])
    assert loaded["platforms"] == [{"name": "win64"}, {"name": "linux/s390x"}]
    assert filed["platforms"] == []
    for release in (declared, filed, pictured, loaded):
        await empty.ask(PUBLISH, id=release["id"])
    assert await found(empty, "linux/amd64") == (["1.0"], "1.0")
    assert await found(empty, "AMD64") == (["1.0"], "1.0")
    assert await found(empty, "Windows") == (["2.0"], "2.0")
    assert await found(empty, "linux") == (["1.0", "3.0", "4.0"], "4.0")
    assert await found(empty, "arm64") == (["3.0"], "3.0")
    assert await found(empty, "WIN64") == (["4.0"], "4.0")
    assert await found(empty, "amd") == ([], None)


async def test_a_changed_release_is_found_by_its_platforms_of_now(
    empty: Catalog, product: ProductDocument
) -> None:
    made = await send(
        empty, CREATE, productId=product["id"], name="tool", version="1.0", artifacts=[file("linux")]
    )
    await send(empty, PATCH, id=made["id"], name="tool", artifacts=[file("windows")])
    assert [(await found(empty, platform))[0] for platform in ("linux", "windows")] == [["1.0"], ["1.0"]]
    await send(empty, REPLACE, id=made["id"], name="tool", artifacts=[file("windows")])
    assert [(await found(empty, platform))[0] for platform in ("linux", "windows")] == [[], ["1.0"]]


async def test_releases_of_an_older_form_are_found_once_they_are_migrated(empty: Catalog) -> None:
    await imported(empty, file("linux/amd64"), dockerImages=[image("windows")])
    old = old_forms.raw(empty.database).releases
    [before] = [release async for release in old.find()]
    terms = [term for term in before["terms"] if not term.startswith("platform:")]
    await old.update_many({}, {"$set": {"terms": terms, "form": 2}, "$unset": {"platformKeys": 1}})
    assert await found(empty, "amd64") == ([], None)
    await migrations.run(empty.database, asyncio.Event(), lambda *_: None)
    assert await found(empty, "amd64") == (["1.0"], None)
    assert await found(empty, "windows") == (["1.0"], None)
    assert [release async for release in old.find()] == [before]
