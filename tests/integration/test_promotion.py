"""S3: promoting and rolling back through the schema, on what is stored."""

import asyncio
import itertools
import random
from typing import Any

import orjson
import pytest

from conftest import connected
from release_catalog.domain import ledger, timestamps
from release_catalog.domain.caller import PROMOTE, READ, Caller, local
from release_catalog.domain.events import EventDocument
from release_catalog.storage import ledger as stored_ledger
from release_catalog.storage.collection_names import CONTENTS, COUNTERS, EVENTS, META, RELEASES
from support.catalog import Catalog
from support.promotions import (
    digest,
    environment,
    everything,
    file,
    held,
    image,
    promote,
    published,
    records,
    roll_back,
)

DIGEST = f"h/b@sha256:{'b' * 64}"
MAVEN: dict[str, Any] = {"repositoryKey": "maven", "packageType": "maven"}
NO_KEYS: dict[str, Any] = {}


@pytest.fixture
async def qa(empty: Catalog) -> Catalog:
    """A catalog with an environment QA, and PROD, which requires it."""
    await environment(empty, "QA")
    await environment(empty, "PROD", "QA")
    return empty


async def verified(catalog: Catalog, witness: str | None = None) -> list[str]:
    found = stored_ledger.verify(catalog.caller, catalog.database, ledger.HashChain(witness))
    return [wrong async for wrong in found]


def codes(problem: Any) -> list[tuple[str, str]]:
    return [(violation["field"].removeprefix("input."), violation["code"]) for violation in problem["violations"]]


async def events(catalog: Catalog) -> list[EventDocument]:
    return [event async for event in catalog.database[EVENTS].find({}).sort("sequence", 1)]


# What is promoted, and what is kept of it.


async def test_s3_a_promotion_is_a_record_contents_and_an_event(qa: Catalog) -> None:
    id_ = await published(
        qa,
        file("a.jar", 1, path="org/a.jar", **MAVEN),
        file("b.txt", 2),
        file("c.txt", 3, repositoryKey="raw"),
        file("d.txt", 4, path="elsewhere/d.txt", packageType="npm"),
        dockerImages=[image(f"h/other@sha256:{'A' * 64}", "other")],
    )
    record, problem = await promote(qa, id_)
    assert problem is None
    expected = [
        ("maven/org/a.jar", digest(1), "maven", "maven"),
        ("tool/1/b.txt", digest(2), "generic", "tool"),
        ("raw/1/c.txt", digest(3), "generic", "raw"),
        ("tool/1/d.txt", digest(4), "generic", "tool"),
        ("tool/1/other", "a" * 64, "docker", "tool"),
    ]
    assert [tuple(artifact.values()) for artifact in record["artifacts"]] == expected
    assert (record["status"], record["sequence"], record["previousHash"]) == ("COMPLETED", 1, None)
    assert (record["createdBy"], record["messages"], record["checkedWebhooks"]) == ("local", [], [])
    assert record["createdMillis"] == timestamps.milliseconds(timestamps.parse(record["created"]))
    assert record["serviceId"].startswith("release-catalog@")
    [stored] = await records(qa)
    assert ledger.digest(stored) == stored["hash"] == record["hash"]
    contents = [content async for content in qa.database[CONTENTS].find({}, {"_id": 0})]
    assert contents == [
        {"tenantId": "local", "environment": "QA", "path": path, "checksum": checksum, "packageType": kind,
         "releaseId": id_, "promotionId": record["id"], "since": stored["created"],
         "form": 2}
        for path, checksum, kind, _ in expected
    ]  # fmt: skip
    [event] = await events(qa)
    assert (event["type"], event["releaseId"], event["sequence"]) == ("promotion.completed", id_, 1)
    assert event["triggeredAt"] == stored["created"]
    data = orjson.loads(event["data"])
    assert data["totalFiles"] == 4
    assert data["promotion"]["environment"] == "QA"
    assert data["promotion"]["artifacts"] == record["artifacts"]
    assert data["promotion"]["hash"] == record["hash"]
    assert data["ledger"] == {"sequence": 1, "hash": record["hash"]}
    head = await qa.database[COUNTERS].find_one({"_id": "local/ledger"})
    assert head
    assert (head["sequence"], head["hash"]) == (1, record["hash"])


