"""S4: the steps of a delivery and the runs of its pipeline: rules, retries, dry runs and races."""

import asyncio
from typing import Any

import pytest

from release_catalog.domain import release_delivery, timestamps
from release_catalog.domain.caller import local
from release_catalog.storage import release_delivery as stored_delivery
from release_catalog.storage.collection_names import EVENTS, EXECUTIONS, PRODUCTS, RELEASES
from support.catalog import Catalog

PROBLEM = "problem { __typename status detail ... on ValidationProblem { violations { field code } } ... on ConflictProblem { conflictingId } }"
SET = (
    "mutation($input: SetDeliveryStatusInput!) { setDeliveryStatus(input: $input) { release { id etag updatedAt delivery { status startDate endDate } } %s } }"
    % PROBLEM
)
RECORD = (
    "mutation($input: RecordPipelineExecutionInput!) { recordPipelineExecution(input: $input) { execution { id releaseId status startedAt endedAt } %s } }"
    % PROBLEM
)
PROJECT = {"projectId": "p", "projectStreamId": "s", "buildEnvironmentId": None, "priority": 1, "packageName": None,
           "requestAllFiles": False, "projectGroups": None}  # fmt: skip


async def step(catalog: Catalog, id_: str, status: str, **fields: Any) -> tuple[Any, Any]:
    answer = (await catalog.ask(SET, input={"releaseId": id_, "status": status, **fields}))["setDeliveryStatus"]
    assert (answer["release"] is None) != (answer["problem"] is None)
    return answer["release"], answer["problem"]


async def record(catalog: Catalog, id_: str, status: str, **fields: Any) -> tuple[Any, Any]:
    said = {"releaseId": id_, "pipelineId": "line", "status": status, **fields}
    answer = (await catalog.ask(RECORD, input=said))["recordPipelineExecution"]
    assert (answer["execution"] is None) != (answer["problem"] is None)
    return answer["execution"], answer["problem"]


async def delivered(catalog: Catalog, status: str = "NOT_STARTED", **fields: Any) -> str:
    """A release with a delivery through a pipeline that exists."""
    number = await catalog.database[PRODUCTS].count_documents({})
    product = await catalog.product(f"tool {number}")
    stored = release_delivery.NEW | {"status": status, "pipelineId": "line", "projects": [PROJECT], **fields}
    if not number:
        for id_ in ("line", "other"):
            await catalog.ask(
                'mutation($id: ID!) { savePipeline(input: {id: $id, name: "Line"}) { problem { detail } } }',
                id=id_,
            )
    return str((await catalog.put(product, "1", delivery=stored))["id"])


async def stored(catalog: Catalog, id_: str) -> Any:
    found = await catalog.database[RELEASES].find_one({"id": id_})
    assert found
    return found


async def events(catalog: Catalog) -> list[tuple[int, str]]:
    rows = catalog.database[EVENTS].find({}).sort("sequence", 1)
    return [(event["sequence"], event["type"]) async for event in rows]


async def found_by(catalog: Catalog, *statuses: str) -> list[str]:
    query = "query($s: [DeliveryStatus!]) { releases(filter: {deliveryStatus: $s}) { nodes { id } totalCount } }"
    page = (await catalog.ask(query, s=list(statuses)))["releases"]
    assert page["totalCount"] == len(page["nodes"])
    return [node["id"] for node in page["nodes"]]


async def test_a_delivery(empty: Catalog) -> None:
    id_ = await delivered(empty)
    etags = set()
    for status in ("STARTED", "SUSPENDED", "STARTED", "COMPLETED"):
        after, problem = await step(empty, id_, status)
        assert problem is None
        assert after["delivery"]["status"] == status
        assert after["delivery"]["startDate"] == after["updatedAt"][:10]
        assert after["delivery"]["endDate"] == (after["updatedAt"][:10] if status == "COMPLETED" else None)
        etags.add(after["etag"])
        document = await stored(empty, id_)
        assert document["delivery"] | after["delivery"] == document["delivery"]
        assert document["etag"] == after["etag"]
        assert [term for term in document["terms"] if term.startswith("delivery:")] == [f"delivery:{status}"]
        assert await found_by(empty, status) == [id_]
        assert await found_by(empty, *({"NOT_STARTED", "STARTED", "SUSPENDED", "COMPLETED"} - {status})) == []
    assert len(etags) == 4
    kinds = ["delivery.started", "delivery.suspended", "delivery.resumed", "delivery.completed"]
    assert await events(empty) == list(enumerate(kinds, 1))


