"""What a document may ask for: measured before it is validated, in time that does not grow with its malice."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from graphql import (
    FragmentDefinitionNode,
    GraphQLSyntaxError,
    Lexer,
    Source,
    TokenKind,
    get_introspection_query,
    get_operation_ast,
    parse,
)
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain.caller import SCOPES, Caller, Owner
from release_catalog.graphql_api.limits import document_limits, input_limits
from release_catalog.graphql_api.limits.query_cost import Cost, QueryCost
from release_catalog.graphql_api.request_errors import RequestError
from release_catalog.graphql_api.schema import schema
from release_catalog.graphql_http import documents, request
from release_catalog.graphql_http.documents import DocumentStore, InvalidDocument
from release_catalog.server import rate_limit as callers_
from release_catalog.server.rate_limit import HOUR, RateLimiter
from release_catalog.settings import Limits
from support.effort import bounded

MEGABYTE = 1 << 20
WHO, OTHER = Caller("acme", "ci", SCOPES), Caller("other", "ci", SCOPES)


def judged(text: str, **limits: Any) -> str:
    """Which limit a document goes past, or what else there is to say of it."""
    try:
        asyncio.run(DocumentStore(schema._schema, limits=Limits(**limits)).meant({"query": text}))
    except RequestError as refusal:
        return f"{(refusal.extensions or {})['limit']}" if refusal.status == 400 else "not 400"
    except InvalidDocument as invalid:
        return invalid.errors[0].message
    return "fine"


def doubling(count: int, last: str = "__typename") -> str:
    """Fragments that each spread the next one twice, the second time a level below."""
    spreads = "".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }} " for n in range(count))
    return f"{{ ...F0 }} {spreads} fragment F{count} on Query {{ {last} }}"


BOMBS = {
    "a million aliases": ("{" + "a:__typename " * 80_000 + "}", "characters"),
    "aliases within the characters": ("{" + "a:__typename " * 7_000 + "}", "tokens"),
    "aliases within the tokens": ("{" + " ".join(f"a{n}: __typename" for n in range(51)) + "}", "aliases"),
    "10,000 levels": ("{ a" * 10_000 + "}" * 10_000, "tokens"),
    "660 levels": ("{ a" * 660 + "}" * 660, "depth"),
    "lists in 10,000 lists": ("{ a(b: " + "[" * 10_000, "tokens"),
    "lists in lists": ("{ a(b: " + "[" * 1_990, "depth"),
    "13 levels": ("{ a" * 13 + "}" * 13, "depth"),
    "fragments that spread the next twice": (doubling(95), "repeats"),
    "aliases in such fragments": (doubling(95, "a: __typename b: __typename"), "aliases"),
    "directives in such fragments": (doubling(6, "__typename @skip(if: false)"), "directives"),
    "a cycle": ("{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...A ...A }", "Cannot spread"),
    "a cycle of one": ("{ ...A } fragment A on Query { ...A }", "Cannot spread"),
    "one field 500 times": ("{" + " __typename" * 500 + "}", "repeats"),
    "one object 490 times": ("{" + "viewer { subject } " * 490 + "}", "repeats"),
    "one object in 90 fragments": (
        "{" + " ".join(f"...A{n}" for n in range(90)) + "}"
        + " ".join(f"fragment A{n} on Query {{ viewer {{ subject }} }}" for n in range(90)),
        "repeats",
    ),
    "a chain of 240 fragments": (
        "{ ...F0 }" + " ".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(240)), "Validation aborted",
    ),
    "51 directives": ("{ __typename " + "@skip(if: false)" * 51 + "}", "directives"),
    "directives of variables": ("query (" + "$a: Int @skip(if: false) " * 51 + ") { __typename }", "directives"),
    "a comment": ("#" + "x" * (MEGABYTE - 20) + "\n{ __typename }", "characters"),
    "comments": ("#\n" * (MEGABYTE // 2 - 20) + "{ __typename }", "characters"),
    "a text": ('{ release(id: "' + "x" * (MEGABYTE - 40) + '") { id } }', "characters"),
    "escapes": ('{ release(id: "' + "\\u0041" * (MEGABYTE // 6) + '") { id } }', "characters"),
    "a block of text": ('{ release(id: """' + "x\n" * (MEGABYTE // 2) + '""") { id } }', "characters"),
    "nothing": (" " * MEGABYTE, "characters"),
    "a number": ("{ releases(first: " + "9" * 90_000 + ") { totalCount } }", "Expected value of type 'Int'"),
    "a long name": ("{" + "a" * 90_000 + "}", "Cannot query field"),
    "a long list": ('{ releases(filter: {channel: ["x"' + ' "x"' * 250 + "]}) { totalCount } }", "lists"),
    "types of types": ("{ __schema { types" + " { fields { type" * 8 + " { name }" + "} }" * 8 + "} }", "depth"),
    "types of types, less": (
        "{ __schema { types" + " { fields { type" * 3 + " { name }" + "} }" * 3 + "} }", "Maximum introspection depth",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_every_bomb_is_judged_without_much_work(name: str) -> None:
    text, verdict = BOMBS[name]
    # Without the checks, some take minutes.
    with bounded():
        assert verdict in judged(text[:MEGABYTE])


@pytest.mark.parametrize(
    "text",
    [
        get_introspection_query(input_value_deprecation=True),
        "{ a: viewer { subject } b: viewer { subject } }",
        "{" + " ".join(f"a{n}: __typename" for n in range(50)) + "}",
        "{ releases { nodes { product { catalog { products { nodes { releases { nodes { name } } } } } } } } }",
        "{ release(id: 1) { ...A ...B } } fragment A on Release { id name } fragment B on Release { id version }",
    ],
)
def test_what_people_and_tools_ask_is_fine(text: str) -> None:
    assert judged(text) == "fine"


async def test_a_large_document_is_read_while_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    read = documents.DocumentStore._judged

    def slow(self: DocumentStore, text: str, tokens: list[str]) -> Any:
        assert len(text) < 100 or go_on.wait(10)
        return read(self, text, tokens)

    monkeypatch.setattr(DocumentStore, "_judged", slow)
    known = DocumentStore(schema._schema)
    query = "{" + "...on Query { __typename } " * 60 + "}"
    large = asyncio.create_task(known.meant({"query": query}))
    await asyncio.sleep(0.05)
    small = await known.meant({"query": "{ __typename }"})
    assert not large.done()
    go_on.set()
    assert await large is await known.meant({"query": query}) is not small


def test_a_limit_is_what_it_is_set_to() -> None:
    query = "{ a: viewer { subject @skip(if: false) } }"
    assert judged(query, max_depth=2, max_aliases=1, max_directives=1, max_tokens=17) == "fine"
    assert judged(query, max_depth=1) == "depth"
    assert judged(query, max_aliases=0) == "aliases"
    assert judged(query, max_directives=0) == "directives"
    assert judged(query, max_tokens=10) == "tokens"


def lexed(text: str) -> tuple[int, bool]:
    """How many tokens GraphQL's own lexer finds, with comments, and whether it comes to the end."""
    token, lexer = Lexer(Source(text)).token, Lexer(Source(text))
    for count in range(len(text) + 1):
        try:
            token = lexer.read_next_token(token.end)
        except GraphQLSyntaxError:
            return count, False
        if token.kind is TokenKind.EOF:
            break
    return count, True


