"""Bulk writes: many releases at a time, each with its own result, in as few transactions as sizes allow.

The results are those of one request after another. A release that is refused does not keep the others from being
stored. The idempotency key of a bulk covers the whole; the answer of each place has a record of its own, whose key
is derived from it. A repetition of a bulk that was interrupted between two transactions gives the recorded answers
again, and continues after them.
"""

import asyncio
import contextlib
import dataclasses
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any

from pymongo.errors import DuplicateKeyError

from release_catalog import errors
from release_catalog.domain.caller import Caller
from release_catalog.errors import Problem, Violation
from release_catalog.storage import database as db
from release_catalog.storage import idempotency, transactions, unit_of_work
from release_catalog.storage.database import Database
from release_catalog.storage.idempotency import Answer, MutationInput, Payload
from release_catalog.storage.outages import NothingWritten, OutcomeUnknown
from release_catalog.storage.release_batch import Batch, Decision
from release_catalog.storage.unit_of_work import Rollback, UnitOfWork

MAX_RELEASES = 100
# A transaction ends after the release with which its documents exceed this. MongoDB logs a transaction in entries
# of at most 16 MB; each release is in it three times: as document, as event and as recorded answer.
MAX_BYTES = (16 << 20) // 3

Decisions = Sequence[Callable[[], Decision]]
# Makes the batch of a transaction and the decisions about its first places, as many as replace releases of at most
# so many bytes.
Start = Callable[[UnitOfWork, Sequence["Place"], float], Awaitable[tuple[Batch, Decisions]]]


@dataclasses.dataclass(frozen=True)
class Place:
    """One release of a bulk: its place and its input, with the results of the verification of its files."""

    number: int
    values: MutationInput
    looked: Sequence[Any] = ()
    # Set if the release was refused already.
    problem: Problem | None = None

    @property
    def dry(self) -> bool:
        """Return whether nothing of it is to be stored."""
        return bool(self.values.get("dryRun"))


class Bulk:
    """A bulk write of one caller."""

    def __init__(self, caller: Caller, database: Database, verb: str, values: MutationInput) -> None:
        self.caller = caller
        self.database = database
        self._verb = verb
        self._values = values
        self.places = [Place(number, one) for number, one in enumerate(values["releases"])]
        # Of a bulk of dry runs alone, not even the results are stored.
        is_dry = bool(self.places) and all(place.dry for place in self.places)
        self.key: str | None = None if is_dry else values.get("idempotencyKey")
        # Free JSON that is too deep for a fingerprint has its release refused, and not the others.
        prints = [
            [idempotency.fingerprint_of(caller, verb, one.values), one.dry] for one in self.places if self.key
        ]
        self._request: MutationInput = {"idempotencyKey": self.key, "releases": prints}
        self._fingerprint = idempotency.fingerprint_of(caller, verb, self._request)

    def refused(self) -> Problem | None:
        """Return the problem of an input that is invalid as a whole."""
        count = len(self.places)
        if count <= MAX_RELEASES:
            return idempotency.refused(self._values.get("idempotencyKey"))
        message = f"The list has {count} entries: give at most {MAX_RELEASES}, and the others in another request."
        return errors.ValidationProblem(violations=[Violation("input.releases", message, "TOO_MANY")])

    @contextlib.asynccontextmanager
    async def locked(self, seconds: float) -> AsyncIterator[list[Answer] | Problem]:
        """Lock the key of the bulk; yield the recorded answers, from the first, or the problem of the key.

        Getting the lock takes at most `seconds`.
        """
        if self.key is None:
            yield []
            return
        lock = idempotency.idempotency_lock(self.caller, self.database, self._verb, self._request, seconds)
        async with lock as (_, answer):
            if not isinstance(answer, Problem):
                with db.deadline(seconds):
                    known = await self.recorded(0, None)
            yield answer if isinstance(answer, Problem) else known

    async def recorded(self, start: int, session: Any) -> list[Answer] | Problem:
        """Return the recorded answers from place `start` on."""
        if self.key is None:
            return []
        keys = [_key(self.key, place.number) for place in self.places[start:]]
        records = await idempotency.find_records(self.caller, self.database, keys, session)
        found: list[Answer] = []
        for key in keys:
            record = records.get(key)
            answer = record and idempotency.replay(record, self._fingerprint, None)
            if isinstance(answer, Problem):
                return answer
            if answer is None:
                break
            found.append(answer.get("problem") or answer)
        return found

    async def run(self, done: list[Answer], places: Sequence[Place], start: Start) -> Answer:
        """Return the results of all places, the first of which are `done`."""
        results, kept = list(done), len(done)
        while len(results) < len(places):
            try:
                more = await self._transaction(kept, results[kept:], places[len(results) :], start)
            except db.Failure as error:
                if kept > len(done):
                    raise OutcomeUnknown("A part of the bulk was stored before this failure.") from error
                raise
            if isinstance(more, Problem):
                return more
            results[kept:], is_kept = more
            kept = len(results) if is_kept else kept
        return {"results": results}

    async def _transaction(
        self, kept: int, refused: Sequence[Answer], places: Sequence[Place], start: Start
    ) -> tuple[list[Answer], bool] | Problem:
        """Return the results of the first places, as many as one transaction stores, and whether it kept them.

        They follow `kept` results and those of places that were `refused`, which are returned, too. As of a single
        request, nothing is kept of refusals unless the bulk stores a release.
        """
        later: list[Callable[[], Coroutine[Any, Any, None]]] = []

        async def attempt(session: Any) -> tuple[list[Answer], bool] | Problem:
            later.clear()
            known = await self.recorded(kept, session)
            if known:
                return known if isinstance(known, Problem) else (known, True)
            turn = UnitOfWork(self.caller, self.database, session, later=later)
            await unit_of_work.hold_events(turn)
            decided, batch = await _decide(turn, places, start, MAX_BYTES)
            answers = [*refused, *decided]
            if batch.is_empty and (self.key is None or not kept):
                raise Rollback({"results": answers})
            await batch.store()
            await self._remember(kept, answers, session)
            return answers, True

        done = await self._repeated(attempt)
        unit_of_work.start_later(later)
        return done

    async def _repeated(
        self, attempt: Callable[[Any], Awaitable[tuple[list[Answer], bool] | Problem]]
    ) -> tuple[list[Answer], bool] | Problem:
        """Return the result of a transaction, repeated while another request is first; False after a rollback."""
        pause = 0.0
        while True:
            try:
                return await unit_of_work.serialized_transaction(self.caller, self.database, attempt)
            except Rollback as undone:
                return undone.answer["results"], False  # type: ignore[index]
            except DuplicateKeyError as error:
                # The next attempt reads what the other request wrote, once a majority has it.
                if pause > unit_of_work.LONGEST_PAUSE:
                    raise NothingWritten("The conflicting document is not confirmed by a majority.") from error
            await asyncio.sleep(pause)
            pause = 2 * pause + 0.01

    async def try_all(self, places: Sequence[Place], start: Start) -> list[Answer]:
        """Return the results that the places would have, without storing anything.

        If a place beyond the first batch is refused, an earlier batch may have been needed in the database: then
        each batch is stored for the next one, and all are rolled back.
        """
        turn, answers = UnitOfWork(self.caller, self.database), list[Answer]()
        count = None
        while len(answers) < len(places):
            answers += (await _decide(turn, places[len(answers) :], start, math.inf))[0]
            count = count or len(answers)
        if not any(isinstance(answer, Problem) for answer in answers[count:]):
            return answers

        async def attempt(session: Any) -> Problem:
            turn, answers = UnitOfWork(self.caller, self.database, session), list[Answer]()
            await unit_of_work.hold_events(turn)
            while True:
                decided, batch = await _decide(turn, places[len(answers) :], start, math.inf)
                answers += decided
                if len(answers) == len(places):
                    raise Rollback({"results": answers})
                await batch.store()

        tried = await self._repeated(attempt)
        return tried[0] if isinstance(tried, tuple) else answers

    async def _remember(self, start: int, answers: Sequence[Answer], session: Any) -> None:
        """Record the answers of places, and after the last one that the bulk is done."""
        if self.key is None:
            return
        recorded: dict[str, Payload] = {
            _key(self.key, number): {"problem": answer} if isinstance(answer, Problem) else answer
            for number, answer in enumerate(answers, start)
        }
        if start + len(answers) == len(self.places):
            recorded[self.key] = {"results": len(self.places)}
        await idempotency.remember_all(self.caller, self.database, recorded, self._fingerprint, session)


