"""The order of versions, as text that sorts bytewise in that order.

A version becomes one key when its release is stored, so that the database orders by it and an index answers "the
highest". Each key ends in a mark that sorts above every pre-release of the version and below everything longer, so
that `1.0~rc1` < `1.0` < `1.0.1`.
"""

import dataclasses
import functools
import re
from typing import Literal

Scheme = Literal["DOTTED", "SEMVER", "ANY"]

MAX_LENGTH = 64
MAX_CONSTRAINT = 256

# The marks that can follow at any point of a key, in rising order.
_PRE = "0"
_END = "1"
_WORD = "2"
_NUMBER = "3"
# The mark that begins the keys of versions that do not match their scheme.
_ODD = "!"

_DOTTED = re.compile(r"[0-9]+(?:\.[0-9]+){0,3}", re.ASCII)
_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    rf"(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
_EPOCH = re.compile(r"([0-9]+):", re.ASCII)
_TOKEN = re.compile(r"[0-9]+|[^0-9]+", re.ASCII)
_PIECE = re.compile(r"~|[^\W\d_]+|\d+|(?:[\W_](?<!~))+")
_PRE_RANKS = {"~": "0", "alpha": "1", "beta": "2", "pre": "3", "rc": "4"}


def problem(scheme: Scheme, version: str) -> str | None:
    """Return the reason why `version` is invalid in `scheme`, or None."""
    if not 1 <= len(version) <= MAX_LENGTH:
        return f"The version has {len(version)} characters: give 1 to {MAX_LENGTH}."
    if scheme == "DOTTED" and ("." not in version or not _DOTTED.fullmatch(version)):
        return f"{version!r} is not a dotted version: give two to four numbers, such as 1.4 or 1.4.0.2."
    if scheme == "SEMVER" and not _SEMVER.fullmatch(version):
        return f"{version!r} is not a semantic version: give MAJOR.MINOR.PATCH, such as 1.4.0 or 1.4.0-rc.1."
    return None


# Most releases share a revision, and thousands of releases depend on the most popular versions.
@functools.lru_cache(4_096)
def sort_key(scheme: Scheme, version: str) -> str:
    """Return a text that orders as `version` does among others of `scheme`.

    A version that does not match its scheme (a product may change its scheme) is ordered as in ANY, below all
    versions that do.
    """
    if scheme == "DOTTED" and _DOTTED.fullmatch(version):
        return _numbers(version.split(".")) + _END
    if scheme == "SEMVER" and (match := _SEMVER.fullmatch(version)):
        major, minor, patch, pre = match.groups()
        return _numbers([major, minor, patch]) + (_END if pre is None else _PRE + _identifiers(pre))
    return ("" if scheme == "ANY" else _ODD) + _natural(version)


def _number(digits: str) -> str:
    digits = digits.lstrip("0")
    return f"{len(digits):02d}{digits}"


def _numbers(parts: list[str]) -> str:
    return "".join(_number(part) for part in parts + ["0"] * (4 - len(parts)))


def _identifiers(pre: str) -> str:
    """Return the key of a pre-release: numbers below words, a longer list above its prefix (SemVer 2, item 11)."""
    marks = (("2" + _number(part)) if part.isdigit() else f"3{part}\t" for part in pre.split("."))
    return "".join(marks) + _END


def _natural(version: str) -> str:
    epoch, rest = "", version.lower()
    if match := _EPOCH.match(rest):
        epoch, rest = match[1], rest[match.end() :]
    tokens = (_NUMBER + _number(token) if token.isdigit() else _text(token) for token in _TOKEN.findall(rest))
    return _number(epoch) + "".join(tokens) + _END


def _text(token: str) -> str:
    """Return the key of a run without digits, piece by piece: words, punctuation, and pre-release markers.

    Punctuation around a pre-release marker does not count: 1.0-rc.1, 1.0.rc1 and 1.0rc1 are the same version.
    """
    pieces = _PIECE.findall(token)
    key = ""
    for index, piece in enumerate(pieces):
        if piece in _PRE_RANKS:
            key += _PRE + _PRE_RANKS[piece]
        elif piece.isalnum() or not {*pieces[max(index - 1, 0) : index + 2]} & _PRE_RANKS.keys():
            key += f"{_WORD}{piece}\t"
    return key


# ---------------------------------------------------------------- constraints


@dataclasses.dataclass(frozen=True)
class Bound:
    """One side of a range: keys that compare to `key` by `operator` (a MongoDB comparison)."""

    operator: Literal["$gte", "$gt", "$lte", "$lt", "$eq", "$ne"]
    key: str


_OPERATORS: dict[str, Literal["$gte", "$gt", "$lte", "$lt", "$eq", "$ne"]] = {
    ">=": "$gte", ">": "$gt", "<=": "$lte", "<": "$lt", "==": "$eq", "=": "$eq", "!=": "$ne",
}  # fmt: skip
_CLAUSE = re.compile(r"(>=|<=|==|!=|>|<|=)?\s*+([^\s<>=!,]++)")


def constraint(scheme: Scheme, text: str) -> list[Bound]:
    """Return bounds on the sort key for a constraint such as `>=1.2,<2`, all of which must hold.

    A constraint has at most 256 characters. `<2` also excludes the pre-releases of 2, unless it names one itself
    (`<2.0.0-rc.1`). Numbers that a constraint leaves out are 0. Raise ValueError with the reason if it is invalid.
    """
    if len(text) > MAX_CONSTRAINT:
        raise ValueError(f"the version constraint has {len(text)} characters: give at most {MAX_CONSTRAINT}.")
    bounds = []
    for clause in text.split(","):
        match = _CLAUSE.fullmatch(clause.strip())
        if not match or len(match[2]) > MAX_LENGTH:
            raise ValueError(
                f"{clause.strip()!r} is not a version constraint: give one or more of >=, >, <=, <, = and != "
                "with a version, separated by commas, such as '>=1.2,<2'."
            )
        operator, key = _OPERATORS[match[1] or "="], sort_key(scheme, _completed(scheme, match[2]))
        if key.startswith(_ODD) and operator not in {"$eq", "$ne"}:
            raise ValueError(f"{match[2]!r} is not a {scheme} version: give a bound such as '>=1.2'.")
        if operator == "$lt" and not _is_pre_release(scheme, match[2]):
            key = key.removesuffix(_END) + _PRE
        bounds.append(Bound(operator, key))
    return bounds


def _completed(scheme: Scheme, version: str) -> str:
    if scheme == "SEMVER" and re.fullmatch(r"\d+(\.\d+)?", version, re.ASCII):
        return version + ".0" * (2 - version.count("."))
    return version


def _is_pre_release(scheme: Scheme, version: str) -> bool:
    if scheme == "SEMVER" and (match := _SEMVER.fullmatch(version)):
        return match[4] is not None
    return scheme == "ANY" and not {*_PIECE.findall(version.lower())}.isdisjoint(_PRE_RANKS)
