"""The free JSON of a release and its parts: it is kept as text, verbatim, and is never part of a query."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from release_catalog.domain import json_values
from release_catalog.domain.validation import Validator

DESCRIPTION = "Free JSON of at most 1 MiB and 100 levels, returned as it was given."
MAX_BYTES = 1 << 20
# JSON readers give up at a few hundred levels, and every client must be able to read the metadata back.
MAX_LEVELS = 100


def read(doc: Validator, field: str = "metadata") -> str | None:
    """Return the free JSON of a field as text; None without it."""
    value = doc.fields.get(field)
    return None if value is None else text(doc, value)


def text(doc: Validator, value: Any) -> str | None:
    """Return `value` as JSON text if it is valid as the field `metadata` of `doc`."""
    if _is_deep(value):
        doc.refuse("metadata", "TOO_DEEP", f"The JSON is nested too deeply: give at most {MAX_LEVELS} levels.")
        return None
    try:
        written = orjson.dumps(value)
    except TypeError:
        if not _refuse_inexact_numbers(doc, value):
            raise
        return None
    # Infinite numbers are written as null.
    if b"null" in written and _refuse_inexact_numbers(doc, value):
        return None
    if len(written) > MAX_BYTES:
        doc.refuse("metadata", "TOO_LONG", f"The JSON is too large: give at most {MAX_BYTES} bytes.")
        return None
    return written.decode()


def _is_deep(value: Any) -> bool:
    return any(depth > MAX_LEVELS for depth, _ in enumerate(_levels(value)))


def _refuse_inexact_numbers(doc: Validator, value: Any) -> bool:
    """Refuse the numbers that JSON readers would change, such as 2^64 or 1e400; return whether there are any."""
    found = list(_inexact_numbers("metadata", value))
    for path, number in found:
        message = f"The number {repr(number)[:40]} can't be kept with all its digits: give it as text."
        doc.refuse(path, "NOT_JSON", message)
    return bool(found)


def _inexact_numbers(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the inexact numbers in `value` with their paths."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _inexact_numbers(f"{path}.{name}", inner)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _inexact_numbers(f"{path}[{at}]", inner)
    elif not json_values.is_exact(value):
        yield path, value


def _levels(value: Any) -> Iterator[list[Any]]:
    level = [value]
    while level:
        yield level
        level = [inner for outer in level for inner in _inside(outer)]


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
