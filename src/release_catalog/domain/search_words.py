"""The words of texts, by which a search finds them: without regard to letter case, accents and width.

A word is a run of letters, digits and underscores, or a number with dots such as `1.2.3`. Its rest behind each
underscore is a word as well, and behind a `v` that begins a number: `x86_64` is found by `64`, `v1.2` by `1.2`.
Scripts without spaces have no such words: there, each pair of neighbouring characters is one, and so is the last
character of a run. Therefore each part of such a text begins at a word, as the words that a search looks for must.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator

# A release is found by at most this many different words, each of at most this many characters, which stand in the
# first characters of its texts.
MAX_WORDS = 1_000
MAX_WORD = 64
MAX_TEXT = 65_536
# Shorter runs without spaces are looked for as they are.
MIN_PAIRS = 3
# The limits of a search.
MAX_SEARCH = 256
MAX_SEARCHED_WORDS = 20

# Vowel signs and other marks belong to words, though they are no letters.
_LETTER = r"[\w\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u06d6-\u06ed\u0900-\u0fff\u1000-\u109f\u1780-\u17ff]"
_TOKENS = re.compile(rf"{_LETTER}+(?:(?<=\d)\.(?=\d){_LETTER}+)*")
_ACCENTS = re.compile("[\u0300-\u036f]+")
# The first characters of a word and of its rests behind underscores; the `v` of a word that is a number.
_BEGINNINGS = re.compile(r"(?<![^_])[^_]")
_NUMBERED = re.compile(r"v(?=\d)")
# The `v` of a number with dots, which a search finds without it.
_VERSION = re.compile(r"v(?=\d+\.)")
# Thai to Myanmar and Khmer, kana, ideographs and Hangul.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def words(texts: Iterable[str]) -> list[str]:
    """Return the different words of `texts`, at most `MAX_WORDS`: those of the first text first."""
    found: dict[str, None] = {}
    for text in texts:
        for token in _tokens(text[:MAX_TEXT]):
            for word in _words(token):
                found[word] = None
            if len(found) >= MAX_WORDS:
                return list(found)[:MAX_WORDS]
    return list(found)


@functools.lru_cache(1_000)
def searched(text: str) -> list[str]:
    """Return the words that must each begin a word of a text so that a search for `text` finds it."""
    found = [word for token in _tokens(text) for word in _searched(token)]
    # A word that begins another one says nothing more.
    return [
        word
        for word in dict.fromkeys(found)
        if not any(other != word and other.startswith(word) for other in found)
    ]


def _tokens(text: str) -> Iterator[str]:
    """Yield the runs of letters, digits and underscores, and of characters of scripts without spaces."""
    if text.isascii():
        yield from (token for token in _TOKENS.findall(text.lower()) if token.strip("_"))
        return
    # One character may become eighteen.
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text)[:MAX_TEXT].casefold())
    for token in _TOKENS.findall(unicodedata.normalize("NFKC", plain)):
        at = 0
        for run in _UNSPACED.finditer(token):
            yield from filter(None, (token[at : run.start()].strip("_"), run.group()))
            at = run.end()
        if rest := token[at:].strip("_"):
            yield token if at == 0 else rest


def _words(token: str) -> Iterator[str]:
    if _UNSPACED.match(token):
        yield from (token[at : at + 2] for at in range(len(token) - 1))
        yield token[-1]
        return
    for beginning in _BEGINNINGS.finditer(token):
        at = beginning.start()
        yield token[at : at + MAX_WORD]
        if _NUMBERED.match(token, at):
            yield token[at + 1 : at + 1 + MAX_WORD]


def _searched(token: str) -> list[str]:
    if not _UNSPACED.match(token) or len(token) < MIN_PAIRS:
        token = token.lstrip("_")
        return [(token[1:] if _VERSION.match(token) else token)[:MAX_WORD]]
    # Pairs that do not overlap, and the last one.
    return [*(token[at : at + 2] for at in range(0, len(token) - 2, 2)), token[-2:]]
