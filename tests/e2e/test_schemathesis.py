"""Requests made up by schemathesis from the whole schema: whatever they ask, nothing fails unforeseen."""

import collections
from collections.abc import Iterator
from typing import Any

import httpx2
import hypothesis
import pytest
from hypothesis import strategies as st

from release_catalog.graphql_api.schema import schema
from support.processes import Server, serving

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis: make test installs it")

UNFORESEEN = {"INTERNAL_SERVER_ERROR", "UNAVAILABLE", "TIMEOUT"}
SETTINGS = hypothesis.settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mongodb_url: str) -> Iterator[Server]:
    """With the sample in a database that may be changed."""
    folder = tmp_path_factory.mktemp("made_up")
    with serving(folder, "--sample", mongodb_url=mongodb_url, database="made_up") as server:
        yield server
        assert server.stop() == 0


def test_no_generated_request_fails_unexpectedly(server: Server) -> None:
    # Not by its pytest plugin, which does not know this pytest.
    made_up: Any = schemathesis.graphql.from_url(f"{server.url}/graphql")
    given: Any = hypothesis.given
    nodes = schemathesis.graphql.nodes
    free = st.integers(-(2**31), 2**31 - 1).map(nodes.Int) | st.text().map(nodes.String)
    schemathesis.graphql.scalar("JSON", free)
    asked: collections.Counter[str] = collections.Counter()

    def ask(case: Any) -> None:
        response = case.call()
        assert response.status_code in {200, 400}, (case.body, response.text)
        codes = {error.get("extensions", {}).get("code") for error in response.json().get("errors", ())}
        assert not codes & UNFORESEEN, (case.body, response.text)
        asked[case.operation.label] += 1

    for operation in made_up.get_all_operations():
        SETTINGS(given(operation.ok().as_strategy())(ask))()

    roots = [schema._schema.query_type, schema._schema.mutation_type]
    assert asked.keys() == {f"{kind.name}.{name}" for kind in roots if kind for name in kind.fields}


def test_no_generated_request_outside_graphql_fails_unexpectedly(server: Server) -> None:
    made_up: Any = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    given: Any = hypothesis.given
    statuses: dict[str, set[int]] = collections.defaultdict(set)

    def ask(case: Any) -> None:
        response = case.call(allow_redirects=False)
        declared = case.operation.definition.raw["responses"]
        assert str(response.status_code) in declared, (case.path, case.body, response.text)
        assert response.status_code < 500, (case.path, case.body, response.text)
        statuses[case.operation.label].add(response.status_code)

    described = httpx2.get(f"{server.url}/openapi.json").json()["paths"]
    for operation in made_up.get_all_operations():
        SETTINGS(given(operation.ok().as_strategy())(ask))()
    addresses = {f"{method.upper()} {path}" for path, of in described.items() for method in of}
    # It has read that one already.
    assert statuses.keys() == addresses - {"GET /openapi.json"}
    assert {200, 400, 404} <= set().union(*statuses.values())
