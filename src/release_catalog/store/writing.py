"""Writing: one transaction holds a document, its event and the memory of the request.

A request with an idempotency key is remembered for 24 hours with its answer. Of two that come at once the later
collides on that memory; MongoDB has it repeated, and it finds the answer of the first.
"""

import dataclasses
import datetime
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from release_catalog import problems
from release_catalog.domain import events, ids, instants
from release_catalog.domain.caller import Caller
from release_catalog.problems import Problem, Violation
from release_catalog.store import database as db
from release_catalog.store.database import Database, Document

Given = Mapping[str, Any]
Answer = Document | Problem

REMEMBERED = datetime.timedelta(hours=24)
MAX_KEY = 255


class _Undone(Exception):  # noqa: N818  it carries an answer out of a transaction that is to leave no trace
    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


async def once(
    caller: Caller, database: Database, verb: str, given: Given, work: Callable[[Any], Awaitable[Answer]]
) -> Answer:
    """The answer of `work`, which writes in the session that it gets; a refusal leaves no trace.

    An answer that holds a refusal as its `problem` is kept, with all that was written, and remembered.
    `given` may hold an `idempotencyKey`, under which the same input gets the first answer again, and `dryRun`,
    with which everything is tried and nothing kept.
    """
    key, dry = given.get("idempotencyKey"), given.get("dryRun")
    if key is not None and not 1 <= len(key) <= MAX_KEY:
        message = f"A key has 1 to {MAX_KEY} characters; this one has {len(key)}."
        return problems.Invalid(violations=[Violation("input.idempotencyKey", message, "WRONG_LENGTH")])
    fingerprint = _fingerprint(verb, given)

    async def attempt(session: Any) -> Answer:
        known = await _remembered(caller, database, key, session) if key is not None and not dry else None
        if known:
            return _again(known, fingerprint)
        answer = await work(session)
        if dry or isinstance(answer, Problem):
            raise _Undone(answer)
        if key is not None:
            memory: Document = {"tenantId": caller.tenant, "fingerprint": fingerprint, "answer": _stored(answer)}
            memory["expiresAt"] = instants.now() + REMEMBERED
            await database.requests.replace_one({"_id": caller.key(key)}, memory, upsert=True, session=session)
        return answer

    try:
        return await db.transaction(database, attempt)
    except _Undone as undone:
        return undone.answer


def _fingerprint(verb: str, given: Given) -> str:
    asked = {"verb": verb, **{name: value for name, value in given.items() if name != "idempotencyKey"}}
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


async def _remembered(caller: Caller, database: Database, key: str, session: Any) -> Document | None:
    fresh = {"_id": caller.key(key), "expiresAt": {"$gt": instants.now()}}
    return await database.requests.find_one(fresh, session=session)


def _again(known: Document, fingerprint: str) -> Answer:
    if known["fingerprint"] != fingerprint:
        detail = "This idempotency key came with another input before: give each request a key of its own."
        return problems.Conflict(detail=detail)
    answer: Document = known["answer"]
    if refusal := answer.get("problem"):
        refusal["violations"] = [Violation(**violation) for violation in refusal["violations"]]
        kind, fields = refusal.pop("kind"), {name: value for name, value in refusal.items() if value}
        answer["problem"] = getattr(problems, kind)(**fields)
    return answer


def _stored(answer: Document) -> Document:
    """An answer as data: the refusal that it may hold is none."""
    refusal = answer.get("problem")
    if refusal is None:
        return answer
    fields = {"violations": [], **dataclasses.asdict(refusal), "kind": type(refusal).__name__}
    return {**answer, "problem": fields}


async def happened(
    caller: Caller,
    database: Database,
    kind: str,
    release: Document,
    session: Any,
    promotion: Document | None = None,
) -> None:
    """Write an event about a release, or about its promotion.

    Its number comes from the tenant's counter, which the transaction holds until it ends: numbers become visible
    in the order in which they were taken, so that a reader who has seen one has missed none before it.
    """
    counter: Any = await database.counters.find_one_and_update(
        {"_id": caller.key("events")},
        {"$inc": {"value": 1}},
        upsert=True,
        return_document=db.AFTER,
        session=session,
    )
    told = {"promotion": events.promoted(promotion)} if promotion else {}
    event = {
        "_id": caller.key(f"{counter['value']:016d}"),
        "tenantId": caller.tenant,
        "sequence": counter["value"],
        "type": kind,
        "triggeredAt": promotion["created"] if promotion else release["updatedAt"],
        "releaseId": release["id"],
        "data": orjson.dumps(events.of(release) | told).decode(),
    }
    await database.events.insert_one(event, session=session)


async def change(
    caller: Caller, database: Database, release: Document, fields: Document, session: Any
) -> Document:
    """Set fields of a release as it was read in this transaction; its event is for the verb to write."""
    changed = {"updatedAt": instants.now(), **fields, "etag": ids.new()}
    match = {"_id": caller.key(release["id"]), "etag": release["etag"]}
    await database.releases.update_one(match, {"$set": changed}, session=session)
    return {**release, **changed}
