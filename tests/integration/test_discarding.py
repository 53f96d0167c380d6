"""Drafts that are discarded: what goes with them, what stays, and who is told."""

import asyncio
from typing import Any

import pytest

from release_catalog.domain.caller import PROMOTE, READ, WEBHOOK, WRITE, Caller, local
from release_catalog.files import address_guard, verification, verifier
from release_catalog.storage import (
    event_log,
    migration_fills,
    migrations,
    reference_lookup,
    release_delivery,
    release_lifecycle,
)
from release_catalog.storage.collection_names import (
    COUNTERS,
    EVENTS,
    EXECUTIONS,
    PROMOTIONS,
    RELEASES,
    REQUESTS,
    VERIFICATIONS,
)
from release_catalog.storage.event_log import EventFilter
from support.catalog import Catalog, source
from support.promotions import environment, everything, promote

PROBLEM = "problem { __typename detail ... on ValidationProblem { violations { field code } } }"
DISCARD = (
    "mutation($input: DiscardReleaseInput!) { done: discardRelease(input: $input) { dryRun discardedId %s } }"
    % PROBLEM
)
RECORD = (
    """mutation($input: RecordPipelineExecutionInput!) { done: recordPipelineExecution(input: $input) {
  execution { id status } %s } }"""
    % PROBLEM
)
EVENTS_OF = "{ events { nodes { type actor data release { id } } } }"
READER = Caller("local", "reader", frozenset({READ}))


async def discard(catalog: Catalog, id_: str, **fields: Any) -> Any:
    return (await catalog.ask(DISCARD, input={"id": id_, **fields}))["done"]


async def done(catalog: Catalog, verb: str, **fields: Any) -> Any:
    text = f"mutation($input: {verb[0].upper()}{verb[1:]}Input!) {{ done: {verb}(input: $input) {{ {PROBLEM} }} }}"
    answer = (await catalog.ask(text, input=fields))["done"]
    assert answer["problem"] is None, answer
    return answer


async def draft(catalog: Catalog, name: str = "tool", version: str = "1", **fields: Any) -> Any:
    return await catalog.put(await catalog.product(name), version, **fields)


async def events(catalog: Catalog) -> list[Any]:
    nodes: list[Any] = (await catalog.ask(EVENTS_OF))["events"]["nodes"]
    return nodes


async def test_a_discarded_draft_is_gone_with_an_event_and_its_version_is_free(empty: Catalog) -> None:
    product = await empty.product("tool")
    made = await empty.put(product, "1", id="one", tag="v1")
    assert await discard(empty, "one") == {"dryRun": False, "discardedId": "one", "problem": None}
    found = await empty.ask('{ release(id: "one") { id } releases { totalCount } exportRelease(id: "one") }')
    assert found == {"release": None, "releases": {"totalCount": 0}, "exportRelease": None}
    [event] = await events(empty)
    assert (event["type"], event["actor"], event["release"]) == ("release.discarded", "local", None)
    assert (event["data"]["id"], event["data"]["version"], event["data"]["published"]) == ("one", "1", False)
    [stored] = [document async for document in empty.database[EVENTS].find({})]
    assert stored["triggeredAt"] > made["updatedAt"]
    # Nothing of the release is left.
    remains: Any = await empty.database[RELEASES].find_one({"_id": empty.caller.key("one")}, {"tag": 1, "name": 1})
    assert remains == {"_id": empty.caller.key("one"), "tag": None}
    again = await empty.put(product, "1")
    assert again["id"] != "one"
    assert (await discard(empty, "one"))["problem"]["__typename"] == "NotFoundProblem"


@pytest.mark.parametrize("status", ["PUBLISHED", "WITHDRAWN", "ARCHIVED"])
async def test_only_a_draft_can_be_discarded(empty: Catalog, status: str) -> None:
    made = await draft(empty, status=status)
    before = await everything(empty)
    answer = await discard(empty, made["id"])
    assert answer["problem"]["violations"] == [{"field": "input.id", "code": "WRONG_STATUS"}]
    assert await everything(empty) == before


