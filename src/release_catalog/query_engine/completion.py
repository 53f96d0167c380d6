"""The completion of values: generation of the Python function that makes the answers of one selection.

Names come from the schema and from the document, where the grammar allows only letters, digits and underscores;
they become literals in the source, and everything else is a numbered variable. The functions are generators: one
that makes many values yields now and then, so that others have their turn.
"""

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from graphql import (
    GraphQLEnumType,
    GraphQLLeafType,
    GraphQLOutputType,
    GraphQLScalarType,
    Undefined,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)

from release_catalog.query_engine.selection import (
    BatchedField,
    CompiledSelection,
    PlanMismatch,
    UnsupportedByPlan,
)
from release_catalog.storage import database as db
from release_catalog.storage.cursors import NONE, SHORT, SHORT_TEXT, FieldPaths
from release_catalog.usage import FIELD_BYTES, JSON_OPTIONS

# Bounds on the length of a text, and of the texts of a list. Longer ones are counted once these are used up.
TEXT = 4_096
TEXTS = 262_144

# Python conditions on a value that is written unchanged, by the name of its type.
_PLAIN = {
    "String": "type({0}) is str",
    "ID": "type({0}) is str",
    "Date": "type({0}) is str",
    "Boolean": "type({0}) is bool",
    "Int": "type({0}) is int and -2147483648 <= {0} <= 2147483647",
    "Long": "type({0}) is int",
    "DateTime": "type({0}) is datetime and not {0}.microsecond and {0}.tzinfo in zones",
}
# The UTC time zones of values from storage.
_ZONES = (None, db.UTC)
_NAMES = {"datetime": datetime.datetime, "zones": _ZONES}


