"""The memory of requests with an idempotency key: their answers for 24 hours, and which are still running.

How long is for the database's clock to say: one clock for all processes, whatever theirs say.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from release_catalog import errors
from release_catalog.domain import ids
from release_catalog.domain.caller import Caller
from release_catalog.errors import Problem, Violation
from release_catalog.storage import database as db
from release_catalog.storage import leases
from release_catalog.storage.database import Database, Document

Given = Mapping[str, Any]
Answer = Document | Problem

RECORD_TTL = datetime.timedelta(hours=24)
MAX_KEY = 255
# How long a request that died keeps others with its key waiting.
LOCK_TTL = datetime.timedelta(seconds=15)
_BUSY: Document = {"busyUntil": leases.after(LOCK_TTL), "expiresAt": leases.after(RECORD_TTL)}
_RELEASE_SECONDS = 5.0

_RUNNING = errors.Conflict(detail="The first request with this idempotency key is still running: repeat it later.")


@contextlib.asynccontextmanager
async def idempotency_lock(
    caller: Caller, database: Database, verb: str, values: Given, seconds: float
) -> AsyncIterator[tuple[str | None, Answer | None]]:
    """A claim on the idempotency key of a request that takes long, or the answer where it can't be had.

    While the claim is held, the same request elsewhere hears that it is running. It is renewed until the request
    has ended; if its process dies, the next one with this key takes over within `CLAIM`. Getting it takes at most
    so many seconds.
    """
    key = values.get("idempotencyKey")
    unusable = refused(key)
    if key is None or unusable:
        yield None, unusable
        return
    claim, fingerprint = ids.new(), fingerprint_of(caller, verb, values)
    held = {"_id": caller.key(key), "claim": claim}
    try:
        with db.deadline(seconds):
            known = await _claim(caller, database, fingerprint, held)
    except db.Failure:
        # It may be there all the same, and would keep the client waiting who repeats the request.
        db.in_background(_release(database, held))
        raise
    if known.get("claim") != claim:
        yield None, replay(known, fingerprint, None)
        return
    try:
        async with leases.renewed(lambda: _renew(database, held), LOCK_TTL):
            yield claim, None
    finally:
        # Of a request that took effect its answer stands there by now.
        await asyncio.wait([db.in_background(_release(database, held))])


async def _claim(caller: Caller, database: Database, fingerprint: str, held: Document) -> Document:
    """Hold a key unless another request does; return what there is under the key by now."""
    is_free = {
        "$or": [
            # Of what does not exist as well.
            {"$lte": ["$expiresAt", "$$NOW"]},
            {
                "$and": [
                    {"$eq": [{"$type": "$answer"}, "missing"]},
                    {"$eq": ["$fingerprint", {"$literal": fingerprint}]},
                    {"$lte": ["$busyUntil", "$$NOW"]},
                ]
            },
        ]
    }
    fields = {"tenantId": caller.tenant, "fingerprint": fingerprint, "claim": held["claim"]}
    claimed = {**{name: {"$literal": value} for name, value in fields.items()}, **_BUSY}
    change = [{"$replaceWith": {"$cond": [is_free, claimed, "$$ROOT"]}}]
    found: Any = await database.requests.find_one_and_update(
        {"_id": held["_id"]}, change, upsert=True, return_document=db.AFTER
    )
    return dict(found)


async def _renew(database: Database, held: Document) -> bool:
    return bool((await database.requests.update_one(held, [{"$set": _BUSY}])).matched_count)


async def _release(database: Database, held: Document) -> None:
    """Let go of a key; where the database fails, its claim ends by itself."""
    with contextlib.suppress(db.Failure), db.deadline(_RELEASE_SECONDS):
        await database.requests.delete_one(held)


def refused(key: str | None) -> Problem | None:
    """Why a key can't be used."""
    if key is None or 1 <= len(key) <= MAX_KEY:
        return None
    message = f"A key has 1 to {MAX_KEY} characters; this one has {len(key)}."
    return errors.ValidationProblem(violations=[Violation("input.idempotencyKey", message, "WRONG_LENGTH")])


def fingerprint_of(caller: Caller, verb: str, values: Given) -> str:
    """The same for the same input of the same verb."""
    # Who is bound to a product gets no answer that somebody else was given.
    asked = {
        "verb": verb,
        "product": caller.product,
        **{name: value for name, value in values.items() if name != "idempotencyKey"},
    }
    try:
        return hashlib.sha256(_canonical_json(asked)).hexdigest()
    except RecursionError:
        # Free JSON that is too deep: its verb refuses it, and nothing is remembered.
        return ""


def _canonical_json(request: Document) -> bytes:
    try:
        return orjson.dumps(request, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # A number of more than 64 bits, which is no JSON, tells one input from another still.
        return repr(request).encode()


async def find_record(caller: Caller, database: Database, key: str, session: Any) -> Document | None:
    """What is known of the request that came with this key."""
    fresh = {"_id": caller.key(key), "$expr": {"$gt": ["$expiresAt", "$$NOW"]}}
    return await database.requests.find_one(fresh, session=session)


async def remember(caller: Caller, database: Database, key: str, memory: Document, session: Any) -> None:
    """Keep what is to be known of a request that came with this key."""
    fields = {"tenantId": caller.tenant, **memory}
    # A literal, because names and texts in the answer may begin with a dollar sign.
    change = [{"$replaceWith": {"$literal": fields}}, {"$set": {"expiresAt": leases.after(RECORD_TTL)}}]
    await database.requests.update_one({"_id": caller.key(key)}, change, upsert=True, session=session)


def replay(known: Document, fingerprint: str, claim: str | None) -> Answer | None:
    """What a request under a known key is told; None for the one that holds the key."""
    if known["fingerprint"] != fingerprint:
        detail = "This idempotency key came with another input before: give each request a key of its own."
        return errors.Conflict(detail=detail)
    if "answer" not in known:
        return None if known["claim"] == claim else _RUNNING
    answer: Document = known["answer"]
    if refusal := answer.get("problem"):
        refusal["violations"] = [Violation(**violation) for violation in refusal["violations"]]
        kind, fields = refusal.pop("kind"), {name: value for name, value in refusal.items() if value}
        answer["problem"] = getattr(errors, kind)(**fields)
    return answer


def serialize_result(answer: Document) -> Document:
    """An answer as data: the refusal that it may hold is none."""
    refusal = answer.get("problem")
    if refusal is None:
        return answer
    fields = {"violations": [], **dataclasses.asdict(refusal), "kind": type(refusal).__name__}
    return {**answer, "problem": fields}
