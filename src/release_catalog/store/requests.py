"""The memory of requests with an idempotency key: their answers for 24 hours, and which are still running."""

import asyncio
import contextlib
import dataclasses
import datetime
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from pymongo.errors import DuplicateKeyError

from release_catalog import problems
from release_catalog.domain import ids, instants
from release_catalog.domain.caller import Caller
from release_catalog.problems import Problem, Violation
from release_catalog.store.database import Database, Document

Given = Mapping[str, Any]
Answer = Document | Problem

REMEMBERED = datetime.timedelta(hours=24)
MAX_KEY = 255
# How long a request that died keeps others with its key waiting.
CLAIM = datetime.timedelta(seconds=15)

_RUNNING = problems.Conflict(
    detail="The first request with this idempotency key is still running: repeat it later."
)


@contextlib.asynccontextmanager
async def claimed(
    caller: Caller, database: Database, verb: str, given: Given
) -> AsyncIterator[tuple[str | None, Answer | None]]:
    """A claim on the idempotency key of a request that takes long, or the answer where it can't be had.

    While the claim is held, the same request elsewhere hears that it is running. It is renewed until the request
    has ended; if its process dies, the next one with this key takes over within `CLAIM`.
    """
    key = given.get("idempotencyKey")
    unusable = refused(key)
    if key is None or unusable:
        yield None, unusable
        return
    claim, fingerprint = ids.new(), fingerprint_of(caller, verb, given)
    free = {
        "_id": caller.key(key),
        "$or": [
            {"expiresAt": {"$lte": instants.now()}},
            {"answer": None, "fingerprint": fingerprint, "busyUntil": {"$lte": instants.now()}},
        ],
    }
    memory = {"tenantId": caller.tenant, "fingerprint": fingerprint, "claim": claim, **_busy()}
    try:
        await database.requests.replace_one(free, memory, upsert=True)
    except DuplicateKeyError:
        known = await remembered(caller, database, key, None)
        yield None, again(known, fingerprint, None) if known else _RUNNING
        return
    held = {"_id": caller.key(key), "claim": claim}
    renewing = asyncio.create_task(_renew(database, held))
    try:
        yield claim, None
    finally:
        renewing.cancel()
        # Of a request that took effect its answer stands there by now.
        await database.requests.delete_one(held)


def _busy() -> Document:
    now = instants.now()
    return {"busyUntil": now + CLAIM, "expiresAt": now + REMEMBERED}


async def _renew(database: Database, held: Document) -> None:
    mine = 1
    while mine:
        await asyncio.sleep(CLAIM.total_seconds() / 3)
        mine = (await database.requests.update_one(held, {"$set": _busy()})).matched_count


def refused(key: str | None) -> Problem | None:
    """Why a key can't be used."""
    if key is None or 1 <= len(key) <= MAX_KEY:
        return None
    message = f"A key has 1 to {MAX_KEY} characters; this one has {len(key)}."
    return problems.Invalid(violations=[Violation("input.idempotencyKey", message, "WRONG_LENGTH")])


def fingerprint_of(caller: Caller, verb: str, given: Given) -> str:
    """The same for the same input of the same verb."""
    # Who is bound to a product gets no answer that somebody else was given.
    asked = {
        "verb": verb,
        "product": caller.product,
        **{name: value for name, value in given.items() if name != "idempotencyKey"},
    }
    try:
        return hashlib.sha256(_written(asked)).hexdigest()
    except RecursionError:
        # Free JSON that is too deep: its verb refuses it, and nothing is remembered.
        return ""


def _written(asked: Document) -> bytes:
    try:
        return orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # A number of more than 64 bits, which is no JSON, tells one input from another still.
        return repr(asked).encode()


async def remembered(caller: Caller, database: Database, key: str, session: Any) -> Document | None:
    """What is known of the request that came with this key."""
    fresh = {"_id": caller.key(key), "expiresAt": {"$gt": instants.now()}}
    return await database.requests.find_one(fresh, session=session)


def again(known: Document, fingerprint: str, claim: str | None) -> Answer | None:
    """What a request under a known key is told; None for the one that holds the key."""
    if known["fingerprint"] != fingerprint:
        detail = "This idempotency key came with another input before: give each request a key of its own."
        return problems.Conflict(detail=detail)
    if "answer" not in known:
        return None if known["claim"] == claim else _RUNNING
    answer: Document = known["answer"]
    if refusal := answer.get("problem"):
        refusal["violations"] = [Violation(**violation) for violation in refusal["violations"]]
        kind, fields = refusal.pop("kind"), {name: value for name, value in refusal.items() if value}
        answer["problem"] = getattr(problems, kind)(**fields)
    return answer


def stored(answer: Document) -> Document:
    """An answer as data: the refusal that it may hold is none."""
    refusal = answer.get("problem")
    if refusal is None:
        return answer
    fields = {"violations": [], **dataclasses.asdict(refusal), "kind": type(refusal).__name__}
    return {**answer, "problem": fields}
