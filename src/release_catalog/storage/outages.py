"""What an error of the database means for a request, and what its client can do.

Outages pass: elections, restarts, networks that break, a disk that is full until somebody makes room. A client
repeats what met one. Of a write it must know first whether it took effect.
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

# A failover takes 10 to 12 seconds with MongoDB's defaults: clients that ask every 2 seconds lose little time.
RETRY_SECONDS = 2
# Drivers go on to tell all that they know of the servers: so many characters of that are logged.
MAX_REASON = 300

_LABELS = (
    "TransientTransactionError",
    "UnknownTransactionCommitResult",
    "RetryableWriteError",
    "RetryableError",
    "SystemOverloadedError",
)
# Codes of errors that pass, where they come without a label.
_CODES = {
    6, 7, 89, 9001,  # networks between the servers
    91, 189, 10107, 11600, 11602, 13435, 13436,  # no primary, or one that goes
    134, 246, 100, 64,  # no majority
    24, 112, 251, 262, 290,  # locks and transactions that were too slow, or in each other's way
    14031,  # no space on the disk
    365, 462,  # too much to do
}  # fmt: skip


class OutcomeUnknown(PyMongoError):  # noqa: N818  it says what is known, as the labels of MongoDB do
    """The database did not confirm a write before the deadline: it may take effect, or have taken effect."""


class NothingWritten(PyMongoError):  # noqa: N818  likewise
    """A mutation met an outage, and left no trace; its cause says which."""


class TurnNotReached(NothingWritten):
    """A mutation waited for the other writes of its tenant for as long as it could."""


class Stopping(NothingWritten):
    """A mutation waited for something else when the server was told to stop."""


@dataclasses.dataclass(frozen=True)
class Outage:
    """Why the database did not serve a request: a code and a message for its client."""

    code: str
    message: str
    # What became of a mutation: UNKNOWN, UNCHANGED or CHANGED.
    outcome: str | None = None

    @property
    def extensions(self) -> dict[str, Any]:
        """What clients read of it, besides the message."""
        after = RETRY_SECONDS if self.code == "UNAVAILABLE" else None
        told = {"code": self.code, "retryAfter": after, "outcome": self.outcome}
        return {name: value for name, value in told.items() if value is not None}


UNAVAILABLE = Outage("UNAVAILABLE", f"The database does not answer: try again in {RETRY_SECONDS} seconds.")
TIMEOUT = Outage("TIMEOUT", "The database took longer than it may: ask for less.")
UNKNOWN = Outage(
    "UNAVAILABLE",
    "The database did not confirm this change in time: it may have taken effect, or still do so. Repeat the "
    "request with the same idempotencyKey: it takes effect once, and the answer shows the outcome. Without a key, "
    "read what it was to change before you repeat it.",
    "UNKNOWN",
)
CHANGED = Outage(
    "UNAVAILABLE",
    f"The change took effect, but the database does not answer: read what it changed in {RETRY_SECONDS} seconds.",
    "CHANGED",
)
UNCHANGED = Outage(
    "UNAVAILABLE",
    f"The database does not answer. Nothing was changed: repeat the request in {RETRY_SECONDS} seconds.",
    "UNCHANGED",
)
LATE = Outage(
    "UNAVAILABLE",
    "Other writes were before this one for as long as it could wait. Nothing was changed: repeat the request in "
    f"{RETRY_SECONDS} seconds.",
    "UNCHANGED",
)
STOPPING = Outage(
    "UNAVAILABLE",
    "The server stops before the files of this release have come. Nothing was changed: repeat the request in "
    f"{RETRY_SECONDS} seconds.",
    "UNCHANGED",
)
SLOW_CHANGE = Outage(
    "TIMEOUT",
    "This change took longer than a request may. Nothing was changed: repeat the request, or change less at once.",
    "UNCHANGED",
)


def left_no_trace(error: PyMongoError) -> bool:
    """Return whether a mutation that met this outage changed nothing: all its writes are in transactions."""
    return not isinstance(error, OutcomeUnknown | NothingWritten) and outage(error) is not None


def outage(error: object, *, reachable: bool = False) -> Outage | None:
    """Return what an error means, None where it is not an outage but a fault of the program or its set-up.

    `reachable` tells that the database answers other commands: it had too much to do for this one, then.
    """
    if isinstance(error, OutcomeUnknown):
        return UNKNOWN
    for kind, meaning in ((TurnNotReached, LATE), (Stopping, STOPPING)):
        if isinstance(error, kind):
            return meaning
    if isinstance(error, NothingWritten):
        return SLOW_CHANGE if outage(error.__cause__, reachable=reachable) is TIMEOUT else UNCHANGED
    if is_slow(error) or (reachable and is_silence(error)):
        return TIMEOUT
    return UNAVAILABLE if _passes(error) else None


def is_slow(error: object) -> bool:
    """Return whether the database itself ended a command that took too long: it answers, and less would help."""
    return (
        isinstance(error, ExecutionTimeout)
        and not isinstance(error, WriteConcernError)
        # The driver makes such errors, too, where no time is left to send a command.
        and "codeName" in (error.details or {})
    )


def is_silence(error: object) -> bool:
    """Return whether there was no answer in time, be it that the command was too slow or the database away.

    Drivers wait for as long as they let the database work: which of the two gives up first is chance.
    """
    if isinstance(error, NothingWritten):
        error = error.__cause__
    return isinstance(error, NetworkTimeout | ExecutionTimeout) and not is_slow(error)


def _passes(error: object) -> bool:
    """Return whether an error of the database goes away by itself, or when an operator helps it."""
    if not isinstance(error, PyMongoError):
        return False
    if isinstance(error, ConnectionFailure | CursorNotFound | WriteConcernError):
        return True
    if error.timeout or any(map(error.has_error_label, _LABELS)):
        return True
    return isinstance(error, OperationFailure) and error.code in _CODES