async def _decide(
    turn: UnitOfWork, places: Sequence[Place], start: Start, max_bytes: float
) -> tuple[list[Answer], Batch]:
    """Return the results of the first places, until these take `max_bytes` or half the time of a transaction."""
    until = db.remaining() - transactions.MAX_SECONDS / 2
    batch, decisions = await start(turn, places, max_bytes)
    answers: list[Answer] = []
    size = 0
    for place, decide in zip(places, decisions, strict=False):
        if problem := place.problem or _key_inside(place):
            answers.append(problem)
            continue
        answer, new = decide()
        answers.append(_at(place, answer))
        if new and not place.dry:
            batch.keep(new)
            size += new.size
        if max_bytes < math.inf and (size > max_bytes or db.remaining() < until):
            break
        # A turn for others: the checks of one release may take long.
        await asyncio.sleep(0)
    return answers, batch


def _key(key: str, place: int) -> str:
    """Return the key of a place of the bulk with this key, which is longer than any that a client may give."""
    # The place has a fixed width, so that no two pairs of key and place share a key.
    return f"{place:0{idempotency.MAX_KEY}}/{key}"


def _key_inside(place: Place) -> Problem | None:
    """Return the problem of an input that has an idempotency key besides that of the bulk."""
    if place.values.get("idempotencyKey") is None:
        return None
    message = "The key of the bulk covers this release: give it there, and leave this one out."
    field = f"{_path(place)}.idempotencyKey"
    return errors.ValidationProblem(violations=[Violation(field, message, "KEY_OF_BULK")])


def _path(place: Place) -> str:
    return f"input.releases[{place.number}]"


def _at(place: Place, answer: Answer) -> Answer:
    """Return an answer whose violations have their paths in the input of the bulk."""
    if not isinstance(answer, errors.ValidationProblem):
        return answer
    violations = [
        dataclasses.replace(one, field=f"{_path(place)}{one.field.removeprefix('input')}")
        for one in answer.violations
    ]
    return dataclasses.replace(answer, violations=violations)
