"""What answers behind each link of S5, and at the address of S3's promotion records."""

import asyncio
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.requests import Request

from release_catalog.domain import instants, links
from release_catalog.domain.links import link, to_release
from release_catalog.hal import written
from release_catalog.hal.links import LATEST, LINKED, PAGE, SHOWN, address, listed, related
from release_catalog.plans.context import Context
from release_catalog.problems import BadArgument
from release_catalog.store import records, releases
from release_catalog.store.database import Document
from release_catalog.store.pages import MAX_CURSOR, Window
from release_catalog.store.records import MAX_DISTRO

Answer = dict[str, Any] | None


# Names and ids have at most 256 characters; more can't be part of an address here.
MAX_SEGMENT = 256
# The parameters that addresses take, with the most characters of each. No others are read.
PARAMETERS = {
    "expand_relationships": 5,
    "after": MAX_CURSOR,
    "dependencies_after": MAX_CURSOR,
    "dependants_after": MAX_CURSOR,
    "packaging": 64,
    "distro": MAX_DISTRO,
}


class Asked:
    """A request for a document: the parts of its path, decoded, its parameters and its context."""

    def __init__(self, request: Request, context: Context) -> None:
        """Raise BadArgument where a part of the path or a parameter is longer than any that exists."""
        self.context = context
        self.path = {
            name: _limited(name, urllib.parse.unquote(value), MAX_SEGMENT)
            for name, value in request.path_params.items()
        }
        self.query: Mapping[str, str] = {
            name: _limited(name, request.query_params[name], limit)
            for name, limit in PARAMETERS.items()
            if name in request.query_params
        }

    def flag(self, name: str) -> bool:
        """A parameter that is true or false; false where it is absent."""
        text = self.query.get(name, "false")
        if text not in {"true", "false"}:
            raise BadArgument(name, f"{text!r} is neither true nor false.")
        return text == "true"

    @property
    def window(self) -> Window:
        """The page of a list that is asked for."""
        return Window(PAGE, self.query.get("after"))

    async def catalog(self) -> Document | None:
        """The catalog that the path names."""
        return await self.context.one("catalogs", self.path["catalog"])

    async def within(self, collection: str, id_: str) -> Document | None:
        """A document of the catalog that the path names."""
        found = await self.context.one(collection, id_)
        return found if found and found["catalogId"] == self.path["catalog"] else None


def _limited(name: str, text: str, limit: int) -> str:
    if len(text) > limit:
        raise BadArgument(name, f"at most {limit} characters fit here; this has {len(text)}.")
    return text


async def release(asked: Asked) -> Answer:
    """A release, with its relationships embedded where `expand_relationships` says so."""
    expand = asked.flag("expand_relationships")
    [found] = await asked.context.by_ids("releases").load_many([asked.path["release"]], SHOWN)
    if not found or found["catalogId"] != asked.path["catalog"]:
        return None
    whole = await related(asked.context, found, asked.query, SHOWN if expand else LINKED)
    answer = written.release(found, whole.refers_to, whole.links())
    if expand:
        answer["dependencies"], answer["dependants"] = await asyncio.gather(
            _embedded(asked.context, whole.needed), _embedded(asked.context, whole.needing)
        )
    return answer


async def _embedded(context: Context, some: Sequence[Document]) -> list[orjson.Fragment]:
    """Return releases as JSON texts: each is written and counted by itself, while others are served."""
    texts = []
    for one in await asyncio.gather(*(related(context, release) for release in some)):
        texts.append(context.usage.send_json(written.release(one.release, one.refers_to, one.links())))
        await asyncio.sleep(0)
    return texts


async def catalog(asked: Asked) -> Answer:
    """A catalog with links to its products."""
    found = await asked.catalog()
    if not found:
        return None
    question = records.products(asked.context.caller, asked.window, found["id"])
    rows, own = await listed(asked.context, question, links.catalog(found["id"]), asked.query)
    fields = {"id": found["id"], "name": found["name"], "description": found["description"]}
    return {
        **written.present(fields),
        "public": found["public"],
        "created_at": written.instant(found["createdAt"]),
        "_links": {
            **own,
            "applications": [link(links.application(found["id"], product["id"])) for product in rows],
        },
    }


