"""The links of HAL documents. Lists of links come in pages, with one `next` for all lists of a document."""

import asyncio
import urllib.parse
from collections.abc import Mapping
from typing import Any

from release_catalog.domain import links
from release_catalog.plans.context import Context, load_all
from release_catalog.store import pages, records, releases
from release_catalog.store.database import Document
from release_catalog.store.pages import Question, Window

PAGE = 100
# Stands in a `next` link for a list that has ended, so that it is not begun again.
ENDED = "end"


def link(href: str) -> dict[str, str]:
    """A link object."""
    return {"href": href}


def to_release(release: Mapping[str, Any]) -> dict[str, str]:
    """The link to a release."""
    return link(links.release(release["catalogId"], release["id"]))


class Related:
    """A release with everything that its HAL document speaks of."""

    def __init__(self, release: Document, context: Context) -> None:
        self.release = release
        self.context = context
        self.refers_to: dict[str, Document | None] = {}
        self.needed: list[Document] = []
        self.needing: list[Document] = []
        self.more: dict[str, str] = {}

    async def read(self, cursors: Mapping[str, str | None]) -> "Related":
        """Read it all; `cursors` say after which entries the two lists begin."""
        release, context = self.release, self.context
        found = await asyncio.gather(
            context.one("products", release["productId"]),
            context.one("baseImages", release["baseImageId"]),
            context.one("registries", release["registryId"]),
            context.latest_beside(release),
            self._read_needed(cursors.get("dependencies_after")),
            self._read_needing(cursors.get("dependants_after")),
        )
        self.refers_to = dict(zip(("product", "baseImage", "registry", "latest"), found, strict=False))
        return self

    async def _read_needed(self, cursor: str | None) -> None:
        declared = self.release["dependencies"]
        start = pages.offset(declared, "dependencies_after", cursor) if cursor != ENDED else len(declared)
        shown = declared[start : start + PAGE]
        self.needed = await load_all(self.context.references, [reference["reference"] for reference in shown])
        if start + PAGE < len(declared):
            self.more["dependencies_after"] = pages.offset_cursor(shown[-1])

    async def _read_needing(self, cursor: str | None) -> None:
        if cursor == ENDED:
            return
        page = await self.context.pages.load(await self.context.dependants(self.release, Window(PAGE, cursor)))
        self.needing = page.rows
        if page.has_next:
            self.more["dependants_after"] = page.cursor(page.rows[-1])

    def links(self) -> dict[str, Any]:
        """The release's `_links`."""
        release, product, image = self.release, self.refers_to["product"], self.refers_to["baseImage"]
        catalog_id, latest = release["catalogId"], self.refers_to["latest"]
        system = image["operatingSystem"] if image else None
        href = links.release(catalog_id, release["id"])
        found: dict[str, str | None] = {
            "self": href,
            "catalog": links.catalog(catalog_id),
            "application": links.application(catalog_id, release["productId"]),
            "product": links.branch(product["key"], release, system) if product else None,
            "base_image": release["baseImageId"] and links.base_image(release["baseImageId"]),
            "registry": release["registryId"] and links.registry(release["registryId"]),
            "pipeline": release["pipelineId"] and links.pipeline(catalog_id, release["pipelineId"]),
            "latest_release": links.release(latest["catalogId"], latest["id"]) if latest else None,
            "next": next_page(href, self.more, ("dependencies_after", "dependants_after")),
        }
        return {
            **{name: link(target) for name, target in found.items() if target},
            "dependencies": [to_release(needed) for needed in self.needed],
            "dependants": [to_release(needing) for needing in self.needing],
        }


def next_page(href: str, more: Mapping[str, str], lists: tuple[str, ...]) -> str | None:
    """The page after this one; None where none of the lists goes on."""
    if not more:
        return None
    return f"{href}?{urllib.parse.urlencode({name: more.get(name, ENDED) for name in lists})}"


async def listed(context: Context, question: Question, href: str) -> tuple[list[Document], dict[str, Any]]:
    """A page of documents, and the `next` link behind it if there is one."""
    page = await context.pages.load(question)
    more = {"after": page.cursor(page.rows[-1])} if page.has_next else {}
    target = next_page(href, more, ("after",))
    return page.rows, {"next": link(target)} if target else {}


def products(context: Context, catalog_id: str, after: str | None) -> Question:
    """The products of a catalog."""
    return records.products(context.caller, Window(PAGE, after), catalog_id)


async def releases_of(context: Context, product: Document, after: str | None) -> Question:
    """The releases of a product, the newest first."""
    wanted = {"productId": product["id"]}
    return await releases.search(context.caller, context.database, wanted, Window(PAGE, after))
