"""The ledger of a tenant's promotions: one chain, to which one transaction at a time adds a record.

The chain's head (number, hash and time of the last record) is kept beside it. A transaction that adds a record
changes the head first: of two concurrent ones, MongoDB has the later one repeated. The head also shows whether
records were removed at the end, because it is written with each record.
"""

import datetime
from collections.abc import AsyncIterator

from release_catalog.domain import ids, ledger, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.domain.ledger import LedgerHead
from release_catalog.domain.promotion import PromotionAttempt, PromotionDocument, PromotionRecord
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import COUNTERS, META, PROMOTIONS, CounterDocument
from release_catalog.storage.database import Database, Filter
from release_catalog.storage.unit_of_work import UnitOfWork

HEAD = "ledger"
_READ_AT_ONCE = 100


async def hold(turn: UnitOfWork) -> LedgerHead | None:
    """Return the head of the ledger, None without records, and reserve it for this transaction."""
    key, change = {"_id": turn.caller.key(HEAD)}, {"$inc": {"held": 1}}
    held = await db.upsert(turn.database[COUNTERS], key, change, turn.session)
    # A ledger that is older than heads has none.
    return _stored_head(held) if "hash" in held else await _last(turn)


async def _last(turn: UnitOfWork) -> PromotionDocument | None:
    match, newest = {"tenantId": turn.caller.tenant}, [("sequence", -1)]
    return await turn.database[PROMOTIONS].find_one(match, sort=newest, hint="sequence", session=turn.session)


async def append(turn: UnitOfWork, previous: LedgerHead | None, attempt: PromotionAttempt) -> PromotionDocument:
    """Add the record of `attempt` after `previous`, the head from `hold`, and return the record as stored."""
    caller, now = turn.caller, timestamps.now()
    if previous:
        # S3 identifies a record by name, version and millisecond.
        now = max(now, previous["created"] + datetime.timedelta(milliseconds=1))
    made: PromotionRecord = {
        **attempt,
        "_id": caller.key(attempt["id"]),
        "tenantId": caller.tenant,
        "serviceId": await _service(turn),
        "createdBy": caller.subject,
        "schemaVersion": "1.0.0",
        "created": now,
        "checkedWebhooks": [],
    }
    sealed = ledger.append_hash(made, previous)
    await turn.database[PROMOTIONS].insert_one(sealed, session=turn.session)
    change = {"$set": head(sealed)}
    await turn.database[COUNTERS].update_one({"_id": caller.key(HEAD)}, change, session=turn.session)
    return sealed


def head(record: LedgerHead) -> LedgerHead:
    """Return the part of the last record that is kept as the head."""
    return {"sequence": record["sequence"], "hash": record["hash"], "created": record["created"]}


def _stored_head(counter: CounterDocument) -> LedgerHead:
    return {"sequence": counter["sequence"], "hash": counter["hash"], "created": counter["created"]}


async def _service(turn: UnitOfWork) -> str:
    """Return the name of this deployment, which only the first of concurrent calls makes."""
    made = {"$setOnInsert": {"value": f"release-catalog@{ids.new()}"}}
    return (await db.upsert(turn.database[META], {"_id": "service"}, made, turn.session))["value"]


async def verify(caller: Caller, database: Database, chain: ledger.HashChain) -> AsyncIterator[str]:
    """Yield the faults of the tenant's ledger, which may grow meanwhile; `chain` ends at its last record."""
    kept = await _head(caller, database)
    match: Filter = {"tenantId": caller.tenant, **({"sequence": {"$lte": kept["sequence"]}} if kept else {})}
    found = database[PROMOTIONS].find(match, {"_id": 0}).sort("sequence", 1).hint("sequence")
    async for record in found.batch_size(_READ_AT_ONCE):
        for wrong in chain.follow(record):
            yield wrong
    for wrong in chain.end(kept):
        yield wrong
    last = kept and await _last(UnitOfWork(caller, database))
    if last and last["sequence"] not in range(((await _head(caller, database)) or last)["sequence"] + 1):
        yield f"{last['sequence']}: was not written by the catalog, whose own note ends with an earlier record."
    if chain.witness is not None and chain.witnessed is None:
        yield f"No record has the hash {chain.witness}: the ledger was rewritten, or the hash is of another one."


async def _head(caller: Caller, database: Database) -> LedgerHead | None:
    found = await database[COUNTERS].find_one({"_id": caller.key(HEAD), "hash": {"$exists": True}})
    return _stored_head(found) if found else None
