"""Documents that would take long are refused before they are validated."""

import pytest
from graphql import (
    get_introspection_query,
)

from support.documents import judged
from support.effort import bounded

MEGABYTE = 1 << 20


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
def test_documents_of_people_and_tools_are_within_the_limits(text: str) -> None:
    assert judged(text) == "fine"


def test_a_limit_is_what_it_is_set_to() -> None:
    query = "{ a: viewer { subject @skip(if: false) } }"
    assert judged(query, max_depth=2, max_aliases=1, max_directives=1, max_tokens=17) == "fine"
    assert judged(query, max_depth=1) == "depth"
    assert judged(query, max_aliases=0) == "aliases"
    assert judged(query, max_directives=0) == "directives"
    assert judged(query, max_tokens=10) == "tokens"