@pytest.mark.parametrize(
    ("included", "excluded", "paths"),
    [
        (None, None, ["maven/a", "raw/b", "tool/1/c"]),
        ([], [], ["maven/a", "raw/b", "tool/1/c"]),
        (["maven", "tool"], None, ["maven/a", "tool/1/c"]),
        (["maven"], ["maven"], ["maven/a"]),
        ([], ["raw", "unknown"], ["maven/a", "tool/1/c"]),
        (["tool"], [], ["tool/1/c"]),
    ],
)
async def test_s3_an_include_list_wins(qa: Catalog, included: Any, excluded: Any, paths: list[str]) -> None:
    files = (file("a", path="a", **MAVEN), file("b", path="b", repositoryKey="raw"), file("c"))
    id_ = await published(qa, *files)
    record, problem = await promote(qa, id_, includedRepositoryKeys=included, excludedRepositoryKeys=excluded)
    assert problem is None
    assert sorted(await held(qa)) == [artifact["path"] for artifact in record["artifacts"]] == paths
    assert record["includedRepositoryKeys"] == (included or [])
    assert record["excludedRepositoryKeys"] == (excluded or [])


async def test_s3_the_service_is_one_for_all_tenants_for_good(qa: Catalog) -> None:
    tenants = [qa, *(qa.seen_by(local(f"t{number}")) for number in range(8))]
    ids = []
    for each in tenants:
        if each is not qa:
            await environment(each, "QA")
        ids.append(await published(each, file("a")))
    answers = await asyncio.gather(*(promote(each, id_) for each, id_ in zip(tenants, ids, strict=True)))
    assert len({record["serviceId"] for record, _ in answers}) == 1
    assert {record["sequence"] for record, _ in answers} == {1}
    assert await qa.database[META].count_documents({}) == 1


# Refusals.


async def refused(catalog: Catalog, id_: str, to: str = "QA", **fields: Any) -> tuple[Any, Any]:
    """Return the result of a refused promotion, which leaves a record, an event and nothing else."""
    before, number = await held(catalog, to), len(await records(catalog))
    record, problem = await promote(catalog, id_, to, **fields)
    assert (record["status"], record["sequence"]) == ("REJECTED", number + 1)
    assert await held(catalog, to) == before
    assert (await events(catalog))[-1]["type"] == "promotion.rejected"
    stored = (await records(catalog))[-1]
    assert (stored["status"], stored["hash"]) == ("REJECTED", record["hash"])
    assert stored["messages"] == record["messages"]
    assert "before" not in stored
    if problem["__typename"] == "ValidationProblem":
        assert record["messages"] == [violation["message"] for violation in problem["violations"]]
    return record, problem


@pytest.mark.parametrize("status", ["DRAFT", "WITHDRAWN", "ARCHIVED"])
async def test_s3_only_published_releases_are_promoted(qa: Catalog, status: str) -> None:
    record, problem = await refused(qa, await published(qa, file("a"), status=status))
    assert codes(problem) == [("releaseId", "WRONG_STATUS")]
    assert record["messages"] == [
        f"The release is {status}: publish it before its promotion, or promote a PUBLISHED one."
    ]
    assert [artifact["path"] for artifact in record["artifacts"]] == ["tool/1/a"]


async def test_s3_required_environments_must_be_reached_first(qa: Catalog) -> None:
    id_, other = await published(qa, file("a")), await published(qa, file("b", 2), version="2")
    record, problem = await refused(qa, id_, "PROD")
    assert codes(problem) == [("environment", "NOT_REACHED")]
    assert record["messages"] == ["PROD requires QA, which tool 1 has not reached: promote it to QA first."]
    await promote(qa, other)
    await refused(qa, id_, "PROD")
    await promote(qa, id_, includedRepositoryKeys=["none"])
    await refused(qa, id_, "PROD")
    reached, _ = await promote(qa, id_)
    assert (await promote(qa, id_, "PROD"))[1] is None
    await roll_back(qa, reached["id"])
    await refused(qa, id_, "PROD")
    await promote(qa, id_)
    assert (await promote(qa, id_, "PROD"))[1] is None


async def test_s3_a_mismatch_is_not_promoted_unless_it_is_not_chosen(qa: Catalog) -> None:
    id_ = await published(qa, file("bad", status="MISMATCH"), file("good", 2, repositoryKey="raw"))
    _, problem = await refused(qa, id_)
    assert codes(problem) == [("releaseId", "MISMATCH")]
    assert (await promote(qa, id_, excludedRepositoryKeys=["tool"]))[1] is None


