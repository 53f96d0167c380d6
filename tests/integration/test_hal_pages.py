"""HAL documents as pages for browsers: the same data, working links, and nothing that runs."""

import collections
import html.parser
import re
import shlex
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from release_catalog.domain import hal_urls
from release_catalog.graphql_http.request import prefers_html
from release_catalog.hal import html as pages
from release_catalog.rest import openapi
from support.catalog import Catalog
from support.graphql_client import served

HAL = "application/hal+json"
ARGO = "/v1/catalogs/d16c7f4d-b38a-405b-a1ca-3ac0a79418c1/releases/64455e6bd3c480fd58546c75"
CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
CATALINA = "/lifecycle/api/v2/promotion/records/catalina/1.0.0/1684477329586"
SAFE_TAGS = set(
    "html head body header nav main ol meta title link style h1 h2 dl dt dd ul li a p pre code".split()
)
SAFE_ATTRIBUTES = set("lang charset name content href rel class id aria-label aria-current".split())
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'&"


class Page(html.parser.HTMLParser):
    """What a browser makes of a page: its elements and ids, and in its main part the targets of links and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.ids: set[str] = set()
        self.headings: list[str] = []
        self.landmarks: list[str] = []
        self.targets: list[str] = []
        self.around: list[str] = []
        self.texts: list[str] = []
        self.title = ""
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids |= {value or "" for name, value in attrs if name == "id"}
        self.headings += [tag] if tag in {"h1", "h2", "h3"} else []
        self.landmarks += [tag] if tag in {"header", "nav", "main"} else []
        targets = [value or "" for name, value in attrs if name == "href" and tag == "a"]
        (self.targets if "main" in self._open else self.around).extend(targets)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "main" in self._open:
            self.texts.append(data)
        elif self._open[-1:] == ["title"]:
            self.title = data


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


async def test_a_browser_reaches_all_documents_with_the_same_data(http: httpx2.AsyncClient) -> None:
    """Follow links from the address that people type, to two pages of each kind and the releases of the links below."""
    waiting, seen, kinds = ["/", f"{ARGO}?expand_relationships=true", ARGO], set[str](), collections.Counter[str]()
    while waiting:
        href = waiting.pop(0)
        kind = re.sub(
            r"(catalogs|releases|applications(?!/product/)|pipelines|base-images|registries|product|branch)/[^/?]+",
            r"\1/*",
            href,
        )
        if href in seen or kinds[kind] > 2:
            continue
        seen.add(href)
        kinds[kind] += 1
        response = await http.get(href, headers={"accept": CHROME}, follow_redirects=True)
        assert response.status_code == 200, href
        if not response.headers["content-type"].startswith("text/html"):
            assert href in {"/schema.graphql", "/openapi.json"}
            continue
        page = Page(response.text)
        waiting += [target for target in page.around + page.targets if target.startswith("/")]
        if response.url.path == "/graphql":
            continue
        document = (await http.get(href)).json()
        assert page.headings[:1] == ["h1"]
        assert page.headings.count("h1") == 1
        assert page.landmarks[0] == "header"
        assert page.landmarks.count("main") == 1
        assert page.around[0] == "#content"
        assert "content" in page.ids
        assert page.texts[0] in page.title
        links = document.pop("_links", {})
        for embedded in (*document.get("dependencies", ()), *document.get("dependants", ())):
            del embedded["_links"]
        assert set(leaves(document)) <= set(page.texts), href
        for target in (one for entry in links.values() for one in (entry if isinstance(entry, list) else [entry])):
            assert target.get("title", target["href"]) in page.texts
            assert (target["href"] in page.targets) == (not target.get("templated"))
    reached = {kind.partition("?")[0] for kind in kinds}
    documents = {path for path in openapi.document()["paths"] if path.startswith("/v1") and "files" not in path}
    assert {re.sub(r"\{\w+\}", "*", path) for path in documents} <= reached


@pytest.mark.parametrize(
    ("href", "title", "crumbs"),
    [
        ("/v1", "Release catalog", ["#content", "/v1", "/v1", "/graphql", "/openapi.json"]),
        ("/v1/catalogs", "Catalogs · Release catalog", ["/v1"]),
        ("/v1/catalogs/default", "Catalog Default catalog · Release catalog", ["/v1", "/v1/catalogs"]),
        ("/v1/catalogs/default/releases", "Releases · Release catalog", ["/v1", "/v1/catalogs", "/v1/catalogs/default"]),
        (
            ARGO,
            "Release Argo CD 2.6.7 · Release catalog",
            ["/v1", "/v1/catalogs", ARGO.rpartition("/releases/")[0], ARGO.rpartition("/")[0]],
        ),
        (CATALINA, "Promotion of catalina 1.0.0 · Release catalog", ["/v1"]),
    ],
)  # fmt: skip
async def test_pages_have_titles_and_breadcrumbs(
    http: httpx2.AsyncClient, href: str, title: str, crumbs: list[str]
) -> None:
    page = Page((await http.get(href, headers={"accept": CHROME})).text)
    assert page.title == title
    assert page.around[-len(crumbs) :] == crumbs


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
            assert page.tags <= SAFE_TAGS
            assert page.attributes <= SAFE_ATTRIBUTES
            assert HOSTILE in "\n".join(page.texts)
            assert all(target.startswith("/v1") for target in page.targets)
            assert set(page.around) - {"#content", "/graphql", "/openapi.json"} <= {
                "/v1",
                hal_urls.CATALOGS,
                hal_urls.catalog(HOSTILE),
                hal_urls.releases(HOSTILE),
            }


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
    assert Page(pages.page({"a": [1, True, 0, False, None, 1.5]}, "/").decode()).texts[-6:] == [
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


# ---------------------------------------------------------------- problems


@pytest.mark.parametrize(
    ("href", "status", "says"),
    [
        ("/v1/catalogs/none", 404, "Nothing exists at this address: check it."),
        ("/nowhere", 404, "Nothing exists at this address: check it."),
        ("/graphiql/none.js", 404, "Nothing exists at this address: check it."),
        (f"{ARGO}?expand_relationships=perhaps", 400, "expand_relationships"),
        ("/v1/catalogs?after=x", 400, "after"),
        ("/api/v1/catalog/releases/project/a/import", 405, "use POST"),
        (f"/{'a' * 20_000}", 414, "The path is too long"),
    ],
)
async def test_a_browser_gets_problems_as_pages(
    http: httpx2.AsyncClient, href: str, status: int, says: str
) -> None:
    response = await http.get(href, headers={"accept": CHROME})
    assert (response.status_code, response.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert response.headers.get_list("content-security-policy") == [pages.CSP]
    assert response.headers["vary"] == "Accept"
    page = Page(response.text)
    assert says in "".join(page.texts)
    assert page.title.startswith(str(status))
    assert "/v1" in page.around
    assert page.tags <= SAFE_TAGS
    for accept in ("application/json", "application/hal+json, text/html;q=0.9", "*/*", ""):
        problem = await http.get(href, headers={"accept": accept})
        assert (problem.status_code, problem.headers["content-type"]) == (status, "application/problem+json")
        assert problem.json()["detail"] in page.texts


async def test_a_browser_without_a_token_learns_how_to_send_one(empty: Catalog) -> None:
    async with served(empty.database, authentication="required") as http:
        for href in ("/v1", "/v1/catalogs/a';touch%20x;'", "/lifecycle/api/v2/promotion/records/a/1/2"):
            response = await http.get(href, headers={"accept": CHROME})
            assert (response.status_code, response.headers["content-type"]) == (401, "text/html; charset=utf-8")
            # A browser would ask for a password if Basic were offered.
            assert response.headers["www-authenticate"].startswith("Bearer ")
            page = Page(response.text)
            [command] = [text for text in page.texts if text.startswith("curl ")]
            assert shlex.split(command)[-1] == f"http://localhost{href}"
            assert "/graphql" in page.targets
            wrong = await http.get(href, headers={"accept": CHROME, "authorization": "Bearer rcat_wrong"})
            assert "The credentials are invalid: get new ones." in Page(wrong.text).texts


async def test_a_browser_from_another_site_may_go_on_from_here(http: httpx2.AsyncClient) -> None:
    response = await http.get(ARGO, headers={"accept": CHROME, "sec-fetch-site": "cross-site"})
    assert response.status_code == 403
    assert Page(response.text).targets == [ARGO]


async def test_a_hostile_instance_leads_nowhere(http: httpx2.AsyncClient) -> None:
    for href in ("//evil.example/v1", "/\\evil.example"):
        page = pages.problem_page(
            {"status": 403, "title": "Forbidden", "detail": HOSTILE, "instance": href, "code": "CSRF"}, href
        )
        assert Page(page.decode()).targets == []
        assert Page(page.decode()).tags <= SAFE_TAGS


async def test_busy_and_silent_servers_tell_browsers_so(stocked: Catalog) -> None:
    async with served(stocked.database, cost_per_hour=25) as http:
        while (response := await http.get("/v1", headers={"accept": CHROME})).status_code == 200:
            pass
        assert response.status_code == 429
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert int(response.headers["retry-after"]) > 0