PIECES = (
    *'{}()[]:!$&=|@.,-+\\"#\n\r \ufeffaE_01é\x00',
    *("...", '"""', '"x"', '\\"', '\\"""', "name", "-1.5e+3", "0.1", "1e", "# x\r", "\ud800", "😀"),
)


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_tokens_are_counted_as_the_lexer_finds_them(text: str) -> None:
    count, whole = lexed(text)
    if whole:
        assert len(document_limits.tokenize(text, 1_000)) == count
    # What can't be read is refused either way: but not before as much of it is counted as is read.
    assert len(document_limits.tokenize(text, 1_000)) >= count


@pytest.mark.parametrize("piece", [*PIECES, "a ", '"\\"', '"\n', "\\u0041", "#\n", '"""\\"""', "-.", "1."])
@pytest.mark.parametrize("before", ["", '"', '"""', "#"])
def test_tokens_are_counted_in_linear_time(before: str, piece: str) -> None:
    text = before + piece * (MEGABYTE // len(piece))
    with bounded(), contextlib.suppress(RequestError):
        document_limits.tokenize(text, 2_000)


@pytest.mark.parametrize("value", ["[]", "[1]", "{}", '{"a":{}}', '""', "0", "[[[[[]]]]]"])
def test_values_are_counted_in_linear_time(value: str) -> None:
    body = f"[{','.join([value] * (MEGABYTE // (len(value) + 1)))}]".encode()
    with bounded(), pytest.raises(RequestError, match="65536") as refusal:
        request.check_json_size(body, MEGABYTE)
    assert (refusal.value.status, (refusal.value.extensions or {})["limit"]) == (400, "values")
    request.check_json_size(body[: MEGABYTE // 16], MEGABYTE)


# ---------------------------------------------------------------- cost


def cost(text: str, **variables: Any) -> Cost:
    return priced(text, variables)


def priced(text: str, variables: Mapping[str, Any]) -> Cost:
    document = parse(text)
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    operation = get_operation_ast(document)
    assert operation is not None
    return QueryCost(schema._schema, fragments).of(operation, variables)


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("{ __typename }", 1),
        ("{ viewer { subject } }", 1),
        ("{ releases { totalCount } }", 6),
        ("{ releases { nodes { id } pageInfo { hasNextPage } } }", 22),
        ("{ releases(first: 3) { edges { node { id } } } }", 7),
        ("{ releases(last: 3) { nodes { product { id } } } }", 7),
        ("{ releases(first: 101) { nodes { id } } }", 101),
        ("{ releases(first: -1) { nodes { id } } }", 2),
        ("{ release(id: 1) { dependencies { nodes { id } } } }", 12),
        ("{ release(id: 1) { dependencies(first: 100) { nodes { id } } } }", 102),
        ("{ release(id: 1) { artifacts { release { id } } } }", 11),
        ("{ release(id: 1) { artifacts { release { artifacts { id } } } } }", 25_011),
        # A walk costs by how far it may go, whatever is asked of it.
        ("{ release(id: 1) { dependencyGraph { nodeCount } } }", 22),
        ("{ release(id: 1) { dependencyGraph(maxNodes: 5000) { nodeCount } } }", 102),
        ("{ release(id: 1) { dependencyGraph { nodes { id } } } }", 42),
        ("{ release(id: 1) { dependencyGraph(maxNodes: 5000) { nodes { id } } } }", 202),
        (
            "{ ...F } fragment F on Query { releases { ...P } } fragment P on ReleaseConnection { nodes { id } }",
            21,
        ),
        ("{ releases(first: 5) { ... on ReleaseConnection { nodes { ... { id } } } } }", 6),
        ("mutation { publishRelease(input: {id: 1}) { release { id } } }", 12),
    ],
)
def test_each_object_costs_a_point_times_the_pages_around_it(text: str, points: int) -> None:
    assert cost(text).points == points


@pytest.mark.parametrize(
    ("filter_", "points"),
    [({}, 6), ({"name": "x"}, 6), ({"nameContains": "x"}, 206), ({"nameContains": None}, 6),
     ({"channel": ["x"], "status": ["DRAFT"], "dependsOnId": "1", "author": "x"}, 36)],
)  # fmt: skip
def test_a_filter_costs_by_what_it_looks_through(filter_: dict[str, Any], points: int) -> None:
    """Once for the page, and again for a count of all that match."""
    declared = "query ($f: ReleaseFilter = {}) { releases(filter: $f) { totalCount } }"
    assert cost(declared, f=filter_).points == points
    written = ", ".join(f"{name}: {_literal(value)}" for name, value in filter_.items())
    assert cost("{ releases(filter: {%s}) { totalCount } }" % written).points == points
    assert cost(declared.replace("{}", "{%s}" % written)).points == points
    fields = ", ".join(f"{name}: $v" for name, value in filter_.items() if value)
    if fields:
        assert cost("query ($v: Any) { releases(filter: {%s}) { totalCount } }" % fields, v=1).points == points


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return "null" if value is None else '"x"'


def test_page_sizes_come_from_variables_and_their_defaults() -> None:
    query = "query ($n: Int = 7) { releases(first: $n) { nodes { id } } }"
    assert (cost(query).points, cost(query, n=3).points, cost(query, n=10**30).points) == (8, 4, 101)
    assert (cost(query, n=None).points, cost(query, n="x").points, cost(query, n=True).points) == (21, 21, 21)
    # GraphQL takes them for whole numbers, and so does what reads the page.
    assert (cost(query, n=100.0).points, cost(query, n=1e300).points, cost(query, n=-1e3).points) == (101, 101, 2)


def test_only_the_variables_of_an_operation_are_looked_at() -> None:
    class Many(dict[str, Any]):
        def items(self) -> Any:
            raise AssertionError

    assert priced("query ($n: Int) { releases(first: $n) { nodes { id } } }", Many(n=3, other=4)).points == 4


def test_deep_pages_cost_more_than_anybody_has() -> None:
    deep = "dependencies(first: 100) { nodes { "
    assert cost("{ releases(first: 100) { nodes { " + deep * 2 + "id" + " } }" * 3 + "}").points > 1_000_000
    assert (
        cost("{ release(id: 1) { dependencyGraph(maxNodes: 5000) { nodes { artifacts { id } } } } }").nodes
        > 25_000
    )


def test_fragments_are_priced_once_however_often_they_are_spread() -> None:
    spreads = "".join(
        f"fragment F{n} on Release {{ a: product {{ x: latestRelease {{ ...F{n + 1} }} }} "
        f"latestRelease {{ ...F{n + 1} }} }} "
        for n in range(60)
    )
    with bounded():
        assert cost("{ release(id: 1) { ...F0 } }" + spreads + "fragment F60 on Release { id }").points > 2**60


# ---------------------------------------------------------------- input


def refused(query: str, **variables: Any) -> str | None:
    document = parse(query)
    operation = get_operation_ast(document)
    assert operation is not None
    try:
        input_limits.InputLimits(schema._schema, document, Limits()).check(operation, variables)
    except RequestError as refusal:
        return str(refusal)
    return None


def test_values_count_as_often_as_they_are_used() -> None:
    def values(count: int) -> int:
        fields = " ".join(f"x{at}: createRelease(input: $i) {{ problem {{ detail }} }}" for at in range(count))
        document = parse(f"mutation ($i: CreateReleaseInput!) {{ {fields} }}")
        operation = get_operation_ast(document)
        assert operation is not None
        many = {"i": {"name": "a", "artifacts": [{"name": str(at)} for at in range(100)]}}
        return input_limits.InputLimits(schema._schema, document, Limits()).check(operation, many)

    assert values(1) > 200
    assert values(50) == 50 * values(1)


SEARCH = "query ($f: ReleaseFilter) { releases(filter: $f) { totalCount } }"
CREATE = "mutation ($i: CreateReleaseInput!) { createRelease(input: $i) { problem { detail } } }"
PROMOTE = """mutation ($keys: [String!]) { promoteRelease(input: {
    releaseId: 1, environment: "QA", includedRepositoryKeys: $keys}) { problem { detail } } }"""


def test_lists_have_as_many_entries_as_are_of_use() -> None:
    assert refused(SEARCH, f={"channel": ["x"] * 250}) is None
    assert refused(SEARCH, f={"channel": ["x"] * 251}) == "f.channel has 251 entries; the limit lists allows 250."
    assert refused(CREATE, i={"artifacts": [{}] * 1_000, "platforms": ["x"] * 1_000}) is None
    assert "i.artifacts has 1001 entries" in (refused(CREATE, i={"artifacts": [{}] * 1_001}) or "")
    assert refused(CREATE, i={"metadata": {"free": [0] * 5_000}}) is None
    assert refused(PROMOTE, keys=["x"] * 1_000) is None
    assert "keys has 1001" in (refused(PROMOTE, keys=["x"] * 1_001) or "")
    assert refused("query ($f: [ID!]) { releases(filter: {ids: $f}) { totalCount } }", f=["x"] * 251)
    # GraphQL takes what stands alone for a list of one.
    files: dict[str, Any] = {"releaseMetadata": [{}] * 1_001}
    assert "releaseMetadata has 1001 entries" in (refused(CREATE, i={"platformReleaseMetadata": files}) or "")


def test_texts_have_as_many_characters_as_are_of_use() -> None:
    assert "f.nameContains has 1025 characters" in (refused(SEARCH, f={"nameContains": "x" * 1_025}) or "")
    assert refused(SEARCH, f={"nameContains": "x" * 1_024}) is None
    assert refused(CREATE, i={"metadata": {"text": "x" * 200_000}}) is None
    # What it is for is for others to check.
    assert refused(SEARCH, f=["x", {"a": 1}], other="y" * 200_000) is None


PAGE = "query ($after: String, $id: ID!) { releases(after: $after) { totalCount } release(id: $id) { id } }"


@pytest.mark.parametrize(
    ("query", "variables", "path"),
    [
        (PAGE, {"after": "x" * 10_001}, "after has 10001 characters"),
        (PAGE, {"id": "x" * 1_025}, "id has 1025 characters"),
        (SEARCH, {"f": {"ids": ["x" * 1_025]}}, "f.ids has 1025 characters"),
        (CREATE, {"i": {"productId": "x" * 1_025}}, "i.productId has 1025 characters"),
        (CREATE, {"i": {"dependencies": [{"releaseId": "x" * 1_025}]}}, "i.dependencies.releaseId has 1025"),
        (CREATE, {"i": {"notes": "x" * 100_001}}, "i.notes has 100001 characters"),
    ],
)
def test_texts_and_ids_of_variables_are_measured(query: str, variables: Any, path: str) -> None:
    assert path in (refused(query, **variables) or "")


@pytest.mark.parametrize("size", [1_000, 20_000])
@pytest.mark.parametrize(
    "text",
    [
        '{ release(id: "%s") { id } }',
        '{ releases(filter: {name: "%s"}) { totalCount } }',
        'query ($n: String = "%s") { releases(filter: {name: $n}) { totalCount } }',
        'mutation { publishRelease(input: {id: "%s"}) { release { id } } }',
        'fragment A on Query { release(id: "%s") { id } } { ...A }',
    ],
)
def test_texts_in_a_document_are_measured(text: str, size: int) -> None:
    assert judged(text % ("x" * size)) == ("texts" if size > 1_024 else "fine")


def test_the_values_of_all_variables_are_counted_together() -> None:
    query = "mutation (%s) { %s }" % (
        ", ".join(f"$i{n}: CreateReleaseInput!" for n in range(3)),
        " ".join(f"a{n}: createRelease(input: $i{n}) {{ warnings }}" for n in range(3)),
    )
    one: Any = {"artifacts": [dict.fromkeys("name size sha256 downloadUrl arguments path".split(), "1")] * 1_000}
    assert refused(query, i0=one, i1=one, i2=one) is None
    one["dependencies"] = [{"name": "n", "version": "1", "releaseId": "1"}] * 1_000
    assert "more than 30000 values" in (refused(query, i0=one, i1=one, i2=one) or "")


def test_a_long_text_of_a_mutation_is_left_to_the_domain_which_tells_all_that_is_wrong() -> None:
    assert (
        judged('mutation { withdrawRelease(input: {id: "1", reason: "%s"}) { affectedCount } }' % ("x" * 20_000))
        == "fine"
    )
    assert refused(CREATE, i={"notes": "x" * 20_000, "name": "y" * 20_000}) is None


# ---------------------------------------------------------------- callers


def test_a_caller_has_so_many_requests_under_way() -> None:
    callers = RateLimiter(Limits(max_concurrency=2))
    with callers.concurrency_slot(WHO), callers.concurrency_slot(WHO):
        with pytest.raises(RequestError, match="limit concurrency") as refusal, callers.concurrency_slot(WHO):
            pass
        assert (refusal.value.status, refusal.value.headers) == (429, {"Retry-After": "1"})
        with callers.concurrency_slot(OTHER):
            pass
    with callers.concurrency_slot(WHO):
        pass


def test_tenants_and_callers_have_shares_of_all_requests() -> None:
    callers = RateLimiter(Limits(max_concurrency=2, max_concurrency_per_tenant=3, max_concurrency_total=4))
    other = Caller("acme", "other", SCOPES)
    with contextlib.ExitStack() as stack:
        for who in (WHO, WHO, other):
            stack.enter_context(callers.concurrency_slot(who))
        for who in (WHO, other, Caller("acme", "third", SCOPES)):
            with pytest.raises(RequestError) as refusal, callers.concurrency_slot(who):
                pass
            assert (refusal.value.status, refusal.value.headers) == (429, {"Retry-After": "1"})
            assert refusal.value.extensions == {"code": "RATE_LIMITED", "limit": "concurrency", "allowed": 2}
        with callers.concurrency_slot(OTHER):
            with pytest.raises(RequestError) as refusal, callers.concurrency_slot(Caller("third", "ci", SCOPES)):
                pass
            assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "1"})
            assert refusal.value.extensions == {"code": "UNAVAILABLE"}
    with callers.concurrency_slot(WHO):
        pass


