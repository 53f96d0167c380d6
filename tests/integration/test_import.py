"""S1: importing releases and verifying their files, now and later."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog.testing
from pymongo import AsyncMongoClient

from release_catalog.domain.caller import local
from release_catalog.files import address_guard, verifier
from release_catalog.files import verification as verifying
from release_catalog.storage import verification_jobs as stored_jobs
from release_catalog.storage.collection_names import (
    EVENTS,
    PRODUCTS,
    RELEASES,
    REQUESTS,
    VERIFICATIONS,
    CollectionName,
)
from support import file_server as serving
from support.catalog import Catalog, source

IMPORT = """mutation($input: ImportReleaseInput!) { importRelease(input: $input) { catalogId name version status message
  warnings { artifactName message expectedSha256 actualSha256 }
  release { id etag status name version tag createdAt importedAt importedStatus notes author metadata platforms { name } channel revision
    branch description product { id key name versionScheme } artifacts { id name sha256 size
      verification { status expectedSha256 actualSha256 actualSize message checkedAt } }
    dockerImages { name platform { name } } dependencies { edges { reference { releaseId name version } node { id } } } }
  problem { __typename status detail ... on ValidationProblem { violations { field code } } ... on ConflictProblem { conflictingId } } } }"""
VERIFY = """mutation($id: ID!, $mode: VerificationMode!) { verifyArtifacts(input: {releaseId: $id, verification: $mode}) {
  release { id artifacts { name verification { status message } } } warnings { artifactName expectedSha256 actualSha256 }
  problem { __typename } } }"""


@pytest.fixture
async def files(empty: Catalog) -> AsyncIterator[serving.Files]:
    """Files that the catalog may fetch."""
    allowed = address_guard.parse("127.0.0.0/8")
    async with (
        serving.serving() as server,
        verifier.Fetcher(allowed, max_bytes=1 << 30, at_once=4, seconds=20) as f,
    ):
        empty.files = f
        yield server


def file(files: serving.Files, name: str, content: bytes = b"content", **given: Any) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"name": name, "size": len(content), "sha256": digest, "downloadUrl": files.put(name, content), **given}


async def take(catalog: Catalog, document: dict[str, Any], project: str | None = None, **given: Any) -> Any:
    asked = {"projectIdentifier": project or document["project"], "release": document, **given}
    answer = (await catalog.ask(IMPORT, input=asked))["importRelease"]
    assert (answer["release"] is None) != (answer["problem"] is None)
    return answer


async def events(catalog: Catalog) -> list[str]:
    return [event["type"] async for event in catalog.database[EVENTS].find({}).sort("sequence", 1)]


async def statuses(catalog: Catalog) -> list[str]:
    [release] = [document async for document in catalog.database[RELEASES].find({})]
    return [artifact["verification"]["status"] for artifact in release["artifacts"]]


async def test_s1_all_metadata_is_restored(empty: Catalog, files: serving.Files) -> None:
    given = source(
        "tool", "1.0~weird", tag="v1", createdAt="2020-02-02T02:02:02Z", status="released", releaseNotes="# n", metadata={"a": 1},
        projectIdentifier={"any": "thing"},
        artifacts=[file(files, "a.exe", platform="win64", isExecutable=True, arguments="-x", metadata={"$k": 1})],
        dockerImages=[{"name": "i", "imageUrl": "hub/i:1", "platform": "linux/amd64"}],
        dependencies=[{"name": "lib", "version": "1.0"}, {"catalogId": "x1", "name": "zlib", "version": "2"}],
    )  # fmt: skip
    answer = await take(empty, given)
    made = answer["release"]
    assert answer["problem"] is None
    assert (answer["catalogId"], answer["name"], answer["version"], answer["status"]) == (
        made["id"], "tool", "1.0~weird", "DRAFT",
    )  # fmt: skip
    assert [warning["message"] for warning in answer["warnings"]] == [
        "The product 'tool' did not exist: it was created with the version scheme ANY.",
        "The dependency lib 1.0 does not exist yet: save it, or correct the reference.",
        "The dependency zlib 2 does not exist yet: save it, or correct the reference.",
    ]
    assert (made["tag"], made["createdAt"], made["importedStatus"], made["notes"]) == (
        "v1", "2020-02-02T02:02:02Z", "released", "# n",
    )  # fmt: skip
    assert [platform["name"] for platform in made["platforms"]] == ["win64", "linux/amd64"]
    assert (made["author"], made["metadata"], made["product"]["key"]) == ("builds@acme.example", {"a": 1}, "tool")
    assert made["product"]["versionScheme"] == "ANY"
    assert made["importedAt"]
    assert [edge["reference"]["releaseId"] for edge in made["dependencies"]["edges"]] == [None, "x1"]
    [artifact] = made["artifacts"]
    verification = artifact["verification"]
    assert (verification["status"], verification["actualSha256"], verification["actualSize"]) == (
        "VERIFIED", artifact["sha256"], 7,
    )  # fmt: skip
    assert verification["checkedAt"]
    assert await events(empty) == ["release.imported", "artifact.verified"]


async def test_s1_files_that_differ_are_warnings_and_the_release_is_imported(
    empty: Catalog, files: serving.Files
) -> None:
    good, long, wrong, gone = (file(files, name) for name in ("good", "long", "wrong", "gone"))
    files.contents |= {"/long": b"content!", "/wrong": b"Content"}
    del files.contents["/gone"]
    await empty.product("tool")
    answer = await take(empty, source("tool", artifacts=[good, long, wrong, gone]))
    found = [artifact["verification"]["status"] for artifact in answer["release"]["artifacts"]]
    assert found == ["VERIFIED", "MISMATCH", "MISMATCH", "UNREACHABLE"]
    assert [warning["artifactName"] for warning in answer["warnings"]] == ["long", "wrong", "gone"]
    assert {warning["expectedSha256"] for warning in answer["warnings"]} == {good["sha256"]}
    digests = [hashlib.sha256(content).hexdigest() for content in (b"content!", b"Content")]
    assert [warning["actualSha256"] for warning in answer["warnings"]] == [*digests, None]
    verified = [artifact["verification"]["actualSha256"] for artifact in answer["release"]["artifacts"]]
    assert verified == [good["sha256"], *digests, None]
    assert all(warning["message"] for warning in answer["warnings"])
    assert "3 of 4 files" in answer["message"]
    text = "mutation($id: ID!) { publishRelease(input: {id: $id}) { problem { __typename } } }"
    refused = await empty.ask(text, id=answer["catalogId"])
    assert refused["publishRelease"]["problem"] == {"__typename": "ValidationProblem"}


@pytest.mark.parametrize("url", ["files/a.bin", "ftp://h/a.bin", "javascript:alert(1)", "https:///a.bin"])
@pytest.mark.parametrize("mode", ["WAIT", "BACKGROUND", "SKIP"])
async def test_s1_a_url_that_can_not_be_fetched_is_kept_with_a_warning(
    empty: Catalog, files: serving.Files, url: str, mode: str
) -> None:
    await empty.product("tool")
    wrong = {**file(files, "a.bin"), "downloadUrl": url}
    for dry_run in (True, False):
        answer = await take(empty, source("tool", artifacts=[wrong]), verification=mode, dryRun=dry_run)
        assert [warning["artifactName"] for warning in answer["warnings"]] == ["a.bin"]
        [verification] = [artifact["verification"] for artifact in answer["release"]["artifacts"]]
        assert (verification["status"], verification["actualSha256"]) == ("UNREACHABLE", None)
        assert verification["message"]
    assert files.asked == []
    id_ = answer["catalogId"]
    verified = (await empty.ask(VERIFY, id=id_, mode=mode))["verifyArtifacts"]
    assert [artifact["verification"]["status"] for artifact in verified["release"]["artifacts"]] == ["UNREACHABLE"]
    again = await take(empty, source("tool", artifacts=[wrong]), verification="SKIP")
    assert again["release"]["artifacts"][0]["verification"]["status"] == "UNREACHABLE"
    text = """mutation($input: PatchReleaseInput!) { patchRelease(input: $input) { release { artifacts { downloadUrl } }
      problem { ... on ValidationProblem { violations { field code } } } } }"""
    kept = await empty.ask(text, input={"id": id_, "name": "tool", "artifacts": [{**wrong, "arguments": "-x"}]})
    assert kept["patchRelease"]["release"]["artifacts"] == [{"downloadUrl": url}]
    other = await empty.ask(
        text, input={"id": id_, "name": "tool", "artifacts": [{**wrong, "downloadUrl": "x/y"}]}
    )
    assert other["patchRelease"]["problem"]["violations"] == [
        {"field": "input.artifacts[0].downloadUrl", "code": "NOT_A_URL"}
    ]


async def test_s1_a_draft_is_replaced_and_stays_the_same_release(empty: Catalog, files: serving.Files) -> None:
    first = await take(empty, source("tool", tag="v1", artifacts=[file(files, "a"), file(files, "b")]))
    text = 'mutation($id: ID!) { patchRelease(input: {id: $id, name: "tool", description: "d", branch: "b"}) { problem { detail } } }'
    await empty.ask(text, id=first["catalogId"])
    second = await take(
        empty, {**source("tool", artifacts=[file(files, "b"), file(files, "c", b"C")]), "name": "Tool"}
    )
    assert second["catalogId"] == first["catalogId"]
    after = second["release"]
    assert (after["tag"], after["description"], after["branch"], after["name"]) == (None, None, None, "Tool")
    before = {artifact["name"]: artifact["id"] for artifact in first["release"]["artifacts"]}
    assert [artifact["name"] for artifact in after["artifacts"]] == ["b", "c"]
    assert after["artifacts"][0]["id"] == before["b"]
    assert await empty.database[RELEASES].count_documents({}) == 1
    failed = await take(empty, source("tool"), onConflict="FAIL")
    assert failed["problem"]["conflictingId"] == first["catalogId"]
    assert failed["message"]


@pytest.mark.parametrize("status", ["PUBLISHED", "WITHDRAWN", "ARCHIVED"])
async def test_s1_a_published_release_is_never_overwritten(
    empty: Catalog, files: serving.Files, status: str
) -> None:
    made = await take(empty, source("tool", artifacts=[file(files, "a")]))
    await empty.database[RELEASES].update_one({"id": made["catalogId"]}, {"$set": {"status": status}})
    answer = await take(empty, source("tool"))
    assert (answer["problem"]["__typename"], answer["problem"]["conflictingId"]) == (
        "ConflictProblem",
        made["catalogId"],
    )
    assert await statuses(empty) == ["VERIFIED"]


async def test_s1_the_project_is_the_one_of_the_request(empty: Catalog, files: serving.Files) -> None:
    product = await empty.product("key", name="Name")
    for number, (identifier, project) in enumerate(
        [("key", "key"), ("key", product["id"]), ("key", "Name"), (product["id"], "key"), (product["id"], "Name")]
    ):
        answer = await take(empty, source("tool", str(number), project=project), identifier)
        assert answer["release"]["product"]["id"] == product["id"]
    answer = await take(empty, source("tool", "9", project="other"), "key")
    assert answer["problem"]["violations"] == [{"field": "input.release.project", "code": "ANOTHER_PROJECT"}]
    answer = await take(empty, source("tool", "9", project="new"), "newer")
    assert answer["problem"]["violations"] == [{"field": "input.release.project", "code": "ANOTHER_PROJECT"}]
    assert await empty.database[PRODUCTS].count_documents({}) == 1


async def test_s1_all_violations_come_together_and_nothing_is_fetched(
    empty: Catalog, files: serving.Files
) -> None:
    bad = source("tool", "", author="nobody", artifacts=[file(files, "a", sha256="x"), file(files, "b", size=-1)])
    bad["dependencies"] = [{"name": "tool", "version": "x"}, {"catalogId": "..", "name": "a", "version": "1"}]
    answer = await take(
        empty, {**bad, "version": "x", "baseImageId": "none", "delivery": {"status": "COMPLETED"}}, "other"
    )
    assert {(v["field"].removeprefix("input.release."), v["code"]) for v in answer["problem"]["violations"]} == {
        ("author", "NOT_AN_EMAIL"), ("artifacts[0].sha256", "NOT_A_SHA256"), ("artifacts[1].size", "NOT_A_SIZE"),
        ("dependencies[0]", "DEPENDS_ON_ITSELF"), ("dependencies[1].catalogId", "NOT_AN_ID"), ("baseImageId", "UNKNOWN"),
        ("delivery.status", "WRONG_STATUS"), ("project", "ANOTHER_PROJECT"),
    }  # fmt: skip
    assert files.asked == []
    assert await empty.database[PRODUCTS].count_documents({}) == 0
    no_author = source("tool")
    del no_author["author"]
    answer = await take(empty, no_author)
    assert answer["problem"]["violations"] == [{"field": "input.release.author", "code": "REQUIRED"}]


async def test_a_dry_run_fetches_and_stores_nothing(empty: Catalog, files: serving.Files) -> None:
    answer = await take(empty, source("tool", artifacts=[file(files, "a")]), dryRun=True)
    assert answer["release"]["status"] == "DRAFT"
    assert files.asked == []
    for name in ("releases", "products", "catalogs", "events", "requests", "verifications"):
        assert await empty.database[CollectionName[Any](name)].count_documents({}) == 0


async def test_skip_hashes_none(empty: Catalog, files: serving.Files) -> None:
    answer = await take(empty, source("tool", artifacts=[file(files, "a")]), verification="SKIP")
    assert [a["verification"]["status"] for a in answer["release"]["artifacts"]] == ["SKIPPED"]
    assert files.asked == []


async def test_the_same_idempotency_key_while_the_first_import_still_runs(
    empty: Catalog, files: serving.Files
) -> None:
    files.free.clear()
    document = source("tool", artifacts=[file(files, "a")])
    first = asyncio.create_task(take(empty, document, idempotencyKey="k"))
    await files.arrived.get()
    others = await asyncio.gather(*(take(empty, document, idempotencyKey="k") for _ in range(20)))
    assert {other["problem"]["__typename"] for other in others} == {"ConflictProblem"}
    assert all("still running" in other["problem"]["detail"] for other in others)
    other = await take(empty, source("another"), idempotencyKey="k")
    assert "Another input" in other["problem"]["detail"]
    files.free.set()
    made = await first
    assert await take(empty, document, idempotencyKey="k") == made
    assert files.asked == ["/a"]
    assert await events(empty) == ["release.imported", "artifact.verified"]


async def test_ignored_fields_do_not_change_the_idempotency_fingerprint(
    empty: Catalog, files: serving.Files
) -> None:
    deep: Any = 0
    for _ in range(300):
        deep = [deep]
    first = await take(empty, {**source("tool"), "projectIdentifier": deep}, idempotencyKey="k")
    assert await take(empty, {**source("tool"), "projectIdentifier": 1}, idempotencyKey="k") == first
    other = await take(empty, {**source("tool", "2.0"), "projectIdentifier": deep}, idempotencyKey="k")
    assert "Another input" in other["problem"]["detail"]


async def test_a_refused_import_gives_its_idempotency_key_back(empty: Catalog, files: serving.Files) -> None:
    refused = await take(empty, source("tool", author="x"), idempotencyKey="k")
    assert refused["problem"]["status"] == 400
    assert await empty.database[REQUESTS].count_documents({}) == 0
    assert (await take(empty, source("tool"), idempotencyKey="k"))["problem"] is None


async def test_an_idempotency_lock_whose_process_died_is_taken_over(empty: Catalog, files: serving.Files) -> None:
    document = source("tool", artifacts=[file(files, "a")])
    files.free.clear()
    first = asyncio.create_task(take(empty, document, idempotencyKey="k"))
    await files.arrived.get()
    await empty.database[REQUESTS].update_many({}, [{"$set": {"busyUntil": "$$NOW"}}])
    files.free.set()
    second = await take(empty, document, idempotencyKey="k")
    assert second["release"]
    # The one that was thought dead hears the answer of the other, and nothing is made twice.
    late = await first
    assert late == second or "still running" in late["problem"]["detail"]
    assert await events(empty) == ["release.imported", "artifact.verified"]


# ------------------------------------------------------------------ later


async def test_files_are_looked_at_later(empty: Catalog, files: serving.Files) -> None:
    wrong = file(files, "wrong")
    files.contents["/wrong"] = b"Content"
    answer = await take(empty, source("tool", artifacts=[file(files, "a"), wrong]), verification="BACKGROUND")
    assert {a["verification"]["status"] for a in answer["release"]["artifacts"]} == {"PENDING"}
    assert files.asked == []
    assert empty.files
    assert await verifying.process_next_job(empty.database, empty.files, verifying.WorkerShutdown())
    assert await statuses(empty) == ["VERIFIED", "MISMATCH"]
    assert not await verifying.process_next_job(empty.database, empty.files, verifying.WorkerShutdown())
    assert await events(empty) == ["release.imported", "artifact.verified", "artifact.mismatched"]
    found = await empty.ask("{ releases(filter: {verification: [MISMATCH]}) { totalCount } }")
    assert found["releases"]["totalCount"] == 1


async def test_of_many_workers_one_does_the_job(empty: Catalog, files: serving.Files) -> None:
    await take(empty, source("tool", artifacts=[file(files, "a")]), verification="BACKGROUND")
    assert empty.files
    done = await asyncio.gather(
        *(verifying.process_next_job(empty.database, empty.files, verifying.WorkerShutdown()) for _ in range(20))
    )
    assert sum(done) == 1
    assert files.asked == ["/a"]
    assert await events(empty) == ["release.imported", "artifact.verified"]


async def test_a_job_whose_worker_died_is_done_by_another_and_once(empty: Catalog, files: serving.Files) -> None:
    await take(empty, source("tool", artifacts=[file(files, "a")]), verification="BACKGROUND")
    assert empty.files
    files.free.clear()
    stalled = asyncio.create_task(
        verifying.process_next_job(empty.database, empty.files, verifying.WorkerShutdown())
    )
    await files.arrived.get()
    assert await stored_jobs.claim_job(empty.database) is None
    await empty.database[VERIFICATIONS].update_many({}, [{"$set": {"leaseUntil": "$$NOW"}}])
    files.free.set()
    await verifying.process_next_job(empty.database, empty.files, verifying.WorkerShutdown())
    await stalled
    assert await events(empty) == ["release.imported", "artifact.verified"]


async def test_a_job_that_can_not_be_done_leaves_the_workers_to_the_others(
    empty: Catalog, files: serving.Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter(range(2 * verifying.JOBS_AT_ONCE))

    async def take_(*about: Any) -> Any:
        if next(failures, None) is not None:
            raise RuntimeError("a bug")
        return await taken(*about)

    taken = stored_jobs.claim_job
    monkeypatch.setattr(stored_jobs, "claim_job", take_)
    monkeypatch.setattr(verifying, "_IDLE_SECONDS", 0.01)
    await take(empty, source("tool", artifacts=[file(files, "a")]), verification="BACKGROUND")
    assert empty.files
    with structlog.testing.capture_logs() as logged:
        async with verifying.run_workers(empty.database, empty.files), asyncio.timeout(60):
            while await statuses(empty) != ["VERIFIED"]:  # noqa: ASYNC110  it waits for the database
                await asyncio.sleep(0.01)
    assert len(logged) == 2 * verifying.JOBS_AT_ONCE


async def test_a_verification_result_does_not_apply_to_other_bytes(empty: Catalog, files: serving.Files) -> None:
    first = file(files, "a")
    answer = await take(empty, source("tool", artifacts=[first, file(files, "b")]), verification="BACKGROUND")
    assert empty.files
    files.free.clear()
    working = asyncio.create_task(
        verifying.process_next_job(empty.database, empty.files, verifying.WorkerShutdown())
    )
    assert {await files.arrived.get() for _ in "ab"} == {"/a", "/b"}
    text = 'mutation($id: ID!, $file: ArtifactInput!) { patchRelease(input: {id: $id, name: "tool", artifacts: [$file]}) { problem { detail } } }'
    await empty.ask(text, id=answer["catalogId"], file={**first, "size": 8})
    files.free.set()
    await working
    assert await statuses(empty) == ["SKIPPED", "VERIFIED"]


@pytest.mark.parametrize("mode", ["WAIT", "BACKGROUND"])
async def test_no_event_tells_of_files_that_were_replaced_meanwhile(
    empty: Catalog, files: serving.Files, mode: str
) -> None:
    first = file(files, "a")
    answer = await take(empty, source("tool", artifacts=[first]), verification="SKIP")
    if mode == "BACKGROUND":
        await empty.ask(VERIFY, id=answer["catalogId"], mode=mode)
    assert empty.files
    files.free.clear()
    looking: Any = (
        empty.ask(VERIFY, id=answer["catalogId"], mode=mode)
        if mode == "WAIT"
        else verifying.process_next_job(empty.database, empty.files, verifying.WorkerShutdown())
    )
    working = asyncio.create_task(looking)
    await files.arrived.get()
    text = 'mutation($id: ID!, $file: ArtifactInput!) { patchRelease(input: {id: $id, name: "tool", artifacts: [$file]}) { release { etag } } }'
    patched = await empty.ask(text, id=answer["catalogId"], file={**first, "sha256": "b" * 64})
    told = await events(empty)
    files.free.set()
    await working
    assert await statuses(empty) == ["SKIPPED"]
    assert await events(empty) == told
    [kept] = [release async for release in empty.database[RELEASES].find({})]
    assert kept["etag"] == patched["patchRelease"]["release"]["etag"]


async def test_looking_at_no_files_changes_nothing(empty: Catalog, files: serving.Files) -> None:
    made = await take(empty, source("tool"))
    for mode in ("WAIT", "BACKGROUND", "SKIP"):
        answer = (await empty.ask(VERIFY, id=made["catalogId"], mode=mode))["verifyArtifacts"]
        assert (answer["release"]["id"], answer["warnings"]) == (made["catalogId"], [])
    [kept] = [release async for release in empty.database[RELEASES].find({})]
    assert kept["etag"] == made["release"]["etag"]
    assert await events(empty) == ["release.imported"]


async def test_files_are_looked_at_again(empty: Catalog, files: serving.Files) -> None:
    id_ = (await take(empty, source("tool", artifacts=[file(files, "a")])))["catalogId"]
    files.contents["/a"] = b"CONTENT"
    again = (await empty.ask(VERIFY, id=id_, mode="WAIT"))["verifyArtifacts"]
    assert again["release"]["artifacts"][0]["verification"]["status"] == "MISMATCH"
    assert again["warnings"][0]["actualSha256"] == hashlib.sha256(b"CONTENT").hexdigest()
    files.contents["/a"] = b"content"
    later = (await empty.ask(VERIFY, id=id_, mode="BACKGROUND"))["verifyArtifacts"]
    assert later["release"]["artifacts"][0]["verification"]["status"] == "PENDING"
    never = (await empty.ask(VERIFY, id=id_, mode="SKIP"))["verifyArtifacts"]
    assert never["release"]["artifacts"][0]["verification"]["status"] == "SKIPPED"
    assert await empty.database[VERIFICATIONS].count_documents({}) == 0
    await empty.ask(VERIFY, id=id_, mode="BACKGROUND")
    assert empty.files
    assert await verifying.process_next_job(empty.database, empty.files, verifying.WorkerShutdown())
    assert await statuses(empty) == ["VERIFIED"]
    missing = (await empty.ask(VERIFY, id="nobody", mode="WAIT"))["verifyArtifacts"]
    assert missing["problem"] == {"__typename": "NotFoundProblem"}
    empty.caller = local("another")
    assert (await empty.ask(VERIFY, id=id_, mode="WAIT"))["verifyArtifacts"]["problem"]


@pytest.mark.parametrize("driver", [AsyncMongoClient])
async def test_workers_stop_at_once(empty: Catalog, files: serving.Files) -> None:
    assert empty.files
    for turn in range(100):
        async with asyncio.timeout(60), verifying.run_workers(empty.database, empty.files):
            await asyncio.sleep(turn / 20_000)
