"""Database errors: what each means for a request, and for a client's retry.

Outages pass: elections, restarts, networks that break, a full disk until somebody makes room. A client retries a
request that met one. For a write it must know first whether it took effect.
"""

import dataclasses
from typing import Any

from pymongo.errors import (
    ConnectionFailure,
    CursorNotFound,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)

# A failover takes 10 to 12 seconds with MongoDB's defaults: clients that retry every 2 seconds lose little time.
RETRY_SECONDS = 2
# Drivers append all that they know of the servers: at most this many characters are logged.
MAX_REASON = 300

_LABELS = (
    "TransientTransactionError",
    "UnknownTransactionCommitResult",
    "RetryableWriteError",
    "RetryableError",
    "SystemOverloadedError",
)
# Codes of transient errors, in case they come without a label.
_CODES = {
    6, 7, 89, 9001,  # networks between the servers
    91, 189, 10107, 11600, 11602, 13435, 13436,  # no primary, or one that steps down
    134, 246, 100, 64,  # no majority
    24, 112, 251, 262, 290,  # locks and transactions that were too slow, or conflicted
    14031,  # no space on the disk
    365, 402, 407, 433, 449, 450, 462,  # overload
    412, 453, 91331, 10045600,  # upgrades and other changes of a cluster, from MongoDB 8
}  # fmt: skip
# A transaction that is too large for the cache, from MongoDB 6.2: before, it conflicted until its time was over.
_TOO_LARGE = 388


class OutcomeUnknown(PyMongoError):  # noqa: N818  named after its meaning, like MongoDB's labels
    """A write not confirmed by the database before the deadline: it may take effect, or have done so."""


class SchemeChangeUnderWay(OutcomeUnknown):
    """A new version scheme that takes effect later: the releases of the product are still being sorted."""


class NothingWritten(PyMongoError):  # noqa: N818  likewise
    """A mutation that met an outage and left no trace; its cause is the outage."""


class TurnNotReached(NothingWritten):
    """A mutation that waited for other writes of its tenant until its time was over."""


class Stopping(NothingWritten):
    """A mutation that was waiting for something else when the server was told to stop."""


@dataclasses.dataclass(frozen=True)
class Outage:
    """The reason why the database did not serve a request: a code and a message for the client."""

    code: str
    message: str
    # The outcome of a mutation: UNKNOWN, UNCHANGED or CHANGED.
    outcome: str | None = None

    @property
    def extensions(self) -> dict[str, Any]:
        """Return the error extensions that clients get besides the message."""
        after = RETRY_SECONDS if self.code == "UNAVAILABLE" else None
        extensions = {"code": self.code, "retryAfter": after, "outcome": self.outcome}
        return {name: value for name, value in extensions.items() if value is not None}


UNAVAILABLE = Outage("UNAVAILABLE", f"The database does not answer: try again in {RETRY_SECONDS} seconds.")
TIMEOUT = Outage("TIMEOUT", "The database exceeded its time limit: request less at once.")
UNKNOWN = Outage(
    "UNAVAILABLE",
    "The database did not confirm this change in time: it may take effect or not. Repeat the "
    "request with the same idempotencyKey: it takes effect once, and the response shows the "
    "outcome. Without a key, read the document before you repeat the request.",
    "UNKNOWN",
)
SORTING = Outage(
    "UNAVAILABLE",
    "The new version scheme takes effect later, because the releases of the product are still being sorted. Until "
    "then they keep their old order. Repeat the request to wait for it, or read versionScheme.",
    "UNKNOWN",
)
CHANGED = Outage(
    "UNAVAILABLE",
    f"The change took effect, but the database does not answer: read the document in {RETRY_SECONDS} seconds.",
    "CHANGED",
)
UNCHANGED = Outage(
    "UNAVAILABLE",
    f"The database does not answer. Nothing was changed: repeat the request in {RETRY_SECONDS} seconds.",
    "UNCHANGED",
)
LATE = Outage(
    "UNAVAILABLE",
    "Other writes went first until the time limit of this one. Nothing was changed: repeat the "
    f"request in {RETRY_SECONDS} seconds.",
    "UNCHANGED",
)
STOPPING = Outage(
    "UNAVAILABLE",
    "The server stopped before all files of this release were fetched. Nothing was changed: "
    f"repeat the request in {RETRY_SECONDS} seconds.",
    "UNCHANGED",
)
SLOW_CHANGE = Outage(
    "TIMEOUT",
    "The change exceeded the time limit of a request. Nothing was changed: repeat the request, "
    "or change less at once.",
    "UNCHANGED",
)


def reason(error: BaseException) -> str:
    """Return the text about an error for the log; of a refusal by MongoDB, which quotes values, only its code."""
    if not isinstance(error, OperationFailure):
        return str(error)[:MAX_REASON]
    name = (error.details or {}).get("codeName")
    return f"MongoDB's error {error.code}" + (f" ({name})" if isinstance(name, str) else "")


def left_no_trace(error: PyMongoError) -> bool:
    """Return whether a mutation that met this outage changed nothing: all its writes are in transactions."""
    return not isinstance(error, OutcomeUnknown | NothingWritten) and outage(error) is not None


def outage(error: object, *, reachable: bool = False) -> Outage | None:
    """Return the outage that an error means; None for a fault of the program or its setup.

    `reachable` tells that the database answers other commands, so that it was only too busy for this one.
    """
    if isinstance(error, OutcomeUnknown):
        return SORTING if isinstance(error, SchemeChangeUnderWay) else UNKNOWN
    for kind, meaning in ((TurnNotReached, LATE), (Stopping, STOPPING)):
        if isinstance(error, kind):
            return meaning
    if isinstance(error, NothingWritten):
        return SLOW_CHANGE if outage(error.__cause__, reachable=reachable) is TIMEOUT else UNCHANGED
    if is_slow(error) or (reachable and is_silence(error)):
        return TIMEOUT
    return UNAVAILABLE if _passes(error) else None


def is_slow(error: object) -> bool:
    """Return whether the database itself ended a slow command: it answers, and a smaller request would help."""
    if isinstance(error, OperationFailure) and error.code == _TOO_LARGE:
        return True
    return (
        isinstance(error, ExecutionTimeout)
        and not isinstance(error, WriteConcernError)
        # The driver also raises such errors if no time is left to send a command.
        and "codeName" in (error.details or {})
    )


def is_silence(error: object) -> bool:
    """Return whether no answer came in time, because the command was too slow or the database unreachable.

    Drivers wait for as long as they let the database work: which of the two gives up first is chance.
    """
    if isinstance(error, NothingWritten):
        error = error.__cause__
    return isinstance(error, NetworkTimeout | ExecutionTimeout) and not is_slow(error)


def _passes(error: object) -> bool:
    """Return whether a database error is transient, or passes once an operator helps."""
    if not isinstance(error, PyMongoError):
        return False
    if isinstance(error, ConnectionFailure | CursorNotFound | WriteConcernError):
        return True
    if error.timeout or any(map(error.has_error_label, _LABELS)):
        return True
    return isinstance(error, OperationFailure) and error.code in _CODES
