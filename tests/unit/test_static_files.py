"""The files of the query editor: no name leads out of their folder, or to a failure of the server."""

import asyncio
import gzip
import urllib.parse

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount

from release_catalog.server.static_files import BuiltFiles
from support.graphql_client import client_of

NAME, SECRET = "file-ABCDEFGH.js", "secret-ABCDEFGH.js"
CODES = ("identity", "gzip", "br, gzip;q=0.5")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Starlette:
    outside = tmp_path_factory.mktemp("outside")
    (outside / SECRET).write_text("secret")
    folder = outside / "built"
    folder.mkdir()
    (folder / NAME).write_text("content")
    (folder / f"{NAME}.gz").write_bytes(gzip.compress(b"content"))
    return Starlette(routes=[Mount("/files", BuiltFiles(folder, "LICENSES.txt"))])


async def get(app: Starlette, path: str, codes: str) -> httpx2.Response:
    async with client_of(app) as http:
        return await http.get(f"/files/{path}", headers={"accept-encoding": codes})


@pytest.mark.parametrize("codes", CODES)
async def test_a_file_comes_in_any_encoding(app: Starlette, codes: str) -> None:
    assert (await get(app, NAME, codes)).text == "content"


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize(
    "path",
    [
        f"a%00{NAME}",
        f"{'a' * 300}-ABCDEFGH.js",
        f"{'a/' * 3_000}{NAME}",
        f"%2e%2e/{SECRET}",
        f"..%2f{SECRET}",
        f"%2fetc/{NAME}",
        f"{NAME}/{NAME}",
        f"%ff{NAME}",
        f"%0a{NAME}",
    ],
    ids=lambda path: path[:40],
)
async def test_another_name_is_not_found(app: Starlette, path: str, codes: str) -> None:
    assert (await get(app, path, codes)).status_code == 404


@given(st.text(max_size=30), st.sampled_from(CODES))
@example("\0", "gzip")
def test_no_name_is_a_failure(app: Starlette, text: str, codes: str) -> None:
    for name in (text, f"{text}-ABCDEFGH.js"):
        path = urllib.parse.quote(name.encode(errors="replace"))
        assert asyncio.run(get(app, path, codes)).status_code in {404, 307}
