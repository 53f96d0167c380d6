"""Every regular expression of the package with how it is used, and texts that would make it slow if any did."""

import ast
import dataclasses
import importlib
import importlib.util
import itertools
import math
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from re import _constants as constants  # type: ignore[attr-defined]  # the only parser of Python's own syntax
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import release_catalog

METHODS = ("fullmatch", "match", "search", "split", "sub", "subn", "findall", "finditer")
# What may follow what is repeated, so that nothing matches in the end.
_ENDS = ("", "\x00", "!", "\n")
# Lengths grow slowly at first: of exponential time, each step more is a step too far.
_LENGTHS = (8, 12, 18, 27, 40, 80, 200, 600, 4_000)
# A match in linear time takes some 40 microseconds at the longest.
_SUSPICIOUS_SECONDS = 0.003
_MAX_GROWTH = 1.5


@dataclasses.dataclass(frozen=True)
class Use:
    """A pattern and the method that it is used with."""

    where: str
    pattern: re.Pattern[str]
    method: str


# ---------------------------------------------------------------- finding them


def uses() -> list[Use]:
    """Return all uses of patterns; ValueError where a pattern is made of something that can't be told here."""
    names = [module.name for module in pkgutil.walk_packages(release_catalog.__path__, "release_catalog.")]
    return [use for name in names if not name.endswith("__main__") for use in _of_module(name)]


def _of_module(name: str) -> Iterator[Use]:
    module = importlib.import_module(name)
    tree = ast.parse(importlib.util.find_spec(name).loader.get_source(name))  # type: ignore[union-attr]
    compiled = {key: value for key, value in vars(module).items() if isinstance(value, re.Pattern)}
    used: dict[str, set[str]] = {key: set() for key in compiled}
    elsewhere: set[str] = set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        match call.func:
            case ast.Attribute(ast.Name("re"), "compile"):
                pass
            case ast.Attribute(ast.Name("re"), method) if method in METHODS:
                yield Use(f"{name}:{call.lineno}", _made(module, call, name), method)
            case ast.Attribute(ast.Name(receiver), method) if receiver in used and method in METHODS:
                used[receiver].add(method)
            case ast.Attribute(_, ("fullmatch" | "search" | "findall" | "finditer") as method):
                elsewhere.add(method)
    # Patterns that are handed on are used by whatever takes them in this module, or in any way.
    for key, pattern in compiled.items():
        for method in sorted(used[key] or elsewhere or {"fullmatch", "match", "search"}):
            yield Use(f"{name}.{key}", pattern, method)
    known = {pattern.pattern for pattern in compiled.values()}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute) and ast.unparse(call.func) == "re.compile":
            made = _made(module, call, name)
            if made.pattern not in known:
                for method in ("fullmatch", "match", "search"):
                    yield Use(f"{name}:{call.lineno}", made, method)


def _made(module: Any, call: ast.Call, name: str) -> re.Pattern[str]:
    """Return the pattern of a call of `re`, whose arguments are constants or made of the module's own."""
    flags = [k.value for k in call.keywords if k.arg == "flags"]
    function = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    at = {"compile": 1, "match": 2, "fullmatch": 2, "search": 2, "findall": 2, "finditer": 2}.get(function)
    flags += [call.args[at]] if at and len(call.args) > at else []
    try:
        given = [eval(ast.unparse(node), {**vars(module), "re": re}) for node in (call.args[0], *flags)]
        return re.compile(*given)
    except (NameError, TypeError) as error:
        raise ValueError(
            f"{name}:{call.lineno}: make this pattern of constants, so that it can be checked"
        ) from error


# ---------------------------------------------------------------- texts for them


def attacks(pattern: re.Pattern[str]) -> list[tuple[str, str, str]]:
    """Return what to begin with, what to repeat and what to end with."""
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    letters = list(dict.fromkeys(_letters(tree)))[:10] or ["a"]
    beginnings = list(dict.fromkeys(_beginnings(tree)))[:10]
    units = [*letters, *("".join(pair) for pair in itertools.permutations(letters, 2)), *_samples(tree)]
    return list(itertools.product(beginnings, dict.fromkeys(units), _ENDS))


def _letters(tree: Any) -> Iterator[str]:
    """Return characters that stand for all that a pattern tells apart."""
    for code, value in _nodes(tree):
        if code in {constants.LITERAL, constants.NOT_LITERAL}:
            yield chr(value)
        elif code is constants.IN:
            yield from (letter for letter in _CANDIDATES if _in(value, letter))
        elif code is constants.ANY:
            yield "a"
    yield from " a1-"


