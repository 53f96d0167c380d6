"""Stored documents with missing fields or wrong types: told by their id, with the cause in the log alone."""

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import pytest
import structlog.testing

from release_catalog import sample
from release_catalog.domain import release_parts, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.files import address_guard, verification, verifier
from release_catalog.storage import migrations, webhook_queue
from release_catalog.storage.collection_names import (
    BASE_IMAGES,
    CATALOGS,
    EVENTS,
    PIPELINES,
    PRODUCTS,
    PROMOTIONS,
    REGISTRIES,
    RELEASES,
    WEBHOOK_DELIVERIES,
    WEBHOOKS,
    CollectionName,
)
from release_catalog.webhooks import dispatcher
from support import old_forms
from support.catalog import Catalog
from support.file_server import serving
from support.graphql_client import served
from support.waiting import eventually
from support.webhook_receivers import Receiver, receiving

READER = Caller("local", "reader", frozenset({"release:read"}))
ALLOWED = address_guard.parse("127.0.0.0/8")
SECRET = {"secret": "hunter2"}
SHOWN = """id name version status createdAt notes artifacts { name verification { status } } published
  dependencies { totalCount edges { node { id } } } dependants { totalCount } product { key }"""
# Each breaks a field that has no default, or has another type than any default.
BREAKS: dict[str, Any] = {
    "an object for a name": {"$set": {"name": SECRET}},
    "no name": {"$unset": {"name": 1}},
    "an unknown status": {"$set": {"status": "hunter2"}},
    "a text for an instant": {"$set": {"createdAt": "hunter2"}},
    "an object for notes": {"$set": {"notes": SECRET}},
    "a number for an id": {"$set": {"productId": 7}},
    "a product that is gone": {"$set": {"productId": "hunter2"}},
    "a file without its fields": {"$set": {"artifacts": [{"id": "hunter2"}]}},
    "a text for a verification": {"$set": {"artifacts": [{"name": "a", "verification": "hunter2"}]}},
}


@pytest.fixture
async def ids(empty: Catalog) -> list[str]:
    product = await empty.product("app")
    return [(await empty.put(product, version, status="PUBLISHED"))["id"] for version in ("1", "2", "3")]


@pytest.mark.parametrize("change", BREAKS.values(), ids=BREAKS.keys())
async def test_a_broken_release_is_told_by_its_id(empty: Catalog, ids: list[str], change: Any) -> None:
    await empty.database[RELEASES].update_one({"id": ids[1]}, change)
    query = f'''{{ bad: release(id: "{ids[1]}") {{ {SHOWN} }} good: release(id: "{ids[0]}") {{ {SHOWN} }}
      releases {{ nodes {{ {SHOWN} }} }} }}'''
    text = query.replace("releases {", "page: products { nodes { key } } releases {")
    with structlog.testing.capture_logs() as entries:
        response = await empty.respond(text.partition("releases {")[0] + "}")
        listed = await empty.respond(f"{{ releases {{ nodes {{ {SHOWN} }} }} }}")
    assert "hunter2" not in str(response) + str(listed)
    assert response["data"]["good"]["id"] == ids[0]
    assert response["data"]["page"] == {"nodes": [{"key": "app"}]}
    for error in response["errors"] + listed["errors"]:
        assert error["extensions"]["documentId"] == ids[1]
        assert f"The stored Release {ids[1]!r} can't be read" in error["message"]
        id_ = error["extensions"]["errorId"]
        [entry] = [entry for entry in entries if entry.get("error_id") == id_]
        assert entry["exc_info"].__cause__


async def test_a_broken_release_that_a_caller_may_not_see_is_not_told(empty: Catalog, ids: list[str]) -> None:
    change = {"$set": {"notes": SECRET, "status": "DRAFT"}}
    await empty.database[RELEASES].update_one({"id": ids[1]}, change)
    query = f'{{ release(id: "{ids[1]}") {{ {SHOWN} }} releases {{ nodes {{ id notes }} totalCount }} }}'
    response = await empty.seen_by(READER).respond(query)
    assert "errors" not in response
    assert response["data"]["release"] is None
    assert [node["id"] for node in response["data"]["releases"]["nodes"]] == [ids[2], ids[0]]


async def test_a_nullable_field_leaves_the_rest_of_the_page(empty: Catalog, ids: list[str]) -> None:
    await empty.database[RELEASES].update_one({"id": ids[1]}, {"$set": {"notes": SECRET}})
    response = await empty.respond("{ releases { nodes { id notes } } }")
    assert response["data"]["releases"]["nodes"] == [{"id": id_, "notes": None} for id_ in reversed(ids)]
    assert [error["path"] for error in response["errors"]] == [["releases", "nodes", 1, "notes"]]