class CodeGenerator:
    """The source of one function: a loop over documents that checks each value and puts them in a dict."""

    def __init__(self) -> None:
        self.columns: list[BatchedField] = []
        # The variable and the generator of each object whose parts are entries, by the function that fetches it.
        self.wholes: dict[Any, tuple[str, CodeGenerator]] = {}
        # The paths requested of an object whose parts are entries.
        self.asked: FieldPaths = NONE
        self._names: dict[str, Any] = dict(_NAMES)
        self._lines: list[str] = []
        # How many values an object takes, and whether lists of objects are among them.
        self._size = 0
        self._has_lists = False
        self._entries: list[str] = []
        # The names of the entries, and of those whose bytes this function counts.
        self._responses: list[str] = []
        self._texts: list[str] = []
        # The maximum number of bytes of these.
        self.bound = 0
        self._arguments: list[str] = []
        self._reads = False

    def constant(self, name: str, text: str) -> None:
        """Add an entry that is the same for all documents."""
        self._add(name, repr(text))

    def key(self, name: str, kind: GraphQLOutputType, key: str, child: CompiledSelection | None) -> None:
        """Add an entry with the value under a document's key."""
        self._reads = True
        self._entry(name, kind, f"document[{key!r}]", child, SHORT_TEXT if key in SHORT else TEXT)

    def function(
        self, name: str, kind: GraphQLOutputType, value: Callable[[Any], Any], child: CompiledSelection | None
    ) -> None:
        """Add an entry that a pure function makes from the document."""
        self._reads = True
        self._entry(name, kind, f"{self._named(value)}(document)", child)

    def column(self, name: str, kind: GraphQLOutputType, column: BatchedField) -> None:
        """Add an entry whose values are fetched for all documents at once."""
        self.columns.append(column)
        variable = f"v{len(self._entries)}"
        self._arguments.append(variable)
        self._add(name, variable)
        if column.child is None:
            self._value(kind, variable, None)
            self._count(name, kind, None, TEXT)

    def part(self, name: str, whole: Any) -> "CodeGenerator":
        """Add a part of an object that `whole` fetches once for all its parts; return the object's generator."""
        variable, inner = self.wholes.setdefault(whole, (f"w{len(self.wholes)}", CodeGenerator()))
        self._add(name, f"{variable}[{name!r}]")
        return inner

    def whole(self, variable: str, column: BatchedField) -> None:
        """Set how the objects in one of the `wholes` are fetched and made."""
        self.columns.append(column)
        self._arguments.append(variable)

    def _add(self, name: str, source: str) -> None:
        self._size += 1
        self._responses.append(name)
        self._entries.append(f"{name!r}: {source}")

    def _entry(
        self, name: str, kind: GraphQLOutputType, source: str, child: CompiledSelection | None, bound: int = TEXT
    ) -> None:
        variable = f"v{len(self._entries)}"
        self._lines.append(f"{variable} = {source}")
        self._add(name, variable)
        self._value(kind, variable, child)
        self._count(name, kind, child, bound)

    def _count(self, name: str, kind: GraphQLOutputType, child: CompiledSelection | None, bound: int) -> None:
        """Count an entry with its object; entries of a list of objects are counted with these objects."""
        kind = kind.of_type if is_non_null_type(kind) else kind
        if child is None and (is_list_type(kind) or _is_text(kind)):
            self._texts.append(name)
            self.bound += TEXTS if is_list_type(kind) else bound
        elif child is not None and not is_list_type(kind):
            self._texts.append(name)
            self.bound += child.bound

    def _value(self, kind: GraphQLOutputType, variable: str, child: CompiledSelection | None) -> None:
        """Add lines that complete the value in `variable` and count its bytes."""
        guard = ""
        if is_non_null_type(kind):
            kind = kind.of_type
        else:
            guard = f"{variable} is not None and "
        if is_leaf_type(kind):
            self._leaf(kind, variable, guard)
        elif is_list_type(kind):
            self._lines.append(f"if {guard}type({variable}) is not list: raise Surprise({variable!r})")
            if child:
                self._objects(variable, child)
            else:
                done = f"usage.step_left -= len({variable}); {variable} = {self._list(kind.of_type, variable)}"
                self._lines.append(f"if {variable} is not None: {done}")
        else:
            check = f"{variable} is None" if not guard else "False"
            self._lines.append(f"if {check}: raise Surprise({variable!r})")
            self._object(variable, child)

    def _objects(self, variable: str, child: CompiledSelection) -> None:
        if child.columns:
            raise UnsupportedByPlan("objects that are not there")
        self._has_lists = True
        # In steps, text at once: to look through so many objects, Python's cyclic collector would hold the event
        # loop.
        self._lines += [
            f"if {variable} is not None:",
            f"    {variable} = yield from {self._named(child.make)}({variable}, usage)",
            f"    if usage.in_steps: {variable} = json_fragment({variable})",
        ]

    def _object(self, variable: str, child: CompiledSelection | None) -> None:
        if child is None or child.one is None:
            raise UnsupportedByPlan("objects that are not there")
        self._size += child.size
        self._has_lists = self._has_lists or child.has_lists
        made = f"{'yield from ' if child.has_lists else ''}{self._named(child.one)}({variable}, usage)"
        self._lines.append(f"if {variable} is not None: {variable} = {made}")

    def _leaf(self, kind: GraphQLLeafType, variable: str, guard: str) -> None:
        if kind.name == "JSON":
            written = f"{variable} = usage.send_json({self._named(_coerced(kind))}({variable}))"
            self._lines.append(f"if {variable} is not None: {written}" if guard else written)
        else:
            self._lines.append(f"if {guard}not ({_plain(kind, variable)}): {self._coerced(kind, variable)}")

    def _coerced(self, kind: GraphQLLeafType, variable: str) -> str:
        return f"{variable} = {self._named(_coerced(kind))}({variable})"

    def _list(self, kind: GraphQLOutputType, variable: str) -> str:
        guard = "" if is_non_null_type(kind) else "item is None or "
        kind = kind.of_type if is_non_null_type(kind) else kind
        if is_leaf_type(kind):
            coerce = self._named(_coerced(kind))
            return f"[item if {guard}{_plain(kind, 'item')} else {coerce}(item) for item in {variable}]"
        # Lists of lists are of leaves, one level deep.
        return f"[{self._nested(kind)}(item) for item in {variable}]"

    def _nested(self, kind: GraphQLOutputType) -> str:
        if not is_list_type(kind) or not is_leaf_type(inner := getattr(kind.of_type, "of_type", kind.of_type)):
            raise UnsupportedByPlan("lists of lists of objects")
        coerce = _coerced(inner)
        return self._named(lambda items: [coerce(item) for item in _listed(items)])

    def _named(self, value: Any) -> str:
        name = f"n{len(self._names)}"
        self._names[name] = value
        return name

    def selection(self, keys: FieldPaths) -> CompiledSelection:
        """Return the selection with its functions: for many documents with column values, and for one."""
        columns = "".join(f", c{at}" for at in range(len(self._arguments)))
        fixed = sum(len(name) + FIELD_BYTES for name in self._responses)
        bound = fixed + self.bound
        single, single_of_many = _single(self.columns)
        # Most answers are far from the limit: it is looked at here, since a call takes as long as an object.
        sent = [
            f"usage.bounds_sent += {bound} * len(made)",
            "if usage.bounds_sent > usage.max_bytes:",
            f"    usage.send_objects(made, {fixed}, {tuple(self._texts)!r})",
            "whole += made",
        ]
        targets = ", ".join(["document", *self._arguments])
        # Nothing else would tell that there is no document.
        check = [] if self._reads else ["if not_there(document): raise Surprise('null')"]
        lines = [*self._lines, *check]
        entries = f"{{{', '.join(self._entries)}}}"
        source = [
            f"def make(documents, usage{columns}):",
            "    whole, made = [], []",
            f"    for {targets} in {f'zip(documents{columns})' if columns else 'documents'}:",
            *_indented(2, [*lines, f"made.append({entries})"]),
            f"        usage.step_left -= {self._size}",
            "        if usage.step_left < 0:",
            *_indented(3, [*sent, "made = []", "yield"]),
            *_indented(1, sent),
            "    return whole",
        ]
        if not columns:
            source += ["def one(document, usage):", *_indented(1, [*lines, f"return {entries}"])]
        names = {
            **self._names,
            "Surprise": PlanMismatch,
            "not_there": _not_there,
            "json_fragment": json_fragment,
        }
        functions = _compiled(source, names)
        return CompiledSelection(
            keys=keys,
            columns=self.columns,
            make=functions["make"],
            one=functions.get("one"),
            has_lists=self._has_lists,
            single=single,
            single_of_many=single_of_many,
            bound=bound,
            size=self._size,
        )


