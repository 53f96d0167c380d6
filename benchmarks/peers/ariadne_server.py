"""Ariadne with aiodataloader: the schema from its text, a batch a level, documents parsed and validated once."""

import functools
from pathlib import Path
from typing import Any

from aiodataloader import DataLoader
from ariadne import ObjectType, ScalarType, make_executable_schema
from ariadne.asgi import GraphQL
from graphql import parse, validate

import catalog
from catalog import KEY, TENANT, Document, database, href, only

LISTED = only(f"{catalog.LISTED} {catalog.IDENTITY} {catalog.LINKED}")
NEEDED = only(f"{catalog.IDENTITY} productId")
PRODUCT = only("id key name")
IMAGE = only("id operatingSystem")

query, release, product = ObjectType("Query"), ObjectType("Release"), ObjectType("Product")
connection, dependencies = ObjectType("ReleaseConnection"), ObjectType("DependencyConnection")
links = ObjectType("ReleaseLinks")
instant = ScalarType("DateTime", serializer=catalog.written, value_parser=catalog.read)


class Context:
    """The shared state of the resolvers of one request."""

    def __init__(self) -> None:
        self.releases = DataLoader(_by_ids("releases", LISTED))
        self.products = DataLoader(_by_ids("products", PRODUCT))
        self.images = DataLoader(_by_ids("baseImages", IMAGE))
        self.references = DataLoader(_answering)


def _by_ids(collection: str, projection: Document) -> Any:
    async def read(ids: list[str]) -> list[Document | None]:
        match = {"_id": {"$in": [KEY + id_ for id_ in ids]}, "tenantId": TENANT}
        found = {d["id"]: d for d in await database[collection].find(match, projection).to_list()}
        return [found.get(id_) for id_ in ids]

    return read


async def _answering(references: list[str]) -> list[Document | None]:
    found = database.releases.find(catalog.answering(references), NEEDED, hint="terms")
    best = catalog.winners(await found.to_list())
    return [best.get(reference) for reference in references]


class Page:
    """The releases that match any of `matches`, in one order; read once, however many fields need them."""

    def __init__(self, matches: list[Document], hint: str, first: int, after: str | None, **by: str) -> None:
        order, direction = by.get("field", "CREATED_AT"), by.get("direction", "DESC")
        self.matches, self.hint, self.first, self.order = matches, hint, first, order
        self.sign = 1 if direction == "ASC" else -1
        self.places = catalog.beyond(order, "$gt" if self.sign > 0 else "$lt", after) if after else []

    async def read(self) -> "Page":
        """Read one row more than is shown, which tells whether there is a next page."""
        sort = [(catalog.FIELDS[self.order], self.sign), ("id", self.sign)]
        found = database.releases.find(catalog.onwards(self.matches, self.places), LISTED, hint=self.hint)
        self.rows = await found.sort(sort).limit(self.first + 1).to_list()
        return self


query.set_field("release", lambda _, info, **given: info.context.releases.load(given["id"]))


@query.field("releases")
async def _releases(_: Any, __: Any, first: int = 20, after: str | None = None, **given: Any) -> Page:
    match: Document = {"tenantId": TENANT}
    filter_ = given.get("filter") or {}
    if "author" in filter_:
        match["terms"] = f"author:{filter_['author']}"
    if "createdFrom" in filter_:
        match["createdAt"] = {"$gte": filter_["createdFrom"]}
    hint = "terms" if "terms" in match else "created"
    return await Page([match], hint, first, after, **given.get("orderBy") or {}).read()


@connection.field("pageInfo")
def _page_info(page: Page, _: Any) -> Document:
    shown = page.rows[: page.first]
    end = catalog.cursor(page.order, shown[-1]) if shown else None
    return {"hasNextPage": len(page.rows) > page.first, "endCursor": end}


@connection.field("totalCount")
async def _total_count(page: Page, _: Any) -> int:
    return await database.releases.count_documents(catalog.onwards(page.matches, []), hint=page.hint)


connection.set_field("nodes", lambda page, _: page.rows[: page.first])
dependencies.set_field("totalCount", lambda needs, _: len(needs))


@dependencies.field("nodes")
async def _nodes(needs: list[Document], info: Any) -> list[Document]:
    found = await info.context.references.load_many([needed["reference"] for needed in needs])
    return [needed for needed in found if needed is not None]


release.set_field("product", lambda r, info: info.context.products.load(r["productId"]))
release.set_field("published", lambda r, _: r["status"] == "PUBLISHED")
release.set_field("archived", lambda r, _: r["status"] == "ARCHIVED")
release.set_field("artifactCount", lambda r, _: len(r["artifacts"]))
release.set_field("dependencies", lambda r, _, first: r["dependencies"][:first])
release.set_field("_links", lambda r, _: r)


@release.field("dependants")
async def _dependants(r: Document, info: Any, first: int, after: str | None = None) -> Page:
    best = await info.context.references.load(catalog.by_name(r))
    matches = catalog.dependants(r, by_name_too=best is not None and best["id"] == r["id"])
    return await Page(matches, "terms", first, after).read()


def _link(*segments: str) -> Document:
    return {"href": href(*segments)}


links.set_field("self", lambda r, _: _link("catalogs", r["catalogId"], "releases", r["id"]))
links.set_field("catalog", lambda r, _: _link("catalogs", r["catalogId"]))
links.set_field("application", lambda r, _: _link("catalogs", r["catalogId"], "applications", r["productId"]))
links.set_field("registry", lambda r, _: _link("registries", r["registryId"]) if r["registryId"] else None)
links.set_field("baseImage", lambda r, _: _link("base-images", r["baseImageId"]) if r["baseImageId"] else None)


@links.field("product")
async def _on_branch(r: Document, info: Any) -> Document | None:
    if not r["branch"]:
        return None
    named = await info.context.products.load(r["productId"])
    image = await info.context.images.load(r["baseImageId"]) if r["baseImageId"] else None
    return {"href": catalog.branch_href(r, named, image)}


_parsed, _errors = functools.cache(parse), functools.cache(validate)
schema = make_executable_schema(
    Path(__file__).with_name("schema.graphql").read_text(),
    [query, release, connection, dependencies, links, instant],
)
app = GraphQL(
    schema,
    context_value=lambda _request, _data: Context(),
    query_parser=lambda _context, data: _parsed(data["query"]),
    query_validator=lambda schema, document, *_, **__: _errors(schema, document),
)

if __name__ == "__main__":
    catalog.serve(app)
