"""The usage of a request: objects, bytes, releases walked and index entries counted.

Two limits hold while a request runs: the number of objects, and the bytes that are read or answered. The rest is a
price: an operation is priced from its document before it runs (`graphql_api.limits.query_cost`), and usage that
only its execution shows is charged afterwards, if it comes to more (see `Usage.points`).

The usage of the current request is in a context variable, as its deadline is. So no read can be left out because
somebody forgot to pass a meter on.
"""

import contextvars
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from release_catalog.errors import TooLarge

MAX_NODES = 50_000
MAX_BYTES = 16 << 20
# The amounts that one point pays for. An object costs a point as well.
POINT_BYTES = 16 << 10
POINT_WALKED = 5
POINT_REFERENCES = 200
POINT_COUNTED = 1_000
# The bytes of a field besides its name and its text: quotes, a colon, a comma, and short values.
FIELD_BYTES = 8
# How many values of an answer are made in one turn of the event loop: about 2,000 objects, in two milliseconds.
STEP_VALUES = 20_000
# Instants without a zone are UTC; whole seconds are left to orjson, which writes them as the schema wants them.
JSON_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


class Usage:
    """The counters of one request, and its limits.

    Measuring every value would take as long as a tenth of a page. So code that reads documents or makes answers
    first adds an upper bound of their characters, and values are measured only once these bounds exceed the limit.
    The final response is measured in any case (see `finish`).
    """

    __slots__ = (
        "bounds_read", "bounds_sent", "charged", "counted", "exceeded", "in_steps", "max_bytes", "max_nodes",
        "nodes", "read", "references", "sent", "step_left", "walked", "writes", "written",
    )  # fmt: skip

    def __init__(self, max_nodes: int = MAX_NODES, max_bytes: int = MAX_BYTES) -> None:
        self.max_nodes, self.max_bytes = max_nodes, max_bytes
        # Whether the request may change anything.
        self.writes = False
        # The points that its caller has paid so far.
        self.charged = 0
        # The error that ends the request, once it has exceeded a limit.
        self.exceeded: TooLarge | None = None
        self.nodes = 0
        self.read = self.bounds_read = 0
        self.sent = self.bounds_sent = 0
        self.written = 0
        self.walked = 0
        self.references = 0
        self.counted = 0
        # How many more values may be made before others have their turn.
        self.step_left = STEP_VALUES
        # Whether there were more, so that the answer is made in steps.
        self.in_steps = False

    def begin_step(self) -> None:
        """Allow the values of one more step, after others have had their turn."""
        self.step_left = STEP_VALUES
        self.in_steps = True

    def again(self) -> "Usage":
        """Return new counters with the same limits."""
        return Usage(self.max_nodes, self.max_bytes)

    def absorb(self, other: "Usage") -> None:
        """Add usage from elsewhere for the same request."""
        for counter in ("nodes", "read", "sent", "written", "walked", "references", "counted"):
            setattr(self, counter, getattr(self, counter) + getattr(other, counter))
        self.exceeded = self.exceeded or other.exceeded

    def take_nodes(self, count: int) -> None:
        """Count objects, including repeated reads; raise TooLarge if there are too many."""
        self.nodes += count
        if self.nodes > self.max_nodes:
            raise self._refusal("nodes", self.max_nodes)

    def take_documents(self, documents: Sequence[Any], bound: int | None = None) -> None:
        """Count the bytes of documents that were read, at most `bound`; raise TooLarge if there are too many."""
        if bound is not None:
            self.bounds_read += bound
            if self.bounds_read <= self.max_bytes:
                return
        self.read += measured(documents)
        if self.read > self.max_bytes:
            raise self._refusal("bytes", self.max_bytes)

    def send(self, size: int) -> None:
        """Count bytes of the answer; raise TooLarge if there are too many."""
        self.sent += size
        if self.sent > self.max_bytes:
            raise self._refusal("bytes", self.max_bytes)

    def send_objects(self, made: Sequence[Mapping[str, Any]], fixed: int, names: Sequence[str]) -> None:
        """Count objects of the answer: each takes `fixed` bytes and the values under `names`.

        All their other values are counted where they are made. Code that makes objects first adds their maximum
        size to `bounds_sent`, and calls this only if that exceeds the limit.
        """
        values = [one[name] for one in made for name in names]
        self.send(fixed * len(made) + sum(len(v) if type(v) is str else measured(v) for v in values))

    def send_json(self, value: Any) -> orjson.Fragment:
        """Write free JSON for the answer and count its bytes.

        Parsed JSON takes up to thirty times the memory of its text, so the text is what an answer keeps. What is
        text already (an orjson.Fragment) is only copied.
        """
        text = orjson.dumps(value, option=JSON_OPTIONS)
        self.send(len(text))
        return orjson.Fragment(text)

    def finish(self, size: int) -> None:
        """Count the written answer; raise TooLarge if it is larger than allowed."""
        self.sent = size
        if size > self.max_bytes:
            raise self._refusal("bytes", self.max_bytes)

    def walk(self, releases: int, references: int = 0) -> None:
        """Count releases that a walk along dependencies has reached, and the references that it examined."""
        self.walked += releases
        self.references += references

    def count(self, entries: int) -> None:
        """Count index entries that the database has counted."""
        self.counted += entries

    def _refusal(self, limit: str, allowed: int) -> TooLarge:
        self.exceeded = TooLarge(limit, allowed, writes=self.writes)
        return self.exceeded

    @property
    def points(self) -> int:
        """Return the usage in points.

        A point for each object that was read, or for each started 16 KiB that were read or answered, whichever is
        more; and one for each 16 KiB written, 5 releases walked, 200 references examined and 1,000 entries
        counted.
        """
        size = max(self.read, self.sent)
        return (
            max(self.nodes, -(-size // POINT_BYTES))
            + self.written // POINT_BYTES
            + self.walked // POINT_WALKED
            + self.references // POINT_REFERENCES
            + self.counted // POINT_COUNTED
        )


_current: contextvars.ContextVar[Usage | None] = contextvars.ContextVar("usage", default=None)


def current() -> Usage | None:
    """Return the usage of the current request; None outside of requests."""
    return _current.get()


class measuring:  # noqa: N801  used like a function: a generator would take three times as long for each request
    """A context that counts all reads inside towards `usage`."""

    __slots__ = ("_token", "_usage")

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    def __enter__(self) -> None:
        self._token = _current.set(self._usage)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def walk(releases: int, references: int = 0) -> None:
    """Count a walk towards the current request, if there is one."""
    if usage := _current.get():
        usage.walk(releases, references)


def write(size: int) -> None:
    """Count written bytes towards the current request, if there is one."""
    if request := _current.get():
        request.written += size


def count(entries: int) -> None:
    """Count index entries towards the current request, if there is one."""
    if usage := _current.get():
        usage.count(entries)


def measured(value: Any) -> int:
    """Return the approximate size of a value as JSON, in bytes; a walk in Python would take five times as long."""
    return len(orjson.dumps(value, _any, JSON_OPTIONS | orjson.OPT_NON_STR_KEYS))


def _any(value: Any) -> str:
    return repr(value)
