"""The price of a query."""

from collections.abc import Mapping
from typing import Any

import pytest
from graphql import (
    FragmentDefinitionNode,
    get_operation_ast,
    parse,
)

from release_catalog.graphql_api.limits.query_cost import Cost, QueryCost
from release_catalog.graphql_api.schema import schema
from support.effort import bounded


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
        # The default size is that of a page from the beginning, and does not count where another size stands.
        ("{ catalogs { nodes { id } } }", 21),
        ("{ catalogs(last: 3) { nodes { id } } }", 4),
        ('{ catalogs(last: 3, nameContains: "x") { nodes { id } } }', 54),
        ("{ environment(name: 1) { contents { nodes { path } } } }", 102),
        ("{ environment(name: 1) { contents(last: 3) { nodes { path } } } }", 5),
        ("{ release(id: 1) { dependencies(last: 3) { nodes { id } } } }", 5),
        ("{ node(nodeId: 1) { nodeId } }", 1),
        ("{ node(nodeId: 1) { ... on Release { dependants(first: 3) { nodes { id } } } } }", 5),
        ("{ node(nodeId: 1) { ... on Artifact { release { product { id } } } } }", 3),
        ("{ nodes(nodeIds: [1, 2]) { ...F } } fragment F on Artifact { release { product { id } } }", 6),
        ("{ nodes(nodeIds: []) { nodeId } }", 1),
        ("{ nodes(nodeIds: [1, 2, 3]) { nodeId } }", 3),
        ("{ nodes(nodeIds: [1, 2, 3]) { ... on Product { releases(first: 2) { nodes { id } } } } }", 12),
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
        # A bulk costs for each of its releases, and its results are as many.
        ("mutation { createReleases(input: {releases: []}) { problem { detail } } }", 12),
        ("mutation { createReleases(input: {releases: {name: 1}}) { results { release { id } } } }", 13),
        ("mutation { createReleases(input: {releases: [{}, {}, {}]}) { results { release { id } } } }", 37),
    ],
)
def test_each_object_costs_a_point_times_the_pages_around_it(text: str, points: int) -> None:
    assert cost(text).points == points


@pytest.mark.parametrize("name", ["createReleases", "importReleases"])
def test_a_bulk_costs_by_its_number_of_releases_in_variables(name: str) -> None:
    type_ = f"{name[0].upper()}{name[1:]}Input"
    whole = "mutation($i: %s!) { %s(input: $i) { results { problem { detail } } } }" % (type_, name)
    inner = "mutation($r: [%s!]!) { %s(input: {releases: $r}) { results { problem { detail } } } }" % (
        type_.replace("sInput", "Input"),
        name,
    )
    one = "mutation($r: %s!) { %s(input: {releases: [$r, $r]}) { results { problem { detail } } } }" % (
        type_.replace("sInput", "Input"),
        name,
    )
    for count in (0, 1, 3, 100):
        points = 1 + 12 * max(1, count)
        assert cost(whole, i={"releases": [{}] * count}).points == points
        assert cost(inner, r=[{}] * count).points == points
        assert cost(inner, r=[{}] * count).nodes == 1 + 2 * max(1, count)
    assert cost(one, r={}).points == 25
    assert cost(whole, i={"releases": {}}).points == cost(whole, i=None).points == cost(whole).points == 13


@pytest.mark.parametrize(
    ("filter_", "points"),
    [({}, 6), ({"name": "x"}, 6), ({"nameContains": "x"}, 206), ({"nameContains": None}, 6),
     ({"search": "x"}, 26), ({"updatedFrom": "x", "constraint": "x"}, 20),
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


def test_conditions_in_any_and_none_cost_the_same_as_outside() -> None:
    filter_ = {"any": [{"search": "x"}, {"none": [{"nameContains": "x"}]}], "none": {"status": "DRAFT"}}
    declared = "query ($f: ReleaseFilter, $l: [ReleaseFilter!]) { releases(filter: %s) { totalCount } }"
    points = 1 + 5 + 2 * (5 + 10 + 5 + 100 + 5 + 5)
    assert cost(declared % "$f", f=filter_).points == points
    written = 'any: [{search: "x"}, {none: [{nameContains: "x"}]}], none: {status: DRAFT}'
    assert cost(declared % ("{%s}" % written)).points == points
    listed = [{"search": "x"}, {"none": [{"nameContains": "x"}]}]
    assert cost(declared % "{any: $l, none: {status: DRAFT}}", l=listed).points == points
    wide: Any = {"search": "x"}
    for _ in range(50):
        wide = {"any": [wide] * 50, "none": [wide] * 50}
    with bounded():
        assert cost(declared % "$f", f=wide).points < 1_000


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


def test_a_list_of_node_ids_in_a_variable_counts_by_its_length() -> None:
    text = "query($ids: [ID!]!) { nodes(nodeIds: $ids) { nodeId } }"
    document = QueryCost(schema._schema, {})
    operation = get_operation_ast(parse(text))
    assert operation
    for count in (1, 7, 100, 100_000):
        assert document.of(operation, {"ids": ["x"] * count}).points == min(count, 100)
