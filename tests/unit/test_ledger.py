"""S3: no record of the ledger can be changed, left out or moved unnoticed."""

import copy
import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release_catalog.domain import ledger, timestamps

# Whatever somebody made of them.
Records = list[Any]


def chain(length: int) -> Records:
    """A ledger whose records say as little as they may, or that they were rolled back."""
    records: Records = []
    for number in range(length):
        plain: Any = dict.fromkeys(ledger._FIELDS, f"x{number}")
        plain |= {"created": timestamps.EPOCH + datetime.timedelta(seconds=number), "artifacts": [{"path": "a"}]}
        if number % 3:
            plain["before" if number % 3 == 1 else "undoes"] = [] if number % 3 == 1 else "x"
        records.append(ledger.append_hash(plain, records[-1] if records else None))
    return records


def wrong(records: Records, head: Any) -> list[str]:
    followed = ledger.HashChain()
    found = [each for record in records for each in followed.follow(record)]
    return found + followed.end(head)


@given(st.integers(0, 9))
def test_a_ledger_as_it_was_written_is_whole(length: int) -> None:
    records = chain(length)
    assert wrong(records, records[-1] if records else None) == []


@given(st.data(), st.integers(1, 9))
@settings(max_examples=500)
def test_any_change_is_found_where_it_is(data: st.DataObject, length: int) -> None:
    records = copy.deepcopy(chain(length))
    head = dict(records[-1])
    at = data.draw(st.integers(0, length - 1))
    field = data.draw(st.sampled_from([*ledger._FIELDS, *ledger._OPTIONAL, "hash"]))
    if field in records[at] and data.draw(st.booleans()):
        del records[at][field]
    else:
        value = data.draw(st.none() | st.booleans() | st.just({1}) | st.just("y") | st.integers(-2, 99))
        if field in records[at] and type(records[at][field]) is type(value) and records[at][field] == value:
            value = "z"
        records[at][field] = value
    found = wrong(records, head)
    assert found
    assert any(each.startswith(f"{at + 1}: ") for each in found)


@given(st.data(), st.integers(1, 9))
def test_a_rewritten_record_is_found(data: st.DataObject, length: int) -> None:
    records = chain(length)
    at = data.draw(st.integers(0, length - 1))
    other: Any = {**records[at], "status": "y"}
    changed = ledger.append_hash(other, records[at - 1] if at else None)
    assert wrong([*records[:at], changed, *records[at + 1 :]], records[-1])


@given(st.data(), st.integers(1, 9))
def test_records_that_were_removed_are_found(data: st.DataObject, length: int) -> None:
    records = chain(length)
    start = data.draw(st.integers(0, length - 1))
    end = data.draw(st.integers(start + 1, length))
    found = wrong(records[:start] + records[end:], records[-1])
    assert found[0].startswith(f"{start + 1}: is missing")
    assert len(found) == 1


@given(st.data(), st.integers(2, 9))
def test_records_that_were_swapped_are_found(data: st.DataObject, length: int) -> None:
    records = chain(length)
    a, b = sorted(data.draw(st.lists(st.integers(0, length - 1), min_size=2, max_size=2, unique=True)))
    moved = list(records)
    moved[a], moved[b] = moved[b], moved[a]
    assert wrong(moved, records[-1])
    # As the database would give them, their numbers swapped too.
    numbered = [{**record, "sequence": number + 1} for number, record in enumerate(moved)]
    found = wrong(numbered, records[-1])
    assert [each for each in found if "was changed; its hash" in each] == [
        f"{at + 1}: was changed; its hash does not match its content." for at in (a, b)
    ]


@pytest.mark.parametrize("length", [0, 3])
def test_a_ledger_without_its_head_is_told_from_an_empty_one(length: int) -> None:
    assert bool(wrong(chain(length), None)) == (length > 0)


def test_records_of_before_have_the_hashes_that_they_had() -> None:
    plain = dict.fromkeys(ledger._FIELDS, "x") | {"created": timestamps.EPOCH}
    # As computed before records could say what they undo.
    assert ledger.digest(plain) == HASH
    assert ledger.digest({**plain, "before": None}) != HASH


HASH = "f3c121b5e34026ccc05cd12510015d958af2734fa141ae65e152cf791777a43d"


def test_a_ledger_that_was_restored_into_another_tenant_is_whole_and_goes_on() -> None:
    records = chain(3)
    moved: Records = [{**record, "tenantId": "copy", "originalTenantId": record["tenantId"]} for record in records]
    fields: Any = {**dict.fromkeys(ledger._FIELDS, "x"), "tenantId": "copy", "created": timestamps.EPOCH}
    moved.append(ledger.append_hash(fields, moved[-1]))
    assert wrong(moved, moved[-1]) == []
    # The original tenant is one of the things that can't be changed.
    for number in range(3):
        other = [{**record} for record in moved]
        other[number]["originalTenantId"] = "copy"
        assert wrong(other, moved[-1]) == [f"{number + 1}: was changed; its hash does not match its content."]
