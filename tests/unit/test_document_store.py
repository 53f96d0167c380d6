"""Large documents are read in turns, beside everything else."""

import asyncio
import contextlib
import functools
import threading
from typing import Any

import pytest

from release_catalog.domain.caller import SCOPES, Caller, Owner
from release_catalog.graphql_api.limits import document_limits
from release_catalog.graphql_api.request_errors import RequestError
from release_catalog.graphql_api.schema import schema
from release_catalog.graphql_http import documents
from release_catalog.graphql_http.documents import DocumentStore, InvalidDocument
from support.waiting import loop_turns

WHO, OTHER = Caller("acme", "ci", SCOPES), Caller("other", "ci", SCOPES)


async def test_a_large_document_is_read_while_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    read = documents.DocumentStore._judged

    def slow(self: DocumentStore, text: str, tokens: list[str]) -> Any:
        assert len(text) < 100 or go_on.wait(60)
        return read(self, text, tokens)

    monkeypatch.setattr(DocumentStore, "_judged", slow)
    known = DocumentStore(schema._schema)
    query = "{" + "...on Query { __typename } " * 60 + "}"
    large = asyncio.create_task(known.meant({"query": query}))
    await loop_turns()
    small = await known.meant({"query": "{ __typename }"})
    assert not large.done()
    go_on.set()
    assert await large is await known.meant({"query": query}) is not small


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
            assert self.held.wait(60)
            return judged(known, text, tokens)

        monkeypatch.setattr(DocumentStore, "_judged", reading)
        monkeypatch.setattr(documents, "WAIT_SECONDS", 60)


async def test_large_documents_of_one_caller_delay_another_by_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, known = Reader(monkeypatch), DocumentStore(schema._schema)
    flood = [asyncio.create_task(known.meant({"query": large(n)}, Owner("acme", f"{n % 3}"))) for n in range(40)]
    await loop_turns()
    late = asyncio.create_task(known.meant({"query": large(99)}, Owner("other", "ci")))
    # Other callers of the tenant, too.
    same = asyncio.create_task(known.meant({"query": large(98)}, Owner("acme", "ci")))
    await loop_turns()
    reader.held.set()
    await asyncio.gather(*flood, late, same)
    assert reader.read.index(large(99)) <= 2
    assert reader.read.index(large(98)) <= 8


async def test_waiting_documents_of_a_caller_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_a_cancelled_caller_leaves_its_turn_running(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, known = Reader(monkeypatch), DocumentStore(schema._schema)
    for number in range(20):
        gone = asyncio.create_task(known.meant({"query": large(number)}, Owner("acme", "ci")))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    late = asyncio.create_task(known.meant({"query": large(99)}, Owner("other", "ci")))
    await loop_turns()
    reader.held.set()
    await late
    assert reader.read.index(large(99)) <= 2


async def test_a_document_that_many_send_at_once_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, known = Reader(monkeypatch), DocumentStore(schema._schema)
    reader.held.set()
    found = await asyncio.gather(*(known.meant({"query": large(1)}, Owner("acme", f"{n}")) for n in range(20)))
    assert len(reader.read) == len(set(map(id, found))) == 1


async def test_the_rate_limit_counts_reading_by_size_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
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
