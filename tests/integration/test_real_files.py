"""S1 with real files: Debian's own packages, against the digests that Debian publishes of them."""

import functools
import hashlib
import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import SHARED
from release_catalog.files import address_guard, verifier
from support.catalog import Catalog

SCRIPT = SHARED / "data" / "debian_releases.py"
NAMES = ["hostname", "netbase", "base-passwd"]
IMPORT = """mutation($input: ImportReleaseInput!) { importRelease(input: $input) {
  warnings { artifactName message expectedSha256 actualSha256 }
  release { artifacts { verification { status actualSha256 actualSize } } } problem { detail } } }"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def published() -> list[dict[str, Any]]:
    """Import documents of some small packages, with what Debian says of their files."""
    if not SCRIPT.is_file() or not shutil.which("apt-get"):
        pytest.skip("Debian's package lists or the script that reads them are not here")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--roots", ",".join(NAMES)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(done.stderr)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [document for document in found if document["name"] in NAMES]


@pytest.fixture(scope="module")
def packages(published: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with those packages."""
    folder = tmp_path_factory.mktemp("packages")
    folder.chmod(0o755)
    wanted = [f"{document['name']}={document['version']}" for document in published]
    options = ["-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10", "-o", "APT::Sandbox::User=root"]
    try:
        subprocess.run(
            ["apt-get", *options, "download", *wanted], cwd=folder, capture_output=True, timeout=60, check=True
        )
    except subprocess.SubprocessError as error:
        pytest.skip(f"the packages can't be had: {error}")
    return folder


@pytest.fixture
def documents(published: list[dict[str, Any]], packages: Path) -> Iterator[list[dict[str, Any]]]:
    """The same documents, with their files on this machine."""
    handler = functools.partial(Quiet, directory=str(packages))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = "http://127.0.0.1:%d" % server.server_address[1]
    yield [
        {
            **document,
            "artifacts": [{**file, "downloadUrl": f"{url}/{file['name']}"} for file in document["artifacts"]],
        }
        for document in published
    ]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def catalog(empty: Catalog) -> AsyncIterator[Catalog]:
    """A catalog that may fetch from this machine."""
    allowed = address_guard.parse("127.0.0.1")
    async with verifier.Fetcher(allowed, max_bytes=1 << 30, at_once=4, seconds=60) as fetcher:
        empty.files = fetcher
        yield empty


async def taken(catalog: Catalog, document: dict[str, Any]) -> Any:
    asked = {"projectIdentifier": document["project"], "release": document}
    answer = (await catalog.ask(IMPORT, input=asked))["importRelease"]
    assert answer["problem"] is None
    return answer


def wrong_files(answer: Any) -> list[dict[str, Any]]:
    """The warnings that are about a file."""
    return [warning for warning in answer["warnings"] if warning["artifactName"]]


async def test_s1_real_packages_are_what_debian_says_they_are(
    catalog: Catalog, documents: list[dict[str, Any]]
) -> None:
    assert len(documents) == len(NAMES)
    for document in documents:
        answer = await taken(catalog, document)
        assert wrong_files(answer) == []
        assert [file["verification"] for file in answer["release"]["artifacts"]] == [
            {"status": "VERIFIED", "actualSha256": file["sha256"], "actualSize": file["size"]}
            for file in document["artifacts"]
        ]


async def test_s1_one_flipped_bit_is_told_with_both_digests(
    catalog: Catalog, documents: list[dict[str, Any]], packages: Path
) -> None:
    [file] = documents[0]["artifacts"]
    package = packages / file["name"]
    right = package.read_bytes()
    wrong = right[:1000] + bytes([right[1000] ^ 1]) + right[1001:]
    package.write_bytes(wrong)
    try:
        answer = await taken(catalog, documents[0])
    finally:
        package.write_bytes(right)
    [warning] = wrong_files(answer)
    assert warning.pop("message")
    actual = hashlib.sha256(wrong).hexdigest()
    assert warning == {"artifactName": file["name"], "expectedSha256": file["sha256"], "actualSha256": actual}
    assert answer["release"]["artifacts"][0]["verification"] == {
        "status": "MISMATCH", "actualSha256": actual, "actualSize": file["size"],
    }  # fmt: skip
