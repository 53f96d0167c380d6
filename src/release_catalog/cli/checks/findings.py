"""A finding: what a check saw, and what to do about it."""

import dataclasses
from typing import Literal

# An error keeps servers from starting or from serving somebody; a warning may do so later.
Severity = Literal["ok", "info", "warning", "error"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """A fault, or the absence of one. `remedy` says what to do, and is empty if there is nothing to do."""

    severity: Severity
    message: str
    remedy: str = ""


def ok(message: str) -> Finding:
    """Return a finding that all is well."""
    return Finding("ok", message)


def info(message: str, remedy: str = "") -> Finding:
    """Return a finding that is worth knowing."""
    return Finding("info", message, remedy)


def warning(message: str, remedy: str) -> Finding:
    """Return a finding that may become an error."""
    return Finding("warning", message, remedy)


def error(message: str, remedy: str) -> Finding:
    """Return a finding that something does not work."""
    return Finding("error", message, remedy)
