"""The shape of a database command: names of fields and operators, and never a value."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.request_record import MAX_STEPS, DatabaseCommand, RequestRecord
from release_catalog.storage.command_monitor import query_shape


def shape(name: str, **question: Any) -> Any:
    return query_shape(DatabaseCommand(name, "db", "releases", 0.1, 1.0, 1, {name: "releases", **question}))


@pytest.mark.parametrize(
    ("name", "question", "expected"),
    [
        (
            "find",
            {"filter": {"tenantId": "SECRET", "createdAt": {"$gte": "SECRET"}}, "sort": {"createdAt": -1}},
            {"filter": {"tenantId": "?", "createdAt": {"$gte": "?"}}, "sort": {"createdAt": "?"}},
        ),
        (
            "find",
            {"filter": {"$or": [{"terms": {"$all": ["SECRET", "SECRET"]}}, {"name": "SECRET"}]}},
            {"filter": {"$or": [{"terms": {"$all": "2 values"}}, {"name": "?"}]}},
        ),
        # Keys of free JSON are values of its client.
        ("find", {"filter": {"properties": {"SECRET": 1}}}, {"filter": {"properties": "?"}}),
        ("find", {"filter": {"properties": [{"SECRET": 1}]}}, {"filter": {"properties": "1 values"}}),
        (
            "aggregate",
            {"pipeline": [{"$match": {"a": "SECRET"}}, {"$set": {"b": {"$literal": {"SECRET": 1}}}}]},
            {"pipeline": [{"$match": {"a": "?"}}, {"$set": "?"}]},
        ),
        ("update", {"updates": [{"q": {"_id": "SECRET"}, "u": {"$set": {"SECRET": 1}}}]}, {"q": {"_id": "?"}}),
        ("delete", {"deletes": [{"q": {"_id": "SECRET"}, "limit": 1}]}, {"q": {"_id": "?"}}),
        ("findAndModify", {"query": {"_id": "SECRET"}, "update": {"SECRET": 1}}, {"query": {"_id": "?"}}),
        ("insert", {"documents": [{"SECRET": "SECRET"}]}, None),
    ],
)
def test_a_shape_has_no_values(name: str, question: dict[str, Any], expected: Any) -> None:
    assert shape(name, **question) == expected


VALUES = st.recursive(
    st.just("SECRET") | st.integers() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["SECRET", "SECRET.x"]), inner),
    max_leaves=20,
)
CONDITIONS = st.recursive(
    st.dictionaries(st.sampled_from(["name", "terms"]), VALUES),
    lambda inner: (
        st.fixed_dictionaries({"$or": st.lists(inner, max_size=50)})
        | st.fixed_dictionaries({"name": st.fixed_dictionaries({"$in": st.lists(VALUES)})})
    ),
    max_leaves=20,
)


@given(CONDITIONS)
def test_no_condition_shows_a_value(condition: dict[str, Any]) -> None:
    assert "SECRET" not in json.dumps(shape("find", filter=condition))


def test_a_large_command_has_a_small_shape() -> None:
    assert len(json.dumps(shape("find", filter={"$or": [{f"f{n}": n} for n in range(10_000)]}))) < 1_000
    deep: Any = "SECRET"
    for _ in range(10_000):
        deep = {"$or": [deep]}
    assert len(json.dumps(shape("find", filter=deep))) < 1_000


def test_the_slowest_commands_of_a_request_are_kept() -> None:
    record = RequestRecord("1")
    for number in range(100):
        command = DatabaseCommand("find", "db", "releases", (number * 37 % 100) / 1e3, number, 1, {})
        record.add_command(command, MAX_STEPS)
    assert record.commands == 100
    assert record.steps
    assert len(record.steps) == MAX_STEPS
    assert {step.seconds for step in record.steps} == {number / 1e3 for number in range(80, 100)}
