"""Publishing, archiving, withdrawing: rules, retries, dry runs and races."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release_catalog.domain import lifecycle, release_parts, timestamps
from release_catalog.domain.caller import local
from release_catalog.storage.collection_names import EVENTS, PRODUCTS, RELEASES, REQUESTS
from support.catalog import Catalog

VERB = """mutation($input: %(kind)sReleaseInput!) { %(verb)sRelease(input: $input) { release { id status etag publishedAt
  archivedAt updatedAt withdrawal { reason withdrawnBy replacement { id } } }
  problem { __typename status detail ... on ValidationProblem { violations { field code } } } %(more)s } }"""
STATUS = {"publish": "PUBLISHED", "archive": "ARCHIVED", "withdraw": "WITHDRAWN"}


async def do(catalog: Catalog, verb: str, id_: str, **fields: Any) -> tuple[Any, Any]:
    more = "affectedCount" if verb == "withdraw" else ""
    if verb == "withdraw":
        fields = {"reason": "It leaks.", **fields}
    text = VERB % {"verb": verb, "kind": verb.capitalize(), "more": more}
    answer = (await catalog.ask(text, input={"id": id_, **fields}))[f"{verb}Release"]
    assert (answer["release"] is None) != (answer["problem"] is None)
    return (answer["release"] and {**answer["release"], "affected": answer.get("affectedCount")}), answer[
        "problem"
    ]


async def events(catalog: Catalog) -> list[tuple[int, str]]:
    return [
        (event["sequence"], event["type"]) async for event in catalog.database[EVENTS].find({}).sort("sequence", 1)
    ]


async def draft(catalog: Catalog, **fields: Any) -> str:
    product = await catalog.product(f"tool {await catalog.database[PRODUCTS].count_documents({})}")
    return str((await catalog.put(product, "1", **fields))["id"])


async def test_a_life(empty: Catalog) -> None:
    id_ = await draft(empty)
    published, _ = await do(empty, "publish", id_)
    assert published["status"] == "PUBLISHED"
    assert published["publishedAt"] == published["updatedAt"]
    withdrawn, _ = await do(empty, "withdraw", id_)
    assert withdrawn["withdrawal"] == {"reason": "It leaks.", "withdrawnBy": "local", "replacement": None}
    archived, _ = await do(empty, "archive", id_)
    assert archived["archivedAt"]
    assert len({published["etag"], withdrawn["etag"], archived["etag"]}) == 3
    assert await events(empty) == [(1, "release.published"), (2, "release.withdrawn"), (3, "release.archived")]
    stored = await empty.database[RELEASES].find_one({"id": id_})
    assert stored
    assert stored["status"] == "ARCHIVED"


verbs = st.lists(st.sampled_from(sorted(STATUS)), max_size=5)


@given(verbs)
@settings(max_examples=200)
def test_only_the_steps_of_the_model_are_taken(steps: list[str]) -> None:
    allowed = {
        ("DRAFT", "PUBLISHED"),
        ("PUBLISHED", "WITHDRAWN"),
        ("PUBLISHED", "ARCHIVED"),
        ("WITHDRAWN", "ARCHIVED"),
    }
    status = "DRAFT"
    for step in steps:
        to = STATUS[step]
        made: Any = {"status": status, "artifacts": []}
        taken = not lifecycle.check_transition(made, to)
        assert taken == ((status, to) in allowed)
        status = to if taken else status


async def test_no_release_is_published_with_a_file_that_is_not_what_it_says(empty: Catalog) -> None:
    now = timestamps.now()
    file = {"name": "f", "sha256": "a" * 64, "size": 1, "downloadUrl": "http://h/f"}
    made = release_parts.artifact(now, **file)
    made["verification"] = {**made["verification"], "status": "MISMATCH"}
    id_ = await draft(empty, artifacts=[made])
    _, problem = await do(empty, "publish", id_)
    assert problem["violations"] == [{"field": "input.id", "code": "MISMATCH"}]
    assert await events(empty) == []


async def test_refusals(empty: Catalog) -> None:
    id_ = await draft(empty)
    _, missing = await do(empty, "publish", "nobody")
    assert (missing["__typename"], missing["status"]) == ("NotFoundProblem", 404)
    _, early = await do(empty, "withdraw", id_, reason="", replacementId=id_)
    assert {(v["field"], v["code"]) for v in early["violations"]} == {
        ("input.id", "WRONG_STATUS"), ("input.reason", "REQUIRED"), ("input.replacementId", "UNKNOWN"),
    }  # fmt: skip
    _, stale = await do(empty, "publish", id_, ifMatch="stale")
    assert (stale["__typename"], stale["status"]) == ("PreconditionProblem", 412)
    _, long = await do(empty, "publish", id_, idempotencyKey="x" * 256)
    assert long["violations"] == [{"field": "input.idempotencyKey", "code": "WRONG_LENGTH"}]
    assert await events(empty) == []


async def test_withdrawing_tells_how_many_are_affected_and_what_to_use_instead(empty: Catalog) -> None:
    base = await empty.product("base")
    first = await empty.put(base, "1", status="PUBLISHED")
    second = await empty.put(base, "2", status="PUBLISHED")
    app = await empty.product("app")
    needs: list[dict[str, Any]] = [{"name": "base", "version": "1"}]
    await empty.put(app, "1", name="a", status="PUBLISHED", dependencies=needs)
    await empty.put(app, "2", name="b", status="PUBLISHED", dependencies=[{"name": "a", "version": "1"}])
    await empty.put(app, "3", name="c", dependencies=[{"name": "a", "version": "1"}])
    await empty.put(app, "4", name="d", status="PUBLISHED", dependencies=[{"name": "c", "version": "3"}])
    withdrawn, _ = await do(empty, "withdraw", first["id"], replacementId=second["id"])
    assert withdrawn["affected"] == 3
    assert withdrawn["withdrawal"]["replacement"] == {"id": second["id"]}


async def test_a_dry_run_leaves_no_trace(empty: Catalog) -> None:
    id_ = await draft(empty)
    before = [document async for document in empty.database[RELEASES].find({})]
    tried, _ = await do(empty, "publish", id_, dryRun=True, idempotencyKey="k")
    assert tried["status"] == "PUBLISHED"
    assert [document async for document in empty.database[RELEASES].find({})] == before
    assert await events(empty) == []
    assert await empty.database[REQUESTS].count_documents({}) == 0
    real, _ = await do(empty, "publish", id_, idempotencyKey="k")
    assert real["status"] == "PUBLISHED"


async def test_the_same_idempotency_key_gives_the_first_answer_again(empty: Catalog) -> None:
    id_ = await draft(empty)
    first, _ = await do(empty, "publish", id_, idempotencyKey="k")
    again, _ = await do(empty, "publish", id_, idempotencyKey="k")
    assert again == first
    assert len(await events(empty)) == 1
    for verb, fields in (("archive", {}), ("publish", {"ifMatch": first["etag"]})):
        _, other = await do(empty, verb, id_, idempotencyKey="k", **fields)
        assert (other["__typename"], other["status"]) == ("ConflictProblem", 409)
    await empty.database[REQUESTS].update_many({}, [{"$set": {"expiresAt": "$$NOW"}}])
    _, late = await do(empty, "publish", id_, idempotencyKey="k")
    assert late["violations"] == [{"field": "input.id", "code": "WRONG_STATUS"}]


async def test_the_same_idempotency_key_many_times_at_once_publishes_once(empty: Catalog) -> None:
    id_ = await draft(empty)
    outcomes = await asyncio.gather(*(do(empty, "publish", id_, idempotencyKey="k") for _ in range(30)))
    assert all(answer for answer, _ in outcomes)
    assert len({answer["etag"] for answer, _ in outcomes}) == 1
    assert await events(empty) == [(1, "release.published")]


async def test_of_many_with_one_etag_exactly_one_wins(empty: Catalog) -> None:
    id_ = await draft(empty)
    published, _ = await do(empty, "publish", id_)
    outcomes = await asyncio.gather(
        *(do(empty, verb, id_, ifMatch=published["etag"]) for verb in ["archive", "withdraw"] * 10)
    )
    assert len([answer for answer, _ in outcomes if answer]) == 1
    assert {problem["__typename"] for _, problem in outcomes if problem} == {"PreconditionProblem"}
    assert [number for number, _ in await events(empty)] == [1, 2]


async def test_events_of_many_writers_are_numbered_without_gaps(empty: Catalog) -> None:
    ids = [await draft(empty) for _ in range(20)]
    await asyncio.gather(*(do(empty, "publish", id_) for id_ in ids))
    assert [number for number, _ in await events(empty)] == list(range(1, 21))


@pytest.mark.parametrize("verb", STATUS)
async def test_another_tenant_finds_nothing_to_change(empty: Catalog, verb: str) -> None:
    id_ = await draft(empty)
    _, problem = await do(empty.seen_by(local("another")), verb, id_)
    assert problem["__typename"] == "NotFoundProblem"
