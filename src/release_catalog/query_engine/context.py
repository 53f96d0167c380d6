"""The context of one request: the caller, the database, and loaders that make each level one read."""

import asyncio
import functools
import math
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from typing import Any, Self, TypeVar

import strawberry

from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import EnvironmentDocument, ProductDocument
from release_catalog.domain.references import DependencyDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.events.broker import FollowedEvents
from release_catalog.fair_share import Aside, FairSlots
from release_catalog.files.verifier import Fetcher
from release_catalog.query_engine.dataloader import BatchScheduler, DataLoader, LookupCoalescer
from release_catalog.storage import (
    environment_holdings,
    filter_lookups,
    pagination,
    pipelines,
    records,
    reference_lookup,
    releases,
    version_order,
    visible_documents,
)
from release_catalog.storage import facets as stored_facets
from release_catalog.storage.collection_names import RELEASES, CollectionName, Stored, StoredDocument
from release_catalog.storage.cursors import ALL, NONE, FieldPaths
from release_catalog.storage.database import Collections, Database
from release_catalog.usage import Usage

Result = TypeVar("Result")

SECONDS = 15.0
# Subscribers that are answered at a time, those of one tenant, and those of one caller. More at a time would be
# answered no sooner, and would delay other work of the event loop.
ANSWERS, ANSWERS_OF_TENANT, ANSWERS_OF_CALLER = 8, 3, 2
# A source of events: see `events.broker`.
EventSource = Callable[..., Awaitable[FollowedEvents]]


def subscription_slots() -> FairSlots:
    """Return the slots of a process for answers to subscribers, whose number bounds the waiters."""
    return FairSlots(
        ANSWERS,
        per_tenant=ANSWERS_OF_TENANT,
        per_caller=ANSWERS_OF_CALLER,
        leave_free=True,
        max_waiting=sys.maxsize,
        max_waiting_per_caller=sys.maxsize,
    )