def _compiled(source: Sequence[str], names: dict[str, Any]) -> dict[str, Any]:
    """Return the functions in `source`, whose globals are `names`."""
    functions: dict[str, Any] = {}
    # Kept out of their own globals, so that a plan is gone when nobody has it any more.
    exec(compile("\n".join(source), "<plan>", "exec"), names, functions)  # noqa: S102  see above what it is made of
    return functions


def _indented(levels: int, lines: Sequence[str]) -> list[str]:
    return [f"{'    ' * levels}{line}" for line in lines]


def _single(columns: Sequence[BatchedField]) -> tuple[bool, bool]:
    """Return `single` and `single_of_many` of CompiledSelection."""
    if len(columns) != 1:
        return not columns, not columns
    [column] = columns
    of_one, of_many = (column.child.single, column.child.single_of_many) if column.child else (True, True)
    return of_many if column.is_list else of_one, of_many and column.asks_once


def _not_there(document: Any) -> bool:
    return document is None or isinstance(document, Exception)


def _listed(value: Any) -> list[Any]:
    if type(value) is not list:
        raise PlanMismatch("no list")
    return value


def _plain(leaf: GraphQLLeafType, variable: str) -> str:
    """Return a Python condition for values that are written unchanged."""
    return _PLAIN.get(leaf.name, "False").format(variable)


def _is_text(kind: object) -> bool:
    """Return whether the values of a type are texts of any length."""
    return isinstance(kind, GraphQLScalarType) and kind.name in {"String", "ID"}


def _coerced(leaf: GraphQLLeafType) -> Callable[[Any], Any]:
    """Return a function that converts a value as the executor does, and raises if the executor would."""
    written = leaf.coerce_output_value

    def coerce(value: Any) -> Any:
        found = written(value)
        if found is None or found is Undefined:
            raise TypeError(value)
        return found

    if isinstance(leaf, GraphQLEnumType):
        return _Names(coerce).__getitem__
    if isinstance(leaf, GraphQLScalarType) and leaf.name == "DateTime":
        return _instants(coerce)
    return coerce


def json_fragment(value: Any) -> orjson.Fragment | None:
    """Return a value as JSON text for an answer; None stays None."""
    return None if value is None else orjson.Fragment(orjson.dumps(value, option=JSON_OPTIONS))


def _instants(coerce: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def written(value: Any) -> Any:
        if type(value) is datetime.datetime and value.tzinfo in _ZONES and value.microsecond:
            # Three times as fast as timestamps.format_rfc3339: microseconds are cut to milliseconds.
            return orjson.Fragment(orjson.dumps(value, None, JSON_OPTIONS)[:-5] + b'Z"')
        return coerce(value)

    return written


class _Names(dict[Any, Any]):
    """The names of an enum's values, added on first use."""

    def __init__(self, coerce: Callable[[Any], Any]) -> None:
        super().__init__()
        self._coerce = coerce

    def __missing__(self, value: Any) -> Any:
        name = self._coerce(value)
        if name == value:
            self[value] = name
        return name
