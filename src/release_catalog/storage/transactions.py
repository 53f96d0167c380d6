"""Transactions: all writes of a function take effect, or none do.

Neither driver's `with_transaction` serves here: both repeat a commit without a pause, Motor for two minutes, and
Motor does not repeat a transaction that collided in its commit. Once the time for a request's commands is over,
they fail without giving up the event loop. A repetition must therefore check the deadline and pause. Otherwise the
process does nothing else, and so never learns of a new primary: /livez was seen to hang for 105 seconds.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pymongo
from pymongo import ReadPreference
from pymongo.errors import ConnectionFailure, ExecutionTimeout, PyMongoError

from release_catalog.storage import database as db
from release_catalog.storage.database import Database
from release_catalog.storage.outages import OutcomeUnknown

# The maximum time of a transaction with its repetitions, less if the request has less time left.
MAX_SECONDS = 20.0
# The maximum time of one attempt to commit on a frozen server; the next one may find another primary.
COMMIT_SECONDS = 5.0
# An abort only frees locks earlier than MongoDB would, so it gets little time.
_ABORT_SECONDS = 1.0
_CLEAN_UP_SECONDS = 5.0
# MongoDB itself ends a transaction that is open for a minute.
_SETTLE_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5

Result = TypeVar("Result")
Work = Callable[[Any], Awaitable[Result]]


async def run(database: Database, work: Work[Result]) -> Result:
    """Run `work` with a session in a transaction, and return its result.

    Repeat all of it if transactions collide or the primary changes, and the commit if its outcome is unknown, with
    pauses, until the deadline. Raise OutcomeUnknown if the commit was not confirmed by then. After any other error
    the transaction has left no trace.
    """
    with db.deadline(MAX_SECONDS):
        session: Any = await db.awaited(database.client.start_session())
        settled = True
        try:
            return await _repeated(session, work)
        except OutcomeUnknown:
            settled = False
            raise
        finally:
            if not settled:
                # Whatever its outcome, the transaction must not stay open.
                db.in_background(_settle(session))
            elif session.in_transaction:
                # MongoDB would hold its locks for a minute. The time may be over, or the caller be cancelled.
                ending = db.in_background(_clean_up(session))
                await asyncio.wait([ending], timeout=max(0, min(_ABORT_SECONDS, db.remaining())))
            else:
                await session.end_session()


async def _repeated(session: Any, work: Work[Result]) -> Result:
    pauses = _Pauses()
    while True:
        await db.awaited(
            session.start_transaction(
                read_concern=db.SNAPSHOT, write_concern=db.MAJORITY, read_preference=ReadPreference.PRIMARY
            )
        )
        try:
            result = await work(session)
            if db.remaining() <= 0:
                raise ExecutionTimeout("The time of this transaction was over before its commit.", 50)
            await _commit(session, pauses)
        except PyMongoError as error:
            if not _can_repeat(error) or not await pauses.take():
                raise
        else:
            return result
        if session.in_transaction:
            with pymongo.timeout(_ABORT_SECONDS):
                await session.abort_transaction()


def _can_repeat(error: PyMongoError) -> bool:
    """Return whether a transaction that failed with this error may succeed when it is run again."""
    lost = isinstance(error, ConnectionFailure) or error.has_error_label("TransientTransactionError")
    return lost and not isinstance(error, OutcomeUnknown)


async def _commit(session: Any, pauses: "_Pauses") -> None:
    """Commit; raise an error with the label TransientTransactionError if nothing was committed."""
    while True:
        try:
            with pymongo.timeout(COMMIT_SECONDS):
                await session.commit_transaction()
        except PyMongoError as error:
            if error.has_error_label("TransientTransactionError"):
                raise
            repeatable = error.has_error_label("UnknownTransactionCommitResult")
            if not repeatable or not await pauses.take():
                raise OutcomeUnknown("The commit was not confirmed.") from error
        else:
            return


class _Pauses:
    """The pauses between attempts: longer each time, and random, so that writers do not stay in step."""

    def __init__(self) -> None:
        self._longest = _FIRST_PAUSE

    async def take(self) -> bool:
        """Wait before the next attempt; return False at once if the deadline leaves no time for it."""
        pause = random.uniform(self._longest / 2, self._longest)  # noqa: S311  it keeps no secret
        self._longest = min(2 * self._longest, _LONGEST_PAUSE)
        if pause >= db.remaining():
            return False
        await asyncio.sleep(pause)
        return True


async def _settle(session: Any) -> None:
    """Commit until the outcome is known: until then MongoDB may hold the locks, and other writers wait."""
    with db.deadline(_SETTLE_SECONDS), contextlib.suppress(PyMongoError):
        await _commit(session, _Pauses())
    await session.end_session()


async def _clean_up(session: Any) -> None:
    with db.deadline(_CLEAN_UP_SECONDS):
        await session.abort_transaction()
        await session.end_session()