async def test_a_dry_run_discards_nothing(empty: Catalog) -> None:
    made = await draft(empty)
    before = await everything(empty)
    answer = await discard(empty, made["id"], dryRun=True, idempotencyKey="k")
    assert answer == {"dryRun": True, "discardedId": made["id"], "problem": None}
    answer = await discard(empty, "nothing", dryRun=True)
    assert (answer["dryRun"], answer["discardedId"]) == (True, None)
    assert await everything(empty) == before


async def test_if_match_and_retries(empty: Catalog) -> None:
    made = await draft(empty)
    refused = await discard(empty, made["id"], ifMatch="other")
    assert refused["problem"]["__typename"] == "PreconditionProblem"
    first = await discard(empty, made["id"], ifMatch=made["etag"], idempotencyKey="k")
    assert first["discardedId"] == made["id"]
    assert await discard(empty, made["id"], ifMatch=made["etag"], idempotencyKey="k") == first
    other = await discard(empty, made["id"], idempotencyKey="k")
    assert other["problem"]["__typename"] == "ConflictProblem"
    assert len(await events(empty)) == 1
    assert await empty.database[REQUESTS].count_documents({}) == 1


@pytest.mark.usefixtures("many_processes")
async def test_of_concurrent_discardings_and_publications_one_takes_effect(empty: Catalog) -> None:
    for turn in range(4):
        made = await draft(empty, f"tool-{turn}")
        text = "mutation($id: ID!) { publishRelease(input: {id: $id}) { release { id } } }"
        *discarded, published = await asyncio.gather(
            discard(empty, made["id"]), discard(empty, made["id"]), empty.ask(text, id=made["id"])
        )
        effects = [answer["discardedId"] for answer in discarded] + [published["publishRelease"]["release"]]
        assert sorted(map(bool, effects)) == [False, False, True]
    assert len(await events(empty)) == 4


async def test_writers_are_checked_as_for_other_mutations(empty: Catalog) -> None:
    mine, theirs = await draft(empty, "mine"), await draft(empty, "theirs", status="PUBLISHED")
    hidden = await draft(empty, "hidden")
    for scopes in ({READ}, {PROMOTE}, {WEBHOOK}):
        answer = await discard(empty.seen_by(Caller("local", "x", frozenset(scopes))), mine["id"])
        assert answer["problem"]["__typename"] == "ForbiddenProblem"
    bound = empty.seen_by(Caller("local", "ci", frozenset({WRITE}), product=mine["productId"]))
    assert (await discard(bound, theirs["id"]))["problem"]["__typename"] == "ForbiddenProblem"
    assert (await discard(bound, hidden["id"]))["problem"]["__typename"] == "NotFoundProblem"
    assert (await discard(empty.seen_by(local("other")), mine["id"]))["problem"]["__typename"] == "NotFoundProblem"
    assert (await discard(bound, mine["id"]))["discardedId"] == mine["id"]


async def test_who_sees_drafts_is_told(empty: Catalog) -> None:
    """Also that it was there before, and a caller bound to the product as well."""
    made = await draft(empty)
    await draft(empty, "other")
    await done(empty, "patchRelease", id=made["id"], name="tool", notes="n")
    await discard(empty, made["id"])
    kinds = ["release.updated", "release.discarded"]
    bound = Caller("local", "ci", frozenset({WRITE}), product=made["productId"])
    elsewhere = Caller("local", "ci", frozenset({WRITE}), product="another")
    for caller, expected in ((empty.caller, kinds), (bound, kinds), (elsewhere, []), (READER, [])):
        assert [event["type"] for event in await events(empty.seen_by(caller))] == expected
        found, _ = await event_log.since(caller, empty.database, 0, EventFilter(), 10)
        assert [event["type"] for event in found] == expected
        headers = await event_log.following(empty.database, "local", 0)
        if caller is not bound:  # webhooks have no product
            told = [await event_log.whole(caller, empty.database, header) for header in headers]
            assert [event["type"] for event in told if event] == expected


