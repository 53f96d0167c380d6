"""HAL as its clients see it: every link leads somewhere, the seeds come back, and nothing leaks."""

import collections
import datetime
import json
import re
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog.testing
from pymongo import AsyncMongoClient
from starlette.applications import Starlette
from starlette.types import Message

from release_catalog import sample
from release_catalog.domain import hal_urls, ids, ledger, platforms, release_parts, timestamps
from release_catalog.domain.caller import Caller, local
from release_catalog.domain.release import ReleaseDocument
from release_catalog.hal.routes import Hal, mounts
from release_catalog.query_engine.context import Context
from release_catalog.storage import bulk_load, records
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import (
    BASE_IMAGES,
    PIPELINES,
    PRODUCTS,
    PROMOTIONS,
    REGISTRIES,
    RELEASES,
    CollectionName,
)
from support.catalog import Catalog, source
from support.graphql_client import client_of, served
from support.promotions import do, environment, file, promote, published

HAL, PROBLEM = "application/hal+json", "application/problem+json"
ARGO = "/v1/catalogs/d16c7f4d-b38a-405b-a1ca-3ac0a79418c1/releases/64455e6bd3c480fd58546c75"
CATALINA = "/lifecycle/api/v2/promotion/records/catalina/1.0.0"
READER = Caller("local", "reader", frozenset({"release:read"}))
Json = dict[str, Any]


class Web:
    """A catalog over HTTP, mounted as the application mounts it."""

    def __init__(self, catalog: Catalog, seconds: float = 10, *, has_schema: bool = True) -> None:
        hal = Hal(lambda _: Context(catalog.caller, catalog.database), seconds, has_schema=has_schema)
        self.app = Starlette(routes=mounts(hal))
        self.client = client_of(self.app)

    async def get(self, href: str, method: str = "GET", **headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.client.request(method, href, headers=named)
        assert response.request.url.raw_path.decode() == href, "the client asks for another address"
        return response

    async def read(self, href: str) -> Json:
        """The document behind a link."""
        response = await self.get(href)
        assert (response.status_code, response.headers["content-type"]) == (200, HAL), (href, response.text)
        document: Json = response.json()
        assert document["_links"]["self"]["href"] == href
        return document

    async def pages(self, href: str | None) -> AsyncIterator[Json]:
        """A document and all that its `next` links lead to."""
        while href:
            document = await self.read(href)
            yield document
            href = document["_links"].get("next", {}).get("href")

    async def problem(self, status: int, href: str, method: str = "GET") -> Json:
        response = await self.get(href, method)
        assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), (href, response.text)
        if method == "HEAD":
            return {}
        body: Json = response.json()
        assert body.keys() >= {"type", "title", "status", "detail", "instance"}
        assert (body["status"], body["instance"]) == (status, href.partition("?")[0])
        assert ("violations" in body) == (status == 400)
        return body


def hrefs(value: Any) -> Iterator[str]:
    """Every address under `_links`, embedded documents included."""
    if isinstance(value, list):
        for entry in value:
            yield from hrefs(entry)
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from targets(entry) if name == "_links" else hrefs(entry)


def targets(found: Mapping[str, Any]) -> list[str]:
    """The addresses of one `_links`."""
    listed = [entry if isinstance(entry, list) else [entry] for entry in found.values()]
    return [link["href"] for entry in listed for link in entry if link and not link.get("templated")]


async def crawled(web: Web, *start: str, most: int = 300) -> dict[str, Json]:
    """Everything that links lead to, the nearest first, up to `most` documents."""
    found: dict[str, Json] = {}
    queue = collections.deque(start)
    while queue and len(found) < most:
        href = queue.popleft()
        if href not in found and href.startswith("/v1"):
            found[href] = await web.read(href)
            queue.extend(hrefs(found[href]))
    return found


async def put(catalog: Catalog, collection: CollectionName[Any], **fields: Any) -> Any:
    assert await bulk_load.put(catalog.caller, catalog.database, collection, [fields]) == 1
    return fields


async def product_of(catalog: Catalog, **fields: Any) -> Any:
    """A product with all its fields as given, its id too."""
    await bulk_load.catalog(catalog.caller, catalog.database, fields["catalogId"])
    made = {**bulk_load.product(catalog.caller, fields["catalogId"], fields["key"]), **fields}
    return await put(catalog, PRODUCTS, **made)


async def promoted(catalog: Catalog, **fields: Any) -> None:
    """A promotion record of the first millisecond of 1970."""
    last = await catalog.database[PROMOTIONS].find_one(sort=[("sequence", -1)])
    record: Any = {
        **dict.fromkeys(ledger._FIELDS),
        "id": ids.new(),
        "created": timestamps.EPOCH,
        "artifacts": [],
        **fields,
    }
    await put(catalog, PROMOTIONS, **ledger.append_hash(record, last))


def address(of: Mapping[str, Any]) -> str:
    return hal_urls.release(of["catalogId"], of["id"])


def linked_to(document: Json, name: str) -> str:
    return str(document["_links"][name]["href"])


def linked(document: Json, name: str) -> list[str]:
    return [link["href"] for link in document["_links"][name]]


# S5 and S3: the seeds' own JSON.


def seed(shared: Path, name: str) -> Json:
    """The first JSON object of a seed."""
    text = (shared / "spec" / "seeds" / name).read_text()
    found: Json = json.JSONDecoder().raw_decode(text[text.index("{\n") :])[0]
    return found


