"""The limits of lists, texts and values in variables and literals."""

from typing import Any

import pytest
from graphql import (
    get_operation_ast,
    parse,
)

from release_catalog.graphql_api.limits import input_limits
from release_catalog.graphql_api.request_errors import RequestError
from release_catalog.graphql_api.schema import schema
from release_catalog.request_limits import Limits
from support.documents import judged


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
        (CREATE, {"i": {"notes": "x" * 300_001}}, "i.notes has 300001 characters"),
    ],
)
def test_texts_and_ids_of_variables_are_measured(query: str, variables: Any, path: str) -> None:
    assert path in (refused(query, **variables) or "")


def test_node_ids_may_be_longer_than_other_ids() -> None:
    query = "query($one: ID!, $many: [ID!]!) { node(nodeId: $one) { nodeId } nodes(nodeIds: $many) { nodeId } }"
    literal = '{ node(nodeId: "%s") { nodeId } nodes(nodeIds: ["%s"]) { nodeId } environment(name: "QA") { contents(pathPrefix: "%s") { totalCount } } }'
    for size, other, expected in ((11_000, 1, "fine"), (11_000, 2_000, "fine"), (11_001, 1, "texts")):
        text = "x" * size
        assert judged(literal % (text, text, "x" * other)) == expected
        for variables in ({"one": text, "many": []}, {"one": "", "many": ["", text]}):
            assert bool(refused(query, **variables)) == (expected == "texts")


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