class Requests:
    """Requests under way, each of which ends when its event is set."""

    def __init__(self, callers: RateLimiter) -> None:
        self.callers = callers
        self.begun: list[Caller] = []
        self.go_on = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self, who: Caller, count: int, points: int = 100) -> int:
        """Begin `count` requests; how many of all are executed then."""

        async def one() -> None:
            with self.callers.concurrency_slot(who):
                await asyncio.sleep(0)  # the others come meanwhile
                async with self.callers.turn(who, points):
                    self.begun.append(who)
                    await self.go_on.wait()

        self.tasks += [asyncio.create_task(one()) for _ in range(count)]
        for _ in range(10):
            await asyncio.sleep(0)
        return len(self.begun)

    async def end(self) -> None:
        self.go_on.set()
        await asyncio.gather(*self.tasks)


@pytest.mark.parametrize(("points", "at_once"), [(100, callers_.LARGE_AT_ONCE), (1, callers_.SMALL_AT_ONCE)])
async def test_who_crowds_others_waits_for_turns(
    points: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers_, "TURN_SECONDS", 1_000)
    requests = Requests(RateLimiter(Limits()))
    assert await requests.begin(OTHER, 1) == 1
    assert await requests.begin(WHO, 50, points) == 1 + at_once
    # The other one does not wait, and one of the same tenant has turns of its own.
    assert await requests.begin(OTHER, 2) == 3 + at_once
    await requests.end()
    assert len(requests.begun) == 53