class Context:
    """The caller, database and loaders of one request; never kept for another request."""

    def __init__(
        self,
        caller: Caller,
        database: Database,
        shared: LookupCoalescer | None = None,
        files: Fetcher | None = None,
        follow: EventSource | None = None,
        reading: Collections | None = None,
        answering: FairSlots | None = None,
        aside: Aside | None = None,
    ) -> None:
        """Set up a request; `shared` coalesces lookups with other requests to the same database.

        `files` fetches files. `follow` follows events; only subscriptions need it. `reading` is the database for
        data that is only shown. `answering` are the slots in which subscriptions are answered.
        """
        self.caller = caller
        self.database = database
        self.reading: Collections = database if reading is None else reading
        self.files = files
        self.follow = follow
        self.answering = answering or subscription_slots()
        self._aside = aside
        # The id of the event after which a subscription continues, whatever its arguments say, and its events.
        self.resume_after: str | None = None
        self.followed: FollowedEvents | None = None
        # The points that the caller may use in an hour, those left, and the seconds until all are there again.
        self.points_left: Callable[[Caller], tuple[int, int, float] | None] = _unlimited
        # By their ids, the pairs of releases that are compared.
        self.comparisons: dict[tuple[str, str], dict[Any, Any]] = {}
        self.usage = Usage()
        self.level = BatchScheduler(self.usage)
        # The time for all commands of the request, and the end of that time.
        self.seconds = SECONDS
        self.until = math.inf
        # The root fields of an operation of mutations, by their response names.
        self.mutations: dict[str, str] = {}
        # Those of them that took effect.
        self.changed: set[str | int] = set()
        # The documents that a dry run would have made, by collection and id.
        self.would_be: dict[tuple[str, str], Any] = {}
        self._shared = shared
        # The projections of collections of which not whole documents are read.
        self._narrow: Mapping[CollectionName[Any], FieldPaths] = {}
        # By their collection, or by what they read; made when they are needed.
        self._loaders: dict[str, DataLoader[Any, Any]] = {}

    @property
    def references(self) -> DataLoader[str, ReleaseDocument | None]:
        """Return the loader of the releases that references resolve to."""
        return self._loader("references", self._answering, str)

    @property
    def needing(self) -> DataLoader[ReleaseDocument, list[str]]:
        """Return the loader of the terms by which the dependants of releases are found."""
        return self._loader("needing", self._needing, _id)

    @property
    def pages(self) -> DataLoader[pagination.PageQuery[Any], pagination.Page[Any]]:
        """Return the loader of the pages of queries."""
        return self._loader("pages", self._pages, id)

    @property
    def counts(self) -> DataLoader[pagination.PageQuery[Any], int]:
        """Return the loader of the total counts of queries."""
        return self._loader("counts", self._counts, id)

    @property
    def facets(self) -> DataLoader[pagination.PageQuery[Any], stored_facets.Facets]:
        """Return the loader of the facets of queries."""
        return self._loader("facets", self._facets, id)

    @property
    def environments(self) -> DataLoader[str, EnvironmentDocument | None]:
        """Return the loader of environments by name."""
        return self._loader("environments by name", self._environments, str)

    async def look_up_for_filter(self, filter_: Mapping[str, Any]) -> filter_lookups.Lookups:
        """Return the documents that a filter of releases refers to, read with its level."""
        loader: DataLoader[Mapping[str, Any], filter_lookups.Lookups]
        loader = self._loader("filter lookups", self._filter_lookups, id)
        [found] = await loader.load_many([filter_], None)
        return found

    async def in_environments(
        self, products: Sequence[ProductDocument], keys: FieldPaths
    ) -> list[list[environment_holdings.ProductHolding]]:
        """Return the environments that hold releases of products, with `keys` of these releases."""
        ids = list(dict.fromkeys(product["id"] for product in products))
        found: dict[str, list[environment_holdings.ProductHolding]] = {}
        for start in range(0, len(ids), pipelines.QUESTIONS_A_COMMAND):
            some = ids[start : start + pipelines.QUESTIONS_A_COMMAND]
            found |= await environment_holdings.of_products(self.caller, self.reading, some, keys)
        return [found.get(product["id"], []) for product in products]

    def _loader(self, name: str, many: Any, identity: Callable[[Any], Hashable]) -> DataLoader[Any, Any]:
        loader = self._loaders.get(name)
        if loader is None:
            loader = self._loaders[name] = DataLoader(self.level, many, identity)
        return loader

    def again(self) -> Self:
        """Return a new context for the same caller, with the same limits."""
        new = type(self)(
            self.caller,
            self.database,
            self._shared,
            self.files,
            self.follow,
            self.reading,
            self.answering,
            self._aside,
        )
        new.limit(self.usage.max_nodes, self.usage.max_bytes, self.seconds)
        new.until = self.until
        return new

    def limit(self, max_nodes: int, max_bytes: int, seconds: float) -> None:
        """Set the limits of the request, before anything is read for it."""
        self.usage.max_nodes, self.usage.max_bytes, self.seconds = max_nodes, max_bytes, seconds

    def begin(self) -> None:
        """Start the time of the request."""
        self.until = time.monotonic() + self.seconds

    async def run_aside(self, work: Callable[[], Result]) -> Result:
        """Return the result of work that takes long and waits for nothing, from a thread, in turn."""
        return await (self._aside.run(self.caller.owner, work) if self._aside else asyncio.to_thread(work))

    @property
    def seconds_left(self) -> float:
        """Return the time left to the request, which is all of it before it begins."""
        return min(self.seconds, self.until - time.monotonic())

    def narrowed(self, projections: Mapping[CollectionName[Any], FieldPaths]) -> Self:
        """Return the same context, reading only these paths of the documents of some collections."""
        narrowed = object.__new__(type(self))  # a third of the time that copy.copy takes
        narrowed.__dict__.update(self.__dict__, _narrow=projections)
        return narrowed

    async def one(self, collection: CollectionName[Stored], id_: str | None) -> Stored | None:
        """Return a document by id, read together with the others of its level; None if it does not exist."""
        if id_ is None:
            return None
        if collection in self._narrow:
            return (await self.by_ids(collection).load_many([id_], self._narrow[collection]))[0]
        return await self.by_ids(collection).load(id_)

    async def visible(self, collection: CollectionName[Stored], ids: Sequence[str]) -> list[Stored | None]:
        """Return documents by id as far as the caller may see them, in any collection, with one read of it."""
        loader = self.by_ids(collection)
        if visible := visible_documents.READERS.get(collection):
            name = f"visible {collection}"
            loader = self._loader(name, functools.partial(self._visible, visible), str)
        return await loader.load_many(ids, self._of(collection))

    async def _visible(
        self, read: visible_documents.Reader, ids: list[str], keys: FieldPaths
    ) -> Sequence[StoredDocument | None]:
        found = await read(self.caller, self.reading, ids, keys)
        return [found.get(id_) for id_ in ids]

    def by_ids(self, collection: CollectionName[Stored]) -> DataLoader[str, Stored | None]:
        """Return the loader of a collection's documents by id."""
        return self._loader(collection, self._reader(collection), str)

    def _reader(self, collection: CollectionName[Any]) -> Any:
        async def read(ids: list[str], keys: FieldPaths) -> Sequence[StoredDocument | None]:
            async def find(ids: Collection[str]) -> Mapping[str, StoredDocument]:
                return await records.by_ids(self.caller, self.reading, collection, ids, keys)

            found = await self._look_up(collection, keys, ids, find)
            return [found.get(id_) or self.would_be.get((collection, id_)) for id_ in ids]

        return read

    async def _look_up(
        self,
        kind: str,
        fields: FieldPaths,
        keys: Collection[str],
        read: Callable[[Collection[str]], Awaitable[Mapping[str, Stored]]],
    ) -> Mapping[str, Stored]:
        if self._shared is None:
            return await read(keys)
        # Everything that the reads depend on besides the keys.
        allowed = self.caller.tenant, self.caller.sees_drafts
        return await self._shared.look_up((allowed, kind, fields), keys, read, fields)

    async def needed(self, release: ReleaseDocument, first: int) -> list[ReleaseDocument]:
        """Return the releases that the first references of a release resolve to."""
        some = [reference["reference"] for reference in release["dependencies"][:first]]
        found = [needed for needed in await self.references.load_many(some, self._of(RELEASES)) if needed]
        return list({needed["id"]: needed for needed in found}.values())

    async def disclosed(self, dependencies: Sequence[DependencyDocument]) -> list[DependencyDocument]:
        """Return dependencies as the caller may see them: see reference_lookup.disclosed."""

        async def find(references: list[str]) -> Sequence[ReleaseDocument | None]:
            return await self.references.load_many(references, NONE)

        return await reference_lookup.disclosed(self.caller, dependencies, find)

    async def with_disclosed(self, release: ReleaseDocument) -> ReleaseDocument:
        """Return a whole release with its dependencies as the caller may see them."""
        return {**release, "dependencies": await self.disclosed(release["dependencies"])}

    async def dependants(
        self, release: ReleaseDocument, window: pagination.PageArgs
    ) -> pagination.PageQuery[ReleaseDocument]:
        """Return the query for the dependants of a release."""
        return releases.dependants(self.caller, await self.needing.load(release), window)

    async def latest_beside_each(
        self, some: Sequence[ReleaseDocument], keys: FieldPaths
    ) -> Sequence[ReleaseDocument | None]:
        """Return for each release the latest one of the same product, channel and branch."""
        places = [(release["productId"], release["channel"], release["branch"]) for release in some]
        questions = {
            place: releases.latest(self.caller, place[0], channel=place[1], branch=place[2]) for place in places
        }
        found = dict(zip(questions, await self.pages.load_many(list(questions.values()), keys), strict=True))
        return [found[place].rows[0] if found[place].rows else None for place in places]

    async def page(self, question: pagination.PageQuery[Stored]) -> pagination.Page[Stored]:
        """Return the page of a query."""
        return (await self.pages.load_many([question], self._of(question.collection)))[0]

    async def first(self, question: pagination.PageQuery[Stored]) -> Stored | None:
        """Return the first document of a query."""
        page = await self.page(question)
        return page.rows[0] if page.rows else None

    def _of(self, collection: CollectionName[Any]) -> FieldPaths:
        return self._narrow.get(collection, ALL)

    async def _answering(self, references: list[str], keys: FieldPaths) -> Sequence[ReleaseDocument | None]:
        async def find(references: Collection[str]) -> Mapping[str, ReleaseDocument]:
            return await reference_lookup.resolve_references(self.caller, self.reading, references, keys)

        found = await self._look_up("references", keys, references, find)
        return [found.get(reference) for reference in references]

    async def _facets(
        self, questions: list[pagination.PageQuery[Any]], keys: FieldPaths
    ) -> Sequence[stored_facets.Facets]:
        names = stored_facets.FACETS.keys() & (
            {path.partition(".")[0] for path in keys} if keys is not None else stored_facets.FACETS
        )

        async def read(questions: Sequence[pagination.PageQuery[Any]]) -> Sequence[stored_facets.Facets]:
            return await stored_facets.read(self.database, questions, names)

        return await version_order.read_all(self.database, questions, read, lambda found: found.steps)

    async def _environments(self, names: list[str], keys: FieldPaths) -> Sequence[EnvironmentDocument | None]:
        found = await environment_holdings.environments_by_name(self.caller, self.reading, names, keys)
        return [found.get(name) for name in names]

    async def _filter_lookups(
        self, filters: list[Mapping[str, Any]], _: FieldPaths
    ) -> Sequence[filter_lookups.Lookups]:
        return [await filter_lookups.look_up(self.caller, self.database, filters)] * len(filters)

    async def _needing(self, some: list[ReleaseDocument], _: FieldPaths) -> Sequence[list[str]]:
        return await reference_lookup.dependant_terms(self.caller, self.reading, some)

    async def _pages(
        self, questions: list[pagination.PageQuery[Any]], keys: FieldPaths
    ) -> Sequence[pagination.Page[Any]]:
        found = await version_order.fetch_pages(self.reading, self.database, questions, keys)
        self.usage.take_nodes(sum(len(page.rows) for page in found))
        return found

    async def _counts(self, questions: list[pagination.PageQuery[Any]], _: FieldPaths) -> Sequence[int]:
        async def count(questions: Sequence[pagination.PageQuery[Any]]) -> Sequence[int]:
            return await pagination.count_many(self.reading, questions)

        counts = await version_order.read_all(self.database, questions, count)
        self.usage.count(sum(counts))
        return counts


def _unlimited(_: Caller) -> None:
    """Return that no limit is set."""


def _id(release: ReleaseDocument) -> str:
    return release["id"]


Info = strawberry.Info[Context, None]
