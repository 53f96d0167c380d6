"""The depth and the width of a document, from its tokens: before it is parsed, which takes ten times as long.

Validation compares the fields of a selection with each other, and follows each fragment from where it is spread.
So its input must be small. Every fragment is measured once, however often it is spread. The sizes of an
invalid document mean nothing: the parser refuses it.
"""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence

from release_catalog.graphql_api.request_errors import RequestError, limit_exceeded
from release_catalog.request_limits import Limits

# The lexer takes up to 0.2 microseconds a character, whether or not it finds a token.
MAX_CHARACTERS = 100_000
# GraphiQL queries types wrapped nine times, as every tool does: 15 levels.
INTROSPECTION_LEVELS = 8
# Fields that are requested again under the same name, with all that is under them: validation compares each with
# each. Fragments of components name some fields again and again, so it is more than any client needs.
MAX_REPEATS = 100

# Exact for valid documents. A token that is not closed goes on to the end: otherwise the search would never end.
_TOKEN = re.compile(
    r'''
    [!$&():=@\[\]{|}] | \.\.\.
    | [A-Za-z_][0-9A-Za-z_]*+
    | -?[0-9]++ (?:\.[0-9]++)?+ (?:[eE][+-]?[0-9]++)?+
    | """ (?:[^"\\]++ | \\""" | \\ | "(?!""))*+ (?:""")?+
    | " (?:[^"\\\n\r]++ | \\.)*+ "?+
    | \#[^\n\r]*+
    ''',
    re.VERBOSE,
)


def tokenize(text: str, max_tokens: int) -> list[str]:
    """Return the tokens of a document, comments among them; refuse more than `max_tokens`, and a longer text."""
    if len(text) > MAX_CHARACTERS:
        raise limit_exceeded("characters", MAX_CHARACTERS, f"The document has {len(text)} characters")
    found = [match[0] for match in itertools.islice(_TOKEN.finditer(text), max_tokens + 1)]
    if len(found) > max_tokens:
        raise limit_exceeded("tokens", max_tokens, f"Document contains more than {max_tokens} tokens")
    return found


@dataclasses.dataclass(slots=True)
class _SelectionStats:
    """The size of a selection with its fragments opened; `names` holds its fields, each with its own number."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    repeats: int = 0
    fields: int = 0
    names: dict[str, int] = dataclasses.field(default_factory=dict)

    def add(self, other: "_SelectionStats", names: Mapping[str, int], deeper: int = 0) -> None:
        self.depth = max(self.depth, other.depth + deeper)
        self.aliases += other.aliases
        self.directives += other.directives
        self.repeats += other.repeats
        for name in self.names.keys() & names:
            self.repeats += names[name]
        self.fields += sum(names.values())
        self.names.update(names)


class _DocumentStats:
    """The sizes of all definitions of a document, and whether fragments spread each other in circles."""

    def __init__(self, tokens: Sequence[str]) -> None:
        # Empty tokens follow the last one, for the code that looks ahead.
        self._tokens = [*(token for token in tokens if token[0] not in '#"'), "", "", ""]
        self._ends = _ends(self._tokens)
        self._fragments: dict[str, int] = {}
        # None while a fragment is being measured.
        self._known: dict[str, _SelectionStats | None] = {}
        self.circular = False
        self.sizes = [self._definition(*found) for found in self._definitions()]

    def _definitions(self) -> list[tuple[int, int]]:
        """Return the beginning of each definition, and that of its selection."""
        found, begin, at = [], 0, 0
        while at < len(self._tokens):
            if self._tokens[at] == "{":
                found.append((begin, at))
                if self._tokens[begin] == "fragment":
                    self._fragments.setdefault(self._tokens[begin + 1], at)
                begin = self._ends[at] + 1
            at = self._ends.get(at, at) + 1
        return found

    def _definition(self, begin: int, at: int) -> _SelectionStats:
        """Return the size of an operation or a fragment, with the directives of its variables."""
        name = self._tokens[begin + 1]
        fragment = self._fragments.get(name) == at
        size = dataclasses.replace(self._fragment(name) if fragment else self._selection(at))
        size.directives += self._tokens[begin:at].count("@")
        if self._tokens[begin] == "fragment":
            # Its depth counts where it is spread, which may be within introspection.
            size.depth = 0
        return size

    def _fragment(self, name: str) -> _SelectionStats:
        if name not in self._known:
            self._known[name] = None
            self._known[name] = (
                self._selection(self._fragments[name]) if name in self._fragments else _SelectionStats()
            )
        size = self._known[name]
        self.circular |= size is None
        return size or _SelectionStats()

    def _selection(self, at: int) -> _SelectionStats:
        """Return the size of the selection between the braces that open at `at`."""
        size, tokens, end = _SelectionStats(), self._tokens, self._ends[at]
        at += 1
        while at < end:
            name, key, opened = tokens[at], "", _SelectionStats()
            if name == "...":
                at += 1
                if tokens[at] == "on":
                    at += 2
                elif tokens[at] not in {"@", "{"}:
                    opened = self._fragment(tokens[at])
                    at += 1
            else:
                key = name
                if tokens[at + 1] == ":":
                    name = tokens[at + 2]
                    size.aliases += 1
                    at += 2
                at = self._after_arguments(at + 1)
            while tokens[at] == "@":
                size.directives += 1
                at = self._after_arguments(at + 2)
            if tokens[at] == "{":
                opened = self._selection(at)
                at = self._ends[at] + 1
            if key:
                if name in {"__schema", "__type"}:
                    opened.depth = max(0, opened.depth - INTROSPECTION_LEVELS)
                size.add(opened, {key: 1 + opened.fields}, deeper=1)
            else:
                size.add(opened, opened.names)
        return size

    def _after_arguments(self, at: int) -> int:
        return self._ends[at] + 1 if self._tokens[at] == "(" else at


def _ends(tokens: Sequence[str]) -> dict[int, int]:
    """Return the end of each brace and each parenthesis; the end of the document if it does not close."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for at, token in enumerate(tokens):
        if token in {"{", "("}:
            opened.append(at)
        elif token in {"}", ")"} and opened:
            ends[opened.pop()] = at
    return ends | dict.fromkeys(opened, len(tokens) - 3)


def check(tokens: Sequence[str], limits: Limits) -> bool:
    """Return whether fragments spread each other in circles; refuse a document that is too deep or too wide.

    That holds for each of its operations.
    """
    try:
        measure = _DocumentStats(tokens)
    except RecursionError:
        raise limit_exceeded("depth", limits.max_depth, "The document is nested too deeply") from None
    for size in measure.sizes:
        for limit, came, most, what in (
            ("depth", size.depth, limits.max_depth, "levels of fields"),
            ("aliases", size.aliases, limits.max_aliases, "aliases"),
            ("directives", size.directives, limits.max_directives, "directives"),
            ("repeats", size.repeats, MAX_REPEATS, "repeated fields"),
        ):
            if came > most:
                raise limit_exceeded(
                    limit, most, f"The document has {_number(came)} {what}, counted in all fragments"
                )
    return measure.circular


def _number(count: int) -> str:
    return str(count) if count < 10**9 else "billions of"


def refused_by_parser(reason: str, limits: Limits) -> RequestError | None:
    """Return the refusal of a document if the parser's message is about a limit."""
    if "nested too deeply" in reason:
        return limit_exceeded("depth", limits.max_depth, "Document is nested too deeply")
    return None
