"""Fallbacks from compiled queries to the ordinary executor: each is counted and logged with its reason."""

import collections

import structlog

# Begins the reason of a field that no plan answers. All other reasons are names of exceptions.
UNSUPPORTED = "unsupported: "
# Fallbacks of this process by their reasons.
counts: collections.Counter[str] = collections.Counter()

_log = structlog.get_logger()


def note(field: str, reason: str) -> None:
    """Count and log that a root field is left to the ordinary executor."""
    counts[reason] += 1
    _log.info("not answered by a compiled query", field=field, reason=reason)
