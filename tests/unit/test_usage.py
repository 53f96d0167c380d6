"""The usage of a request is counted, and ends it beyond a limit."""

import ast
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import release_catalog
from release_catalog import usage
from release_catalog.domain import timestamps
from release_catalog.errors import TooLarge
from release_catalog.storage import cursors
from release_catalog.usage import POINT_BYTES, Usage

STORE = Path(release_catalog.__file__).parent / "storage"
# Functions that read documents without counting them: commands and background work, and what is short and bounded.
UNCOUNTED = {
    ("webhook_queue.py", "take"), ("release_writes.py", "load_referenced"), ("event_log.py", "changed_since"), ("event_log.py", "heads"),
    ("event_log.py", "following"), ("ledger.py", "verify"), ("bulk_load.py", "_holders"),
    ("bulk_load.py", "_with_old_versions"), ("migration_fills.py", "changed_releases"),
    ("bulk_load.py", "_written"), ("bulk_load.py", "export"), ("scheme_change.py", "_batch"), ("scheme_change.py", "order_inserted"), ("verification_jobs.py", "with_files"),
    ("migration_fills.py", "_authors"), ("migration_fills.py", "authors_and_keys"), ("migration_fills.py", "_redirect"),
    ("migrations.py", "_migrate_batch"), ("backup.py", "batches"), ("backup_comparison.py", "compare"),
    ("deployment_state.py", "_scheme_changes"), ("deployment_state.py", "_webhooks"),
    ("probes.py", "index_faults"), ("probes.py", "tokens"),
}  # fmt: skip


def takes_documents(node: ast.AST) -> bool:
    """Whether a piece of code takes documents from a cursor by itself: by its method, or by a loop."""
    if isinstance(node, ast.Attribute):
        return node.attr == "to_list"
    if isinstance(node, ast.AsyncFor) or (isinstance(node, ast.comprehension) and node.is_async):
        return "batches" not in ast.unparse(node.iter)  # see cursors.batches
    return False


def reading() -> set[tuple[str, str]]:
    """The functions of the store that take documents from cursors by themselves."""
    return {
        (path.name, function.name)
        for path in STORE.glob("*.py")
        if path.name not in {"cursors.py", "forms.py"}  # which hand on what a caller takes
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.AsyncFunctionDef) and any(map(takes_documents, ast.walk(function)))
    }


def test_every_read_of_a_request_is_counted() -> None:
    assert reading() == UNCOUNTED


def test_a_request_pays_for_objects_or_for_bytes_and_for_walks() -> None:
    request = Usage()
    assert request.points == 0
    request.take_nodes(3)
    request.take_documents([{"text": "x" * 10}])
    assert request.points == 3
    request.send(5 * POINT_BYTES + 1)
    assert request.points == 6
    with usage.measuring(request):
        usage.walk(11, 401)
        usage.count(2_500)
        usage.write(POINT_BYTES)
    usage.walk(1_000_000)
    assert request.points == 6 + 2 + 2 + 2 + 1


def test_limits_end_a_request_and_say_which_it_was() -> None:
    request = Usage(max_nodes=2, max_bytes=100)
    request.take_nodes(2)
    with pytest.raises(TooLarge, match=r"limit nodes allows \(2\)"):
        request.take_nodes(1)
    request = Usage(max_bytes=100)
    with pytest.raises(TooLarge, match="smaller pages"):
        request.take_documents([{"text": "x" * 100}])
    assert request.exceeded is not None
    assert request.exceeded.extensions == {"code": "LIMIT_EXCEEDED", "limit": "bytes", "allowed": 100}
    request = Usage(max_bytes=100)
    request.writes = True
    with pytest.raises(TooLarge, match="Changes made by this request remain"):
        request.send_json("x" * 100)


def test_small_values_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(_: Any) -> int:
        raise AssertionError

    monkeypatch.setattr(usage, "measured", measured)
    request = Usage()
    request.take_documents([{"id": "x"}] * 100, bound=100 * 256)
    assert (request.read, request.sent) == (0, 0)
    with pytest.raises(AssertionError):
        request.take_documents([{}], bound=request.max_bytes)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.just(timestamps.now()),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(st.text(), values, max_size=5), max_size=5))
def test_documents_are_measured_as_they_are_written(documents: list[dict[str, Any]]) -> None:
    request = Usage()
    request.take_documents(documents)
    assert request.read == len(orjson.dumps(documents, option=usage.JSON_OPTIONS))


def test_documents_of_any_kind_are_measured() -> None:
    assert usage.measured([{"a": b"x", 1: {2}, "c": float("nan")}]) > 10


@pytest.mark.parametrize(
    ("keys", "known"),
    [
        ({"id", "name"}, True), ({"artifacts.id", "artifacts.downloadUrl"}, True), ({"dependencies.reference"}, True),
        ({"metadata"}, False), ({"artifacts"}, False), ({"artifacts.metadata"}, False), ({"notes"}, False),
        ({"data"}, False), ({"delivery.description"}, False), ({"nothing"}, False), (None, False),
    ],
)  # fmt: skip
def test_only_short_fields_have_a_bound(keys: set[str] | None, known: bool) -> None:
    assert (cursors.shape(None if keys is None else frozenset(keys)) is not None) == known


class Cursor:
    """A cursor over so many documents that counts how many are taken at a time."""

    def __init__(self, documents: list[Any]) -> None:
        self.documents = documents
        self.taken: list[int] = []
        self.closed = False

    async def to_list(self, length: int | None = None) -> list[Any]:
        some, self.documents = self.documents[:length], self.documents[len(self.documents[:length]) :]
        self.taken.append(len(some))
        return some

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 20])
@pytest.mark.parametrize("length", [None, 5, 8, 16, 100])
@pytest.mark.parametrize("keys", [None, frozenset({"id"})])
async def test_cursors_are_read_to_their_end(count: int, length: int | None, keys: frozenset[str] | None) -> None:
    documents = [{"id": str(number)} for number in range(count)]
    with usage.measuring(Usage()):
        cursor = Cursor(documents)
        assert await cursors.documents(cursor, length, keys) == documents[:length]
    if keys is None:  # what may be large is taken in steps that double
        steps = zip(cursor.taken, [cursors.STEP, *(2 * taken for taken in cursor.taken)], strict=False)
        assert all(taken <= most for taken, most in steps)
    batched = [some async for some in cursors.batches(Cursor(documents), 8)]
    assert [one for some in batched for one in some] == documents


async def test_a_cursor_is_closed_where_its_documents_are_too_large() -> None:
    cursor = Cursor([{"text": "x" * 1_000}] * 100)
    with usage.measuring(Usage(max_bytes=20_000)), pytest.raises(TooLarge):
        await cursors.documents(cursor)
    assert cursor.closed
    assert sum(cursor.taken) == 24


def test_json_text_is_counted_in_bytes_and_not_read() -> None:
    request = Usage()
    text = '{"name": "é"}'
    assert orjson.dumps(request.send_json(orjson.Fragment(text))) == text.encode()
    assert request.sent == len(text.encode()) == len(text) + 1