async def test_refusals(empty: Catalog) -> None:
    id_ = await delivered(empty, projects=[])
    before = await stored(empty, id_)
    _, bare = await step(empty, id_, "STARTED")
    assert bare["violations"] == [{"field": "input.status", "code": "NO_PROJECT"}]
    for status in ("NOT_STARTED", "SUSPENDED", "COMPLETED"):
        _, wrong = await step(empty, id_, status)
        assert wrong["violations"] == [{"field": "input.status", "code": "WRONG_STATUS"}]
    _, stale = await step(empty, id_, "STARTED", ifMatch="stale")
    assert (stale["__typename"], stale["status"]) == ("PreconditionProblem", 412)
    for catalog, missing in ((empty, "nobody"), (empty.seen_by(local("another")), id_)):
        _, problem = await step(catalog, missing, "STARTED")
        assert (problem["__typename"], problem["status"]) == ("NotFoundProblem", 404)
    plain = (await empty.put(await empty.product("plain"), "1"))["id"]
    _, none = await step(empty, plain, "STARTED")
    assert none["violations"] == [{"field": "input.releaseId", "code": "NO_DELIVERY"}]
    assert await stored(empty, id_) == before
    assert await events(empty) == []


async def test_a_delivery_is_not_completed_while_its_pipeline_runs(empty: Catalog) -> None:
    id_, another = await delivered(empty, "STARTED"), await delivered(empty, "STARTED")
    await record(empty, another, "RUNNING")
    await record(empty, id_, "RUNNING", pipelineId="other")
    run, _ = await record(empty, id_, "RUNNING")
    _, problem = await step(empty, id_, "COMPLETED")
    assert problem["violations"] == [{"field": "input.status", "code": "RUNNING"}]
    await record(empty, id_, "FAILED", id=run["id"])
    after, _ = await step(empty, id_, "COMPLETED")
    assert after["delivery"]["status"] == "COMPLETED"


async def test_a_dry_run_leaves_no_trace(empty: Catalog) -> None:
    id_ = await delivered(empty)
    before = await stored(empty, id_)
    tried, _ = await step(empty, id_, "STARTED", dryRun=True, idempotencyKey="k")
    assert tried["delivery"]["status"] == "STARTED"
    assert await stored(empty, id_) == before
    assert await events(empty) == []
    assert await found_by(empty, "NOT_STARTED") == [id_]


