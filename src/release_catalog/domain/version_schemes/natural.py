"""ANY: every text, in natural order.

A Debian epoch comes first and runs of digits count as numbers. In the rest `~` is lowest, then come pre-release
markers, the end, `-`, digits, letters, and the other characters. So `1.0~rc1` < `1.0-rc1` < `1.0` < `1.0-1` <
`1.0a` < `1.0.1`, as with dpkg, where an upstream version ends at the `-`.
"""

import re

from release_catalog.domain.version_schemes.key_ranges import Ranges, below
from release_catalog.domain.version_schemes.scheme import VersionScheme, number

# The marks that can follow at any point of a key, in rising order; letters stand for themselves, before the last.
_TILDE = "!"
_PRE = '"'
_END = "#"
_HYPHEN = "$"
_NUMBER = "%"
_OTHER = "{"
# A version that begins with digits is above all that do not.
_WORDS_FIRST = "0"
_DIGITS_FIRST = "1"

_EPOCH = re.compile(r"(?:([0-9]+):)?(?:v(?=[0-9]))?", re.ASCII)
_TOKEN = re.compile(r"[0-9]++|[^\W\d_]++|.", re.DOTALL)
_MARKERS = {
    word: _PRE + rank
    for rank, words in zip(
        "abcdefghijk",
        ["alpha", "beta", "canary", "dev", "milestone m", "next", "nightly", "pre", "preview", "rc", "snapshot"],
        strict=True,
    )
    for word in words.split()
}
_BEFORE_A_NUMBER = {"a": _MARKERS["alpha"], "b": _MARKERS["beta"], "c": _MARKERS["rc"]}
_SEPARATORS = frozenset("-._")


class Natural(VersionScheme):
    """Any text, in natural order."""

    name = "ANY"
    form = "give a text of 1 to 64 characters"

    def key(self, version: str) -> str:
        """Return the key of any text."""
        return _key(version)[0]

    def compared(self, operator: str, version: str) -> Ranges:
        """Return the keys that compare to `version`; `<2` excludes the pre-releases of 2, unless it names one."""
        key, is_pre_release = _key(version)
        if operator == "<" and not is_pre_release:
            return below(key.removesuffix(_END) + _TILDE)
        return super().compared(operator, version)


def _key(version: str) -> tuple[str, bool]:
    """Return the key of a version, and whether the version has a mark of a pre-release.

    Separators around a marker do not count: 1.0-rc.1, 1.0.rc1 and 1.0rc1 are the same version.
    """
    version = version.lower()
    epoch = _EPOCH.match(version)
    start = epoch.end() if epoch else 0
    tokens = [None, *_TOKEN.findall(version, start), None]
    parts: list[str] = []
    is_pre_release = skips = False
    for before, token, following in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if token is None:
            break
        if skips and token in _SEPARATORS:
            continue
        skips = False
        if marker := _marker(before, token, following):
            while parts and parts[-1] in _SEPARATED:
                parts.pop()
            parts.append(marker)
            is_pre_release = skips = True
        else:
            parts.append(_token(token))
            is_pre_release |= token == "~"  # noqa: S105  it is no password
    first = _DIGITS_FIRST if version[start : start + 1].isdecimal() and version[start].isascii() else _WORDS_FIRST
    return f"{number((epoch and epoch[1]) or '')}{first}{''.join(parts)}{_END}", is_pre_release


def _marker(before: str | None, token: str, following: str | None) -> str | None:
    """Return the mark of a token that announces a pre-release."""
    after_digits = before is not None and _is_number(before)
    if token in _BEFORE_A_NUMBER and (after_digits or before == "~") and following and _is_number(following):
        return _BEFORE_A_NUMBER[token]
    return None if after_digits and token == "m" else _MARKERS.get(token)  # noqa: S105  it is no password


def _is_number(token: str) -> bool:
    return token[0].isascii() and token[0].isdecimal()


def _token(token: str) -> str:
    if _is_number(token):
        return _NUMBER + number(token)
    if token.isalpha() or not token.isascii():
        return token
    return {"~": _TILDE, "-": _HYPHEN}.get(token, _OTHER + token)


_SEPARATED = {_token(separator) for separator in _SEPARATORS}