async def test_s3_a_promotion_without_files_is_refused(qa: Catalog) -> None:
    empty, id_ = await published(qa), await published(qa, file("a"), version="2")
    for some, fields, field in (
        (empty, NO_KEYS, "releaseId"),
        (id_, {"includedRepositoryKeys": ["raw"]}, "includedRepositoryKeys"),
        (id_, {"excludedRepositoryKeys": ["tool"]}, "excludedRepositoryKeys"),
    ):
        record, problem = await refused(qa, some, **fields)
        assert codes(problem) == [(field, "NOTHING_CHOSEN")]
        assert record["artifacts"] == []


async def test_s3_two_files_of_a_release_can_not_have_one_path(qa: Catalog) -> None:
    same = await published(qa, file("a", 1), file("a", 1), dockerImages=[image(DIGEST), image(DIGEST)])
    assert len((await promote(qa, same))[0]["artifacts"]) == 2
    other = await published(qa, file("a", 1), file("a", 2), version="2", dockerImages=[image(DIGEST, "a")])
    record, problem = await refused(qa, other)
    assert codes(problem) == [("releaseId", "SAME_PATH")]
    assert "tool/2/a" in record["messages"][0]
    assert len(record["artifacts"]) == 3


async def test_s3_the_longest_repository_key_can_be_chosen(qa: Catalog) -> None:
    id_ = await published(qa, file("a"), file("b", 2), key="k" * 256)
    await qa.database[RELEASES].update_one({}, {"$set": {"artifacts.0.repositoryKey": "r" * 256}})
    for key in ("k" * 256, "r" * 256):
        record, problem = await promote(qa, id_, includedRepositoryKeys=[key])
        assert problem is None
        assert [artifact["repositoryKey"] for artifact in record["artifacts"]] == [key]


async def test_s3_another_file_at_a_path_is_replaced_only_on_demand(qa: Catalog) -> None:
    at = {"path": "a", **MAVEN}
    first, same, other = [
        await published(qa, file("a", number, **at), version=str(version))
        for version, number in enumerate((1, 1, 2))
    ]
    await promote(qa, first)
    assert (await promote(qa, same))[1] is None
    _, problem = await refused(qa, other)
    assert (problem["__typename"], problem["status"]) == ("ConflictProblem", 409)
    assert "maven/a" in problem["detail"]
    assert await held(qa) == {"maven/a": digest(1)}
    record, problem = await promote(qa, other, overwriteExistingArtifacts=True)
    assert problem is None
    assert record["overwriteExistingArtifacts"] is True
    assert await held(qa) == {"maven/a": digest(2)}


async def test_s3_all_reasons_come_together(qa: Catalog) -> None:
    at = {"path": "a", **MAVEN}
    await promote(qa, first := await published(qa, file("a", 1, **at)))
    await promote(qa, first, "PROD")
    files = (file("a", 2, "MISMATCH", **at), file("b", 3), file("b", 4))
    id_ = await published(qa, *files, version="2", status="WITHDRAWN")
    record, problem = await refused(qa, id_, "PROD")
    assert codes(problem) == [
        ("releaseId", "WRONG_STATUS"), ("environment", "NOT_REACHED"), ("releaseId", "MISMATCH"),
        ("releaseId", "SAME_PATH"), ("overwriteExistingArtifacts", "PATH_TAKEN"),
    ]  # fmt: skip
    assert len(record["messages"]) == 5
    assert {artifact["path"] for artifact in record["artifacts"]} == {"maven/a", "tool/2/b"}
    assert await verified(qa) == []


async def test_s3_unknown_ids_leave_no_record(qa: Catalog) -> None:
    id_ = await published(qa, file("a"))
    before = await everything(qa)
    for release, to in (("x", "QA"), (id_, "x")):
        assert (await promote(qa, release, to, idempotencyKey="k"))[0] is None
        assert (await promote(qa, release, to))[1]["__typename"] == "NotFoundProblem"
    keys: dict[str, Any] = {
        "includedRepositoryKeys": ["", "x" * 257, "ok", "a\nb"],
        "excludedRepositoryKeys": ["x"] * 1001,
    }
    record, problem = await promote(qa, id_, **keys)
    assert record is None
    assert codes(problem) == [
        ("includedRepositoryKeys[0]", "REQUIRED"), ("includedRepositoryKeys[1]", "TOO_LONG"),
        ("includedRepositoryKeys[3]", "CONTROL_CHARACTER"), ("excludedRepositoryKeys", "TOO_MANY"),
    ]  # fmt: skip
    assert await everything(qa) == before