# Each breaks a field that HAL shows.
HAL_BREAKS: dict[str, Any] = {
    "an object for a version": {"version": SECRET},
    "a number for a branch": {"branch": 7},
    "a text for a list": {"platforms": "hunter2"},
    "a text for an entry": {"platforms": ["hunter2"]},
    "an object inside": {"registryArtifact": {"name": SECRET, "version": "1"}},
    "a text for an instant": {"releasedAt": "hunter2"},
    "an unknown status": {"status": "hunter2"},
    "a number for an id": {"productId": 7},
    "files without their fields": {"customizations": [{"id": SECRET}]},
}


@pytest.mark.parametrize("change", HAL_BREAKS.values(), ids=HAL_BREAKS.keys())
async def test_hal_tells_a_broken_release_by_its_id(empty: Catalog, ids: list[str], change: Any) -> None:
    await empty.database[RELEASES].update_one({"id": ids[1]}, {"$set": change})
    with structlog.testing.capture_logs() as entries:
        async with served(empty.database) as http:
            response = await http.get(f"/v1/catalogs/default/releases/{ids[1]}")
            assert (await http.get(f"/v1/catalogs/default/releases/{ids[0]}")).status_code == 200
    told(response, "Release", ids[1], entries)


async def test_hal_tells_which_of_several_documents_is_broken(empty: Catalog) -> None:
    lib, app = await empty.product("lib"), await empty.product("app")
    needed = await empty.put(lib, "1", name="lib", status="PUBLISHED")
    made = await empty.put(
        app, "1", status="PUBLISHED", dependencies=[{"name": "lib", "version": "1", "releaseId": None}]
    )
    path = f"/v1/catalogs/default/releases/{made['id']}"
    expanded = f"{path}?expand_relationships=true"
    lists = "/v1/catalogs/default/releases", "/v1/catalogs/default/applications"
    cases: list[tuple[CollectionName[Any], str, Any, str, list[str]]] = [
        (RELEASES, needed["id"], {"branch": SECRET}, "Release", [expanded]),
        (RELEASES, needed["id"], {"branch": None, "name": SECRET}, "Release", [lists[0]]),
        (PRODUCTS, app["id"], {"category": SECRET}, "Product", [path, expanded]),
        (PRODUCTS, app["id"], {"category": None, "name": SECRET}, "Product", [path, lists[1]]),
    ]
    for collection, id_, change, kind, paths in cases:
        await empty.database[collection].update_one({"id": id_}, {"$set": change})
        for broken in paths:
            with structlog.testing.capture_logs() as entries:
                async with served(empty.database) as http:
                    response = await http.get(broken)
            told(response, kind, id_, entries)


async def test_hal_tells_other_broken_documents_by_their_ids(empty: Catalog) -> None:
    of = empty.database
    assert await sample.load(empty.caller, of)
    argo: Any = await of[RELEASES].find_one({"id": "64455e6bd3c480fd58546c75"})
    pipeline: Any = await of[PIPELINES].find_one({})
    record: Any = await of[PROMOTIONS].find_one({"status": "COMPLETED"})
    catalog = f"/v1/catalogs/{argo['catalogId']}"
    promotion = f"/lifecycle/api/v2/promotion/records/{record['name']}/{record['version']}/{timestamps.milliseconds(record['created'])}"
    cases: list[tuple[CollectionName[Any], str, str, str, Any, str]] = [
        (CATALOGS, "Catalog", argo["catalogId"], "description", SECRET, catalog),
        (PIPELINES, "Pipeline", pipeline["id"], "properties", ["hunter2"], f"{catalog}/pipelines/{pipeline['id']}"),
        (BASE_IMAGES, "BaseImage", argo["baseImageId"], "healthy", "hunter2", f"/v1/base-images/{argo['baseImageId']}"),
        (REGISTRIES, "Registry", argo["registryId"], "url", SECRET, f"/v1/registries/{argo['registryId']}"),
        (PROMOTIONS, "Promotion", record["id"], "artifacts", ["hunter2"], promotion),
        (PROMOTIONS, "Promotion", record["id"], "artifacts", ["hunter2"], f"{promotion}?repository_key=x"),
        (RELEASES, "Release", argo["id"], "artifacts", [{"name": "a"}], f"{catalog}/releases/{argo['id']}/files/x"),
    ]  # fmt: skip
    async with served(of) as http:
        for collection, kind, id_, field, broken, path in cases:
            [whole] = await of[collection].find({"id": id_}).to_list()
            await of[collection].update_one({"id": id_}, {"$set": {field: broken}})
            with structlog.testing.capture_logs() as entries:
                response = await http.get(path)
            told(response, kind, id_, entries)
            await of[collection].update_one({"id": id_}, {"$set": {field: whole[field]}})