async def test_references_by_the_id_of_a_discarded_draft_lead_by_name(empty: Catalog) -> None:
    target = await draft(empty, "lib")
    needed = [
        {"releaseId": target["id"], "name": "lib", "version": "1"},
        {"releaseId": None, "name": "x", "version": "1"},
    ]
    users = [
        await draft(empty, f"tool-{at}", dependencies=needed) for at in range(reference_lookup.MAKERS_AT_ONCE + 2)
    ]
    text = """query($id: ID!) { release(id: $id) { etag dependencies { edges { node { id }
      reference { releaseId name version } } } } }"""
    await discard(empty, target["id"])
    other = await empty.put(await empty.product("lib-2"), "1", "lib")
    for user in users:
        after = (await empty.ask(text, id=user["id"]))["release"]
        assert after["etag"] == user["etag"], "nobody has changed it"
        [edge, unknown] = after["dependencies"]["edges"]
        assert (edge["node"], unknown["node"]) == ({"id": other["id"]}, None)
        assert edge["reference"] == {"releaseId": target["id"], "name": "lib", "version": "1"}
    found = await empty.ask("query($id: ID!) { release(id: $id) { dependants { totalCount } } }", id=other["id"])
    assert found["release"]["dependants"]["totalCount"] == len(users)


async def test_references_to_a_discarded_draft_do_not_resolve(empty: Catalog) -> None:
    target = await draft(empty, "lib")
    needed = [{"releaseId": target["id"], "name": "lib", "version": "1"}, {"name": "lib", "version": "1"}]
    user = await draft(empty, "tool", dependencies=[{"releaseId": None, **one} for one in needed])
    old = await draft(empty, "old", status="PUBLISHED")
    await done(empty, "withdrawRelease", id=old["id"], reason="r", replacementId=target["id"])
    await discard(empty, target["id"])
    text = """query($user: ID!, $old: ID!) { release(id: $user) { dependencies { edges { node { id } } }
      dependencyGraph { nodes { id } unresolved { name } } }
      old: release(id: $old) { withdrawal { reason replacement { id } } } }"""
    found = await empty.ask(text, user=user["id"], old=old["id"])
    assert [edge["node"] for edge in found["release"]["dependencies"]["edges"]] == [None]
    assert found["old"]["withdrawal"] == {"reason": "r", "replacement": None}


async def test_its_runs_end_with_a_draft(empty: Catalog) -> None:
    await done(empty, "savePipeline", id="pipe", name="Pipe")
    made, other = await draft(empty), await draft(empty, "other")
    for id_, release in (("a", made), ("b", made), ("c", other)):
        fields = {"id": id_, "pipelineId": "pipe", "releaseId": release["id"], "status": "RUNNING"}
        await done(empty, "recordPipelineExecution", **fields)
    await discard(empty, made["id"])
    found = await empty.ask('{ pipeline(id: "pipe") { executions { id status } } }')
    assert found["pipeline"]["executions"] == [{"id": "c", "status": "RUNNING"}]
    late = {"id": "a", "pipelineId": "pipe", "releaseId": made["id"], "status": "SUCCEEDED"}
    assert (await empty.ask(RECORD, input=late))["done"]["problem"]["__typename"] == "NotFoundProblem"