async def test_the_same_idempotency_key_gives_the_first_answer_again(empty: Catalog) -> None:
    id_ = await delivered(empty)
    answers = await asyncio.gather(*(step(empty, id_, "STARTED", idempotencyKey="k") for _ in range(10)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0]["delivery"]["status"] == "STARTED"
    assert await events(empty) == [(1, "delivery.started")]
    _, other = await step(empty, id_, "SUSPENDED", idempotencyKey="k")
    assert other["__typename"] == "ConflictProblem"


async def test_of_many_with_one_etag_exactly_one_wins(empty: Catalog) -> None:
    id_ = await delivered(empty, "STARTED")
    etag = (await stored(empty, id_))["etag"]
    outcomes = await asyncio.gather(*(step(empty, id_, s, ifMatch=etag) for s in ["SUSPENDED", "COMPLETED"] * 5))
    assert len([answer for answer, _ in outcomes if answer]) == 1
    assert {problem["__typename"] for _, problem in outcomes if problem} == {"PreconditionProblem"}


async def test_runs_begin_and_end(empty: Catalog) -> None:
    id_ = await delivered(empty, "STARTED")
    begun, _ = await record(empty, id_, "RUNNING")
    assert (begun["releaseId"], begun["status"], begun["endedAt"]) == (id_, "RUNNING", None)
    assert (await record(empty, id_, "RUNNING", id=begun["id"]))[0] == begun
    ended, _ = await record(empty, id_, "SUCCEEDED", id=begun["id"])
    assert ended == {**begun, "status": "SUCCEEDED", "endedAt": ended["endedAt"]}
    assert timestamps.parse(ended["endedAt"]) >= timestamps.parse(begun["startedAt"])
    named, _ = await record(empty, id_, "FAILED", id="mine")
    assert named["id"] == "mine"
    assert named["startedAt"] == named["endedAt"]
    query = '{ pipeline(id: "line") { executions { id } running: executions(running: true) { id } } }'
    line = (await empty.ask(query))["pipeline"]
    assert {run["id"] for run in line["executions"]} == {begun["id"], "mine"}
    assert line["running"] == []
    document = await empty.database[EXECUTIONS].find_one({"id": "mine"})
    assert document
    assert document.keys() == {
        "_id", "id", "tenantId", "pipelineId", "releaseId", "status", "startedAt", "endedAt", "form"}  # fmt: skip


async def test_an_ended_run_does_not_change(empty: Catalog) -> None:
    id_ = await delivered(empty, "STARTED")
    ended, _ = await record(empty, id_, "FAILED", id="mine")
    for status in ("RUNNING", "SUCCEEDED"):
        _, problem = await record(empty, id_, status, id="mine")
        assert (problem["__typename"], problem["status"], problem["conflictingId"]) == (
            "ConflictProblem",
            409,
            "mine",
        )
    assert (await record(empty, id_, "FAILED", id="mine"))[0] == ended


async def test_runs_are_of_what_there_is(empty: Catalog) -> None:
    id_, another = await delivered(empty, "STARTED"), await delivered(empty, "STARTED")
    await record(empty, id_, "RUNNING", id="mine")
    _, moved = await record(empty, another, "SUCCEEDED", id="mine", pipelineId="other")
    assert moved["violations"] == [
        {"field": "input.pipelineId", "code": "FIXED"},
        {"field": "input.releaseId", "code": "FIXED"},
    ]
    _, unknown = await record(empty, id_, "RUNNING", pipelineId="nobody", id="x" * 256)
    assert unknown["violations"] == [
        {"field": "input.id", "code": "TOO_LONG"},
        {"field": "input.pipelineId", "code": "UNKNOWN"},
    ]
    for catalog, missing in ((empty, "nobody"), (empty.seen_by(local("another")), id_)):
        _, problem = await record(catalog, missing, "RUNNING")
        assert problem["__typename"] == "NotFoundProblem"
    assert await empty.database[EXECUTIONS].count_documents({}) == 1


async def test_ids_of_runs_are_each_tenants_own(empty: Catalog) -> None:
    id_ = await delivered(empty, "STARTED")
    other = empty.seen_by(local("another"))
    await record(empty, id_, "RUNNING", id="mine")
    await empty.database[PRODUCTS].delete_many({})
    theirs, problem = await record(other, await delivered(other, "STARTED"), "FAILED", id="mine")
    assert problem is None
    assert theirs["status"] == "FAILED"
    mine = await empty.database[EXECUTIONS].find_one({"releaseId": id_})
    assert mine
    assert mine["status"] == "RUNNING"


async def test_no_run_begins_for_what_is_completed(empty: Catalog) -> None:
    id_ = await delivered(empty, "COMPLETED")
    _, problem = await record(empty, id_, "RUNNING")
    assert problem["__typename"] == "ConflictProblem"
    for status, fields in (("SUCCEEDED", {}), ("RUNNING", {"pipelineId": "other"})):
        run, _ = await record(empty, id_, status, **fields)
        assert run["status"] == status


async def test_runs_that_begin_while_it_is_completed(empty: Catalog) -> None:
    """S4 rule 3 holds whichever comes first: they never both take effect."""
    for _ in range(15):
        id_ = await delivered(empty, "STARTED")
        calls = [record(empty, id_, "RUNNING"), step(empty, id_, "COMPLETED"), record(empty, id_, "RUNNING")]
        await asyncio.gather(*calls)
        status = (await stored(empty, id_))["delivery"]["status"]
        running = await empty.database[EXECUTIONS].count_documents({"releaseId": id_, "status": "RUNNING"})
        assert (status, running) in {("COMPLETED", 0), ("STARTED", 2)}


@pytest.mark.usefixtures("many_processes")
@pytest.mark.parametrize("first", ["run", "completion"])
async def test_a_run_and_a_completion_that_have_both_looked(
    empty: Catalog, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have judged what they read before either writes: one of them is made to look again."""
    id_ = await delivered(empty, "STARTED")
    looked, take_turns, arrived = asyncio.Event(), stored_delivery._take_turns, []

    async def together(*arguments: Any) -> None:
        arrived.append(1)
        if len(arrived) == 2:
            looked.set()
        await asyncio.wait_for(looked.wait(), 20)
        await take_turns(*arguments)

    monkeypatch.setattr(stored_delivery, "_take_turns", together)
    calls = [record(empty, id_, "RUNNING"), step(empty, id_, "COMPLETED")]
    outcomes = await asyncio.gather(*(calls if first == "run" else calls[::-1]))
    assert len([answer for answer, _ in outcomes if answer]) == 1
    assert len(arrived) >= 3


async def test_of_two_ends_of_a_run_one_stays(empty: Catalog) -> None:
    id_ = await delivered(empty, "STARTED")
    await record(empty, id_, "RUNNING", id="mine")
    outcomes = await asyncio.gather(*(record(empty, id_, s, id="mine") for s in ["SUCCEEDED", "FAILED"] * 5))
    assert len({answer["status"] for answer, _ in outcomes if answer}) == 1
    assert len([answer for answer, _ in outcomes if answer]) == 5


async def test_rules_read_documents_of_the_callers_tenant_only(empty: Catalog) -> None:
    await delivered(empty)
    for id_ in ("p", "q"):
        said = {"id": id_, "name": id_, "deploymentType": "FULL"}
        await empty.ask(
            "mutation($i: SaveProjectInput!) { saveProject(input: $i) { problem { detail } } }", i=said
        )
    wanted = release_delivery.References(frozenset({"line"}), frozenset({"Line"}), frozenset({"p", "nobody"}))
    known = await stored_delivery.known(empty.caller, empty.database, wanted, None)
    assert set(known.pipelines) == {"line", "other"}
    assert set(known.projects) == {"p"}
    known = await stored_delivery.known(local("another"), empty.database, wanted, None)
    assert not known.pipelines
    assert not known.projects
