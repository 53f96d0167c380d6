"""axe on the pages for people, on desks and phones, light and dark; they ask no other host, and complain of nothing.

Each page is opened once, and looked at in every width and colour scheme: opening GraphiQL takes the longest.
"""

import itertools
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from e2e.conftest import NODE_FOLDER
from release_catalog.server import graphiql
from support.browser import forget, logged, requested, see, show
from support.processes import Server, serving

ARGO = "/v1/catalogs/d16c7f4d-b38a-405b-a1ca-3ac0a79418c1"
VIEWS = list(itertools.product((1440, 390), ("light", "dark")))
AXE = NODE_FOLDER / "node_modules" / "axe-core" / "axe.min.js"
RUN = """
const done = arguments[arguments.length - 1];
const until = performance.now() + 10000;
async function look() {
  const found = await axe.run({resultTypes: ["violations"]});
  // The editors take a moment to colour all their words anew: only what stays is wrong.
  if (found.violations.length && performance.now() < until) return setTimeout(look, 300);
  done(found.violations.map(({id, impact, nodes}) => [id, impact, nodes.map((node) => String(node.target))]));
}
requestAnimationFrame(look);
"""
DOCUMENTS = {
    "entry point": "/v1",
    "catalogs": "/v1/catalogs",
    "list": "/v1/catalogs/default/releases",
    "release": f"{ARGO}/releases/64455e6bd3c480fd58546c75?expand_relationships=true",
    "product": f"{ARGO}/applications/d16c7f4d-b38a-405b-a1ca-3ac0a79418c1",
    "promotion": "/lifecycle/api/v2/promotion/records/catalina/1.0.0/1684477329586",
    "problem": f"/v1/catalogs/{'none' * 50}",
}

pytestmark = pytest.mark.usefixtures("node")


def problems(browser: webdriver.Chrome, state: str) -> list[Any]:
    """What axe finds on the page as it is, in each view; a page that scrolls sideways is a problem, too."""
    browser.execute_script(AXE.read_text())
    found: list[Any] = []
    for width, scheme in VIEWS:
        show(browser, width, scheme)
        found += [(state, width, scheme, *one) for one in browser.execute_async_script(RUN)]
        if browser.execute_script("return document.documentElement.scrollWidth") > width:
            found.append((state, width, scheme, "scrolls sideways"))
    show(browser, 1440, "light")
    return found


def elsewhere(browser: webdriver.Chrome, url: str) -> list[str]:
    """The requests for other hosts."""
    own = (f"{url}/", url.replace("http", "ws") + "/", "data:", "blob:", "about:")
    return [each["url"] for each in requested(browser) if not each["url"].startswith(own)]


def test_the_pages_of_documents_and_problems(chromium: webdriver.Chrome, server_url: str) -> None:
    forget(chromium, server_url)
    for name, path in DOCUMENTS.items():
        chromium.get(server_url + path)
        assert problems(chromium, name) == []
        # The browser logs the status of a problem by itself.
        complaints = [entry for entry in logged(chromium, "browser") if "status of 404" not in entry["message"]]
        assert complaints == []
    assert elsewhere(chromium, server_url) == []


def test_a_keyboard_skips_to_the_content(chromium: webdriver.Chrome, server_url: str) -> None:
    chromium.get(f"{server_url}/v1")
    first = (
        "return [...document.querySelectorAll('a, button, input')].find((each) => each.tabIndex >= 0).textContent"
    )
    assert chromium.execute_script(first) == "Skip to the content"
    see(chromium, "main")
    assert chromium.find_element(By.CSS_SELECTOR, "html").get_attribute("lang") == "en"


@pytest.mark.skipif(not graphiql.TEMPLATE.is_file(), reason="GraphiQL is not built: make web")
def test_graphiql(chromium: webdriver.Chrome, server_url: str) -> None:
    forget(chromium, server_url)
    chromium.get(f"{server_url}/graphql")
    see(chromium, ".graphiql-query-editor .view-line")
    see(chromium, ".graphiql-editor-tool .view-line")
    found = problems(chromium, "fresh")
    see(chromium, "button[aria-label='Show Documentation Explorer']").click()
    see(chromium, ".graphiql-plugin", "query: Query")
    found += problems(chromium, "documentation")
    see(chromium, "button[aria-label='Show GraphiQL Explorer']").click()
    see(chromium, "[data-field-name='product'][role='button']")
    found += problems(chromium, "explorer")
    see(chromium, "button.graphiql-execute-button").click()
    see(chromium, ".graphiql-response", '"1.10.0"')
    found += problems(chromium, "after a query")
    see(chromium, "button[aria-label='Show History']").click()
    see(chromium, ".graphiql-history", "Latest")
    found += problems(chromium, "history")
    assert not found, found
    assert elsewhere(chromium, server_url) == []
    assert logged(chromium, "browser") == []


@pytest.mark.skipif(not graphiql.TEMPLATE.is_file(), reason="GraphiQL is not built: make web")
def test_the_dialog_for_a_token_and_the_page_without_one(
    chromium: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory, mongodb_url: str
) -> None:
    settings = {"mongodb_url": mongodb_url, "database": "test_accessibility", "authentication": "required"}
    with serving(tmp_path_factory.mktemp("closed"), **settings) as server:
        check_closed(chromium, server)


def check_closed(browser: webdriver.Chrome, server: Server) -> None:
    forget(browser, server.url)
    browser.get(f"{server.url}/graphql")
    see(browser, "#token input")
    see(browser, ".graphiql-query-editor .view-line")
    assert problems(browser, "token") == []
    assert logged(browser, "browser") == []
    browser.get(f"{server.url}/v1")
    see(browser, "h1", "401")
    assert problems(browser, "401") == []
    assert elsewhere(browser, server.url) == []
