"""The site of the documentation: it builds, it needs no other host, and its links lead somewhere."""

import functools
import http.server
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from selenium import webdriver

from support.pages import ROOT, navigation

# The parts of the project of which the site is made.
PARTS = (
    "mkdocs.yml",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE",
    "docker-compose.yml",
    "schema.graphql",
)
FOLDERS = ("docs", "clients", "benchmarks", "deploy", "src")


def copied(folder: Path) -> Path:
    """Copy the sources of the site to a folder."""
    if not importlib.util.find_spec("zensical"):
        pytest.skip("needs zensical: make docs installs it")
    for name in PARTS:
        shutil.copy(ROOT / name, folder / name)
    for name in FOLDERS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("node_modules", ".venv"))
    return folder


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as `make docs` does."""
    build = [str(Path(sys.executable).parent / "zensical"), "build", "--clean", "--strict"]
    for command in ([sys.executable, "docs/stage.py"], build):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            break
    return done


class References(HTMLParser):
    """The links of a page, the files that a browser loads for it, and its anchors."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value is not None}
        if "id" in values:
            self.anchors.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") not in {"canonical", "prev", "next"}:
            self.loaded.append(values.get("href", ""))
        elif "src" in values:
            self.loaded.append(values["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copied(tmp_path_factory.mktemp("site"))
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / ".site" / "html"


def test_each_page_of_the_navigation_is_built(site: Path) -> None:
    for path in (path for paths in navigation().values() for path in paths):
        page = Path(path).with_suffix("")
        place = page.parent if page.name in {"README", "index"} else page
        assert (site / place / "index.html").is_file(), path


def test_links_lead_to_files_and_anchors_of_the_site(site: Path) -> None:
    pages = {file: References(file) for file in site.rglob("*.html") if file.name != "404.html"}
    broken = []
    for file, page in pages.items():
        for link in (*page.links, *page.loaded):
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            anchors = pages[target].anchors if target in pages else set()
            if not target.is_file() or (parts.fragment and target in pages and parts.fragment not in anchors):
                broken.append((str(file.relative_to(site)), link))
    assert broken == []
    assert len(pages) > 15


def test_pages_load_nothing_from_another_host(site: Path) -> None:
    for file in site.rglob("*.html"):
        assert [address for address in References(file).loaded if urlsplit(address).netloc] == [], file
    for style in site.rglob("*.css"):
        assert re.findall(r"url\(\s*[\"']?https?:", style.read_text()) == [], style


@pytest.mark.parametrize(
    "text",
    [
        "[a](nothing.md)",
        "[a](codes.md#nothing)",
        "[a](#nothing)",
        "![a](images/nothing.svg)",
        "[a](../nothing.yml)",
    ],
)
def test_a_broken_link_fails_the_build(tmp_path: Path, text: str) -> None:
    folder = copied(tmp_path)
    with (folder / "docs" / "concepts.md").open("a") as file:
        file.write(f"\n{text}\n")
    assert build(folder).returncode != 0


def test_a_page_outside_the_navigation_fails_the_build(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / "docs" / "lost.md").write_text("# Lost\n")
    done = build(folder)
    assert done.returncode != 0
    assert "docs/lost.md" in done.stderr


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    handler = functools.partial(QuietHandler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is that of the base class
        pass


def test_a_browser_requests_nothing_from_another_host(chromium: webdriver.Chrome, address: str) -> None:
    for path in ("", "docs/concepts/", "docs/webhooks-and-subscriptions/"):
        chromium.get(address + path)
        assert "Release catalog" in chromium.title
    entries = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]  # type: ignore[no-untyped-call]
    urls = [
        entry["params"]["request"]["url"] for entry in entries if entry["method"] == "Network.requestWillBeSent"
    ]
    assert len(urls) > 5
    assert [url for url in urls if not url.startswith((address, "data:", "blob:", "chrome:"))] == []
    assert [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"] == []  # type: ignore[no-untyped-call]