def told(response: httpx2.Response, kind: str, id_: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Check that a response names the broken document, and the log its cause."""
    body = response.json()
    assert (response.status_code, body["status"], body["title"]) == (500, 500, "Internal Server Error"), body
    assert f"The stored {kind} {id_!r} can't be read" in body["detail"]
    assert body["document_id"] == id_
    assert "hunter2" not in response.text
    assert "Traceback" not in response.text
    [entry] = [entry for entry in entries if entry.get("error_id") == body["error_id"]]
    assert entry["exc_info"].__cause__


# ------------------------------------------------------------------ workers


async def test_a_broken_event_is_skipped_by_webhooks(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_queue, "LOOK", datetime.timedelta(seconds=0.1))
    product = await empty.product("app")
    create = "mutation($input: CreateWebhookInput!) { createWebhook(input: $input) { webhook { id } secret problem { detail } } }"
    publish = "mutation($id: ID!) { publishRelease(input: {id: $id}) { problem { detail } } }"
    async with receiving() as receiver, verifier.Fetcher(ALLOWED, max_bytes=1, at_once=1) as empty.files:
        made = [await webhook(empty, create, receiver) for _ in range(3)]
        for version in ("1", "2", "3"):
            release = await empty.put(product, version)
            assert (await empty.ask(publish, id=release["id"]))["publishRelease"]["problem"] is None
        await empty.database[EVENTS].update_one({"sequence": 2}, {"$set": {"data": "no JSON"}})
        # Besides it, two broken webhooks.
        await empty.database[WEBHOOKS].update_one({"id": made[1]}, {"$set": {"nextAttemptAt": "soon"}})
        await empty.database[WEBHOOKS].update_one({"id": made[2]}, {"$unset": {"url": 1}})
        with structlog.testing.capture_logs() as entries:
            async with dispatcher.run_dispatcher(empty.database, ALLOWED):
                await eventually(lambda: len(receiver.got) >= 2)
                async with asyncio.timeout(60):
                    while not await empty.database[WEBHOOKS].find_one({"id": made[0], "cursor": 3}):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
    assert len(receiver.got) == 2
    broken = {entry["event"] for entry in entries if entry["log_level"] == "error"}
    assert broken == {"broken event", "broken webhook"}
    log = [
        row async for row in empty.database[WEBHOOK_DELIVERIES].find({"webhookId": made[0]}).sort("sequence", 1)
    ]
    assert [row["status"] for row in log] == ["DELIVERED", "FAILED", "DELIVERED"]
    assert log[1]["error"] == "The event can't be read: the cause is in the server's log."


async def webhook(catalog: Catalog, create: str, receiver: Receiver) -> str:
    answer = (await catalog.ask(create, input={"url": receiver.url, "events": ["*"]}))["createWebhook"]
    return str(answer["webhook"]["id"])


async def test_a_broken_release_does_not_stop_verification(empty: Catalog) -> None:
    product = await empty.product("app")
    verify = """mutation($id: ID!) { verifyArtifacts(input: {releaseId: $id, verification: BACKGROUND}) { problem { detail } } }"""
    async with serving() as files, verifier.Fetcher(ALLOWED, max_bytes=9, at_once=1) as empty.files:
        made = []
        for version in ("1", "2", "3"):
            file = {"name": "a", "size": 1, "sha256": "0" * 64, "downloadUrl": files.put(version, b"a")}
            artifacts = [release_parts.artifact(timestamps.now(), **file)]
            made.append((await empty.put(product, version, artifacts=artifacts))["id"])
            assert (await empty.ask(verify, id=made[-1]))["verifyArtifacts"]["problem"] is None
        await empty.database[RELEASES].update_one(
            {"id": made[0]}, {"$set": {"artifacts": [{"verification": "x"}]}}
        )
        with structlog.testing.capture_logs() as entries:
            async with verification.run_workers(empty.database, empty.files):
                async with asyncio.timeout(60):
                    left = {"id": {"$in": made[1:]}, "artifacts.verification.status": "PENDING"}
                    while await empty.database[RELEASES].find_one(left):  # noqa: ASYNC110  databases know no events
                        await asyncio.sleep(0.01)
    assert "verification of a release's files failed" in {entry["event"] for entry in entries}


async def test_a_broken_document_does_not_stop_a_migration(empty: Catalog) -> None:
    raw = old_forms.raw(empty.database)
    with old_forms.declared():
        await raw.products.insert_many([old_forms.product(number) for number in range(6)])
        await raw.products.update_one({"id": "2"}, {"$set": {"id": "no number"}})
        with structlog.testing.capture_logs() as entries:
            await migrations.run(empty.database, asyncio.Event(), lambda *_: None)
        assert await migrations.pending(empty.database) == {}
    labels = {product["id"]: product["label"] async for product in raw.products.find({})}
    assert labels == {"0": "label 0", "1": None, "no number": None, "3": None, "4": "label 4", "5": None}
    assert [entry["event"] for entry in entries if entry["log_level"] == "error"] == [
        "broken document migrated without its known values"
    ]
