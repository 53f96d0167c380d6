"""What all of one request shares: the caller, the database, and loaders that make each level one read."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import strawberry

from release_catalog.domain.caller import Caller
from release_catalog.files.hashing import Fetcher
from release_catalog.plans.batches import Batch, Level
from release_catalog.store import pages, records, releases
from release_catalog.store.database import Database, Document


class Context:
    """One request's caller, database and loaders; never kept for another request."""

    def __init__(self, caller: Caller, database: Database, files: Fetcher | None = None) -> None:
        """`files` is what fetches the files of releases; None where nothing is to be fetched."""
        self.caller = caller
        self.database = database
        self.files = files
        # By collection and id, what a dry run would have made.
        self.would_be: dict[tuple[str, str], Document] = {}
        self._level = Level()
        self._by_id: dict[str, Batch[str, Document | None]] = {}
        self.references: Batch[str, Document | None] = Batch(self._level, self._answering, str)
        self.needing: Batch[Document, list[str]] = Batch(self._level, self._needing, _id)
        self.pages: Batch[pages.Question, pages.Page] = Batch(self._level, self._pages, id)
        self.counts: Batch[pages.Question, int] = Batch(self._level, self._counts, id)

    async def one(self, collection: str, id_: str | None) -> Document | None:
        """A document by its id, read together with all others of its level; None where there is none."""
        if id_ is None:
            return None
        if collection not in self._by_id:
            self._by_id[collection] = Batch(self._level, self._reader(collection), str)
        return await self._by_id[collection].load(id_)

    def _reader(self, collection: str) -> Any:
        async def read(ids: list[str]) -> Sequence[Document | None]:
            found = await records.by_ids(self.caller, self.database, collection, ids)
            return [found.get(id_) or self.would_be.get((collection, id_)) for id_ in ids]

        return read

    async def needed(self, release: Document, first: int) -> list[Document]:
        """The releases that the first references of a release lead to."""
        some = [reference["reference"] for reference in release["dependencies"][:first]]
        found = await load_all(self.references, some)
        return list({needed["id"]: needed for needed in found}.values())

    async def dependants(self, release: Document, window: pages.Window) -> pages.Question:
        """The question which releases need this one."""
        return releases.dependants(self.caller, await self.needing.load(release), window)

    async def latest_beside(self, release: Document) -> Document | None:
        """The latest release of the same product, channel and branch."""
        product = await self.one("products", release["productId"])
        if product is None:
            return None
        return await self.first(
            releases.latest(self.caller, product, channel=release["channel"], branch=release["branch"])
        )

    async def first(self, question: pages.Question) -> Document | None:
        """The first document that a question asks for."""
        rows = (await self.pages.load(question)).rows
        return rows[0] if rows else None

    async def _answering(self, references: list[str]) -> Sequence[Document | None]:
        found = await releases.answering(self.caller, self.database, references)
        return [found.get(reference) for reference in references]

    async def _needing(self, some: list[Document]) -> Sequence[list[str]]:
        return await releases.needing(self.caller, self.database, some)

    async def _pages(self, questions: list[pages.Question]) -> Sequence[pages.Page]:
        return await pages.read_many(self.database, questions)

    async def _counts(self, questions: list[pages.Question]) -> Sequence[int]:
        return await pages.count_many(self.database, questions)


def _id(document: Document) -> str:
    id_: str = document["id"]
    return id_


Info = strawberry.Info[Context, None]


async def load_all(batch: Batch[Any, Any], keys: Iterable[Any]) -> list[Any]:
    """The values of several keys that there are."""
    found = await asyncio.gather(*(batch.load(key) for key in keys))
    return [value for value in found if value is not None]
