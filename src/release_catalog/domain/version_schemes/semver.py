"""SEMVER: Semantic Versioning 2.0.0, with the ranges of npm."""

import re
from typing import NamedTuple

from release_catalog.domain.version_schemes.key_ranges import (
    PRE_RELEASE_END,
    RELEASE_END,
    KeyRanges,
    Ranges,
    compared,
    complement,
    intersection,
    intersections,
    union,
)
from release_catalog.domain.version_schemes.scheme import MAX_VERSION, OPERATORS, VersionScheme, number

# What follows the numbers of a version, in rising order: a pre-release, or RELEASE_END.
_PRE = "0"
_NUMBER = "2"
_WORD = "3"

_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_PRE_RELEASE = rf"(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
_BUILD = r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
_SEMVER = re.compile(
    rf"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*){_PRE_RELEASE}{_BUILD}",
    re.ASCII,
)
_X = r"(0|[1-9][0-9]*|[xX*])"
_OPERATOR = r"(\^|~>?|>=|<=|==|!=|>|<|=)"
_COMPARISON = re.compile(rf"{_OPERATOR}?v?{_X}(?:\.{_X}(?:\.{_X}{_PRE_RELEASE}{_BUILD})?)?", re.ASCII)
_LEADING_OPERATOR = re.compile(rf"\A{_OPERATOR}?v?")
_BLANKS_AFTER_OPERATOR = re.compile(rf"{_OPERATOR}\s++")
_SPELLINGS = {"": "=", "==": "=", "~>": "~"}

_Numbers = tuple[int, int, int]
# Below every version of these numbers, their pre-releases included.
_LOWEST_PRE = "0"


class _Term(NamedTuple):
    """The versions that a comparison with a whole version allows, and the pre-releases that it names."""

    ranges: Ranges
    named: Ranges = ()


class _Partial(NamedTuple):
    """A version of which numbers may be missing, from the right."""

    known: tuple[int, ...]
    pre: str | None

    def lowest(self) -> _Numbers:
        """Return the numbers with 0 for the missing ones."""
        major, minor, patch = (*self.known, 0, 0, 0)[:3]
        return major, minor, patch

    def following(self, place: int) -> _Numbers:
        """Return the lowest numbers above all that begin with the first `place` + 1 numbers."""
        numbers = self.lowest()
        major, minor, patch = (*numbers[:place], numbers[place] + 1, 0, 0)[:3]
        return major, minor, patch


class Semver(VersionScheme):
    """Semantic versions; as in npm, a range has pre-releases only of versions of which it names a pre-release."""

    name = "SEMVER"
    form = (
        "give MAJOR.MINOR.PATCH[-pre-release][+build] without leading zeros, such as 1.4.0, 1.4.0-rc.1 or 1.4.0+7"
    )
    forms = f"{OPERATORS}; or npm's ^1.2, ~1.2, 1.x, *, '1.2 - 1.4', and || between alternatives"

    def key(self, version: str) -> str | None:
        """Return the key of a semantic version, in which build metadata does not count."""
        if not (match := _SEMVER.fullmatch(version)):
            return None
        major, minor, patch, pre = match.groups()
        return number(major) + number(minor) + number(patch) + _end(pre)

    def constraint(self, text: str) -> list[KeyRanges]:
        """Return the keys that a range of npm allows, in which a comma joins comparisons as a space does."""
        parts = text.split("||")
        # To npm, nothing beside || is any version.
        alternatives = [self._terms(part) if part.strip() or len(parts) == 1 else [] for part in parts]
        if [] in alternatives:
            # npm forgets the other alternatives, and with them the pre-releases that they name.
            alternatives = [[]]
        allowed = [_allowed(terms) for terms in alternatives]
        releases = union(alternative.releases for alternative in allowed)
        return [KeyRanges(releases, union(alternative.pre_releases for alternative in allowed))]

    def _terms(self, text: str) -> list[_Term]:
        """Return the terms of one alternative, all of which must hold; none for any version."""
        found: list[_Term] = []
        for clause in text.split(","):
            words = _BLANKS_AFTER_OPERATOR.sub(r"\1", clause).split()
            match words:
                case []:
                    raise self.no_constraint("")
                case [low, "-", high]:
                    found += self._comparison(low, ">=") + self._comparison(high, "<=")
                case _:
                    for word in words:
                        found += self._comparison(word)
        return found

    def _comparison(self, text: str, operator: str | None = None) -> list[_Term]:
        """Return the terms of one comparison; with `operator`, the text is a version alone."""
        match = _COMPARISON.fullmatch(text) if len(text) <= MAX_VERSION else None
        if not match or (operator and match[1]):
            version = text if operator else _LEADING_OPERATOR.sub("", text)
            raise self.no_version(version) if version[:1].isdecimal() else self.no_constraint(text)
        known = match.groups()[1:4]
        numbers = [int(part) for part in known if part and part.isdecimal()]
        if any(part and part.isdecimal() for part in known[len(numbers) :]):
            raise self.no_constraint(text)
        partial = _Partial(tuple(numbers), match[5] if len(numbers) == len(known) else None)
        given = operator or match[1] or ""
        return _compared(_SPELLINGS.get(given, given), partial)


def _compared(operator: str, partial: _Partial) -> list[_Term]:
    """Return the terms of a comparison with a version whose missing numbers stand for any."""
    places = len(partial.known)
    if not places:
        return [_Term(())] if operator in {"<", ">", "!="} else []
    if operator == "!=":
        return [_Term(complement(intersections([term.ranges for term in _compared("=", partial)])))]
    whole = places == len(partial.lowest())
    lower = [_term(">=", partial.lowest(), partial.pre)]
    match operator:
        case "^":
            terms = [*lower, _under(partial.following(_first_used(partial.known)))]
        case "~":
            terms = [*lower, _under(partial.following(min(places - 1, 1)))]
        case ">=":
            terms = lower if any(partial.known) or partial.pre else []  # npm takes >=0.0.0 for any version
        case _ if whole:
            terms = [_term(operator, partial.lowest(), partial.pre)]
        case ">":
            terms = [_term(">=", partial.following(places - 1))]
        case "<":
            terms = [_under(partial.lowest())]
        case "<=":
            terms = [_under(partial.following(places - 1))]
        case _:
            terms = [*lower, _under(partial.following(places - 1))]
    return terms


def _first_used(numbers: tuple[int, ...]) -> int:
    """Return the place of the first number that is not 0, or of the last one."""
    return next((place for place, value in enumerate(numbers) if value), len(numbers) - 1)


def _term(operator: str, numbers: _Numbers, pre: str | None = None) -> _Term:
    start = "".join(number(str(value)) for value in numbers)
    named: Ranges = () if pre is None else ((start + _PRE, start + RELEASE_END),)
    return _Term(compared(operator, start + _end(pre)), named)


def _under(numbers: _Numbers) -> _Term:
    """Return the term of the versions below these numbers and their pre-releases."""
    return _Term(_term("<", numbers, _LOWEST_PRE).ranges)


def _allowed(terms: list[_Term]) -> KeyRanges:
    releases = intersections([term.ranges for term in terms])
    return KeyRanges(releases, intersection(releases, union(term.named for term in terms)))


def _end(pre: str | None) -> str:
    """Return the key of a pre-release: numbers below words, a longer list above its prefix (SemVer 2, item 11)."""
    if pre is None:
        return RELEASE_END
    parts = ((_NUMBER + number(part)) if part.isdecimal() else f"{_WORD}{part}\t" for part in pre.split("."))
    return _PRE + "".join(parts) + PRE_RELEASE_END
