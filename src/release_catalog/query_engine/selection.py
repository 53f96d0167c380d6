"""Compiled selections: the paths to read of documents, the fields to fetch for all at once, and their answers."""

import asyncio
import dataclasses
import itertools
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any

from release_catalog.query_engine.context import Context
from release_catalog.query_engine.field_source import TYPE_KEY
from release_catalog.storage.cursors import FieldPaths
from release_catalog.usage import Usage


class UnsupportedByPlan(Exception):  # noqa: N818  it is not an error: the ordinary executor takes over
    """A feature that plans do not support."""


class PlanMismatch(Exception):  # noqa: N818  it is not an error: the ordinary executor takes over
    """A value that a plan does not expect, and that the ordinary executor can handle."""


@dataclasses.dataclass(frozen=True)
class ExecutionContext:
    """One execution of a plan."""

    context: Context
    # In the form of the ordinary executor.
    variables: Any
    # Held by what is made in steps: side by side, each would make a step of its own in every turn of the loop.
    stepping: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)


Source = Callable[[ExecutionContext, Sequence[Any]], Awaitable[Sequence[Any]]]


@dataclasses.dataclass(frozen=True)
class BatchedField:
    """A field that can't be made from each document alone: its values for all documents of a level.

    `child` makes objects of the values if they are objects: one each, or a list each.
    """

    source: Source
    child: "CompiledSelection | SelectionByType | None" = None
    is_list: bool = False
    nullable: bool = False
    # Whether it requests everything that it needs at once.
    asks_once: bool = True

    async def values(self, run: ExecutionContext, documents: Sequence[Any]) -> Sequence[Any]:
        """Return the field's values, in the order of the documents."""
        values = await self.source(run, documents)
        if self.child is None:
            return values
        present = [value for value in values if value is not None]
        if len(present) < len(values) and not self.nullable:
            raise PlanMismatch("null")
        if not self.is_list:
            made = await self.child.answers(run, present)
        else:
            made = await _lists(self.child, run, present)
        if len(present) == len(values):
            return made
        each = iter(made)
        return [None if value is None else next(each) for value in values]


async def _lists(
    child: "CompiledSelection | SelectionByType", run: ExecutionContext, lists: Sequence[Any]
) -> list[list[Any]]:
    if any(type(one) is not list for one in lists):
        raise PlanMismatch("no list")
    made = await child.answers(run, [item for one in lists for item in one])
    if len(lists) == 1:
        return [made]
    each = iter(made)
    return [list(itertools.islice(each, len(one))) for one in lists]


@dataclasses.dataclass(frozen=True)
class CompiledSelection:
    """The compiled selection of the objects of one type."""

    # The paths to read of a document.
    keys: FieldPaths
    columns: Sequence[BatchedField]
    # From the documents, the usage that they count towards, and the values of each column: the answers, by a
    # generator that yields after each step.
    make: Callable[..., Generator[None, None, list[Any]]]
    # The same for a single document, where there are no columns: by a generator if it `has_lists` of objects,
    # otherwise by a function.
    one: Callable[[Any, Any], Any] | None
    has_lists: bool
    # Whether no two reads are ever asked for side by side: of one document, and of any number of them.
    single: bool
    single_of_many: bool
    # The maximum number of bytes of an object, without its columns and its lists of objects.
    bound: int
    # How many values an object has, with those of its objects but not of their lists.
    size: int

    async def answers(self, run: ExecutionContext, documents: Sequence[Any]) -> list[Any]:
        """Return the response's part for each document; the ordinary executor handles any error."""
        if not documents:
            return []
        columns: Sequence[Any] = ()
        if len(self.columns) == 1:
            columns = [await self.columns[0].values(run, documents)]
        elif self.columns:
            columns = await gather_or_cancel([column.values(run, documents) for column in self.columns])
        steps = self.make(documents, run.context.usage, *columns)
        try:
            next(steps)
        except StopIteration as end:
            made: list[Any] = end.value
            return made
        async with run.stepping:
            return await _finished(steps, run.context.usage)


@dataclasses.dataclass(frozen=True)
class SelectionByType:
    """The compiled selections of the objects of an abstract type, by the name of the object's type."""

    by_type: Mapping[str, CompiledSelection]
    # Whether a list may hold nulls among the objects.
    nullable: bool
    # Objects of two types are read side by side.
    single = single_of_many = False

    async def answers(self, run: ExecutionContext, documents: Sequence[Any]) -> list[Any]:
        """Return the response's part for each document; those of one type are made together."""
        places: dict[str, list[int]] = {}
        for at, document in enumerate(documents):
            if isinstance(document, dict):
                places.setdefault(document[TYPE_KEY], []).append(at)
            elif document is not None or not self.nullable:
                raise PlanMismatch(type(document).__name__)
        parts = [self.by_type[name].answers(run, [documents[at] for at in some]) for name, some in places.items()]
        answers: list[Any] = [None] * len(documents)
        for some, made in zip(places.values(), await gather_or_cancel(parts), strict=True):
            for at, answer in zip(some, made, strict=True):
                answers[at] = answer
        return answers


async def _finished(steps: Generator[None, None, list[Any]], usage: Usage) -> list[Any]:
    """Return what `steps` make, with a turn for others before each of them."""
    while True:
        await asyncio.sleep(0)
        usage.begin_step()
        try:
            next(steps)
        except StopIteration as end:
            made: list[Any] = end.value
            return made


async def gather_or_cancel(work: Sequence[Awaitable[Any]]) -> Sequence[Any]:
    """Return the results of all; once one has failed, the others are cancelled."""
    if len(work) <= 1:
        return [await one for one in work]
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
