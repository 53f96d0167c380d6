"""Idempotency records: the answers of requests for 24 hours, and locks on the keys of running requests.

Times are by the database's clock: one clock for all processes, whatever their own clocks say.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson
from pymongo import UpdateOne

from release_catalog import errors
from release_catalog.domain import ids
from release_catalog.domain.caller import Caller
from release_catalog.errors import Problem, Violation
from release_catalog.storage import cursors, forms, leases
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import REQUESTS, IdempotencyRecordDocument
from release_catalog.storage.database import Database, Expression, Filter, Stage

# The input of a mutation and the fields of its payload, by the contract's names.
MutationInput = Mapping[str, Any]
Payload = dict[str, Any]
Answer = Payload | Problem

RECORD_TTL = datetime.timedelta(hours=24)
MAX_KEY = 255
# The time for which the key of a request whose process died stays locked.
LOCK_TTL = datetime.timedelta(seconds=15)
_BUSY: dict[str, Expression] = {"busyUntil": leases.after(LOCK_TTL), "expiresAt": leases.after(RECORD_TTL)}
_RELEASE_SECONDS = 5.0
_FORM = {forms.FORM: forms.current(REQUESTS)}

_RUNNING = errors.Conflict(detail="The first request with this idempotency key is still running: repeat it later.")


@contextlib.asynccontextmanager
async def idempotency_lock(
    caller: Caller, database: Database, verb: str, values: MutationInput, seconds: float
) -> AsyncIterator[tuple[str | None, Answer | None]]:
    """Lock the idempotency key of a long request; yield the lock's claim, or the answer if the key is not free.

    While the lock is held, the same request elsewhere gets the answer that the first is running. The lock is
    renewed until the request has ended; if its process dies, the next request with this key takes over within
    `LOCK_TTL`. Getting the lock takes at most `seconds`.
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
        # The lock may exist anyway, and would keep a client that retries waiting.
        db.in_background(_release(database, held))
        raise
    if known.get("claim") != claim:
        yield None, replay(known, fingerprint, None)
        return
    try:
        async with leases.renewed(lambda: _renew(database, held), LOCK_TTL):
            yield claim, None
    finally:
        # A request that took effect has replaced the lock by its answer.
        await asyncio.wait([db.in_background(_release(database, held))])


async def _claim(caller: Caller, database: Database, fingerprint: str, held: Filter) -> IdempotencyRecordDocument:
    """Lock a key unless another request holds it; return the record that is now under the key."""
    is_free = {
        "$or": [
            # This also holds for a record that does not exist.
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
    fields = {"tenantId": caller.tenant, "fingerprint": fingerprint, "claim": held["claim"], **_FORM}
    claimed = {**{name: {"$literal": value} for name, value in fields.items()}, **_BUSY}
    change = [{"$replaceWith": {"$cond": [is_free, claimed, "$$ROOT"]}}]
    return await db.upsert(database[REQUESTS], {"_id": held["_id"]}, change)


async def _renew(database: Database, held: Filter) -> bool:
    return bool((await database[REQUESTS].update_one(held, [{"$set": _BUSY}])).matched_count)


async def _release(database: Database, held: Filter) -> None:
    """Release a key; if the database fails, the lock expires by itself."""
    with contextlib.suppress(db.Failure), db.deadline(_RELEASE_SECONDS):
        await database[REQUESTS].delete_one(held)


def refused(key: str | None) -> Problem | None:
    """Return the problem of an invalid key, or None."""
    if key is None or 1 <= len(key) <= MAX_KEY:
        return None
    message = f"The key has {len(key)} characters: give 1 to {MAX_KEY}."
    return errors.ValidationProblem(violations=[Violation("input.idempotencyKey", message, "WRONG_LENGTH")])


def fingerprint_of(caller: Caller, verb: str, values: MutationInput) -> str:
    """Return the fingerprint of a request, which is the same for the same input of the same mutation.

    A dry run has the fingerprint of its mutation: it answers with what the key would give, and keeps nothing.
    """
    # A caller bound to a product must not get an answer that was given to another caller.
    request = {
        "verb": verb,
        "product": caller.product,
        **{name: value for name, value in values.items() if name not in {"idempotencyKey", "dryRun"}},
    }
    try:
        return hashlib.sha256(_canonical_json(request)).hexdigest()
    except RecursionError:
        # Free JSON that is too deep: its mutation refuses it, and nothing is stored.
        return ""


def _canonical_json(request: MutationInput) -> bytes:
    try:
        return orjson.dumps(request, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # A number of more than 64 bits is no JSON, but still distinguishes inputs.
        return repr(request).encode()


async def find_record(
    caller: Caller, database: Database, key: str, session: Any
) -> IdempotencyRecordDocument | None:
    """Return the unexpired record of a key."""
    fresh = {"_id": caller.key(key), "$expr": {"$gt": ["$expiresAt", "$$NOW"]}}
    return await database[REQUESTS].find_one(fresh, session=session)


async def find_records(
    caller: Caller, database: Database, keys: Sequence[str], session: Any
) -> dict[str, IdempotencyRecordDocument]:
    """Return the unexpired records of keys."""
    by_id = {caller.key(key): key for key in keys}
    fresh = {"_id": {"$in": list(by_id)}, "$expr": {"$gt": ["$expiresAt", "$$NOW"]}}
    found = await cursors.documents(database[REQUESTS].find(fresh, session=session))
    return {by_id[record["_id"]]: record for record in found}


async def remember(
    caller: Caller, database: Database, key: str, fingerprint: str, answer: Payload, session: Any
) -> None:
    """Store the answer of the request with this key."""
    change = _record(caller, fingerprint, answer)
    await database[REQUESTS].update_one({"_id": caller.key(key)}, change, upsert=True, session=session)


async def remember_all(
    caller: Caller, database: Database, answers: Mapping[str, Payload], fingerprint: str, session: Any
) -> None:
    """Store the answers of requests by their keys."""
    changes: list[Any] = [
        UpdateOne({"_id": caller.key(key)}, _record(caller, fingerprint, answer), upsert=True)
        for key, answer in answers.items()
    ]
    await database[REQUESTS].bulk_write(changes, session=session)


def _record(caller: Caller, fingerprint: str, answer: Payload) -> list[Stage]:
    fields = {"tenantId": caller.tenant, "fingerprint": fingerprint, "answer": serialize_result(answer), **_FORM}
    # A literal, because names and texts in the answer may begin with a dollar sign.
    return [{"$replaceWith": {"$literal": fields}}, {"$set": {"expiresAt": leases.after(RECORD_TTL)}}]


def replay(known: IdempotencyRecordDocument, fingerprint: str, claim: str | None) -> Answer | None:
    """Return the answer to a request whose key has a record; None for the holder of the lock."""
    if known["fingerprint"] != fingerprint:
        detail = "Another input had this idempotency key: give each request its own key."
        return errors.Conflict(detail=detail)
    if "answer" not in known:
        return None if known["claim"] == claim else _RUNNING
    answer = known["answer"]
    if refusal := answer.get("problem"):
        refusal["violations"] = [Violation(**violation) for violation in refusal["violations"]]
        kind, fields = refusal.pop("kind"), {name: value for name, value in refusal.items() if value}
        answer["problem"] = getattr(errors, kind)(**fields)
    return answer


def serialize_result(answer: Payload) -> Payload:
    """Return an answer as data, with the problem that it may contain as a dict."""
    refusal = answer.get("problem")
    if refusal is None:
        return answer
    fields = {"violations": [], **dataclasses.asdict(refusal), "kind": type(refusal).__name__}
    return {**answer, "problem": fields}
