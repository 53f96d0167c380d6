"""Fallbacks from compiled queries to the ordinary executor: none for supported queries, and none without a reason."""

import collections
import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from release_catalog.query_engine import executor
from support.catalog import Catalog


def _workloads() -> Any:
    path = Path(__file__).parents[2] / "benchmarks" / "workloads.py"
    spec = importlib.util.spec_from_file_location("workloads", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["workloads"] = module  # dataclasses look for their module
    spec.loader.exec_module(module)
    return module


WORKLOADS = _workloads()
READS = [workload for workload in WORKLOADS.WORKLOADS if not workload.is_write]
PAGE = "{ releases(first: 50) { edges { cursor node { id name version author createdAt product { id } } } } }"


@pytest.fixture(autouse=True)
def counts(monkeypatch: pytest.MonkeyPatch) -> collections.Counter[str]:
    counted: collections.Counter[str] = collections.Counter()
    monkeypatch.setattr(executor, "fallbacks", counted)
    return counted


@pytest.mark.parametrize("workload", READS, ids=lambda workload: workload.name)
async def test_no_query_of_the_benchmarks_falls_back(
    stocked: Catalog, counts: collections.Counter[str], workload: Any
) -> None:
    edges = (await stocked.ask(PAGE))["releases"]["edges"]
    known = WORKLOADS.Known([{**edge["node"], "cursor": edge["cursor"]} for edge in edges], edges[0]["node"]["id"])
    for seed in range(5):
        variables = workload.draw(random.Random(seed), known)
        await stocked.ask(" ".join(workload.document.split()), **variables)
    assert not counts


async def test_a_fallback_is_counted_by_its_reason(stocked: Catalog, counts: collections.Counter[str]) -> None:
    await stocked.error('{ releases(filter: { ids: ["x"], createdFrom: "2024-01-02T00:00:00Z", '
                        'createdBefore: "2024-01-01T00:00:00Z" }) { totalCount } }')  # fmt: skip
    assert counts == {"InvalidArgument": 1}