async def test_visibility_lets_another_tenant_and_a_reader_find_nothing(qa: Catalog) -> None:
    id_ = await published(qa, file("a"), private=True)
    record, _ = await promote(qa, id_)
    reader = Caller("local", "reader", frozenset({READ}))
    for caller in (local("another"), reader):
        other = qa.seen_by(caller)
        if caller is not reader:
            assert (await promote(other, id_))[1]["__typename"] == "NotFoundProblem"
            assert (await roll_back(other, record["id"]))[1]["__typename"] == "NotFoundProblem"
        seen = await other.ask('{ promotions { totalCount } environment(name: "QA") { contents { totalCount } } }')
        assert seen["promotions"]["totalCount"] == 0
        assert not (seen["environment"] and seen["environment"]["contents"]["totalCount"])
    again, problem = await promote(qa.seen_by(Caller("local", "ann", frozenset({PROMOTE}))), id_)
    assert (again["createdBy"], problem) == ("ann", None)


# Retries and dry runs.


async def test_a_dry_run_leaves_no_trace(qa: Catalog) -> None:
    id_ = await published(qa, file("a"))
    before = await everything(qa)
    tried, problem = await promote(qa, id_, dryRun=True, idempotencyKey="k")
    assert (tried["status"], tried["sequence"], tried["release"], problem) == ("COMPLETED", 1, {"id": id_}, None)
    record, problem = await promote(qa, id_, "PROD", dryRun=True)
    assert (record["status"], codes(problem)) == ("REJECTED", [("environment", "NOT_REACHED")])
    assert await everything(qa) == before
    real, _ = await promote(qa, id_, idempotencyKey="k")
    before = await everything(qa)
    undone, problem = await roll_back(qa, real["id"], dryRun=True)
    assert (undone["status"], problem) == ("ROLLED_BACK", None)
    assert await everything(qa) == before


async def test_the_same_idempotency_key_gives_the_first_answer_again(qa: Catalog) -> None:
    id_ = await published(qa, file("a"))
    first = await promote(qa, id_, idempotencyKey="k")
    assert await promote(qa, id_, idempotencyKey="k") == first
    undone = await roll_back(qa, first[0]["id"], idempotencyKey="r")
    assert await roll_back(qa, first[0]["id"], idempotencyKey="r") == undone
    assert undone[1] is None
    assert len(await records(qa)) == 2
    _, problem = await promote(qa, id_, "PROD", idempotencyKey="k")
    assert problem["__typename"] == "ConflictProblem"


async def test_the_same_idempotency_key_gives_a_refusal_again(qa: Catalog) -> None:
    at = {"path": "a", **MAVEN}
    id_ = await published(qa, file("a", 1, **at))
    await promote(qa, await published(qa, file("b", 2, **at), version="2"))
    invalid = await promote(qa, id_, "PROD", idempotencyKey="k")
    taken = await promote(qa, id_, idempotencyKey="l")
    assert [problem["__typename"] for _, problem in (invalid, taken)] == ["ValidationProblem", "ConflictProblem"]
    before = await everything(qa)
    await qa.database[CONTENTS].delete_many({})
    before.pop("contents")
    assert await promote(qa, id_, "PROD", idempotencyKey="k") == invalid
    assert await promote(qa, id_, idempotencyKey="l") == taken
    assert await everything(qa) == before


# Rolling back.