async def application(asked: Asked) -> Answer:
    """A product with links to its releases, the newest first."""
    found, context = await asked.within("products", asked.path["application"]), asked.context
    if not found:
        return None
    wanted = {"productId": found["id"]}
    question = await releases.search(context.caller, context.database, wanted, asked.window)
    path = links.application(found["catalogId"], found["id"])
    (rows, own), latest = await asyncio.gather(
        listed(context, question, path, asked.query),
        context.narrowed("releases", LATEST).first(releases.latest(context.caller, found, channel="stable")),
    )
    return {
        "id": found["id"],
        "catalog_id": found["catalogId"],
        **written.product(found),
        **({"latest_release": written.brief(latest)} if latest else {}),
        "_links": {
            **own,
            "catalog": link(links.catalog(found["catalogId"])),
            **({"latest_release": to_release(latest)} if latest else {}),
            "releases": [to_release(row) for row in rows],
        },
    }


async def branch(asked: Asked) -> Answer:
    """A product on one of its branches, with the latest release there."""
    context, distro = asked.context, asked.query.get("distro")
    known = await records.products_by_key(context.caller, context.database, asked.path["key"])
    if not known:
        return None
    images = await records.images_of(context.caller, context.database, distro) if distro else None
    if images == []:
        return None
    found = await asyncio.gather(*(_on_branch(asked, product, images) for product in known))
    there = [(product, latest) for product, (newest, latest) in zip(known, found, strict=True) if newest]
    if not there:
        return None
    product, latest = next((pair for pair in there if pair[1]), there[0])
    path = str(links.branch(product["key"], {"branch": asked.path["branch"], "packagingType": None}))
    return {
        **written.product(product),
        "branch": asked.path["branch"],
        **({"latest_release": written.brief(latest)} if latest else {}),
        "_links": {
            "self": link(address(path, asked.query, "packaging", "distro")),
            "catalog": link(links.catalog(product["catalogId"])),
            "application": link(links.application(product["catalogId"], product["id"])),
            **({"latest_release": to_release(latest)} if latest else {}),
        },
    }


async def _on_branch(
    asked: Asked, product: Document, images: Sequence[str] | None
) -> tuple[Document | None, Document | None]:
    """A release of `product` on the branch, if there is any, and the latest, if one is published."""
    context = asked.context.narrowed("releases", LATEST)
    name, packaging = asked.path["branch"], asked.query.get("packaging") or None
    wanted = {"productId": product["id"], "branch": name, "packagingType": packaging and [packaging]}
    latest = releases.latest(
        context.caller, product, channel=None, packaging=packaging, base_images=images, branch=name
    )
    return await asyncio.gather(
        context.first(await releases.search(context.caller, context.database, wanted, Window(1))),
        context.first(latest),
    )


async def pipeline(asked: Asked) -> Answer:
    """A pipeline, seen from a catalog."""
    found, of = await asyncio.gather(asked.context.one("pipelines", asked.path["pipeline"]), asked.catalog())
    if not found or not of:
        return None
    properties = [
        written.present({"name": p["name"], "required": p["required"], "default_value": p["defaultValue"]})
        for p in found["properties"]
    ]
    own = {"self": link(links.pipeline(of["id"], found["id"])), "catalog": link(links.catalog(of["id"]))}
    return {"id": found["id"], "name": found["name"], "properties": properties, "_links": own}


async def base_image(asked: Asked) -> Answer:
    """A base image."""
    found = await asked.context.one("baseImages", asked.path["image"])
    return found and {**written.base_image(found), "_links": {"self": link(links.base_image(found["id"]))}}


async def registry(asked: Asked) -> Answer:
    """A registry."""
    found = await asked.context.one("registries", asked.path["registry"])
    return found and {**written.registry(found), "_links": {"self": link(links.registry(found["id"]))}}


async def promotion(asked: Asked) -> Answer:
    """A promotion record (S3)."""
    try:
        created = instants.either(asked.path["created"])
    except ValueError as error:
        raise BadArgument("created", str(error)) from error
    context, path = asked.context, asked.path
    found = await records.promotion(context.caller, context.database, path["name"], path["version"], created)
    return found and written.promotion(found)
