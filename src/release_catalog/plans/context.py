"""What all of one request shares: the caller, the database, and loaders that make each level one read."""

from collections.abc import Iterable, Sequence
from typing import Any

import strawberry
from strawberry.dataloader import DataLoader

from release_catalog.domain.caller import Caller
from release_catalog.store import pages, records, releases
from release_catalog.store.database import Database, Document


class Context:
    """One request's caller, database and loaders; never kept for another request."""

    def __init__(self, caller: Caller, database: Database) -> None:
        self.caller = caller
        self.database = database
        self._by_id: dict[str, DataLoader[str, Document | None]] = {}
        self.references: DataLoader[str, Document | None] = DataLoader(self._answering)
        self.needing: DataLoader[Document, list[str]] = DataLoader(self._needing, cache_key_fn=_id)
        self.pages: DataLoader[pages.Question, pages.Page] = DataLoader(self._pages)
        self.counts: DataLoader[pages.Question, int] = DataLoader(self._counts)

    async def one(self, collection: str, id_: str | None) -> Document | None:
        """A document by its id, read together with all others of its level; None where there is none."""
        if id_ is None:
            return None
        if collection not in self._by_id:
            self._by_id[collection] = DataLoader(self._reader(collection))
        return await self._by_id[collection].load(id_)

    def _reader(self, collection: str) -> Any:
        async def read(ids: list[str]) -> Sequence[Document | None]:
            found = await records.by_ids(self.caller, self.database, collection, ids)
            return [found.get(id_) for id_ in ids]

        return read

    async def needed(self, release: Document, first: int) -> list[Document]:
        """The releases that the first references of a release lead to."""
        some = [reference["reference"] for reference in release["dependencies"][:first]]
        return await load_all(self.references, some)

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


async def load_all(loader: DataLoader[Any, Any], keys: Iterable[Any]) -> list[Any]:
    """The answers to several keys that are there."""
    return [found for found in await loader.load_many(keys) if found is not None]