_CANDIDATES = 'a1A -_.,:;/@~%=*<>"\\\t\u0661\u0301'


def _in(items: Any, letter: str) -> bool:
    found = False
    for code, value in items:
        if code is constants.LITERAL:
            found |= ord(letter) == value
        elif code is constants.RANGE:
            found |= value[0] <= ord(letter) <= value[1]
        elif code is constants.CATEGORY:
            form = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}[str(value).split("_")[-1]]
            found |= bool(re.match(form, letter)) != ("NOT" in str(value))
    return found != (items[0][0] is constants.NEGATE)


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    for code, value in tree:
        yield code, value
        for inner in _inside(code, value):
            yield from _nodes(inner)


def _inside(code: Any, value: Any) -> list[Any]:
    if code in {constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT}:
        return [value[2]]
    if code is constants.SUBPATTERN:
        return [value[3]]
    if code is constants.BRANCH:
        return list(value[1])
    if code is constants.ATOMIC_GROUP:
        return [value]
    if code in {constants.ASSERT, constants.ASSERT_NOT}:
        return [value[1]]
    return []


def _sample(tree: Any) -> str:
    """Return a text that matches, or nearly."""
    text = ""
    for code, value in tree:
        if code is constants.LITERAL:
            text += chr(value)
        elif code is constants.NOT_LITERAL:
            text += "a" if value != ord("a") else "b"
        elif code is constants.IN:
            text += next((letter for letter in _CANDIDATES if _in(value, letter)), "a")
        elif code is constants.ANY:
            text += "a"
        elif code in {constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT}:
            text += _sample(value[2]) * max(1, min(value[0], 100))
        elif code in {constants.ASSERT, constants.ASSERT_NOT}:
            pass
        elif inner := _inside(code, value):
            text += _sample(inner[0])
    return text


def _samples(tree: Any) -> Iterator[str]:
    """Return a text for each part that is repeated, and for each of its branches."""
    for code, value in _nodes(tree):
        if code in {constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT}:
            yield _sample(value[2]) or "a"
        elif code is constants.BRANCH:
            yield from filter(None, map(_sample, value[1]))


def _beginnings(tree: Any, before: str = "") -> Iterator[str]:
    """Return what leads to each part of a pattern."""
    yield before
    for at, (code, value) in enumerate(tree):
        here = before + _sample(tree[:at])
        for inner in _inside(code, value):
            yield from _beginnings(inner, here)
        yield here + _sample([(code, value)])


# ---------------------------------------------------------------- measuring them


def growth(pattern: re.Pattern[str], method: str) -> tuple[float, str] | None:
    """Return how fast the time grows for the first text that takes long, as a power of the length, and the text."""
    for beginning, unit, end in attacks(pattern):

        def text(length: int, parts: tuple[str, str, str] = (beginning, unit, end)) -> str:
            return parts[0] + parts[1] * (length // len(parts[1])) + parts[2]

        if length := _suspicious(pattern, method, text):
            power = _power(pattern, method, text, length)
            if power > _MAX_GROWTH:
                return power, f"{beginning!r} + {unit!r} * n + {end!r}"
    return None


def _suspicious(pattern: re.Pattern[str], method: str, text: Callable[[int], str]) -> int | None:
    """Return the length at which a match takes long, if it ever does."""
    for length in _LENGTHS:
        if _seconds(pattern, method, text(length), _SUSPICIOUS_SECONDS) > _SUSPICIOUS_SECONDS:
            return length
    return None


def _power(pattern: re.Pattern[str], method: str, text: Callable[[int], str], length: int) -> float:
    """Return the power of the length that the time grows with, from half of it on."""
    halves = [length // 4, length // 2, length]
    times = [max(_seconds(pattern, method, text(n), 0), 1e-7) for n in halves]
    return math.log(times[-1] / times[0], halves[-1] / halves[0])


def _seconds(pattern: re.Pattern[str], method: str, text: str, enough: float) -> float:
    """Return the least of some measurements, the first that is short enough."""
    least = float("inf")
    for _ in range(5):
        began = time.thread_time()
        _run(pattern, method, text)
        least = min(least, time.thread_time() - began)
        if least <= enough:
            break
    return least


def _run(pattern: re.Pattern[Any], method: str, text: Any) -> None:
    if isinstance(pattern.pattern, bytes):
        text = text.encode("latin-1", "ignore")
    if method in {"sub", "subn"}:
        pattern.sub(text[:0], text)
    elif method == "finditer":
        for _ in pattern.finditer(text):
            pass
    else:
        getattr(pattern, method)(text)
