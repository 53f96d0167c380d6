"""HAL documents as pages for browsers: the same data, working links, and nothing that runs."""

import html.parser
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from release_catalog.domain import hal_urls
from release_catalog.graphql_http.request import prefers_html
from release_catalog.hal import html as pages
from support.catalog import Catalog
from support.graphql_client import served

HAL = "application/hal+json"
ARGO = "/v1/catalogs/d16c7f4d-b38a-405b-a1ca-3ac0a79418c1/releases/64455e6bd3c480fd58546c75"
CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'&"


class Page(html.parser.HTMLParser):
    """What a browser makes of a page: its elements, the targets of its links, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.targets: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.targets += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def leaves(value: Any) -> list[str]:
    """All values of a document as a page shows them."""
    if isinstance(value, dict):
        return list(value) + [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [
        {True: "true", False: "false", None: "null"}.get(value, str(value))
        if not isinstance(value, str)
        else value
    ]


@pytest.fixture
async def http(stocked: Catalog) -> AsyncIterator[httpx2.AsyncClient]:
    async with served(stocked.database) as http:
        yield http


async def test_a_browser_gets_the_same_data_and_links_that_work(http: httpx2.AsyncClient) -> None:
    waiting, seen = ["/v1", f"{ARGO}?expand_relationships=true", ARGO], set[str]()
    while waiting and len(seen) < 30:
        href = waiting.pop(0)
        if href in seen:
            continue
        seen.add(href)
        response = await http.get(href, headers={"accept": CHROME})
        assert response.status_code == 200, href
        if not response.headers["content-type"].startswith("text/html"):
            assert href in {"/schema.graphql", "/openapi.json"}
            continue
        document = (await http.get(href)).json()
        page = Page(response.text)
        links = document.pop("_links")
        for embedded in (*document.get("dependencies", ()), *document.get("dependants", ())):
            del embedded["_links"]
        assert set(leaves(document)) <= set(page.texts), href
        for target in (one for entry in links.values() for one in (entry if isinstance(entry, list) else [entry])):
            assert target.get("title", target["href"]) in page.texts
            assert (target["href"] in page.targets) == (not target.get("templated"))
        waiting += [target for target in page.targets if target.startswith("/")]
    assert len(seen) == 30


async def test_pages_have_a_strict_policy_and_a_tag_of_their_own(http: httpx2.AsyncClient) -> None:
    page, document = await http.get(ARGO, headers={"accept": CHROME}), await http.get(ARGO)
    assert page.headers["content-security-policy"] == pages.CSP
    assert "unsafe" not in pages.CSP
    assert "script-src" not in pages.CSP
    assert pages.CSP.startswith("default-src 'none'; ")
    assert (page.headers["vary"], document.headers["vary"]) == ("Accept", "Accept")
    assert page.headers["etag"] != document.headers["etag"]
    known = {"accept": CHROME, "if-none-match": page.headers["etag"]}
    assert (await http.get(ARGO, headers=known)).status_code == 304
    assert not Page(page.text).tags & {"script", "img", "iframe", "form", "object"}
    missing = await http.get("/v1/catalogs/none", headers={"accept": CHROME})
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


async def test_text_of_a_release_stays_text(empty: Catalog) -> None:
    product = await empty.product(HOSTILE, name=HOSTILE, description=f"javascript:{HOSTILE}", catalog_id=HOSTILE)
    made = await empty.put(product, HOSTILE, id=HOSTILE, status="PUBLISHED", branch=HOSTILE, revision=HOSTILE)
    async with served(empty.database) as http:
        for href in (
            hal_urls.release(HOSTILE, made["id"]),
            hal_urls.releases(HOSTILE),
            hal_urls.applications(HOSTILE),
            hal_urls.catalog(HOSTILE),
            hal_urls.CATALOGS,
        ):
            response = await http.get(href, headers={"accept": CHROME})
            assert response.status_code == 200
            page = Page(response.text)
            assert page.tags <= {"html", "meta", "title", "style", "h1", "dl", "dt", "dd", "ul", "li", "a", "code"}
            assert page.attributes <= {"lang", "charset", "name", "content", "href", "rel"}
            assert HOSTILE in "\n".join(page.texts)
            assert all(target.startswith("/v1/") for target in page.targets)


@pytest.mark.parametrize(
    ("text", "leads"),
    [
        ("https://a.example/b?c=d&e", True), ("http://a.example", True), ("javascript:alert(1)", False),
        ("data:text/html,x", False), ("//a.example", False), ("/v1", False), ("https:///a", False),
        ("https://a.example/ b", False), ("https://[", False), ("java\nscript:alert(1)", False), ("HTTPS://A.EXAMPLE", True),
        ("\u0000https://a.example", False), ("vbscript:x", False),
    ],
)  # fmt: skip
def test_only_urls_of_the_web_become_links(text: str, leads: bool) -> None:
    page = Page(pages.page({"url": text}, "/v1").decode())
    assert page.targets == ([text] if leads else [])
    assert text in page.texts or "\n" in text or "\x00" in text


@pytest.mark.parametrize("href", ["https://a.example", "javascript:x", "//a.example", "/\\a.example", ""])
def test_only_own_addresses_are_links_of_a_document(href: str) -> None:
    assert Page(pages.page({"_links": {"self": {"href": href}}}, "/v1").decode()).targets == []


def test_numbers_and_booleans_are_told_apart() -> None:
    assert Page(pages.page({"a": [1, True, 0, False, None, 1.5]}, "/").decode()).texts[-7:-1] == [
        "1", "true", "0", "false", "null", "1.5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        (CHROME, True), ("text/html", True), ("text/html;q=0.5", True), ("*/*", False), ("", False),
        ("application/hal+json, text/html", False), ("application/json, text/html;q=0.9", False),
        ("text/html, application/hal+json;q=0.9", True), ("text/html;q=0", False), ("text/*", False),
        ("text/html, */*", False),
    ],
)  # fmt: skip
def test_html_is_sent_to_those_who_like_it_better(accept: str, page: bool) -> None:
    assert prefers_html(accept, HAL) == page