async def test_among_equals_and_alone_nobody_waits_for_turns() -> None:
    requests = Requests(RateLimiter(Limits()))
    assert await requests.begin(WHO, 50) == 50
    same = Caller("acme", "same", SCOPES)
    assert await requests.begin(same, 50) == 100
    assert await requests.begin(OTHER, 60) == 160
    await requests.end()


async def test_tenants_crowd_each_other_by_all_their_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers_, "TURN_SECONDS", 1_000)
    requests = Requests(RateLimiter(Limits()))
    await requests.begin(OTHER, 1)
    # Each request before the last few was let go on while its tenant had little under way.
    for number in range(40):
        await requests.begin(Caller("acme", f"{number}", SCOPES), 1)
    begun = len([who for who in requests.begun if who.tenant == "acme"])
    assert callers_.LARGE_AT_ONCE <= begun <= 3 * callers_.LARGE_AT_ONCE
    assert await requests.begin(OTHER, 1) == begun + 2
    await requests.end()


async def test_what_takes_long_keeps_nobody_from_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers_, "TURN_SECONDS", 0.001)
    requests = Requests(RateLimiter(Limits()))
    await requests.begin(OTHER, 1)
    await requests.begin(WHO, 20)
    async with asyncio.timeout(30):
        while len(requests.begun) < 21:  # noqa: ASYNC110  each begins when the one before has had its turn
            await asyncio.sleep(0.001)
    await requests.end()


