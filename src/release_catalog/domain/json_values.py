"""JSON input without silent loss: numbers keep all their digits, or tell that a float has others."""

import decimal
import json
import re
from collections.abc import Iterable
from typing import Any

import orjson

# Integers in this range are the same in all JSON that is stored and returned.
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1
# Python refuses to read longer integers, because that takes time in the square of their length.
_MAX_DIGITS = 4_000
# The levels of lists and objects around a doubtful number. Without a limit, each version of Python has its own.
_MAX_DEPTH = 500
# Numbers of 16 or more digits, and numbers with an exponent: all others are read exactly.
_DOUBTFUL = re.compile(rb"(?:[\[:,\s]|^)-?(?:[0-9][0-9.]{15}|[0-9][0-9.]*+[eE][+-]?[0-9]++(?:[\s,\]}]|$))")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class InexactNumber(float):
    """The float nearest to a number that is no float itself, with the `text` of that number."""

    __slots__ = ("text",)
    text: str

    def __repr__(self) -> str:
        return self.text


def loads(source: bytes | str) -> Any:
    """Parse JSON; raise JSONDecodeError if it is invalid.

    Integers are exact, whatever their size. Another number that a float would change becomes an InexactNumber.
    """
    text = source.encode() if isinstance(source, str) else source
    try:
        value = orjson.loads(text)
        if not _DOUBTFUL.search(text):
            return value
    except orjson.JSONDecodeError as error:
        # The other parser takes halves of surrogate pairs, which no text has.
        if "infinity" not in error.msg or _SURROGATE.search(text):
            raise
    # This takes eight times as long.
    try:
        value = json.loads(text, parse_int=integer, parse_float=number, parse_constant=_refuse)
        _check_depth(value)
    except (RecursionError, ValueError) as error:
        raise orjson.JSONDecodeError(f"a value is invalid or nested too deeply: {error}", "", 0) from None
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [part for parent in level if isinstance(parent, (list, dict)) for part in _parts(parent)]
        if not level:
            return
    raise ValueError(f"at most {_MAX_DEPTH} levels are allowed")


def _parts(parent: list[Any] | dict[str, Any]) -> Iterable[Any]:
    return parent.values() if isinstance(parent, dict) else parent


def integer(text: str) -> int | InexactNumber:
    """Return the integer in a text of digits."""
    return int(text) if len(text) <= _MAX_DIGITS else _inexact(text)


def number(text: str) -> float:
    """Return the number in a text with a fraction or an exponent."""
    value = float(text)
    try:
        # The shortest text of a float identifies it, so 0.1 is exact.
        is_exact = decimal.Decimal(text) == decimal.Decimal(repr(value))
    except decimal.InvalidOperation:  # an exponent of more than 18 digits
        is_exact = False
    return value if is_exact else _inexact(text)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def _inexact(text: str) -> InexactNumber:
    value = InexactNumber(text)
    value.text = text
    return value


def is_exact(value: object) -> bool:
    """Return whether a parsed value is the same in all JSON; objects and lists are not looked into."""
    if isinstance(value, float):
        return not isinstance(value, InexactNumber) and value - value == 0
    return not isinstance(value, int) or MIN_INTEGER <= value <= MAX_INTEGER