@pytest.mark.usefixtures("many_processes")
@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED"])
async def test_no_run_outlives_a_draft_that_is_discarded_meanwhile(
    empty: Catalog, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have read the draft before either writes: one of them is made to look again."""
    await done(empty, "savePipeline", id="pipe", name="Pipe")
    made = await draft(empty)
    looked, take_turns, arrived = asyncio.Event(), release_delivery._take_turns, []

    async def together(*arguments: Any) -> None:
        arrived.append(1)
        if len(arrived) == 2:
            looked.set()
        await asyncio.wait_for(looked.wait(), 60)
        await take_turns(*arguments)

    monkeypatch.setattr(release_delivery, "_take_turns", together)
    fields = {"pipelineId": "pipe", "releaseId": made["id"], "status": status}
    answer, _ = await asyncio.gather(discard(empty, made["id"]), empty.ask(RECORD, input=fields))
    assert answer["discardedId"] == made["id"]
    assert await empty.database[EXECUTIONS].count_documents({}) == 0


async def test_its_verification_ends_with_a_draft(empty: Catalog) -> None:
    file = {"name": "f", "size": 1, "sha256": "a" * 64, "downloadUrl": "https://downloads.example/f"}
    text = """mutation($input: ImportReleaseInput!) { importRelease(input: $input) { catalogId } }"""
    asked = {
        "projectIdentifier": "tool",
        "release": source("tool", artifacts=[file]),
        "verification": "BACKGROUND",
    }
    id_ = (await empty.ask(text, input=asked))["importRelease"]["catalogId"]
    assert await empty.database[VERIFICATIONS].count_documents({}) == 1
    await discard(empty, id_)
    assert await empty.database[VERIFICATIONS].count_documents({}) == 0
    async with verifier.Fetcher(address_guard.parse(""), max_bytes=1, at_once=1) as files:
        assert not await verification.process_next_job(empty.database, files, verification.WorkerShutdown())


async def test_a_draft_that_is_discarded_while_others_are_read_is_passed_over(empty: Catalog) -> None:
    """Its key is still there, without a release."""
    made, hub = await draft(empty), await draft(empty, "hub", status="PUBLISHED")
    values = {"id": hub["id"], "reason": "r"}
    notice = await release_lifecycle._look(empty.caller, empty.database, values)
    await discard(empty, made["id"])
    answer: Any = await release_lifecycle._withdrawn(empty.caller, empty.database, values, notice)
    assert (answer["release"]["status"], answer["affectedCount"]) == ("WITHDRAWN", 0)
    assert await reference_lookup.resolve_references(empty.caller, empty.database, [f"#{made['id']}"]) == {}
    old: Any = {
        **await draft(empty, "old", dependencies=[{"releaseId": made["id"], "name": "tool", "version": "1"}])
    }
    old |= {"_id": empty.caller.key(old["id"]), "terms": []}
    known = await migration_fills.edges(empty.database, [old])
    assert [one["missing"] for one in known[empty.caller.key(old["id"])]["dependencies"]] == [True]


async def test_a_draft_with_a_record_in_the_ledger_stays(empty: Catalog) -> None:
    await environment(empty, "QA")
    made = await draft(empty)
    record, _ = await promote(empty, made["id"])
    assert record["status"] == "REJECTED"
    answer = await discard(empty, made["id"])
    assert answer["problem"]["violations"] == [{"field": "input.id", "code": "IN_LEDGER"}]
    assert await empty.database[PROMOTIONS].count_documents({}) == 1


async def test_migrations_leave_discarded_drafts_alone(empty: Catalog) -> None:
    made = await draft(empty)
    await discard(empty, made["id"])
    assert "releases-1" not in await migrations.pending(empty.database)
    before = await everything(empty)
    await migrations.run(empty.database, asyncio.Event(), lambda *_: None)
    assert (await everything(empty))["releases"] == before["releases"]
    assert await empty.database[COUNTERS].count_documents({}) > 0


async def test_a_retry_of_the_creation_of_a_discarded_draft_gets_the_first_answer(empty: Catalog) -> None:
    product = await empty.product("tool")
    text = """mutation($input: CreateReleaseInput!) { createRelease(input: $input) {
      release { id name product { key } } problem { detail } } }"""
    asked = {"productId": product["id"], "name": "tool", "version": "1", "idempotencyKey": "k"}
    first = await empty.ask(text, input=asked)
    await discard(empty, first["createRelease"]["release"]["id"])
    assert await empty.ask(text, input=asked) == first
