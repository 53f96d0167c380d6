"""Validation of inputs, which collects all violations so that the client gets them at once."""

import datetime
import re
import urllib.parse
from collections.abc import Callable, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from release_catalog.domain import timestamps
from release_catalog.errors import Violation, ViolationCode

_Time = TypeVar("_Time", datetime.datetime, datetime.date)

MAX_LONG = 2**63 - 1
# The maximum number of violations that are listed.
MAX_VIOLATIONS = 1_000
# Texts with at least this limit may contain line breaks and tabs.
MAX_LONG_TEXT = 4096
# Imported release notes may be longer (S1).
MAX_IMPORTED_NOTES = 262_144
# Possessive quantifiers prevent backtracking: each pattern reads a text once.
_EMAIL = re.compile(r"[^@\s\x00-\x1f]++@[^@\s.\x00-\x1f]++(?:\.[^@\s.\x00-\x1f]++)*+")
_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_MAX_SHA256 = len("sha256:") + 64
_URL = re.compile(r"https?://[^/\s?#]++\S*+", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s\x00-\x1f\x7f]++")
# Names become part of the strings by which releases find each other, and are printed in logs.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Embeddings, overrides and isolates, which let a name look like another one.
_BIDIRECTIONAL = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Validator:
    """A reader of the fields of a JSON object that keeps a violation for each invalid one."""

    def __init__(self, fields: Mapping[str, Any], path: str, found: list[Violation] | None = None) -> None:
        """Read `fields`; `path` precedes field names in violations, and `found` collects these across objects."""
        self.fields = fields
        self.path = path
        self.found: list[Violation] = [] if found is None else found

    def _at(self, field: str) -> str:
        return f"{self.path}.{field}" if self.path else field

    def refuse(self, field: str, code: ViolationCode, message: str) -> None:
        """Add a violation of `field`; after 1,000 violations, a last one says that there are more."""
        if len(self.found) < MAX_VIOLATIONS:
            self.found.append(Violation(self._at(field), message, code))
        elif len(self.found) == MAX_VIOLATIONS:
            message = f"The input has more than {MAX_VIOLATIONS} violations: correct these first."
            self.found.append(Violation(self.path or field, message, "TOO_MANY_VIOLATIONS"))

    def known(self, names: AbstractSet[str]) -> None:
        """Refuse fields outside `names`: accepted input is never dropped silently."""
        if self.fields.keys() <= names:
            return
        for name in [name for name in self.fields if name not in names]:
            self.refuse(
                name, "UNKNOWN_FIELD", f"The field {name!r} does not exist here: correct its name, or remove it."
            )

    def whole(self, readers: "FieldParsers") -> dict[str, Any]:
        """Parse all fields of `readers`, and refuse any others."""
        self.known(readers.keys())
        return {field: reader(self, field) for field, reader in readers.items()}

    def parse_given(self, readers: "FieldParsers") -> dict[str, Any]:
        """Parse the fields of `readers` that are given and not null, and refuse any others."""
        return {field: value for field, value in self.whole(readers).items() if value is not None}

    def unique(self, field: str, keys: Sequence[Hashable]) -> None:
        """Refuse list entries that repeat an earlier key, because a reference to it would be ambiguous."""
        seen = set()
        for at, key in enumerate(keys):
            if key in seen:
                self.refuse(f"{field}[{at}]", "REPEATED", f"{_named(key)} is repeated: give it once.")
            seen.add(key)

    def text(self, field: str, limit: int, *, required: bool = False, tabs: bool = False) -> str | None:
        """Return the text of a field, of which at most `limit` characters are ever read.

        A longer text is a violation; its beginning is returned, so that the other fields can be checked. With
        `tabs`, a short text may contain tabs.
        """
        value = self.fields.get(field)
        if type(value) is str and 0 < len(value) <= limit and value.isprintable():
            return value
        if value is None or (required and value == ""):
            if required:
                self.refuse(field, "REQUIRED", f"The text is missing: give one of 1 to {limit} characters.")
            return None
        if not isinstance(value, str):
            self.refuse(field, "NOT_TEXT", f"This is {_kind(value)}: give a text.")
            return None
        if len(value) > limit:
            self.refuse(field, "TOO_LONG", f"The text has {len(value)} characters: give at most {limit}.")
            return value[:limit]
        control = _CONTROL.search(value.replace("\t", "") if tabs else value)
        if control and (limit < MAX_LONG_TEXT or "\x00" in value):
            character = _character(control[0] if limit < MAX_LONG_TEXT else "\x00")
            self.refuse(field, "CONTROL_CHARACTER", f"The text has the control character {character}: remove it.")
        return value

    def name(self, field: str, limit: int = 256, *, required: bool = True) -> str | None:
        """Return a name or key: a text without white space at its ends and without bidirectional overrides."""
        before = len(self.found)
        value = self.text(field, limit, required=required)
        if not value or len(self.found) > before or (value.isprintable() and value == value.strip()):
            return value
        if bidirectional := _BIDIRECTIONAL.search(value):
            character = _character(bidirectional[0])
            message = f"The text has the bidirectional control character {character}: remove it."
            self.refuse(field, "CONTROL_CHARACTER", message)
        elif value != value.strip():
            character = _character(value[0] if value[0].isspace() else value[-1])
            message = f"The text begins or ends with the white space {character}: remove it."
            self.refuse(field, "WHITE_SPACE", message)
        return value

    def relative_path(self, field: str, limit: int, *, required: bool = False) -> str | None:
        """Return a relative path, or a part of one: a name without `.` and `..` segments and backslashes."""
        before = len(self.found)
        value = self.name(field, limit, required=required)
        if not value or len(self.found) > before:
            return value
        if not is_relative(value):
            message = (
                "This is not a relative path: remove slashes at its beginning, backslashes, and segments of dots."
            )
            self.refuse(field, "NOT_A_PATH", message)
        return value

    def _matching(
        self, field: str, limit: int, pattern: re.Pattern[str], code: ViolationCode, message: str
    ) -> str:
        """Return a required text of at most `limit` characters; it is a violation unless it matches `pattern`."""
        before = len(self.found)
        value = self.text(field, limit, required=True) or ""
        if len(self.found) == before and not pattern.fullmatch(value):
            self.refuse(field, code, message.format(value))
        return value

    def id(self, field: str) -> str | None:
        """Return an id of at most 255 characters that fits into a URL."""
        value = self.text(field, 255)
        if value == "" or is_dots(value):
            self.refuse(field, "NOT_AN_ID", f"{value!r} can't be part of a URL: give another id.")
        return value

    def segment(self, field: str, limit: int = 256, *, required: bool = True) -> str | None:
        """Return a name that is part of the path of a URL."""
        value = self.name(field, limit, required=required)
        if is_dots(value):
            self.refuse(field, "NOT_AN_ID", f"{value!r} can't be part of a URL: give another name.")
        return value

    def new_id(self, field: str) -> str | None:
        """Return the id of a new document, for which the rules of names hold, too."""
        before = len(self.found)
        value = self.name(field, 255, required=False)
        return self.id(field) if len(self.found) == before else value

    def choice(self, field: str, *names: str) -> str | None:
        """Return one of `names`; without any, the name of an enum value, which the schema has checked."""
        value: str | None = self.fields.get(field)
        if names and value is not None and value not in names:
            self.refuse(field, "UNKNOWN", f"This value does not exist: give one of {', '.join(names)}.")
            return None
        return value

    def _entries(self, field: str, limit: int) -> list[Any]:
        value = self.fields.get(field)
        if not isinstance(value, list):
            self.refuse(field, "NOT_A_LIST", "This is not a list: give a list, which may be empty.")
            return []
        if len(value) > limit:
            self.refuse(field, "TOO_MANY", f"The list has {len(value)} entries: give at most {limit}.")
            return []
        return value

    def each(self, field: str, limit: int) -> "Validator":
        """Return the entries of a list of at most `limit` as fields of their own, such as `platforms[0]`."""
        entries = {f"{field}[{at}]": entry for at, entry in enumerate(self._entries(field, limit))}
        return Validator(entries, self.path, self.found)

    def fixed(self, field: str, before: Any) -> None:
        """Refuse `field` if it is given and differs from `before`."""
        value = self.fields.get(field)
        if value is not None and value != before:
            self.refuse(
                field,
                "FIXED",
                f"This field can't change from {before!r}: leave it out, or create another document.",
            )

    def flag(self, field: str) -> bool:
        """Return true or false; absent is false."""
        return bool(self.maybe(field))

    def maybe(self, field: str) -> bool | None:
        """Return true, false, or None."""
        value = self.fields.get(field)
        if value is None or isinstance(value, bool):
            return value
        self.refuse(field, "NOT_BOOLEAN", f"This is {_kind(value)}: give true or false.")
        return None

    def size(self, field: str) -> int:
        """Return a number of bytes from 0 to 2^63-1."""
        value = self.fields.get(field)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_LONG:
            return value
        self.refuse(field, "NOT_A_SIZE", f"This is not a size: give a whole number of bytes from 0 to {MAX_LONG}.")
        return 0

    def sha256(self, field: str) -> str:
        """Return a SHA-256 digest, with or without its prefix and in any case, as 64 lowercase digits."""
        value = self.fields.get(field)
        match = None
        if isinstance(value, str) and len(value) <= _MAX_SHA256:
            match = _SHA256.fullmatch(value.lower())
        if match:
            return match[1]
        self.refuse(field, "NOT_A_SHA256", "This is not a SHA-256 digest: give 64 hexadecimal digits.")
        return ""

    def url(self, field: str) -> str:
        """Return an http or https URL of at most 2048 characters."""
        message = "This is not a complete URL: give one that begins with http:// or https://."
        return self._matching(field, 2048, _URL, "NOT_A_URL", message)

    def address(self, field: str) -> str:
        """Return a URL of any scheme, or a relative one, of at most 2048 characters without white space."""
        return self._matching(field, 2048, _ADDRESS, "NOT_A_URL", "This is not a URL: remove its white space.")

    def email(self, field: str) -> str:
        """Return an email address of at most 320 characters."""
        return self._matching(
            field, 320, _EMAIL, "NOT_AN_EMAIL", "{!r} is not an email address: give one such as name@example.com."
        )

    def instant(self, field: str) -> datetime.datetime | None:
        """Return a required RFC 3339 timestamp."""
        if self.fields.get(field) is None:
            self.refuse(field, "REQUIRED", "The timestamp is missing: give one such as 2026-03-01T09:30:00Z.")
            return None
        return self._time(field, datetime.datetime, timestamps.parse)

    def day(self, field: str) -> str | None:
        """Return a required calendar date, or the date of a timestamp, as ISO text (S5)."""
        day = self._time(field, datetime.date, timestamps.parse_date)
        return day.isoformat() if day else None

    def _time(self, field: str, kind: type[_Time], parse: Callable[[str], _Time]) -> _Time | None:
        value = self.fields.get(field)
        if isinstance(value, kind):
            return value
        before = len(self.found)
        text = self.text(field, 64, required=True)
        if text is None or len(self.found) > before:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self.refuse(field, "NOT_AN_INSTANT" if kind is datetime.datetime else "NOT_A_DATE", str(error))
            return None

    def inner(self, field: str) -> "Validator | None":
        """Return a validator for an object, or None."""
        value = self.fields.get(field)
        if value is None:
            return None
        if isinstance(value, dict):
            return Validator(value, self._at(field), self.found)
        self.refuse(field, "NOT_AN_OBJECT", f"This is {_kind(value)}: give an object.")
        return None

    def items(self, field: str, limit: int, *, required: bool = False) -> list["Validator"]:
        """Return a validator for each object of a list of at most `limit`."""
        if self.fields.get(field) is None and not required:
            return []
        inner = []
        for index, entry in enumerate(self._entries(field, limit)):
            at = f"{field}[{index}]"
            if isinstance(entry, dict):
                inner.append(Validator(entry, self._at(at), self.found))
            else:
                self.refuse(at, "NOT_AN_OBJECT", f"This is {_kind(entry)}: give an object.")
        return inner


