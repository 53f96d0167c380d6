"""The links of HAL documents. Lists of links come in pages, with one `next` for all lists of a document."""

import asyncio
import dataclasses
import urllib.parse
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from release_catalog.domain import hal_urls, references
from release_catalog.domain.hal_urls import link
from release_catalog.domain.release import FIELDS, ReleaseDocument
from release_catalog.domain.release_links import LINKS, Related
from release_catalog.errors import InvalidArgument
from release_catalog.hal.serializers import link_to_release
from release_catalog.query_engine.context import Context
from release_catalog.storage import pagination, releases
from release_catalog.storage.collection_names import BASE_IMAGES, PRODUCTS, REGISTRIES, RELEASES, Stored
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.pagination import Page, PageArgs, PageQuery

PAGE = 100
# Stands in a `next` link for a list that has ended, so that it does not start again.
END_CURSOR = "end"
# The fields to read of a release that is linked to, shown as the latest one, or shown in full.
LINKED: FieldPaths = frozenset({"id", "catalogId"})
LATEST: FieldPaths = frozenset({"id", "catalogId", "revision", "version", "releasedAt", "publishedAt"})
# Besides what is shown, what its links and its latest sibling are found by.
SHOWN: FieldPaths = frozenset(
    {"name", "dependencies.reference", "status", "publishedAt", "withdrawal"}
    | {name for name, field in FIELDS.items() if field.hal}
    | {name for link in LINKS.values() for name in link.reads}
)
NO_QUERY: Mapping[str, str] = MappingProxyType({})


def address(path: str, query: Mapping[str, str], *names: str) -> str:
    """Return the address of a document at `path`, with those parameters of `query` that `names` lists."""
    parameters = [(name, query[name]) for name in names if name in query]
    return f"{path}?{urllib.parse.urlencode(parameters)}" if parameters else path


@dataclasses.dataclass(frozen=True)
class ReleaseRelations:
    """A release with the documents that its HAL document shows; `query` holds the parameters of the request."""

    release: ReleaseDocument
    refers_to: Related
    needed: list[ReleaseDocument]
    needing: list[ReleaseDocument]
    replacement: ReleaseDocument | None
    query: Mapping[str, str]
    # The cursors of the next pages of the lists of releases, by parameter.
    more: Mapping[str, str]

    def links(self) -> dict[str, Any]:
        """Return the release's `_links`."""
        found = {name: of.path(self.release, self.refers_to) for name, of in LINKS.items()}
        found["self"] = self._address(self.query)
        found["next"] = self._next()
        return {
            **{name: link(target) for name, target in found.items() if target},
            **({"replacement": link_to_release(self.replacement)} if self.replacement else {}),
            "dependencies": [link_to_release(needed) for needed in self.needed],
            "dependants": [link_to_release(needing) for needing in self.needing],
        }

    def _next(self) -> str | None:
        ended = {"dependencies_after": END_CURSOR, "dependants_after": END_CURSOR}
        return self._address({**self.query, **ended, **self.more}) if self.more else None

    def _address(self, query: Mapping[str, str]) -> str:
        path = hal_urls.release(self.release["catalogId"], self.release["id"])
        return address(path, query, "expand_relationships", "dependencies_after", "dependants_after")


async def related(
    context: Context, release: ReleaseDocument, query: Mapping[str, str] = NO_QUERY, keys: FieldPaths = LINKED
) -> ReleaseRelations:
    """Read all that belongs to a release; `query` may hold the cursors after which the two lists begin.

    Of the releases in these lists, read `keys`.
    """
    # Cursors come first: a refused request reads nothing.
    shown, needed_more = _shown(release, query.get("dependencies_after"))
    window = _window(context, query.get("dependants_after"))
    product, image, registry, (latest, replacement), needed, (needing, needing_more) = await asyncio.gather(
        context.one(PRODUCTS, release["productId"]),
        context.one(BASE_IMAGES, release["baseImageId"]),
        context.one(REGISTRIES, release["registryId"]),
        asyncio.gather(_latest(context, release), _replacement(context, release)),
        context.references.load_many(shown, keys),
        _needing(context, release, window, keys),
    )
    refers_to: Related = {"product": product, "baseImage": image, "registry": registry, "latest": latest}
    # One reference by id and one by name may lead to the same release.
    once = list({one["id"]: one for one in needed if one}.values())
    return ReleaseRelations(release, refers_to, once, needing, replacement, query, needed_more | needing_more)


async def _latest(context: Context, release: ReleaseDocument) -> ReleaseDocument | None:
    # Wait for the product first: then the page of dependants and this one are read together, a level later.
    if await context.one(PRODUCTS, release["productId"]) is None:
        return None
    return (await context.latest_beside_each([release], LATEST))[0]


async def _replacement(context: Context, release: ReleaseDocument) -> ReleaseDocument | None:
    """Return the release to use instead of a withdrawn one, if the caller may see it."""
    withdrawal = release["withdrawal"]
    ids = [withdrawal["replacementId"]] if withdrawal and withdrawal["replacementId"] else []
    found = await context.by_ids(RELEASES).load_many(ids, LINKED)
    return found[0] if found else None


def _shown(release: ReleaseDocument, cursor: str | None) -> tuple[list[str], dict[str, str]]:
    """Return the references of a page, and the cursor of the next page."""
    # Duplicates are removed: a cursor is the reference before it.
    declared = references.unique(release["dependencies"])
    start = 0
    if cursor == END_CURSOR:
        start = len(declared)
    elif cursor is not None:
        start = pagination.index_of(declared, "dependencies_after", cursor) + 1
    shown = declared[start : start + PAGE]
    more = {"dependencies_after": pagination.reference_cursor(shown[-1])} if start + PAGE < len(declared) else {}
    return [reference["reference"] for reference in shown], more


def _window(context: Context, cursor: str | None) -> PageArgs | None:
    """Return the requested page of dependants; None if they have ended."""
    if cursor == END_CURSOR:
        return None
    window = PageArgs(PAGE, cursor)
    try:
        releases.dependants(context.caller, (), window)
    except InvalidArgument as error:
        raise InvalidArgument("dependants_after", error.reason) from error
    return window


async def _needing(
    context: Context, release: ReleaseDocument, window: PageArgs | None, keys: FieldPaths
) -> tuple[list[ReleaseDocument], dict[str, str]]:
    """Return a page of dependants, and the cursor of the next page."""
    if window is None:
        return [], {}
    [page] = await context.pages.load_many([await context.dependants(release, window)], keys)
    return page.rows, {"dependants_after": page.cursor(page.rows[-1])} if page.has_next else {}


async def listed(
    context: Context, question: PageQuery[Stored], path: str, query: Mapping[str, str], keys: FieldPaths = LINKED
) -> tuple[list[Stored], dict[str, Any]]:
    """Return a page of documents, with links to the page at `path` itself and to the next page if there is one.

    Of the documents, read `keys`.
    """
    page: Page[Stored]
    [page] = await context.pages.load_many([question], keys)
    own = {"self": link(address(path, query, "after"))}
    if page.has_next:
        own["next"] = link(address(path, {"after": page.cursor(page.rows[-1])}, "after"))
    return page.rows, own
