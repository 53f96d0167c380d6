"""Downloads: redirects to the URLs of files, which are counted in batches."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import structlog.testing
from pymongo.errors import AutoReconnect

from release_catalog.domain import release_parts, timestamps
from release_catalog.domain.release import ReleaseDocument
from release_catalog.storage import download_counts
from release_catalog.storage.collection_names import PRODUCTS, RELEASES
from release_catalog.storage.download_counts import DownloadCounter
from support import old_forms
from support.catalog import Catalog
from support.graphql_client import served

TOKEN = """mutation($input: CreateAccessTokenInput!) { createAccessToken(input: $input) { token } }"""
PATCH = """mutation($input: PatchReleaseInput!) { patchRelease(input: $input) { problem { detail } } }"""
URL = "https://files.example/a%20b;c?d=é&x='"


def file(name: str, **fields: Any) -> Any:
    fields = {"size": 1, "sha256": "ab" * 32, "downloadUrl": URL, **fields}
    return release_parts.artifact(timestamps.now(), id=f"id of {name}", name=name, **fields)


async def released(catalog: Catalog, version: str = "1", **fields: Any) -> ReleaseDocument:
    product: Any = await catalog.database[PRODUCTS].find_one({"key": "tool"})
    fields = {"status": "PUBLISHED", "artifacts": [file("a"), file("b", secured=True)], **fields}
    return await catalog.put(product or await catalog.product("tool"), version, **fields)


def address(release: ReleaseDocument, name: str = "a", catalog: str = "default") -> str:
    return f"/v1/catalogs/{catalog}/releases/{release['id']}/files/id%20of%20{name}"


async def counts(catalog: Catalog, release: ReleaseDocument) -> list[int]:
    found = await catalog.database[RELEASES].find_one({"id": release["id"]})
    assert found
    return [artifact["downloads"] for artifact in found["artifacts"]]


async def counted(catalog: Catalog, release: ReleaseDocument, *expected: int) -> None:
    """Return when the files of a release have these numbers of downloads."""
    async with asyncio.timeout(60):
        while await counts(catalog, release) != [*expected]:  # noqa: ASYNC110  databases know no events
            await asyncio.sleep(0.01)


async def bearer(catalog: Catalog, *scopes: str) -> dict[str, str]:
    given = {"name": "ci", "scopes": list(scopes or ["release:read"])}
    answer = await catalog.ask(TOKEN, input=given)
    return {"authorization": f"Bearer {answer['createAccessToken']['token']}"}


@pytest.fixture
async def web(empty: Catalog) -> AsyncIterator[httpx2.AsyncClient]:
    """The application for callers on its own machine."""
    async with served(empty.database) as client:
        yield client


async def test_a_download_is_redirected_and_counted(empty: Catalog, web: httpx2.AsyncClient) -> None:
    release = await released(empty)
    for _ in range(3):
        response = await web.get(address(release))
        assert (response.status_code, response.content) == (302, b"")
        assert response.headers["location"] == "https://files.example/a%20b;c?d=%C3%A9&x='"
        assert response.headers["cache-control"] == "private, no-store"
    assert (await web.head(address(release))).status_code == 302
    await counted(empty, release, 3, 0)
    stored = await empty.database[RELEASES].find_one({"id": release["id"]})
    assert stored
    assert (stored["etag"], stored["updatedAt"]) == (release["etag"], release["updatedAt"])
    empty.commands.clear()
    answer = await empty.ask("query($id: ID!) { release(id: $id) { artifacts { downloads } } }", id=release["id"])
    assert answer["release"]["artifacts"] == [{"downloads": 3}, {"downloads": 0}]
    assert empty.commands.reads == {"releases": 1}


async def test_a_download_costs_one_command(empty: Catalog, web: httpx2.AsyncClient) -> None:
    release = await released(empty)
    empty.commands.clear()
    await web.get(address(release))
    assert [command["find"] for command in empty.commands.sent if "find" in command] == ["releases"]


async def test_what_a_caller_can_not_see_is_404(empty: Catalog, web: httpx2.AsyncClient) -> None:
    release, draft = await released(empty), await released(empty, "2", status="DRAFT")
    for href in (
        address(release, "c"), address(release, catalog="other"), address({**release, "id": "x"}),
        address(release).replace("/files/", "/other/"),
    ):  # fmt: skip
        response = await web.get(href)
        assert (response.status_code, response.json()["status"]) == (404, 404)
    assert (await web.get(address(draft))).status_code == 302
    async with served(empty.database, authentication="required") as closed:
        reader = await bearer(empty)
        assert (await closed.get(address(release))).status_code == 401
        assert (await closed.get(address(release), headers=reader)).status_code == 302
        assert (await closed.get(address(draft), headers=reader)).status_code == 404
        hooks = await bearer(empty, "webhook:write")
        assert (await closed.get(address(release), headers=hooks)).status_code == 403
    assert (await web.post(address(release))).status_code == 405


async def test_a_secured_file_needs_credentials(empty: Catalog, web: httpx2.AsyncClient) -> None:
    release = await released(empty)
    for headers in ({}, {"authorization": "Bearer wrong"}, {"x-project-token": "rc_wrong"}):
        response = await web.get(address(release, "b"), headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert "location" not in response.headers
    reader = await bearer(empty)
    assert (await web.get(address(release, "b"), headers=reader)).status_code == 302
    async with served(empty.database, authentication="required") as closed:
        assert (await closed.get(address(release, "b"), headers=reader)).status_code == 302
        assert (await closed.get(address(release, "b"))).status_code == 401
    await counted(empty, release, 0, 2)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "files/a",
        "ftp://h/a",
        "//h/a",
        "https://[::1",
        "https://h:99999/a",
    ],
)
async def test_only_web_urls_are_redirected_to(empty: Catalog, web: httpx2.AsyncClient, url: str) -> None:
    release = await released(empty, artifacts=[file("a", downloadUrl=url)])
    response = await web.get(address(release))
    assert response.status_code == 404
    assert "location" not in response.headers
    assert "downloadUrl" in response.json()["detail"]


async def test_the_end_of_the_application_stores_all_downloads(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_counts, "FLUSH_SECONDS", 3600)
    release = await released(empty)
    async with served(empty.database) as web:
        for _ in range(5):
            await web.get(address(release))
        assert await counts(empty, release) == [0, 0]
    assert await counts(empty, release) == [5, 0]


async def test_downloads_wait_for_a_database_that_is_away(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_counts, "FLUSH_SECONDS", 0.01)
    release, failures, store = await released(empty), list(range(3)), DownloadCounter._store

    async def fail(self: DownloadCounter, batch: Any) -> None:
        if failures:
            failures.pop()
            raise AutoReconnect("away")
        await store(self, batch)

    monkeypatch.setattr(DownloadCounter, "_store", fail)
    with structlog.testing.capture_logs() as logs:
        async with download_counts.run_counter(empty.database) as counter:
            for _ in range(4):
                await counter.add(empty.caller, release["id"], "id of a")
            await counted(empty, release, 4, 0)
            assert counter.pending == 0
    assert [entry["event"] for entry in logs] == ["storing downloads failed"] * 3


async def test_downloads_that_can_not_be_stored_at_the_end_are_logged(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise AutoReconnect("away")

    monkeypatch.setattr(DownloadCounter, "_store", fail)
    with structlog.testing.capture_logs() as logs:
        async with download_counts.run_counter(empty.database) as counter:
            await counter.add(empty.caller, "x", "y")
    assert [(entry["event"], entry["downloads"]) for entry in logs] == [("downloads lost", 1)]


async def test_the_number_of_pending_files_is_bounded(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_counts, "MAX_FILES", 10)
    names = [f"f{number}" for number in range(25)]
    release = await released(empty, artifacts=[file(name) for name in names])
    counter = DownloadCounter(empty.database)
    for name in names * 2:
        await counter.add(empty.caller, release["id"], f"id of {name}")
        assert counter.pending <= 10
    await counter.flush()
    assert await counts(empty, release) == [2] * 25


async def test_downloads_of_files_and_releases_that_are_gone_are_dropped(empty: Catalog) -> None:
    release = await released(empty)
    counter = DownloadCounter(empty.database)
    await old_forms.raw(empty.database).releases.insert_one({"_id": empty.caller.key("bare")})
    files = [(release["id"], "gone"), ("gone", "id of a"), ("bare", "id of a"), (release["id"], "id of a")]
    for release_id, artifact_id in files:
        await counter.add(empty.caller, release_id, artifact_id)
    with structlog.testing.capture_logs() as logs:
        await counter.flush()
    assert logs == []
    assert counter.pending == 0
    assert await counts(empty, release) == [1, 0]


async def test_changes_of_a_release_and_its_downloads_lose_neither(empty: Catalog) -> None:
    release = await released(empty, status="DRAFT")
    counter, patches = DownloadCounter(empty.database), 20

    async def download() -> None:
        for _ in range(100):
            await counter.add(empty.caller, release["id"], "id of a")
            await counter.flush()

    async def patch(number: int) -> None:
        new = {"name": f"new {number}", "size": 1, "sha256": "cd" * 32, "downloadUrl": "https://h/n"}
        given = {"id": release["id"], "name": "tool", "artifacts": [new]}
        assert (await empty.ask(PATCH, input=given))["patchRelease"]["problem"] is None

    await asyncio.gather(download(), *map(patch, range(patches)))
    assert await counts(empty, release) == [100, 0, *[0] * patches]


async def test_a_download_is_priced_and_limited_as_other_documents(empty: Catalog) -> None:
    release = await released(empty)
    async with served(empty.database, cost_per_hour=20) as web:
        statuses = [(await web.get(address(release))).status_code for _ in range(3)]
    assert statuses[0] == 302
    assert statuses[-1] == 429