FieldParser = Callable[[Validator, str], Any]
FieldParsers = Mapping[str, FieldParser]


def text(limit: int, *, required: bool = False) -> FieldParser:
    """Return a parser of a text of at most `limit` characters."""
    return lambda given, field: given.text(field, limit, required=required)


def is_web_url(url: str) -> bool:
    """Return whether a URL is complete and has the scheme http or https."""
    try:
        parts = urllib.parse.urlsplit(url)
        # An invalid port raises an error.
        return _URL.fullmatch(url) is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_dots(text: str | None) -> bool:
    """Return whether clients remove this segment from the path of a URL, however it is quoted."""
    return text in {".", ".."}


def is_relative(path: str) -> bool:
    """Return whether a path stays where it begins: no leading slash, no backslash, no segment `.` or `..`."""
    return not path.startswith("/") and "\\" not in path and {".", ".."}.isdisjoint(path.split("/"))


def name(limit: int = 256, *, required: bool = True) -> FieldParser:
    """Return a parser of a name or key of at most `limit` characters."""
    return lambda checks, field: checks.name(field, limit, required=required)


def segment(limit: int = 256, *, required: bool = True) -> FieldParser:
    """Return a parser of a name that is part of the path of a URL."""
    return lambda checks, field: checks.segment(field, limit, required=required)


def relative_path(limit: int, *, required: bool = False) -> FieldParser:
    """Return a parser of a relative path of at most `limit` characters."""
    return lambda checks, field: checks.relative_path(field, limit, required=required)


def object_of(readers: FieldParsers) -> FieldParser:
    """Return a parser of an object with the fields of `readers`; it returns None without one."""

    def read(checks: Validator, field: str) -> dict[str, Any] | None:
        inner = checks.inner(field)
        return inner.whole(readers) if inner else None

    return read


def list_of(readers: FieldParsers, limit: int, *, required: bool = False) -> FieldParser:
    """Return a parser of a list of at most `limit` objects with the fields of `readers`."""
    return lambda checks, field: [entry.whole(readers) for entry in checks.items(field, limit, required=required)]


def _named(key: Any) -> str:
    if not isinstance(key, tuple):
        return repr(key)
    # A field that is missing from both entries is refused elsewhere.
    return " ".join(part for part in key if part is not None) or "This"


def _character(character: str) -> str:
    return f"U+{ord(character):04X}"


def _kind(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), "an object") if value is not None else "null"
