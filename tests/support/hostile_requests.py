"""Requests with a hostile text in one place, for every place that there is, and a meter for what they take.

The places are found in the schema, in the routes of HAL and in the headers that are read, so that a new argument is
covered by itself. The texts come in families: what slows down one kind of code is tried everywhere.
"""

import asyncio
import base64
import contextlib
import dataclasses
import functools
import gc
import json
import time
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    get_named_type,
    is_input_object_type,
    is_interface_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    is_required_input_field,
    parse_value,
    value_from_ast_untyped,
)
from starlette.applications import Starlette

from release_catalog.graphql_api.schema import schema
from release_catalog.hal import handlers, routes
from support import tenant_walls as walls

SCHEMA = schema._schema
SHORT, LONG = 1_000, 20_000
# Heads of requests are refused beyond 64 KiB, bodies beyond 1 MiB.
MAX_TARGET, MAX_HEADER, MAX_BODY = 60_000, 60_000, 1 << 20
# Values that a body may have, counted as its commas and opening brackets.
MAX_VALUES = 60_000
Text = Callable[[int], str]

# ---------------------------------------------------------------- families


def repeated(unit: str, before: str = "", after: str = "") -> Text:
    """Return a maker of texts of n characters: `before`, then `unit` again and again, then `after`."""

    def make(length: int) -> str:
        room = max(0, length - len(before) - len(after))
        return before + (unit * (room // len(unit) + 1))[:room] + after

    return make


def _cursor(before: str, unit: str, after: str) -> Text:
    inner = repeated(unit, before, after)
    return lambda length: base64.urlsafe_b64encode(inner(length * 3 // 4).encode()).rstrip(b"=").decode()


# These meet every field. Units of several characters make parsers go back and forth.
COMMON: dict[str, Text] = {
    "blanks": repeated(" "),
    "blanks in the middle": repeated(" ", "a", "a"),
    "line breaks": repeated("\r\n"),
    "wide blanks": repeated("\u00a0\u2003\u2028"),
    "letters": repeated("a"),
    "capitals": repeated("A"),
    "zeros": repeated("0"),
    "nines": repeated("9"),
    "Arabic digits": repeated("\u0661"),
    "letters and digits": repeated("a1"),
    "words": repeated("ab "),
    "dashes": repeated("-"),
    "commas": repeated(","),
    "semicolons": repeated(";"),
    "dots": repeated("."),
    "slashes": repeated("/"),
    "bars": repeated("|"),
    "colons": repeated(":"),
    "at signs": repeated("@"),
    "hashes": repeated("#"),
    "percent signs": repeated("%"),
    "escapes": repeated("%25"),
    "stars": repeated("*"),
    "question marks": repeated("?"),
    "equals signs": repeated("="),
    "ampersands": repeated("a=1&"),
    "quotes": repeated('"'),
    "backslashes": repeated("\\"),
    "tildes": repeated("~"),
    "underscores": repeated("_"),
    "opening brackets": repeated("["),
    "closing brackets": repeated("]"),
    "opening braces": repeated("{"),
    "parentheses": repeated("()"),
    "nested groups": repeated("(a+)+"),
    "tags": repeated("<a>"),
    "marks": repeated("\u0301", "a"),
    "marks of two classes": repeated("\u0301\u0316", "a"),
    "ligatures": repeated("\ufdfa"),
    "letters that grow": repeated("\u0130\u00df"),
    "hangul": repeated("\u1112\u1161\u11ab"),
    "emoji": repeated("\U0001f468\u200d"),
    "controls": repeated("\x01\x7f"),
}
# These are near a form that some field has.
NEAR: dict[str, Text] = {
    "URL of labels": repeated("a.", "http://"),
    "URL of letters": repeated("a", "https://"),
    "URL of marks": repeated("\u0301\u0316", "https://a"),
    "URL of wide dots": repeated("\u3002", "http://a"),
    "URL of user names": repeated("a@", "http://"),
    "URL of ports": repeated(":1", "http://a"),
    "URL of percent signs": repeated("%41", "http://a/"),
    "URL of steps up": repeated("../", "http://a/"),
    "URL of blanks": repeated(" ", "http://a"),
    "URL of brackets": repeated(":0", "http://[::1"),
    "URL of parameters": repeated("&a=b", "http://a?"),
    "URL of URLs": repeated("http://"),
    "schemes": repeated("https:"),
    "numbers with dots": repeated("1."),
    "numbers with dashes": repeated("1-"),
    "pre-releases": repeated("a.", "1.0.0-", "!"),
    "pre-release of zeros": repeated("0", "1.0.0-", "!"),
    "builds": repeated("a-", "1.0.0+", "!"),
    "announcements": repeated("~rc"),
    "epochs": repeated("1:"),
    "operators": repeated(">="),
    "clauses": repeated("1,"),
    "bounds": repeated(">=1,"),
    "bound after blanks": repeated(" ", ">", "1"),
    "cron fields": repeated("* "),
    "cron lists": repeated("1-2/3,", "* * * * "),
    "cron lists for Quartz": repeated("MON#1,", "0 0 0 ? * "),
    "cron steps": repeated("/1", "* * * * *"),
    "cron expressions": repeated("* * * * *;"),
    "instant with a fraction": repeated("0", "2026-01-01T00:00:00.", "Z"),
    "instant with an offset": repeated("00:", "2026-01-01T00:00:00+"),
    "dates": repeated("2026-"),
    "negative digits": repeated("9", "-"),
    "email of labels": repeated("a.", "a@"),
    "email of letters": repeated("a", "", "@"),
    "email of at signs": repeated("a@"),
    "digest": repeated("ab", "sha256:"),
    "digests": repeated("sha256:"),
    "platforms": repeated("a/", "linux/"),
    "file names": repeated(".a", "a"),
    "etags": repeated('W/"a",'),
    "event types": repeated("release.*,"),
    "references": repeated("#a@1", "#"),
    "cursor of letters": _cursor('["CREATED","', "a", '"]'),
    "cursor of brackets": _cursor("", "[", ""),
    "cursor of digits": _cursor('["SEQUENCE",', "9", "]"),
    "cursor of values": _cursor('["KEY"', ',"a"', "]"),
    "padding": repeated("="),
    "base64": repeated("QUFB"),
    "JSON lists": repeated("[["),
    "JSON objects": repeated('{"a":'),
    "JSON texts": repeated('\\"', '"'),
    "GraphQL fields": repeated("{a"),
    "GraphQL texts": repeated('"""'),
    "GraphQL spreads": repeated("...on A "),
    "GraphQL names": repeated("$a:@b "),
}
FAMILIES = COMMON | NEAR
# JSON that orjson refuses as a whole, so there is no more than one place for it in each request.
LONE = "\ud800"


# ---------------------------------------------------------------- requests


@dataclasses.dataclass(frozen=True)
class Request:
    """An HTTP request as the server hands it to the application."""

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def scope(self) -> dict[str, Any]:
        """Return what ASGI calls the scope; texts of headers, paths and queries hold bytes as characters."""
        named = any(name == "host" for name, _ in self.headers)
        headers = [*(() if named else (("host", "localhost"),)), *self.headers]
        if self.body:
            headers += [("content-length", str(len(self.body)))]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 40_000),
            "scheme": "http",
            "method": self.method,
            "root_path": "",
            "path": urllib.parse.unquote(self.path),
            "raw_path": self.path.encode("latin-1"),
            "query_string": self.query.encode("latin-1"),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            "state": {},
        }


async def send(app: Starlette, request: Request) -> tuple[int, bytes]:
    """Return the status and the body of the application's answer."""
    size = 1 << 16
    chunks = [request.body[at : at + size] for at in range(0, len(request.body), size)] or [b""]
    coming = [
        {"type": "http.request", "body": chunk, "more_body": at < len(chunks) - 1}
        for at, chunk in enumerate(chunks)
    ]
    coming.reverse()
    gone, status, parts = asyncio.Event(), 0, []

    async def receive() -> Any:
        if coming:
            return coming.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def take(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))
            # A stream would go on.
            if b"event: next" in parts[-1]:
                gone.set()

    await app(request.scope(), receive, take)
    return status, b"".join(parts)


def post(query: str, variables: Mapping[str, Any] | None = None, **envelope: Any) -> Request:
    """Return a GraphQL request by POST."""
    body = {"query": query, **({"variables": variables} if variables else {}), **envelope}
    return Request("POST", "/graphql", "", (("content-type", "application/json"),), dumps(body))


class Raw(str):
    """JSON that goes into a request as it is."""

    __slots__ = ()


def as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def quoted(raw: bytes, safe: str = "") -> str:
    """Return the bytes as a part of a URL, as urllib.parse.quote does, and several times as fast."""
    return raw.decode("latin-1").translate(_quotes(safe))


@functools.cache
def _quotes(safe: str) -> dict[int, str]:
    return {code: urllib.parse.quote(bytes([code]), safe=safe) for code in range(256)}


def dumps(value: Any) -> bytes:
    """Return JSON in which anything may stand: a half of a pair of surrogates, and what is JSON already."""
    raw: list[str] = []

    def marked(inner: Any) -> Any:
        if isinstance(inner, Raw):
            raw.append(inner)
            return f"@@{len(raw)}@@"
        if isinstance(inner, dict):
            return {name: marked(part) for name, part in inner.items()}
        return [marked(part) for part in inner] if isinstance(inner, list) else inner

    value = marked(value)
    text = json.dumps(value, ensure_ascii=True).encode() if _has_lone(value) else orjson.dumps(value)
    for number, part in enumerate(raw, start=1):
        text = text.replace(b'"@@%d@@"' % number, part.encode())
    return text


def _has_lone(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return True
    return False


# ---------------------------------------------------------------- places in the schema


@dataclasses.dataclass(frozen=True)
class Place:
    """An argument or an input field that takes a text, a list or JSON.

    `root` is the field of the query, mutation or subscription that leads there, and `argument` and `path` are where
    the value stands. `kind` is the same for places that the same code reads.
    """

    operation: str
    root: str
    # The rest of the selection, into which the argument of a nested field goes.
    nested: tuple[str, ...]
    argument: str
    path: tuple[str | int, ...]
    type: str
    kind: str
    is_list: bool

    def __str__(self) -> str:
        where = ".".join([self.root, *self.nested])
        inner = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return f"{self.operation} {where}({self.argument}{inner})"


def places() -> list[Place]:
    """Return every place for a value of the caller's own in the schema."""
    found = []
    for operation, type_ in (
        ("query", SCHEMA.query_type),
        ("mutation", SCHEMA.mutation_type),
        ("subscription", SCHEMA.subscription_type),
    ):
        assert type_
        for name, field in type_.fields.items():
            found += list(_of_field(operation, name, (), field, f"{type_.name}.{name}"))
    return found + list(_nested())


def _of_field(
    operation: str, root: str, nested: tuple[str, ...], field: GraphQLField, name: str
) -> Iterator[Place]:
    for argument, declared in field.args.items():
        for path, type_, kind in _leaves(declared.type, (), f"{name}({argument})"):
            named = get_named_type(type_).name
            yield Place(operation, root, nested, argument, path, named, kind, is_list_type(type_))


def _leaves(
    type_: Any, path: tuple[str | int, ...], kind: str, around: frozenset[str] = frozenset()
) -> Iterator[tuple[tuple[str | int, ...], Any, str]]:
    """Yield the places of a type; a type inside itself, such as a filter in a filter, is entered once."""
    type_ = type_.of_type if is_non_null_type(type_) else type_
    if is_list_type(type_):
        yield path, type_, f"{kind}[]"
        yield from _leaves(type_.of_type, (*path, 0), kind, around)
    elif is_input_object_type(type_):
        if type_.name in around:
            return
        for name, field in type_.fields.items():
            of = "Release" if type_.name in _RELEASES else type_.name
            yield from _leaves(field.type, (*path, name), f"{of}.{name}", around | {type_.name})
    elif get_named_type(type_).name not in {"Int", "Boolean"}:
        yield path, type_, kind


# The same code reads what stands in these.
_RELEASES = {"CreateReleaseInput", "PatchReleaseInput", "ReplaceReleaseInput", "ReleaseDocumentInput"}


def _nested() -> Iterator[Place]:
    """Return the arguments of fields below the root, by the shortest way to each of their types."""
    assert SCHEMA.query_type
    ways: dict[str, tuple[str, ...]] = {}
    waiting: list[tuple[GraphQLObjectType, tuple[str, ...]]] = [(SCHEMA.query_type, ())]
    while waiting:
        type_, way = waiting.pop(0)
        for name, field in type_.fields.items():
            if way:
                yield from _of_field("query", way[0], (*way[1:], name), field, f"{type_.name}.{name}")
            inner = get_named_type(field.type)
            if is_object_type(inner) and inner.name not in ways:
                ways[inner.name] = (*way, name)
                waiting.append((inner, ways[inner.name]))


def base(place: Place, world: walls.World) -> Any:
    """Return a value of the place's argument in which all is well, and which changes nothing."""
    field = _field(place)
    name = place.nested[-1] if place.nested else place.root
    text = walls.literal(name, place.argument, field.args[place.argument].type, world)
    value = value_from_ast_untyped(parse_value(text))
    if place.operation == "mutation" and isinstance(value, dict):
        # The same key with another input would be refused before anything else is looked at.
        value.pop("idempotencyKey", None)
        type_: Any = get_named_type(field.args[place.argument].type)
        value |= {"dryRun": True} if "dryRun" in type_.fields else {}
        # Of a release that is published, most fields stay as they are, whatever is said of them.
        value |= {"id": f"{world['release']}-draft"} if name in {"patchRelease", "replaceRelease"} else {}
        for new in (value, value.get("release", {})) if name in {"createRelease", "importRelease"} else ():
            if "version" in new:
                new["version"] = "2.0"
    return value


def _field(place: Place) -> GraphQLField:
    type_: Any = getattr(SCHEMA, f"{place.operation}_type")
    for name in (place.root, *place.nested):
        field = type_.fields[name]
        type_ = get_named_type(field.type)
    return field  # type: ignore[no-any-return]


def changed(place: Place, value: Any, hostile: Any, world: walls.World) -> Any:
    """Return `value` with `hostile` at the place's path; objects on the way to it have what they need."""
    type_: Any = _field(place).args[place.argument].type
    return _put(type_, place.argument, value, place.path, hostile, world)


def _put(type_: Any, name: str, value: Any, path: tuple[str | int, ...], hostile: Any, world: walls.World) -> Any:
    if not path:
        return hostile
    type_ = type_.of_type if is_non_null_type(type_) else type_
    step, *rest = path
    if isinstance(step, int):
        first = value[0] if value else None
        return [_put(type_.of_type, name, first, tuple(rest), hostile, world)]
    assert isinstance(type_, GraphQLInputObjectType)
    made = dict(value) if value else _required(type_, world)
    made[step] = _put(type_.fields[step].type, step, made.get(step), tuple(rest), hostile, world)
    if step == "id" and type_.name == "DependencyInput":
        made.pop("name", None)
    return made


def _required(type_: GraphQLInputObjectType, world: walls.World) -> dict[str, Any]:
    needed = {name: field for name, field in type_.fields.items() if is_required_input_field(field)}
    texts = {name: walls.literal("", name, field.type, world) for name, field in needed.items()}
    return {name: value_from_ast_untyped(parse_value(text)) for name, text in texts.items()}


@dataclasses.dataclass(frozen=True)
class Probe:
    """One hostile value at one place."""

    place: Place
    family: str
    size: int
    value: Any

    def __str__(self) -> str:
        return f"{self.place}, {self.family} x {self.size:,}"


def operation(probes: Sequence[Probe], world: walls.World, *, literals: bool = False) -> Request:
    """Return one request with the root field of each probe under an alias of its own."""
    parts, declared, variables = [], [], {}
    for number, probe in enumerate(probes):
        place, field = probe.place, _field(probe.place)
        value = changed(place, base(place, world), probe.value, world)
        if literals:
            text = _literal(field.args[place.argument].type, value)
        else:
            text = f"$v{number}"
            declared.append(f"{text}: {field.args[place.argument].type}")
            variables[f"v{number}"] = value
        parts.append(f"a{number}: {_selected(place, f'{place.argument}: {text}', world)}")
    head = f"({', '.join(declared)})" if declared else ""
    return post(f"{probes[0].place.operation} {head} {{ {' '.join(parts)} }}", variables)


def together(probes: Sequence[Probe], world: walls.World) -> Request:
    """Return one request with all of the values in the input of one mutation."""
    place = probes[0].place
    value = base(place, world)
    for probe in probes:
        value = changed(probe.place, value, probe.value, world)
    return operation([Probe(dataclasses.replace(place, path=()), "", 0, value)], world)


def _selected(place: Place, argument: str, world: walls.World) -> str:
    """Return the field that takes the argument, inside those that lead to it."""
    type_: Any = getattr(SCHEMA, f"{place.operation}_type")
    names = (place.root, *place.nested)
    fields = []
    for name in names:
        fields.append(type_.fields[name])
        type_ = get_named_type(type_.fields[name].type)
    text = ""
    for at in reversed(range(len(names))):
        last = at == len(names) - 1
        others = _others(names[at], fields[at], place.argument if last else None, world)
        given = ", ".join([argument, *others] if last else others)
        inner = text or _shown(fields[at])
        text = f"{names[at]}{f'({given})' if given else ''} {inner}"
        if at:
            text = f"{{ {text} }}"
    return text


def _others(name: str, field: GraphQLField, besides: str | None, world: walls.World) -> list[str]:
    """Return the arguments that a field needs or that make it find something, besides the one that is tried."""
    chosen = walls.wanted(name, field) | {n for n, a in field.args.items() if is_non_null_type(a.type)}
    # Of two ways to name a thing, one may be given.
    if besides in {"id", "key", "name"} and {"id", "key", "name"} & field.args.keys() != {besides}:
        chosen -= {"id", "key", "name", "catalogId"}
    if besides == "before":
        chosen |= {"last"}
    chosen -= {besides}
    return [f"{n}: {walls.literal(name, n, field.args[n].type, world)}" for n in field.args if n in chosen]


def _shown(field: GraphQLField) -> str:
    type_: Any = get_named_type(field.type)
    if is_interface_type(type_):
        return "{ __typename }"
    if not is_object_type(type_):
        return ""
    names = [
        name for name in ("problem", "id", "pageInfo", "totalCount", "nodes", "edges") if name in type_.fields
    ]
    shown = {"pageInfo": "pageInfo { endCursor }", "nodes": "nodes { __typename }", "edges": "",
             "problem": "problem { detail ... on ValidationProblem { violations { field message } } }"}  # fmt: skip
    return f"{{ __typename {' '.join(shown.get(name, name) for name in names)} }}"


def _literal(type_: Any, value: Any) -> str:
    type_ = type_.of_type if is_non_null_type(type_) else type_
    if value is None:
        return "null"
    if is_list_type(type_):
        return f"[{', '.join(_literal(type_.of_type, entry) for entry in value)}]"
    if is_input_object_type(type_):
        return f"{{{', '.join(f'{n}: {_literal(type_.fields[n].type, v)}' for n, v in value.items())}}}"
    if get_named_type(type_).name == "JSON" and isinstance(value, dict | list):
        inner = (
            ", ".join(f"{n}: {_literal(type_, v)}" for n, v in value.items()) if isinstance(value, dict) else ""
        )
        return f"{{{inner}}}" if isinstance(value, dict) else f"[{', '.join(_literal(type_, v) for v in value)}]"
    if hasattr(type_, "values"):
        return str(value)
    return json.dumps(value, ensure_ascii=True)


# ---------------------------------------------------------------- lists and JSON


def entry(place: Place, world: walls.World, *, full: bool = False, text: str = "a") -> Any:
    """Return an entry of the place's list: with what it needs, or with all fields."""
    type_ = SCHEMA.type_map[place.type]
    if is_input_object_type(type_):
        return _filled(type_, text) if full else _required(type_, world)
    return next(iter(type_.values)) if hasattr(type_, "values") else text


def _filled(type_: Any, text: str) -> Any:
    type_ = type_.of_type if is_non_null_type(type_) else type_
    if is_list_type(type_):
        return [_filled(type_.of_type, text)]
    if is_input_object_type(type_):
        return {name: _filled(field.type, text) for name, field in type_.fields.items()}
    if hasattr(type_, "values"):
        return next(iter(type_.values))
    plain = {"Int": 1, "Long": 1, "Boolean": True, "DateTime": walls.CREATED, "Date": "2026-01-01"}
    return plain.get(type_.name, text)


_NAMES = "name id propertyName environmentId filename platform version packageName".split()


def lists(one: Any, length: int) -> Iterator[tuple[str, list[Any]]]:
    """Return lists of so many entries, by what they are made of."""
    yield "the same", [one] * length
    if isinstance(one, dict):
        told = [name for name in _NAMES if isinstance(one.get(name), str)]
        yield "different", [{**one, **{name: f"{one[name]}{at}" for name in told}} for at in range(length)]
        yield "empty objects", [{}] * length
    else:
        yield "different", [f"{one}{at}" for at in range(length)]
        yield "texts of dashes", ["-/" * 30] * length
        yield "empty texts", [""] * length
    yield "null", [None] * length
    yield "numbers", [1] * length
    yield "lists", [[one]] * length


def _list(value: str, length: int) -> str:
    return f"[{','.join([value] * length)}]"


def jsons(length: int) -> Iterator[tuple[str, Raw]]:
    """Return JSON of about so many values or levels or digits."""
    for name, text in (
        ("nested lists", "[" * length + "1" + "]" * length),
        ("nested objects", '{"a":' * length + "1" + "}" * length),
        ("numbers", _list("1", length)),
        ("floats", _list("1.5e300", length)),
        ("infinite numbers", _list("1e400", length)),
        ("large numbers", _list("12345678901234567890123", length)),
        ("nulls", _list("null", length)),
        ("texts", _list('"ab"', length)),
        ("empty lists", _list("[]", length // 2)),
        ("small objects", _list('{"a":{"b":[]}}', length // 4)),
        ("names", "{" + ",".join(f'"k{at}":{at}' for at in range(length)) + "}"),
        ("the same name", "{" + ",".join(f'"k":{at}' for at in range(length)) + "}"),
        ("a long name", '{"' + "a" * length + '":1}'),
        ("digits", "1" * length),
        ("negative digits", "-" + "9" * length),
        ("a fraction", "0." + "1" * length),
        ("an exponent", "1e" + "1" * length),
    ):
        yield name, Raw(text)


# ---------------------------------------------------------------- HAL


def hal_requests(text: str, world: walls.World) -> Iterator[tuple[str, Request]]:
    """Return a request for each part of a path and each parameter of each address of HAL, with `text` there."""
    target = quoted(as_bytes(text))[:MAX_TARGET].rstrip("%")
    raw = quoted(as_bytes(text), "&=;%+")[:MAX_TARGET]
    parameters = getattr(handlers, "PARAMETERS", _PARAMETERS)
    for template in routes._ROUTES:
        names = [part[1:-1] for part in template.split("/") if part.startswith("{")]
        real = {name: urllib.parse.quote(world[walls.HAL[name]], safe="") for name in names}
        for name in names:
            yield f"HAL {template} {name}", Request("GET", template.format(**(real | {name: target})))
        path = template.format(**real)
        for name in parameters:
            yield f"HAL {template}?{name}", Request("GET", path, f"{name}={target}")
        yield f"HAL {template}?", Request("GET", path, raw)


_PARAMETERS = ("expand_relationships", "after", "dependencies_after", "dependants_after", "packaging", "distro")


# ---------------------------------------------------------------- the envelope


def envelopes(text: str) -> Iterator[tuple[str, Request]]:
    """Return requests with `text` in each part of a request that is no value of the schema."""
    ask = "query A { viewer { subject } }"
    yield "operationName", post(ask, operationName=text)
    yield "query", post(text)
    yield "documentId", Request("POST", "/graphql", "", _JSON, dumps({"documentId": text}))
    yield "query and documentId", post(ask, documentId=text)
    yield "variable that is not declared", post(ask, {text: 1})
    yield "extension", post(ask, extensions={text: text})
    yield "persisted hash", post(ask, extensions={"persistedQuery": {"version": 1, "sha256Hash": text}})
    yield "hash alone", Request("POST", "/graphql", "", _JSON,
                                dumps({"extensions": {"persistedQuery": {"sha256Hash": text}}}))  # fmt: skip
    yield "name in the envelope", Request("POST", "/graphql", "", _JSON, dumps({text: text, "query": ask}))
    yield "body", Request("POST", "/graphql", "", _JSON, text.encode("utf-8", "surrogatepass"))
    yield "JSON body that is a text", Request("POST", "/graphql", "", _JSON, dumps(text))
    shown = json.dumps(text)
    for name, document in (
        ("comment", "#" + " ".join(text.splitlines()) + "\n{ viewer { subject } }"),
        ("text in a document", f"{{ release(id: {shown}) {{ id }} }}"),
        ("block text in a document", f'{{ release(id: """{text}""") {{ id }} }}'),
        ("rest of a document", ask + text),
        ("middle of a document", f"{{ viewer {{ {text} }} }}"),
        ("arguments of a document", f"{{ release({text}) {{ id }} }}"),
        ("value in a document", f"{{ release(id: {text}) {{ id }} }}"),
        ("variables of a document", f"query ({text}) {{ viewer {{ subject }} }}"),
        ("directive of a document", f"{{ viewer @{text} {{ subject }} }}"),
    ):
        yield name, post(document)
    word = "".join(character for character in text if character.isascii() and character.isalnum()) or "a"
    for name, document in (
        ("name of a field", f"{{ a{word} }}"),
        ("name of an inner field", f"{{ viewer {{ a{word} }} }}"),
        ("name of an argument", f"{{ release(a{word}: 1) {{ id }} }}"),
        ("name of an input field", f"{{ releases(filter: {{a{word}: 1}}) {{ totalCount }} }}"),
        ("name of an enumeration's value", f"{{ promotions(status: a{word}) {{ totalCount }} }}"),
        ("name of a directive", f"{{ viewer @a{word} {{ subject }} }}"),
        ("name of a type", f"query ($a: a{word}) {{ viewer {{ subject }} }}"),
        ("name of a variable", f"query ($a{word}: ID) {{ viewer {{ subject }} }}"),
        ("variable that is not there", f"{{ release(id: $a{word}) {{ id }} }}"),
        ("name of a fragment", f"{{ ...a{word} }} fragment a{word} on Query {{ viewer {{ subject }} }}"),
        ("name of an operation", f"query a{word} {{ viewer {{ subject }} }}"),
        ("alias", f"{{ a{word}: viewer {{ subject }} }}"),
        ("name of a type to look up", f'{{ __type(name: "a{word}") {{ name }} }}'),
    ):
        yield name, post(document)
    typed = "query ($filter: ReleaseFilter) { releases(filter: $filter) { totalCount } }"
    yield "name in an input object", post(typed, {"filter": {text: text}})
    yield "text for an input object", post(typed, {"filter": text})
    yield (
        "text for a number",
        post("query ($first: Int) { releases(first: $first) { totalCount } }", {"first": text}),
    )
    yield "text for a truth value", post("query ($a: Boolean!) { viewer @skip(if: $a) { subject } }", {"a": text})
    target = quoted(as_bytes(text))[:MAX_TARGET]
    for name in ("query", "variables", "extensions", "operationName", "documentId", "other"):
        more = "" if name == "query" else "query=%7Bviewer%7Bsubject%7D%7D&"
        yield f"GET ?{name}", Request("GET", "/graphql", f"{more}{name}={target}", _JSON)
    inside = quoted(dumps({"a": text}))[:MAX_TARGET]
    for name in ("variables", "extensions"):
        yield (
            f"GET text in ?{name}",
            Request("GET", "/graphql", f"query=%7Bviewer%7Bsubject%7D%7D&{name}={inside}", _JSON),
        )
    raw = quoted(as_bytes(text), "&=;%+")[:MAX_TARGET]
    yield "GET ?", Request("GET", "/graphql", raw, _JSON)
    yield "GET /", Request("GET", f"/{target}")
    yield "GET page", Request("GET", "/graphql", raw.replace("query", ""), (("accept", "text/html"),))
    yield "GET asset", Request("GET", f"/graphiql/{target}")
    yield "method", Request(word.upper()[:MAX_HEADER], "/graphql")


_JSON = (("content-type", "application/json"),)

# ---------------------------------------------------------------- headers

# Each with what goes before the text.
HEADERS: dict[str, tuple[str, ...]] = {
    "accept": ("", "text/html,", "application/json;q=0.", "application/json;q=1."),
    "accept-encoding": ("",),
    "apollo-require-preflight": ("",),
    "authorization": ("", "Bearer ", "Basic ", "bearer rcat_", "Bearer eyJhbGciOiJIUzI1NiJ9.", "Digest "),
    "content-length": ("",),
    "content-type": ("", "application/json;", "application/json; charset=", "multipart/form-data; boundary="),
    "cookie": ("",),
    "forwarded": ("",),
    "graphql-require-preflight": ("",),
    "host": ("", "localhost:", "["),
    "if-modified-since": ("",),
    "if-range": ("",),
    "if-none-match": ("", 'W/"'),
    "origin": ("", "http://", "http://["),
    "range": ("bytes=",),
    "sec-fetch-site": ("",),
    "x-apollo-operation-name": ("",),
    "x-forwarded-for": ("",),
    "x-project-token": ("", "rcat_"),
    "x-request-id": ("",),
    "x-requested-with": ("",),
}


def header_text(text: str) -> str:
    """Return the text as a header may carry it: bytes without controls, at most as many as the head may have."""
    return as_bytes(text)[:MAX_HEADER].decode("latin-1").translate(_BLANKS)


_BLANKS = dict.fromkeys([*range(32), 127], " ")


def header_requests(text: str, world: walls.World) -> Iterator[tuple[str, Request]]:
    """Return requests with `text` in each header, for each kind of address."""
    text = header_text(text)
    release = f"/v1/catalogs/{world['catalog']}/releases/{world['release']}"
    ask = dumps({"query": "{ viewer { subject } }"})
    for header, prefixes in HEADERS.items():
        for before in prefixes:
            for name, method, path, query, body in (
                ("POST", "POST", "/graphql", "", ask),
                ("GET", "GET", "/graphql", "query=%7Bviewer%7Bsubject%7D%7D", b""),
                ("HAL", "GET", release, "", b""),
                ("page", "GET", "/graphql", "", b""),
                ("asset", "GET", "/graphiql/graphiql.js", "", b""),
            ):
                present = {"content-type": "application/json"} if name == "POST" else {}
                present |= {"accept": "text/html"} if name == "page" else {}
                present[header] = before + text
                yield f"{name} {header}: {before}", Request(method, path, query, tuple(present.items()), body)


# ---------------------------------------------------------------- WebSocket

INIT = {"type": "connection_init"}
_END = {"type": "subscribe", "id": "end", "payload": {"query": "{ events(first: 1) { nodes { id } } }"}}
ENDING = dumps(_END)


async def talk(
    app: Starlette, messages: Sequence[bytes | str], headers: Sequence[tuple[str, str]] = (), end: str = "end"
) -> list[Any]:
    """Return what the application sends over a socket until it closes it, or has completed the operation `end`."""
    coming: asyncio.Queue[Any] = asyncio.Queue()
    told: list[Any] = []
    for message in [{"type": "websocket.connect"}, *map(_message, messages)]:
        coming.put_nowait(message)
    over = asyncio.Event()

    async def take(message: Any) -> None:
        told.append(message)
        is_end = message["type"] == "websocket.send" and _is_end(message["text"], end)
        if message["type"] == "websocket.close" or is_end:
            over.set()
            coming.put_nowait({"type": "websocket.disconnect", "code": 1000})

    path = {"path": "/graphql", "raw_path": b"/graphql", "scheme": "ws", "subprotocols": ["graphql-transport-ws"]}
    scope = {**Request("GET", "/graphql", "", tuple(headers)).scope(), **path, "type": "websocket"}
    del scope["method"]
    async with asyncio.timeout(60):
        await app(scope, coming.get, take)
    return told


def _message(text: bytes | str) -> Any:
    # Frames of text that are no UTF-8 do not come so far.
    return {
        "type": "websocket.receive",
        "text": text.decode(errors="replace") if isinstance(text, bytes) else text,
    }


def _is_end(text: str, end: str) -> bool:
    # Messages that are large were not sent by this module's own operation.
    return len(text) < 1_000 and f'"id":"{end}"' in text and '"type":"next"' not in text


def sockets(text: str) -> Iterator[tuple[str, list[bytes | str]]]:
    """Return conversations with `text` in each part of a message, before connection_init and after it."""
    payload = {"query": "{ viewer { subject } }"}
    parts: list[tuple[str, bytes]] = [
        ("type", dumps({"type": text})),
        ("name", dumps({text: text, "type": "ping"})),
        ("ping", dumps({"type": "ping", "payload": {text: text}})),
        ("pong", dumps({"type": "pong", "payload": {"a": text}})),
        ("message", text.encode("utf-8", "surrogatepass")),
        ("message that is a text", dumps(text)),
        ("subscribe id", dumps({"type": "subscribe", "id": text, "payload": payload})),
        ("subscribe query", dumps({"type": "subscribe", "id": "1", "payload": {"query": text}})),
        ("subscribe name", dumps({"type": "subscribe", "id": "1", "payload": {**payload, "operationName": text}})),
        ("subscribe variables", dumps({"type": "subscribe", "id": "1", "payload": {**payload, "variables": {text: text}}})),
        ("subscribe payload", dumps({"type": "subscribe", "id": "1", "payload": {text: text}})),
        ("complete id", dumps({"type": "complete", "id": text})),
    ]  # fmt: skip
    inits = [
        ("init", dumps({**INIT, "payload": {text: text}})),
        ("init authorization", dumps({**INIT, "payload": {"Authorization": text}})),
        ("init bearer", dumps({**INIT, "payload": {"authorization": f"Bearer {text}"}})),
        ("init payload", dumps({**INIT, "payload": text})),
    ]
    for name, message in parts:
        yield f"{name} before", [message, dumps(INIT), ENDING]
        yield f"{name} after", [dumps(INIT), message, ENDING]
    for name, message in inits:
        yield name, [message, ENDING]


def subscriptions(probes: Sequence[Probe], world: walls.World) -> list[bytes | str]:
    """Return a conversation that subscribes once for each probe."""
    messages: list[bytes | str] = [dumps(INIT)]
    for number, probe in enumerate(probes):
        asked = orjson.loads(operation([probe], world).body)
        messages.append(dumps({"type": "subscribe", "id": f"s{number}", "payload": asked}))
    return [*messages, ENDING]


# ---------------------------------------------------------------- what it takes


@dataclasses.dataclass
class Taken:
    """Seconds of the process's CPU time: in all, and the most between two beats of the loop; and by the clock."""

    total: float
    gap: float
    clock: float

    def least(self, other: "Taken") -> "Taken":
        """Return the smaller of each."""
        return Taken(min(self.total, other.total), min(self.gap, other.gap), min(self.clock, other.clock))

    def __str__(self) -> str:
        return f"{self.total * 1e3:.1f} ms of CPU, {self.gap * 1e3:.1f} ms without a turn"


class Meter:
    """A task that beats every few milliseconds, and measures what others take in between.

    The CPU time of the whole process counts, so that what a thread does while it holds the interpreter counts too,
    and what other processes of the machine do does not.
    """

    BEAT_SECONDS = 0.004

    def __init__(self) -> None:
        self._last = time.process_time()
        self._gap = 0.0

    def _beat(self) -> None:
        now = time.process_time()
        self._gap = max(self._gap, now - self._last)
        self._last = now

    async def _beating(self) -> None:
        while True:
            await asyncio.sleep(self.BEAT_SECONDS)
            self._beat()

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls) -> AsyncIterator["Meter"]:
        """Have a meter beat."""
        meter = cls()
        task = asyncio.create_task(meter._beating())
        # The garbage of the tests is no part of a request.
        gc.collect()
        gc.freeze()
        try:
            yield meter
        finally:
            gc.unfreeze()
            task.cancel()
            await asyncio.wait([task])

    async def measure(self, work: Callable[[], Awaitable[Any]]) -> tuple[Taken, Any]:
        """Return what some work takes, and its result."""
        self._gap, self._last = 0.0, time.process_time()
        began, clock = self._last, time.monotonic()
        result = await work()
        self._beat()
        return Taken(time.process_time() - began, self._gap, time.monotonic() - clock), result
