"""A document's size told from its tokens is the one that its syntax tree has."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionNode,
    parse,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from release_catalog.graphql_api.limits import document_limits
from release_catalog.request_limits import Limits

NAMES = ["a", "b", "on", "fragment", "query", "__type", "__schema", "true", "F1"]
GAPS = [" ", "\n", ", ", " #{(@...\r", '\ufeff\t# """\n']
BOUNDLESS = Limits.model_construct(max_depth=10**9, max_aliases=10**9, max_directives=10**9)
ARGUMENTS = [
    "",
    "",
    "(a: 1)",
    '(a:"{(" on : {on:{}})',
    '(a: [["\\""]] b: """} \\""" )""" c: -1.5e3)',
    "(a:[{a:B}])",
]
DIRECTIVES = ["", "", *(f"@{name}{given} " for name, given in itertools.product(["a", "on"], ARGUMENTS[2:]))]
DIRECTIVES.append("".join(DIRECTIVES))
NAME, GAP, GIVEN, DIRECTED = map(st.sampled_from, (NAMES, GAPS, ARGUMENTS, DIRECTIVES))


@st.composite
def selections(draw: st.DrawFn, levels: int = 3) -> str:
    def selection() -> str:
        sets = selections(levels - 1)
        match draw(st.integers(0, 3)) if levels else 0:
            case 0:
                alias = draw(NAME) + draw(st.sampled_from([":", " : ", ":#:\n"])) if draw(st.booleans()) else ""
                return f"{alias}{draw(NAME)}{draw(GIVEN)} {draw(DIRECTED)}"
            case 1:
                return f"{draw(NAME)} {draw(GIVEN)}{draw(DIRECTED)}{draw(sets)}"
            case 2:
                condition = draw(st.sampled_from(["", "on on", " on T"]))
                return f"...{condition} {draw(DIRECTED)}{draw(sets)}"
            case _:
                return f"...{draw(st.sampled_from(['F0', 'F1', 'F2', 'a']))} {draw(DIRECTED)}"

    gap = draw(GAP)
    return "{" + gap.join(selection() for _ in range(draw(st.integers(1, 3)))) + "}"


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Documents that can be parsed, with fragments that are unknown, twice there or circular."""
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        described = draw(st.sampled_from(["", "", '"{ a" ', '"""\n@b {"""']))
        kind = draw(st.integers(0, 2))
        variables = f"($a: [I!]! = {{a: 1}} {draw(DIRECTED)} $b: J {draw(DIRECTED)})"
        name = draw(st.sampled_from(["", "a", "fragment", "F0"]))
        fragment = draw(st.sampled_from(["F0", "F1", "F2", "fragment"]))
        head = {
            0: "",
            1: f"{described}query {name}{draw(st.sampled_from(['', variables]))} {draw(DIRECTED)}",
            2: f"{described}fragment {fragment} on T {draw(DIRECTED)}",
        }[kind]
        parts.append(head + draw(selections()))
    return draw(GAP).join(parts)


class Tree:
    """The sizes of a document by its syntax tree, each fragment opened wherever it is spread."""

    def __init__(self, document: DocumentNode) -> None:
        self.fragments: dict[str, FragmentDefinitionNode] = {}
        for node in document.definitions:
            if isinstance(node, FragmentDefinitionNode):
                self.fragments.setdefault(node.name.value, node)
        self.definitions = [
            node
            for node in document.definitions
            if isinstance(node, OperationDefinitionNode | FragmentDefinitionNode)
        ]

    def circular(self) -> bool:
        """Whether some fragment comes to itself."""

        def spread(node: Any) -> Iterator[str]:
            for part in node.selection_set.selections:
                if isinstance(part, FragmentSpreadNode):
                    yield part.name.value
                elif part.selection_set:
                    yield from spread(part)

        def comes(name: str, seen: frozenset[str]) -> bool:
            if name in seen:
                return True
            node = self.fragments.get(name)
            return node is not None and any(comes(other, seen | {name}) for other in spread(node))

        return any(comes(name, frozenset()) for node in self.definitions for name in spread(node))

    def size(self, definition: OperationDefinitionNode | FragmentDefinitionNode) -> tuple[int, int, int]:
        """Levels, aliases and directives."""
        own = len(definition.directives or ())
        variables = getattr(definition, "variable_definitions", None) or ()
        own += sum(len(variable.directives or ()) for variable in variables)
        depth, aliases, found = self._total(definition.selection_set.selections)
        return 0 if isinstance(definition, FragmentDefinitionNode) else depth, aliases, found + own

    def _total(self, nodes: tuple[SelectionNode, ...]) -> tuple[int, int, int]:
        depth = aliases = found = 0
        for node in nodes:
            inner: Any = node
            if isinstance(node, FragmentSpreadNode):
                inner = self.fragments.get(node.name.value)
            under = inner.selection_set.selections if inner and inner.selection_set else ()
            one = self._total(under)
            level = one[0]
            if isinstance(node, FieldNode):
                level -= (
                    min(level, document_limits.INTROSPECTION_LEVELS)
                    if node.name.value in {"__schema", "__type"}
                    else 0
                )
                level += 1
                aliases += node.alias is not None
            depth, aliases = max(depth, level), aliases + one[1]
            found += one[2] + len(node.directives or ())
        return depth, aliases, found


def sizes(text: str) -> list[tuple[int, int, int]]:
    measure = document_limits._DocumentStats(document_limits.tokenize(text, 10**6))
    return [(size.depth, size.aliases, size.directives) for size in measure.sizes]


@given(texts())
@settings(max_examples=150)
def test_tokens_tell_what_the_tree_tells(text: str) -> None:
    tree = Tree(parse(text))
    circular = tree.circular()
    assert document_limits._DocumentStats(document_limits.tokenize(text, 10**6)).circular == circular
    if not circular:
        assert sizes(text) == [tree.size(definition) for definition in tree.definitions]


@given(texts(), st.data())
def test_unparsable_documents_are_measured_without_an_error(text: str, data: st.DataObject) -> None:
    tokens = document_limits.tokenize(text, 10**6)
    at = data.draw(st.integers(0, len(tokens)))
    more = data.draw(
        st.lists(
            st.sampled_from(["{", "}", "(", ")", "...", "on", "@", ":", "a", "fragment", "F0", '"']), max_size=4
        )
    )
    document_limits.check([*tokens[:at], *more, *tokens[at + data.draw(st.integers(0, 3)) :]], BOUNDLESS)


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("{ a { b } }", 0),
        ("{ a a a }", 2),
        ("{ a { b c } a { b c } }", 3),
        ("{ a { b } x: a { b } }", 0),
        ("{ x: a x: a { b } }", 2),
        ("{ ...F ...F } fragment F on T { a b }", 2),
        ("{ ... { a } ... on T { a } }", 1),
    ],
)
def test_repeated_fields_count_with_all_fields_below_them(text: str, repeats: int) -> None:
    assert document_limits._DocumentStats(document_limits.tokenize(text, 100)).sizes[0].repeats == repeats
