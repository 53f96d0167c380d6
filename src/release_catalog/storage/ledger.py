"""The ledger of a tenant's promotions: one chain, to which one transaction at a time adds a record.

The chain's head (number, hash and time of the last record) is kept beside it. A transaction that adds a record
changes the head first: of two concurrent ones, MongoDB has the later one repeated. The head also shows whether
records were removed at the end, because it is written with each record.
"""

import datetime
from collections.abc import AsyncIterator
from typing import Any

from release_catalog.domain import ids, ledger, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.storage import database as db
from release_catalog.storage.database import Database, Document
from release_catalog.storage.unit_of_work import UnitOfWork

HEAD = "ledger"
_FIELDS = ("sequence", "hash", "created")
_READ_AT_ONCE = 100


async def hold(turn: UnitOfWork) -> Document | None:
    """Return the head of the ledger, None without records, and reserve it for this transaction."""
    key, counters = {"_id": turn.caller.key(HEAD)}, turn.database.counters
    held: Any = await counters.find_one_and_update(
        key, {"$inc": {"held": 1}}, upsert=True, return_document=db.AFTER, session=turn.session
    )
    # A ledger that is older than heads has none.
    return held if "hash" in held else await _last(turn)


async def _last(turn: UnitOfWork) -> Document | None:
    match, newest = {"tenantId": turn.caller.tenant}, [("sequence", -1)]
    return await turn.database.promotions.find_one(match, sort=newest, hint="sequence", session=turn.session)


async def append(turn: UnitOfWork, previous: Document | None, record: Document) -> Document:
    """Add `record` after `previous`, the head from `hold`, and return the record as stored."""
    caller, now = turn.caller, timestamps.now()
    if previous:
        # S3 identifies a record by name, version and millisecond.
        now = max(now, previous["created"] + datetime.timedelta(milliseconds=1))
    made: Document = {"id": ids.new(), "tenantId": caller.tenant, "serviceId": await _service(turn)}
    made |= {
        "createdBy": caller.subject,
        "schemaVersion": "1.0.0",
        "created": now,
        "checkedWebhooks": [],
        **record,
    }
    sealed = ledger.append_hash(made, previous)
    await turn.database.promotions.insert_one({**sealed, "_id": caller.key(sealed["id"])}, session=turn.session)
    change = {"$set": head(sealed)}
    await turn.database.counters.update_one({"_id": caller.key(HEAD)}, change, session=turn.session)
    return sealed


def head(record: Document) -> Document:
    """Return the part of the last record that is kept as the head."""
    return {name: record[name] for name in _FIELDS}


async def _service(turn: UnitOfWork) -> str:
    """Return the name of this deployment, which only the first of concurrent calls makes."""
    made = {"$setOnInsert": {"value": f"release-catalog@{ids.new()}"}}
    found: Any = await turn.database.meta.find_one_and_update(
        {"_id": "service"}, made, upsert=True, return_document=db.AFTER, session=turn.session
    )
    return str(found["value"])


async def verify(caller: Caller, database: Database, chain: ledger.HashChain) -> AsyncIterator[str]:
    """Yield the faults of the tenant's ledger, which may grow meanwhile; `chain` ends at its last record."""
    kept = await _head(caller, database)
    match: Document = {"tenantId": caller.tenant, **({"sequence": {"$lte": kept["sequence"]}} if kept else {})}
    found = database.promotions.find(match, {"_id": 0}).sort("sequence", 1).hint("sequence")
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


async def _head(caller: Caller, database: Database) -> Document | None:
    return await database.counters.find_one({"_id": caller.key(HEAD), "hash": {"$exists": True}})
