"""MAVEN: versions as Maven's ComparableVersion compares them (POM reference, Version Order Specification).

ComparableVersion itself goes in circles for a few texts, such as `1-alpha` < `1` < `1.sp.1` < `1-alpha`. The order
here is its order everywhere else.
"""

import re

from release_catalog.domain.version_schemes.key_ranges import EVERY, KeyRanges, Range, after, exactly, union
from release_catalog.domain.version_schemes.scheme import OPERATORS, VersionScheme, number

# The marks that begin the parts of a key, in rising order. A word before the release, or after it, is lower with a
# dot than with a hyphen.
_EARLY = "0"
_RELEASE = "1"
_LATE_DOT = "2"
_LATE_HYPHEN = "3"
_HYPHEN_NUMBER = "4"
_DOT_NUMBER = "5"

_EARLY_WORDS = {"alpha": "0", "beta": "1", "milestone": "2", "rc": "3", "cr": "3", "snapshot": "4"}
_RELEASE_WORDS = frozenset(["ga", "final", "release"])
_BEFORE_A_NUMBER = {"a": "alpha", "b": "beta", "m": "milestone"}

_INVALID = re.compile(r'[\\/:"<>|?*\[\](){},\s\x00-\x1f]')
_TOKEN = re.compile(r"([.-]?)([0-9]++|[^0-9.-]++|)", re.ASCII)
_INTERVAL = re.compile(r"\s*+([\[(])([^\[\](),]*+)(,?)([^\[\](),]*+)([\])])\s*+")


class Maven(VersionScheme):
    """Versions of Maven artifacts."""

    name = "MAVEN"
    form = r'give a text such as 1.4 or 1.4-rc-1, without white space and \ / : " < > | ? * [ ] ( ) { } ,'
    forms = f"{OPERATORS}; or intervals such as [1.2,2), (,1.0] and [1.5]"

    def key(self, version: str) -> str | None:
        """Return the key of a version that Maven takes in a POM."""
        if not version or _INVALID.search(version):
            return None
        return "".join(_part(separator, token) for separator, token in _tokens(version.lower())) + _RELEASE

    def constraint(self, text: str) -> list[KeyRanges]:
        """Return the keys that a constraint allows: comparisons, or intervals in rising order."""
        if not text.lstrip().startswith(("[", "(")):
            return super().constraint(text)
        found: list[Range] = []
        start = 0
        while match := _INTERVAL.match(text, start):
            low, high = self._interval(*match.groups())
            if found and (found[-1][1] is None or low < found[-1][1]):
                raise ValueError(f"{text!r} has overlapping intervals: in rising order, {self.forms}.")
            found.append((low, high))
            start = match.end() + 1
            if match.end() == len(text) or text[match.end()] != ",":
                break
        if not match or match.end() != len(text):
            raise self.no_constraint(text)
        allowed = union([tuple(found)])
        return [KeyRanges(allowed, allowed)]

    def _interval(self, opening: str, low: str, comma: str, high: str, closing: str) -> Range:
        """Return the range of keys of an interval, whose missing bounds are no bounds."""
        low, high = low.strip(), high.strip()
        interval = f"{opening}{low}{comma}{high}{closing}"
        if not comma:
            if not low or (opening, closing) != ("[", "]"):
                raise self.no_constraint(interval)
            return exactly(self.known_key(low))[0]
        if low == high:
            raise self.no_constraint(interval)
        start, end = EVERY[0]
        if low:
            start = self.known_key(low) if opening == "[" else after(self.known_key(low))
        if high:
            end = after(self.known_key(high)) if closing == "]" else self.known_key(high)
        if end is not None and start >= end:
            raise ValueError(f"{interval!r} holds no version: with the lower bound first, {self.forms}.")
        return start, end


def _tokens(version: str) -> list[tuple[str, str]]:
    """Return the parts of a version with their separators, without what equals nothing before a hyphen.

    A change between digits and letters is a hyphen, and so is the dot before a word that ends there.
    """
    found = [(separator, token) for separator, token in _TOKEN.findall(version) if separator or token]
    tokens: list[tuple[str, str]] = [(".", "0")] if found[0][0] else []
    for index, (separator, token) in enumerate(found):
        following = found[index + 1] if index + 1 < len(found) else ("", "")
        if not following[0] and following[1]:
            token = _BEFORE_A_NUMBER.get(token, token)  # noqa: PLW2901
        is_word = bool(token) and not _is_number(token)
        hyphen = separator != "." or (is_word and not following[0])
        if tokens and (hyphen or token in _EARLY_WORDS or token in _RELEASE_WORDS):
            _trim(tokens)
        tokens.append(("-" if hyphen and index else ".", token or "0"))
    _trim(tokens)
    return tokens


def _trim(tokens: list[tuple[str, str]]) -> None:
    """Remove the parts at the end that equal nothing."""
    while tokens and (tokens[-1][1] in _RELEASE_WORDS or not tokens[-1][1].strip("0")):
        tokens.pop()


def _is_number(token: str) -> bool:
    return token.isascii() and token.isdecimal()


def _part(separator: str, token: str) -> str:
    """Return the key of one part."""
    if _is_number(token):
        return (_DOT_NUMBER if separator == "." else _HYPHEN_NUMBER) + number(token)
    if token in _RELEASE_WORDS:
        return _RELEASE
    if token in _EARLY_WORDS:
        return f"{_EARLY}{int(separator == '-')}{_EARLY_WORDS[token]}"
    mark = _LATE_DOT if separator == "." else _LATE_HYPHEN
    return f"{mark}0" if token == "sp" else f"{mark}1{token}\t"  # noqa: S105  it is no password