async def test_s3_rolling_back_restores_what_was_there(qa: Catalog) -> None:
    at = {"path": "a", **MAVEN}
    old = await published(qa, file("a", 1, **at))
    new = await published(qa, file("a", 2, **at), file("b", 3), version="2")
    first, _ = await promote(qa, old)
    before = await qa.database[CONTENTS].find_one({"path": "maven/a"}, {"_id": 0})
    second, _ = await promote(qa, new, overwriteExistingArtifacts=True, excludedRepositoryKeys=["x"])
    # What is in production is a fact, whatever becomes of the release.
    await qa.database[RELEASES].update_many({}, {"$set": {"status": "WITHDRAWN"}})
    record, problem = await roll_back(qa, second["id"], reason="It\nfails.")
    assert problem is None
    assert (record["status"], record["messages"]) == ("ROLLED_BACK", ["It\nfails."])
    assert record["artifacts"] == second["artifacts"]
    assert (record["environment"], record["release"], record["version"]) == ("QA", {"id": new}, "2")
    assert (record["excludedRepositoryKeys"], record["overwriteExistingArtifacts"]) == (["x"], True)
    assert [await qa.database[CONTENTS].find_one({}, {"_id": 0})] == [before]
    assert await held(qa) == {"maven/a": digest(1)}
    stored = (await records(qa))[-1]
    assert (stored["undoes"], stored["sequence"]) == (second["id"], 3)
    assert [event["type"] for event in await events(qa)] == ["promotion.completed"] * 2 + ["promotion.rolled_back"]
    assert (await roll_back(qa, first["id"]))[1] is None
    assert await held(qa) == {}
    assert await verified(qa) == []


async def test_s3_only_what_is_completed_is_rolled_back_and_only_once(qa: Catalog) -> None:
    id_ = await published(qa, file("a"))
    done, _ = await promote(qa, id_)
    rejected, _ = await promote(qa, id_, "PROD", includedRepositoryKeys=["x"])
    undone, _ = await roll_back(qa, done["id"])
    before = await everything(qa)
    _, problem = await roll_back(qa, done["id"])
    assert (problem["__typename"], problem["conflictingId"]) == ("ConflictProblem", undone["id"])
    for each in (rejected, undone):
        _, problem = await roll_back(qa, each["id"], reason="")
        assert codes(problem) == [("reason", "REQUIRED"), ("promotionId", "WRONG_STATUS")]
    _, problem = await roll_back(qa, "x", reason="x" * 4097)
    assert problem["__typename"] == "NotFoundProblem"
    assert await everything(qa) == before


async def test_s3_a_rollback_keeps_files_of_later_promotions(qa: Catalog) -> None:
    at = {"path": "a", **MAVEN}
    made = [await published(qa, file("a", n, **at), file("b", n), version=str(n)) for n in (1, 2, 3)]
    done = [(await promote(qa, id_, overwriteExistingArtifacts=True))[0] for id_ in made]
    record, _ = await roll_back(qa, done[1]["id"])
    assert [artifact["path"] for artifact in record["artifacts"]] == ["tool/2/b"]
    assert await held(qa) == {"maven/a": digest(3), "tool/1/b": digest(1), "tool/3/b": digest(3)}
    # What was rolled back itself does not come back.
    await roll_back(qa, done[2]["id"])
    assert await held(qa) == {"maven/a": digest(1), "tool/1/b": digest(1)}


async def test_a_promotion_from_before_contents_were_remembered_can_be_rolled_back(stocked: Catalog) -> None:
    old = await stocked.ask('{ environment(name: "QA") { promotions { nodes { id } } } }')
    [node] = old["environment"]["promotions"]["nodes"]
    record, problem = await roll_back(stocked, node["id"], dryRun=True)
    assert (record["sequence"], len(record["artifacts"]), problem) == (3, 3, None)
    assert await verified(stocked) == []


@pytest.mark.parametrize("seed", range(4))
async def test_any_promotions_and_rollbacks_leave_what_a_model_tells(qa: Catalog, seed: int) -> None:
    """At each path lies what the last promotion brought that is not rolled back."""
    chance = random.Random(seed)
    files = {
        str(v): [file(f, chance.randrange(3), path=f, **MAVEN) for f in "abcd" if chance.random() < 0.7]
        for v in range(5)
    }
    ids = {version: await published(qa, *some, version=version) for version, some in files.items()}
    layers: list[tuple[str, dict[str, str]]] = []

    def model() -> dict[str, str]:
        return {path: checksum for _, brought in layers for path, checksum in brought.items()}

    for _ in range(40):
        if layers and chance.random() < 0.45:
            at = chance.randrange(len(layers))
            assert (await roll_back(qa, layers.pop(at)[0]))[1] is None
        else:
            version, overwrite = chance.choice(sorted(files)), chance.random() < 0.6
            brought = {f"maven/{f['path']}": f["sha256"] for f in files[version]}
            now = model()
            fits = overwrite or all(now.get(path, checksum) == checksum for path, checksum in brought.items())
            record, problem = await promote(qa, ids[version], overwriteExistingArtifacts=overwrite)
            assert (problem is None) == (record["status"] == "COMPLETED") == (fits and bool(brought))
            if problem is None:
                layers.append((record["id"], brought))
        assert await held(qa) == model()
    assert await verified(qa) == []