def stored(value: Any) -> Any:
    """A seed's JSON as documents hold it: names in camelCase, instants as instants, platforms by name."""
    if isinstance(value, list):
        return [stored(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"os_family", "architecture"}:
        return platforms.parsed(f"{value['os_family']}/{value['architecture']}")
    return {re.sub("_(.)", lambda match: match[1].upper(), name): stored(entry) for name, entry in value.items()}


async def store_s5(catalog: Catalog, seen: Json) -> list[ReleaseDocument]:
    """S5's sample in the store; gives back the release, one that it needs and one that needs it."""
    fields = sample._decoded(stored(seen))
    catalog_id, of = fields.pop("catalogId"), fields.pop("product")
    product = await product_of(catalog, id=fields.pop("applicationId"), catalogId=catalog_id, **of)
    image, registry = fields.pop("baseImage"), fields.pop("registry")
    await put(catalog, BASE_IMAGES, **image)
    await put(catalog, REGISTRIES, **registry)
    await put(catalog, PIPELINES, id=fields["pipelineId"], name="Chart packaging", properties=[])
    for computed in ("latestRelease", "dependants", "Links"):
        fields.pop(computed)
    other = await product_of(catalog, id=ids.new(), key="other", catalogId=catalog_id)
    needed = await catalog.put(other, "1", status="PUBLISHED", branch="1")
    fields |= {
        "registryArtifact": fields.pop("artifact"),
        "endOfLifeAt": fields["endOfLifeAt"][:10],
        "dependencies": [{"releaseId": needed["id"], "name": needed["name"], "version": "1"}],
        "baseImageId": image["id"],
        "registryId": registry["id"],
        "status": "PUBLISHED",
    }
    made = await catalog.put(product, fields.pop("version"), **fields)
    needs = [{"name": made["name"], "version": made["version"]}]
    return [made, needed, await catalog.put(other, "2", status="PUBLISHED", dependencies=needs)]


def form(href: str) -> str:
    """An address without its ids: the words of its path and the names of its parameters."""
    path, *query = href.split("?")
    words = " v1 catalogs releases applications base-images registries pipelines product branch".split(" ")
    parts = [part if part in words else "*" for part in path.split("/")]
    return "?".join(["/".join(parts), *(re.sub("=[^&]*", "", parameters) for parameters in query)])


async def test_s5_comes_back_field_for_field(empty: Catalog, shared: Path) -> None:
    wanted = seed(shared, "5-catalog-release.txt")
    made, *_ = await store_s5(empty, wanted)
    answer = await Web(empty).read(address(made))
    answered, own = answer.pop("_links"), wanted.pop("_links")
    for embedded in ("dependencies", "dependants"):
        assert wanted.pop(embedded) == ["Release Object"]
    assert answer == wanted
    # The seed's hrefs name other ids than its own fields do, so their form is compared, and not the ids.
    assert answered.keys() == own.keys()
    for name in own.keys() - {"dependencies", "dependants"}:
        assert form(answered[name]["href"]) == form(own[name]["href"])
    for name in ("dependencies", "dependants"):
        assert [form(href) for href in linked({"_links": answered}, name)] == [form(own[name][0]["href"])]


async def test_s5_embeds_whole_releases(empty: Catalog, shared: Path) -> None:
    made, needed, needing = await store_s5(empty, seed(shared, "5-catalog-release.txt"))
    web = Web(empty)
    href = f"{address(made)}?expand_relationships=true"
    answer = await web.read(href)
    assert answer.pop("dependencies") == [await web.read(address(needed))]
    assert answer.pop("dependants") == [await web.read(address(needing))]
    plain = await web.read(address(made))
    answer["_links"]["self"] = plain["_links"]["self"]
    assert answer == plain
    assert answer == {**await web.read(f"{address(made)}?expand_relationships=false"), "_links": plain["_links"]}


async def test_s3_comes_back_to_the_letter(empty: Catalog, shared: Path) -> None:
    wanted = seed(shared, "3-promotion-record.txt")
    record = sample._decoded(stored(wanted)) | {"tenantId": "local", "id": ids.new(), "releaseId": ids.new()}
    record |= {"name": "catalina", "version": "1.0.0", "status": "COMPLETED", "messages": []}
    assert record.pop("createdMillis") == timestamps.milliseconds(record["created"])
    for artifact in record["artifacts"]:
        artifact["repositoryKey"] = artifact["path"].partition("/")[0]
    await put(empty, PROMOTIONS, **ledger.append_hash(record, None))
    for created in ("2023-05-19T06:22:09.586Z", "1684477329586", "2023-05-19T08:22:09.586+02:00"):
        response = await Web(empty).get(f"{CATALINA}/{created}")
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        assert list(response.json().items()) == list(wanted.items())


async def test_s3_a_new_promotion_is_served_in_the_seeds_own_form(empty: Catalog, shared: Path) -> None:
    wanted = seed(shared, "3-promotion-record.txt")
    await environment(empty, "QA")
    at: dict[str, Any] = {"repositoryKey": "maven", "packageType": "maven", "path": "org/a.jar"}
    record, _ = await promote(empty, await published(empty, file("a.jar", **at)), includedRepositoryKeys=["maven"])
    for created in (record["created"], record["createdMillis"]):
        response = await Web(empty).get(f"/lifecycle/api/v2/promotion/records/tool/1/{created}")
        assert response.status_code == 200
        found = response.json()
        assert [(name, type(value)) for name, value in found.items()] == [(n, type(v)) for n, v in wanted.items()]
        assert [list(artifact) for artifact in found["artifacts"]] == [list(wanted["artifacts"][0])]
        assert (found["environment"], found["included_repository_keys"]) == ("QA", ["maven"])


async def test_s3_only_promotions_that_took_effect_have_an_address(empty: Catalog) -> None:
    await environment(empty, "QA")
    id_ = await published(empty, file("a"), file("b", status="MISMATCH", repositoryKey="raw"))
    rejected, _ = await promote(empty, id_)
    assert rejected["status"] == "REJECTED"
    record, _ = await promote(empty, id_, excludedRepositoryKeys=["raw"])
    web, of = Web(empty), "/lifecycle/api/v2/promotion/records/tool/1"
    await web.problem(404, f"{of}/{rejected['createdMillis']}")
    assert "status" not in (await web.get(f"{of}/{record['createdMillis']}")).json()
    undone, _ = await do(empty, "rollbackPromotion", promotionId=record["id"], reason="broken")
    for each in (record, undone):
        assert (await web.get(f"{of}/{each['createdMillis']}")).json()["status"] == "ROLLED_BACK"


async def test_s3_a_project_or_repository_key_that_does_not_fit_the_record_is_404(empty: Catalog) -> None:
    await environment(empty, "QA")
    product = await empty.product("key", name="tool")
    id_ = await published(empty, file("a"), file("b", 2, repositoryKey="raw"), key="key")
    record, _ = await promote(empty, id_, includedRepositoryKeys=["raw"])
    web, of = Web(empty), f"/lifecycle/api/v2/promotion/records/tool/1/{record['createdMillis']}"
    for query in (
        "repository_key=raw",
        f"project={product['id']}",
        "project=key",
        "project=tool&repository_key=raw",
    ):
        assert (await web.get(f"{of}?{query}")).status_code == 200
    await empty.product("other")
    for query in ("repository_key=key", "project=other", "project=x", "project=key&repository_key=x"):
        await web.problem(404, f"{of}?{query}")
    await web.problem(400, f"{of}?project={'x' * 257}")


async def test_s5_has_the_fields_that_it_requires_whatever_a_release_lacks(empty: Catalog) -> None:
    product, at = await empty.product("tool"), timestamps.EPOCH
    image = {"name": "tool", "imageUrl": "r.example/tool@sha256:ab", "platform": None, "metadata": None}
    files = [file_of(name) for name in ("a.deb", "b.deb")]
    of: Any = {"status": "PUBLISHED", "publishedAt": at}
    plain = await empty.put(product, "1", **of, artifacts=files)
    both = await empty.put(product, "2", **of, artifacts=files, dockerImages=[image, {**image, "name": "other"}])
    own = {"name": "chart", "version": "4", **dict.fromkeys(("repository", "url", "contentDigest", "repoDigest"))}
    known: Any = {"releasedAt": at + datetime.timedelta(1), "registryArtifact": own}
    needs = [{"name": "tool", "version": version} for version in "12"]
    other = await empty.put(await empty.product("other"), "3", **of, **known, dependencies=needs, artifacts=files)
    draft = await empty.put(product, "4")
    web = Web(empty)
    by_file = {
        "name": "a.deb",
        "version": "1",
        "url": "https://f.example/a.deb",
        "content_digest": "sha256:" + "ab" * 32,
    }
    by_image = {"name": "tool", "version": "2", "url": image["imageUrl"], "content_digest": "sha256:ab"}
    for made, released_at, package in (
        (plain, "1970-01-01T00:00:00.000Z", by_file),
        (both, "1970-01-01T00:00:00.000Z", by_image),
        (other, "1970-01-02T00:00:00.000Z", {"name": "chart", "version": "4"}),
        (draft, None, None),
    ):
        answer = await web.read(address(made))
        assert (answer["released_at"], answer["artifact"]) == (released_at, package)
        if made is not draft:
            assert answer["latest_release"]["released_at"] is not None
    embedded = (await web.read(f"{address(other)}?expand_relationships=true"))["dependencies"]
    assert [one["artifact"] for one in embedded] == [by_file, by_image]


def file_of(name: str) -> Any:
    fields = {
        "name": name,
        "platform": None,
        "size": 1,
        "sha256": "ab" * 32,
        "downloadUrl": f"https://f.example/{name}",
    }
    return release_parts.artifact(timestamps.EPOCH, **fields)


async def test_a_release_that_is_not_published_has_its_status(empty: Catalog) -> None:
    product, web = await empty.product("tool"), Web(empty)
    for version, status in enumerate(("DRAFT", "PUBLISHED", "WITHDRAWN", "ARCHIVED")):
        answer = await web.read(address(await empty.put(product, str(version), status=status)))
        assert answer.get("status", "PUBLISHED") == status
        assert "withdrawal" not in answer


@pytest.mark.parametrize("private", [False, True])
async def test_a_withdrawn_release_has_the_reason_and_a_link_to_its_replacement(
    empty: Catalog, private: bool
) -> None:
    product = await empty.product("tool")
    better = await empty.put(product, "2", status="PUBLISHED", private=private)
    withdrawal = {
        "reason": "A leak.",
        "replacementId": better["id"],
        "withdrawnAt": timestamps.EPOCH,
        "withdrawnBy": "me",
    }
    made = await empty.put(product, "1", status="WITHDRAWN", withdrawal=withdrawal)
    for web, sees in ((Web(empty), True), (Web(empty.seen_by(READER)), not private)):
        answer = await web.read(address(made))
        assert answer["status"] == "WITHDRAWN"
        assert answer["withdrawal"] == {
            "reason": "A leak.", "withdrawn_at": "1970-01-01T00:00:00.000Z", "withdrawn_by": "me",
        }  # fmt: skip
        assert answer["_links"].get("replacement") == ({"href": address(better)} if sees else None)
        assert sees == (better["id"] in str(answer))


# Links.


@pytest.fixture
async def libc6(stocked: Catalog) -> str:
    """The address of a release with hundreds of dependants, in a cycle."""
    found = await stocked.ask('{ releases(filter: {name: "libc6"}) { nodes { _links { self { href } } } } }')
    return str(found["releases"]["nodes"][0]["_links"]["self"]["href"])


async def test_every_link_leads_to_a_document_with_that_address(stocked: Catalog, libc6: str) -> None:
    everything = f"{ARGO}?expand_relationships=true"
    found = await crawled(Web(stocked), ARGO, everything, libc6, "/v1/catalogs/default/releases/14321")
    assert len(found) == 300
    kinds = collections.Counter(form(href) for href in found)
    assert kinds.keys() >= {
        "/v1/catalogs/*",
        "/v1/catalogs/*?after",
        "/v1/catalogs/*/releases/*",
        "/v1/catalogs/*/releases/*?expand_relationships",
        "/v1/catalogs/*/releases/*?dependencies_after&dependants_after",
        "/v1/catalogs/*/applications/*",
        "/v1/catalogs/*/pipelines/*",
        "/v1/base-images/*",
        "/v1/registries/*",
        "/v1/applications/product/*/branch/*?packaging&distro",
    }


LINKS = """query($ids: [ID!]!) { releases(first: 100, filter: {ids: $ids}) { nodes { _links {
  self { href } catalog { href } application { href } product { href } base_image: baseImage { href }
  registry { href } pipeline { href } latest_release: latestRelease { href }
  dependencies { href } dependants { href }
} } } }"""


async def test_graphql_gives_the_same_links(stocked: Catalog, libc6: str) -> None:
    web = Web(stocked)
    found = await crawled(web, ARGO, libc6, most=100)
    some = {href: body for href, body in found.items() if re.fullmatch("/v1/catalogs/[^/]+/releases/[^/?]+", href)}
    assert len(some) > 50
    answer = await stocked.ask(LINKS, ids=[body["id"] for body in some.values()][:100])
    told = {node["_links"]["self"]["href"]: node["_links"] for node in answer["releases"]["nodes"]}
    assert told.keys() == some.keys()
    for href, body in some.items():
        body["_links"].pop("next", None)
        assert {name: link for name, link in told[href].items() if link is not None} == body["_links"]


NEVER_CHECKED: Json = {"description": None, "healthy": None, "lastCheckedAt": None}
IMAGE = {**NEVER_CHECKED, "name": "i", "containerImage": None, "operatingSystem": None}
REGISTRY = {**NEVER_CHECKED, "name": "r", "url": "https://r.example"}
AWKWARD = [
    "a/b",
    "a b",
    "100%",
    "%2F",
    "a%2Fb",
    "ünï/ço∂é 版",
    "a..b/../c",
    "...",
    "?q=1&r#f",
    "a;b=c,d",
    "+",
    "~'\"<>\\",
    "x/",
]


async def test_any_text_is_reachable_by_the_links_made_for_it(empty: Catalog) -> None:
    for text in AWKWARD:
        await everything_is_reachable(empty, text)


async def everything_is_reachable(catalog: Catalog, text: str) -> None:
    """Everything with a name gets the name `text`, and is found by links."""
    system = {"id": "x", "name": text, "distro": text, "version": "7"}
    await put(catalog, BASE_IMAGES, **{**IMAGE, "id": text, "operatingSystem": system})
    await put(catalog, REGISTRIES, **REGISTRY, id=text)
    await put(catalog, PIPELINES, id=text, name=text, properties=[])
    product = await product_of(catalog, id=text, key=text, name=text, catalogId=text)
    refers_to = dict.fromkeys(("branch", "baseImageId", "registryId", "pipelineId", "packagingType"), text)
    await catalog.put(product, "1", id=text, status="PUBLISHED", **refers_to)
    web = Web(catalog)
    found = await crawled(web, hal_urls.release(text, text))
    assert len(found) == 9
    assert {document.get("id", text) for document in found.values()} == {text}
    [branch] = [document for document in found.values() if "branch" in document and "id" not in document]
    assert (branch["branch"], branch["latest_release"]["id"]) == (text, text)
    await promoted(catalog, name=text, version=text)
    response = await web.get(
        f"/lifecycle/api/v2/promotion/records/{hal_urls._quoted(text)}/{hal_urls._quoted(text)}/0"
    )
    assert (response.status_code, response.json()["created"]) == (200, "1970-01-01T00:00:00.000Z")


@pytest.mark.parametrize("status", ["DRAFT", "WITHDRAWN", "PUBLISHED"])
async def test_a_branch_is_there_before_and_after_anything_is_published_on_it(empty: Catalog, status: str) -> None:
    made = await empty.put(await empty.product("tool"), "1", status=status, branch="1.x", packagingType="OVA")
    web = Web(empty)
    found = await crawled(web, address(made))
    branch = found["/v1/applications/product/tool/branch/1.x?packaging=OVA"]
    assert ("latest_release" in branch, "latest_release" in branch["_links"]) == (status == "PUBLISHED",) * 2
    await web.problem(404, "/v1/applications/product/tool/branch/2.x")
    await web.problem(404, "/v1/applications/product/tool/branch/1.x?packaging=HELM_CHART")
    await web.problem(404, "/v1/applications/product/tool/branch/1.x?distro=photon-4")
    await web.problem(404, "/v1/applications/product/other/branch/1.x")


async def test_a_long_distribution_is_refused_and_looked_up_only_for_a_product_that_exists(empty: Catalog) -> None:
    await empty.put(await empty.product("tool"), "1", status="PUBLISHED", branch="1.x")
    web = Web(empty)
    problem = await web.problem(400, f"/v1/applications/product/tool/branch/1.x?distro={'-' * 20_000}")
    assert problem["violations"] == [
        {
            "field": "distro",
            "message": "the text has 20000 characters: give at most 129.",
            "code": "BAD_USER_INPUT",
        }
    ]
    await web.problem(404, f"/v1/applications/product/tool/branch/1.x?distro={'-' * 129}")
    empty.commands.reads.clear()
    await web.problem(404, f"/v1/applications/product/other/branch/1.x?distro={'-' * 129}")
    assert empty.commands.reads["baseImages"] == 0


@pytest.mark.parametrize(
    "href",
    [
        f"/v1/catalogs/{'a' * 20_000}",
        f"/v1/registries/{'%CC%81' * 300}",
        f"/lifecycle/api/v2/promotion/records/a/1/{'1' * 20_000}",
        f"/v1/catalogs/a?after={'A' * 20_000}",
    ],
)
async def test_names_above_every_limit_are_refused(stocked: Catalog, href: str) -> None:
    stocked.commands.reads.clear()
    assert (await Web(stocked).problem(400, href))["violations"][0]["message"].startswith("the text has ")
    assert not stocked.commands.reads.total()


async def test_a_branch_is_found_in_whichever_catalog_has_it(empty: Catalog) -> None:
    made = {}
    for catalog_id in "abc":
        product = await empty.product("tool", catalog_id=catalog_id)
        status = "DRAFT" if catalog_id == "b" else "PUBLISHED"
        made[catalog_id] = await empty.put(product, "1", status=status, branch="a" if catalog_id == "a" else "b")
    branch = await Web(empty).read("/v1/applications/product/tool/branch/b")
    assert branch["_links"]["latest_release"]["href"] == address(made["c"])
    assert empty.commands.reads.total() <= 3


async def test_a_release_that_is_referred_to_twice_is_linked_once(empty: Catalog) -> None:
    needed = await empty.put(await empty.product("needed"), "1")
    by_name = {"name": "needed", "version": "1"}
    needs = [by_name, {"releaseId": needed["id"], **by_name}, *[by_name] * 300]
    made = await empty.put(await empty.product("tool"), "1", dependencies=needs)
    [answer] = [page async for page in Web(empty).pages(address(made))]
    assert linked(answer, "dependencies") == [address(needed)]


# Pages.


async def test_next_leads_through_all_dependencies_and_dependants(empty: Catalog) -> None:
    needed = [f"needed {number}" for number in range(250)]
    needing = [f"needing {number}" for number in range(250)]
    hub = source("hub", needs=[*needed, "unknown"])
    sources = [*[source(name) for name in needed], *[source(name, needs=["hub"]) for name in needing]]
    assert (await empty.load(hub, *sources, publish=True)).added == 501
    by_name = {made["name"]: address(made) async for made in empty.database[RELEASES].find()}
    for query in ("", "?expand_relationships=true"):
        found = [page async for page in Web(empty).pages(by_name["hub"] + query)]
        assert len(found) == 3
        for name, wanted in (("dependencies", needed), ("dependants", needing)):
            listed = [href for page in found for href in linked(page, name)]
            assert sorted(listed) == sorted(by_name[one] for one in wanted)
            if query:
                embedded = [one["_links"]["self"]["href"] for page in found for one in page[name]]
                assert embedded == listed


async def test_next_leads_through_all_catalogs_products_and_releases(empty: Catalog) -> None:
    for number in range(101):
        await empty.product(f"p{number:03}", name=f"Product {number}", catalog_id=f"c{number:03}")
    await empty.load(source("first", project="many"), publish=True)
    product = await empty.database[PRODUCTS].find_one({"key": "many"})
    assert product
    for number in range(150):
        await empty.put(product, str(number), f"Release {number}", status="DRAFT" if number % 3 else "PUBLISHED")
    web = Web(empty)
    entry = await web.read("/v1")
    assert entry["_links"]["release"] == {
        "href": "/v1/catalogs/{catalog}/releases/{release}{?expand_relationships}", "templated": True,
    }  # fmt: skip
    assert entry["_links"]["promotion"] == {
        "href": "/lifecycle/api/v2/promotion/records/{name}/{version}/{created}", "templated": True,
    }  # fmt: skip
    pages = [page async for page in web.pages(entry["_links"]["catalogs"]["href"])]
    assert [len(page["_links"]["catalogs"]) for page in pages] == [100, 2]
    assert len({link["title"] for page in pages for link in page["_links"]["catalogs"]}) == 102
    [default] = [h for page in pages for h in linked(page, "catalogs") if h == "/v1/catalogs/default"]
    catalog = await web.read(default)
    for name, count, reader, title in (("releases", 151, 51, "Release 149 149"), ("applications", 1, 1, "many")):
        href = f"{default}/{name}"
        pages = [page async for page in web.pages(href)]
        links = [link for page in pages for link in page["_links"][name]]
        assert len({link["href"] for link in links}) == len(links) == count
        assert links[0]["title"] == title
        assert pages[0]["_links"]["catalog"] == {"href": default}
        seen = [page async for page in Web(empty.seen_by(READER)).pages(href)]
        assert sum(len(page["_links"][name]) for page in seen) == reader
    assert catalog["_links"]["releases"] == {"href": f"{default}/releases"}


async def test_the_entry_point_leads_everywhere(stocked: Catalog) -> None:
    entry = await Web(stocked).read("/v1")
    assert (linked_to(entry, "schema"), linked_to(entry, "service-desc")) == ("/schema.graphql", "/openapi.json")
    assert "schema" not in (await Web(stocked, has_schema=False).read("/v1"))["_links"]
    found = await crawled(Web(stocked), "/v1", most=10)
    assert {form(href) for href in found} >= {"/v1", "/v1/catalogs", "/v1/catalogs/*", "/v1/catalogs/*/releases"}


async def test_a_list_that_ends_first_does_not_begin_again(empty: Catalog) -> None:
    hub, one = source("hub", needs=["one"]), source("one")
    await empty.load(hub, one, *[source(f"n{number}", needs=["hub"]) for number in range(101)], publish=True)
    first = await empty.database[RELEASES].find_one({"name": "hub"})
    assert first
    found = [page async for page in Web(empty).pages(address(first))]
    assert [len(page["_links"]["dependencies"]) for page in found] == [1, 0]
    assert [len(page["_links"]["dependants"]) for page in found] == [100, 1]


async def test_next_leads_through_a_catalog_and_a_product(empty: Catalog) -> None:
    many = [source("tool", f"1.{number}", project="many") for number in range(200)]
    await empty.load(*many, *[source(f"p{number}") for number in range(250)], publish=True)
    web = Web(empty)
    pages = [page async for page in web.pages("/v1/catalogs/default")]
    products = [href for page in pages for href in linked(page, "applications")]
    assert [len(page["_links"]["applications"]) for page in pages] == [100, 100, 51]
    assert len(set(products)) == 251
    product = await empty.database[PRODUCTS].find_one({"key": "many"})
    assert product
    pages = [page async for page in web.pages(hal_urls.application("default", product["id"]))]
    assert [len(page["_links"]["releases"]) for page in pages] == [100, 100], "a full last page has no next"
    assert len({href for page in pages for href in linked(page, "releases")}) == 200


# Conditional requests and methods.


async def test_a_document_is_sent_again_only_if_it_changed(empty: Catalog) -> None:
    product = await empty.product("tool")
    made = await empty.put(product, "1", status="PUBLISHED")
    web = Web(empty)
    first = await web.get(address(made))
    tag = first.headers["etag"]
    assert re.fullmatch('"[^"]+"', tag)
    for known in (tag, f'"x", {tag}', f"W/{tag}", f'W/"x",W/{tag}', "*", " * "):
        again = await web.get(address(made), if_none_match=known)
        assert (again.status_code, again.content) == (304, b""), known
        assert (again.headers["etag"], again.headers["cache-control"]) == (tag, first.headers["cache-control"])
    for other in ('"x"', f"{tag[:-1]}", '"x", W/"y"', ""):
        assert (await web.get(address(made), if_none_match=other)).content == first.content
    twice = [("if-none-match", '"x"'), ("if-none-match", tag)]
    assert (await web.client.get(address(made), headers=twice)).status_code == 304
    await empty.put(product, "2", status="PUBLISHED", dependencies=[{"name": "tool", "version": "1"}])
    changed = await web.get(address(made), if_none_match=tag)
    assert (changed.status_code, len(changed.json()["_links"]["dependants"])) == (200, 1)
    assert changed.headers["etag"] != tag
    # What is not there has no tag.
    assert (await web.get("/v1/catalogs/default/releases/none", if_none_match="*")).status_code == 404


async def test_head_tells_what_get_would(stocked: Catalog) -> None:
    web = Web(stocked)
    read, head = await web.get(ARGO), await web.get(ARGO, "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == read.headers
    assert (await web.get(ARGO, "HEAD", if_none_match=read.headers["etag"])).status_code == 304
    await web.problem(404, "/v1/catalogs/default/releases/none", "HEAD")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_documents_are_only_read(stocked: Catalog, method: str) -> None:
    web = Web(stocked)
    for href in (ARGO, f"{CATALINA}/0"):
        await web.problem(405, href, method)
        assert (await web.get(href, method)).headers["allow"] == "GET, HEAD"
    await web.problem(404, "/v1/nothing", method)


# Problems.


@pytest.mark.parametrize(
    "href",
    [
        "/v1/", "/v1/nothing", "/v1/catalogs/", "/v1/catalogs/none/releases", "/v1/catalogs/none/applications", "/v1/catalogs/none", "/v1/catalogs/default/",
        "/v1/catalogs/default/releases/none", "/v1/catalogs/none/releases/14321", f"{ARGO}/", f"{ARGO}/more",
        "/v1/catalogs/default/releases/64455e6bd3c480fd58546c75", "/v1/catalogs//releases/14321",
        "/v1/catalogs/default/applications/none", "/v1/catalogs/default/pipelines/none", "/v1/registries/none",
        "/v1/catalogs/default/applications/d16c7f4d-b38a-405b-a1ca-3ac0a79418c1", "/v1/base-images/none",
        "/v1/catalogs/none/pipelines/12345", "/v1/applications/product/argo-cd/branch/none", "/v1/%FF/%00",
        "/lifecycle/", "/lifecycle/api", "/v1%2Fcatalogs%2Fdefault", "/v1/catalogs/%FF", "/v1/catalogs/%00",
        f"{CATALINA}/0", f"{CATALINA}/2023-05-19T06:22:09.587Z", "/v1/base-images/x?expand_relationships=maybe",
    ],
)  # fmt: skip
async def test_a_missing_document_is_a_404_problem(stocked: Catalog, href: str) -> None:
    assert "violations" not in await Web(stocked).problem(404, href)


async def test_another_tenant_finds_nothing(stocked: Catalog) -> None:
    found = await crawled(Web(stocked), ARGO, "/v1/catalogs/default", most=60)
    other = Web(stocked.seen_by(local("another")))
    for href in [*found, f"{CATALINA}/1684477329586"]:
        await other.problem(404, href)


@pytest.mark.parametrize(
    ("href", "field"),
    [
        (f"{ARGO}?expand_relationships=maybe", "expand_relationships"),
        (f"{ARGO}?expand_relationships=", "expand_relationships"),
        (f"{ARGO}?dependants_after=bad", "dependants_after"),
        (f"{ARGO}?dependants_after=", "dependants_after"),
        (f"{ARGO}?dependencies_after=bad", "dependencies_after"),
        (f"{ARGO}?dependencies_after=%F0%9F%92%A9", "dependencies_after"),
        ("/v1/catalogs/default?after=bad", "after"),
        ("/v1/catalogs/default?after=end", "after"),
        ("/v1/catalogs/default/applications/5e1f0c3a9b7d4e2f8a6c0003?after=%C3%A9", "after"),
        (f"{CATALINA}/yesterday", "created"),
        (f"{CATALINA}/2023-05-19", "created"),
        (f"{CATALINA}/{10**20}", "created"),
        (f"{CATALINA}/-", "created"),
    ],
)
async def test_an_invalid_parameter_is_named(stocked: Catalog, href: str, field: str) -> None:
    problem = await Web(stocked).problem(400, href)
    [violation] = problem["violations"]
    assert violation["field"] == field
    assert violation["message"]
    assert stocked.commands.reads.total() <= 1, "what is refused reads no more than the document it is about"


async def test_a_bug_is_masked_and_logged(stocked: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("the secret")

    monkeypatch.setattr(records, "by_ids", broken)
    with structlog.testing.capture_logs() as logs:
        problem = await Web(stocked).problem(500, ARGO)
    assert "secret" not in str(problem)
    assert "Traceback" not in str(problem)
    [entry] = logs
    assert entry["error_id"] == problem["error_id"]
    assert problem["error_id"] in problem["detail"]
    assert "the secret" in repr(entry["exc_info"])


async def test_a_document_that_is_no_json_is_a_bug(stocked: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(*_: Any) -> Json:
        return dict.fromkeys(ledger._FIELDS) | {
            "created": timestamps.EPOCH,
            "artifacts": [],
            "checkedWebhooks": {1, 2},
        }

    monkeypatch.setattr(records, "promotion", read)
    await Web(stocked).problem(500, f"{CATALINA}/0")


async def test_without_a_database_the_service_is_unavailable() -> None:
    # Not a closed port: the driver leaks the socket of an attempt that its end interrupts.
    url = "mongodb://%2Fnowhere%2Fmongodb.sock"
    async with AsyncMongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=50) as client:
        web = Web(Catalog(db.configure(client["none"]), local("local")), seconds=0.2)
        with structlog.testing.capture_logs() as logs:
            problems = [await web.problem(503, href) for href in (ARGO, "/v1/registries/x", f"{CATALINA}/0")]
    assert [entry["error_id"] for entry in logs] == [problem["error_id"] for problem in problems]
    assert "nowhere" not in str(problems)


async def test_a_websocket_is_refused(stocked: Catalog) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(dict(message))

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": ARGO, "raw_path": ARGO.encode(), "headers": [], "query_string": b""}
    await Web(stocked).app(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_a_server_that_does_not_tell_the_raw_path_will_do(stocked: Catalog) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(dict(message))

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": ARGO, "headers": [], "query_string": b""}
    await Web(stocked).app(scope, receive, send)
    assert sent[0]["status"] == 200


# Visibility.


async def test_visibility_makes_hidden_documents_404_for_a_reader(empty: Catalog) -> None:
    product = await empty.product("tool", "DOTTED")
    needs = {"dependencies": [{"name": name, "version": "1"} for name in ("draft", "private", "live")]}
    base = await empty.put(await empty.product("base"), "1", "base", status="PUBLISHED", **needs)
    on_base = {"branch": "1", "dependencies": [{"name": "base", "version": "1"}]}
    made = {}
    for version, (name, fields) in enumerate(HIDDEN_AND_SEEN.items(), 2):
        made[name] = await empty.put(product, str(version), name, **on_base, **fields)
        made[f"{name} 1"] = await empty.put(await empty.product(name), "1", name, **fields)
    for name in HIDDEN_AND_SEEN:
        await promoted(empty, name=name, version="1", releaseId=made[name]["id"])

    everyone, reader = Web(empty), Web(empty.seen_by(READER))
    seen = await reader.read(f"{address(base)}?expand_relationships=true")
    assert linked(seen, "dependencies") == [address(made["live 1"])]
    assert linked(seen, "dependants") == [address(made["live"])]
    assert [one["id"] for one in seen["dependencies"] + seen["dependants"]] == [
        made["live 1"]["id"],
        made["live"]["id"],
    ]
    branch, application = "/v1/applications/product/tool/branch/1", hal_urls.application("default", product["id"])
    for href, lists in ((branch, 0), (application, 1)):
        assert (await everyone.read(href))["latest_release"]["id"] == made["private"]["id"]
        seen = await reader.read(href)
        assert seen["latest_release"]["id"] == made["live"]["id"]
        assert hidden_in(seen, made) == []
        assert len(seen["_links"].get("releases", [])) == lists
    live = await reader.read(address(made["live"]))
    assert live["latest_release"]["id"] == made["live"]["id"]
    for name in ("draft", "private"):
        await everyone.read(address(made[name]))
        await reader.problem(404, address(made[name]))
        record_of = f"/lifecycle/api/v2/promotion/records/{name}/1/0"
        assert (await everyone.get(record_of)).status_code == 200
        await reader.problem(404, record_of)
    assert (await reader.get("/lifecycle/api/v2/promotion/records/live/1/0")).status_code == 200
    found = await crawled(reader, address(base), "/v1/catalogs/default")
    assert hidden_in(found, made) == []


HIDDEN_AND_SEEN: dict[str, Json] = {
    "live": {"status": "PUBLISHED"},
    "draft": {"status": "DRAFT"},
    "private": {"status": "PUBLISHED", "private": True},
}


def hidden_in(answer: Any, made: Mapping[str, ReleaseDocument]) -> list[str]:
    return [name for name, one in made.items() if not name.startswith("live") and one["id"] in str(answer)]


async def test_visibility_hides_a_branch_with_nothing_to_see(empty: Catalog) -> None:
    await empty.put(await empty.product("tool"), "1", status="PUBLISHED", private=True, branch="1")
    await Web(empty).read("/v1/applications/product/tool/branch/1")
    await Web(empty.seen_by(READER)).problem(404, "/v1/applications/product/tool/branch/1")


# What it costs.


async def surrounded(catalog: Catalog, count: int) -> str:
    """The address of a release with `count` dependencies and dependants, whose references all lead somewhere."""
    tag = f"{count} of {uuid.uuid4().hex}"
    sources = [source(f"hub {tag}", needs=[f"needed {number} {tag}" for number in range(count)])]
    for number in range(count):
        sources.append(source(f"needed {number} {tag}", needs=[f"deep {tag}"]))
        sources.append(source(f"needing {number} {tag}", needs=[f"hub {tag}", f"deep {tag}"]))
    await catalog.load(source(f"deep {tag}"), *sources, publish=True)
    image, registry = (
        await put(catalog, BASE_IMAGES, **IMAGE, id=tag),
        await put(catalog, REGISTRIES, **REGISTRY, id=tag),
    )
    of = {"baseImageId": image["id"], "registryId": registry["id"], "branch": "1"}
    await catalog.database[RELEASES].update_many({"name": {"$regex": tag}}, {"$set": of})
    hub = await catalog.database[RELEASES].find_one({"name": f"hub {tag}"})
    assert hub
    return address(hub)


@pytest.mark.parametrize(("query", "most"), [("", 9), ("?expand_relationships=true", 14)])
async def test_commands_do_not_grow_with_relations(empty: Catalog, query: str, most: int) -> None:
    web = Web(empty)
    counts = []
    for count in (1, 50, 100):
        href = await surrounded(empty, count)
        empty.commands.clear()
        answer = await web.read(href + query)
        assert len(answer["_links"]["dependencies"]) == len(answer["_links"]["dependants"]) == count
        counts.append(empty.commands.reads.total())
    assert counts[0] == counts[1] == counts[2] <= most


async def test_no_document_takes_many_commands(stocked: Catalog, libc6: str) -> None:
    web = Web(stocked)
    found = await crawled(web, ARGO, libc6, most=60)
    for href in found:
        stocked.commands.clear()
        await web.read(href)
        assert stocked.commands.reads.total() <= 8, href


# The application.


async def test_the_application_answers_at_these_addresses(stocked: Catalog) -> None:
    async with served(stocked.database) as http:
        assert (await http.get(ARGO)).headers["content-type"] == HAL
        assert (await http.get(f"{CATALINA}/1684477329586")).headers["content-type"] == "application/json"
        for response in (await http.post(ARGO), await http.get("/v1/nothing"), await http.get("/lifecycle/x")):
            assert response.headers["content-type"] == PROBLEM