def large(number: int, parts: int = 60) -> str:
    """A document that is read aside, another one for each number."""
    return "query Q%d {" % number + "...on Query { __typename } " * parts + "}"


class Reader:
    """Stands for what reads documents: it tells whose it reads, in their order, and waits while it is `held`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[str] = []
        self.held = threading.Event()
        judged = documents.DocumentStore._judged

        def reading(known: DocumentStore, text: str, tokens: list[str]) -> Any:
            self.read.append(text)
            assert self.held.wait(30)
            return judged(known, text, tokens)

        monkeypatch.setattr(DocumentStore, "_judged", reading)


async def test_large_documents_of_one_caller_delay_another_by_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, known = Reader(monkeypatch), DocumentStore(schema._schema)
    flood = [asyncio.create_task(known.meant({"query": large(n)}, Owner("acme", f"{n % 3}"))) for n in range(40)]
    await asyncio.sleep(0.01)
    late = asyncio.create_task(known.meant({"query": large(99)}, Owner("other", "ci")))
    # Other callers of the tenant, too.
    same = asyncio.create_task(known.meant({"query": large(98)}, Owner("acme", "ci")))
    await asyncio.sleep(0.01)
    reader.held.set()
    await asyncio.gather(*flood, late, same)
    assert reader.read.index(large(99)) <= 2
    assert reader.read.index(large(98)) <= 8


async def test_a_caller_has_so_many_documents_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, known = Reader(monkeypatch), DocumentStore(schema._schema)
    monkeypatch.setattr(documents, "WAIT_SECONDS", 0.05)
    owner = Owner("acme", "ci")
    flood = [asyncio.create_task(known.meant({"query": large(n)}, owner)) for n in range(60)]
    await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
    refused = [task.exception() for task in flood if task.done()]
    assert len(refused) == 60 - 1 - documents.MAX_WAITING
    assert {error.status for error in refused if isinstance(error, RequestError)} == {429}
    with pytest.raises(RequestError) as refusal:
        await known.meant({"query": large(99)}, Owner("other", "ci"))
    assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "1"})
    reader.held.set()
    await asyncio.gather(*flood, return_exceptions=True)
    assert await known.meant({"query": large(99)}, owner)
    # One after the other, even where those who asked have gone.
    assert len(reader.read) == 2


async def test_who_goes_away_leaves_the_turn_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, known = Reader(monkeypatch), DocumentStore(schema._schema)
    for number in range(20):
        gone = asyncio.create_task(known.meant({"query": large(number)}, Owner("acme", "ci")))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    late = asyncio.create_task(known.meant({"query": large(99)}, Owner("other", "ci")))
    await asyncio.sleep(0.01)
    reader.held.set()
    await late
    assert reader.read.index(large(99)) <= 2


async def test_a_document_that_many_send_at_once_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, known = Reader(monkeypatch), DocumentStore(schema._schema)
    reader.held.set()
    found = await asyncio.gather(*(known.meant({"query": large(1)}, Owner("acme", f"{n}")) for n in range(20)))
    assert len(reader.read) == len(set(map(id, found))) == 1


async def test_reading_is_charged_by_size_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, known = Reader(monkeypatch), DocumentStore(schema._schema)
    reader.held.set()
    charged: list[int] = []
    for text in ("{ __typename }", large(1), large(1), large(2, 100)):
        await known.meant({"query": text}, Owner("acme", "ci"), charged.append)
    assert charged == [len(document_limits.tokenize(text, 2_000)) - 100 for text in (large(1), large(2, 100))]
    with contextlib.suppress(InvalidDocument):
        await known.meant({"query": "{ a }" + "#" * 90_000}, Owner("acme", "ci"), charged.append)
    assert charged[-1] > 2_000

    def refuse(points: int) -> None:
        raise RequestError(429, "Enough.")

    count = len(reader.read)
    with pytest.raises(RequestError, match="Enough"):
        await known.meant({"query": large(3)}, Owner("acme", "ci"), refuse)
    assert len(reader.read) == count


async def test_plans_of_large_documents_take_turns_and_cost_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    known, charged = DocumentStore(schema._schema), list[int]()
    text = "query ($a: Boolean!) {" + "viewer { subject @skip(if: $a) } " * 30 + "}"
    document = await known.meant({"query": text})
    operation = document.operation(None)
    assert operation
    planned = functools.partial(known.plan, Owner("acme", "ci"), charged.append, document, operation)
    plans = [await planned({"a": value}) for value in (True, False)]
    assert plans[0] is not plans[1]
    assert charged == [document.points] * 2
    assert document.known_plan(operation, {"a": True}) is plans[0]
    small = await known.meant({"query": "{ viewer { subject } }"})
    operation = small.operation(None)
    assert operation
    await known.plan(Owner("acme", "ci"), charged.append, small, operation, {})
    assert len(charged) == 2


def test_a_caller_has_so_many_points_an_hour() -> None:
    now = 1_000.0
    callers = RateLimiter(Limits(cost_per_hour=100), lambda: now)
    callers.consume(WHO, 60)
    now += 600
    assert callers.headers(WHO) == {
        "x-ratelimit-limit": "100", "x-ratelimit-remaining": "40", "x-ratelimit-reset": "3000",
    }  # fmt: skip
    with pytest.raises(RequestError, match="only 40 of the 100 points an hour are left") as refusal:
        callers.consume(WHO, 41)
    assert refusal.value.headers == {"Retry-After": "3000"}
    callers.consume(OTHER, 100)
    callers.consume(WHO, 40)
    now += HOUR
    callers.consume(WHO, 100)
    now += 2 * HOUR
    callers.consume(WHO, 1)
    assert len(callers._used) == 1


def test_what_is_done_is_paid_even_where_it_is_more_than_is_left() -> None:
    now = 1_000.0
    callers = RateLimiter(Limits(cost_per_hour=100), lambda: now)
    callers.consume(WHO, 1)
    callers.settle(WHO, 250)
    callers.settle(WHO, -5)
    assert callers.headers(WHO)["x-ratelimit-remaining"] == "0"
    with pytest.raises(RequestError, match="only 0 of the 100 points an hour are left"):
        callers.consume(WHO, 1)
    now += HOUR
    callers.consume(WHO, 100)
    callers.settle(OTHER, 40)
    assert callers.headers(OTHER)["x-ratelimit-remaining"] == "60"
    callers = RateLimiter(Limits())
    callers.settle(WHO, 10)
    assert RateLimiter(Limits()).headers(WHO) == {}


def test_writes_leave_a_fifth_of_a_caller_s_requests_to_reads() -> None:
    callers = RateLimiter(Limits(max_concurrency=10))
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(callers.write_slot(WHO))
        with pytest.raises(RequestError, match="the maximum that the limit writes allows") as refusal:
            callers.write_slot(WHO)
        assert (refusal.value.status, refusal.value.headers) == (429, {"Retry-After": "1"})
        with callers.write_slot(OTHER):
            pass
    with callers.write_slot(WHO):
        pass