# Many at once, and much.


async def test_s3_of_two_files_for_one_path_exactly_one_arrives(qa: Catalog) -> None:
    at = {"path": "a", **MAVEN}
    ids = [await published(qa, file("a", n, **at), version=str(n)) for n in range(2)]
    for number in range(5):
        await environment(qa, to := f"E{number}")
        answers = await asyncio.gather(*(promote(qa, id_, to) for id_ in ids))
        assert sorted(record["status"] for record, _ in answers) == ["COMPLETED", "REJECTED"]
        [winner] = [record for record, problem in answers if problem is None]
        assert await held(qa, to) == {"maven/a": winner["artifacts"][0]["checksum"]}
    assert await verified(qa) == []


async def test_s3_of_two_files_for_one_path_from_two_processes_exactly_one_arrives(
    qa: Catalog, mongodb_url: str, driver: Any
) -> None:
    ids = [await published(qa, file("a", n, path="a", **MAVEN), version=str(n)) for n in range(4)]
    tos = [f"E{number}" for number in range(6)]
    for to in tos:
        await environment(qa, to)

    async def work(id_: str) -> list[Any]:
        async with connected(mongodb_url, qa.database.name, driver=driver) as database:
            return [(await promote(Catalog(database, qa.caller), id_, to))[0] for to in tos]

    # Threads with loops and clients of their own are to the database what processes are.
    answers = await asyncio.gather(*(asyncio.to_thread(asyncio.run, work(id_)) for id_ in ids))
    for to, some in zip(tos, zip(*answers, strict=True), strict=True):
        [winner] = [record for record in some if record["status"] == "COMPLETED"]
        assert await held(qa, to) == {"maven/a": winner["artifacts"][0]["checksum"]}
    assert [record["sequence"] for record in await records(qa)] == list(range(1, 25))
    assert await verified(qa) == []


@pytest.mark.usefixtures("patient")
async def test_one_rollback_of_many_at_once_takes_effect(qa: Catalog) -> None:
    record, _ = await promote(qa, await published(qa, file("a")))
    answers = await asyncio.gather(*(roll_back(qa, record["id"]) for _ in range(8)))
    assert [problem["__typename"] for _, problem in answers if problem] == ["ConflictProblem"] * 7
    assert [record["status"] for record in await records(qa)] == ["COMPLETED", "ROLLED_BACK"]


@pytest.mark.usefixtures("patient")
async def test_s3_the_chain_of_many_promotions_at_once_is_whole(qa: Catalog) -> None:
    ids = [await published(qa, file("a", n), version=str(n)) for n in range(120)]
    answers = await asyncio.gather(*(promote(qa, id_) for id_ in ids))
    assert not [problem for _, problem in answers if problem]
    assert sorted(record["sequence"] for record, _ in answers) == list(range(1, 121))
    found = await records(qa)
    assert [record["sequence"] for record in found] == list(range(1, 121))
    assert all(a["created"] < b["created"] for a, b in itertools.pairwise(found))
    assert len(await held(qa)) == 120
    assert await verified(qa) == []


async def test_promotions_in_one_millisecond_have_addresses_of_their_own(
    qa: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_, now = await published(qa, file("a")), timestamps.now()
    monkeypatch.setattr(timestamps, "now", lambda: now)
    for _ in range(3):
        await promote(qa, id_)
    assert len({record["created"] for record in await records(qa)}) == 3


async def test_a_release_of_a_thousand_files_needs_few_reads(qa: Catalog) -> None:
    ids = [
        await published(qa, *(file(f"f{n}", n, path=f"f{n}", **MAVEN) for n in range(1000)), version=v)
        for v in "12"
    ]
    record, _ = await promote(qa, ids[0])
    assert len(record["artifacts"]) == len(await held(qa)) == 1000
    second, _ = await promote(qa, ids[1])
    assert qa.commands.reads.total() < 12
    await roll_back(qa, second["id"])
    assert qa.commands.reads.total() < 12
    assert await qa.database[CONTENTS].count_documents({"promotionId": record["id"]}) == 1000
